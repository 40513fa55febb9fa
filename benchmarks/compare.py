"""ray_import against the other ways to do the same: `python -m benchmarks.compare --mb 100 --repeat 3`. Linux only.

Every peer does the whole job, export to rows, and the rows have to be equal. They take turns, each run in a fresh
process, and ratios are taken between runs of one round: so what else the machine does falls on all of them alike. Ray
Data needs `pip install 'ray[data]'`; to leave it out, name the others with --peers.
"""

import argparse
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import machine, results
from benchmarks.exports import Variant, kept_or_temporary, prepare
from benchmarks.measured_peer import PeerRun, measure_peer

MEGABYTE = 1e6
WIDTH = 130
OURS = "ours"
PEERS = {
    OURS: "ray_import",
    "tight": "ray_import in one process, no Ray",
    "byte_ranges": "process pool, byte ranges",
    "ray_data": "Ray Data, byte ranges",
    "orjson_whole": "orjson, whole file",
    "ijson_stream": "ijson, one process",
}
Round = dict[str, PeerRun]
"""A run of each peer, one after the other."""


@dataclass(frozen=True, slots=True)
class Compared:
    """All rounds of one export."""

    megabytes: float
    workers: int
    rounds: tuple[Round, ...]

    def middle(self, peer: str, figure: Callable[[PeerRun], float]) -> float:
        """The median of a peer's figure."""
        return median(figure(one[peer]) for one in self.rounds)

    def ratio(self, peer: str, figure: Callable[[PeerRun], float]) -> float:
        """How many times ours that is: the median of the ratios within each round."""
        return median(figure(one[peer]) / figure(one[OURS]) for one in self.rounds)

    @property
    def peers(self) -> list[str]:
        """As they were run."""
        return list(self.rounds[0])


def compare(export: Path, megabytes: float, workers: int, repeat: int, peers: Sequence[str]) -> Compared:
    """Runs the peers in turn, each into a new database. Raises RuntimeError where the rows are not equal."""
    rounds = []
    for _ in range(repeat):
        one: Round = {}
        for peer in peers:
            with tempfile.TemporaryDirectory(dir=export.parent) as beside:
                one[peer] = measure_peer(peer, export, Path(beside) / "chunks.db", workers)
        refuse_other_rows(one)
        rounds.append(one)
    return Compared(megabytes, workers, tuple(rounds))


def refuse_other_rows(one: Round) -> None:
    """A peer that has made other rows has done another job."""
    others = [peer for peer, run in one.items() if run.rows != one[OURS].rows]
    if others:
        raise RuntimeError(f"The rows of {', '.join(others)} are not those of ray_import.")


LINES: tuple[tuple[str, Callable[[Compared, str], str]], ...] = (
    ("seconds, Ray being up", lambda c, p: f"{c.middle(p, lambda run: run.seconds):.2f}"),
    ("MB/s", lambda c, p: f"{c.middle(p, lambda run: run.megabytes_per_second):.1f}"),
    ("CPU ms per MB", lambda c, p: f"{c.middle(p, lambda run: run.cpu_ms_per_megabyte):.1f}"),
    ("peak memory, MB", lambda c, p: f"{c.middle(p, lambda run: run.peak_pss_bytes) / MEGABYTE:.0f}"),
    ("whole process: seconds", lambda c, p: f"{c.middle(p, lambda run: run.whole_seconds):.2f}"),
    ("  CPU seconds", lambda c, p: f"{c.middle(p, lambda run: run.whole_cpu_seconds):.2f}"),
    ("  until the first chunk", lambda c, p: f"{c.middle(p, lambda run: run.first_chunk_seconds):.2f}"),
    ("x ours: seconds, Ray being up", lambda c, p: f"{c.ratio(p, lambda run: run.seconds):.2f}"),
    ("  CPU", lambda c, p: f"{c.ratio(p, lambda run: run.cpu_seconds):.2f}"),
    ("  peak memory", lambda c, p: f"{c.ratio(p, lambda run: run.peak_pss_bytes):.2f}"),
    ("  seconds of the whole process", lambda c, p: f"{c.ratio(p, lambda run: run.whole_seconds):.2f}"),
)


def table(compared: Compared) -> Table:
    """One column per peer; MB are 10^6 bytes, of JSON unless memory is meant."""
    drawn = Table(
        title=f"{compared.megabytes:g} MB, equal rows, {compared.workers} workers, median of {len(compared.rounds)}",
        caption=machine.in_a_line(),
    )
    drawn.add_column("", no_wrap=True)
    for peer in compared.peers:
        drawn.add_column(PEERS[peer], justify="right", max_width=17)
    for name, cell in LINES:
        drawn.add_row(name, *(cell(compared, peer) for peer in compared.peers))
    return drawn


def as_objects(compared: Compared) -> list[dict[str, Any]]:
    """What --out writes of it: the median of every figure, in seconds and bytes, one object per peer."""
    figures = [field.name for field in fields(PeerRun) if field.name != "rows"]
    return [
        {
            "label": PEERS[peer],
            "megabytes": compared.megabytes,
            "workers": compared.workers,
            "runs": len(compared.rounds),
            **{name: compared.middle(peer, lambda run, name=name: getattr(run, name)) for name in figures},  # type: ignore[misc]
            "megabytes_per_second": compared.middle(peer, lambda run: run.megabytes_per_second),
            "cpu_ms_per_megabyte": compared.middle(peer, lambda run: run.cpu_ms_per_megabyte),
            "seconds_ratio": compared.ratio(peer, lambda run: run.seconds),
            "cpu_ratio": compared.ratio(peer, lambda run: run.cpu_seconds),
            "pss_ratio": compared.ratio(peer, lambda run: run.peak_pss_bytes),
            "whole_seconds_ratio": compared.ratio(peer, lambda run: run.whole_seconds),
            "rounds": [asdict(one[peer]) for one in compared.rounds],
        }
        for peer in compared.peers
    ]


def main() -> None:
    """Measure ray_import and its peers on made-up exports."""
    options = _parse_options()
    console = Console(width=WIDTH)
    found = []
    with kept_or_temporary(options.keep) as directory:
        for megabytes in options.mb:
            [export] = prepare(directory, Variant(megabytes))
            peers = [OURS, *(peer for peer in options.peers if peer != OURS)]
            compared = compare(export, megabytes, options.workers, options.repeat, peers)
            console.print(table(compared))
            found += as_objects(compared)
    if options.out:
        results.write(options.out, found)


def _parse_options() -> argparse.Namespace:
    options = argparse.ArgumentParser(prog="python -m benchmarks.compare", description=main.__doc__)
    options.add_argument("--mb", type=float, nargs="+", default=[100], help="sizes in megabytes of JSON")
    options.add_argument("--repeat", type=int, default=3, help="rounds per size, of which medians are shown")
    options.add_argument("--workers", type=int, default=2)
    options.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS), help="all, by default")
    options.add_argument("--keep", type=Path, metavar="DIR", help="write the exports there, and use them again")
    options.add_argument("--out", type=Path, metavar="FILE", help="write the figures there as JSON, for plots")
    return options.parse_args()


if __name__ == "__main__":
    main()
