"""`--public-only`: what is connected to, by real servers on loopback that stand at made-up addresses."""

import pickle
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from ray_import.errors import ImporterError, SourceNotAllowed, SourceRefused, SourceUnavailable
from ray_import.pipeline.sources import open_sources
from ray_import.settings import AllowedHost, ReadLimits, SourceRules
from ray_import.source import http
from ray_import.source.address import HttpAddress, address_of
from ray_import.source.http import Client
from ray_import.source.network import Network
from ray_import.source.patience import RetryPolicy
from ray_import.source.version import version_of
from tests.support.object_server import Fault, ObjectServer, object_server
from tests.support.tls_server import Certificate, Internet, TlsServer, tls_server
from tests.unit.source.exports import conversation, exported

EXPORT = exported([conversation("c", "Hello", "Hi")])
PUBLIC = SourceRules((), public_only=True)
FILES = "https://files.example/export.json?token=xyzzy-token"
PATIENCE = RetryPolicy(attempts=2, connect_seconds=5.0, read_seconds=5.0, sleep=lambda _: None)

HERE, THERE, NOWHERE = "8.8.8.8", "2606:4700::1111", "9.9.9.9"


@pytest.fixture
def secure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TlsServer]:
    """A server whose certificate is trusted, for two names."""
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    certificate = Certificate.made(tmp_path, "files.example", "other.example")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.file))
    http._trusted.cache_clear()
    with tls_server(certificate) as server:
        server.objects["/export.json"] = EXPORT
        yield server
    http._trusted.cache_clear()


@pytest.fixture
def plain() -> Iterator[ObjectServer]:
    with object_server() as server:
        server.put("export.json", EXPORT)
        yield server


def http_address(source: str, rules: SourceRules = PUBLIC) -> HttpAddress:
    address = address_of(source, rules)
    assert isinstance(address, HttpAddress)
    return address


def fetched(source: str, internet: Internet, rules: SourceRules = PUBLIC) -> bytes:
    with closing(Client(http_address(source, rules), PATIENCE, internet.network)) as client:
        return b"".join(client.get().pieces)


def test_client_connects_to_the_address_that_was_checked_when_the_name_resolves_to_another_next_time(
    secure: TlsServer,
) -> None:
    internet = Internet({"files.example": [[HERE], ["127.0.0.1"]]}, {HERE: secure.port, "127.0.0.1": secure.port})
    assert fetched(FILES, internet) == EXPORT
    assert internet.looked_up == ["files.example"]
    assert internet.connected == [(HERE, 443)]
    assert secure.asked == [("files.example", "files.example", "/export.json?token=xyzzy-token")]


def test_client_refuses_a_name_when_it_resolves_to_an_inner_address_the_second_time(secure: TlsServer) -> None:
    internet = Internet({"files.example": [[HERE], ["127.0.0.1"]]}, {HERE: secure.port, "127.0.0.1": secure.port})
    assert fetched(FILES, internet) == EXPORT
    with pytest.raises(SourceNotAllowed, match=r"files\.example is not a public address"):
        fetched(FILES, internet)
    assert internet.connected == [(HERE, 443)]


def test_client_refuses_the_certificate_of_another_name(secure: TlsServer) -> None:
    internet = Internet({"third.example": [[HERE]]}, {HERE: secure.port})
    with pytest.raises(SourceRefused, match="certificate is not trusted"):
        fetched("https://third.example/export.json", internet)
    assert secure.names == ["third.example"]
    assert secure.asked == []


@pytest.mark.parametrize(
    "addresses",
    [["127.0.0.1"], [HERE, "10.0.0.1"], ["fe80::1%eth0"], ["::ffff:169.254.169.254"], ["64:ff9b::a00:1", HERE], []],
)
def test_client_connects_nowhere_when_one_address_of_the_name_is_not_public(
    secure: TlsServer, addresses: list[str]
) -> None:
    internet = Internet({"files.example": [addresses]}, dict.fromkeys(addresses, secure.port))
    with pytest.raises(SourceNotAllowed, match="--allow-host") as refused:
        fetched(FILES, internet)
    assert "xyzzy" not in str(refused.value)
    assert internet.connected == []


def test_client_takes_the_next_public_address_when_the_first_takes_no_connection(secure: TlsServer) -> None:
    internet = Internet({"files.example": [[NOWHERE, THERE, HERE]]}, {THERE: secure.port})
    assert fetched(FILES, internet) == EXPORT
    assert internet.connected == [(NOWHERE, 443), (THERE, 443)]


