"""Progress on standard error, of one user or of many: a bar on a terminal, plain lines elsewhere."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as Bar
from rich.table import Column

from ray_import.cli.progress_text import UNKNOWN, Words, of_one, of_users
from ray_import.pipeline.progress import Progress, Rates, Reporter

LINE_EVERY_SECONDS = 5.0
SAY_AFTER_SECONDS = 0.75
"""After so much silence a run over many users says in a log what it waits for. With the interpreter's start and a tick,
the first line is there within 2 s."""
TICK_SECONDS = 0.25


Describe = Callable[[Progress, Rates], Words]


class LineReporter:
    """A plain line every few seconds: for logs, job logs above all. Of one user, the first after a few seconds."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._rates = Rates()
        self._next = LINE_EVERY_SECONDS

    def show(self, progress: Progress) -> None:
        self._rates.add(progress)
        if progress.seconds >= self._next:
            self._next = progress.seconds + LINE_EVERY_SECONDS
            self._console.print(self._line(progress), soft_wrap=True)

    def _line(self, progress: Progress) -> str:
        return of_one(progress, self._rates).line


class UserLines(LineReporter):
    """The same for many users, the first line at once. It also says what the command waits for before it imports."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._next = 0.0
        self._said_at = 0.0
        self._said = ""

    def wait(self, waiting: "Waiting", now: float) -> None:
        what, is_new = waiting.what, waiting.what != self._said
        if now - self._said_at < (waiting.say_after_seconds if is_new else LINE_EVERY_SECONDS):
            return
        self._said, self._said_at = what, now
        passed = "" if is_new else f" {now - waiting.since:,.0f} s"
        self._console.print(f"{what} …{passed}", soft_wrap=True, style="dim")

    def close(self) -> None:
        """Does nothing."""

    def _line(self, progress: Progress) -> str:
        words = of_users(progress, self._rates)
        left = "" if words.left == UNKNOWN else f", {words.left} left"
        return replace(words, share=words.share + left).line


class BarReporter:
    """A bar that knows the time left. For one user it is there from the first bytes on, not while Ray starts."""

    def __init__(self, bar: Bar, describe: Describe = of_one) -> None:
        self._bar = bar
        self._describe = describe
        self._rates = Rates()
        self._task: TaskID | None = None
        self._shown = False

    def show(self, progress: Progress) -> None:
        self._rates.add(progress)
        self._shown = True
        self._update("importing", self._describe(progress, self._rates))

    def wait(self, waiting: "Waiting", now: float) -> None:
        """See `UserDisplay.wait`. The bar pulses meanwhile."""
        self._update(f"{waiting.what} …", Words("", f"{now - waiting.since:,.0f} s", "", None))

    def _update(self, description: str, words: Words) -> None:
        if self._task is None:
            self._task = self._bar.add_task(description, total=None)
        self._bar.update(
            self._task,
            description=description,
            completed=words.done or 0,
            total=None if words.done is None else 1.0,
            share=words.share,
            left=words.left,
            counts=words.counts,
        )
        self._bar.start()  # does nothing if it has begun

    def close(self) -> None:
        """Leaves the bar as it is, or nothing if nothing was imported."""
        if self._task is not None:
            self._bar.live.transient = not self._shown
            self._bar.stop()


def _bar_on(console: Console) -> Bar:
    """Where there is not room for all, the counts are cut off."""
    counts = TextColumn("{task.fields[counts]}", table_column=Column(no_wrap=True, overflow="crop", ratio=1))
    return Bar(
        TextColumn("{task.description}", markup=False), BarColumn(bar_width=min(24, console.width // 5)),
        TextColumn("{task.fields[share]}"), TextColumn("{task.fields[left]}", style="progress.remaining"), counts,
        console=console, expand=True,
    )  # fmt: skip


@contextmanager
def progress_on(console: Console) -> Iterator[Reporter]:
    """The reporter of one user's import that suits `console`."""
    if not console.is_terminal:
        yield LineReporter(console)
        return
    with closing(BarReporter(_bar_on(console))) as bar:
        yield bar


@dataclass(frozen=True, slots=True)
class Waiting:
    """What a command waits for before it imports, since when, and after how much silence a log says so."""

    what: str
    since: float
    say_after_seconds: float


class UserDisplay(Protocol):
    """Shows a run over many users."""

    def show(self, progress: Progress) -> None:
        """Does nothing."""

    def wait(self, waiting: Waiting, now: float) -> None:
        """Nothing is imported yet; `now` is in seconds since there has been something to show."""

    def close(self) -> None:
        """Nothing more will be shown."""


class UsersReporter:
    """Shows a run over many users, also before it imports, and while nothing changes.

    `tick` has to be called a few times a second by another thread: the run itself may be waiting. `clock` gives
    seconds that only grow.
    """

    def __init__(self, display: UserDisplay, clock: Callable[[], float] = time.monotonic) -> None:
        self._display = display
        self._clock = clock
        self._began = clock()
        self._lock = threading.Lock()
        self._waiting: Waiting | None = None
        self._progress: Progress | None = None
        self._shown_at = 0.0

    def waits_for(self, what: str, say_after_seconds: float = SAY_AFTER_SECONDS) -> None:
        """The command begins with something that may take long."""
        with self._lock:
            self._waiting = Waiting(what, self._now, say_after_seconds)
            self._show()

    def show(self, progress: Progress) -> None:
        with self._lock:
            self._waiting, self._progress, self._shown_at = None, progress, self._now
            self._show()

    def tick(self) -> None:
        """Some time has passed."""
        with self._lock:
            self._show()

    @property
    def _now(self) -> float:
        return self._clock() - self._began

    def _show(self) -> None:
        now = self._now
        if self._waiting is not None:
            self._display.wait(self._waiting, now)
        elif self._progress is not None:
            passed = now - self._shown_at
            self._display.show(replace(self._progress, seconds=self._progress.seconds + passed))


@contextmanager
def users_progress_on(console: Console) -> Iterator[UsersReporter]:
    """The reporter of a run over many users that suits `console`."""
    display = BarReporter(_bar_on(console), of_users) if console.is_terminal else UserLines(console)
    reporter = UsersReporter(display)
    with closing(display), _ticking(reporter.tick):
        yield reporter


@contextmanager
def _ticking(tick: Callable[[], None]) -> Iterator[None]:
    """Calls `tick` a few times a second, in a thread of its own."""
    stop = threading.Event()

    def until_stopped() -> None:
        while not stop.wait(TICK_SECONDS):
            tick()

    thread = threading.Thread(target=until_stopped, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
