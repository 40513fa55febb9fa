"""What libpq's and poolers' words mean before there is a connection: whether to retry, and what is shown."""

import pytest

from ray_import.destinations.postgres.connect import error_of_words, shown_line
from ray_import.errors import SinkBusy

PARTS = {"user": "ada", "dbname": "chats", "host": "db.example.com", "port": "6543"}
AT = 'connection failed: connection to server at "10.1.2.3", port 6543 failed: '
RUNS = "\n\tIs the server running on that host and accepting TCP/IP connections?"

REFUSALS = {
    f'{AT}FATAL:  database "chats" does not exist': 'FATAL: database "chats" does not exist',
    f'{AT}FATAL:  role "ada" does not exist': 'role "ada"',
    f'{AT}FATAL:  password authentication failed for user "ada"': 'failed for user "ada"',
    f"{AT}fe_sendauth: no password supplied": "no password supplied",
    f'{AT}FATAL:  role "ada" is not permitted to log in': "not permitted",
    f'{AT}FATAL:  Peer authentication failed for user "ada"': "Peer",
    f'{AT}FATAL:  no pg_hba.conf entry for host "10.9.9.9", user "ada", database "chats", no encryption': (
        'no pg_hba.conf entry for host "…", user "ada", database "chats", no encryption'
    ),
    f'{AT}FATAL:  permission denied for database "chats"\nDETAIL:  User does not have CONNECT privilege.': "permission",
    f'{AT}FATAL:  database "chats" is not currently accepting connections': "not currently accepting",
    f'{AT}FATAL:  unrecognized configuration parameter "foo"': "unrecognized configuration parameter",
    f'{AT}FATAL:  invalid value for parameter "work_mem": "x"': "invalid value for parameter",
    f"{AT}server does not support SSL, but SSL was required": "SSL was required",
    f"{AT}SSL error: certificate verify failed": "certificate verify failed",
    f"{AT}SSL error: tlsv1 alert unknown ca": "unknown ca",
    f'{AT}server certificate for "a.example" does not match host name "db.example.com"': "does not match",
    'connection is bad: root certificate file "/x" does not exist\nEither provide the file, use the system\'s': "file",
    f"{AT}channel binding required, but SSL not in use": "channel binding",
    f'{AT}authentication method requirement "md5" failed: server requested SASL authentication': "SASL",
    'connection is bad: definition of service "nope" not found': "not found",
    'connection is bad: invalid sslmode value: "foo"': "invalid sslmode",
    f'{AT}invalid integer value "abc" for connection option "keepalives"': 'option "keepalives"',
    "could not match 3 port numbers to 2 hosts": "could not match",
    f"{AT}received invalid response to SSL negotiation: H": "received invalid response",
    f"{AT}expected authentication request from server, but received H": "received H",
    # PgBouncer
    f"{AT}FATAL:  no such database: chats": "no such database: chats",
    f"{AT}FATAL:  no such user: ada": "no such user",
    f"{AT}FATAL:  unsupported startup parameter: extra_float_digits": "unsupported startup parameter",
    f"{AT}FATAL:  SASL authentication failed": "SASL",
    f'{AT}FATAL:  server login has been failing, cached error: database "chats" does not exist (retry)': "cached",
    f"{AT}FATAL:  SSL required": "SSL required",
    # Supavisor
    f"{AT}FATAL:  Tenant or user not found": "Tenant or user not found",
    f"{AT}FATAL:  (ENOTFOUND) tenant/user postgres.abc not found": "tenant/user postgres.abc not found",
    f"{AT}FATAL:  SSL connection is required": "SSL connection",
    f"{AT}FATAL:  Address not in tenant allow_list: {{10, 2, 3, 4}}": "allow_list: …",
    # DNS, and a machine without IPv6
    "failed to resolve host 'db.example.com': [Errno -2] Name or service not known": "resolve host …:",
    "failed to resolve host 'db.example.com': [Errno -5] No address associated with hostname": "No address",
    'connection to server at "db.example.com" (2600:1f18::9), port 5432 failed: Network is unreachable': "unreachable",
    'connection to server at "2600:1f18::9", port 5432 failed: Network is unreachable': "unreachable",
}
RETRIED = {
    f"{AT}Connection refused{RUNS}": "Postgres cannot be reached: Connection refused.",
    f"{AT}Network is unreachable{RUNS}": "Postgres cannot be reached: Network is unreachable.",
    "connection timeout expired": "Postgres cannot be reached: connection timeout expired.",
    "failed to resolve host 'db.example.com': [Errno -3] Temporary failure in name resolution": "Temporary failure",
    f"{AT}server closed the connection unexpectedly\n\tThis probably means": "server closed the connection",
    'connection to server on socket "/x/.s.PGSQL.5432" failed: No such file or directory\n\tIs the': "No such file",
    f"{AT}FATAL:  the database system is starting up": "starting up",
    f"{AT}FATAL:  the database system is not yet accepting connections\nDETAIL:  Consistent recovery": "not yet",
    f"{AT}FATAL:  the database system is in recovery mode": "recovery",
    f"{AT}FATAL:  the database system is shutting down": "shutting down",
    f"{AT}FATAL:  sorry, too many clients already": "too many clients",
    f'{AT}FATAL:  too many connections for role "ada"': 'role "ada"',
    f"{AT}FATAL:  remaining connection slots are reserved for roles with the SUPERUSER attribute": "remaining",
    f"{AT}FATAL:  no more connections allowed (max_client_conn)": "no more connections",
    f"{AT}FATAL:  MaxClientsInSessionMode: max clients reached - in Session mode limited": "max clients",
    f"{AT}FATAL:  Max client connections reached": "Max client",
    # Words that no table knows: also those of a server in another language.
    f"{AT}FATAL:  la base de données « chats » n'existe pas": "n'existe pas",
    f"{AT}FATAL:  something new": "No connection to Postgres: FATAL: something new.",
}


