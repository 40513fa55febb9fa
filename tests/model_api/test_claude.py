"""Our calls of Claude over real HTTP: every answer becomes a reply or an error of ours, without key or prompt."""

import asyncio
import logging
import pickle
import re
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from pydantic import SecretStr

from ray_import.credentials import ClaudeAccess
from ray_import.errors import ConfigError, ModelBusy, ModelError, ModelOutcomeUnknown
from ray_import.profile.anthropic_api import Claude
from ray_import.profile.model import Prompt, RateLimit, Reply
from tests.model_api.planted import Planted
from tests.model_api.server import ModelApi, model_api
from tests.model_api.test_model_api import FACTS, MODEL

T = TypeVar("T")

WORD = "Xyzzyburg"
PLANTED = Planted("work", "home town", WORD)
PROMPT = Prompt(
    custom_id="r0",
    model=MODEL,
    system="You extract.",
    text=f"[1] user 2024-05-01: {PLANTED.quote}",
    schema=FACTS,
    max_output_tokens=4_000,
    input_tokens=300,
)


@pytest.fixture
def api() -> Iterator[ModelApi]:
    with model_api() as made:
        yield made


@asynccontextmanager
async def claude_of(api: ModelApi, **options: Any) -> AsyncIterator[Claude]:
    access = ClaudeAccess(key=SecretStr(options.pop("key", api.key)), base_url=options.pop("url", api.url))
    claude = Claude(access, **{"timeout_seconds": 20.0, **options})
    try:
        yield claude
    finally:
        await claude.close()


def run(api: ModelApi, act: Callable[[Claude], Awaitable[T]], **options: Any) -> T:
    async def acted() -> T:
        async with claude_of(api, **options) as claude:
            return await act(claude)

    return asyncio.run(acted())


def ask(api: ModelApi, prompt: Prompt = PROMPT, **options: Any) -> Reply:
    return run(api, lambda claude: claude.ask(prompt), **options)


def prompts(count: int) -> list[Prompt]:
    return [replace(PROMPT, custom_id=f"r{at}", text=f"[1] user 2024-05-01: {at}") for at in range(count)]


async def results_of(claude: Claude, batch_id: str) -> dict[str, Reply]:
    return {custom_id: reply async for custom_id, reply in claude.results(batch_id)}


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


def test_batch_is_created_awaited_read_and_deleted(api: ModelApi) -> None:
    async def act(claude: Claude) -> None:
        made = await claude.create_batch(prompts(30))
        assert (made.status, made.count) == ("in_progress", 30)
        assert (await claude.batch(made.id)) == replace(made, status="in_progress")
        api.set(hold_batches=False)
        ended = await claude.batch(made.id)
        assert ended == replace(made, status="ended")
        found = await results_of(claude, made.id)
        assert found.keys() == {f"r{at}" for at in range(30)}
        assert all(reply.reason == "" and reply.usage for reply in found.values())
        await claude.cancel_batch(made.id)
        await claude.delete_batch(made.id)
        await claude.delete_batch(made.id)
        await claude.cancel_batch(made.id)
        assert await claude.batch(made.id) is None

    api.set(hold_batches=True)
    run(api, act)
    assert len(api.ledger().paid) == 30


def test_results_are_whole_when_answers_have_odd_line_breaks(api: ModelApi) -> None:
    odd = Planted("work", "sep\u2028arator", "a\x85b\x0bc\x1cd\re")

    async def act(claude: Claude) -> str | None:
        made = await claude.create_batch([replace(PROMPT, text=f"[1] user 2024-05-01: {odd.quote}")])
        assert (await claude.batch(made.id)) is not None
        return (await results_of(claude, made.id))["r0"].text

    assert "sep\u2028arator" in (run(api, act) or "")


def test_results_have_a_reason_each(api: ModelApi) -> None:
    for at, kind in enumerate(("expired", "errored", "canceled", "unknown_type")):
        api.fault(kind, containing=f'"r{at}"')
    api.fault("refuse", containing="2024-05-01: 4")

    async def act(claude: Claude) -> dict[str, Reply]:
        made = await claude.create_batch(prompts(6))
        assert (await claude.batch(made.id)) is not None
        return await results_of(claude, made.id)

    found = run(api, act)
    reasons = [found[f"r{at}"].reason for at in range(6)]
    assert reasons == ["expired", "errored", "canceled", "errored", "refused", ""]


