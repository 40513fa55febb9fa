"""What an error of a database means for an import, whoever brings it: its own driver, PostgREST, or a gateway.

Only the code is looked at and shown. The text beside it may be a trigger's or a constraint's, with a row in it.
"""

import re

from ray_import.destinations.migrations import OTHER_VERSION
from ray_import.errors import EverythingRefused, RowsRefused, SinkBusy, SinkError, SinkOverloaded

_BUSY = ("08", "53", "57P", "40001", "40P01", "55P03", "PGRST000", "PGRST001", "PGRST002", "PGRST003")
_OVERLOADED = ("57014",)
_REFUSED = ("22", "23", "54000", "PGRST102", "PGRST121")
_SET_UP = ("42883", "42P01", "3F000", "PGRST202", "PGRST205")
_READ_ONLY = "25006"
_OF_THE_SERVER = ("0A", "25", "26", "28", "3D", "3F", "42883", "42P01", "58", "XX")
"""What no conversation can be to blame for: the server's state, the session, the schema."""
_BUSY_STATUSES = ("408", "425", "429")
_OVERLOADED_STATUSES = ("413", "504", "524", "544")
"""Too large, or not answered in time as the gateway, Cloudflare before it, or Supabase's own says it."""
_PAUSED = "540"
LATER = "Run the same command again when the database works: it resumes where it stopped."
_MEANINGS = dict.fromkeys(_SET_UP, "a function, a table or a schema is missing") | {
    "08": "the connection was lost",
    "28": "the login was rejected",
    "3D": "there is no such database",
    "40001": "a conflict with another transaction",
    "40P01": "a conflict with another transaction",
    "55P03": "a conflict with another transaction",
    "42501": "permission denied for this key or role",
    "53": "it is out of memory, disk space or connections",
    "57014": "a statement took too long",
    "57P": "it is shutting down or starting",
    _READ_ONLY: "it is read-only",
    "PGRST00": "PostgREST is not connected to it, or is loading its schema",
}
_HINTS = dict.fromkeys(_SET_UP, "Its tables are missing or old: run ray-import migrate with the same --to.") | {
    "28": "Check the user and the password in PGPASSWORD, DATABASE_URL or ~/.pgpass.",
    "3D": "Check the name of the database.",
    "42501": "Use another key or user: see docs/supabase.md, Keys and roles, or docs/postgres.md, Roles.",
    _READ_ONLY: "Check for a full disk, or a connection to a standby.",
    "PGRST301": "SUPABASE_SERVICE_KEY is not a key of this project: copy it from the project's settings.",
    "PGRST303": "SUPABASE_SERVICE_KEY has expired: copy a new one from the project's settings.",
    "401": "SUPABASE_SERVICE_KEY is not a key of this project: copy it from the project's settings.",
    "402": "Supabase has restricted the project: see the reason in its dashboard.",
    _PAUSED: "The project is paused: resume it in its dashboard.",
}
_NO_FAULT_OF_A_CONVERSATION = "Check your quotas, policies, triggers and constraints, then run it again."


def sink_error(code: str, retry_after_seconds: float = 0.0) -> SinkError:
    """The error of ours for `code`: SQLSTATE, PGRST…, or a status of HTTP."""
    is_status = len(code) == 3 and code.isdecimal()
    kind = _kind_of_status(code) if is_status else _kind_of_state(code)
    if kind is RowsRefused:
        return RowsRefused(f"The database rejected a row ({code}).", code=code)
    meaning = "the gateway's answer" if is_status else _of(code, _MEANINGS)
    said = f"The database says {code}{': ' if meaning else ''}{meaning}."
    if kind is SinkOverloaded:
        return SinkOverloaded(said, LATER, code)
    if kind is SinkBusy:
        return SinkBusy(said, LATER, retry_after_seconds, code)
    return SinkError(said, _of(code, _HINTS), code)


def is_not_migrated(error: Exception) -> bool:
    """Whether the destination refuses because its tables are missing, or are those of another version."""
    return isinstance(error, SinkError) and error.code in (*_SET_UP, OTHER_VERSION)


def error_of_write(error: SinkError) -> SinkError:
    """What `error` means where it came while conversations were written.

    A SQLSTATE that does not pass by itself may be raised by a trigger, a policy or a constraint because of what is
    in one conversation: so it is a RowsRefused. What a gateway says is not, nor the codes for which the server is to
    blame: a short fault of it would make rejects of whatever is being written.
    """
    if (
        type(error) is not SinkError
        or error.code.startswith(_OF_THE_SERVER)
        or not re.fullmatch("[0-9A-Z]{5}", error.code)
    ):
        return error
    return RowsRefused(f"The database rejected a row ({error.code}).", error.hint, error.code)


def everything_refused(code: str) -> EverythingRefused:
    """What an import fails with whose conversations are all refused with `code`."""
    what = f"The destination rejected every conversation of this import with the same code ({code})."
    return EverythingRefused(what, _of(code, _HINTS) or _NO_FAULT_OF_A_CONVERSATION, code)


def _of(code: str, table: dict[str, str]) -> str:
    return next((text for prefix, text in table.items() if code.startswith(prefix)), "")


def _kind_of_state(code: str) -> type[SinkError]:
    kinds = {_REFUSED: RowsRefused, _OVERLOADED: SinkOverloaded, _BUSY: SinkBusy}
    return next((kind for prefixes, kind in kinds.items() if code.startswith(prefixes)), SinkError)


def _kind_of_status(status: str) -> type[SinkError]:
    """What a server says of itself is taken for something that passes, as it is of a source."""
    if status in _OVERLOADED_STATUSES:
        return SinkOverloaded
    return SinkBusy if status in _BUSY_STATUSES or (status.startswith("5") and status != _PAUSED) else SinkError
