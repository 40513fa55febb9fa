"""What importing costs: `python -m benchmarks.import_export --mb 100 300 1000`. Linux only.

Each size is imported in a fresh process tree with a Ray of its own, twice: the second time nothing changes.
Files come from the page cache where they fit, since they were just written.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
from rich.console import Console

from benchmarks.generate import write_export, write_zip
from benchmarks.import_report import Measured, as_object, middle, table
from benchmarks.measured_import import Measurement, measure_import


def prepare_export(directory: Path, megabytes: float, *, zipped: bool) -> Path:
    """The made-up export of that size in `directory`; one that is there already is used again."""
    path = directory / f"export-{megabytes:g}mb.{'zip' if zipped else 'json'}"
    if not path.exists():
        unfinished = path.with_suffix(".part")
        (write_zip if zipped else write_export)(unfinished, megabytes)
        unfinished.replace(path)
    return path


def measure(export: Path, workers: int, repeat: int) -> Iterator[Measurement]:
    """Imports `export` `repeat` times, each time into a new database beside it."""
    for _ in range(repeat):
        with tempfile.TemporaryDirectory(dir=export.parent) as beside:
            yield measure_import(export, Path(beside) / "chunks.db", workers)


def main() -> None:
    """Measure imports of made-up exports."""
    options = _parse_options()
    console = Console(stderr=options.json)
    measured = []
    with _directory(options.keep) as directory:
        for megabytes in options.mb:
            export = prepare_export(directory, megabytes, zipped=options.zip)
            console.print(f"importing {export.name} {options.repeat} time(s), {options.workers} workers")
            runs = list(measure(export, options.workers, options.repeat))
            measured.append(Measured(export.name, options.workers, options.repeat, middle(runs)))
    if options.json:
        sys.stdout.buffer.write(orjson.dumps([as_object(export) for export in measured], option=orjson.OPT_INDENT_2))
    else:
        console.print(table(measured))


def _parse_options() -> argparse.Namespace:
    options = argparse.ArgumentParser(prog="python -m benchmarks.import_export", description=main.__doc__)
    options.add_argument("--mb", type=float, nargs="+", required=True, help="sizes in megabytes of JSON")
    options.add_argument("--repeat", type=int, default=1, help="imports per size, of which medians are shown")
    options.add_argument("--workers", type=int, default=2)
    options.add_argument("--zip", action="store_true", help="import ZIPs instead of bare JSON")
    options.add_argument("--keep", type=Path, metavar="DIR", help="write the exports there, and use them again")
    options.add_argument("--json", action="store_true", help="print the figures as JSON, in seconds and bytes")
    return options.parse_args()


@contextmanager
def _directory(keep: Path | None) -> Iterator[Path]:
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="ray-import-benchmark-") as temporary:
            yield Path(temporary)
    else:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep


if __name__ == "__main__":
    main()
