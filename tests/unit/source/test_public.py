"""Which addresses are public: every way to write one, and every kind of address that is not."""

from ipaddress import IPv4Address, IPv6Address, ip_address

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ray_import.settings import AllowedHost, SourceRules
from ray_import.source.ssrf_guard import is_exempt, is_public, may_be_public, spelled_address

INNER = [
    "0.0.0.0",
    "0.1.2.3",
    "10.1.2.3",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.9.9.9",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::127.0.0.1",
    "64:ff9b::10.0.0.1",
    "64:ff9b::169.254.169.254",
    "64:ff9b:1::8.8.8.8",
    "100::1",
    "2001::1",
    "2001:0:53aa:64c:0:7bff:f5ff:fffe",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:808:808::",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "2606:4700::1111%eth0",
    "fec0::1",
    "ff02::1",
    "",
    "localhost",
    "8.8.8",
    "8.8.8.8 ",
]
PUBLIC = [
    "8.8.8.8",
    "1.1.1.1",
    "172.32.0.1",
    "100.128.0.1",
    "2606:4700:4700::1111",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
]


@pytest.mark.parametrize("address", INNER)
def test_is_public_is_false_when_not_everybody_can_reach_the_address(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_is_public_is_true_when_everybody_can_reach_the_address(address: str) -> None:
    assert is_public(address)


def embedded(address: IPv6Address) -> bool:
    return address.ipv4_mapped is not None or str(address).startswith("64:ff9b:")


@given(st.ip_addresses())
def test_is_public_allows_nothing_that_the_standard_library_calls_inner(address: IPv4Address | IPv6Address) -> None:
    if is_public(str(address)) and not (isinstance(address, IPv6Address) and embedded(address)):
        assert address.is_global
        assert not address.is_multicast
        assert not address.is_reserved


@given(st.ip_addresses(v=4), st.sampled_from(["::ffff:{}", "64:ff9b::{}"]))
def test_is_public_goes_by_the_inner_address_when_a_system_sends_to_that(address: IPv4Address, form: str) -> None:
    assert is_public(form.format(address)) == is_public(str(address))


LOOPBACK_SPELLINGS = [
    "127.0.0.1",
    "127.0.0.1.",
    "127.1",
    "127.0.1",
    "2130706433",
    "0x7f000001",
    "0x7f.1",
    "0X7F.0.0.1",
    "017700000001",
    "0177.0.0.1",
    "0177.0.0.0x1",
]


@pytest.mark.parametrize("host", LOOPBACK_SPELLINGS)
def test_spelled_address_reads_every_form_that_resolvers_read(host: str) -> None:
    assert spelled_address(host) == "127.0.0.1"
    assert not may_be_public(host)


@given(st.ip_addresses(v=4), st.sampled_from(["{}", "0x{:x}", "0{:o}"]))
def test_spelled_address_reads_each_ipv4_address_as_one_number(address: IPv4Address, form: str) -> None:
    assert spelled_address(form.format(int(address))) == str(address)


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST", "localhost.", "a.localhost", "localhost.localdomain", "ip6-localhost", "[::1]"[1:-1]],
)
def test_may_be_public_is_false_when_the_name_is_of_this_machine(host: str) -> None:
    assert not may_be_public(host)


@pytest.mark.parametrize("host", ["example.com", "localhost.example.com", "notlocalhost", "8.8.8.8", "2606:4700::1111"])
def test_may_be_public_is_true_when_only_resolving_tells(host: str) -> None:
    assert may_be_public(host)


@pytest.mark.parametrize("host", ["１２７.0.0.1", "127。0。0。1", "①②⑦.0.0.1", "loc\u00adalhost", "ⓛocalhost"])
def test_a_host_in_look_alike_letters_is_no_host_or_no_public_one(host: str) -> None:
    try:
        connected_to = httpx.URL(f"https://{host}/").raw_host.decode("ascii")
    except httpx.InvalidURL:
        return
    assert not may_be_public(connected_to)


def test_is_exempt_goes_by_the_whole_name_and_the_port_when_one_is_given() -> None:
    rules = SourceRules((), True, (AllowedHost("files.internal"), AllowedHost("127.0.0.1", 54321)))
    assert is_exempt(rules, "Files.Internal.", 8080)
    assert is_exempt(rules, "127.0.0.1", 54321)
    assert not is_exempt(rules, "127.0.0.1", 443)
    assert not is_exempt(rules, "a.files.internal", 443)
    assert not is_exempt(rules, "files.internal.example.com", 443)
    assert str(ip_address("127.0.0.1")) == rules.allowed_hosts[1].name
