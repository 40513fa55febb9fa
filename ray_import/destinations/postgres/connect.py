"""Why a connection to Postgres was not made, and whether waiting helps.

Before there is a connection libpq gives no SQLSTATE, only words: its own ("server does not support SSL"), and those of
the server's or a pooler's FATAL message. So here, and only here, words decide whether to retry. What a table knows as a
refusal ends the command at once. Everything else is retried within the caller's deadline, also words that no table
knows: a server whose `lc_messages` is not English translates its FATAL messages.

A connection has a deadline of its own: a frozen server acknowledges packets, and never answers.
"""

import ipaddress
import os
import re
from collections.abc import Generator, Iterable, Mapping
from time import monotonic
from typing import Any

import psycopg

from ray_import.errors import SinkBusy, SinkError

MASK = "…"
MOST_CHARACTERS = 300
"""Of the words that are shown."""
LEAST_MASKED_CHARACTERS = 4
"""A password that is shorter would mask single letters of ordinary words; libpq never quotes one that is whole."""

_OTHER = "The other end is not a Postgres server, or a proxy answers for it: check the host and the port."
_OPTIONS = "Correct the parameters in the address, or PGOPTIONS."
_POOLER = "Check the address that the pooler's dashboard shows: the user's name has the project in it there."
_LOGIN = "Check the user and the password: in PGPASSWORD, DATABASE_URL or ~/.pgpass."
_CERTIFICATE = "Check sslmode, sslrootcert, sslcert and sslkey in the address, and the host name in the certificate."
_NAME = "Check the host name in the address: it has no address on this network."
_IPV6 = "The server has an IPv6 address only, and this machine has no IPv6: use an IPv4 address, such as a pooler's."

_REFUSALS = (
    # A server's FATAL messages.
    ('database ".*" does not exist', "Create the database, or correct its name in the address."),
    ('role ".*" does not exist', "Create the role, or correct the user in the address."),
    ("authentication failed|no password supplied|not permitted to log in|empty password", _LOGIN),
    (
        r"no pg_hba\.conf entry|pg_hba\.conf rejects",
        "The server does not allow this user from here: change its pg_hba.conf, or try sslmode=require.",
    ),
    ("permission denied for database", "Grant CONNECT on the database to this user."),
    ('database ".*" is not currently accepting connections', "Allow connections to it, or name another database."),
    ("invalid value for parameter|unrecognized configuration parameter|permission denied to set parameter", _OPTIONS),
    ('parameter ".*" cannot be (changed|set)|invalid command-line argument', _OPTIONS),
    # Of poolers: PgBouncer, Supavisor and others.
    ("no such database|no pool configured|database does not allow connections", "Correct the database or the user."),
    ("no such user|there is no user|wrong password|login rejected", _LOGIN),
    ("tenant or user not found|tenant/user .*not found|tenant not found|endpoint id is not specified", _POOLER),
    ("unsupported startup parameter", "Remove the parameter from the address, or let the pooler ignore it."),
    ("not in tenant allow_list", "Allow this machine's address in the project's network restrictions."),
    ("(ssl|tls)( connection)? (is )?required|tls required", "Add sslmode=require to the address."),
    # Libpq's own.
    (
        "does not support SSL, but SSL was required",
        "Turn TLS on at the server; or, in a network that you trust, remove sslmode from the address.",
    ),
    ("certificate|private key|SSL error: .*(alert|version)", _CERTIFICATE),
    ("definition of service .* not found|service file", "Correct PGSERVICE, or the file that PGSERVICEFILE names."),
    ("channel binding required|authentication method requirement|GSSAPI encryption required", _OPTIONS),
    ("invalid .*value|could not match|invalid port number|could not parse network address|is too long", _OPTIONS),
    ("received invalid|expected authentication request|unsupported frontend protocol", _OTHER),
    (r"socket .* failed: Permission denied|requirepeer|peer user name", "Check the owner and rights of the socket."),
)
_NAME_UNKNOWN = "name or service not known|nodename nor servname|no address associated"
_AWAY = (
    ("connection refused|no such file or directory", "Check the host and the port, and that the server runs."),
    (
        "server closed the connection|connection reset|EOF detected|unexpected eof",
        "The server, or a pooler before it, has closed the connection: its log may say why.",
    ),
    ("timeout|timed out", "Check the host and the port, and that no firewall is between."),
    ("network is unreachable|no route to host", "Check the network of this machine."),
    ("temporary failure in name resolution", "Check the DNS of this machine."),
    (_NAME_UNKNOWN, _NAME),
)
_FULL = "too many|remaining connection slots|max client|max_client|no more connections"
_RETRIED = (
    (_FULL, "Allow more connections there, or use fewer --workers; then run it again."),
    ("starting up|shutting down|not yet accepting|recovery mode", "Run it again when the server is ready."),
)
_NO_IPV6 = r'server at .*:[0-9a-f:]*["\)], port .*(network is unreachable|cannot assign requested address)'
_ATTEMPT = re.compile(r"- host: .*, port: .*, hostaddr: (?:None|'[^']*'): ")
_PREFIX = re.compile(
    r"(?:connection (?:failed|is bad): )?(?:connection to server (?:at|on socket) "
    r'".*?"(?: \([^)]*\))?(?:, port \d+)? failed: )?'
)
_NOT_A_CAUSE = ("\t", " ", "DETAIL:", "HINT:", "Multiple connection attempts failed", "Either provide", "This may")
_SHOWN_PARTS = (
    "user", "dbname", "service", "sslmode", "sslrootcert", "sslcert", "sslkey", "sslcrl", "channel_binding",
    "require_auth", "target_session_attrs", "gssencmode",
)  # fmt: skip


