"""The ASGI application: the API's routes behind its faults, and beside them those by which a test controls it."""

import asyncio
import json
import socket
import struct
import time
import traceback
from typing import Any
from urllib.parse import parse_qsl

from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from tests.support.model_api.answers import MODELS, Answer, Refused, error_answer, json_answer, model_answer, refused
from tests.support.model_api.batches import PATH as BATCHES
from tests.support.model_api.batches import Batches, as_json, deleted_json
from tests.support.model_api.dials import CALL_FAULTS, RESULTS_FAULTS, Dials, Fault, Faults
from tests.support.model_api.ledger import Call, Ledger, Paid
from tests.support.model_api.limits import Limits
from tests.support.model_api.work import answered, question_of

MOST_BYTES = 256 * 1024 * 1024
HTML = b"<!doctype html><title>Welcome</title><p>Please log in to the network."
NOTHING_WRONG = Fault(kind="delay")


class ModelApp:
    """One API with one key."""

    def __init__(self, key: str) -> None:
        self.dials = Dials()
        self.faults = Faults()
        self.ledger = Ledger()
        self._key = key
        self._limits = Limits(self.dials, time.monotonic)
        self._batches = Batches(self.dials, self.faults, self.ledger, time.monotonic)
        self._closing = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def close(self) -> None:
        """Ends what stalls; called from another thread."""
        if self._loop:
            self._loop.call_soon_threadsafe(self._closing.set)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One call."""
        self._loop = asyncio.get_running_loop()
        body = await _read(receive)
        if body is None:
            return
        path = scope["path"]
        try:
            if path.startswith("/_control/"):
                await _send(send, self._control(path.removeprefix("/_control/"), json.loads(body or b"null")))
            else:
                await self._call(scope, body, receive, send)
        except Exception:
            self.ledger.failures.append(traceback.format_exc())
            raise

    async def _call(self, scope: Scope, body: bytes, receive: Receive, send: Send) -> None:
        method, path, headers = scope["method"], scope["path"], Headers(scope=scope)
        call = Call(method=method, path=path, at=time.monotonic())
        call.retry_count = headers.get("x-stainless-retry-count", "")
        self.ledger.calls.append(call)
        fault = self.faults.of(CALL_FAULTS, method, path, body.decode("utf-8", "replace")) or NOTHING_WRONG
        call.fault = "" if fault is NOTHING_WRONG else fault.kind
        await asyncio.sleep(fault.seconds)
        if fault.kind == "stall":
            await self._stall(receive)
        if fault.kind in ("stall", "drop"):
            _reset(send)
            return
        paid: list[Paid] = []
        try:
            self._check_headers(path, headers)
            answer = _instead(fault) or await self._answer(call, scope, headers, body, paid)
        except Refused as error:
            answer = error.answer
        if fault.kind == "stall_after":
            await self._stall(receive)
        gone = _transport(send).is_closing() or fault.kind in ("stall_after", "drop_after")
        for each in paid:
            each.delivered = not gone
        if gone:
            _reset(send)
            return
        call.status = answer.status
        results = path.endswith("/results") and answer.status == 200
        spoil = self.faults.of(RESULTS_FAULTS, method, path, "") if results else None
        await (_send_spoiled(send, answer, spoil) if spoil else _send(send, answer))

    async def _answer(self, call: Call, scope: Scope, headers: Headers, body: bytes, paid: list[Paid]) -> Answer:
        if len(body) > MOST_BYTES:
            raise refused(413, "Request exceeds the maximum size")
        route = (call.method, call.path)
        if route == ("POST", "/v1/messages"):
            return await self._message(call, _parsed(body), paid)
        if route == ("POST", "/v1/messages/count_tokens"):
            return json_answer({"input_tokens": question_of(_parsed(body), counting=True).input_tokens})
        if call.method == "POST" and call.path.startswith("/model/") and call.path.endswith("/invoke"):
            return await self._message(call, _of_bedrock(call.path, _parsed(body)), paid)
        if call.path.startswith(BATCHES):
            base = f"http://{headers['host']}{scope.get('root_path', '')}"
            return self._batch_route(call, base, dict(parse_qsl(scope["query_string"].decode())), body)
        if call.path.startswith("/v1/models"):
            return _models(call.path.removeprefix("/v1/models").strip("/"))
        raise refused(404, "Not found")

    async def _message(self, call: Call, params: Any, paid: list[Paid]) -> Answer:
        question = question_of(params)
        call.input_tokens = question.input_tokens
        wait = self._limits.take(question.input_tokens)
        if wait:
            told = {**self._limits.headers(), "retry-after": str(max(1, round(wait + 0.5)))}
            return error_answer(429, "This request would exceed your rate limit", told)
        self.ledger.enter(1)
        try:
            await asyncio.sleep(self.dials.latency_seconds)
            made, entry = answered(question, self.dials, self.faults, self.ledger)
        finally:
            self.ledger.enter(-1)
        paid.append(entry)
        self._limits.take_output(entry.output_tokens)
        return json_answer(made, headers=self._limits.headers())

    def _batch_route(self, call: Call, base: str, query: dict[str, str], body: bytes) -> Answer:
        batch_id, _, verb = call.path.removeprefix(BATCHES).strip("/").partition("/")
        match (call.method, bool(batch_id), verb):
            case ("POST", False, ""):
                return json_answer(as_json(self._batches.create(_parsed(body)), base))
            case ("GET", False, ""):
                return json_answer(self._batches.page(query))
            case ("GET", True, ""):
                return json_answer(as_json(self._batches.get(batch_id), base))
            case ("POST", True, "cancel"):
                return json_answer(as_json(self._batches.cancel(batch_id), base))
            case ("DELETE", True, ""):
                self._batches.delete(batch_id)
                return deleted_json(batch_id)
            case ("GET", True, "results"):
                lines = self._batches.get(batch_id).results
                return Answer(200, b"".join(line + b"\n" for line in lines), {"content-type": "application/x-jsonl"})
        raise refused(404, "Not found")

    def _check_headers(self, path: str, headers: Headers) -> None:
        key = headers.get("authorization", "").removeprefix("Bearer ") or headers.get("x-api-key", "")
        if key != self._key:
            raise refused(401, "invalid x-api-key")
        if path.startswith("/v1/") and not headers.get("anthropic-version"):
            raise refused(400, "anthropic-version: header is required")

    def _control(self, verb: str, body: Any) -> Answer:
        match verb:
            case "set":
                self.dials.update(body)
                self._limits.reset()
            case "fault":
                self.faults.add(Fault(**body))
            case "clear":
                self.faults.clear()
            case "end_batches":
                self._batches.end_all()
            case "ledger":
                return json_answer(self.ledger.as_json())
            case "batches":
                return json_answer([as_json(batch, "") for batch in self._batches.all()])
            case "forget":
                self.ledger.calls.clear()
                self.ledger.paid.clear()
            case _:
                return json_answer({}, 404)
        return json_answer({})

    async def _stall(self, receive: Receive) -> None:
        """Until the client goes, or the server closes."""
        waiting = [asyncio.ensure_future(receive()), asyncio.ensure_future(self._closing.wait())]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for each in waiting:
            each.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


def _instead(fault: Fault) -> Answer | None:
    """What a fault answers instead of any work."""
    told = {} if fault.retry_after is None else {"retry-after": f"{fault.retry_after:g}"}
    match fault.kind:
        case "html":
            return Answer(200, HTML, {"content-type": "text/html"})
        case "foreign_404":
            return Answer(404, HTML, {"content-type": "text/html"})
        case "empty":
            return Answer(200, b"", {"content-type": "text/plain"})
        case "half_json":
            return Answer(200, b'{"id": "msg_1", "content": [{"type"', {"content-type": "application/json"})
        case "status":
            return error_answer(fault.status, "It went wrong", told)
        case "spend_limit":
            return error_answer(429, "Your spend limit is reached", told, "enforced_spend_limit_reached")
    return None


def _of_bedrock(path: str, params: Any) -> Any:
    """The parameters of a message at Amazon Bedrock, whose model stands in the path."""
    model = path.split("/")[2].rpartition("anthropic.")[2]
    return {**{name: value for name, value in params.items() if name != "anthropic_version"}, "model": model}


def _models(model: str) -> Answer:
    if not model:
        data = [model_answer(each) for each in MODELS]
        return json_answer({"data": data, "has_more": False, "first_id": None, "last_id": None})
    if model not in MODELS:
        raise refused(404, f"model: {model}")
    return json_answer(model_answer(model))


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        raise refused(400, "The body is not JSON") from None


async def _read(receive: Receive) -> bytes | None:
    """The body, or None where the client went before it was whole."""
    body = bytearray()
    while True:
        part = await receive()
        if part["type"] == "http.disconnect":
            return None
        body += part.get("body", b"")
        if not part.get("more_body", False):
            return bytes(body)


async def _send(send: Send, answer: Answer) -> None:
    headers = {"content-length": str(len(answer.body)), **answer.headers}
    await send({"type": "http.response.start", "status": answer.status, "headers": _raw(headers)})
    await send({"type": "http.response.body", "body": answer.body})


async def _send_spoiled(send: Send, answer: Answer, fault: Fault) -> None:
    """Some lines of the results, and then half of one: the connection is closed there, or the download ends."""
    lines = answer.body.splitlines(keepends=True)
    body = b"".join(lines[: fault.lines]) + b'{"custom_id": "half'
    await send({"type": "http.response.start", "status": 200, "headers": _raw(answer.headers)})
    await send({"type": "http.response.body", "body": body, "more_body": True})
    await asyncio.sleep(0)
    if fault.kind == "results_cut":
        _transport(send).close()
    else:
        await send({"type": "http.response.body", "body": b"\n"})


def _raw(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]


def _transport(send: Send) -> Any:
    """The connection of a request: `send` is a method of uvicorn's request, which knows it."""
    return send.__self__.transport  # type: ignore[attr-defined]


def _reset(send: Send) -> None:
    """Ends the connection as a crash does."""
    transport = _transport(send)
    if not transport.is_closing():
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
