"""Asks Claude by Anthropic's SDK. Nothing else imports the SDK; import this module only in the process that calls.

The SDK's errors hold the key and the prompt, and cross process borders with both: each is replaced by one of ours,
which has neither a cause nor a context. Its retries are off, and so is its logging, which writes whole prompts.
"""

import importlib.util
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar

import anthropic
import httpx2
import orjson
from anthropic import AsyncAnthropic, AsyncAnthropicBedrock, AsyncAPIResponse

from ray_import.credentials import ClaudeAccess
from ray_import.errors import ConfigError, ModelBusy, ModelError, ModelOutcomeUnknown, ModelRejected
from ray_import.profile.model import BatchInfo, Prompt, Reply
from ray_import.profile.replies import (
    batch_of,
    limits_of,
    reply_of,
    reply_of_result,
    reply_without_text,
    retry_after_of,
)

TIMEOUT_SECONDS = 600.0
CONNECT_SECONDS = 10.0
PAGE = 100

_SPEND_LIMITS = frozenset({
    "enforced_spend_limit_reached", "contract_spend_limit_reached", "linked_organization_spend_limit_reached",
})  # fmt: skip
_REJECTED = (400, 413, 422)
_NOT_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.ProxyError)
_WORD = re.compile(r"[a-z_]{1,40}")
_BATCHES = "/v1/messages/batches"
_GONE = object()

log = logging.getLogger(__name__)

T = TypeVar("T")


