"""What a gateway was asked and what it gave."""

import re
import threading
from dataclasses import dataclass

from tests.support.gateway.calls import Call


@dataclass(slots=True)
class Request:
    """A request; `status` is 0 as long as nothing was answered, `sent` the bytes of the body that were sent so far."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    headers: dict[str, str]
    received: int
    fault: str
    status: int = 0
    sent: int = 0


class Served:
    """All requests in the order in which they came. A byte counts when it is handed to the connection."""

    def __init__(self) -> None:
        self.failures: list[str] = []
        """Tracebacks of the stand-in itself: there should be none."""
        self._requests: list[Request] = []
        self._lock = threading.Lock()

    def begin(self, call: Call, fault: str) -> Request:
        """Notes a request that was read."""
        request = Request(call.method, call.path, call.query, dict(call.headers), len(call.body), fault)
        with self._lock:
            self._requests.append(request)
        return request

    def requests(self, path: str = "", method: str | None = None) -> list[Request]:
        """Those whose path has `path` in it, a regular expression."""
        with self._lock:
            found = list(self._requests)
        return [r for r in found if re.search(path, r.path) and method in (None, r.method)]

    def count(self, path: str = "", method: str | None = None) -> int:
        """How many of them there were."""
        return len(self.requests(path, method))

    def sent(self, path: str = "") -> int:
        """The bytes of the bodies that went to the client."""
        return sum(request.sent for request in self.requests(path))

    def received(self, path: str = "") -> int:
        """The bytes of the bodies that came from the client."""
        return sum(request.received for request in self.requests(path))

    def clear(self) -> None:
        """Forgets them all."""
        with self._lock:
            self._requests.clear()
