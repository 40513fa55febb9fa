"""What imports cost in this process and on Ray: the constants of `ray_import.inline.estimate`, and the crossover.

    python -m benchmarks.executors                          # prints constants and crossovers, 2 and 8 CPUs included
    python -m benchmarks.executors --before ../before/.venv/bin/ray-import    # also beside another checkout
    python -m benchmarks.executors --mb 300 --repeat 9 --options=--no-messages

Whole commands are measured, interleaved, by their medians. `hand_out` is not measured: it is the one of `COSTS`.
"""

import argparse
import os
import shlex
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from subprocess import DEVNULL, Popen

from benchmarks.machine import in_a_line
from benchmarks.metering import Meter, Usage
from benchmarks.process_tree import ProcessTree
from ray_import.cluster.environment import available_cpus
from ray_import.inline.estimate import COSTS, MEGABYTE, Costs, crossover_bytes
from ray_import.pipeline.sources import open_sources
from ray_import.settings import ReadLimits
from tests.support.generate import write_export, write_zip

SMALL_MB = 1.0
METER_EVERY_S = 0.2
SAMPLE = Path(__file__).resolve().parent.parent / "examples" / "export"


@dataclass(frozen=True, slots=True)
class Measured:
    """Medians, in seconds: whole commands for exports of 1 MB (`small`) and of `megabytes` (`large`), and the reading
    of the large one, plain and as a ZIP."""

    megabytes: float
    inline_small: float
    inline_large: float
    ray_small: float
    ray_large: float
    read_plain: float
    read_zip: float


def costs_of(measured: Measured, cpus: int) -> Costs:
    """The constants that give these figures on `cpus` CPUs."""
    more = measured.megabytes - SMALL_MB
    inline = (measured.inline_large - measured.inline_small) / more
    on_ray = (measured.ray_large - measured.ray_small) / more
    read = measured.read_plain / measured.megabytes
    work = max(inline - read, 0.0)
    return Costs(
        ray_start_seconds=measured.ray_small - measured.inline_small,
        read=read,
        unpack=max(measured.read_zip - measured.read_plain, 0.0) / measured.megabytes,
        work=work,
        hand_out=COSTS.hand_out,
        ray_work=max(on_ray * cpus - read - COSTS.hand_out - work, 0.0),
    )


def command_of(program: Sequence[str], export: Path, options: Sequence[str]) -> Callable[[], Usage]:
    """Runs an import of `export` into a new database, and measures all of its processes."""

    def run() -> Usage:
        with tempfile.TemporaryDirectory() as folder:
            to = f"sqlite:///{folder}/chunks.db"
            mark = f"RAY_IMPORT_MEASURED={folder}"
            environment = os.environ | dict([mark.split("=", 1)])
            process = Popen(
                [*program, "run", str(export), "--to", to, *options],
                cwd=folder,  # Ray's workers import what lies in the working directory
                env=environment,
                stdout=DEVNULL,
                stderr=DEVNULL,
            )
            with Meter(ProcessTree(process.pid, mark), METER_EVERY_S) as meter:
                code = process.wait()
            if code:
                sys.exit(f"{' '.join(program)} has ended with {code}")
            return meter.usage()

    return run


def read_seconds(export: Path) -> float:
    """How long it takes to cut the conversations out of `export`."""
    began = time.perf_counter()
    for _ in open_sources([export], ReadLimits()).conversations():
        pass
    return time.perf_counter() - began


def interleaved(runs: dict[str, Callable[[], Usage]], repeat: int) -> dict[str, Usage]:
    """The run of the median time of each, and the highest peak."""
    found: dict[str, list[Usage]] = {name: [] for name in runs}
    for number in range(repeat):
        for name, run in runs.items():
            found[name].append(run())
            print(f"  {number + 1}/{repeat} {name}: {found[name][-1].seconds:.2f} s", file=sys.stderr)
    return {
        name: replace(
            sorted(usages, key=lambda usage: usage.seconds)[len(usages) // 2],
            peak_pss_bytes=max(usage.peak_pss_bytes for usage in usages),
        )
        for name, usages in found.items()
    }


def show(costs: Costs, usages: dict[str, Usage]) -> None:
    """Prints what was found, and what follows."""
    for name, usage in usages.items():
        peak = usage.peak_pss_bytes / MEGABYTE
        print(f"{name:24} {usage.seconds:8.2f} s  {usage.cpu_seconds:8.2f} CPU s  {peak:7.0f} MB at most")
    print("\nconstant            measured    in use")
    for field in fields(Costs):
        print(f"{field.name:18} {getattr(costs, field.name):9.4f} {getattr(COSTS, field.name):9.4f}")
    print("\nCPUs  packing   crossover measured    in use")
    for cpus in sorted({1, 2, 4, 8, available_cpus()}):
        for packing in ("plain", "zip"):
            found, used = (crossover_bytes(packing, cpus, one) for one in (costs, COSTS))
            print(f"{cpus:4}  {packing:8} {_megabytes(found):>20} {_megabytes(used):>9}")


def _megabytes(size: float | None) -> str:
    return "never" if size is None else f"{size / MEGABYTE:,.0f} MB"


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mb", type=float, default=100.0)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--before", type=Path, help="ray-import of another checkout, without --executor")
    parser.add_argument("--options", type=shlex.split, default=[], help="for every import")
    arguments = parser.parse_args()
    print(in_a_line())
    with tempfile.TemporaryDirectory() as name:
        small, large, packed = (Path(name) / file for file in ("small.json", "large.json", "large.zip"))
        write_export(small, SMALL_MB, 1)
        write_export(large, arguments.mb, 2)
        write_zip(packed, arguments.mb, 2)
        ours = [sys.executable, "-m", "ray_import"]
        runs: dict[str, Callable[[], Usage]] = {}
        for size, export in (("sample", SAMPLE), ("small", small), ("large", large)):
            for executor in ("inline", "ray"):
                runs[f"{executor} {size}"] = command_of(ours, export, ["--executor", executor, *arguments.options])
            if arguments.before is not None:
                runs[f"before {size}"] = command_of([str(arguments.before)], export, arguments.options)
        usages = interleaved(runs, arguments.repeat)
        plain, zipped = (
            statistics.median(read_seconds(export) for _ in range(arguments.repeat)) for export in (large, packed)
        )
    measured = Measured(
        arguments.mb,
        usages["inline small"].seconds,
        usages["inline large"].seconds,
        usages["ray small"].seconds,
        usages["ray large"].seconds,
        plain,
        zipped,
    )
    show(costs_of(measured, available_cpus()), usages)


if __name__ == "__main__":
    main()
