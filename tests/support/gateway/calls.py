"""What travels inside the stand-in: a request that was read, and the answer to it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from starlette.datastructures import Headers

JSON = "application/json; charset=utf-8"
HTML = "text/html"


@dataclass(frozen=True, slots=True)
class Call:
    """A request with its whole body; `query` keeps the order, and names that come twice."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    headers: Headers
    body: bytes

    def asked(self, name: str) -> str | None:
        """The value of a parameter of the query, or None."""
        return next((value for key, value in self.query if key == name), None)


@dataclass(frozen=True, slots=True)
class Slice:
    """A part of an open file, which is closed when it is sent: what replaces the file meanwhile is not seen."""

    file: BinaryIO
    start: int
    length: int


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, a body and headers; the length is added when it is sent."""

    status: int
    body: bytes | Slice = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def length(self) -> int:
        """The bytes of the body."""
        return self.body.length if isinstance(self.body, Slice) else len(self.body)


class Refused(Exception):
    """Ends a request with an answer, and rolls back what it did."""

    def __init__(self, answer: Answer, sqlstate: str | None = None) -> None:
        super().__init__(answer.status)
        self.answer = answer
        self.sqlstate = sqlstate


def json_answer(status: int, value: Any, headers: Mapping[str, str] | None = None) -> Answer:
    """A value as JSON."""
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    return Answer(status, body, {"content-type": JSON, **(headers or {})})


def html_answer(status: int, title: str) -> Answer:
    """A page of a proxy."""
    page = f"<html><head><title>{status} {title}</title></head><body><h1>{status} {title}</h1></body></html>"
    return Answer(status, page.encode(), {"content-type": HTML})


def rest_error(
    status: int, code: str, message: str, details: str | None = None, hint: str | None = None, **headers: str
) -> Answer:
    """An error as PostgREST tells it."""
    told = {"code": code, "details": details, "hint": hint, "message": message}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return json_answer(status, told, {"proxy-status": f"PostgREST; error={code}", **named})


def storage_error(status_code: int, error: str, message: str, code: str, *, http: int = 400) -> Answer:
    """An error as Storage tells it: nearly always HTTP 400, with the true status as a string in the body."""
    return json_answer(http, {"statusCode": str(status_code), "error": error, "message": message, "code": code})
