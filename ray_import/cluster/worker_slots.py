"""The worker slots of a pool: starts, probes, replaces and removes workers."""

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
"""How long workers that cannot reach the destination are waited for. Longer than the driver's own deadline, so that the
driver reports the outage if both have it."""
LOOK_SECONDS = 5.0
"""The longest time between two checks that counts as time in which the workers were checked."""


@dataclass(frozen=True, slots=True)
class StartupTimeouts:
    """Seconds to wait for the first worker, and for the next one where none is left."""

    first: float = START_TIMEOUT_SECONDS
    none_left: float = START_TIMEOUT_SECONDS


FOR_WHAT_IS_THERE = StartupTimeouts()


class NoWorkerTimeout:
    """Measures how long no worker has been up, tracked across all workers.

    Individually, workers are given up and restarted forever. Only time in which the driver checked counts: it may be
    blocked for minutes, by its own destination for example, while workers come and go.
    """

    def __init__(self, patience: StartupTimeouts, now: float) -> None:
        self._patience = patience
        self._looked = now
        self._silent_seconds = 0.0
        self._away_seconds = 0.0
        self._away: SinkBusy | None = None

    def answered(self, away: SinkBusy) -> None:
        """Records that a worker is up, but cannot reach the destination."""
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
"""Cool-down before a slot is refilled whose worker could not begin on its node (a machine with a wrong setting, for
example)."""


class WorkerSlots:
    """The workers by slot number, and what the scheduler learns about them. A replacement takes the number of its
    predecessor."""

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
        """The number of workers that are up or starting, and are not draining."""
        return sum(lane.is_wanted for lane in self._lanes)

    def actor(self, lane: int) -> Any:
        """Returns the actor in a slot."""
        return self._lanes[lane].actor

    def take_verdicts(self) -> list[Verdict]:
        """Returns what the deaths since the last call have shown."""
        verdicts, self._verdicts = self._verdicts, []
        return verdicts

    def wait_for_first(self) -> None:
        """Waits until one worker has answered. Raises ClusterError."""
        seconds = self._patience.first
        done, _ = ray.wait(list(self.asked), num_returns=1, timeout=seconds, fetch_local=False)
        if not done:
            raise ClusterError(
                f"No worker started within {seconds:.0f} s.",
                "The cluster has no free CPU: wait until other jobs end, or use fewer --workers.",
            )
        self.settle(done[0])

    def resize(self, workers: int) -> None:
        """Starts or stops workers until there are so many; one with a batch is stopped after that batch.

        Surplus workers are stopped immediately: they would hold the CPUs that readers need, and both would deadlock.
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
        """Probes idle workers whose node is dead: an idle worker produces no error of its own."""
        up = {i: lane.process for i, lane in enumerate(self._lanes) if lane.is_up and self._dispatch.is_idle(i)}
        alive = machines_alive() if up else set()
        for lane, process in up.items():
            if process is not None and process.node_id not in alive:
                self.restarted(lane)

    def _lacking(self, workers: int) -> list[int]:
        """Slots in cool-down are not refilled (the replacement would land on the same bad node), nor slots that are
        draining (they still hold a database connection)."""
        now = time.monotonic()
        missing = max(0, workers - sum(not lane.given_up or lane.rests_until > now for lane in self._lanes))
        free = [i for i, lane in enumerate(self._lanes) if lane.given_up and lane.rests_until <= now]
        return [*free, *range(len(self._lanes), len(self._lanes) + missing)][:missing]

    def _too_many(self, workers: int) -> list[int]:
        """Stops workers that are not up first: they may wait for the CPU of a dead node."""
        wanted = [i for i, lane in enumerate(self._lanes) if lane.is_wanted]
        wanted.sort(key=lambda i: self._lanes[i].is_up)
        return wanted[: max(0, len(wanted) - workers)]

    def settle(self, call: Any) -> None:
        """Handles the answer to a readiness probe."""
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
        """Handles the loss of a worker: probes it again, or starts another one.

        `slow`: its batch had exceeded the time limit.
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
        """Probes an idle worker that Ray has restarted, or is about to."""
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
        """Records a finished batch and the worker's memory. A worker over its batch or memory limit is recycled."""
        known = self._lanes[lane]
        known.batches += 1
        if known.batches >= self._recycling.after_batches or held_bytes >= self._recycling.from_bytes:
            known.retiring = True
            self._dispatch.retire(lane)

    def end_if_idle(self, lane: int) -> None:
        """Replaces or stops a draining worker as soon as nothing is queued on it."""
        if not self._dispatch.is_idle(lane):
            return
        if self._lanes[lane].leaving:
            self._give_up(lane)
        elif self._lanes[lane].retiring:
            self._start(lane)

    def _start(self, lane: int) -> None:
        """Starts a worker in the slot, in place of the current one."""
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
        """Kills all workers immediately."""
        for lane in self._lanes:
            if not lane.given_up:
                ray.kill(lane.actor)
