"""Which addresses are public, and which hosts are: for lists of users that others have a part in."""

import socket
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_address

from ray_import.settings import SourceRules

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
