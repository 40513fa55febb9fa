"""One run of a user at a time."""

import threading
from typing import TYPE_CHECKING, cast

import pytest

from ray_import.destinations.base import Running, Sink
from ray_import.errors import ImportRunning, LeaseLost
from ray_import.profile.lease import Heartbeats, Holder, begin

if TYPE_CHECKING:
    from ray_import.destinations.profiles import ProfileStore

OTHER = Running("other", "here/7/1", "2026-05-01T10:00:00.000Z", 3.0)


class Store:
    """Remembers who holds the user."""

    def __init__(self, running: Running | None = None) -> None:
        self.running = running
        self.released: list[str] = []
        self.begun: list[str] = []
        self.beats: list[str] = []
        self.beaten = threading.Event()
        self.is_mine = True

    def start_profile(self, _user_id: str, run_id: str, *_: str) -> Running | None:
        if self.running is None:
            self.begun.append(run_id)
        return self.running

    def release_profiles(self, holder: str) -> None:
        self.released.append(holder)
        self.running = None

    def beat_profile(self, _user_id: str, run_id: str, _holder: str) -> bool:
        self.beats.append(run_id)
        self.beaten.set()
        return self.is_mine

    def close(self) -> None:
        pass


def started(store: Store, dead: bool) -> None:
    holder = Holder("here/8/1", lambda _: dead)
    begin(cast("ProfileStore", store), "ada", "mine", holder, "2026-05-01T11:00:00.000Z")


def test_begin_takes_over_when_the_holder_is_dead() -> None:
    store = Store(OTHER)
    started(store, dead=True)
    assert store.released == ["here/7/1"]
    assert store.begun == ["mine"]


def test_begin_refuses_when_another_run_is_alive() -> None:
    store = Store(OTHER)
    with pytest.raises(ImportRunning, match=r"run other, started 2026-05-01 10:00 \(UTC\), last heartbeat 3 s ago"):
        started(store, dead=False)
    assert store.begun == []


def test_heartbeats_raise_when_the_run_is_another_holders() -> None:
    store = Store()
    holder = Holder("here/8/1", lambda _: False)
    with Heartbeats(lambda: cast("Sink", store), holder, every_seconds=0.001) as heartbeats:
        heartbeats.add("ada", "mine")
        assert store.beaten.wait(10)
        heartbeats.check("mine")
        store.is_mine = False
        lost = threading.Event()
        for _ in range(10_000):
            store.beaten.clear()
            assert store.beaten.wait(10)
            try:
                heartbeats.check("mine")
            except LeaseLost:
                lost.set()
                break
        assert lost.is_set()


def test_heartbeats_leave_a_run_alone_when_it_has_ended() -> None:
    store = Store()
    with Heartbeats(lambda: cast("Sink", store), Holder("h", lambda _: False), every_seconds=0.001) as heartbeats:
        heartbeats.add("ada", "mine")
        assert store.beaten.wait(10)
        heartbeats.remove("mine")
        store.is_mine = False
    heartbeats.check("mine")