@pytest.mark.parametrize("words", REFUSALS)
def test_error_of_words_ends_at_once_when_waiting_does_not_help(words: str) -> None:
    error = error_of_words(words, PARTS)
    assert not error.retry
    assert REFUSALS[words] in error.message
    assert error.hint
    assert not any(secret in error.message for secret in ("10.1", "10.9", "2600", "db.example", "10, 2", "\n"))


@pytest.mark.parametrize("words", RETRIED)
def test_error_of_words_is_retried_when_it_may_pass_or_is_unknown(words: str) -> None:
    error = error_of_words(words, PARTS)
    assert isinstance(error, SinkBusy)
    assert RETRIED[words] in error.message
    assert error.hint
    assert "10.1" not in error.message


def test_error_of_words_retries_an_unknown_name_when_it_was_connected_before() -> None:
    words = "failed to resolve host 'db': [Errno -2] Name or service not known"
    assert not error_of_words(words, PARTS).retry
    assert error_of_words(words, PARTS, was_connected=True).retry


def several(*failures: str) -> str:
    """Psycopg's words for several addresses."""
    attempts = (f"- host: 'h', port: '1', hostaddr: '10.1.2.3': {failure}" for failure in failures)
    return "\n".join((failures[-1], "Multiple connection attempts failed. All failures were:", *attempts))


@pytest.mark.parametrize("turn", [1, -1])
def test_error_of_words_takes_the_refusal_when_other_addresses_do_not_answer(turn: int) -> None:
    failures = [f"{AT}Connection refused{RUNS}", f'{AT}FATAL:  database "chats" does not exist'][::turn]
    error = error_of_words(several(*failures), PARTS)
    assert not error.retry
    assert error.message == 'No connection to Postgres: FATAL: database "chats" does not exist.'


@pytest.mark.parametrize("turn", [1, -1])
def test_error_of_words_is_retried_when_one_of_several_servers_is_starting(turn: int) -> None:
    failures = [f"{AT}FATAL:  the database system is starting up", f"{AT}FATAL:  no such database: chats"][::turn]
    assert error_of_words(several(*failures), PARTS).retry


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ('could not translate host name "xz@10.1.2.3" to address', 'could not translate host name "…" to address'),
        ("failed to resolve host 'a\\'b\"c': [Errno -2] x", "failed to resolve host …: [Errno -2] x"),
        ("FATAL: ::1 and 10.1.2.3 and 2600:1f18::9 are not allowed.", "FATAL: … and … and … are not allowed"),
        ("FATAL: db.example.com:6543 is away", "FATAL: …:6543 is away"),
        ("FATAL: \x1b[31mred\x07", "FATAL: [31mred"),
        ("FATAL: wrong secret", "FATAL: wrong …"),
        ('rest of a name" to address', '"…" to address'),
    ],
)
def test_shown_line_masks_addresses_and_what_is_quoted(line: str, shown: str) -> None:
    assert shown_line(line, PARTS, "secret") == shown


def test_shown_line_is_short_when_a_server_says_much() -> None:
    assert len(shown_line("FATAL: " + "many words " * 1000, PARTS)) <= 300
