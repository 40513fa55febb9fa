"""Connections that a Postgres, a pooler or this machine refuses: what is told, and how often it is tried."""

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from psycopg import sql

from ray_import.chunks.rows import ImportJob
from ray_import.destinations.base import WriteResult
from ray_import.destinations.postgres import calls
from ray_import.destinations.postgres.address import split_password
from ray_import.destinations.postgres.psycopg import PostgresDatabase
from ray_import.destinations.postgres.servers import PostgresDestination, postgres_at
from ray_import.errors import SinkBusy, SinkError
from tests.contract.destinations import SETTINGS, PostgresTables, rows_for
from tests.support.gateway.postgres import Database, Server
from tests.support.tls_server import Certificate

SSL_REQUEST, GSS_REQUEST = 80877103, 80877104
HOW = ("migrate", "open")


@dataclass(slots=True)
class Pooler:
    """Answers each connection with the next of `messages`, the last one again and again; with none it just closes."""

    messages: list[str]
    certificate: Certificate | None = None
    connections: int = 0
    started: list[bytes] = field(default_factory=list)
    port: int = 0

    def answer(self, connection: socket.socket) -> None:
        """One connection, from its first byte."""
        self.connections += 1
        while True:
            head = connection.recv(8)
            if len(head) < 8:
                return
            size, code = struct.unpack("!II", head)
            if code not in (SSL_REQUEST, GSS_REQUEST):
                break
            if code == SSL_REQUEST and self.certificate is not None:
                connection.sendall(b"S")
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(self.certificate.file)
                connection = context.wrap_socket(connection, server_side=True)
            else:
                connection.sendall(b"N")
        self.started.append(connection.recv(size - 8))
        if self.messages:
            message = self.messages.pop(0) if len(self.messages) > 1 else self.messages[0]
            body = b"SFATAL\0VFATAL\0CXX000\0M" + message.encode() + b"\0\0"
            connection.sendall(b"E" + struct.pack("!I", len(body) + 4) + body)


