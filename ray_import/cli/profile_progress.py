"""Progress of profiles on standard error: a line every few seconds, or one line that is written over on a terminal."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.status import Status

from ray_import.cli.progress_text import clock_time
from ray_import.profile.progress import ProfileProgress, ProfileReporter

LINE_EVERY_SECONDS = 5.0


class _Lines:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._next = time.monotonic() + LINE_EVERY_SECONDS

    def show(self, progress: ProfileProgress) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + LINE_EVERY_SECONDS
            self._console.print(in_words(progress), soft_wrap=True)


class _OneLine:
    def __init__(self, status: Status) -> None:
        self._status = status

    def show(self, progress: ProfileProgress) -> None:
        self._status.update(in_words(progress))


@contextmanager
def profile_progress_on(console: Console) -> Iterator[ProfileReporter]:
    """The reporter that suits `console`."""
    if not console.is_terminal:
        yield _Lines(console)
        return
    with console.status("planning") as status:
        yield _OneLine(status)


def in_words(progress: ProfileProgress) -> str:
    """A moment of one user's run."""
    if not progress.expected_requests:
        return f"{progress.user_id}: {progress.step}"
    left = progress.seconds_left
    time_left = "" if left is None or not left else f", about {clock_time(left)} left"
    return (
        f"{progress.user_id}: {progress.step}, {progress.requests:,} of about {progress.expected_requests:,} requests,"
        f" {progress.input_tokens + progress.output_tokens:,} tokens, ${progress.usd:,.4f}{time_left}"
    )
