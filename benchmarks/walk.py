"""The files of ray_import that each conversation enters on its way from an export into SQLite, without Ray.

    python -m benchmarks.walk

A file counts if its functions are called at least once for every second conversation: what happens once an import, or
once a batch, does not count, nor does what a file does while Python imports it.
"""

import contextlib
import inspect
import sys
import tempfile
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

import ray_import
from ray_import.__main__ import main
from tests.support.generate import write_export

HOME = Path(ray_import.__file__).parent
MEGABYTES = 8.0


def calls_by_file(arguments: list[str]) -> Counter[str]:
    """How often a command calls functions of each file of the package, in its main thread."""
    calls: Counter[str] = Counter()

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code.co_flags & inspect.CO_NEWLOCALS:  # not the body of a module or a class
            calls[frame.f_code.co_filename] += 1

    sys.argv = ["ray-import", *arguments]
    sys.setprofile(note)
    try:
        with contextlib.suppress(SystemExit):
            main()
    finally:
        sys.setprofile(None)
    return Counter({str(Path(file).relative_to(HOME)): n for file, n in calls.items() if file.startswith(str(HOME))})


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        export = Path(folder) / "conversations.json"
        conversations = write_export(export, MEGABYTES, seed=1).conversations
        calls = calls_by_file(["run", str(export), "--to", f"sqlite:///{folder}/x.db", "--executor", "inline"])
    entered = sorted(name for name, count in calls.items() if count >= conversations / 2)
    print(*entered, sep="\n")
    print(f"{len(entered)} files are entered for each of {conversations} conversations")
