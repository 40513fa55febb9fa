"""A webhook on this machine, as a test needs it: one that answers, refuses, or takes its time."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue
from typing import Any

PATH = "/hook-secret"


@dataclass(frozen=True, slots=True)
class Webhook:
    """Its address, and what it was sent; where it is `slow`, it answers once `may_answer` is set."""

    url: str
    got: "Queue[Any]" = field(default_factory=Queue)
    may_answer: threading.Event = field(default_factory=threading.Event)

    def messages(self) -> list[Any]:
        """What has come and was not taken yet."""
        return [self.got.get_nowait() for _ in range(self.got.qsize())]


@contextmanager
def webhook(status: int = 200, *, slow: bool = False) -> Iterator[Webhook]:
    """Listens on a free port; answers with `status`."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            hook.got.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            if slow:
                hook.may_answer.wait(30)
            self.send_response(status)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        hook = Webhook(f"http://127.0.0.1:{server.server_port}{PATH}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield hook
        finally:
            hook.may_answer.set()
            server.shutdown()
            thread.join()
