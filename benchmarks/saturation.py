"""Where a run over many users saturates: `python -m benchmarks.saturation --workers 10 100 1000`.

A model, no measurement: the speed of a run is that of its narrowest part, and each part's is worked out from what a
step costs. Costs that were measured are constants below, with where they come from, all of one machine: two virtual
CPUs of an Intel Xeon of 2.8 GHz that others kept busy, so that a quiet or newer one is faster by a half or more.
What differs from place to place is an option: its default is an assumption.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from ray_import.cluster.run import ACTIVE_PER_WORKER
from ray_import.cluster.session import BUDGET_SHARE
from ray_import.pipeline.engine import JOB_ROW_EVERY_SECONDS, TELLING_SHARE
from ray_import.settings import FlowLimits

BATCH_MB = FlowLimits().batch_bytes / 1e6
TEXT_SHARE = 0.25
"""MB of text in a MB of JSON: docs/benchmarks.md."""
WORKER_MS = 19.0
"""Hash, look up, extract, chunk, rows; CPU ms per MB of JSON: benchmarks.stages, 40 MB, without its writing."""
DRIVER_BATCH_MS = 5.0
"""CPU ms per batch, whatever its size: benchmarks.waiting_sink (4.0 to 6.8)."""
WAIT_MS_PER_REF, MOST_WAIT_MS = 0.0093, 11.5
"""`ray.wait` over what a driver waits for: 9.3 ms over 1,001 references, 11.5 over 5,001 (Ray 2.60)."""
USER_CALLS = 3
"""Of the driver to the destination, for a user: the job begins, the job ends, the user's row."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What a kind of destination costs, from docs/benchmarks.md: CPU ms per MB of JSON of a whole import, Ray's own and
    the reading among them; CPU ms per MB of text of the client and of the database; calls for a MB of JSON."""

    name: str
    whole_ms: float
    client_ms: float
    database_ms: float
    calls_per_mb: float
    call_ms: float


KINDS = (
    Kind("Postgres", whole_ms=44, client_ms=7.6, database_ms=44.0, calls_per_mb=2 / BATCH_MB, call_ms=2),
    Kind("Supabase", whole_ms=52, client_ms=22.6, database_ms=55.8, calls_per_mb=44 / 60, call_ms=60),
)
"""`call_ms`, the way there and back, is an assumption: in the same data centre, and over REST from outside."""


@dataclass(frozen=True, slots=True)
class Place:
    """What differs from place to place. Sources and exports are in MB of JSON, the object store is each machine's; of
    several runs at a time each has its share of the users and workers."""

    source_mb_s: float = 1250.0
    database_cpus: float = 8.0
    store_mb: float = 3200.0
    export_mb: float = 50.0
    runs: int = 1


@dataclass(frozen=True, slots=True)
class Speed:
    """MB of JSON a second that each part allows."""

    workers: float
    window: float
    source: float
    destination: float
    driver: float

    @property
    def narrowest(self) -> str:
        """The part that all others wait for."""
        return min(self.__slots__, key=lambda part: float(getattr(self, part)))

    @property
    def mb_s(self) -> float:
        """Of the whole."""
        return float(getattr(self, self.narrowest))


REMEDIES = {
    "workers": "more workers",
    "window": "a larger object store on every machine, the head too",
    "source": "machines near the source; ZIPs",
    "destination": "more CPUs for the database; no more workers",
    "driver": "several runs, each with its share of the users and a cluster of its own",
}


def speed(workers: int, kind: Kind, place: Place) -> Speed:
    """What each part allows with so many workers, a CPU each."""
    batch_mb = min(BATCH_MB, place.export_mb)
    in_window = BUDGET_SHARE * place.store_mb / batch_mb
    return Speed(
        workers=_workers_mb_s(workers, kind),
        window=_workers_mb_s(in_window, kind),
        source=place.source_mb_s,
        destination=1000 * place.database_cpus / (kind.database_ms * TEXT_SHARE),
        driver=place.runs * _driver_mb_s(workers / place.runs, in_window, batch_mb, kind, place),
    )


def _workers_mb_s(workers: float, kind: Kind) -> float:
    """Of CPUs that do all but the driver's part, or of workers that wait for the destination, whichever is less."""
    waits_ms = kind.database_ms * TEXT_SHARE + kind.calls_per_mb * kind.call_ms
    each_ms = WORKER_MS + kind.client_ms * TEXT_SHARE + waits_ms
    return 1000 * workers / max(each_ms, kind.whole_ms)


def _driver_mb_s(workers: float, in_window: float, batch_mb: float, kind: Kind, place: Place) -> float:
    """Of one thread, which does a batch's and a user's part, and tells every user's job how far it is."""
    active = ACTIVE_PER_WORKER * workers
    in_flight = min(in_window, FlowLimits().batches_per_worker * workers)
    batch_ms = DRIVER_BATCH_MS + min(WAIT_MS_PER_REF * (in_flight + active), MOST_WAIT_MS)
    mb_ms = batch_ms / batch_mb + USER_CALLS * kind.call_ms / place.export_mb
    telling = min(active * kind.call_ms / (1000 * JOB_ROW_EVERY_SECONDS), TELLING_SHARE)
    return 1000 * (1 - telling) / mb_ms


def saturated_at(kind: Kind, place: Place, most: int = 10_000) -> int:
    """The number of workers from which on more of them gain nothing; `most` where that is further away."""
    return next((n for n in range(1, most) if speed(n, kind, place).narrowest != "workers"), most)


def table(workers: Sequence[int], kinds: Sequence[Kind], place: Place) -> Table:
    """A line for each destination and number of workers."""
    drawn = Table("into", "number", *Speed.__slots__, "all", "narrowest", box=None, pad_edge=False)
    for kind in kinds:
        for number in workers:
            found = speed(number, kind, place)
            parts = (f"{getattr(found, part):,.0f}" for part in Speed.__slots__)
            drawn.add_row(kind.name, f"{number:,}", *parts, f"{found.mb_s:,.0f}", found.narrowest)
    for column in drawn.columns[1:-1]:
        column.justify = "right"
    return drawn


def main(arguments: Sequence[str] | None = None) -> None:
    """Where a run over many users saturates, in MB of JSON a second."""
    options = argparse.ArgumentParser(prog="python -m benchmarks.saturation", description=main.__doc__)
    options.add_argument("--workers", type=int, nargs="+", default=[10, 100, 1000])
    options.add_argument("--source-mb-s", type=float, default=Place().source_mb_s, help="of the source, all readers")
    options.add_argument("--database-cpus", type=float, default=Place().database_cpus)
    options.add_argument("--store-mb", type=float, default=Place().store_mb, help="object store of each machine")
    options.add_argument("--export-mb", type=float, default=Place().export_mb, help="of JSON, of a user")
    options.add_argument(
        "--runs", type=int, default=Place().runs, help="at the same time, each on a cluster of its own"
    )
    chosen = options.parse_args(arguments)
    place = Place(chosen.source_mb_s, chosen.database_cpus, chosen.store_mb, chosen.export_mb, chosen.runs)
    console = Console(width=120, highlight=False)
    console.print(table(chosen.workers, KINDS, place))
    for kind in KINDS:
        console.print(f"{kind.name}: more workers gain nothing from {saturated_at(kind, place):,} on.")
    for part in sorted({speed(number, kind, place).narrowest for number in chosen.workers for kind in KINDS}):
        console.print(f"where it is the {part}: {REMEDIES[part]}.")


if __name__ == "__main__":
    main()
