"""What a server's refusal means: its true status, and the error that says what to do about it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from ray_import.errors import SourceRefused, SourceUnavailable
from ray_import.retry import retry_after_seconds
from ray_import.source.address import HttpAddress

AGAIN_LATER = "Run it again later: committed conversations are kept and skipped."

_PASSING = {408, 423, 425, 429}
"""Beside all from 500 on: a time-out, a lock, too early, too many."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer of 400 or above, and for how many seconds it asks to wait."""

    status: int
    retry_after_seconds: float = 0.0


def refusal(status: int, headers: Mapping[str, str], body: bytes) -> Refusal:
    """What is meant: Supabase Storage answers 400 to nearly everything, and says in the body what it is."""
    return Refusal(_meant(body) if status == 400 else status, retry_after_seconds(headers.get("retry-after", "")))


def _meant(body: bytes) -> int:
    try:
        told = json.loads(body)
    except ValueError:
        return 400
    if not isinstance(told, dict):
        return 400
    if "InvalidJWT" in (told.get("error"), told.get("code")):
        return 403  # of a signed URL whose time is over
    status = str(told.get("statusCode", ""))
    return int(status) if status.isascii() and status.isdigit() and len(status) == 3 else 400


def error_of(address: HttpAddress, refused: Refusal) -> SourceRefused:
    """The error for `refused`: one that is worth another try where the status says that it passes."""
    label, status = address.label, refused.status
    if status in _PASSING or status >= 500:
        return unavailable(address, f"the server answers {status}", refused.retry_after_seconds)
    if status in (401, 403):
        if address.of_project:
            what = "Check that SUPABASE_SERVICE_KEY is a valid key of the project in SUPABASE_URL."
        else:
            what = "If it is a signed URL, it has expired or is not valid: create a new one."
        return SourceRefused(f"Access to {label} was denied ({status}).", what)
    if status in (404, 410):
        where = "Check the bucket and the path, and SUPABASE_URL." if address.of_project else "Check the address."
        return SourceRefused(f"There is no object {label}.", where)
    return SourceRefused(f"{label} cannot be read: the server answers {status}.", "Check the address.")


def unavailable(address: HttpAddress, what: str, retry_after_seconds: float = 0.0) -> SourceUnavailable:
    """The error for what may be over soon."""
    error = SourceUnavailable(f"{address.label} cannot be read at the moment: {what}.", AGAIN_LATER)
    error.retry_after_seconds = retry_after_seconds
    return error


def changed(address: HttpAddress) -> SourceRefused:
    """The error for an object that is not any more the one that was begun."""
    return SourceRefused(
        f"{address.label} changed while it was being read.", "Run it again: committed conversations are kept."
    )
