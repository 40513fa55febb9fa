"""Alerts to a webhook when a run stalls, dies, or ends with failures.

A process may die without a word: killed, out of memory, or ended by Ray, which does so a minute after it has lost its
head node. So a helper process holds the message and one end of a pipe. If the pipe closes while the message is armed,
the helper posts it.
"""

import json
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType, TracebackType
from typing import Literal, Protocol, Self

from ray_import.destinations.base import RunUser
from ray_import.errors import ConfigError, Interrupted, SinkError
from ray_import.pipeline.progress import Progress
from ray_import.pipeline.report import RunReport

ANSWER_WITHIN_SECONDS = 5.0
"""The deadline for a webhook, DNS lookup included. A run waits for it only after its end."""

Event = Literal["ended_with_failures", "stalled", "died"]


def alert_of(
    event: Event,
    run_id: str | None,
    what: str,
    states: Mapping[str, int],
    seconds: float,
    more: Mapping[str, object] = MappingProxyType({}),
) -> dict[str, object]:
    """The content of an alert: numbers and the run; no user, no source, no error text.

    `what` is the kind of list that the users come from; `run_id` is None where the run had not begun.
    """
    return {
        "event": event,
        "run_id": run_id,
        "what": what,
        "states": {state: count for state, count in sorted(states.items()) if count},
        "seconds": round(seconds, 3),
        **more,
    }


def error_of(error: BaseException) -> dict[str, object]:
    """Returns the error's type and, if the destination gave one, its code. Its text may hold names."""
    code = error.code if isinstance(error, SinkError) else ""
    return {"error": type(error).__name__, **({"code": code} if code else {})}


def post(url: str, message: Mapping[str, object], within_seconds: float = ANSWER_WITHIN_SECONDS) -> None:
    """Posts one JSON object to `url`, if it is set. A failure is only printed on standard error."""
    if not url:
        return
    outcome: list[str] = []
    # In a thread, since httpx bounds neither the look-up of a name nor an answer that comes byte by byte.
    thread = threading.Thread(target=lambda: outcome.append(_posted(url, message, within_seconds)), daemon=True)
    thread.start()
    thread.join(within_seconds)
    wrong = outcome[0] if outcome else f"no answer in {within_seconds:g} s"
    if wrong:
        sys.stderr.write(f"The alert could not be sent to ALERT_WEBHOOK ({wrong}).\n")


def _posted(url: str, message: Mapping[str, object], within_seconds: float) -> str:
    """Returns why the post failed; empty if it did not. Never the error's text: it holds the URL, which is a secret."""
    import httpx  # noqa: PLC0415 - nearly no command needs it

    try:
        httpx.post(url, json=message, timeout=within_seconds).raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        return type(error).__name__
    return ""


class Stall:
    """A run stalls when for `after_seconds` nothing was read, no conversation was finished and no user ended.

    `clock` gives seconds that only grow; the time runs from when this is made.
    """

    def __init__(self, after_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._after_seconds = after_seconds
        self._clock = clock
        self._at: tuple[int, ...] = ()
        self._since = clock()
        self._told = False

    def look(self, progress: Progress | None) -> float | None:
        """Returns the seconds without progress, once per stall; None otherwise.

        `progress` is the newest; None before the run has shown any.
        """
        at = progress.place if progress is not None else ()
        now = self._clock()
        if at != self._at:
            self._at, self._since, self._told = at, now, False
        if self._told or now - self._since < self._after_seconds:
            return None
        self._told = True
        return now - self._since


LOOK_EVERY_SECONDS = 1.0
WATCH_ENDS_WITHIN_SECONDS = 6.0
BY_HAND = (Interrupted, KeyboardInterrupt, SystemExit, GeneratorExit)
"""Ends that an operator asked for (Ctrl-C, SIGTERM). They cause no alert."""

GONE = "ProcessGone"
"""The error type in the alert of a run whose process died."""


class Will(Protocol):
    def arm(self, message: Mapping[str, object]) -> None:
        """Sets the message that is posted if this process dies."""

    def disarm(self) -> None:
        """Ends the switch: nothing is posted any more."""


class Watch:
    """A reporter, and a context around a run: `tell` gets a message when the run stalls, when an error ends it, and
    when it ends with failures.

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
        """Sets the id and the users of the run once it has begun."""
        self._states = Counter(user.state for user in users)
        self._run_id = run_id

    def show(self, progress: Progress) -> None:
        self._progress = progress
        self._states = progress.states

    def ended(self, report: RunReport) -> None:
        """Alerts about a run that ended with failed or incomplete users."""
        if report.exit_code:
            self._tell(alert_of("ended_with_failures", report.run_id, self._what, report.states, report.seconds))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, _kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join(WATCH_ENDS_WITHIN_SECONDS)  # it may be telling of a stall
        self._will.disarm()
        used_wrongly = isinstance(error, ConfigError) and self._run_id is None  # later it may be a machine's fault
        if error is not None and not used_wrongly and not isinstance(error, BY_HAND):
            self._tell(self._alert("died", error_of(error)))

    def _look(self) -> None:
        while not self._stop.wait(self._look_every_seconds):
            if self._run_id is not None:
                self._will.arm(self._alert("died", {"error": GONE}))
            stalled_seconds = self._stall.look(self._progress)
            if stalled_seconds is not None:
                self._tell(self._alert("stalled", {"stalled_seconds": round(stalled_seconds, 3)}))

    def _alert(self, event: Event, more: Mapping[str, object]) -> dict[str, object]:
        return alert_of(event, self._run_id, self._what, self._states, self._clock() - self._began, more)


HOLDER_ENDS_WITHIN_SECONDS = 5.0


class DeadMansSwitch:
    """A dead man's switch: a helper process posts the armed message to `url` if this process dies. Does nothing if
    `url` is empty."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._holder: subprocess.Popen[bytes] | None = None

    def arm(self, message: Mapping[str, object]) -> None:
        """Sets the message that is posted if this process dies. The first call starts the helper process."""
        if not self._url:
            return
        if self._holder is None:
            self._holder = _started()
        self._hand_over({"url": self._url, "message": dict(message)})  # not as an argument: all can see these

    def disarm(self) -> None:
        """Ends the switch: nothing is posted any more."""
        if self._holder is None:
            return
        self._hand_over(None)
        with suppress(OSError, subprocess.TimeoutExpired):
            self._holder.communicate(timeout=HOLDER_ENDS_WITHIN_SECONDS)

    def _hand_over(self, what: object) -> None:
        with suppress(OSError, ValueError):  # the holder was killed: a run goes on without
            if self._holder is not None and self._holder.stdin is not None:
                self._holder.stdin.write(json.dumps(what).encode() + b"\n")
                self._holder.stdin.flush()


def _started() -> "subprocess.Popen[bytes] | None":
    """Starts the helper in a session of its own, so that a signal to this process group does not reach it."""
    with suppress(OSError):
        return subprocess.Popen(
            [sys.executable, "-m", "ray_import.pipeline.alerts"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    return None


def hold() -> None:
    """The helper: reads until the parent's end of the pipe closes, then posts the last message."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # `ray job stop` asks children as well: the run decides
    last = None
    for line in sys.stdin.buffer:
        with suppress(ValueError):  # a line that was not written to its end
            last = json.loads(line)
    if last is not None:
        post(last["url"], last["message"])


if __name__ == "__main__":
    hold()
