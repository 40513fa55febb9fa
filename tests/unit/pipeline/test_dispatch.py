"""The decisions alone: states are built by hand, and deaths are said, not made."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ray_import.chunks.rows import ImportJob
from ray_import.pipeline.batch import BatchContext
from ray_import.pipeline.scheduler import (
    ALONE_BEFORE_REJECT,
    ALONE_BEFORE_SPLIT,
    EXCUSED_FOR_MEMORY,
    LEAST_SHARE,
    MOST_EXCUSED,
    Death,
    Fate,
    QueuedBatch,
    Scheduler,
    Verdict,
)
from ray_import.records import Batch, Frame
from ray_import.settings import ImportSettings


def pool(lanes: int = 2, per_lane: int = 2, budget_bytes: int = 1000, up: int | None = None) -> Scheduler:
    """A pool with its first `up` lanes up: all, unless told otherwise."""
    dispatch = Scheduler(lanes, per_lane, budget_bytes)
    for lane in range(lanes if up is None else up):
        dispatch.lane_up(lane)
    return dispatch


WORK = BatchContext(ImportJob("import-1", "ada", 0.0), ImportSettings())
FRAME = Frame("conversations.json", 0, 0, 1, "")


@dataclass(slots=True, eq=False)
class Load(QueuedBatch):
    """A batch with a number, by which these tests know it."""

    number: int = 0


def load(number: int, size_bytes: int = 10, conversations: int = 1, **more: Any) -> Load:
    return Load(Batch(b"", size_bytes, (FRAME,) * conversations), WORK, number=number, **more)


def number_of(queued: QueuedBatch) -> int:
    assert isinstance(queued, Load)
    return queued.number


def add(dispatch: Scheduler, *loads: Load) -> None:
    for each in loads:
        dispatch.add(each)


def placed(dispatch: Scheduler) -> list[tuple[int, int]]:
    """Sends what can be sent: lanes and numbers."""
    sent = []
    while (found := dispatch.place()) is not None:
        sent.append((found[0], number_of(found[1])))
    return sent


# --- room ----------------------------------------------------------------------------------------


def test_an_empty_pool_takes_a_batch_of_any_size() -> None:
    assert pool(budget_bytes=100).has_room(1_000_000)
    assert pool(up=0).has_room(1)


def test_the_bytes_in_flight_are_within_the_budget() -> None:
    dispatch = pool(lanes=4, budget_bytes=100)
    add(dispatch, load(0, 60))
    assert dispatch.has_room(40)
    assert not dispatch.has_room(41)


def test_a_batch_beyond_the_budget_travels_alone() -> None:
    dispatch = pool(lanes=4, budget_bytes=100)
    add(dispatch, load(0, 500))
    assert not dispatch.has_room(1)


@pytest.mark.parametrize(("lanes", "per_lane"), [(1, 1), (1, 2), (3, 2)])
def test_no_more_is_taken_than_the_lanes_that_are_up_can_queue(lanes: int, per_lane: int) -> None:
    dispatch = pool(lanes, per_lane)
    taken = 0
    while dispatch.has_room(1):
        add(dispatch, load(taken, 1))
        taken += 1
    assert taken == lanes * per_lane


def test_a_lane_that_is_down_adds_no_room() -> None:
    dispatch = pool(lanes=2, per_lane=2, up=1)
    add(dispatch, load(0), load(1))
    assert not dispatch.has_room(1)
    dispatch.lane_up(1)
    assert dispatch.has_room(1)


def test_what_is_done_makes_room_again() -> None:
    dispatch = pool(lanes=1, per_lane=1, budget_bytes=100)
    only = load(0, 100)
    add(dispatch, only)
    assert placed(dispatch) == [(0, 0)]
    assert not dispatch.has_room(1)
    dispatch.done(0, only)
    assert (dispatch.in_flight, dispatch.bytes_in_flight) == (0, 0)
    assert dispatch.has_room(100)


# --- places --------------------------------------------------------------------------------------


def test_nothing_is_sent_to_a_lane_before_it_has_answered() -> None:
    dispatch = pool(lanes=2, up=0)
    add(dispatch, load(0), load(1), load(2))
    assert placed(dispatch) == []
    dispatch.lane_up(1)
    assert placed(dispatch) == [(1, 0), (1, 1)]


def test_a_lane_queues_no_more_than_it_may() -> None:
    dispatch = pool(lanes=2, per_lane=2)
    add(dispatch, *(load(i) for i in range(6)))
    sent = placed(dispatch)
    assert [number for _, number in sent] == [0, 1, 2, 3]
    assert Counter(lane for lane, _ in sent) == {0: 2, 1: 2}


def test_the_lane_with_the_fewest_bytes_is_next() -> None:
    dispatch = pool(lanes=2, per_lane=4)
    add(dispatch, load(0, 100), load(1, 10), load(2, 10), load(3, 10))
    assert placed(dispatch) == [(0, 0), (1, 1), (1, 2), (1, 3)]


def test_a_suspect_is_alone_on_its_lane_and_nothing_joins_it() -> None:
    dispatch = pool(lanes=2, per_lane=3)
    add(dispatch, load(0, suspect=True), load(1), load(2), load(3), load(4))
    sent = placed(dispatch)
    assert sent[0] == (0, 0)
    assert {lane for lane, number in sent if number} == {1}


def test_while_a_suspect_waits_nothing_else_is_sent() -> None:
    dispatch = pool(lanes=1, per_lane=2)
    first = load(0)
    add(dispatch, first)
    assert placed(dispatch) == [(0, 0)]
    add(dispatch, load(1, suspect=True), load(2))
    assert placed(dispatch) == []
    dispatch.done(0, first)
    assert placed(dispatch) == [(0, 1)]


def test_what_failed_for_a_reason_that_passes_is_sent_again_and_stays_in_flight() -> None:
    dispatch = pool(lanes=1, per_lane=1)
    only = load(0, 70)
    add(dispatch, only)
    assert placed(dispatch) == [(0, 0)]
    dispatch.again(0, only)
    assert (dispatch.in_flight, dispatch.bytes_in_flight) == (1, 70)
    assert placed(dispatch) == [(0, 0)]


def test_a_suspect_that_failed_for_a_reason_that_passes_is_still_sent_alone() -> None:
    """Next to others it would be blamed for their deaths."""
    dispatch = pool(lanes=1, per_lane=2)
    suspect, other = load(0, suspect=True), load(1)
    add(dispatch, suspect, other)
    assert placed(dispatch) == [(0, 0)]
    dispatch.again(0, suspect)
    assert placed(dispatch) in ([(0, 0)], [(0, 1)])


# --- deaths --------------------------------------------------------------------------------------


def dies(dispatch: Scheduler, lane: int, death: Death = Death.CRASH) -> Verdict | None:
    """The worker of `lane` dies and comes up again."""
    dispatch.lane_lost(lane)
    verdict = dispatch.lane_died_of(lane, death)
    dispatch.lane_up(lane)
    return verdict


def fate_after(dispatch: Scheduler, death: Death) -> tuple[int, Fate]:
    """How often the only batch is tried, where each try ends so, and what then becomes of it."""
    for tries in range(1, 100):
        assert len(placed(dispatch)) == 1
        if (verdict := dies(dispatch, 0, death)) is not None:
            return tries, verdict.fate
    raise AssertionError("it is tried without end")


def test_a_death_makes_suspects_of_all_that_was_on_the_lane_and_of_nothing_else() -> None:
    dispatch = pool(lanes=2, per_lane=2)
    loads = [load(i) for i in range(4)]
    add(dispatch, *loads)
    lanes = {number: lane for lane, number in placed(dispatch)}
    assert dies(dispatch, 0) is None
    assert [each.suspect for each in loads] == [lanes[each.number] == 0 for each in loads]
    assert dispatch.in_flight == 4


@pytest.mark.parametrize("suspect", [False, True])
def test_what_a_restarted_worker_never_had_is_not_held_against_it(suspect: bool) -> None:
    dispatch = pool(lanes=1, per_lane=2)
    only = load(0, suspect=suspect)
    add(dispatch, only)
    placed(dispatch)
    dispatch.lane_restarted(0)
    assert (placed(dispatch), dispatch.in_flight) == ([], 1)
    assert dispatch.lane_died_of(0, Death.CRASH) is None
    dispatch.lane_up(0)
    assert placed(dispatch) == [(0, 0)]
    assert (only.suspect, only.deaths_alone, only.excused) == (suspect, 0, 0)


def test_a_lane_that_is_lost_is_sent_nothing_until_it_answers() -> None:
    dispatch = pool(lanes=1, per_lane=1)
    add(dispatch, load(0))
    placed(dispatch)
    dispatch.lane_lost(0)
    assert placed(dispatch) == []
    dispatch.lane_up(0)
    assert placed(dispatch) == [(0, 0)]


def test_the_death_of_an_idle_worker_blames_nobody() -> None:
    dispatch = pool(lanes=1)
    assert dies(dispatch, 0) is None
    assert dispatch.in_flight == 0


def test_a_death_among_others_is_not_a_batchs_own() -> None:
    dispatch = pool(lanes=1, per_lane=2)
    first, second = load(0), load(1)
    add(dispatch, first, second)
    placed(dispatch)
    dies(dispatch, 0)
    assert (first.deaths_alone, second.deaths_alone) == (0, 0)


def test_one_conversation_is_rejected_after_three_deaths_alone_and_not_before() -> None:
    dispatch = pool(lanes=1, per_lane=1)
    guilty = load(0, 70)
    add(dispatch, guilty)
    assert fate_after(dispatch, Death.CRASH) == (1 + 3, Fate.REJECT)  # the first time it was not known to be alone
    assert (dispatch.in_flight, dispatch.bytes_in_flight) == (0, 0)


def test_several_conversations_are_split_after_two_deaths_alone_and_not_before() -> None:
    dispatch = pool(lanes=1, per_lane=1)
    guilty = load(0, 70, conversations=5)
    add(dispatch, guilty)
    assert fate_after(dispatch, Death.CRASH) == (1 + 2, Fate.SPLIT)
    assert (dispatch.in_flight, dispatch.bytes_in_flight) == (0, 0)


@pytest.mark.parametrize(("conversations", "alone", "fate"), [(1, 2, Fate.REJECT), (5, 1, Fate.SPLIT)])
def test_dispatch_needs_fewer_deaths_when_the_time_limit_was_exceeded(
    conversations: int, alone: int, fate: Fate
) -> None:
    dispatch = pool(lanes=1, per_lane=1)
    slow = load(0, 70, conversations)
    add(dispatch, slow)
    assert fate_after(dispatch, Death.SLOW) == (1 + alone, fate)
    assert slow.slow


def test_load_is_not_slow_when_it_kills_its_worker_otherwise() -> None:
    dispatch = pool(lanes=1, per_lane=1)
    guilty = load(0, 70)
    add(dispatch, guilty)
    fate_after(dispatch, Death.CRASH)
    assert not guilty.slow


@pytest.mark.parametrize("conversations", [2, 3, 200, 5000])
def test_time_limits_add_up_to_six_times_the_limit_at_most_when_one_of_many_is_too_slow(conversations: int) -> None:
    """In company, alone, in each part that holds it, and twice by itself."""
    part = load(0, conversations=conversations)
    spent = 1 + part.limit_share
    while part.conversations > 1:
        size = -(-part.conversations // 2)
        part = load(0, 10, size, suspect=True, limit_share=part.share_of_part(size))
        spent += 2 * part.limit_share if size == 1 else part.limit_share
        assert LEAST_SHARE <= part.limit_share <= 1
    assert part.limit_share == 1
    assert spent <= 6


@pytest.mark.parametrize("conversations", [1, 5])
def test_who_is_lost_with_one_machine_after_the_other_is_never_to_blame_and_not_tried_for_ever(
    conversations: int,
) -> None:
    dispatch = pool(lanes=1, per_lane=1)
    innocent = load(0, 70, conversations)
    add(dispatch, innocent)
    assert fate_after(dispatch, Death.MACHINE) == (1 + MOST_EXCUSED, Fate.LOST)
    assert innocent.deaths_alone == 0
    assert (dispatch.in_flight, dispatch.bytes_in_flight) == (0, 0)


@pytest.mark.parametrize(
    ("conversations", "own", "fate"), [(1, ALONE_BEFORE_REJECT, Fate.REJECT), (5, ALONE_BEFORE_SPLIT, Fate.SPLIT)]
)
def test_want_of_memory_is_a_batchs_own_only_when_it_does_not_pass(conversations: int, own: int, fate: Fate) -> None:
    dispatch = pool(lanes=1, per_lane=1)
    add(dispatch, load(0, 70, conversations))
    assert fate_after(dispatch, Death.MEMORY) == (1 + EXCUSED_FOR_MEMORY + own, fate)
    assert (dispatch.in_flight, dispatch.bytes_in_flight) == (0, 0)


def test_lost_machines_do_not_acquit_who_kills_its_worker() -> None:
    dispatch = pool(lanes=1, per_lane=1)
    add(dispatch, load(0, suspect=True))
    verdicts = []
    for death in (Death.MACHINE, Death.CRASH) * 3:
        assert placed(dispatch) == [(0, 0)]
        verdicts.append(dies(dispatch, 0, death))
    assert verdicts[:-1] == [None] * 5
    assert verdicts[-1] is not None
    assert verdicts[-1].fate is Fate.REJECT


def test_a_suspect_waits_until_it_is_known_why_its_worker_died_and_others_go_on() -> None:
    dispatch = pool(lanes=2, per_lane=1)
    add(dispatch, load(0, suspect=True))
    assert placed(dispatch) == [(0, 0)]
    dispatch.lane_lost(0)
    dispatch.lane_lost(0)  # asked whether it is up, it is lost once more
    add(dispatch, load(1))
    assert placed(dispatch) == [(1, 1)]
    assert not dispatch.is_idle(0)
    dispatch.lane_died_of(0, Death.MACHINE)
    dispatch.lane_up(0)
    assert placed(dispatch) == [(0, 0)]


def test_a_neighbour_of_the_guilty_one_is_done_and_never_blamed() -> None:
    dispatch = pool(lanes=1, per_lane=2)
    guilty, neighbour = load(0), load(1)
    add(dispatch, guilty, neighbour)
    placed(dispatch)
    dies(dispatch, 0)
    verdicts, done = [], []
    for _ in range(20):
        found = dispatch.place()
        if found is None:
            break
        if found[1] is guilty:
            verdicts.append(dies(dispatch, 0))
        else:
            done.append(found[1])
            dispatch.done(*found)
    assert (verdicts, done) == ([None, None, Verdict(guilty, Fate.REJECT)], [neighbour])


@pytest.mark.parametrize("count", [1, 2, 7, 8])
def test_if_every_conversation_kills_it_ends_with_all_of_them_rejected(count: int) -> None:
    dispatch = pool(lanes=1, per_lane=2)
    whole = load(0, count, conversations=count)
    add(dispatch, whole)
    rejected, number, deaths = 0, 0, 0
    while dispatch.in_flight:
        placed(dispatch)
        deaths += 1
        assert deaths < 20 * count
        verdict = dies(dispatch, 0)
        if verdict is None:
            continue
        if verdict.fate is Fate.REJECT:
            rejected += verdict.queued.conversations
        else:
            half = verdict.queued.conversations // 2
            for part in (half, verdict.queued.conversations - half):
                number -= 1
                add(dispatch, load(number, part, conversations=part, suspect=True))
    assert rejected == count


# --- every order of events -----------------------------------------------------------------------

CRASHES = 2
"""Workers also crash for other reasons: that often, it may not cost a conversation."""
LOST_MACHINES = 7
"""So often, that costs nothing: no batch is lost with all of them and excused for too long."""
KILLED_FOR_MEMORY = 2


class PoolWithOneGuiltyConversation(RuleBasedStateMachine):
    """Batches of conversations on a pool of workers, of which one conversation kills whoever works on it."""

    dispatch: Scheduler

    @initialize(
        lanes=st.integers(1, 3),
        per_lane=st.integers(1, 3),
        budget_bytes=st.sampled_from([4, 20, 1000]),
        sizes=st.lists(st.integers(1, 6), min_size=1, max_size=8),
        guilty=st.integers(0, 47),
    )
    def begin(self, lanes: int, per_lane: int, budget_bytes: int, sizes: list[int], guilty: int) -> None:
        self.dispatch = Scheduler(lanes, per_lane, budget_bytes)
        self.per_lane, self.budget_bytes = per_lane, budget_bytes
        numbers = iter(range(sum(sizes)))
        self.coming = [[next(numbers) for _ in range(size)] for size in sizes]
        self.all = set(range(sum(sizes)))
        self.guilty = guilty % len(self.all)
        self.held: dict[int, tuple[Load, list[int]]] = {}
        self.lanes: list[list[int]] = [[] for _ in range(lanes)]
        self.up = [False] * lanes
        self.died_of = [Death.MACHINE] * lanes
        self.done: list[int] = []
        self.rejected: list[int] = []
        self.submitted, self.parts = 0, 0
        self.innocent_deaths = {
            Death.CRASH: CRASHES,
            Death.MACHINE: LOST_MACHINES,
            Death.MEMORY: KILLED_FOR_MEMORY,
        }
        self.passing_failures = 3

    def hold(self, number: int, conversations: list[int], *, suspect: bool) -> None:
        each = load(number, len(conversations), len(conversations), suspect=suspect)
        self.held[number] = (each, conversations)
        self.dispatch.add(each)

    def dangerous(self, lane: int) -> bool:
        return any(self.guilty in self.held[number][1] for number in self.lanes[lane])

    def submit(self) -> None:
        if self.coming and self.dispatch.has_room(len(self.coming[0])):
            self.hold(self.submitted, self.coming.pop(0), suspect=False)
            self.submitted += 1

    def send(self) -> None:
        while (found := self.dispatch.place()) is not None:
            lane, each = found
            assert self.up[lane]
            self.lanes[lane].append(number_of(each))

    def finish(self, lane: int) -> None:
        each, conversations = self.held.pop(self.lanes[lane].pop(0))
        self.done.extend(conversations)
        self.dispatch.done(lane, each)

    def lose(self, lane: int, death: Death = Death.CRASH) -> None:
        """Why it died is known when it answers."""
        self.lanes[lane], self.up[lane] = [], False
        self.died_of[lane] = death
        self.dispatch.lane_lost(lane)

    def answers(self, lane: int) -> None:
        self.up[lane] = True
        verdict = self.dispatch.lane_died_of(lane, self.died_of[lane])
        self.dispatch.lane_up(lane)
        if verdict is None:
            return
        _, conversations = self.held.pop(number_of(verdict.queued))
        if verdict.fate is Fate.SPLIT:
            half = len(conversations) // 2
            for part in (conversations[:half], conversations[half:]):
                self.parts -= 1
                self.hold(self.parts, part, suspect=True)
        else:
            assert verdict.fate is Fate.REJECT
            self.rejected.extend(conversations)

    @rule()
    def batches_come(self) -> None:
        self.submit()
        self.send()

    @rule(data=st.data())
    def a_worker_answers(self, data: st.DataObject) -> None:
        lane = data.draw(st.integers(0, len(self.lanes) - 1))
        if not self.up[lane]:
            self.answers(lane)
            self.send()

    @precondition(lambda self: any(self.lanes))
    @rule(data=st.data())
    def the_first_of_a_lane_is_worked_on(self, data: st.DataObject) -> None:
        lane = data.draw(st.sampled_from([i for i, queued in enumerate(self.lanes) if queued]))
        if self.guilty in self.held[self.lanes[lane][0]][1]:
            self.lose(lane)
        else:
            self.finish(lane)
        self.send()

    @precondition(lambda self: any(self.dangerous(lane) for lane in range(len(self.lanes))))
    @rule()
    def the_guilty_one_kills_before_the_results_ahead_of_it_are_seen(self) -> None:
        self.lose(next(lane for lane in range(len(self.lanes)) if self.dangerous(lane)))
        self.send()

    @precondition(lambda self: any(self.innocent_deaths.values()) and any(self.up))
    @rule(data=st.data())
    def a_worker_dies_for_no_fault_of_its_batches(self, data: st.DataObject) -> None:
        death = data.draw(st.sampled_from([death for death, left in self.innocent_deaths.items() if left]))
        self.innocent_deaths[death] -= 1
        self.lose(data.draw(st.sampled_from([i for i, up in enumerate(self.up) if up])), death)
        self.send()

    @precondition(lambda self: self.passing_failures and any(self.lanes))
    @rule(data=st.data())
    def the_destination_is_busy(self, data: st.DataObject) -> None:
        self.passing_failures -= 1
        lane = data.draw(st.sampled_from([i for i, queued in enumerate(self.lanes) if queued]))
        self.dispatch.again(lane, self.held[self.lanes[lane].pop(0)][0])
        self.send()

    @precondition(lambda self: any(self.innocent_deaths.values()) and any(self.up))
    @rule(data=st.data())
    def a_worker_had_died_before_it_was_sent_anything(self, data: st.DataObject) -> None:
        lane = data.draw(st.sampled_from([i for i, up in enumerate(self.up) if up]))
        self.lanes[lane], self.up[lane] = [], False
        self.died_of[lane] = Death.CRASH
        self.dispatch.lane_restarted(lane)
        self.send()

    @invariant()
    def what_is_in_flight_is_counted(self) -> None:
        sizes = [each.size_bytes for each, _ in self.held.values()]
        assert (self.dispatch.in_flight, self.dispatch.bytes_in_flight) == (len(sizes), sum(sizes))

    @invariant()
    def suspects_are_alone_and_no_lane_has_more_than_it_may(self) -> None:
        for queued in self.lanes:
            suspects = [number for number in queued if self.held[number][0].suspect]
            assert len(queued) <= (1 if suspects else self.per_lane)

    @invariant()
    def no_innocent_is_rejected(self) -> None:
        assert set(self.rejected) <= {self.guilty}

    def teardown(self) -> None:
        """From wherever the events have led, it goes on to the end."""
        if not hasattr(self, "dispatch"):
            return
        turns = 0
        while self.coming or self.held:
            turns += 1
            assert turns < 1000, "it does not end"
            for lane, up in enumerate(self.up):
                if not up:
                    self.answers(lane)
            self.submit()
            self.send()
            for lane, queued in enumerate(self.lanes):
                if queued and self.guilty in self.held[queued[0]][1]:
                    self.lose(lane)
                elif queued:
                    self.finish(lane)
        assert self.rejected == [self.guilty]
        assert sorted(self.done) == sorted(self.all - {self.guilty})


TestPoolWithOneGuiltyConversation = PoolWithOneGuiltyConversation.TestCase
TestPoolWithOneGuiltyConversation.settings = settings(
    max_examples=100, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
