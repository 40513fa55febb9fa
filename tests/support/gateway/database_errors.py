"""What PostgREST makes of an error of Postgres: the HTTP status and the body."""

import psycopg

from tests.support.gateway.calls import Answer, rest_error

STATUS_OF_CODE = {
    "21000": 500, "23503": 409, "23505": 409, "25006": 405, "42883": 404, "42P01": 404, "42P17": 500,
    "53400": 500, "57P01": 503, "P0001": 400,
}  # fmt: skip
STATUS_OF_CLASS = {
    "08": 503, "09": 500, "0L": 403, "0P": 403, "25": 500, "28": 403, "2D": 500, "38": 500, "39": 500, "3B": 500,
    "40": 500, "53": 503, "54": 500, "55": 500, "57": 500, "58": 500, "F0": 500, "HV": 500, "P0": 500,
}  # fmt: skip


RETRIED_WITHOUT_END = ("40001", "40P01")
"""PostgREST repeats the transaction by itself for these (its issue 3673)."""


def status_of(code: str, role: str) -> int:
    """The HTTP status of an SQLSTATE; PT409 in a function's RAISE is 409."""
    if code == "42501":
        return 401 if role == "anon" else 403
    if code.startswith("PT") and code[2:].isdecimal():
        return int(code[2:])
    return STATUS_OF_CODE.get(code) or STATUS_OF_CLASS.get(code[:2], 400)


def database_error(error: psycopg.Error, role: str) -> Answer:
    """The answer to a request in which Postgres failed."""
    code = error.sqlstate
    if code is None:  # the connection broke without a word of Postgres
        return rest_error(400, "", "")
    told = error.diag
    return rest_error(status_of(code, role), code, told.message_primary or "", told.message_detail, told.message_hint)
