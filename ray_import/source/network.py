"""A network back end for httpcore that counts how long a server is waited for, and stops waiting at the deadline.

The time-outs of httpx are for a single read: a server that sends a byte of a header every few seconds never runs into
one. So every wait on a socket is counted here, below HTTP, and none goes beyond the deadline.

Connecting is bounded as well: the owner of a host name decides how many addresses it has, and a socket library that
gives each of them the full time-out waits as long as that person likes. So few addresses share one time-out.
"""

import math
import socket
import ssl
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpcore
import httpx

from ray_import.source.waiting import LEAST_TIMEOUT_SECONDS, Waiting

MOST_ADDRESSES = 4
"""So many addresses of a name are tried; they share the time-out."""


def addresses_of(host: str) -> list[str]:
    """The IP addresses of a host, in the system's order. Raises OSError."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


@dataclass(frozen=True, slots=True)
class Network:
    """How names are resolved, and how connections to IP addresses are made."""

    resolve: Callable[[str], Sequence[str]] = addresses_of
    backend: httpcore.NetworkBackend = field(default_factory=httpcore.SyncBackend)


NETWORK = Network()

Check = Callable[[str, int, Sequence[str]], None]
"""Called with a host, a port and all addresses of the host before one of them is connected to; may raise."""


class Dialing(httpcore.NetworkBackend):
    """Resolves a name once and connects to one of its first addresses, in the system's order."""

    def __init__(self, network: Network = NETWORK, check: Check | None = None) -> None:
        self._network = network
        self._check = check

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """See `httpcore.NetworkBackend.connect_tcp`. Raises what the check raises, too."""
        try:
            addresses = self._network.resolve(host)
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError("The host name cannot be resolved") from error
        if self._check is not None:
            self._check(host, port, addresses)
        tried = addresses[:MOST_ADDRESSES]
        if not tried:
            raise httpcore.ConnectError("The host has no address")
        share = None if timeout is None else timeout / len(tried)
        for address in tried[:-1]:
            try:
                return self._network.backend.connect_tcp(address, port, share, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return self._network.backend.connect_tcp(tried[-1], port, share, local_address, socket_options)


_Result = TypeVar("_Result")


class WatchedBackend(httpcore.NetworkBackend):
    """Connections of another back end, all of whose waits are counted.

    Beside what those raise, all methods raise what `Waiting.check` raises.
    """

    def __init__(self, backend: httpcore.NetworkBackend, waiting: Waiting) -> None:
        self._backend = backend
        self._waiting = waiting

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        stream = _counted(
            self._waiting,
            timeout,
            lambda within: self._backend.connect_tcp(host, port, within, local_address, socket_options),
        )
        return _WatchedStream(stream, self._waiting)


def watch(transport: httpx.HTTPTransport, waiting: Waiting) -> None:
    """Counts all waits of a transport on sockets. httpx has no public way to a transport's network back end."""
    pool = transport._pool  # noqa: SLF001
    pool._network_backend = WatchedBackend(Dialing(), waiting)  # noqa: SLF001


class _WatchedStream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream, waiting: Waiting) -> None:
        self._stream = stream
        self._waiting = waiting

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        left = math.inf if timeout is None else timeout
        while True:
            self._waiting.check()
            within = max(min(left, self._waiting.seconds_to_check), LEAST_TIMEOUT_SECONDS)
            try:
                with self._waiting.counted():
                    data = self._stream.read(max_bytes, within)
            except httpcore.ReadTimeout:
                self._waiting.check()
                left -= within
                if left <= 0:
                    raise
                continue
            self._waiting.received(len(data))
            return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        _counted(self._waiting, timeout, lambda within: self._stream.write(buffer, within))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        stream = _counted(
            self._waiting, timeout, lambda within: self._stream.start_tls(ssl_context, server_hostname, within)
        )
        return _WatchedStream(stream, self._waiting)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _counted(waiting: Waiting, timeout: float | None, wait: Callable[[float], _Result]) -> _Result:
    """Waits no longer than until the deadline. What is over then is told as that, whatever the wait has raised."""
    waiting.check()
    within = max(min(math.inf if timeout is None else timeout, waiting.seconds_to_deadline), LEAST_TIMEOUT_SECONDS)
    try:
        with waiting.counted():
            return wait(within)
    except (httpcore.TimeoutException, httpcore.NetworkError):
        waiting.check()
        raise
