"""Our calls of Claude over real HTTP: every answer becomes a reply or an error of ours, without key or prompt."""

import asyncio
import logging
import pickle
import re
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from ray_import.credentials import ClaudeAccess
from ray_import.errors import ConfigError, ModelBusy, ModelError, ModelOutcomeUnknown
from ray_import.profile.anthropic_api import Claude
from ray_import.profile.model import RateLimit, Reply
from tests.support.model_api.asking import PLANTED, PROMPT, WORD, ask, run
from tests.support.model_api.server import ModelApi


def test_reply_has_text_usage_and_limits(api: ModelApi) -> None:
    api.set(requests_per_minute=50)
    reply = ask(api)
    assert reply.reason == ""
    assert WORD in (reply.text or "")
    assert reply.usage is not None
    assert reply.usage.input_tokens > 100
    assert reply.usage.output_tokens > 20
    assert reply.limits == (RateLimit("requests", 50, 49),)


def test_request_is_sent_once_and_with_what_a_prompt_has(api: ModelApi) -> None:
    ask(api)
    (call,) = api.ledger().calls
    assert (call.method, call.path, call.retry_count) == ("POST", "/v1/messages", "0")
    assert api.ledger().paid[0].planted == [PLANTED.quote]


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("cut_off", "cut_off"),
        ("context_window", "cut_off"),
        ("refuse", "refused"),
        ("unknown_stop", "unknown_stop"),
        ("pause", "unknown_stop"),
        ("unknown_block", "unknown_block"),
        ("second_text", "unknown_block"),
        ("no_text", "no_text"),
        ("html", "not_a_message"),
        ("empty", "not_a_message"),
        ("half_json", "not_a_message"),
        ("no_usage", "unknown_stop"),
        ("not_json", ""),
        ("fenced", ""),
        ("off_schema", ""),
    ],
)
def test_odd_answer_is_a_reply_with_a_reason(api: ModelApi, kind: str, reason: str) -> None:
    api.fault(kind)
    reply = ask(api)
    assert reply.reason == reason
    assert (reply.text is not None) == (reason in ("", "cut_off") or kind in ("unknown_stop", "pause", "no_usage"))


STATUSES: list[tuple[int, type[ModelError] | None]] = [
    (400, None), (401, ModelError), (402, ModelError), (403, ModelError), (404, ModelError), (408, ModelBusy),
    (409, ModelBusy), (413, None), (422, None), (429, ModelBusy), (500, ModelBusy), (502, ModelBusy),
    (504, ModelBusy), (529, ModelBusy), (418, ModelError),
]  # fmt: skip


@pytest.mark.parametrize(("status", "kind"), STATUSES)
def test_status_is_an_error_of_its_kind_and_sent_once(
    api: ModelApi, status: int, kind: type[ModelError] | None
) -> None:
    api.fault("status", status=status, retry_after=3600)
    if kind is None:
        assert ask(api) == Reply(text=None, stop_reason="", reason="errored", usage=None)
    else:
        with pytest.raises(ModelError) as found:
            ask(api)
        assert type(found.value) is kind
        assert str(status) in found.value.message
        if isinstance(found.value, ModelBusy):
            assert found.value.retry_after_seconds == 3600
            assert found.value.is_rate_limit == (status == 429)
    assert len(api.ledger().calls) == 1


def test_spend_limit_is_final(api: ModelApi) -> None:
    api.fault("spend_limit")
    with pytest.raises(ModelError, match="spend limit") as found:
        ask(api)
    assert not found.value.retry


@pytest.mark.parametrize(("kind", "paid"), [("drop", 0), ("drop_after", 1), ("stall", 0), ("stall_after", 1)])
def test_outcome_is_unknown_when_the_answer_is_lost(api: ModelApi, kind: str, paid: int) -> None:
    api.fault(kind)
    with pytest.raises(ModelOutcomeUnknown):
        ask(api, timeout_seconds=0.5)
    assert len(api.ledger().paid) == paid


def test_api_is_busy_when_nothing_could_be_sent(api: ModelApi) -> None:
    with pytest.raises(ModelBusy, match="cannot be reached"):
        ask(api, url="http://127.0.0.1:9")


