"""Which batch goes to which worker, and what becomes of it when a worker dies. Decisions only.

A worker that dies takes all that was queued on it along, and nobody can tell which batch was to blame.
So all of these become suspects, and a suspect runs alone on a worker: only then a death is its own. A
batch that kills its worker alone twice is halved until the one conversation is found, and that is
rejected after it has killed three. A worker that was ended because its batch took too long counts as two
deaths, since CPU time is the batch's own. (In Ray's own retries the guilty batch fails its neighbours and, if
retries are unlimited, never ends.)
"""

from collections import deque
from dataclasses import dataclass, field
from enum import Enum

from ray_import.pipeline.batch import BatchContext
from ray_import.records import Batch

ALONE_BEFORE_SPLIT = 2
ALONE_BEFORE_REJECT = 3
SLOW_COUNTS = 2
MOST_EXCUSED = 10
EXCUSED_FOR_MEMORY = 6
LEAST_SHARE = 1 / 16
"""Of the time limit, for the smallest part of a batch that was halved."""


class Death(Enum):
    """What a worker died of."""

    CRASH = "crash"
    MEMORY = "memory"
    """Killed because its machine had too little, which others may have taken."""
    MACHINE = "machine"
    """Lost with its machine, or given up: no fault of what it worked on."""
    SLOW = "slow"
    """Ended, because the batch took more than its time limit."""


@dataclass(slots=True, eq=False)
class QueuedBatch:
    """A batch from when the pool takes it until it is done with. Two of them are never equal.

    The pool holds a reference of its payload, so that no worker's death loses it. Some of its deaths alone are its own,
    and some are `excused`. `limit_share` is its share of the time limit. `sent` counts its calls, `busy` those that a
    busy destination has ended; `lane` and `sent_at` are of the last call.
    """

    batch: Batch
    work: BatchContext
    deaths_alone: int = 0
    excused: int = 0
    suspect: bool = False
    limit_share: float = 1.0
    slow: bool = False
    sent: int = 0
    busy: int = 0
    lane: int = -1
    sent_at: float = 0.0

    @property
    def size_bytes(self) -> int:
        """The bytes of its payload."""
        return self.batch.size_bytes

    @property
    def conversations(self) -> int:
        """How many there are in it."""
        return len(self.batch.frames)

    def share_of_part(self, conversations: int) -> float:
        """The `limit_share` of a part of this batch.

        Half of it, so that to find one conversation among many takes about as long as one batch may. A conversation
        by itself may take all of the limit.
        """
        return 1.0 if conversations == 1 else max(self.limit_share / 2, LEAST_SHARE)

    def blame(self, death: Death) -> None:
        """Counts a death alone.

        Want of memory passes within some tries, if it is the machine's: from then on it is the batch's, or a
        conversation that takes too much each time would never be found.
        """
        if death is Death.SLOW:
            self.slow = True
            self.deaths_alone += SLOW_COUNTS
        elif death is Death.CRASH or (death is Death.MEMORY and self.excused >= EXCUSED_FOR_MEMORY):
            self.deaths_alone += 1
        else:
            self.excused += 1


@dataclass(slots=True)
class _Lane:
    """One worker: what is queued on it, and whether it has answered since it was started."""

    queue: list[QueuedBatch] = field(default_factory=list)
    up: bool = False

    def is_free(self) -> bool:
        return self.up and not self.queue


class Fate(Enum):
    """What becomes of a batch that is not tried once more."""

    SPLIT = "split"
    REJECT = "reject"
    LOST = "lost"
    """It was tried too often, and the deaths were not its own: its user may be tried again."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a death has shown of the batch that was alone on the worker."""

    queued: QueuedBatch
    fate: Fate


