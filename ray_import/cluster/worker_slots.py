"""The workers of a pool: started, asked whether they are up, replaced, given up."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ray

from ray_import.cluster.deaths import WorkerProcess, cause_of_death, machines_alive
from ray_import.cluster.failures import LOST, cannot_be_made, to_ours
from ray_import.cluster.worker_slot import Recycling, WorkerSlot
from ray_import.errors import ClusterError, ImporterError, SinkBusy
from ray_import.pipeline.scheduler import Death, Scheduler, Verdict

START_TIMEOUT_SECONDS = 120
AWAY_SECONDS = 600
"""For how long workers are waited for that are there, but whose destination is away. Longer than the driver itself
waits for it: where both miss it, the driver tells."""
LOOK_SECONDS = 5.0
"""The longest between two looks at the workers that counts as time in which they were looked at."""


@dataclass(frozen=True, slots=True)
class StartupTimeouts:
    """For how many seconds a worker is waited for: the first of all, and the next where none is left."""

    first: float = START_TIMEOUT_SECONDS
    none_left: float = START_TIMEOUT_SECONDS


FOR_WHAT_IS_THERE = StartupTimeouts()


class NoWorkerTimeout:
    """How long no worker has been up, as somebody who looks at all of them sees it.

    Asked of all of them: one by one they are given up, and started anew, without end. Only time in which somebody
    looked counts: a driver may be held up for minutes, by its own destination, say, while workers come and go.
    """

    def __init__(self, patience: StartupTimeouts, now: float) -> None:
        self._patience = patience
        self._looked = now
        self._silent_seconds = 0.0
        self._away_seconds = 0.0
        self._away: SinkBusy | None = None

    def answered(self, away: SinkBusy) -> None:
        """A worker is there, and its destination is not."""
        self._silent_seconds = 0.0
        self._away = away

    def look(self, now: float, *, up: bool) -> None:
        """One is up, or none is. Raises ClusterError where none has answered for too long, SinkBusy where those that do
        have missed their destination for too long."""
        since, self._looked = min(now - self._looked, LOOK_SECONDS), now
        self._silent_seconds = 0.0 if up else self._silent_seconds + since
        if up or self._silent_seconds > START_TIMEOUT_SECONDS:  # who has answered would have done so once more
            self._away = None
        self._away_seconds = 0.0 if self._away is None else self._away_seconds + since
        if self._silent_seconds > self._patience.none_left:
            raise ClusterError(f"No worker restarted within {self._silent_seconds:.0f} s.")
        if self._away is not None and self._away_seconds > AWAY_SECONDS:
            raise self._away


REST_SECONDS = 300.0
"""Until a worker is tried again that could not begin where it was: one machine with a wrong setting, say."""


class WorkerSlots:
    """The workers by number, and what the dispatch is told of them. One that was given up leaves its number to who is
    started next."""

    def __init__(
        self,
        dispatch: Scheduler,
        make_actor: Callable[[int], Any],
        recycling: Recycling,
        patience: StartupTimeouts,
        tell: Callable[[str], None],
    ) -> None:
        self._dispatch = dispatch
        self._make_actor = make_actor
        self._recycling = recycling
        self._patience = patience
        self._tell = tell
        self._told = set[str]()
        self._lanes: list[WorkerSlot] = []
        self._verdicts: list[Verdict] = []
        self._has_been_up = False
        self._none_up = NoWorkerTimeout(patience, time.monotonic())
        self.asked: dict[Any, int] = {}  # which lane each call asks whether it is up

    @property
    def wanted(self) -> int:
        """How many there are, or are to come up, and are to stay."""
        return sum(lane.is_wanted for lane in self._lanes)

    def actor(self, lane: int) -> Any:
        """The worker itself."""
        return self._lanes[lane].actor

    def take_verdicts(self) -> list[Verdict]:
        """What deaths have shown since this was asked before."""
        verdicts, self._verdicts = self._verdicts, []
        return verdicts

    def wait_for_first(self) -> None:
        """Until one has answered, whatever it says. Raises ClusterError."""
        seconds = self._patience.first
        done, _ = ray.wait(list(self.asked), num_returns=1, timeout=seconds, fetch_local=False)
        if not done:
            raise ClusterError(
                f"No worker started within {seconds:.0f} s.",
                "The cluster has no free CPU: wait until other jobs end, or use fewer --workers.",
            )
        self.settle(done[0])

    def resize(self, workers: int) -> None:
        """Starts workers, or ends some, until there are so many; who works on something is ended after that.

        Too many are not let be: they would take the CPUs that readers need, and both wait for ever. And at once: a
        machine is only missed after a while, and one that is back has its workers in a second.
        """
        self._miss_idle()
        for lane in self._lacking(workers):
            if lane == len(self._lanes):
                self._lanes.append(WorkerSlot(given_up=True))
                self._dispatch.add_lane()
            self._start(lane)
        for lane in self._too_many(workers):
            if self._lanes[lane].is_up:
                self._lanes[lane].leaving = True
                self._dispatch.retire(lane)
                self.end_if_idle(lane)
            else:
                self._give_up(lane)

    def _miss_idle(self) -> None:
        """Asks for those again whose machine is gone: who has nothing to do does not fail at it."""
        up = {i: lane.process for i, lane in enumerate(self._lanes) if lane.is_up and self._dispatch.is_idle(i)}
        alive = machines_alive() if up else set()
        for lane, process in up.items():
            if process is not None and process.node_id not in alive:
                self.restarted(lane)

    def _lacking(self, workers: int) -> list[int]:
        """Those that rest are not: who took their place would come to the same machine. Nor those that are at their
        last batch: they still have their connection to the destination."""
        now = time.monotonic()
        missing = max(0, workers - sum(not lane.given_up or lane.rests_until > now for lane in self._lanes))
        free = [i for i, lane in enumerate(self._lanes) if lane.given_up and lane.rests_until <= now]
        return [*free, *range(len(self._lanes), len(self._lanes) + missing)][:missing]

    def _too_many(self, workers: int) -> list[int]:
        """First those that are not up, and may wait for the CPU of a machine that is gone."""
        wanted = [i for i, lane in enumerate(self._lanes) if lane.is_wanted]
        wanted.sort(key=lambda i: self._lanes[i].is_up)
        return wanted[: max(0, len(wanted) - workers)]

    def settle(self, call: Any) -> None:
        """A worker was asked whether it is up, and this is what came of it."""
        lane = self.asked.pop(call)
        try:
            process = ray.get(call)
        except LOST as error:
            self.lost(lane, error)
        except ray.exceptions.RayError as error:
            self._cannot_begin(lane, to_ours(error))
        else:
            self._is_up(lane, process)

    def refuse_to_wait_for_ever(self) -> None:
        """Raises ClusterError where none has been up for longer than a machine may take to come, and SinkBusy where
        those that came have missed their destination for too long."""
        self._none_up.look(time.monotonic(), up=any(lane.is_up for lane in self._lanes))

    def _is_up(self, lane: int, process: WorkerProcess) -> None:
        self._has_been_up = True
        slow, self._lanes[lane].slow = self._lanes[lane].slow, False
        before = self._lanes[lane].answered(process)
        if not self._dispatch.is_idle(lane):  # who was alone there, when it died
            death = Death.MACHINE if before is None else cause_of_death(before)
            self._judge(lane, Death.SLOW if slow and death is Death.CRASH else death)
        self._dispatch.lane_up(lane)

    def _cannot_begin(self, lane: int, error: ImporterError) -> None:
        """A destination that was there is waited for; one that never was is no use waiting for.

        Whatever else it is may be the machine's fault as long as others have begun: these go on without it.
        """
        if not self._has_been_up or (self.wanted == 1 and not isinstance(error, SinkBusy)):
            raise error
        if isinstance(error, SinkBusy):
            self._none_up.answered(error)
            self._ask(lane)
            return
        self._give_up(lane, REST_SECONDS)
        if error.message not in self._told:
            self._told.add(error.message)
            self._tell(f"a worker could not start and is not used: {error.message}")

    def lost(self, lane: int, error: ray.exceptions.RayError, *, slow: bool = False) -> None:
        """The worker is gone: asks for it again, or for another one.

        With `slow` its batch had been there for longer than its time limit.
        """
        self._dispatch.lane_lost(lane)
        known = self._lanes[lane]
        if known.leaving:
            self._give_up(lane)
        elif (refused := cannot_be_made(error)) is not None:
            self._cannot_begin(lane, refused)
        else:
            is_dead = isinstance(error, ray.exceptions.ActorDiedError)  # otherwise Ray starts it again
            actor = self._make_actor(lane) if is_dead else known.actor
            self._lanes[lane] = WorkerSlot(actor, known.process, known.silent, slow or known.slow)
            self._ask(lane)

    def restarted(self, lane: int) -> None:
        """Ray has started the worker again, or is about to, while it had nothing to do: asks whether it is up."""
        self._dispatch.lane_restarted(lane)
        known = self._lanes[lane]
        if known.leaving:
            self._give_up(lane)
        else:
            self._lanes[lane] = WorkerSlot(known.actor)
            self._ask(lane)

    def _ask(self, lane: int) -> None:
        """A worker that (re)starts fails what it is sent at once: nothing goes there before it answers.

        One that does not come back, since its machine is gone, say, and the others have no room, is given up while
        there are others.
        """
        known = self._lanes[lane]
        if known.is_silent and self.wanted > 1:
            self._give_up(lane)
        else:
            self.asked[known.ask()] = lane

    def recycle(self, lane: int, held_bytes: int) -> None:
        """A worker has done a batch, and has held so much: one that has done, or held, enough is to be replaced."""
        known = self._lanes[lane]
        known.batches += 1
        if known.batches >= self._recycling.after_batches or held_bytes >= self._recycling.from_bytes:
            known.retiring = True
            self._dispatch.retire(lane)

    def end_if_idle(self, lane: int) -> None:
        """Who is to be replaced, or ended, is as soon as nothing is queued on it."""
        if not self._dispatch.is_idle(lane):
            return
        if self._lanes[lane].leaving:
            self._give_up(lane)
        elif self._lanes[lane].retiring:
            self._start(lane)

    def _start(self, lane: int) -> None:
        """A fresh worker, in the place of one that may be there."""
        if not self._lanes[lane].given_up:
            ray.kill(self._lanes[lane].actor)
        self._lanes[lane] = WorkerSlot(self._make_actor(lane))
        self._ask(lane)

    def _give_up(self, lane: int, rest_seconds: float = 0.0) -> None:
        ray.kill(self._lanes[lane].actor)
        self._lanes[lane] = WorkerSlot(given_up=True, rests_until=time.monotonic() + rest_seconds)
        self.asked = {call: asked for call, asked in self.asked.items() if asked != lane}
        self._dispatch.retire(lane)
        self._judge(lane, Death.MACHINE)

    def _judge(self, lane: int, death: Death) -> None:
        verdict = self._dispatch.lane_died_of(lane, death)
        if verdict is not None:
            self._verdicts.append(verdict)

    def close(self) -> None:
        """Ends all of them at once."""
        for lane in self._lanes:
            if not lane.given_up:
                ray.kill(lane.actor)