def test_path_of_an_address_is_kept(api: ModelApi) -> None:
    with pytest.raises(ModelError, match="404"):
        ask(api, url=f"{api.url}/proxy/anthropic")
    assert api.ledger().calls[0].path == "/proxy/anthropic/v1/messages"


@pytest.mark.parametrize("text", ["half \ud83d of a character", "NUL \x00", "line\u2028separator \x85"])
def test_odd_characters_are_sent(api: ModelApi, text: str) -> None:
    assert ask(api, replace(PROMPT, text=f"{PROMPT.text} {text}")).reason == ""


@pytest.mark.parametrize("fault", ["drop", "stall", "status", "spend_limit"])
def test_error_holds_neither_key_nor_prompt_in_any_form(
    api: ModelApi, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    api.fault(fault, status=403)
    caplog.set_level(logging.DEBUG)
    with pytest.raises(ModelError) as found:
        ask(api, timeout_seconds=0.5)
    error = found.value
    assert (error.__cause__, error.__context__) == (None, None)
    shown = [str(error), repr(error), "".join(traceback.format_exception(error)), caplog.text]
    data = pickle.dumps(error)
    assert str(pickle.loads(data)) == str(error)
    for secret in (WORD, api.key, "You extract"):
        assert secret not in "".join(shown)
        assert secret.encode() not in data
    assert "model_call_failed" in caplog.text


def test_prompts_and_answers_are_not_logged_when_the_sdk_is_asked_to(
    api: ModelApi, caplog: pytest.LogCaptureFixture
) -> None:
    logging.getLogger("anthropic").setLevel(logging.DEBUG)  # as ANTHROPIC_LOG=debug does
    caplog.set_level(logging.DEBUG)
    ask(api)
    assert WORD not in caplog.text
    assert api.key not in caplog.text


def test_tokens_are_counted_as_the_api_does(api: ModelApi) -> None:
    async def both(claude: Claude) -> tuple[int, Reply]:
        return await claude.count_tokens(PROMPT), await claude.ask(PROMPT)

    counted, reply = run(api, both)
    assert reply.usage is not None
    assert counted == reply.usage.input_tokens


@pytest.mark.parametrize(
    "act",
    [
        lambda claude: claude.count_tokens(PROMPT),
        lambda claude: claude.create_batch([PROMPT]),
        lambda claude: claude.batch("b"),
        lambda claude: claude.batches_since("2026-01-01T00:00:00Z"),
    ],
)
def test_bedrock_has_no_batches_and_does_not_count(act: Callable[[Claude], Awaitable[Any]]) -> None:
    async def acted() -> None:
        claude = Claude(ClaudeAccess(key=SecretStr("abc"), bedrock_region="eu-west-1"))
        try:
            await act(claude)
        finally:
            await claude.close()

    with pytest.raises(ConfigError, match="Bedrock"):
        asyncio.run(acted())


def test_bedrock_is_asked_at_its_own_path(api: ModelApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_BEDROCK_BASE_URL", api.url)

    async def asked() -> Reply:
        claude = Claude(ClaudeAccess(key=SecretStr(api.key), bedrock_region="eu-west-1"))
        try:
            return await claude.ask(replace(PROMPT, model="anthropic.claude-haiku-5-5"))
        finally:
            await claude.close()

    assert asyncio.run(asked()).reason == ""
    assert api.ledger().calls[0].path == "/model/anthropic.claude-haiku-5-5/invoke"


def test_sdk_is_imported_by_one_module_alone() -> None:
    sources = Path(__file__).parents[3].joinpath("ray_import").rglob("*.py")
    importing = re.compile(r"^\s*(import|from) (anthropic|httpx2)\b", re.MULTILINE)
    assert [path.name for path in sources if importing.search(path.read_text())] == ["anthropic_api.py"]
    naming = re.compile(r"^(import|from) ray_import\.profile\.anthropic_api\b", re.MULTILINE)
    sources = Path(__file__).parents[3].joinpath("ray_import").rglob("*.py")
    assert not [path for path in sources if naming.search(path.read_text())]