def connection_error(
    error: psycopg.Error, parts: Mapping[str, Any], password: str = "", *, was_connected: bool = False
) -> SinkError:
    """The error for a connection that was not made: SinkBusy if waiting may help, else SinkError.

    `parts` are those of the address, `password` the one that was used: they decide what is masked. With `was_connected`
    a host name that is not known is an outage: the name was known before.
    """
    tried = error.pgconn  # which has the names that come from PGUSER and PGDATABASE, too
    names = {} if tried is None else {"user": tried.user.decode(), "dbname": tried.db.decode()}
    of_environment = {"service": os.environ.get("PGSERVICE")}
    return error_of_words(str(error), {**of_environment, **parts, **names}, password, was_connected=was_connected)


def error_of_words(
    words: str, parts: Mapping[str, Any], password: str = "", *, was_connected: bool = False
) -> SinkError:
    """See `connection_error`. Of several attempts (addresses, with and without TLS) a refusal tells most."""
    lines = [line for line in words.splitlines() if line.strip() and not line.startswith(_NOT_A_CAUSE)]
    ranked = [(_rank(line, was_connected), number, line) for number, line in enumerate(lines or ["no words"])]
    rank, _, line = max(ranked)
    shown = shown_line(line, parts, password)
    if rank == _REFUSED:
        if hint := _hint_of(line, _REFUSALS):
            return SinkError(f"No connection to Postgres: {shown}.", hint)
        hint = _IPV6 if _is_without_ipv6(line) else _NAME
        return SinkError(f"Postgres cannot be reached: {shown}.", hint)
    if hint := _hint_of(line, _RETRIED):
        return SinkBusy(f"No connection to Postgres: {shown}.", hint)
    if hint := _hint_of(line, _AWAY):
        return SinkBusy(f"Postgres cannot be reached: {shown}.", hint)
    return SinkBusy(f"No connection to Postgres: {shown}.", "Check the address and the server, then run it again.")


_ONE_AWAY, _UNKNOWN, _REFUSED, _BUSY = range(4)


