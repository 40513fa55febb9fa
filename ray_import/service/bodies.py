"""A bound on the bodies of requests, chunked ones too, and on the time that they take."""

import asyncio

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_BODY_BYTES = 64 * 1024
BODY_WITHIN_SECONDS = 10.0


class BodyLimit:
    """Receives the body before the application does. 413 where it is over MOST_BODY_BYTES, 408 where it does not come
    within `within_seconds`."""

    def __init__(self, app: ASGIApp, *, within_seconds: float = BODY_WITHIN_SECONDS) -> None:
        self._app = app
        self._within_seconds = within_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _has_body(scope):
            await self._app(scope, receive, send)
            return
        if _announced_bytes(scope) > MOST_BODY_BYTES:
            await _too_large(scope, receive, send)
            return
        try:
            async with asyncio.timeout(self._within_seconds):
                body = await _body(receive)
        except TimeoutError:
            await JSONResponse({"error": "The body of the request is incomplete."}, 408)(scope, receive, send)
            return
        if body is None:  # the client has gone
            return
        if len(body) > MOST_BODY_BYTES:
            await _too_large(scope, receive, send)
            return
        await self._app(scope, _replayed(body, receive), send)


def _has_body(scope: Scope) -> bool:
    return any(name in (b"content-length", b"transfer-encoding") for name, _ in scope["headers"])


def _announced_bytes(scope: Scope) -> int:
    announced = [value for name, value in scope["headers"] if name == b"content-length"]
    return max((int(value) for value in announced if value.isdigit() and len(value) < 20), default=0)


async def _body(receive: Receive) -> bytes | None:
    """The body, or more than MOST_BODY_BYTES of it; None where the client disconnects."""
    parts, size = [], 0
    while size <= MOST_BODY_BYTES:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if not message.get("more_body", False):
            break
    return b"".join(parts)


def _replayed(body: bytes, receive: Receive) -> Receive:
    waiting = [body]

    async def replay() -> Message:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        return await receive()

    return replay


async def _too_large(scope: Scope, receive: Receive, send: Send) -> None:
    error = {"error": f"The body of the request is too large: the maximum is {MOST_BODY_BYTES} bytes."}
    await JSONResponse(error, 413)(scope, receive, send)
