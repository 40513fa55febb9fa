"""What an error of a database means for an import, whoever brings it: its own driver, PostgREST, or a gateway."""

from ray_import.errors import RowsRefused, SinkBusy, SinkError, SinkOverloaded

_BUSY = ("08", "53", "57P", "40001", "40P01", "55P03", "PGRST000", "PGRST001", "PGRST002", "PGRST003")
_OVERLOADED = ("57014",)
_REFUSED = ("22", "23", "54000", "PGRST102")
_SET_UP = ("42883", "42P01", "3F000", "PGRST202", "PGRST205")
_BUSY_STATUSES = ("408", "425", "429")
_OVERLOADED_STATUSES = ("413", "504", "524", "544")
"""Too large, or not answered in time as the gateway, Cloudflare before it, or Supabase's own says it."""
_PAUSED = "540"
LATER = "Run it again when the database is well: it goes on where it stopped."
_HINTS = dict.fromkeys(_SET_UP, "Its tables are missing or old: run ray-import migrate with the same --to.") | {
    "28": "Check the user and the password: in PGPASSWORD, DATABASE_URL or ~/.pgpass.",
    "3D": "Name a database that exists.",
    "42501": "This key or user may not do that: see docs/supabase.md, Keys and roles, or docs/postgres.md, Roles.",
    "25006": "The database is read-only just now: a full disk or a standby.",
    "PGRST301": "SUPABASE_SERVICE_KEY is no key of this project.",
    "PGRST303": "SUPABASE_SERVICE_KEY has expired.",
    "401": "SUPABASE_SERVICE_KEY is no key of this project.",
    "402": "Supabase has restricted the project: its dashboard says why.",
    _PAUSED: "The project is paused: wake it in its dashboard.",
}


def sink_error(code: str, message: str, retry_after_seconds: float = 0.0) -> SinkError:
    """The error of ours for `code` (SQLSTATE, PGRST…, or a status of HTTP), with the database's own `message`.

    Of a refused row the message is left out: it may hold what is in the row.
    """
    said = f"The database says {code}: {message}".rstrip(": ").removesuffix(".") + "."
    kind = _kind_of_status(code) if len(code) == 3 and code.isdecimal() else _kind_of_state(code)
    if kind is RowsRefused:
        return RowsRefused(f"The database refuses a row ({code}).", code=code)
    if kind is SinkOverloaded:
        return SinkOverloaded(said, LATER, code)
    if kind is SinkBusy:
        return SinkBusy(said, LATER, retry_after_seconds, code)
    return SinkError(said, next((hint for prefix, hint in _HINTS.items() if code.startswith(prefix)), ""), code)


def _kind_of_state(code: str) -> type[SinkError]:
    kinds = {_REFUSED: RowsRefused, _OVERLOADED: SinkOverloaded, _BUSY: SinkBusy}
    return next((kind for prefixes, kind in kinds.items() if code.startswith(prefixes)), SinkError)


def _kind_of_status(status: str) -> type[SinkError]:
    """What a server says of itself is taken for something that passes, as it is of a source."""
    if status in _OVERLOADED_STATUSES:
        return SinkOverloaded
    return SinkBusy if status in _BUSY_STATUSES or (status.startswith("5") and status != _PAUSED) else SinkError
