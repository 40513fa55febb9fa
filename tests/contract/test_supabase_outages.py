"""A Supabase project whose Postgres or PostgREST goes away and comes back, and one that cannot be talked to at all."""

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from tenacity import RetryCallState

from ray_import.credentials import SupabaseAccess
from ray_import.destinations.base import WriteResult
from ray_import.destinations.postgres import calls
from ray_import.destinations.postgres.sink import DatabaseSink
from ray_import.destinations.postgres.supabase import SupabaseDatabase
from ray_import.errors import SinkBusy, SinkError
from tests.contract.destinations import SETTINGS, PostgresTables, batch_of, import_of, rows_for
from tests.support.gateway import faults
from tests.support.gateway.calls import rest_error
from tests.support.gateway.keys import EXPIRES, ISSUED
from tests.support.gateway.postgres import Database
from tests.support.gateway.server import Gateway, gateway
from tests.support.tls_server import Certificate, tls_server

WRITE = "/rpc/ray_import_write"
OF = import_of(1)
TIMEOUT_SECONDS = 0.5


class NoWaiting:
    """A wait that counts itself, and calls `at_first` the first time."""

    def __init__(self, at_first: Any = None) -> None:
        self.count = 0
        self._at_first = at_first

    def __call__(self, _state: RetryCallState) -> float:
        self.count += 1
        if self.count == 1 and self._at_first:
            self._at_first()
        return 0.0


@contextmanager
def opened(url: str, key: str, wait: Any = None, patience_seconds: float = 30.0) -> Iterator[DatabaseSink]:
    database = SupabaseDatabase(SupabaseAccess(url, SecretStr(key)), httpx.Timeout(TIMEOUT_SECONDS))
    with closing(DatabaseSink(database, wait=wait or NoWaiting(), patience_seconds=patience_seconds)) as sink:
        yield sink


def test_write_is_retried_when_postgrest_loses_its_connections_without_a_code(
    migrated_supabase: Gateway, migrated_database: Database
) -> None:
    wait = NoWaiting()
    batch = batch_of(0, OF)
    with opened(migrated_supabase.url, migrated_supabase.secret_key, wait) as sink:
        migrated_supabase.pool.break_connections()
        assert sink.write(OF, SETTINGS, batch, []) == [WriteResult(len(rows.chunks), 0) for rows in batch]
    lost = [request for request in migrated_supabase.served.requests(WRITE) if request.status == 400]
    assert len(lost) == wait.count == 1
    assert PostgresTables(migrated_database).content()["u1"].keys() == {rows.conversation_id for rows in batch}


def test_write_is_retried_when_the_project_refuses_connections_for_a_while(migrated_database: Database) -> None:
    dsn = migrated_database.dsn_as("authenticator")
    with ExitStack() as later:
        with ExitStack() as before:
            project = before.enter_context(gateway(dsn)).project
            wait = NoWaiting(lambda: later.enter_context(gateway(dsn, project=project)))
            sink = later.enter_context(opened(project.url, project.secret_key, wait))
        assert sink.write(OF, SETTINGS, [rows_for("a")], []) == [WriteResult(2, 0)]
    assert wait.count >= 1


@pytest.mark.parametrize("fault", [faults.RESET_BEFORE, faults.BAD_GATEWAY], ids=lambda fault: fault.name)
def test_opening_is_retried_when_connections_are_reset_or_the_gateway_has_no_postgrest(
    migrated_supabase: Gateway, fault: faults.Fault
) -> None:
    migrated_supabase.faults.add(fault, nth=range(1, 6))
    wait = NoWaiting()
    with opened(migrated_supabase.url, migrated_supabase.secret_key, wait) as sink:
        assert sink.known("u1", SETTINGS, ["a"]) == {}
    assert wait.count == 5


@pytest.mark.parametrize(
    ("fault", "patience_seconds"),
    [
        (faults.RESET_BEFORE, calls.OPENING_PATIENCE_SECONDS),
        (faults.BAD_GATEWAY, calls.OUTAGE_PATIENCE_SECONDS),
        (faults.SCHEMA_LOADING, calls.OUTAGE_PATIENCE_SECONDS),
        (faults.CONNECTION_LOST, calls.OUTAGE_PATIENCE_SECONDS),
    ],
    ids=lambda value: value.name if isinstance(value, faults.Fault) else "",
)
def test_a_new_command_waits_for_an_outage_longer_than_for_an_address_where_nothing_answers(
    migrated_supabase: Gateway, monkeypatch: pytest.MonkeyPatch, fault: faults.Fault, patience_seconds: float
) -> None:
    """The time passes as the waits say, without anybody waiting; the last try comes at its end."""
    slept: list[float] = []
    monkeypatch.setattr("tenacity.nap.time.sleep", slept.append)
    monkeypatch.setattr(RetryCallState, "seconds_since_start", property(lambda _: sum(slept)))
    migrated_supabase.faults.add(fault)
    with (
        pytest.raises(SinkBusy),
        opened(migrated_supabase.url, migrated_supabase.secret_key, calls.polite_wait, 240.0),
    ):
        pass
    assert sum(slept) == pytest.approx(patience_seconds)


