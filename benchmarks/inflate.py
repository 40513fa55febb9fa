"""What does unpacking cost? `python -m benchmarks.inflate export.json`.

Prints the milliseconds of CPU time per MB of JSON: of the standard library's streams and of this package's, with zlib
and with isal; and of the latter for other sizes than it uses. Each is the best of some runs.
"""

import argparse
import gzip
import time
import zipfile
import zlib
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, BinaryIO, cast
from unittest import mock

from isal import isal_zlib
from rich.console import Console
from rich.table import Table

from ray_import.source import inflate
from ray_import.source.streams import Opener, entry_of_zip, file, gunzipped

if TYPE_CHECKING:
    from types import ModuleType

AT_A_TIME = 16 * 1024
"""As the reader reads."""

ENTRY = "conversations.json"
KB = 1024


def packed(folder: Path, data: bytes) -> tuple[Path, Path]:
    """A ZIP and a gzip of `data`."""
    zipped, gzipped = folder / "export.zip", folder / "export.gz"
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(ENTRY, data)
    gzipped.write_bytes(gzip.compress(data, 6))
    return zipped, gzipped


def standard(zipped: Path, gzipped: Path) -> tuple[Opener, Opener]:
    """The standard library's streams."""

    def entry(stack: ExitStack) -> BinaryIO:
        return cast("BinaryIO", stack.enter_context(stack.enter_context(zipfile.ZipFile(zipped)).open(ENTRY)))

    return entry, lambda stack: cast("BinaryIO", stack.enter_context(gzip.open(gzipped)))


def ours(zipped: Path, gzipped: Path) -> tuple[Opener, Opener]:
    """This package's streams."""
    with zipfile.ZipFile(zipped) as archive:
        return entry_of_zip(file(zipped), archive.getinfo(ENTRY)), gunzipped(file(gzipped))


def ms_per_mb(opener: Opener, size: int, runs: int) -> str:
    """The least CPU time of some runs."""
    best = float("inf")
    for _ in range(runs):
        began, count = time.process_time(), 0
        with ExitStack() as stack:
            stream = opener(stack)
            while data := stream.read(AT_A_TIME):
                count += len(data)
        best = min(best, time.process_time() - began)
        assert count == size
    return f"{best * 1e9 / size:.2f}"


def by_way(paths: tuple[Path, Path], size: int, runs: int) -> Table:
    """The standard library against this package."""
    table = Table("ms per MB", "ZIP", "gzip")
    table.add_row("standard library", *(ms_per_mb(opener, size, runs) for opener in standard(*paths)))
    ways: dict[str, ModuleType] = {"inflate, zlib": zlib, "inflate, isal": isal_zlib}
    for name, fast in ways.items():
        with mock.patch.object(inflate, "fast", fast):
            table.add_row(name, *(ms_per_mb(opener, size, runs) for opener in ours(*paths)))
    return table


def by_size(opener: Opener, size: int, runs: int) -> Table:
    """How much is read and unpacked at a time."""
    reads, pieces = [4 * KB, 16 * KB, 64 * KB, 256 * KB], [16 * KB, 64 * KB, 256 * KB, 1024 * KB]
    table = Table("ms per MB, ZIP", *(f"read {read // KB} KB" for read in reads))
    for piece in pieces:
        row = []
        for read in reads:
            with mock.patch.multiple(inflate, READ_BYTES=read, PIECE_BYTES=piece):
                row.append(ms_per_mb(opener, size, runs))
        table.add_row(f"pieces of {piece // KB} KB", *row)
    return table


def main() -> None:
    """Prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("export", type=Path, help="a JSON file")
    parser.add_argument("--runs", type=int, default=3, help="the best of so many is told")
    arguments = parser.parse_args()
    data = arguments.export.read_bytes()
    size = len(data)
    with TemporaryDirectory() as folder:
        paths = packed(Path(folder), data)
        del data
        console = Console(width=100)
        console.print(by_way(paths, size, arguments.runs))
        console.print(by_size(ours(*paths)[0], size, arguments.runs))


if __name__ == "__main__":
    main()
