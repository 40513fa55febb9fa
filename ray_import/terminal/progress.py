"""Progress on standard error: a bar on a terminal, now and then a line elsewhere."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Column

from ray_import.importing.progress import Progress, Reporter

LINE_EVERY_SECONDS = 5.0
MEGABYTE = 1e6


def described(progress: Progress) -> str:
    """The counts of a moment in words, the same for bar and line."""
    counts = progress.counts
    speed = progress.bytes_read / MEGABYTE / progress.seconds if progress.seconds else 0.0
    text = (
        f"{decimal(progress.bytes_read)}, {counts.seen:,} conversations, "
        f"{counts.chunks_written:,} chunks, {speed:,.0f} MB/s"
    )
    if progress.slowest:
        text += f", {progress.slowest} is slowest"
    return f"{text}, {counts.rejected:,} rejects" if counts.rejected else text


class LineReporter:
    """A plain line every few seconds: for logs, job logs above all."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._next = LINE_EVERY_SECONDS

    def show(self, progress: Progress) -> None:
        """See `Reporter.show`."""
        if progress.seconds < self._next:
            return
        self._next = progress.seconds + LINE_EVERY_SECONDS
        share = f"{100 * progress.bytes_read / progress.bytes_total:.0f} %: " if progress.bytes_total else ""
        self._console.print(f"importing {share}{described(progress)}", soft_wrap=True)


class BarReporter:
    """A bar that knows the time left. It is there from the first bytes on, not while Ray starts."""

    def __init__(self, bar: Bar) -> None:
        self._bar = bar
        self._task: TaskID | None = None

    def show(self, progress: Progress) -> None:
        """See `Reporter.show`."""
        total = progress.bytes_total
        share = f"{100 * progress.bytes_read / total:3.0f} %" if total else ""
        counts = described(progress)
        if self._task is None:
            self._task = self._bar.add_task("importing", total=total, share=share, counts=counts)
            self._bar.start()
        self._bar.update(self._task, completed=progress.bytes_read, total=total, share=share, counts=counts)

    def close(self) -> None:
        """Leaves the bar as it is."""
        if self._task is not None:
            self._bar.stop()


@contextmanager
def progress_on(console: Console) -> Iterator[Reporter]:
    """The reporter that suits `console`."""
    if not console.is_terminal:
        yield LineReporter(console)
        return
    # Where there is not room for all, the counts are cut off.
    counts = TextColumn("{task.fields[counts]}", table_column=Column(no_wrap=True, overflow="crop", ratio=1))
    bar = Bar(
        TextColumn("{task.description}"), BarColumn(bar_width=min(24, console.width // 5)),
        TextColumn("{task.fields[share]}"), TimeRemainingColumn(compact=True), counts,
        console=console, expand=True,
    )  # fmt: skip
    with closing(BarReporter(bar)) as reporter:
        yield reporter