class Claude:
    """See `Model`. One a process; used by one event loop."""

    def __init__(self, access: ClaudeAccess, *, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        for name in ("anthropic", "httpx2"):
            logging.getLogger(name).setLevel(logging.WARNING)
        options: dict[str, Any] = {
            "timeout": httpx2.Timeout(timeout_seconds, connect=min(CONNECT_SECONDS, timeout_seconds)),
            "max_retries": 0,
            "open_telemetry": False,
        }
        key = access.key.get_secret_value()
        self._client: AsyncAnthropic | AsyncAnthropicBedrock
        if access.bedrock_region:
            _check_bedrock(key)
            self._client = AsyncAnthropicBedrock(aws_region=access.bedrock_region, api_key=key or None, **options)
            self._batching: AsyncAnthropic | None = None
        else:
            self._client = self._batching = AsyncAnthropic(api_key=key, base_url=access.base_url, **options)

    async def ask(self, prompt: Prompt) -> Reply:
        try:
            response = await self._client.messages.with_raw_response.create(**_params(prompt))
        except Exception as error:  # noqa: BLE001 - all that the SDK raises holds the prompt
            if _is_rejected(error):
                _log_failure(error)
                return reply_without_text("errored")
            failure = _failure_of(error, is_charged=True)
        else:
            return reply_of(_decoded(response.http_response.content), limits_of(response.headers))
        raise failure

    async def count_tokens(self, prompt: Prompt) -> int:
        client = self._for_batches("Counting tokens")
        params = _params(prompt)
        del params["max_tokens"]
        body = await _body(lambda: client.messages.with_raw_response.count_tokens(**params))
        if not isinstance(body, dict) or not isinstance(body.get("input_tokens"), int):
            raise _not_understood()
        tokens: int = body["input_tokens"]
        return tokens

    async def create_batch(self, prompts: Sequence[Prompt]) -> BatchInfo:
        requests: Any = [{"custom_id": prompt.custom_id, "params": _params(prompt)} for prompt in prompts]
        create = self._for_batches("A batch").messages.batches.with_raw_response.create
        body = await _body(lambda: create(requests=requests), is_charged=True)
        batch = batch_of(body)
        if batch is None:
            raise _outcome_unknown()
        return batch

    async def batches_since(self, created_at: str) -> list[BatchInfo]:
        listing = self._for_batches("A batch").messages.batches.with_raw_response.list
        since, found, after = datetime.fromisoformat(created_at), list[BatchInfo](), anthropic.omit
        while True:
            body = await _body(lambda after=after: listing(limit=PAGE, after_id=after))  # type: ignore[misc]
            if not isinstance(body, dict) or not isinstance(body.get("data"), list):
                raise _not_understood()
            page = [batch for each in body["data"] if (batch := batch_of(each))]
            found += [batch for batch in page if datetime.fromisoformat(batch.created_at) >= since]
            is_older = any(datetime.fromisoformat(batch.created_at) < since for batch in page)
            if is_older or not body.get("has_more") or not body.get("last_id"):
                return sorted(found, key=lambda batch: datetime.fromisoformat(batch.created_at))
            after = body["last_id"]

    async def batch(self, batch_id: str) -> BatchInfo | None:
        retrieve = self._for_batches("A batch").messages.batches.with_raw_response.retrieve
        body = await _body(lambda: retrieve(batch_id), when_gone=_GONE)
        if body is _GONE or (isinstance(body, dict) and body.get("archived_at")):
            return None  # the results of one that is archived are deleted
        batch = batch_of(body)
        if batch is None:
            raise _not_understood()
        return batch

    async def results(self, batch_id: str) -> AsyncIterator[tuple[str, Reply]]:
        """The results are asked for at our own address: the SDK would send the key to the one that the batch names."""
        client = self._for_batches("A batch")
        options: Any = {"headers": {"X-Stainless-Raw-Response": "stream", "Accept": "application/x-jsonl"}}
        path = f"{_BATCHES}/{batch_id}/results"
        response = await _translated(lambda: client.get(path, cast_to=AsyncAPIResponse[object], options=options))
        try:
            lines = _lines(response.iter_bytes())
            while (line := await _translated(lambda: anext(lines, None))) is not None:
                if line.strip():
                    yield _result_of(line)
        finally:
            await response.close()

    async def cancel_batch(self, batch_id: str) -> None:
        cancel = self._for_batches("A batch").messages.batches.with_raw_response.cancel
        await _body(lambda: cancel(batch_id), when_gone=_GONE, when_ended=_GONE)

    async def delete_batch(self, batch_id: str) -> None:
        delete = self._for_batches("A batch").messages.batches.with_raw_response.delete
        await _body(lambda: delete(batch_id), when_gone=_GONE)

    async def close(self) -> None:
        await self._client.close()

    def _for_batches(self, what: str) -> AsyncAnthropic:
        if self._batching is None:
            raise ConfigError(f"{what} is not possible at Amazon Bedrock.", "Use --now, without --exact.")
        return self._batching


def _check_bedrock(key: str) -> None:
    if not key and importlib.util.find_spec("botocore") is None:
        raise ConfigError(
            "AWS_BEARER_TOKEN_BEDROCK is not set, and AWS's library for other credentials is not installed.",
            "Set it, or install anthropic[bedrock].",
        )


def _params(prompt: Prompt) -> dict[str, Any]:
    return {
        "model": prompt.model,
        "max_tokens": prompt.max_output_tokens,
        "system": _encodable(prompt.system),
        "messages": [{"role": "user", "content": _encodable(prompt.text)}],
        "output_config": {"format": {"type": "json_schema", "schema": prompt.schema}},
    }


def _encodable(text: str) -> str:
    """The text with half characters replaced: they cannot be sent."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


async def _body(
    call: Callable[[], Awaitable[Any]], *, is_charged: bool = False, when_gone: Any = None, when_ended: Any = None
) -> Any:
    """The decoded body of an answer. Where they are given, `when_gone` is for the API's own 404, which is no proxy's,
    and `when_ended` for its 400 and 409."""
    try:
        response = await call()
    except Exception as error:  # noqa: BLE001 - as above
        kind = error.type if isinstance(error, anthropic.APIStatusError) else None
        if kind == "not_found_error" and when_gone is not None:
            return when_gone
        if kind in ("invalid_request_error", "conflict_error") and when_ended is not None:
            return when_ended
        failure = _failure_of(error, is_charged=is_charged, is_created=is_charged)
    else:
        return _decoded(response.http_response.content)
    raise failure


async def _translated(call: Callable[[], Awaitable[T]]) -> T:
    """The outcome of a call that may be made again."""
    try:
        return await call()
    except Exception as error:  # noqa: BLE001 - as above
        failure = _failure_of(error)
    raise failure


def _decoded(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


async def _lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Lines as JSON Lines has them. The SDK's own are cut at more characters, which may stand in an answer."""
    rest: list[bytes] = []
    async for chunk in chunks:
        *whole, last = chunk.split(b"\n")
        for piece in whole:
            yield b"".join([*rest, piece])
            rest.clear()
        rest.append(last)
    yield b"".join(rest)


def _result_of(line: bytes) -> tuple[str, Reply]:
    found = _decoded(line)
    if not isinstance(found, dict) or not isinstance(found.get("custom_id"), str):
        raise ModelBusy("The results of a batch were cut off.")
    return found["custom_id"], reply_of_result(found.get("result"))


def _is_rejected(error: Exception) -> bool:
    """Whether the API refused this request alone."""
    return isinstance(error, anthropic.APIStatusError) and error.status_code in _REJECTED and error.error_code is None


def _failure_of(error: Exception, *, is_charged: bool = False, is_created: bool = False) -> ModelError:
    """Our error for one of the SDK. `is_charged`: what was sent costs money, so that a lost answer is told apart from a
    request that was not sent. `is_created`: the request must not be sent twice, so that any server error is a lost
    answer."""
    _log_failure(error)
    if isinstance(error, anthropic.APIStatusError):
        return _status_failure(error, is_created)
    cause = error.__cause__ if isinstance(error, anthropic.APIConnectionError) else error
    if not isinstance(cause, httpx2.HTTPError):
        return ModelError(f"The Claude SDK cannot send a request ({type(error).__name__}).")
    if is_charged and not isinstance(cause, _NOT_SENT):
        return _outcome_unknown()
    return ModelBusy("The Claude API cannot be reached.", "Check the network and ANTHROPIC_BASE_URL.")


def _status_failure(error: anthropic.APIStatusError, is_created: bool) -> ModelError:
    status = error.status_code
    if status == 429 and error.error_code in _SPEND_LIMITS:
        return ModelError(
            "The spend limit of the Claude account is reached.", "Raise the limit, or wait until it is reset."
        )
    if is_created and status >= 500 and status != 529:
        return _outcome_unknown()
    if status in (408, 409, 429) or status >= 500:
        busy = ModelBusy(f"The Claude API is busy ({status}).")
        busy.retry_after_seconds = retry_after_of(error.response.headers)
        busy.is_rate_limit = status == 429
        return busy
    hints = {
        401: "Check ANTHROPIC_API_KEY.",
        402: "Check the plan and the credit of the account.",
        403: "Check what the key is allowed to do.",
        404: "Check --model and ANTHROPIC_BASE_URL.",
    }
    kind = ModelRejected if _is_rejected(error) else ModelError
    return kind(f"The Claude API rejected a request ({_words_of(error)}).", hints.get(status, ""))


def _words_of(error: anthropic.APIStatusError) -> str:
    """Status, type and code of an error; never its message, which may quote the request."""
    words = [str(word) for word in (error.type, error.error_code) if word and _WORD.fullmatch(str(word))]
    return " ".join([str(error.status_code), *words])


def _log_failure(error: Exception) -> None:
    if isinstance(error, anthropic.APIStatusError):
        log.warning("model_call_failed status=%s request_id=%s", _words_of(error), error.request_id or "")
    else:
        log.warning("model_call_failed error=%s cause=%s", type(error).__name__, type(error.__cause__).__name__)


def _outcome_unknown() -> ModelOutcomeUnknown:
    return ModelOutcomeUnknown("The answer of the Claude API was lost.", "The request may have been charged.")


def _not_understood() -> ModelBusy:
    return ModelBusy("The answer of the Claude API cannot be read.", "Check ANTHROPIC_BASE_URL.")