@contextmanager
def pooler(*messages: str, certificate: Certificate | None = None) -> Iterator[Pooler]:
    made = Pooler(list(messages), certificate)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        made.port = listener.getsockname()[1]

        def serve() -> None:
            with suppress(OSError):  # the listener is closed
                while True:
                    connection, _ = listener.accept()
                    with connection, suppress(OSError):
                        made.answer(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield made
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(30)


def failure(address: str, how: str) -> SinkError:
    """What `ray-import migrate`, or a command that opens the destination, ends with."""
    conninfo, password = split_password(address)
    destination = PostgresDestination(address, conninfo, password)
    with pytest.raises(SinkError) as caught:
        destination.migrate() if how == "migrate" else destination.open()
    return caught.value


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize(
    "message",
    [
        "no such database: chats",
        "no such user: ada",
        "unsupported startup parameter: extra",
        "Tenant or user not found",
        "(ENOTFOUND) tenant/user ada.abc not found",
        'database "chats" does not exist',
        'password authentication failed for user "ada"',
    ],
)
def test_a_pooler_is_asked_once_when_its_refusal_does_not_pass(message: str, how: str) -> None:
    with pooler(message) as made:
        error = failure(f"postgresql://ada:xyzzy@127.0.0.1:{made.port}/chats?sslmode=disable", how)
    assert error.message == f"No connection to Postgres: FATAL: {message}."
    assert error.hint
    assert not error.retry
    assert made.connections == 1


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize(
    "message", ["the database system is starting up", "sorry, too many clients already", "le monde est petit", ""]
)
def test_a_server_is_asked_again_when_its_refusal_may_pass_or_is_unknown(
    message: str, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "polite_wait", lambda _: 0.0)
    with pooler(message, message, "no such database: chats") as made:
        error = failure(f"postgresql://ada@127.0.0.1:{made.port}/chats?sslmode=disable", how)
    assert "no such database" in error.message
    assert made.connections == 3


@pytest.mark.parametrize("how", HOW)
def test_a_connection_is_tried_within_the_deadline_alone_when_it_is_closed_at_once(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "OPENING_PATIENCE_SECONDS", 0.5)
    with pooler() as made:
        error = failure(f"postgresql://ada@127.0.0.1:{made.port}/chats?sslmode=disable", how)
    assert isinstance(error, SinkBusy)
    assert error.message == "Postgres cannot be reached: server closed the connection unexpectedly."
    assert made.connections > 0


@pytest.mark.parametrize("how", HOW)
def test_a_certificate_that_is_not_trusted_is_told(tmp_path: Path, how: str) -> None:
    (tmp_path / "other").mkdir()
    mine, other = Certificate.made(tmp_path, "localhost"), Certificate.made(tmp_path / "other", "localhost")
    for root, host, word in (
        (other.file, "localhost", "certificate verify failed"),
        (mine.file, "127.0.0.1", "does not match host name"),
        (tmp_path / "none.pem", "localhost", "does not exist"),
    ):
        with pooler("unused", certificate=mine) as made:
            query = f"sslmode=verify-full&sslrootcert={root}&hostaddr=127.0.0.1"
            error = failure(f"postgresql://ada@{host}:{made.port}/chats?{query}", how)
        assert word in error.message
        assert "sslrootcert" in error.hint
        assert made.connections == 1
        assert made.started == []


Address = Callable[[Server], str]
REFUSED: dict[str, tuple[Address, str]] = {
    "no database": (lambda server: server.tcp_dsn("no_such"), 'FATAL: database "no_such" does not exist'),
    "wrong password": (
        lambda server: f"postgresql://postgres:xyzzy@127.0.0.1:{server.port}/postgres",
        'FATAL: password authentication failed for user "postgres"',
    ),
    "no password": (
        lambda server: f"postgresql://postgres@127.0.0.1:{server.port}/postgres",
        "fe_sendauth: no password supplied",
    ),
    "no user": (lambda server: server.dsn("postgres", "no_such"), 'FATAL: role "no_such" does not exist'),
    "no TLS": (
        lambda server: server.tcp_dsn("postgres") + "?sslmode=require",
        "server does not support SSL, but SSL was required",
    ),
    "no parameter": (
        lambda server: server.tcp_dsn("postgres") + "?options=-c%20no_such%3D1",
        'FATAL: unrecognized configuration parameter "no_such"',
    ),
    "no service": (
        lambda server: server.tcp_dsn("postgres") + "?service=no_such",
        'definition of service "no_such" not found',
    ),
    "a value": (lambda server: server.tcp_dsn("postgres") + "?sslmode=odd", 'invalid sslmode value: "odd"'),
    "no host": (
        lambda _: "postgresql://ada@no-such-host.invalid/chats",
        "failed to resolve host …: [Errno -2] Name or service not known",
    ),
}


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("kind", REFUSED)
def test_a_refusal_is_told_in_libpqs_words_and_not_retried(
    postgres: Server, monkeypatch: pytest.MonkeyPatch, kind: str, how: str
) -> None:
    for name in ("PGPASSWORD", "PGSERVICE", "PGPASSFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(calls, "polite_wait", lambda _: pytest.fail("it is retried"))
    address, told = REFUSED[kind]
    error = failure(address(postgres), how)
    assert told in error.message
    assert "127.0.0.1" not in error.message
    assert error.hint


def test_a_service_that_is_missing_is_named_when_it_comes_from_the_environment(
    postgres: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGSERVICE", "no_such")
    error = failure(postgres.tcp_dsn("postgres"), "open")
    assert error.message == 'No connection to Postgres: definition of service "no_such" not found.'
    assert "PGSERVICE" in error.hint


@pytest.mark.parametrize("how", HOW)
def test_a_user_without_a_free_connection_is_waited_for(
    migrated_database: Database, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    role = f"{migrated_database.name}_limited"
    with migrated_database.connected() as db:
        db.execute(sql.SQL("CREATE ROLE {} SUPERUSER LOGIN").format(sql.Identifier(role)))
        db.execute(sql.SQL("ALTER ROLE {} NOSUPERUSER CONNECTION LIMIT 0").format(sql.Identifier(role)))
        db.execute(sql.SQL("GRANT service_role TO {}").format(sql.Identifier(role)))
    waits = []

    def let_in(_: object) -> float:
        waits.append(1)
        with migrated_database.connected() as db:
            db.execute(sql.SQL("ALTER ROLE {} SUPERUSER").format(sql.Identifier(role)))
        return 0.0

    monkeypatch.setattr(calls, "polite_wait", let_in)
    destination = postgres_at(migrated_database.dsn_as(role))
    if how == "migrate":
        assert destination.migrate().applied == ()
    else:
        destination.open().close()
    assert waits == [1]
    with migrated_database.connected() as db:
        db.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(sql.Identifier(role)))


def test_migrate_asks_for_a_password_once_when_it_is_wrong() -> None:
    with pooler('password authentication failed for user "ada"') as made:
        failure(f"postgresql://ada@127.0.0.1:{made.port}/chats?sslmode=disable", "migrate")
    assert made.connections == 1


# --- encodings -----------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["environment", "address", "options"])
def test_all_letters_are_stored_when_another_client_encoding_is_asked_for(
    migrated_database: Database, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    address = migrated_database.dsn
    if where == "environment":
        monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    elif where == "address":
        address += "&client_encoding=LATIN1"
    else:
        address += "&options=-c%20client_encoding%3DLATIN1"
    job = ImportJob("import-1", "ж", 1_760_000_000.0)
    with closing(postgres_at(address).open()) as sink:
        assert sink.write(job, SETTINGS, [rows_for("a", job=job, text="日本 ж")], []) == [WriteResult(2, 0)]
    monkeypatch.delenv("PGCLIENTENCODING", raising=False)
    assert PostgresTables(migrated_database).content() == {"ж": {"a": ["v1 日本 ж"] * 2}}


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_database_that_is_not_utf8_is_refused(database: Database, encoding: str, how: str) -> None:
    other = database.beside("other")
    with database.connected() as db:
        db.execute(f"CREATE DATABASE {other.name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0".encode())
    try:
        error = failure(other.dsn, how)
        with other.connected() as db:
            assert db.execute("SELECT to_regclass('conversation_chunks')").fetchone() == (None,)
    finally:
        other.drop()
    assert f"the encoding {encoding}" in error.message
    assert "ENCODING 'UTF8'" in error.hint


def test_a_name_that_was_known_is_waited_for_when_it_is_not_known_any_more(
    migrated_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = migrated_database.server.port
    password = migrated_database.server.password
    with closing(
        PostgresDatabase(*split_password(f"postgresql://postgres:{password}@localhost:{port}/{migrated_database.name}"))
    ) as db:
        assert db.call("ray_import_version", {}) > 0
        db.close()
        monkeypatch.setattr(socket, "getaddrinfo", unknown_name)
        with pytest.raises(SinkBusy):
            db.call("ray_import_version", {})


def unknown_name(*_: object, **__: object) -> None:
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
