"""Progress on standard error: a bar on a terminal, now and then a line elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

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
    """A bar that knows the time left."""

    def __init__(self, bar: Bar) -> None:
        self._bar = bar
        self._task: TaskID = bar.add_task("importing", total=None, counts="")

    def show(self, progress: Progress) -> None:
        """See `Reporter.show`."""
        self._bar.update(
            self._task, completed=progress.bytes_read, total=progress.bytes_total, counts=described(progress)
        )


@contextmanager
def progress_on(console: Console) -> Iterator[Reporter]:
    """The reporter that suits `console`."""
    if not console.is_terminal:
        yield LineReporter(console)
        return
    columns = (
        TextColumn("{task.description}"), BarColumn(bar_width=24), TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.fields[counts]}"), TimeRemainingColumn(compact=True),
    )  # fmt: skip
    with Bar(*columns, console=console) as bar:
        yield BarReporter(bar)
