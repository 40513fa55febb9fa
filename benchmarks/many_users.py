"""What a run over many users costs beyond their bytes: `python -m benchmarks.many_users --users 2000 --kb 200`.

The same bytes in one export are the measure. The driver's memory is its PSS when so many of the users are done with.
The second run finds everybody in.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from benchmarks import machine
from benchmarks.process_tree import pss_bytes
from ray_import.pipeline.sources import open_sources
from ray_import.settings import ReadLimits
from tests.support.user_exports import Users, done_in, write_users

LOOK_EVERY_S = 0.1
LOOKED_AT = (0.1, 0.5, 0.95)
"""Not at the end: what processes share is counted as the driver's alone when the others have gone."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds are those that the reports tell, without the start of Ray; memory is the driver's, at `LOOKED_AT`."""

    users: int
    one_export_seconds: float
    seconds: float
    again_seconds: float
    driver_pss_bytes: tuple[int, ...]

    @property
    def overhead_ms(self) -> float:
        """Per user."""
        return 1000 * (self.seconds - self.one_export_seconds) / self.users


def measure(folder: Path, count: int, kilobytes: float) -> Cost:
    """Imports the same bytes as one export, as many users', and these once more."""
    users = write_users(folder, [kilobytes] * count)
    one = folder / "one.json"
    _write_as_one(users, one)
    to_one, to_many = f"sqlite:///{folder / 'one.db'}", f"sqlite:///{folder / 'many.db'}"
    reimport = ["reimport", "--users", str(users.manifest), "--to", to_many]
    database, memory = folder / "many.db", [0] * len(LOOKED_AT)

    def look(pid: int) -> None:
        done = done_in(database)
        for number, share in enumerate(LOOKED_AT):
            # At the end there is no later look to wait for: the last one that is taken counts.
            if share == 1 or (done >= share * count and not memory[number]):
                memory[number] = pss_bytes(pid) or memory[number]

    whole = _run(["run", str(one), "--to", to_one])
    many = _run(reimport, look)
    again = _run(reimport)
    return Cost(count, whole["seconds"], many["seconds"], again["seconds"], tuple(memory))


def _write_as_one(users: Users, path: Path) -> None:
    with path.open("wb") as file:
        before = b"["
        for source in users.sources.values():
            for raw in open_sources([source], ReadLimits()).conversations():
                file.write(before + raw.data)
                before = b","
        file.write(b"]")


def _run(arguments: Sequence[str], look: Callable[[int], None] | None = None) -> dict[str, Any]:
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    command = [sys.executable, "-m", "ray_import", *arguments, "--json"]
    with (
        tempfile.TemporaryFile() as out,
        subprocess.Popen(command, stdout=out, stderr=subprocess.DEVNULL, env=environment) as process,
    ):
        while process.poll() is None:
            with suppress(subprocess.TimeoutExpired):
                process.wait(LOOK_EVERY_S)
            if look is not None:
                look(process.pid)
        if process.returncode:
            raise RuntimeError(f"{arguments[0]} ended with exit code {process.returncode}")
        out.seek(0)
        report: dict[str, Any] = orjson.loads(out.read())
        return report


def main(arguments: Sequence[str] | None = None) -> None:
    """What a run over many users costs beyond their bytes."""
    options = argparse.ArgumentParser(prog="python -m benchmarks.many_users", description=main.__doc__)
    options.add_argument("--users", type=int, default=2000)
    options.add_argument("--kb", type=float, default=200, help="of JSON, each")
    chosen = options.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="ray-import-users-") as folder:
        cost = measure(Path(folder), chosen.users, chosen.kb)
    print(
        f"{chosen.users:,} users of {chosen.kb:g} KB: {cost.seconds:.1f} s,"
        f" in one export {cost.one_export_seconds:.1f} s"
    )
    print(f"overhead            {cost.overhead_ms:.0f} ms a user")
    for share, pss in zip(LOOKED_AT, cost.driver_pss_bytes, strict=True):
        print(f"driver at {share:4.0%}      {pss / 1e6:.0f} MB")
    print(f"the second run      {cost.again_seconds:.1f} s, {cost.again_seconds / cost.seconds:.2f} of the first")
    print(machine.in_a_line())


if __name__ == "__main__":
    main()
