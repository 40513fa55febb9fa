"""Who may call: one secret, sent as a bearer token, or as the password of HTTP Basic by a browser.

It is checked before a byte of the body is read.
"""

import base64
import binascii
import hmac

from pydantic import SecretStr
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

PUBLIC_PATHS = frozenset({"/health", "/ready", "/openapi.json"})
"""What a platform and a client generator ask for, without the secret."""
BASIC_PATHS = frozenset({"/", "/metrics"})
"""These take HTTP Basic, too, for browsers and Prometheus. The others do not: a browser adds it to requests that
another site makes."""
_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})


class Authentication:
    """Refuses requests without the secret: 401. Without a secret it refuses those that name another host than this
    machine, which a browser sends for a page of another site: 403."""

    def __init__(self, app: ASGIApp, *, secret: SecretStr | None) -> None:
        self._app = app
        self._secret = None if secret is None else secret.get_secret_value().encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self._is_allowed(scope):
            await self._app(scope, receive, send)
        elif self._secret is None:
            await JSONResponse({"error": "This host name is not allowed."}, 403)(scope, receive, send)
        else:
            takes_basic = scope["path"] in BASIC_PATHS
            challenge = 'Basic realm="ray-import", charset="UTF-8"' if takes_basic else "Bearer"
            error = {"error": "The secret is missing or wrong."}
            await JSONResponse(error, 401, {"WWW-Authenticate": challenge})(scope, receive, send)

    def _is_allowed(self, scope: Scope) -> bool:
        if self._secret is None:
            hosts = [value for name, value in scope["headers"] if name == b"host"]
            return all(host.decode("latin-1").lower().removesuffix(_port(host)) in _LOOPBACK_NAMES for host in hosts)
        if scope["path"] in PUBLIC_PATHS:
            return True
        sent = [value for name, value in scope["headers"] if name == b"authorization"]
        found = _secret_of(sent[0], takes_basic=scope["path"] in BASIC_PATHS) if len(sent) == 1 else None
        return found is not None and hmac.compare_digest(found, self._secret)


def _port(host: bytes) -> str:
    """`:8100` of `localhost:8100`; '' where there is none."""
    name, colon, port = host.decode("latin-1").rpartition(":")
    return f"{colon}{port}" if name and port.isdecimal() else ""


def _secret_of(header: bytes, *, takes_basic: bool) -> bytes | None:
    """The token or password in the value of an Authorization header; None where there is none."""
    scheme, _, rest = header.partition(b" ")
    match scheme.lower():
        case b"bearer":
            return rest.strip()
        case b"basic" if takes_basic:
            try:
                _, colon, password = base64.b64decode(rest.strip(), validate=True).partition(b":")
            except (binascii.Error, ValueError):
                return None
            return password if colon else None
        case _:
            return None