def test_client_can_be_tried_again_when_no_address_takes_the_connection() -> None:
    with pytest.raises(SourceUnavailable, match="the server cannot be reached"):
        fetched(FILES, Internet({"files.example": [[NOWHERE, THERE]]}, {}))


def test_client_tells_that_there_is_no_server_when_the_name_does_not_resolve() -> None:
    def unknown(*_: object) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "xyzzy")

    internet = Internet({}, {})
    network = Network(unknown, internet.network.backend)
    with (
        closing(Client(http_address(FILES), PATIENCE, network)) as client,
        pytest.raises(SourceRefused, match=r"The host name in .* cannot be resolved") as refused,
    ):
        client.get()
    assert "xyzzy" not in str(refused.value)


LEADS_IN = [
    ("https://inner.example/export.json", "inner.example is not a public address"),
    ("https://127.0.0.1/export.json", "127.0.0.1 is not a public address"),
    ("https://2130706433/export.json", "2130706433 is not a public address"),
    ("https://0x7f.1/", "0x7f.1 is not a public address"),
    ("https://[::1]/", "::1 is not a public address"),
    ("https://[::ffff:127.0.0.1]/", "is not a public address"),
    ("https://localhost./", "is not a public address"),
    ("https://169.254.169.254/latest/meta-data", "169.254.169.254 is not a public address"),
    ("//169.254.169.254/latest", "169.254.169.254 is not a public address"),
    ("https://other.example:8443/export.json", "redirected to other.example, which uses port 8443"),
    ("http://other.example/export.json", "redirected to an address that is not followed"),
    ("https://user:xyzzy@other.example/export.json", "redirected to an address that is not followed"),
    ("file:///etc/passwd", "redirected to an address that is not followed"),
]


@pytest.mark.parametrize(("location", "why"), LEADS_IN)
def test_client_does_not_follow_a_redirect_when_it_leads_inside(secure: TlsServer, location: str, why: str) -> None:
    secure.redirects["/export.json"] = "https://other.example/second"
    secure.redirects["/second"] = location
    names = {"files.example": [[HERE]], "other.example": [[THERE]], "inner.example": [["10.0.0.1"]]}
    internet = Internet(names, {HERE: secure.port, THERE: secure.port, "10.0.0.1": secure.port})
    with pytest.raises((SourceRefused, SourceUnavailable), match=why) as refused:
        fetched(FILES, internet)
    assert not refused.value.retry
    assert "xyzzy" not in str(refused.value)
    assert internet.connected == [(HERE, 443), (THERE, 443)]


def two_hosts(server: TlsServer) -> Internet:
    names = {"files.example": [[HERE]], "other.example": [[THERE]]}
    return Internet(names, dict.fromkeys([HERE, THERE], server.port))


def test_client_follows_a_redirect_when_it_leads_to_a_public_address(secure: TlsServer) -> None:
    secure.redirects["/moved"] = "https://other.example/export.json"
    internet = Internet(
        {"files.example": [[HERE]], "other.example": [[THERE]]}, dict.fromkeys([HERE, THERE], secure.port)
    )
    assert fetched("https://files.example/moved", internet) == EXPORT
    assert internet.connected == [(HERE, 443), (THERE, 443)]


def test_client_follows_a_redirect_to_a_port_when_the_source_names_that_port(secure: TlsServer) -> None:
    secure.redirects["/moved"] = "https://other.example:8443/export.json"
    internet = Internet(
        {"files.example": [[HERE]], "other.example": [[THERE]]}, dict.fromkeys([HERE, THERE], secure.port)
    )
    assert fetched("https://files.example:8443/moved", internet) == EXPORT


@pytest.mark.parametrize(
    "source", ["http://files.example/x", "HTTP://8.8.8.8/x", "https://localhost/x", "https://127.1/x"]
)
def test_client_resolves_nothing_when_the_source_itself_is_not_allowed(source: str) -> None:
    internet = Internet({}, {})
    with pytest.raises(SourceNotAllowed, match="--allow-host"):
        fetched(source, internet)
    assert internet.looked_up == []


def allowing(*hosts: AllowedHost) -> ReadLimits:
    return ReadLimits(sources=SourceRules((), public_only=True, allowed_hosts=hosts))


