"""What one conversation costs in memory, by its size and shape: `python -m benchmarks.conversation_memory`.

Two processes hold it in an import: the driver cuts it out of the file, a worker turns it into rows. Each is measured
alone, in a fresh process, as the peak of its resident memory above what it had before the first byte. A worker's
figure is without the payload, which lies in Ray's object store: that takes the conversation's size once more.
"""

import argparse
import mmap
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import orjson
from rich.console import Console
from rich.table import Table

from benchmarks.long_conversations import node
from ray_import.chunks.rows import ImportJob
from ray_import.destinations.sqlite.sink import SqliteSink
from ray_import.pipeline.batch import BatchContext, import_batch
from ray_import.pipeline.sources import open_sources
from ray_import.records import Frame
from ray_import.settings import ImportSettings

SENTENCE = "So it was said, and after a while nobody wondered about it any more. "
LONG_MESSAGE_BYTES = 1_000_000
SHORT_MESSAGE_BYTES = 100
MEGABYTE = 1_000_000


def nodes_of(count: int, text_bytes: int, branches: int = 1) -> Iterator[bytes]:
    """`count` messages of about so many bytes of text, as items of a mapping."""
    text = SENTENCE * (text_bytes // len(SENTENCE) + 1)
    for i in range(count):
        key = f"00000000-0000-4000-8000-{i:012d}"
        parent = f"00000000-0000-4000-8000-{i - branches:012d}" if i >= branches else None
        yield orjson.dumps(key) + b":" + orjson.dumps(node(key, parent, text[:text_bytes], i))


def write_conversation(path: Path, count: int, text_bytes: int) -> None:
    """An export of one conversation."""
    with path.open("wb") as file:
        file.write(b'[{"conversation_id":"c","title":"Long","mapping":{')
        for i, item in enumerate(nodes_of(count, text_bytes)):
            file.write(b"," * (i > 0) + item)
        file.write(b"}}]")


def resident_bytes(name: str) -> int:
    """`VmRSS` or `VmHWM`, its peak, of this process."""
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) * 1024


def peak_above_idle(work: Callable[[], object], mapped_bytes: int = 0) -> int:
    """The peak of `work` in bytes, without `mapped_bytes` of a file that it reads where it lies."""
    idle = resident_bytes("VmRSS")
    work()
    return resident_bytes("VmHWM") - idle - mapped_bytes


def driver_peak(export: Path) -> int:
    """Of cutting the conversations, none of which is kept."""
    sources = open_sources([export], ImportSettings().read)
    return peak_above_idle(lambda: [len(item.data) for item in sources.conversations()])


def worker_peak(export: Path, database: Path) -> int:
    """Of importing the one conversation in `export`."""
    work = BatchContext(ImportJob("benchmark", "somebody", 1_790_000_000.0), ImportSettings())
    with (
        export.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
        memoryview(mapped) as payload,
        closing(SqliteSink(database)) as sink,
    ):
        frame = Frame("conversations.json", 0, 1, len(payload) - 2, "")
        # What is mapped is resident once it has been hashed.
        return peak_above_idle(lambda: import_batch(payload, [frame], work, sink), len(payload))


def measured(step: str, export: Path, folder: Path) -> float:
    """The peak of a step in MB, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.conversation_memory", "--step", step, str(export), str(folder)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout) / MEGABYTE


def main() -> None:
    """Prints the table, or what a step has taken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mb", type=float, nargs="+", default=[1, 10, 50, 200], help="conversations of so many MB")
    parser.add_argument("--step", choices=("driver", "worker"), help=argparse.SUPPRESS)
    parser.add_argument("paths", type=Path, nargs="*", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step:
        export, folder = arguments.paths
        print(driver_peak(export) if arguments.step == "driver" else worker_peak(export, folder / "chunks.db"))
        return
    table = Table("conversation", "MB of JSON", "driver, MB", "worker, MB")
    for name, text_bytes in (("long messages", LONG_MESSAGE_BYTES), ("short messages", SHORT_MESSAGE_BYTES)):
        for megabytes in arguments.mb:
            with tempfile.TemporaryDirectory() as temporary:
                folder = Path(temporary)
                export = folder / "conversations.json"
                one_bytes = len(next(nodes_of(1, text_bytes))) + len('"00000000-0000-4000-8000-000000000000"')
                count = max(1, round(megabytes * MEGABYTE / one_bytes))
                write_conversation(export, count, text_bytes)
                size = export.stat().st_size / MEGABYTE
                peaks = [measured(step, export, folder) for step in ("driver", "worker")]
            table.add_row(f"{name}, {count:,}", f"{size:.0f}", *(f"{peak:.0f}" for peak in peaks))
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
