"""What a Postgres error code means for an import, whoever brings it: its own driver or PostgREST."""

from ray_import.errors import RowsRefused, SinkBusy, SinkError, SinkOverloaded

_BUSY = ("08", "53", "57P", "40001", "40P01", "55P03", "PGRST000", "PGRST001", "PGRST002", "PGRST003")
_OVERLOADED = ("57014",)
_REFUSED = ("22", "23", "54000", "PGRST102")
_SET_UP = ("42883", "42P01", "3F000", "PGRST202", "PGRST205")
_LATER = "Run it again when the database is well: it goes on where it stopped."
_HINTS = {
    "28": "Check the user and the password: in PGPASSWORD, DATABASE_URL or ~/.pgpass.",
    "3D": "Name a database that exists.",
    "42501": "This key or user may not do that: see docs/supabase.md, Keys and roles, or docs/postgres.md, Roles.",
    "25006": "The database is read-only just now: a full disk or a standby.",
    "PGRST301": "SUPABASE_SERVICE_KEY is no key of this project.",
    "PGRST303": "SUPABASE_SERVICE_KEY has expired.",
    "401": "SUPABASE_SERVICE_KEY is no key of this project.",
}


def sink_error(code: str, message: str, retry_after_seconds: float = 0.0) -> SinkError:
    """The error of ours for `code` (SQLSTATE, PGRST…, or an HTTP status), with the database's own `message`.

    Of a refused row the message is left out: it may hold what is in the row.
    """
    if code.startswith(_REFUSED):
        return RowsRefused(f"The database refuses a row ({code}).", code=code)
    said = f"The database says {code}: {message}".rstrip(": ").removesuffix(".") + "."
    if code.startswith(_OVERLOADED) or code in ("413", "504"):
        return SinkOverloaded(said, _LATER, code)
    if code.startswith(_BUSY) or code in ("408", "425", "429", "500", "502", "503"):
        return SinkBusy(said, _LATER, retry_after_seconds, code)
    if code.startswith(_SET_UP):
        return SinkError(said, "Its tables are missing or old: run ray-import migrate with the same --to.", code)
    return SinkError(said, next((hint for prefix, hint in _HINTS.items() if code.startswith(prefix)), ""), code)