LOOKS: dict[str, Callable[[str], object]] = {
    "version": lambda source: version_of(source, PATIENCE, PUBLIC),
    "bytes": lambda source: open_sources([source], ReadLimits(sources=PUBLIC), PATIENCE),
}


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0x7f.1"])
def test_a_source_of_this_machine_is_refused_and_no_request_is_sent(plain: ObjectServer, host: str, look: str) -> None:
    with pytest.raises(SourceNotAllowed) as refused:
        LOOKS[look](plain.url("export.json", host))
    assert "xyzzy" not in str(refused.value)
    assert plain.asked == []


def test_a_host_that_is_allowed_is_read_over_http_and_on_its_port_alone(plain: ObjectServer) -> None:
    source = plain.url("export.json")
    for host in (AllowedHost("127.0.0.1"), AllowedHost("127.0.0.1", plain.port)):
        assert len(list(open_sources([source], allowing(host), PATIENCE).conversations())) == 1
    with pytest.raises(SourceNotAllowed):
        open_sources([source], allowing(AllowedHost("127.0.0.1", plain.port + 1)), PATIENCE)


def test_a_redirect_away_from_a_host_that_is_allowed_is_checked_again(plain: ObjectServer) -> None:
    with object_server() as other:
        other.put("export.json", EXPORT)
        plain.every = Fault(status=302, headers={"Location": other.url("export.json", "localhost")})
        source, own = plain.url("export.json"), AllowedHost("127.0.0.1", plain.port)
        with pytest.raises(SourceNotAllowed, match="localhost is not a public address"):
            open_sources([source], allowing(own), PATIENCE)
        assert other.asked == []
        sources = open_sources([source], allowing(own, AllowedHost("localhost", other.port)), PATIENCE)
        assert len(list(sources.conversations())) == 1
        unrestricted = open_sources([source], ReadLimits(), PATIENCE)
        assert len(list(unrestricted.conversations())) == 1


def test_the_project_of_the_environment_is_allowed_wherever_it_runs(
    plain: ObjectServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUPABASE_URL", f"http://127.0.0.1:{plain.port}")
    monkeypatch.setenv("SUPABASE_SERVICE_KEY", plain.key)
    plain.put("storage/v1/object/authenticated/exports/ada.json", EXPORT)
    limits = ReadLimits(sources=PUBLIC)
    sources = open_sources(["supabase://exports/ada.json"], limits, PATIENCE)
    assert len(list(sources.conversations())) == 1
    with object_server() as other:
        plain.every = Fault(status=302, headers={"Location": other.url("x")})
        with pytest.raises(SourceNotAllowed):
            open_sources(["supabase://exports/ada.json"], limits, PATIENCE)
        assert other.asked == []


def test_a_redirect_to_a_port_that_cannot_be_is_refused(plain: ObjectServer) -> None:
    plain.every = Fault(status=302, headers={"Location": "http://127.0.0.1:99999/x?token=xyzzy"})
    with pytest.raises(SourceRefused, match="is redirected to one that is not") as refused:
        open_sources([plain.url("export.json")], ReadLimits(), PATIENCE)
    assert "xyzzy" not in str(refused.value)


@contextmanager
def proxy() -> Iterator[tuple[int, list[str]]]:
    """A proxy that remembers where it is asked to connect to, and refuses."""
    asked: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    with connection, connection.makefile("rb") as lines:
                        asked.append(lines.readline().decode().split(" HTTP")[0])
                        while lines.readline().strip():
                            pass
                        connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listening.getsockname()[1], asked
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_behind_a_proxy_names_are_its_business_and_inner_addresses_are_refused_here(
    secure: TlsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    internet = Internet({"files.example": [[HERE]]}, {HERE: secure.port})
    with proxy() as (port, asked):
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        with pytest.raises(SourceUnavailable):
            fetched(FILES, internet)
        assert asked == ["CONNECT files.example:443"]
        for source in ("https://127.0.0.1/x", "https://0x7f.1/x", "https://localhost/x", "https://[::ffff:10.0.0.1]/x"):
            with pytest.raises(SourceNotAllowed):
                fetched(source, internet)
        monkeypatch.setenv("NO_PROXY", "files.example")
        assert fetched(FILES, internet) == EXPORT
        assert asked == ["CONNECT files.example:443"]


def test_an_error_of_the_guard_crosses_processes_whole() -> None:
    with pytest.raises(ImporterError) as refused:
        fetched("https://localhost/x", Internet({}, {}))
    again = pickle.loads(pickle.dumps(refused.value))
    assert (type(again), str(again)) == (SourceNotAllowed, str(refused.value))