ALWAYS_RAISES = """
CREATE FUNCTION conflict() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE 'no' USING ERRCODE = '{code}'; END $$;
CREATE TRIGGER conflict BEFORE INSERT ON imported_conversations EXECUTE FUNCTION conflict()
"""


@pytest.mark.parametrize("code", ["40001", "40P01"])
def test_write_ends_with_a_cause_when_postgrest_retries_a_transaction_without_end(
    migrated_supabase: Gateway, migrated_database: Database, code: str
) -> None:
    with migrated_database.connected() as db:
        db.execute(ALWAYS_RAISES.format(code=code).encode())
    patience_seconds = 2 * TIMEOUT_SECONDS
    with (
        opened(migrated_supabase.url, migrated_supabase.secret_key, patience_seconds=patience_seconds) as sink,
        pytest.raises(SinkBusy) as caught,
    ):
        sink.write(OF, SETTINGS, [rows_for("a"), rows_for("b")], [])
    assert f"{TIMEOUT_SECONDS:g} s" in caught.value.message
    assert "40001" in caught.value.hint
    assert {request.status for request in migrated_supabase.served.requests(WRITE)} == {0}
    assert PostgresTables(migrated_database).content() == {}


@pytest.mark.parametrize("when", ["opening", "writing"])
def test_a_key_of_an_unknown_role_is_a_wrong_key(migrated_supabase: Gateway, when: str) -> None:
    claims = {"role": "nobody", "iss": "supabase", "iat": ISSUED, "exp": EXPIRES}
    unknown = migrated_supabase.project.signed(claims)
    wait = NoWaiting()
    key = unknown if when == "opening" else migrated_supabase.secret_key
    migrated_supabase.faults.add(faults.Fault("role", answer=rest_error(401, "22023", "role")), path=WRITE)
    with pytest.raises(SinkError) as caught, opened(migrated_supabase.url, key, wait) as sink:
        sink.write(OF, SETTINGS, [rows_for("a"), rows_for("b")], [])
    assert type(caught.value) is SinkError
    assert "SUPABASE_SERVICE_KEY" in caught.value.message
    assert unknown not in str(caught.value)
    assert wait.count == 0
    assert migrated_supabase.served.requests()[-1].status == 401
    assert migrated_supabase.served.count() == (1 if when == "opening" else 2)


def refusal_of(url: str) -> tuple[SinkError, int]:
    wait = NoWaiting()
    with pytest.raises(SinkError) as caught, opened(url, "sb_secret_xyzzy", wait, patience_seconds=0.5):
        pass
    return caught.value, wait.count


def test_a_certificate_that_is_not_trusted_is_told_and_not_retried(tmp_path: Path) -> None:
    with tls_server(Certificate.made(tmp_path, "localhost")) as server:
        error, waits = refusal_of(f"https://localhost:{server.port}")
    assert error.message == "The TLS certificate of SUPABASE_URL is not trusted: self-signed certificate."
    assert "SSL_CERT_FILE" in error.hint
    assert (type(error), waits, server.asked) == (SinkError, 0, [])


def test_a_certificate_is_trusted_when_ssl_cert_file_names_its_authority(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = Certificate.made(tmp_path, "localhost")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.file))
    with tls_server(certificate) as server:
        error, _ = refusal_of(f"https://localhost:{server.port}")
    assert "certificate" not in error.message


def test_a_certificate_of_another_name_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = Certificate.made(tmp_path, "another.example")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.file))
    with tls_server(certificate) as server:
        error, waits = refusal_of(f"https://localhost:{server.port}")
    assert "not trusted: Hostname mismatch" in error.message
    assert waits == 0


def test_a_server_without_tls_is_told_and_not_retried(migrated_supabase: Gateway) -> None:
    error, waits = refusal_of(migrated_supabase.url.replace("http://", "https://"))
    assert error.message == "The server at SUPABASE_URL does not speak TLS."
    assert (type(error), waits) == (SinkError, 0)
