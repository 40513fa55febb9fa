"""Addresses of a Postgres: what libpq takes, without the password, and the usual mistakes in them."""

import os
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import psycopg
from pydantic import SecretStr

from ray_import.errors import ConfigError

_HOW_TO_WRITE = (
    "Use postgresql://USER@HOST:5432/DATABASE, and write in a password / as %2F, @ as %40, : as %3A, # as %23,"
    " ? as %3F, % as %25, a blank as %20; or leave the password out, and set PGPASSWORD."
)
_SCHEMES = ("postgresql", "postgres")
_DIALECT = re.compile(r"(?:jdbc:|prisma\+)?postgres(?:ql)?(?:\+[a-z0-9_]{1,20})?(?=://)")
_PLACEHOLDER = "[YOUR-PASSWORD]"
_OF_OTHER_CLIENTS = {
    "pgbouncer": "Prisma", "connection_limit": "Prisma", "pool_timeout": "Prisma", "socket_timeout": "Prisma",
    "statement_cache_size": "asyncpg", "prepared_statement_cache_size": "SQLAlchemy", "sslaccept": "Prisma",
    "prepared_statements": "Rails", "pool": "Rails", "supa": "Supabase's integrations",
    "workaround": "Supabase's integrations", "uselibpqcompat": "node-postgres", "prepareThreshold": "JDBC",
    "ssl_mode": "other drivers: libpq's is sslmode", "sslMode": "other drivers: libpq's is sslmode",
}  # fmt: skip
"""Parameters that addresses for other programs have."""
_SCHEMAS = ("schema", "currentSchema", "search_path")


def split_password(url: str) -> tuple[str, SecretStr | None]:
    """The address without the password in it, and that.

    Raises ConfigError if it is no address of a Postgres, or if it cannot be told where the password in it ends: libpq
    would take the rest of the password for the host or the database, which are shown. The error has nothing of it.
    """
    url = url.strip()
    refuse_usual_mistakes(url)
    try:
        parts = psycopg.conninfo.conninfo_to_dict(url)
    except (psycopg.ProgrammingError, UnicodeError):
        _refuse_parameter(url)
        parts = None
    if parts is None or not all(map(_is_port, str(parts.get("port") or "").split(","))):
        raise ConfigError("The Postgres address is not valid.", _HOW_TO_WRITE)
    if _password_is_torn(url, parts):
        raise ConfigError("The end of the password in the Postgres address is ambiguous.", _HOW_TO_WRITE)
    password = parts.pop("password", None)
    return psycopg.conninfo.make_conninfo("", **parts), SecretStr(str(password)) if password else None


def refuse_usual_mistakes(url: str) -> None:
    """Raises ConfigError for an address that is quoted, or of another program's form; it shows nothing else of it."""
    if url[:1] in ("'", '"', "`") and url.strip("'\"` ").startswith(_SCHEMES):
        raise ConfigError("The address of the Postgres has quotation marks around it.", "Remove them.")
    name = re.match(r"(psql |export |DATABASE_URL=|SUPABASE_DB_URL=)", url)
    if name:
        what = f"The address of the Postgres begins with {name[0].strip()}."
        raise ConfigError(what, "Give the address alone: postgresql://USER@HOST:5432/DATABASE.")
    dialect = _DIALECT.match(url)
    if dialect and dialect[0] not in _SCHEMES:
        what = f"{dialect[0]}:// is the address of another program for Postgres."
        raise ConfigError(what, "Write postgresql:// instead, and leave the rest as it is.")
    if _PLACEHOLDER in url:
        what = f"The address of the Postgres has {_PLACEHOLDER} where its password has to be."
        raise ConfigError(what, "Write the password there, or leave it out and set PGPASSWORD.")


def _refuse_parameter(url: str) -> None:
    """Raises ConfigError if the address has a parameter that libpq does not know.

    Names that no table knows are shown only if the password surely ends before them.
    """
    if not url.startswith(tuple(f"{scheme}://" for scheme in _SCHEMES)):
        return
    for name in _parameters(url):
        if name in _SCHEMAS:
            what = f"The address of the Postgres has the parameter {name}, which libpq does not know."
            raise ConfigError(what, "Remove it: ray-import's tables are in the schema public.")
        if name in _OF_OTHER_CLIENTS:
            what = f"The address of the Postgres has the parameter {name}, which is one of {_OF_OTHER_CLIENTS[name]}."
            raise ConfigError(what, "Remove it: libpq, which ray-import uses, does not know it.")
    known = {option.keyword.decode() for option in psycopg.pq.Conninfo.get_defaults()} | {"ssl"}
    unknown = [name for name in _parameters(url) if name not in known and re.fullmatch(r"\w{1,40}", name)]
    if unknown and _password_surely_ends(url):
        what = f"The address of the Postgres has the parameter {unknown[0]}, which libpq does not know."
        raise ConfigError(what, "Remove it, or correct its name.")


def _parameters(url: str) -> list[str]:
    """The names of the parameters, which follow the first `?` behind the host as libpq sees it."""
    before, at, behind = url.partition("://")[2].partition("@")
    query = (behind if at and "/" not in before else before + at + behind).partition("?")[2]
    return [unquote(one.partition("=")[0], errors="replace") for one in query.split("&") if one]


def _password_surely_ends(url: str) -> bool:
    rest = url.partition("://")[2]
    before, at, behind = rest.partition("@")
    if at:
        return "/" not in before and "@" not in behind
    return re.match(r"[^:/?]*(/|\?|$)", rest) is not None


def _password_is_torn(url: str, parts: Mapping[str, Any]) -> bool:
    """Whether what libpq takes for the user, the host or the database may be a piece of the password.

    In a URL libpq ends the password at the first `@`, and sees none behind a `/`.
    """
    if ":" in str(parts.get("user") or "") or any("@" in str(parts.get(name) or "") for name in ("host", "dbname")):
        return True
    before, at, behind = url.partition("://")[2].partition("@")
    return bool(at) and ":" in before and ("/" in before or "@" in behind)


def _is_port(text: str) -> bool:
    return not text or (text.isascii() and text.isdecimal() and 0 < int(text) < 2**16)


def shown_address(conninfo: str) -> str:
    """An address that may be shown, in the usual form."""
    parts = psycopg.conninfo.conninfo_to_dict(conninfo)
    user = f"{parts['user']}@" if parts.get("user") else ""
    host = str(parts.get("host") or os.environ.get("PGHOST") or "localhost")
    port = f":{parts['port']}" if parts.get("port") else ""
    where = f"{user}{port}" if host.startswith("/") else f"{user}{host}{port}"
    socket = f"?host={host}" if host.startswith("/") else ""
    return f"postgresql://{where}/{parts.get('dbname') or ''}{socket}"
