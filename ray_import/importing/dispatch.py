"""Which batch goes to which worker, and what becomes of it when a worker dies. Decisions only.

A worker that dies takes all that was queued on it along, and nobody can tell which batch was to blame.
So all of these become suspects, and a suspect runs alone on a worker: only then a death is its own. A
batch that kills its worker alone twice is halved until the one conversation is found, and that is
rejected after it has killed three. (In Ray's own retries the guilty batch fails its neighbours and, if
retries are unlimited, never ends.)
"""

from collections import deque
from dataclasses import dataclass, field

ALONE_BEFORE_SPLIT = 2
ALONE_BEFORE_REJECT = 3


@dataclass(slots=True)
class Load:
    """One batch as the dispatch knows it."""

    number: int
    size_bytes: int
    conversations: int
    deaths_alone: int = 0
    suspect: bool = False


@dataclass(slots=True)
class _Lane:
    """One worker: what is queued on it, and whether it has answered since it was started."""

    loads: list[Load] = field(default_factory=list)
    up: bool = False

    def is_free(self) -> bool:
        return self.up and not self.loads


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a death has shown: which batches to halve, and which to reject."""

    to_split: tuple[Load, ...]
    to_reject: tuple[Load, ...]


class Dispatch:
    """The state of the pool: lanes (down until they answer), what waits for one, and the bytes of it."""

    def __init__(self, lanes: int, per_lane: int, budget_bytes: int) -> None:
        self._lanes = [_Lane() for _ in range(lanes)]
        self._per_lane = per_lane
        self.budget_bytes = budget_bytes
        self._fresh: deque[Load] = deque()
        self._suspects: deque[Load] = deque()
        self.bytes_in_flight = 0
        self.in_flight = 0

    def has_room(self, size_bytes: int) -> bool:
        """Whether the budget allows one more. An empty pool takes a batch of any size."""
        if not self.in_flight:
            return True
        slots = sum(lane.up for lane in self._lanes) * self._per_lane
        return self.in_flight < slots and self.bytes_in_flight + size_bytes <= self.budget_bytes

    def add(self, load: Load) -> None:
        """Takes a batch; `suspect` ones wait for a worker of their own."""
        (self._suspects if load.suspect else self._fresh).append(load)
        self.bytes_in_flight += load.size_bytes
        self.in_flight += 1

    def place(self) -> tuple[int, Load] | None:
        """The next batch to send and its lane, or None. While a suspect waits, nothing else is sent:
        otherwise no worker would ever be free for it."""
        if self._suspects:
            lane = next((i for i, lane in enumerate(self._lanes) if lane.is_free()), None)
            return None if lane is None else (lane, self._put(lane, self._suspects.popleft()))
        ready = [i for i, lane in enumerate(self._lanes) if self._takes_more(lane)]
        if not self._fresh or not ready:
            return None
        lane = min(ready, key=lambda i: sum(load.size_bytes for load in self._lanes[i].loads))
        return lane, self._put(lane, self._fresh.popleft())

    def _takes_more(self, lane: _Lane) -> bool:
        alone = any(load.suspect for load in lane.loads)
        return lane.up and not alone and len(lane.loads) < self._per_lane

    def _put(self, lane: int, load: Load) -> Load:
        self._lanes[lane].loads.append(load)
        return load

    def done(self, lane: int, load: Load) -> None:
        """The batch is finished, whatever came of it."""
        self._lanes[lane].loads.remove(load)
        self._forget(load)

    def again(self, lane: int, load: Load) -> None:
        """The batch failed for a reason that passes: it waits for its turn again."""
        self._lanes[lane].loads.remove(load)
        (self._suspects if load.suspect else self._fresh).append(load)

    def lane_lost(self, lane: int) -> Verdict:
        """The worker died: all that was on it is suspect, or, if it was alone there, to blame."""
        loads, self._lanes[lane].loads = self._lanes[lane].loads, []
        self._lanes[lane].up = False
        to_split, to_reject = [], []
        for load in loads:
            load.deaths_alone += load.suspect
            load.suspect = True
            if load.conversations > 1 and load.deaths_alone >= ALONE_BEFORE_SPLIT:
                to_split.append(load)
            elif load.deaths_alone >= ALONE_BEFORE_REJECT:
                to_reject.append(load)
            else:
                self._suspects.append(load)
        for load in (*to_split, *to_reject):
            self._forget(load)
        return Verdict(tuple(to_split), tuple(to_reject))

    def lane_up(self, lane: int) -> None:
        """The worker has answered: it may be sent batches."""
        self._lanes[lane].up = True

    def add_lane(self, more_budget_bytes: int) -> int:
        """One more worker, not up yet, and its share of the budget; gives its number."""
        self._lanes.append(_Lane())
        self.budget_bytes += more_budget_bytes
        return len(self._lanes) - 1

    def retire(self, lane: int) -> None:
        """Nothing more goes to this worker until it is up again: it is to be replaced when it `is_idle`."""
        self._lanes[lane].up = False

    def is_idle(self, lane: int) -> bool:
        """Whether nothing is queued on the worker."""
        return not self._lanes[lane].loads

    def _forget(self, load: Load) -> None:
        self.bytes_in_flight -= load.size_bytes
        self.in_flight -= 1
