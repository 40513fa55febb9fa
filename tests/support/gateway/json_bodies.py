"""JSON as PostgREST takes it: strict, before Postgres sees it."""

from typing import Any

import orjson

from tests.support.gateway.calls import Refused, rest_error


def json_body(body: bytes) -> tuple[str, Any]:
    """The body as text and as a value; raises Refused (400 PGRST102) for bad UTF-8, lone surrogates and no JSON."""
    try:
        return body.decode(), orjson.loads(body)
    except ValueError:
        raise Refused(rest_error(400, "PGRST102", "Empty or invalid json")) from None
