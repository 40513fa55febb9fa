"""One import in a process tree of its own, measured from outside."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.first_chunk import FirstChunk
from benchmarks.metering import Meter
from benchmarks.phases import running
from benchmarks.process_tree import ProcessTree, Reading

REST_CORES = 0.25  # Ray at rest uses 0.05-0.2 of a core
REST_INTERVAL_S = 0.5
REST_PATIENCE_S = 30


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one import cost, from the moment that Ray was up to the last commit.

    `ray_seconds` is what the process needed until then. `start_*` is the part of the rest that the workers'
    start took, `first_chunk_seconds` that until the first chunk was committed. `idle_pss_bytes` is Ray with
    idle workers, `peak_pss_bytes` the most while the import ran, both of the whole tree. `again_*` is the same
    import once more, which finds everything in.
    """

    json_bytes: int
    conversations: int
    rejected: int
    rows_written: int
    ray_seconds: float
    seconds: float
    first_chunk_seconds: float
    start_seconds: float
    cpu_seconds: float
    start_cpu_seconds: float
    idle_pss_bytes: int
    peak_pss_bytes: int
    spilled_bytes: int
    fallback_bytes: int
    again_seconds: float
    again_cpu_seconds: float
    again_rows_written: int

    @property
    def megabytes(self) -> float:
        return self.json_bytes / 1e6

    @property
    def cpu_ms_per_megabyte(self) -> float:
        return 1000 * self.cpu_seconds / self.megabytes

    @property
    def work_cpu_ms_per_megabyte(self) -> float:
        return 1000 * (self.cpu_seconds - self.start_cpu_seconds) / self.megabytes

    @property
    def megabytes_per_second(self) -> float:
        return self.megabytes / self.seconds

    @property
    def pss_above_idle_bytes(self) -> int:
        return self.peak_pss_bytes - self.idle_pss_bytes


def measure_import(exports: Sequence[Path], url: str, workers: int) -> Measurement:
    """Imports `exports` into the new destination `url`, twice, in a fresh process with a Ray of its own.

    The first chunk is looked for in SQLite only.
    """
    began = time.monotonic()
    with running("benchmarks.import_child", url, workers, *exports) as (child, tree):
        child.reach("ray_up")
        ray_seconds = time.monotonic() - began
        before_start = at_rest(tree).cpu_seconds
        child.go_on()
        child.reach("idle")
        # Not read at once: the executor waits for the first of the workers only.
        idle = at_rest(tree)
        start_cpu_seconds = idle.cpu_seconds - before_start
        with Meter(tree) as meter, FirstChunk(Path(url.removeprefix("sqlite:///"))) as first_chunk:
            child.go_on()
            first = child.reach("imported")
        with Meter(tree) as again_meter:
            child.go_on()
            again = child.reach("repeated")
        child.go_on()
    return Measurement(
        json_bytes=first["json_bytes"],
        conversations=first["conversations"],
        rejected=first["rejected"],
        rows_written=first["rows_written"],
        ray_seconds=ray_seconds,
        seconds=first["seconds"],
        first_chunk_seconds=first["start_seconds"] + first_chunk.seconds,
        start_seconds=first["start_seconds"],
        cpu_seconds=start_cpu_seconds + meter.usage().cpu_seconds,
        start_cpu_seconds=start_cpu_seconds,
        idle_pss_bytes=idle.pss_bytes,
        peak_pss_bytes=meter.usage().peak_pss_bytes,
        spilled_bytes=first["spilled_bytes"],
        fallback_bytes=first["fallback_bytes"],
        again_seconds=again["seconds"],
        again_cpu_seconds=again_meter.usage().cpu_seconds,
        again_rows_written=again["rows_written"],
    )


def at_rest(tree: ProcessTree) -> Reading:
    """Waits until the tree does nothing but keep itself alive: Ray's daemons go on starting after `init`."""
    patience_ends = time.monotonic() + REST_PATIENCE_S
    before, before_at = tree.read(), time.monotonic()
    while time.monotonic() < patience_ends:
        time.sleep(REST_INTERVAL_S)
        now, now_at = tree.read(), time.monotonic()
        if now.cpu_seconds - before.cpu_seconds < REST_CORES * (now_at - before_at):
            return now
        before, before_at = now, now_at
    raise RuntimeError(f"The process tree did not come to rest in {REST_PATIENCE_S} s.")
