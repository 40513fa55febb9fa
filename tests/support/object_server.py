"""A small server of objects over real HTTP: with ranges or without, like Supabase Storage or like any other, and with
faults on chosen requests. It counts what it is asked for and what it sends."""

import json
import re
import socket
import struct
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

STORAGE = "/storage/v1/object/authenticated/"
PIECE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Fault:
    """What becomes of one request instead. The status and body are an answer; the rest spoils a good one."""

    status: int = 0
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    drop_after: int | None = None
    """The connection is reset after so many bytes of the body, or closed if it `ends_early`."""
    ends_early: bool = False
    hangs_after: int | None = None
    drips: bool = False
    header_drips: bool = False
    """A byte of a header comes every hundredth of a second, and never the last one."""
    without_length: bool = False


@dataclass(slots=True)
class Asked:
    """A request as it arrived, and how many bytes of a body it got."""

    path: str
    headers: dict[str, str]
    sent: int = 0


@dataclass(slots=True)
class ObjectServer:
    """Serves `objects` by their path without a query. `faults` go by the number of the request, from 0."""

    port: int
    objects: dict[str, bytes] = field(default_factory=dict)
    etag: str = '"one"'
    """No header where it is empty."""
    ranges: bool = True
    total: bool = True
    """Whether a part says how long the whole is."""
    real_416: bool = True
    """Whether an unsatisfiable range is refused with HTTP 416, or with 400 and 416 in the body."""
    key: str = "sb_secret_right"
    faults: dict[int, Fault] = field(default_factory=dict)
    every: Fault | None = None
    """Becomes of all requests that have no fault of their own."""
    changes: dict[int, tuple[str, bytes]] = field(default_factory=dict)
    """Objects that are others from so many requests on."""
    delay_seconds: float = 0.0
    asked: list[Asked] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    free: threading.Semaphore | None = None
    """So many more requests are answered; the others wait for it."""

    @contextmanager
    def held_after(self, requests: int) -> Iterator[None]:
        """Within it so many requests are answered, and all others when it ends."""
        self.free = free = threading.Semaphore(requests)
        try:
            yield
        finally:
            self.free = None
            free.release(1_000_000)

    @property
    def sent(self) -> int:
        """All bytes of bodies."""
        return sum(one.sent for one in self.asked)

    @property
    def spans(self) -> list[tuple[int, int]]:
        """The first byte and the last one of each range that was asked for."""
        found = (re.fullmatch(r"bytes=(\d+)-(\d+)", one.headers.get("range", "")) for one in self.asked)
        return [(int(one[1]), int(one[2])) for one in found if one]

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        """Where an object is, with a token that is nobody's business."""
        return f"http://{host}:{self.port}/{path}?token=xyzzy-token"

    def put(self, path: str, data: bytes) -> str:
        """Serves `data` from there; its address."""
        self.objects[f"/{path}"] = data
        return self.url(path)


@contextmanager
def object_server() -> Iterator[ObjectServer]:
    """A server that is gone afterwards, with all its threads."""

    class Handler(_Handler):
        pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        server = ObjectServer(listening.server_address[1])
        Handler.server_of = server
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        listening.daemon_threads = True
        thread.start()
        try:
            yield server
        finally:
            server.over.set()
            listening.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    server_of: ObjectServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None:
        pass

    def handle(self) -> None:
        with suppress(ConnectionError):  # the client has gone
            super().handle()

    def do_GET(self) -> None:
        server = self.server_of
        server.over.wait(server.delay_seconds)
        if (free := server.free) is not None:
            free.acquire()
        asked = Asked(self.path, {name.lower(): value for name, value in self.headers.items()})
        server.asked.append(asked)
        if change := server.changes.get(len(server.asked) - 1):
            server.objects[change[0]] = change[1]
        fault = server.faults.get(len(server.asked) - 1, server.every) or Fault()
        if fault.header_drips:
            self._drip_a_header()
            return
        if fault.status:
            self._answer(asked, fault.status, fault.headers, fault.body, fault)
            return
        path = unquote(urlsplit(self.path).path)
        if path.startswith(STORAGE):
            refused = self._refused_by_storage(path)
            if refused is not None:
                self._answer(asked, 400, {"Content-Type": "application/json"}, refused, fault)
                return
        if path not in server.objects:
            self._answer(asked, 404, {}, b"<html>xyzzy-body</html>", fault)
            return
        self._object(asked, server.objects[path], fault)

    def _drip_a_header(self) -> None:
        self.close_connection = True
        with suppress(OSError):  # the client has gone
            self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Drip: ")
            while not self.server_of.over.wait(0.01):
                self.wfile.write(b"x")

    def _refused_by_storage(self, path: str) -> bytes | None:
        key = self.server_of.key
        if (self.headers.get("apikey"), self.headers.get("Authorization")) != (key, f"Bearer {key}"):
            return _storage_error(403, "Unauthorized", "xyzzy-body")
        if path not in self.server_of.objects:
            return _storage_error(404, "not_found", "Object not found")
        return None

    def _object(self, asked: Asked, data: bytes, fault: Fault) -> None:
        server = self.server_of
        etag = {"ETag": server.etag} if server.etag else {}
        headers = {**etag, "Content-Type": "application/octet-stream", **fault.headers}
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", asked.headers.get("range", "")) if server.ranges else None
        if found is None:
            self._answer(asked, 200, headers, data, fault)
            return
        start, end = int(found[1]), min(int(found[2] or len(data)) + 1, len(data))
        if start >= len(data):
            status = 416 if server.real_416 else 400
            self._answer(asked, status, {}, _storage_error(416, "invalid_range", "invalid range provided"), fault)
            return
        total = len(data) if server.total else "*"
        headers = {"Content-Range": f"bytes {start}-{end - 1}/{total}", "Accept-Ranges": "bytes", **headers}
        self._answer(asked, 206, headers, memoryview(data)[start:end], fault)

    def _answer(
        self, asked: Asked, status: int, headers: Mapping[str, str], body: bytes | memoryview, fault: Fault
    ) -> None:
        self.send_response(status)
        if fault.without_length:
            headers = {**headers, "Connection": "close"}
        else:
            headers = {**headers, "Content-Length": str(len(body))}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        try:
            self._body(asked, memoryview(body), fault)
        except OSError:  # the client has gone
            self.close_connection = True

    def _body(self, asked: Asked, body: memoryview, fault: Fault) -> None:
        upto = min(n for n in (fault.drop_after, fault.hangs_after, len(body)) if n is not None)
        piece_bytes = 20 if fault.drips else PIECE_BYTES
        for at in range(0, upto, piece_bytes):
            piece = body[at : min(at + piece_bytes, upto)]
            asked.sent += len(piece)
            self.wfile.write(piece)
            if fault.drips:
                self.server_of.over.wait(0.01)
        if fault.hangs_after is not None:
            self.server_of.over.wait()
        if upto < len(body):
            self.close_connection = True
            if not fault.ends_early:
                # A reset, which may overtake what was sent.
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _storage_error(status: int, error: str, message: str) -> bytes:
    return json.dumps({"statusCode": str(status), "error": error, "message": message}).encode()
