"""Looks after a run from its beginning to its end, for those who do not."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Protocol, Self

from ray_import.bulk.alert import Event, alert_of, error_of
from ray_import.bulk.report import RunReport
from ray_import.bulk.stall import Stall
from ray_import.errors import ConfigError, Interrupted
from ray_import.importing.progress import Progress
from ray_import.sink.port import RunUser

LOOK_EVERY_SECONDS = 1.0
ENDS_WITHIN_SECONDS = 6.0
BY_HAND = (Interrupted, KeyboardInterrupt, SystemExit, GeneratorExit)
"""What ends a run at somebody's word: Ctrl-C, SIGTERM. Of these nobody is told."""

GONE = "ProcessGone"
"""The error of a run that could not tell its own."""


class Will(Protocol):
    """See `ray_import.bulk.will.LastWill`."""

    def is_now(self, message: Mapping[str, object]) -> None:
        """This is to be told from now on."""

    def take_back(self) -> None:
        """Nothing is to be told any more."""


class Watch:
    """A reporter, and a context around a run: `tell` gets a message when the run stalls, when an error ends it, and
    when it ends with failures (see `ray_import.bulk.alert`).

    It looks from a thread of its own, so that a stall is seen also where the run itself waits for something; `tell` is
    called there for a stall. `what` is the kind of list that the users come from. Once the run has begun, `will` has
    what is to be told where this process is gone without a word.
    """

    def __init__(
        self,
        what: str,
        tell: Callable[[Mapping[str, object]], None],
        stalled_after_seconds: float,
        will: Will,
        clock: Callable[[], float] = time.monotonic,
        look_every_seconds: float = LOOK_EVERY_SECONDS,
    ) -> None:
        self._what = what
        self._tell = tell
        self._will = will
        self._clock = clock
        self._began = clock()
        self._stall = Stall(stalled_after_seconds, clock)
        self._look_every_seconds = look_every_seconds
        self._run_id: str | None = None
        self._progress: Progress | None = None
        self._states: Mapping[str, int] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, name="watch", daemon=True)

    def begun(self, run_id: str, users: Sequence[RunUser]) -> None:
        """The run has an id by now, and is over these users."""
        self._states = Counter(user.state for user in users)
        self._run_id = run_id

    def show(self, progress: Progress) -> None:
        """See `Reporter.show`."""
        self._progress = progress
        self._states = progress.states

    def ended(self, report: RunReport) -> None:
        """Tells of a run that has come to its end where a user failed or lacks something."""
        if report.exit_code:
            self._tell(alert_of("ended_with_failures", report.run_id, self._what, report.states, report.seconds))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, _kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join(ENDS_WITHIN_SECONDS)  # it may be telling of a stall
        self._will.take_back()
        used_wrongly = isinstance(error, ConfigError) and self._run_id is None  # later it may be a machine's fault
        if error is not None and not used_wrongly and not isinstance(error, BY_HAND):
            self._tell(self._alert("died", error_of(error)))

    def _look(self) -> None:
        while not self._stop.wait(self._look_every_seconds):
            if self._run_id is not None:
                self._will.is_now(self._alert("died", {"error": GONE}))
            stalled_seconds = self._stall.look(self._progress)
            if stalled_seconds is not None:
                self._tell(self._alert("stalled", {"stalled_seconds": round(stalled_seconds, 3)}))

    def _alert(self, event: Event, more: Mapping[str, object]) -> dict[str, object]:
        return alert_of(event, self._run_id, self._what, self._states, self._clock() - self._began, more)
