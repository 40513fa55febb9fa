"""One line per request in the log, and an answer where a request fails by a fault of ours.

The log holds the method, the route, the status and the time: no query, no id, no header, no address of a client.
"""

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
