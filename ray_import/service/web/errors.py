"""Every error as a JSON object of ours: no input, no stack trace, no words of a database."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from ray_import.destinations.service_jobs import Refused
from ray_import.errors import ImporterError, SinkBusy
from ray_import.service.web.models import ActiveJob, InvalidRequest, Problem

BUSY_RETRY_SECONDS = 5
BROKEN_RETRY_SECONDS = 30
"""Where the database answers, but refuses: an operator has to look at it."""
_NOT_VALID = "The request is not valid."
_PROBLEMS = {
    "missing": "is missing",
    "string_type": "is not a string",
    "string_too_short": "is empty",
    "string_too_long": "is too long",
    "literal_error": "is not one of the values that are allowed",
    "json_invalid": "is not valid JSON",
}
_PLACES = frozenset({"user_id", "storage_path", "file_type", "conversation_count", "message_count", "limit", "job_id"})
"""The names of fields that an answer may repeat: others may be the client's words."""

UNAUTHORIZED: dict[int | str, dict[str, Any]] = {401: {"model": Problem, "description": "The secret is missing."}}
INVALID: dict[int | str, dict[str, Any]] = {422: {"model": InvalidRequest, "description": _NOT_VALID}}
AWAY: dict[int | str, dict[str, Any]] = {
    503: {"model": Problem, "description": "The database is not available: repeat the request after Retry-After."}
}
FAILED: dict[int | str, dict[str, Any]] = {500: {"model": Problem, "description": "A fault in the service."}}
BODY: dict[int | str, dict[str, Any]] = {
    408: {"model": Problem, "description": "The body is incomplete."},
    413: {"model": Problem, "description": "The body is too large."},
}
NOT_FOUND: dict[int | str, dict[str, Any]] = {404: {"model": Problem, "description": "This user has no such job."}}
NOT_ACCEPTED: dict[int | str, dict[str, Any]] = {
    409: {"model": ActiveJob, "description": "A job or an import of this user is queued or running."},
    429: {"model": Problem, "description": "This user has had too many jobs: repeat after Retry-After."},
}
FORBIDDEN: dict[int | str, dict[str, Any]] = {
    403: {"model": Problem, "description": "The bucket, the host or the folder is not allowed."}
}


class Refusal(Exception):
    """An answer other than the one that the route has."""

    def __init__(self, status: int, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status)
        self.status = status
        self.body = body
        self.headers = headers


def refusal_of(refused: Refused) -> Refusal:
    """The answer where the queue does not take a job."""
    match refused.reason:
        case "active":
            body = ActiveJob(
                error="An import of this user is queued or running.",
                status="processing",
                job_id=refused.job_id,
                age_seconds=round(refused.age_seconds, 3),
                elapsedMinutes=int(refused.age_seconds // 60),
            )
            return Refusal(409, body.model_dump())
        case "rate_limited":
            wait = {"Retry-After": str(max(1, math.ceil(refused.retry_after_seconds)))}
            return Refusal(429, {"error": "This user has had too many jobs within the last hour."}, wait)
        case "key_reused":
            return invalid([("Idempotency-Key", "was sent before with another request")])


def invalid(problems: Sequence[tuple[str, str]]) -> Refusal:
    """The answer to a request with these fields and what is wrong with them."""
    fields = [{"field": field, "problem": problem} for field, problem in problems]
    return Refusal(422, {"error": _NOT_VALID, "fields": fields})


def handle_errors(app: FastAPI) -> None:
    """Gives `app` the handlers of all errors that are expected."""
    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(RequestValidationError, _not_valid)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(ImporterError, _away)


def _answer(refusal: Refusal) -> JSONResponse:
    return JSONResponse(refusal.body, refusal.status, refusal.headers)


async def _refused(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Refusal)  # noqa: S101 - for the types
    return _answer(error)


async def _not_valid(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - for the types
    return _answer(invalid([_problem(found) for found in error.errors()]))


def _problem(found: Mapping[str, Any]) -> tuple[str, str]:
    """The field and what is wrong with it, in words of ours."""
    *_, name = found["loc"]
    field = {"idempotency-key": "Idempotency-Key"}.get(str(name).lower(), str(name) if name in _PLACES else "body")
    if found["type"] == "value_error":  # of our own validators
        return field, str(found["ctx"]["error"]).removeprefix(f"{field} ")
    return field, _PROBLEMS.get(found["type"], "is not valid")


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 - for the types
    if error.status_code == 400:  # FastAPI's, of a body that it cannot parse
        return _answer(invalid([("body", _PROBLEMS["json_invalid"])]))
    words = {404: "There is no such address.", 405: "This method is not allowed here."}
    body = {"error": words.get(error.status_code, "The request is refused.")}
    headers = _allow_header(request, error.headers or {}) if error.status_code == 405 else error.headers
    return JSONResponse(body, error.status_code, headers)


def _allow_header(request: Request, headers: Mapping[str, str]) -> dict[str, str]:
    """All methods of the path; the framework names those of one of its routes alone."""
    path = getattr(request.scope.get("route"), "path", "")
    documented = {method.upper() for method in request.app.openapi()["paths"].get(path, {})}
    return {"Allow": ", ".join(sorted(documented | set(headers.get("Allow", "").split(", ")) - {""}))}


async def _away(_request: Request, error: Exception) -> JSONResponse:
    wait = BUSY_RETRY_SECONDS if isinstance(error, SinkBusy) else BROKEN_RETRY_SECONDS
    return JSONResponse(
        {"error": "The database is not available. Repeat the request later."}, 503, {"Retry-After": str(wait)}
    )
