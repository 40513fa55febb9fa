"""How long a server is waited for, with a clock that passes only in the waits."""

import ssl
from typing import Any

import httpcore
import pytest

from ray_import.errors import SourceRefused, SourceSlow, SourceUnavailable
from ray_import.settings import ReadLimits, SourcePace
from ray_import.source.network import WatchedBackend
from ray_import.source.patience import RetryPolicy
from ray_import.source.waiting import Waiting

MB = 1_000_000


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def pass_by(self, seconds: float) -> None:
        self.now += seconds


class Stream(httpcore.NetworkStream):
    """A server that sends `byte` every `every_seconds`, and whose handshake and reading take as long."""

    def __init__(self, clock: Clock, every_seconds: float, data: bytes = b"x") -> None:
        self.clock = clock
        self.every_seconds = every_seconds
        self.data = data

    def _wait(self, timeout: float | None, error: type[Exception]) -> None:
        assert timeout is not None
        assert timeout > 0
        self.clock.pass_by(min(self.every_seconds, timeout))
        if timeout < self.every_seconds:
            raise error

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002 - httpcore's
        self._wait(timeout, httpcore.ReadTimeout)
        return self.data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002 - httpcore's
        self._wait(timeout, httpcore.WriteTimeout)

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,  # noqa: ARG002 - httpcore's
        server_hostname: str | None = None,  # noqa: ARG002
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        self._wait(timeout, httpcore.ConnectTimeout)
        return self


class Backend(httpcore.NetworkBackend):
    def __init__(self, stream: Stream) -> None:
        self.stream = stream

    def connect_tcp(self, *_: Any, **__: Any) -> httpcore.NetworkStream:
        return self.stream


def waiting_with(clock: Clock, *, gives_up: bool = False, **pace: float) -> Waiting:
    limits = ReadLimits(max_download_bytes=1000 * MB, pace=SourcePace(**pace))  # type: ignore[arg-type]
    return Waiting("https://host/x.zip", limits, gives_up=gives_up, clock=clock)


def connected(stream: Stream, waiting: Waiting) -> httpcore.NetworkStream:
    return WatchedBackend(Backend(stream), waiting).connect_tcp("host", 443, 10.0)


def read_until_error(stream: httpcore.NetworkStream, most_reads: int = 10_000) -> SourceRefused:
    try:
        for _ in range(most_reads):
            stream.read(65536, 30.0)
    except SourceRefused as error:
        return error
    raise AssertionError("nothing has ended it")


# --- the deadline --------------------------------------------------------------------------------


@pytest.mark.parametrize("every_seconds", [5.0, 29.0])
def test_waiting_ends_at_the_deadline_when_single_bytes_drip(every_seconds: float) -> None:
    clock = Clock()
    began = clock.now
    error = read_until_error(connected(Stream(clock, every_seconds), waiting_with(clock)))
    assert clock.now - began == pytest.approx(600, abs=0.01)
    assert (error.retry, type(error)) == (False, SourceRefused)
    assert "https://host/x.zip is too slow" in error.message
    assert "in 600 s" in error.message
    assert "--source-deadline-seconds" in error.hint


@pytest.mark.parametrize(
    ("announced_bytes", "expected_seconds"), [(0, 600), (50 * MB, 650), (10**18, 1600)], ids=["none", "50 MB", "absurd"]
)
def test_deadline_grows_by_a_second_for_each_mb_when_a_size_is_announced(
    announced_bytes: int, expected_seconds: float
) -> None:
    clock = Clock()
    waiting = waiting_with(clock)
    waiting.announce(announced_bytes)
    began = clock.now
    read_until_error(connected(Stream(clock, 5.0), waiting))
    assert clock.now - began == pytest.approx(expected_seconds, abs=0.01)


def test_deadline_grows_with_what_came_when_no_size_is_announced() -> None:
    clock = Clock()
    stream = connected(Stream(clock, 1.0, b"x" * 2 * MB), waiting_with(clock, deadline_seconds=10))
    for _ in range(400):  # 2 MB/s, far beyond 10 s
        stream.read(4 * MB, 30.0)


def test_time_does_not_count_when_nobody_waits_for_the_server() -> None:
    clock = Clock()
    waiting = waiting_with(clock, gives_up=True)
    stream = connected(Stream(clock, 0.001, b"x" * 1024), waiting)
    for _ in range(100):
        stream.read(65536, 30.0)
        clock.pass_by(1000)  # the reader has no room
    assert waiting.seconds == pytest.approx(0.1)


def test_single_read_times_out_when_nothing_comes_and_the_deadline_is_far() -> None:
    clock = Clock()
    stream = connected(Stream(clock, 45.0), waiting_with(clock))
    with pytest.raises(httpcore.ReadTimeout):
        stream.read(65536, 30.0)