class Scheduler:
    """The state of the pool: lanes (down until they answer), what waits for one, and the bytes of it."""

    def __init__(self, lanes: int, per_lane: int, budget_bytes: int) -> None:
        self._lanes = [_Lane() for _ in range(lanes)]
        self._per_lane = per_lane
        self._fresh: deque[QueuedBatch] = deque()
        self._suspects: deque[QueuedBatch] = deque()
        self.budget_bytes = budget_bytes
        self.bytes_in_flight = 0
        self.in_flight = 0

    def has_room(self, size_bytes: int) -> bool:
        """Whether the budget allows one more. An empty pool takes a batch of any size."""
        if not self.in_flight:
            return True
        slots = sum(lane.up for lane in self._lanes) * self._per_lane
        return self.in_flight < slots and self.bytes_in_flight + size_bytes <= self.budget_bytes

    def add(self, queued: QueuedBatch) -> None:
        """Takes a batch; `suspect` ones wait for a worker of their own."""
        (self._suspects if queued.suspect else self._fresh).append(queued)
        self.bytes_in_flight += queued.size_bytes
        self.in_flight += 1

    def place(self) -> tuple[int, QueuedBatch] | None:
        """The next batch to send and its lane, or None. While a suspect waits, nothing else is sent:
        otherwise no worker would ever be free for it."""
        if self._suspects:
            lane = next((i for i, lane in enumerate(self._lanes) if lane.is_free()), None)
            return None if lane is None else (lane, self._put(lane, self._suspects.popleft()))
        ready = [i for i, lane in enumerate(self._lanes) if self._takes_more(lane)]
        if not self._fresh or not ready:
            return None
        lane = min(ready, key=lambda i: sum(queued.size_bytes for queued in self._lanes[i].queue))
        return lane, self._put(lane, self._fresh.popleft())

    def _takes_more(self, lane: _Lane) -> bool:
        alone = any(queued.suspect for queued in lane.queue)
        return lane.up and not alone and len(lane.queue) < self._per_lane

    def _put(self, lane: int, queued: QueuedBatch) -> QueuedBatch:
        self._lanes[lane].queue.append(queued)
        return queued

    def done(self, lane: int, queued: QueuedBatch) -> None:
        """The batch is finished, whatever came of it."""
        self._lanes[lane].queue.remove(queued)
        self._forget(queued)

    def again(self, lane: int, queued: QueuedBatch) -> None:
        """The batch failed for a reason that passes: it waits for its turn again."""
        self._lanes[lane].queue.remove(queued)
        (self._suspects if queued.suspect else self._fresh).append(queued)

    def lane_lost(self, lane: int) -> None:
        """The worker died: all that was on it is suspect and waits, but who was alone there until it is known why."""
        known = self._lanes[lane]
        known.up = False
        if not any(queued.suspect for queued in known.queue):
            batches, known.queue = known.queue, []
            for queued in batches:
                queued.suspect = True
            self._suspects.extend(batches)

    def lane_restarted(self, lane: int) -> None:
        """The worker has died, but not of what was queued on it, which it never had: that waits for its turn again."""
        known = self._lanes[lane]
        known.up = False
        for queued in list(known.queue):
            self.again(lane, queued)

    def lane_died_of(self, lane: int, death: Death) -> Verdict | None:
        """Why the worker that was lost has died. None where nothing was alone on it, or that is tried once more."""
        batches, self._lanes[lane].queue = self._lanes[lane].queue, []
        for queued in batches:  # one at most
            queued.blame(death)
            fate = _fate(queued)
            if fate is not None:
                self._forget(queued)
                return Verdict(queued, fate)
            self._suspects.append(queued)
        return None

    def lane_up(self, lane: int) -> None:
        """The worker has answered: it may be sent batches."""
        self._lanes[lane].up = True

    def add_lane(self) -> int:
        """One more worker, not up yet; gives its number."""
        self._lanes.append(_Lane())
        return len(self._lanes) - 1

    def retire(self, lane: int) -> None:
        """Nothing more goes to this worker until it is up again: it is to be replaced when it `is_idle`."""
        self._lanes[lane].up = False

    def is_idle(self, lane: int) -> bool:
        """Whether nothing is queued on the worker."""
        return not self._lanes[lane].queue

    def _forget(self, queued: QueuedBatch) -> None:
        self.bytes_in_flight -= queued.size_bytes
        self.in_flight -= 1


def _fate(queued: QueuedBatch) -> Fate | None:
    if queued.conversations > 1 and queued.deaths_alone >= ALONE_BEFORE_SPLIT:
        return Fate.SPLIT
    if queued.deaths_alone >= ALONE_BEFORE_REJECT:
        return Fate.REJECT
    return Fate.LOST if queued.excused >= MOST_EXCUSED else None