@pytest.mark.parametrize("fault", ["results_cut", "results_bad_line"])
def test_results_end_with_busy_when_they_break_off(api: ModelApi, fault: str) -> None:
    api.fault(fault, lines=3, nth=[1])

    async def act(claude: Claude) -> tuple[int, int]:
        made = await claude.create_batch(prompts(6))
        assert (await claude.batch(made.id)) is not None
        found: list[str] = []

        async def read() -> None:
            async for custom_id, _ in claude.results(made.id):
                found.append(custom_id)

        with pytest.raises(ModelBusy):
            await read()
        return len(found), len(await results_of(claude, made.id))

    assert run(api, act) == (3, 6)


@pytest.mark.parametrize("fault", [("drop_after", {}), ("stall_after", {}), ("status", {"status": 504}), ("html", {})])
def test_outcome_of_a_batch_is_unknown_when_the_answer_is_lost(
    api: ModelApi, fault: tuple[str, dict[str, int]]
) -> None:
    kind, how = fault
    api.fault(kind, path="/batches$", method="POST", **how)
    with pytest.raises(ModelOutcomeUnknown):
        run(api, lambda claude: claude.create_batch(prompts(2)), timeout_seconds=0.5)
    assert len(api.batches()) == (1 if kind.endswith("after") else 0)
    assert api.ledger().count("/batches", "POST") == 1


@pytest.mark.parametrize("status", [429, 529])
def test_batch_may_be_sent_again_when_the_api_says_that_it_is_busy(api: ModelApi, status: int) -> None:
    api.fault("status", status=status)
    with pytest.raises(ModelBusy):
        run(api, lambda claude: claude.create_batch(prompts(2)))


def test_lost_batch_is_found_among_many(api: ModelApi) -> None:
    async def act(claude: Claude) -> None:
        before = [await claude.create_batch(prompts(1)) for _ in range(3)]
        since = before[-1].created_at
        later = [await claude.create_batch(prompts(2)) for _ in range(120)]
        found = await claude.batches_since(since)
        assert [batch.id for batch in found] == [before[-1].id, *(batch.id for batch in later)]
        assert {batch.count for batch in found[1:]} == {2}

    api.set(hold_batches=True)
    run(api, act)
    assert api.ledger().count("/batches", "GET") == 2


@pytest.mark.parametrize("fault", ["html", "half_json", "empty", "foreign_404"])
def test_batch_is_not_taken_for_gone_when_somebody_else_answers(api: ModelApi, fault: str) -> None:
    async def act(claude: Claude) -> None:
        made = await claude.create_batch(prompts(1))
        api.fault(fault)
        with pytest.raises(ModelError):
            await claude.batch(made.id)
        with pytest.raises(ModelError):
            await claude.batches_since(made.created_at)

    run(api, act)


def test_canceled_batch_ends_without_being_paid(api: ModelApi) -> None:
    async def act(claude: Claude) -> set[str]:
        made = await claude.create_batch(prompts(3))
        await claude.cancel_batch(made.id)
        states = [await claude.batch(made.id) for _ in range(2)]
        assert [batch.status for batch in states if batch] == ["canceling", "ended"]
        return {reply.reason for reply in (await results_of(claude, made.id)).values()}

    api.set(hold_batches=True)
    assert run(api, act) == {"canceled"}
    assert not api.ledger().paid


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
    sources = Path(__file__).parents[2].joinpath("ray_import").rglob("*.py")
    importing = re.compile(r"^\s*(import|from) (anthropic|httpx2)\b", re.MULTILINE)
    assert [path.name for path in sources if importing.search(path.read_text())] == ["anthropic_api.py"]
    naming = re.compile(r"^(import|from) ray_import\.profile\.anthropic_api\b", re.MULTILINE)
    sources = Path(__file__).parents[2].joinpath("ray_import").rglob("*.py")
    assert not [path for path in sources if naming.search(path.read_text())]
