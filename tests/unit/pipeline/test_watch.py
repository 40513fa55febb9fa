"""A run that is looked after: what is told of it, and when."""

import json
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from queue import Empty, Queue

import pytest

from ray_import.destinations.base import RunUser
from ray_import.errors import ClusterError, ConfigError, Interrupted, SinkError
from ray_import.pipeline.alerts import GONE, DeadMansSwitch, Watch, post
from ray_import.pipeline.progress import Progress
from ray_import.pipeline.report import RunReport
from tests.unit.pipeline.inline import Clock
from tests.unit.pipeline.webhook import webhook

GOOD = RunUser("ada-lovelace", "ada.zip", state="complete")
BAD = RunUser("grace-hopper", "grace.zip", state="failed", error="grace.zip holds no conversations.")
PROGRESS = Progress(Counter(running=1, complete=2), 1_000, 10, 20, 0, 5.0, 1)

Told = Queue[Mapping[str, object]]


def report(*users: RunUser) -> RunReport:
    return RunReport("run-1", "/home/ada-lovelace/users.jsonl", "postgresql://db/chats", users, 1_000, 12.3456, 2)


@dataclass
class Kept:
    """See `Will`: one that is read here."""

    messages: "Queue[Mapping[str, object]]" = field(default_factory=Queue)
    taken_back: bool = False

    def arm(self, message: Mapping[str, object]) -> None:
        assert not self.taken_back
        self.messages.put(message)

    def disarm(self) -> None:
        self.taken_back = True


def watch(told: Told, clock: Clock | None = None, will: Kept | None = None) -> Watch:
    """One that looks all the time, at a clock that stands still unless the test moves it."""
    return Watch("manifest", told.put, 600, will or DeadMansSwitch(""), clock or Clock(), look_every_seconds=0.001)


def taken(told: Told) -> list[Mapping[str, object]]:
    return [told.get_nowait() for _ in range(told.qsize())]


def test_a_run_that_ends_with_failures_is_told_and_nobody_is_named() -> None:
    told: Told = Queue()
    with watch(told) as looking:
        looking.begun("run-1", [GOOD, BAD])
        looking.ended(report(GOOD, BAD))
    states = {"complete": 1, "failed": 1}
    expected = {"event": "ended_with_failures", "run_id": "run-1", "what": "manifest", "states": states}
    assert taken(told) == [expected | {"seconds": 12.346}]


def test_a_run_that_ends_well_is_not_told() -> None:
    told: Told = Queue()
    with watch(told) as looking:
        looking.show(PROGRESS)
        looking.ended(report(GOOD))
    assert taken(told) == []


def told_as_time_goes_by(told: Told, clock: Clock) -> Mapping[str, object]:
    """Moves the clock until something is told."""
    for _ in range(200):
        clock.now += 601
        with suppress(Empty):
            return told.get(timeout=0.05)
    raise AssertionError("nothing was told")


def test_each_stall_is_told_while_the_run_waits() -> None:
    told: Told = Queue()
    clock = Clock()
    with watch(told, clock) as looking:
        looking.begun("run-1", [GOOD, BAD])
        looking.show(PROGRESS)
        first = told_as_time_goes_by(told, clock)
        clock.now += 6_000
        looking.show(replace(PROGRESS, conversations=11))
        second = told_as_time_goes_by(told, clock)
    for message in (first, second):
        assert (message["event"], message["run_id"], message["what"]) == ("stalled", "run-1", "manifest")
        assert message["states"] == {"complete": 2, "running": 1}
        assert float(str(message["stalled_seconds"])) >= 600
    assert taken(told) == []


@pytest.mark.parametrize(
    ("error", "as_told"),
    [
        (SinkError("ada-lovelace may not.", code="42501"), {"error": "SinkError", "code": "42501"}),
        (ClusterError("Worker 1 does not come up again."), {"error": "ClusterError"}),
        (RuntimeError("ada-lovelace"), {"error": "RuntimeError"}),
        (ConfigError("A machine has no DATABASE_URL."), {"error": "ConfigError"}),
    ],
)
def test_an_error_that_ends_a_run_is_told_without_its_words(error: Exception, as_told: dict[str, object]) -> None:
    told: Told = Queue()
    clock = Clock()
    looking = watch(told, clock)
    looking.begun("run-1", [GOOD, BAD])
    looking.show(PROGRESS)
    clock.now += 5
    with pytest.raises(type(error)), looking:
        raise error
    [message] = taken(told)
    states = {"complete": 2, "running": 1}
    expected = {"event": "died", "run_id": "run-1", "what": "manifest", "states": states, "seconds": 5.0}
    assert message == expected | as_told
    assert "ada" not in json.dumps(message)


def test_a_run_that_dies_before_it_shows_anything_is_told_with_the_states_it_began_with() -> None:
    told: Told = Queue()
    looking = watch(told)
    looking.begun("run-1", [GOOD, BAD])
    with pytest.raises(ClusterError), looking:
        raise ClusterError("No worker came up.")
    [message] = taken(told)
    assert (message["run_id"], message["states"]) == ("run-1", {"complete": 1, "failed": 1})


def test_a_run_that_cannot_begin_is_told_without_an_id() -> None:
    told: Told = Queue()
    with pytest.raises(ClusterError), watch(told):
        raise ClusterError("Ray cannot be reached.")
    [message] = taken(told)
    assert (message["event"], message["run_id"], message["states"]) == ("died", None, {})


@pytest.mark.parametrize("by_hand", [KeyboardInterrupt(), Interrupted("It was."), ConfigError("No such file.")])
def test_of_what_ends_a_run_in_front_of_somebody_nobody_is_told(by_hand: BaseException) -> None:
    told: Told = Queue()
    with pytest.raises(type(by_hand)), watch(told):
        raise by_hand
    assert taken(told) == []


@pytest.mark.parametrize("error", [None, ClusterError("Gone."), KeyboardInterrupt()])
@pytest.mark.parametrize(("progress", "states"), [(None, {"complete": 1}), (PROGRESS, {"complete": 2, "running": 1})])
def test_a_run_leaves_a_will_once_it_has_begun_and_takes_it_back_however_it_ends(
    error: BaseException | None, progress: Progress | None, states: dict[str, int]
) -> None:
    will = Kept()
    looking = watch(Queue(), will=will)
    with suppress(ClusterError, KeyboardInterrupt), looking:
        looking.begun("run-1", [GOOD])
        if progress is not None:
            looking.show(progress)
        told = iter(lambda: will.messages.get(timeout=10), None)
        message = next(message for message in told if message["states"] == states)
        if error is not None:
            raise error
    assert (message["event"], message["run_id"], message["error"]) == ("died", "run-1", GONE)
    assert will.taken_back


def test_a_run_that_has_not_begun_leaves_no_will() -> None:
    told: Told = Queue()
    clock, will = Clock(), Kept()
    with watch(told, clock, will):
        told_as_time_goes_by(told, clock)  # it has looked
    assert will.messages.empty()


def test_a_webhook_that_never_answers_neither_holds_up_nor_changes_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    with webhook(slow=True) as hook:
        looking = Watch(
            "manifest", lambda message: post(hook.url, message, within_seconds=0.1), 600, DeadMansSwitch(""), Clock()
        )
        with pytest.raises(ClusterError), looking:
            raise ClusterError("A machine was lost.")
        assert hook.got.get(timeout=10)["event"] == "died"
    assert "could not be sent" in capsys.readouterr().err
