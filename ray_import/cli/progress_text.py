"""A moment of an import in words: of one user, or of many. Pure."""

import math
from dataclasses import dataclass

from rich.filesize import decimal

from ray_import.pipeline.progress import Progress, Rates, percent

IDLE_AFTER_SECONDS = 10.0
"""When nothing has changed for so long, that is said."""
MEGABYTE = 1e6
UNKNOWN = "-:--"


@dataclass(frozen=True, slots=True)
class Words:
    """A moment in words. `share` is empty where it is not known; `done` is what the bar shows of it, from 0 to 1."""

    share: str
    left: str
    counts: str
    done: float | None

    @property
    def line(self) -> str:
        """As a line of a log."""
        return f"importing {self.share}: {self.counts}" if self.share else f"importing {self.counts}"


def of_one(progress: Progress, rates: Rates) -> Words:
    """One user's import in words."""
    share = progress.bytes_share
    if share is None:
        return Words("", "", described(progress), None)
    return Words(f"{percent(share)} %", clock_time(rates.seconds_left), described(progress), share)


def of_users(progress: Progress, rates: Rates) -> Words:
    """A run over many users in words. The bar shows the bytes where their share is known, else the users."""
    share = f"{percent(progress.users_share)} % of users"
    if progress.bytes_share is not None:
        share += f", {percent(progress.bytes_share)} % of bytes"
    done = progress.users_share if progress.bytes_share is None else progress.bytes_share
    counts = f"{_users(progress, rates)}, {described(progress)}"
    return Words(share, clock_time(rates.seconds_left), counts, done)


def described(progress: Progress) -> str:
    """What was read and written so far, and how fast."""
    speed = progress.bytes_read / MEGABYTE / progress.seconds if progress.seconds else 0.0
    text = (
        f"{decimal(progress.bytes_read)}, {progress.conversations:,} conversations, "
        f"{progress.chunks_written:,} chunks, {speed:,.0f} MB/s"
    )
    if progress.bottleneck:
        text += f", {progress.bottleneck} is slowest"
    return f"{text}, {progress.rejects:,} rejects" if progress.rejects else text


def _users(progress: Progress, rates: Rates) -> str:
    states = progress.states
    words = [f"{progress.ended:,} of {progress.users:,} users"]
    if rates.users_per_second is not None:
        words.append(f"{per_second(rates.users_per_second)} users/s")
    words += [f"{states[state]:,} {state}" for state in ("partial", "failed", "skipped") if states[state]]
    words.append(f"{progress.active:,} active")
    if progress.slow:
        words.append(f"{progress.slow:,} with slow sources")
    if rates.idle_seconds >= IDLE_AFTER_SECONDS and progress.ended < progress.users:
        words.append(f"no progress for {rates.idle_seconds:,.0f} s")
    return ", ".join(words)


def per_second(rate: float) -> str:
    """A rate with two digits, or as a whole number."""
    return f"{rate:,.0f}" if rate >= 9.5 else f"{rate:.2g}"


def clock_time(seconds: float | None) -> str:
    """Minutes and seconds, and hours where there are any: 01:23, 2:01:23."""
    if seconds is None or not math.isfinite(seconds):
        return UNKNOWN
    minutes, rest = divmod(math.ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes:02}:{rest:02}"
