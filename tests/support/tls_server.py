"""A server of objects over TLS on loopback, and names and addresses that lead to it: the part of the internet that the
tests need."""

import ssl
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpcore
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ray_import.source.network import Network


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate with its key in one file; it is its own authority."""

    file: Path

    @classmethod
    def made(cls, folder: Path, *names: str) -> "Certificate":
        """A new one for these host names."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tests")])
        now = datetime.now(UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(one) for one in names]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        file = folder / "certificate.pem"
        file.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
        return cls(file)


@dataclass(slots=True)
class TlsServer:
    """Serves `objects` by path, whole; `redirects` are by path, too. `asked` are the name in TLS, the Host header and
    the path of each request."""

    port: int
    objects: dict[str, bytes] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str | None, str, str]] = field(default_factory=list)
    names: list[str | None] = field(default_factory=list)


@contextmanager
def tls_server(certificate: Certificate) -> Iterator[TlsServer]:
    """A server that is gone afterwards."""
    server = TlsServer(0)

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            server.asked.append((server.names[-1], self.headers["Host"], self.path))
            path = urlsplit(self.path).path
            location, body = server.redirects.get(path), server.objects.get(path, b"")
            self.send_response(302 if location else 200)
            if location:
                self.send_header("Location", location)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    class Listening(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """A client that does not trust the certificate is what some tests want."""

    def named(_socket: object, name: str | None, _context: object) -> None:
        server.names.append(name)

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.file)
    context.sni_callback = named
    with Listening(("127.0.0.1", 0), Handler) as listening:
        listening.socket = context.wrap_socket(listening.socket, server_side=True)
        server.port = listening.server_address[1]
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            listening.shutdown()
            thread.join()


@dataclass(slots=True)
class Internet:
    """Names, and what each resolves to the first, second, … time (the last one stays); `routes` tell at which port of
    loopback an address is served, and no other address is there. It remembers what was looked up and connected to."""

    names: Mapping[str, Sequence[Sequence[str]]]
    routes: Mapping[str, int]
    looked_up: list[str] = field(default_factory=list)
    connected: list[tuple[str, int]] = field(default_factory=list)

    @property
    def network(self) -> Network:
        """As a client takes it."""
        return Network(self.resolve, _Routed(self))

    def resolve(self, host: str) -> Sequence[str]:
        """See `Network.resolve`."""
        self.looked_up.append(host)
        answers = self.names[host]
        return answers[min(self.looked_up.count(host), len(answers)) - 1]


class _Routed(httpcore.NetworkBackend):
    def __init__(self, internet: Internet) -> None:
        self._internet = internet
        self._real = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        self._internet.connected.append((host, port))
        if host not in self._internet.routes:
            raise httpcore.ConnectError("unreachable")
        return self._real.connect_tcp("127.0.0.1", self._internet.routes[host], timeout, local_address, socket_options)
