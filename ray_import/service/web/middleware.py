"""One log line per request, an answer where a request fails by a fault of ours, and bounds on bodies.

The log holds the method, the route, the status and the time: no query, no id, no header, no address of a client.
Bodies, chunked ones too, are bounded in size and in time.
"""

import asyncio
import logging
import time
import traceback

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger(__name__)

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_QUIET_ROUTES = frozenset({"/health", "/ready", "/metrics"})
"""Asked for every few seconds: logged where they fail."""


class AccessLog:
    """The outermost layer: no exception gets past it, so that the server logs no traceback with foreign text in it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        status = 0

        async def watched_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watched_send)
        except Exception as error:  # noqa: BLE001 - a fault of ours costs one request
            log.error("request_failed %s error=%s at=%s", _named(scope), type(error).__name__, _place_of(error))  # noqa: TRY400 - a traceback may hold a user's words
            if not status:
                await JSONResponse({"error": "The service has failed at this request."}, 500)(
                    scope, receive, watched_send
                )
        finally:
            milliseconds = 1000 * (time.perf_counter() - began)
            level = logging.DEBUG if _route_of(scope) in _QUIET_ROUTES and status < 400 else logging.INFO
            log.log(level, "request %s status=%d milliseconds=%.1f", _named(scope), status, milliseconds)


def _named(scope: Scope) -> str:
    method = scope["method"]
    return f"method={method if method in _METHODS else 'other'} route={_route_of(scope)}"


def _route_of(scope: Scope) -> str:
    """The route as it is declared: `/jobs/{job_id}`; `-` where the request has not come to one."""
    return str(getattr(scope.get("route"), "path", "-"))


def _place_of(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "ray_import" in frame.filename] or frames
    return f"{ours[-1].filename.rpartition('/')[2]}:{ours[-1].lineno}" if ours else "-"


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
