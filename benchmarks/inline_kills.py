"""Kills an import without Ray again and again, at seeded moments, and compares its tables with an undisturbed one's.

    python -m benchmarks.inline_kills                 # 30 kills over 60 MB
    python -m benchmarks.inline_kills --mb 5 --kills 3 --seed 7

Each run is killed with SIGKILL after a seeded number of batches, and the next one continues. When an import has come
to its end, the next kill is of a new one. Exits with 1 if a table differs, or a mark is left.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from tests.support.generate import write_export
from tests.support.user_exports import rows_in

BATCH_BYTES = 500_000
MOST_BATCHES = 12
"""Between two kills."""


def import_into(folder: Path, export: Path, kill_after: int | None) -> bool:
    """Runs the import, up to its end or to the mark of the batch of that number; whether it was killed."""
    marks = folder / "state" / "ray-import" / "marks"
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "ray_import", "run", str(export), "--executor", "inline"),
            *("--to", f"sqlite:///{folder}/chunks.db", "--batch-bytes", str(BATCH_BYTES)),
        ],
        env=os.environ | {"XDG_STATE_HOME": str(folder / "state")},
        stderr=subprocess.DEVNULL,
    )
    seen: set[bytes] = set()
    while process.poll() is None:
        seen.update(filter(None, map(_line, marks.glob(f"{process.pid}-*.mark"))))
        time.sleep(0.001)  # leaves the CPUs to the import
        if kill_after is not None and len(seen) > kill_after:
            process.kill()
    if process.wait() not in (0, -9):
        sys.exit(f"an import has ended with {process.returncode}")
    return process.returncode == -9


def _line(mark: Path) -> bytes:
    with suppress(FileNotFoundError):
        return mark.read_bytes().split(b"\n")[0]
    return b""


def differences(folder: Path, undisturbed: Path) -> list[str]:
    """The tables that are not equal, and the marks that are left."""
    left, expected = rows_in(folder / "chunks.db"), rows_in(undisturbed / "chunks.db")
    marks = [path.name for path in folder.glob("state/ray-import/marks/*")]
    return [table for table in expected if left[table] != expected[table]] + marks


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mb", type=float, default=60.0)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        export = root / "conversations.json"
        write_export(export, arguments.mb, arguments.seed)
        undisturbed = root / "undisturbed"
        undisturbed.mkdir()
        import_into(undisturbed, export, None)
        kills, imports, wrong = 0, 0, list[str]()
        while kills < arguments.kills:
            imports += 1
            folder = root / str(imports)
            folder.mkdir()
            while kills < arguments.kills and import_into(folder, export, rng.randrange(MOST_BATCHES)):
                kills += 1
            import_into(folder, export, None)
            wrong += differences(folder, undisturbed)
    print(f"{kills} kills in {imports} imports of {arguments.mb:g} MB: {', '.join(wrong) or 'all tables are equal'}")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
