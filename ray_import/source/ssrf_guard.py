"""Connections of sources that may lead to public addresses only.

The address that is checked has to be the one that is used: a name may resolve to another one a moment later. So a name
is resolved once, all of its addresses are checked, and the socket is opened to one of these; TLS still gets the name,
for SNI and the certificate. This is done in a network backend of httpcore, whose interface is public, below a transport
of our own. A check of a URL beforehand would be undone by the second look-up, and a change of httpx's own transport
relies on a private attribute: if that is renamed, nothing is checked any more.

Which addresses and host names count as public is decided here, too.
"""

import re
import socket
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_address
from ssl import SSLContext
from typing import Any, cast
from urllib.request import getproxies, proxy_bypass

import httpcore
import httpx

from ray_import.chatgpt.files import shown
from ray_import.errors import SourceNotAllowed
from ray_import.settings import AllowedHost, SourceRules
from ray_import.source.address import DEFAULT_PORTS, HttpAddress
from ray_import.source.network import NETWORK, Dialing, Network, WatchedBackend, watch
from ray_import.source.waiting import Waiting

# IANA's registries of special-purpose addresses. `is_global` of the standard library depends on Python's version.
_INNER_V4 = [
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",  # shared by the customers of a provider; metadata of a cloud, too
        "127.0.0.0/8",
        "168.63.129.16/32",  # the platform of Azure, seen from its machines alone
        "169.254.0.0/16",  # link-local: the metadata of most clouds
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
]
_PUBLIC_V6 = IPv6Network("2000::/3")
_INNER_V6 = [
    IPv6Network(network)
    for network in (
        "2001::/23",  # Teredo and other protocols
        "2001:db8::/32",
        "2002::/16",  # 6to4
        "2620:4f:8000::/48",
        "3fff::/20",
    )
]
_NAT64 = IPv6Network("64:ff9b::/96")
_LOCAL_NAMES = ("localhost", "localhost.localdomain", "localhost6", "ip6-localhost", "ip6-loopback")


def is_public(address: str) -> bool:
    """Whether it is a unicast IP address that anybody may reach. An IPv4 address within an IPv6 address counts where
    the system sends to it: mapped, or by NAT64. Tunnels (6to4, Teredo) are never public."""
    try:
        found = ip_address(address)
    except ValueError:
        return False
    if isinstance(found, IPv4Address):
        return _is_public_v4(found)
    if found.scope_id is not None:
        return False
    if found.ipv4_mapped is not None:
        return _is_public_v4(found.ipv4_mapped)
    if found in _NAT64:
        return _is_public_v4(IPv4Address(int(found) & 0xFFFFFFFF))
    return found in _PUBLIC_V6 and not any(found in network for network in _INNER_V6)


def _is_public_v4(address: IPv4Address) -> bool:
    return not any(address in network for network in _INNER_V4)


def spelled_address(host: str) -> str | None:
    """The IP address that `host` spells, in any way that resolvers take (2130706433, 0x7f.1, 0177.0.0.1); None where
    it is a name."""
    host = host.rstrip(".")
    with suppress(ValueError):
        return str(ip_address(host))
    with suppress(OSError, ValueError):
        return str(IPv4Address(socket.inet_aton(host)))
    return None


def may_be_public(host: str) -> bool:
    """False where `host`, in ASCII, is seen not to be public without resolving it."""
    name = host.lower().rstrip(".")
    if name in _LOCAL_NAMES or name.endswith(".localhost"):
        return False
    spelled = spelled_address(name)
    return spelled is None or is_public(spelled)


def is_exempt(rules: SourceRules, host: str, port: int) -> bool:
    """Whether `rules` allow everything of this host at this port. `host` is in ASCII, without brackets."""
    name = host.lower().rstrip(".")
    return any(one.name == name and one.port in (None, port) for one in rules.allowed_hosts)


_LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=5.0)
"""Those of httpx."""


def refuse_inner(address: HttpAddress, url: str, *, redirected: bool = False) -> None:
    """Raises SourceNotAllowed where the rules of `address` forbid `url`, as far as that is seen without resolving its
    name. `redirected` says that a server leads there. Raises httpx.InvalidURL."""
    rules = address.rules
    if not rules.public_only:
        return
    parts, named = httpx.URL(url), httpx.URL(address.url)
    host, port = _host_and_port(parts)
    if is_exempt(rules, host, port):
        return
    if not may_be_public(host):
        raise _not_public(address, host)
    leads = f"it is redirected to {shown(host)}, which" if redirected else "it"
    if parts.scheme != "https":
        raise _not_allowed(address, f"{leads} is not https.")
    if redirected and port not in (443, _host_and_port(named)[1]):
        raise _not_allowed(address, f"{leads} uses port {port}.")


def _host_and_port(url: httpx.URL) -> tuple[str, int]:
    """The host as it is connected to, in ASCII without brackets."""
    return url.raw_host.decode("ascii"), url.port or DEFAULT_PORTS.get(url.scheme, 0)


def _not_public(address: HttpAddress, host: str) -> SourceNotAllowed:
    return _not_allowed(address, f"{shown(host)} is not a public address.")