@pytest.mark.parametrize("act", ["write", "start_tls"])
def test_other_waits_end_at_the_deadline_too_when_they_hang(act: str) -> None:
    clock = Clock()
    waiting = waiting_with(clock, deadline_seconds=7)
    stream = connected(Stream(clock, 100.0), waiting)
    with pytest.raises(SourceRefused, match="in 7 s"):
        stream.write(b"GET", 30.0) if act == "write" else stream.start_tls(ssl.create_default_context(), "host", 30.0)


def test_secured_stream_is_counted_when_tls_has_started() -> None:
    clock = Clock()
    waiting = waiting_with(clock)
    secured = connected(Stream(clock, 5.0), waiting).start_tls(ssl.create_default_context(), "host", 30.0)
    read_until_error(secured)
    assert waiting.seconds == pytest.approx(600, abs=0.01)


def test_waits_between_attempts_count_when_a_server_asks_for_them() -> None:
    clock = Clock()
    waiting = waiting_with(clock, deadline_seconds=100)
    attempts = []

    def refused() -> None:
        attempts.append(1)
        error = SourceUnavailable("Not now.")
        error.retry_after_seconds = 40.0
        raise error

    began = clock.now
    with pytest.raises(SourceRefused, match="too slow") as raised:
        RetryPolicy(sleep=clock.pass_by, waiting=waiting).persist(refused)
    assert not isinstance(raised.value, SourceUnavailable)
    assert clock.now - began == pytest.approx(100, abs=0.01)
    assert len(attempts) in (2, 3)


# --- slow sources --------------------------------------------------------------------------------


def test_slow_source_is_given_up_after_30_s_when_that_is_asked_for() -> None:
    clock = Clock()
    began = clock.now
    error = read_until_error(connected(Stream(clock, 5.0), waiting_with(clock, gives_up=True)))
    assert (type(error), error.retry) == (SourceSlow, False)
    assert clock.now - began == pytest.approx(30, abs=0.01)


def test_slow_source_is_found_when_it_was_fast_before() -> None:
    clock = Clock()
    server = Stream(clock, 1.0, b"x" * 10 * MB)
    stream = connected(server, waiting_with(clock, gives_up=True))
    for _ in range(95):
        stream.read(20 * MB, 30.0)
    server.data = b"x" * 1000
    began = clock.now
    assert isinstance(read_until_error(stream), SourceSlow)
    assert 30 <= clock.now - began <= 60.01


def test_source_keeps_its_place_when_it_sends_just_enough() -> None:
    clock = Clock()
    stream = connected(Stream(clock, 1.0, b"x" * 1025), waiting_with(clock, gives_up=True))
    for _ in range(500):
        stream.read(65536, 30.0)


def test_fast_source_is_not_cut_off_when_a_period_ends_within_a_read() -> None:
    """The time-out is shorter there than the one that was asked for, and nothing has gone wrong."""
    clock = Clock()
    stream = connected(Stream(clock, 20.0, b"x" * MB), waiting_with(clock, gives_up=True))
    assert [len(stream.read(2 * MB, 30.0)) for _ in range(20)] == [MB] * 20


def test_source_is_given_up_when_only_waits_between_attempts_pass() -> None:
    clock = Clock()
    waiting = waiting_with(clock, gives_up=True)

    def refused() -> None:
        error = SourceUnavailable("Not now.")
        error.retry_after_seconds = 60.0
        raise error

    began = clock.now
    with pytest.raises(SourceSlow):
        RetryPolicy(sleep=clock.pass_by, waiting=waiting).persist(refused)
    assert clock.now - began == pytest.approx(30, abs=0.01)


def test_source_is_given_up_at_the_deadline_when_its_server_has_announced_more_than_it_sends() -> None:
    clock = Clock()
    waiting = waiting_with(clock, gives_up=True)
    waiting.announce(20_000 * MB)
    began = clock.now
    error = read_until_error(connected(Stream(clock, 1.0, b"x" * 1100), waiting))
    assert isinstance(error, SourceSlow)
    assert 600 <= clock.now - began <= 602


def test_deadline_begins_anew_when_waiting_begins_again() -> None:
    clock = Clock()
    waiting = waiting_with(clock)
    stream = connected(Stream(clock, 5.0), waiting)
    for _ in range(3):
        for _ in range(100):
            stream.read(65536, 30.0)
        waiting.begin_again()
    read_until_error(stream)
    assert waiting.seconds == pytest.approx(600, abs=0.01)


def test_second_counts_once_when_several_threads_wait() -> None:
    clock = Clock()
    waiting = waiting_with(clock)
    with waiting.counted():
        clock.pass_by(1)
        with waiting.counted():
            clock.pass_by(2)
        clock.pass_by(3)
    clock.pass_by(50)
    assert waiting.seconds == 6
