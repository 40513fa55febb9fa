"""The import loop over one or many users: reading, handing out batches, retries, and the end of each user.

Slow servers must not hold up other users, so there are two lanes of `most_active` places each. In the normal lane a
slow source gives up its place (SourceSlow); its user is read again in the slow lane, where only the deadline ends the
reading. A reading in the normal lane that receives nothing takes a free place of the slow lane until it receives
something.
"""

import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ray_import.destinations.base import LEASE_SECONDS, RunUser, UserState
from ray_import.errors import ImporterError, ImportRunning, PayloadLost, SourceRefused, SourceSlow
from ray_import.pipeline.bulk_run import MakeImport
from ray_import.pipeline.executor import BatchOutcome, Workers
from ray_import.pipeline.progress import BottleneckEstimator, Progress, Reporter, Sizes, Step
from ray_import.pipeline.report import in_short
from ray_import.pipeline.user_import import UserImport
from ray_import.settings import SourcePace


@dataclass(frozen=True, slots=True)
class FreePlaces:
    """The number of exports that may be opened now, in the normal lane and in the slow one."""

    normal: int
    slow: int


def free_places(most_active: int, normal: int, silent: int, slow: int) -> FreePlaces:
    """What is free beside so many readings in the normal lane, `silent` of which wait for their servers, and in the
    slow one. There are never more readings than both lanes have places, also where silent ones go on."""
    beside = min(silent, max(0, most_active - slow))
    for_slow = min(most_active - slow - beside, 2 * most_active - slow - normal)
    return FreePlaces(max(0, most_active - (normal - beside)), max(0, for_slow))


MAX_ATTEMPTS = 3
"""The most attempts for a user whose export breaks off."""
MAX_LOST_ATTEMPTS = 10
"""The most attempts for a user whose reader or machine is lost: seldom the export's fault, but it can be."""
AGAIN_AFTER_SECONDS = 1.0
"""The delay before the second attempt; each further delay is longer by as much."""
RUNNING_AGAIN_SECONDS = 5.0
RUNNING_PATIENCE_SECONDS = 2 * LEASE_SECONDS
"""How long a user whom another import holds is tried again: by then it has ended, or its lease has expired."""
TURN_SECONDS = 0.2
JOB_ROW_EVERY_SECONDS = 2.0
TELLING_SHARE = 0.1
"""The share of the time for updating job rows: with a thousand jobs, or a distant destination, it would take all of
it."""
RESIZE_EVERY_SECONDS = 3.0


