"""From the name of a host to a connection: few addresses, within one time-out.

Whoever owns a name decides how many addresses it has. A socket library that gives each of them the whole time-out waits
as long as that person likes.
"""

import socket
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpcore

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
