"""What importing costs: `python -m benchmarks.import_export --mb 100 300 1000`. Linux only.

Each size is imported in a fresh process tree with a Ray of its own, twice: the second time nothing changes.
Files come from the page cache where they fit, since they were just written. With several sizes, workers or kinds of
exports there is a column for each, and they take turns:

--mb 100 --workers 1 2 4       scaling over workers
--mb 100 --damaged             beside each export the same one with every twentieth conversation damaged
--mb 100 --exports 1 1000      the same size in one export and in 1,000 of 100 KB, in one run
--mb 60 --to postgres supabase --delay 2    into the tests' Postgres, and a slow stand-in for Supabase
"""

import argparse
import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import orjson
from rich.console import Console

from benchmarks import results
from benchmarks.destinations import KINDS, destination
from benchmarks.exports import Variant, kept_or_temporary, prepare
from benchmarks.import_report import Case, Measured, as_object, middle, table
from benchmarks.measured_import import Measurement, measure_import

WIDTH = 130


def measure(directory: Path, case: Case) -> Measurement:
    """Imports the exports of `case` once, into a new database in `directory`."""
    exports = prepare(directory, case.variant)
    with destination(case.to, directory, case.delay_seconds) as url:
        return measure_import(exports, url, case.workers)


def measure_all(directory: Path, cases: Sequence[Case], repeat: int, console: Console) -> list[Measured]:
    """All cases in turn, `repeat` times."""
    runs: dict[Case, list[Measurement]] = {case: [] for case in cases}
    for turn in range(repeat):
        for case in cases:
            console.print(f"{turn + 1} of {repeat}: {case.name}", highlight=False)
            runs[case].append(measure(directory, case))
    return [Measured(case, repeat, middle(of_case)) for case, of_case in runs.items()]


def main() -> None:
    """Measure imports of made-up exports."""
    options = _parse_options()
    console = Console(stderr=options.json, width=WIDTH)
    with kept_or_temporary(options.keep) as directory:
        measured = measure_all(directory, _cases(options), options.repeat, console)
    figures = [as_object(one) for one in measured]
    if options.json:
        sys.stdout.buffer.write(orjson.dumps(figures, option=orjson.OPT_INDENT_2))
    else:
        console.print(table(measured))
    if options.out:
        results.write(options.out, figures)


def _cases(options: argparse.Namespace) -> list[Case]:
    damaged = (False, True) if options.damaged else (False,)
    return [
        Case(Variant(megabytes, exports, options.zip, damage), workers, to, options.delay if to == "supabase" else 0.0)
        for megabytes, exports, damage, workers, to in product(
            options.mb, options.exports, damaged, options.workers, options.to
        )
    ]


def _parse_options() -> argparse.Namespace:
    options = argparse.ArgumentParser(
        prog="python -m benchmarks.import_export",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_argument("--mb", type=float, nargs="+", required=True, help="sizes in megabytes of JSON")
    options.add_argument("--repeat", type=int, default=1, help="imports per column, of which medians are shown")
    options.add_argument("--workers", type=int, nargs="+", default=[2], help="worker processes")
    options.add_argument(
        "--exports", type=int, nargs="+", default=[1], help="in how many exports of one run the size is"
    )
    options.add_argument("--to", nargs="+", choices=KINDS, default=["sqlite"], help="the tests' own servers")
    options.add_argument("--delay", type=float, default=0.0, help="how late a call of supabase begins, in seconds")
    options.add_argument("--keep", type=Path, metavar="DIR", help="write the exports there, and use them again")
    options.add_argument("--json", action="store_true", help="print the figures as JSON, in seconds and bytes")
    options.add_argument("--out", type=Path, metavar="FILE", help="write the same there, for plots")
    kind = options.add_mutually_exclusive_group()
    kind.add_argument("--zip", action="store_true", help="import ZIPs instead of bare JSON")
    kind.add_argument("--damaged", action="store_true", help="import damaged exports as well")
    chosen = options.parse_args()
    if chosen.exports != [1] and (chosen.zip or chosen.damaged):
        options.error("--exports goes with neither --zip nor --damaged")
    return chosen


if __name__ == "__main__":
    main()