class Run:
    """All users of a run. `most_active` of them are read at a time, and as many more whose servers are slow (see
    above): from which nothing has come for `silent_after_seconds`, or whose reading gave up.
    `clock` gives seconds that only grow.

    `save` remembers how far users are; what it raises ends the run. `resize` is called every few
    seconds: it fits the workers to the machines, and tells the new `most_active`. `known_bytes` are sizes of exports
    that are known beforehand, by user id, for the progress (see `ray_import.pipeline.progress`).

    With `fails_fast` a user has one attempt, and its error is raised at once; but what was read before SourceRefused is
    imported first, and then the user has failed.
    """

    def __init__(
        self,
        users: Sequence[RunUser],
        make_import: MakeImport,
        workers: Workers,
        save: Callable[[Sequence[RunUser]], None],
        reporter: Reporter,
        most_active: int,
        resize: Callable[[], int] | None = None,
        clock: Callable[[], float] = time.monotonic,
        silent_after_seconds: float = SourcePace().silent_after_seconds,
        *,
        known_bytes: Mapping[str, int] | None = None,
        fails_fast: bool = False,
    ) -> None:
        self._users = {user.user_id: replace(user, state=_state_now(user), counts={}) for user in users}
        self._sizes = Sizes(known_bytes or {}, self.users)
        self._waiting = deque(user for user in self._users.values() if user.state == "pending")
        self._waiting_slow = deque[RunUser]()
        self._slow = set[str]()  # users whose source has been slow
        self._silent_after_seconds = silent_after_seconds
        self._unsaved: dict[str, RunUser] = {}
        self._not_before: dict[str, float] = {}
        self._failures = Counter[tuple[str, bool]]()
        self._first_refused: dict[str, float] = {}
        self._active: dict[str, UserImport] = {}
        self._make_import = make_import
        self._workers = workers
        self._save = save
        self._reporter = reporter
        self._most_active = most_active
        self._resize = resize
        self._fails_fast = fails_fast
        self._pace = BottleneckEstimator()
        self._waited_seconds = 0.0  # for workers alone, since progress was shown
        self._turns = 0
        self._bytes_read = 0
        self._done = Counter[str]()
        self._clock = clock
        self._began = self._told = self._may_tell_job = self._resized = clock()

    @property
    def users(self) -> tuple[RunUser, ...]:
        """All users with their progress."""
        return tuple(self._users.values())

    @property
    def bytes_read(self) -> int:
        """Bytes of JSON read so far, of all users."""
        return self._bytes_read + sum(one.bytes_read for one in self._active.values())

    def to_the_end(self) -> None:
        """Runs until every user is finished. When interrupted, the jobs of active users stay as they are: the holder of
        the run releases them."""
        try:
            while self._waiting or self._waiting_slow or self._active:
                self._turn()
        finally:
            for one in self._active.values():
                one.stop_reading()
        self._tell(at_end=True)

    def _turn(self) -> None:
        self._start_more()
        moved = self._go_on()
        waits_on = [ref for one in self._active.values() if (ref := one.waits_on) is not None]
        for done in self._wait(0.0 if moved else TURN_SECONDS, waits_on):
            self._active[done.work.job.id].take(done)
            if done.result is not None:
                self._pace.add(done.result)
        if self._fails_fast:
            self._raise_first_error()
        for one in [one for one in self._active.values() if one.is_over]:
            self._finish(one)
        self._save_all()
        now = self._clock()
        if self._resize is not None and now - self._resized >= RESIZE_EVERY_SECONDS:
            self._resized = now
            self._most_active = self._resize()
        self._tell_jobs()
        if now - self._told >= TURN_SECONDS:
            self._tell()

    def _raise_first_error(self) -> None:
        for one in self._active.values():
            if one.error is not None and not isinstance(one.error, SourceRefused):
                raise one.error

    def _wait(self, timeout_seconds: float, waits_on: Sequence[Any]) -> Sequence[BatchOutcome]:
        began = self._clock()
        done = self._workers.wait(timeout_seconds, waits_on)
        if timeout_seconds and not waits_on:
            self._waited_seconds += self._clock() - began
        return done

    def _tell_jobs(self) -> None:
        """Updates job rows, the one with the oldest update first."""
        for one in sorted(self._active.values(), key=lambda one: one.told_at):
            now = self._clock()
            if now < self._may_tell_job or now - one.told_at < JOB_ROW_EVERY_SECONDS:
                return
            one.tell_job()
            one.told_at = self._clock()
            self._may_tell_job = one.told_at + (one.told_at - now) * (1 / TELLING_SHARE - 1)

    def _start_more(self) -> None:
        """Users with a slow source are read last, when no other user needs the place."""
        now = self._clock()
        normal = [one for one in self._active.values() if one.user.user_id not in self._slow]
        silent = sum(one.waits_for_server and now - one.moved_at >= self._silent_after_seconds for one in normal)
        free = free_places(self._most_active, len(normal), silent, len(self._active) - len(normal))
        self._start(self._waiting, free.normal, now, gives_up=True)
        self._start(self._waiting_slow, free.slow, now, gives_up=False)

    def _start(self, waiting: deque[RunUser], places: int, now: float, *, gives_up: bool) -> None:
        for _ in range(len(waiting)):
            if not places:
                return
            user = waiting.popleft()
            if self._not_before.get(user.user_id, now) > now:
                waiting.append(user)
                continue
            try:
                one = self._make_import(user, gives_up=gives_up)
            except ImporterError as error:  # its source is no address that can be
                self._record(replace(user, state="failed", attempts=user.attempts + 1, error=in_short(error.message)))
                continue
            one.told_at = one.moved_at = now
            self._active[one.work.job.id] = one
            places -= 1

    def _go_on(self) -> bool:
        """Fair scheduling: users with the fewest bytes in flight go first, ties by longest wait, so that one large
        export cannot starve the others. Users with batches to hand out share the bytes in flight equally.
        """
        moved = False
        self._turns += 1
        share = self._workers.budget_bytes // max(1, sum(one.takes_room for one in self._active.values()))
        for one in sorted(self._active.values(), key=lambda one: (one.bytes_in_flight, one.last_turn)):
            if one.go_on(self._workers, share, self._turns):
                moved, one.moved_at = True, self._clock()
            if one.has_begun and self._users[one.user.user_id].state == "pending":
                self._record(one.user)
        return moved

    def _finish(self, one: UserImport) -> None:
        del self._active[one.work.job.id]
        self._bytes_read += one.bytes_read
        self._sizes.opened(one.user.user_id, one.bytes_total)
        user = one.finish()
        if not self._fails_fast and self._is_to_be_tried_again(one, user):
            return
        self._done.update(
            conversations=one.counts.seen, chunks_written=one.counts.chunks_written, rejects=one.counts.rejected
        )
        self._record(user)

    def _is_to_be_tried_again(self, one: UserImport, user: RunUser) -> bool:
        """Returns whether the import's error is transient; its user then waits for the next attempt."""
        if isinstance(one.error, ImportRunning) and self._has_patience(user.user_id):
            self._again(replace(user, state="pending", attempts=user.attempts - 1), RUNNING_AGAIN_SECONDS)
        elif isinstance(one.error, SourceSlow) and user.user_id not in self._slow:
            self._slow.add(user.user_id)
            self._again(replace(user, state="pending", attempts=user.attempts - 1), 0.0)
        elif one.error is not None and one.error.retry and (failures := self._failed_again(user.user_id, one.error)):
            self._again(replace(user, state="pending"), failures * AGAIN_AFTER_SECONDS)
        else:
            return False
        return True

    def _failed_again(self, user_id: str, error: ImporterError) -> int:
        """Returns how often this happened to the user in this run; 0 if the attempts are used up."""
        is_loss = isinstance(error, PayloadLost)
        self._failures[user_id, is_loss] += 1
        failures = self._failures[user_id, is_loss]
        return failures if failures < (MAX_LOST_ATTEMPTS if is_loss else MAX_ATTEMPTS) else 0

    def _again(self, user: RunUser, in_seconds: float) -> None:
        self._not_before[user.user_id] = self._clock() + in_seconds
        self._record(user)
        waiting = self._waiting_slow if user.user_id in self._slow else self._waiting
        waiting.append(self._users[user.user_id])

    def _record(self, user: RunUser) -> None:
        """Records the user's state. Keeps the counts only until they are stored: for ten thousand users they would take
        tens of MB."""
        self._users[user.user_id] = replace(user, counts={})
        self._unsaved[user.user_id] = user
        self._sizes.update(user)

    def _save_all(self) -> None:
        """Stores the changes of a turn in one call, because the destination may be far away."""
        if self._unsaved:
            self._save(tuple(self._unsaved.values()))
            self._unsaved.clear()

    def _has_patience(self, user_id: str) -> bool:
        now = self._clock()
        return now - self._first_refused.setdefault(user_id, now) < RUNNING_PATIENCE_SECONDS

    def _tell(self, *, at_end: bool = False) -> None:
        now = self._clock()
        self._pace.look(now - self._told, self._waited_seconds)
        self._told, self._waited_seconds = now, 0.0
        self._reporter.show(self._progress(now, None if at_end else self._pace.bottleneck))

    def _progress(self, now: float, bottleneck: Step | None) -> Progress:
        at_work = self._active.values()
        return Progress(
            states=Counter(user.state for user in self._users.values()),
            bytes_read=self.bytes_read,
            conversations=self._done["conversations"] + sum(one.counts.seen for one in at_work),
            chunks_written=self._done["chunks_written"] + sum(one.counts.chunks_written for one in at_work),
            rejects=self._done["rejects"] + sum(one.counts.rejected for one in at_work),
            seconds=now - self._began,
            active=len(at_work),
            slow=len(self._waiting_slow) + sum(one.user.user_id in self._slow for one in at_work),
            bytes_share=self._sizes.share(at_work),
            bottleneck=bottleneck,
        )


def _state_now(user: RunUser) -> UserState:
    """Users that were active when the run was interrupted are pending again."""
    return "pending" if user.state == "running" else user.state
