"""From a name to a connection, with addresses that answer or not as the test says."""

from typing import Any

import httpcore
import pytest

from ray_import.source.network import MOST_ADDRESSES, Dialing, Network


class Silent(httpcore.NetworkBackend):
    """Addresses that do not answer, but for one. It remembers for how long each was waited for."""

    def __init__(self, answers: str = "") -> None:
        self.answers = answers
        self.waited: dict[str, float | None] = {}

    def connect_tcp(self, host: str, *others: Any, **_: Any) -> httpcore.NetworkStream:
        """See `httpcore.NetworkBackend.connect_tcp`."""
        timeout: float | None = others[1]
        self.waited[host] = timeout
        if host != self.answers:
            raise httpcore.ConnectTimeout
        return httpcore.NetworkStream()


def addresses(count: int) -> list[str]:
    return [f"8.8.4.{number}" for number in range(count)]


def test_dialing_waits_no_longer_than_the_timeout_when_a_name_has_a_thousand_addresses() -> None:
    backend = Silent()
    with pytest.raises(httpcore.ConnectTimeout):
        Dialing(Network(lambda _: addresses(1000), backend)).connect_tcp("host.example", 443, 10.0)
    assert len(backend.waited) == MOST_ADDRESSES
    assert sum(seconds or 1000 for seconds in backend.waited.values()) == pytest.approx(10.0)


def test_dialing_takes_the_next_address_when_the_first_does_not_answer() -> None:
    backend = Silent("8.8.4.1")
    Dialing(Network(lambda _: addresses(2), backend)).connect_tcp("host.example", 443, 10.0)
    assert backend.waited == {"8.8.4.0": 5.0, "8.8.4.1": 5.0}


def test_dialing_connects_nowhere_when_the_check_refuses_the_addresses() -> None:
    backend = Silent("8.8.4.0")

    def refuse(host: str, port: int, found: object) -> None:
        raise ValueError(f"{host} {port} {found}")

    with pytest.raises(ValueError, match=r"host\.example 443 \['8\.8\.4\.0'\]"):
        Dialing(Network(lambda _: addresses(1), backend), refuse).connect_tcp("host.example", 443, 10.0)
    assert backend.waited == {}


@pytest.mark.parametrize("failure", [OSError("no such name"), UnicodeError("no name")])
def test_dialing_is_a_failed_connection_when_the_name_does_not_resolve(failure: Exception) -> None:
    def resolve(_: str) -> list[str]:
        raise failure

    with pytest.raises(httpcore.ConnectError) as raised:
        Dialing(Network(resolve, Silent())).connect_tcp("host.example", 443, 10.0)
    assert raised.value.__cause__ is failure