def _rank(line: str, was_connected: bool) -> int:
    """A server that is full or starts is there, so of several attempts it counts most."""
    if _hint_of(line, _REFUSALS):
        return _REFUSED
    if _hint_of(line, _RETRIED):
        return _BUSY
    if not was_connected and (_is_without_ipv6(line) or re.search(_NAME_UNKNOWN, line, re.IGNORECASE)):
        return _REFUSED
    return _ONE_AWAY if _hint_of(line, _AWAY) else _UNKNOWN


def _is_without_ipv6(line: str) -> bool:
    return re.search(_NO_IPV6, line, re.IGNORECASE) is not None


def _hint_of(line: str, table: Iterable[tuple[str, str]]) -> str:
    return next((hint for pattern, hint in table if re.search(pattern, line, re.IGNORECASE)), "")


def shown_line(line: str, parts: Mapping[str, Any], password: str = "") -> str:
    """A line of libpq's without addresses and without anything that may be a piece of a password.

    Only names that the address shows anyway stay in their quotation marks: libpq quotes what it takes for a host or a
    port, and that may be the rest of a password whose end it has seen too early.
    """
    line = _PREFIX.sub("", _ATTEMPT.sub("", line.strip(), count=1), count=1)
    line = re.sub(r"(failed to resolve host) .*: \[Errno", rf"\1 {MASK}: [Errno", line)
    line = re.sub(r'(certificate for) ".*" (.*does not match host name) ".*"', rf"\1 {MASK} \2 {MASK}", line)
    names = [name for name in _shown_names(parts) if f'"{name}"' in line]
    for number, name in enumerate(names):
        line = line.replace(f'"{name}"', f"\0{number}\0")
    if len(password) >= LEAST_MASKED_CHARACTERS:
        line = line.replace(password, MASK)
    line = re.sub(r'^[^"]*"' if line.count('"') == 1 else r'".*"', f'"{MASK}"', line)
    line = re.sub(r"(?<!\w)'.*'", f"'{MASK}'", line)
    for host in str(parts.get("host") or "").split(","):
        line = re.sub(rf"(?<!\w){re.escape(host)}(?!\w)", MASK, line) if host else line
    line = re.sub(r"[0-9A-Fa-f:.]{3,}|\{\d+(?:, ?\d+)+\}", _without_address, line)
    for number, name in enumerate(names):
        line = line.replace(f"\0{number}\0", f'"{name}"')
    line = " ".join("".join(character if character.isprintable() else " " for character in line).split())
    return line[:MOST_CHARACTERS].rstrip(".")


def _shown_names(parts: Mapping[str, Any]) -> set[str]:
    named = {str(parts[part]) for part in _SHOWN_PARTS if parts.get(part)}
    options = re.findall(r"([A-Za-z_][\w.]*)=", str(parts.get("options") or ""))
    keywords = (option.keyword.decode() for option in psycopg.pq.Conninfo.get_defaults())
    return {*named, *options, *keywords}


def _without_address(found: re.Match[str]) -> str:
    text = found[0]
    if text.startswith("{"):
        return MASK
    try:
        ipaddress.ip_address(text.strip(":."))
    except ValueError:
        return MASK if "::" in text else text
    return MASK


class ImpatientConnection(psycopg.Connection[Any]):
    """Raises OperationalError where a statement is not answered within `answer_seconds`; whoever uses it closes it."""

    answer_seconds: float | None = None

    def wait(self, gen: Generator[Any, Any, Any], *arguments: Any, **options: Any) -> Any:
        if self.answer_seconds is not None:
            gen = _until(gen, monotonic() + self.answer_seconds)
        return super().wait(gen, *arguments, **options)


def _until(gen: Generator[Any, Any, Any], deadline: float) -> Generator[Any, Any, Any]:
    """The same generator, until then. It is resumed several times a second, also where nothing has come."""
    try:
        waits_for = next(gen)
        while True:
            ready = yield waits_for
            if not ready and monotonic() > deadline:
                raise psycopg.OperationalError("no answer in time")
            waits_for = gen.send(ready)
    except StopIteration as ended:
        return ended.value