def _not_allowed(address: HttpAddress, why: str) -> SourceNotAllowed:
    what = f"{address.label} is not allowed: {why}"
    return SourceNotAllowed(f"{what} Allow a host with --allow-host.", "--no-public-only allows all hosts.")


def guarded(
    address: HttpAddress, trusted: SSLContext, network: Network = NETWORK, waiting: Waiting | None = None
) -> "httpx.BaseTransport | None":
    """The transport for an address whose rules want public addresses only; None, for httpx's own, where they do not.

    All of its waits on sockets, and on names that are resolved, are counted by `waiting`.
    """
    return _Guarded(address, trusted, network, waiting) if address.rules.public_only else None


class _Guarded(httpx.BaseTransport):
    """Through the proxy of the environment where there is one for the URL, which then resolves the name. Else through
    `_checked`. Raises what httpx raises, and SourceNotAllowed."""

    def __init__(
        self, address: HttpAddress, trusted: SSLContext, network: Network, waiting: Waiting | None = None
    ) -> None:
        self._trusted = trusted
        self._waiting = waiting
        checked = _checked(address, network)
        self._direct = httpcore.ConnectionPool(
            ssl_context=trusted,
            max_connections=_LIMITS.max_connections,
            max_keepalive_connections=_LIMITS.max_keepalive_connections,
            keepalive_expiry=_LIMITS.keepalive_expiry,
            network_backend=checked if waiting is None else WatchedBackend(checked, waiting),
        )
        self._proxied: dict[str, httpx.HTTPTransport] = {}

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        proxy = proxy_of(request.url)
        if proxy is not None:
            if proxy not in self._proxied:
                self._proxied[proxy] = self._through(proxy)
            return self._proxied[proxy].handle_request(request)
        url = request.url
        asked = httpcore.Request(
            request.method,
            httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=request.headers.raw,
            content=cast("Iterable[bytes]", request.stream),
            extensions=request.extensions,
        )
        with _as_httpx():
            answer = self._direct.handle_request(asked)
        return httpx.Response(
            answer.status, headers=answer.headers, stream=_Body(answer.stream), extensions=answer.extensions
        )

    def _through(self, proxy: str) -> httpx.HTTPTransport:
        transport = httpx.HTTPTransport(verify=self._trusted, proxy=proxy)
        if self._waiting is not None:
            watch(transport, self._waiting)
        return transport

    def close(self) -> None:
        self._direct.close()
        for transport in self._proxied.values():
            transport.close()


def _checked(address: HttpAddress, network: Network) -> Dialing:
    """Opens connections to public addresses and exempt hosts only. Raises SourceNotAllowed before anything is sent.

    A name with one address that is not public is refused: whoever owns such a name names inner addresses, too.
    """

    def check(host: str, port: int, addresses: Sequence[str]) -> None:
        if is_exempt(address.rules, host, port):
            return
        if not addresses or not all(is_public(one) for one in addresses):
            raise _not_public(address, host)

    return Dialing(network, check)


class _Body(httpx.SyncByteStream):
    def __init__(self, pieces: Any) -> None:
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        with _as_httpx():
            yield from self._pieces

    def close(self) -> None:
        self._pieces.close()


@contextmanager
def _as_httpx() -> Iterator[None]:
    """What httpcore raises, as the error of httpx that has the same name."""
    try:
        yield
    except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError) as error:
        kind: type[httpx.TransportError] = getattr(httpx, type(error).__name__, httpx.TransportError)
        raise kind(str(error)) from error
    except httpcore.UnsupportedProtocol as error:
        raise httpx.UnsupportedProtocol(str(error)) from error


def proxy_of(url: httpx.URL) -> str | None:
    """The proxy that the environment (HTTPS_PROXY, ALL_PROXY, NO_PROXY) has for `url`."""
    proxies = getproxies()
    proxy = proxies.get(url.scheme) or proxies.get("all")
    if not proxy or proxy_bypass(url.raw_host.decode("ascii")):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def sees_no_names(rules: SourceRules) -> bool:
    """Whether a proxy of the environment resolves the names that `rules` would have checked."""
    proxies = getproxies()
    return rules.public_only and bool(proxies.get("https") or proxies.get("all"))


def allowed_host(text: str) -> AllowedHost:
    """Of HOST or HOST:PORT; an IPv6 address with a port is in brackets. Raises ValueError."""
    bare = f"[{text}]" if text.count(":") > 1 and not text.startswith("[") else text
    try:
        url = httpx.URL(f"https://{bare}")
    except httpx.InvalidURL:
        raise ValueError("no host") from None
    host = url.raw_host.decode("ascii").lower().rstrip(".")
    found = re.search(r":([0-9]{1,5})\Z", bare)  # httpx keeps no port 443
    port = int(found[1]) if found else None
    if not host or set("*%") & set(host) or url.raw_path != b"/" or url.userinfo or url.fragment:
        raise ValueError("no host")
    if port is not None and not 0 < port < 65536:
        raise ValueError("no port")
    return AllowedHost(host, port)
