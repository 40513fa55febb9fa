"""The tests' stand-in for Supabase in a process of its own:
`python -m benchmarks.gateway_child DSN DELAY_SECONDS [FOLDER]`.

Its Storage has the files of FOLDER: `exports/ada/export.zip` is the object `ada/export.zip` of the bucket `exports`.
They are served in pieces, from the disk. It prints one line of JSON, its address and key, and serves until its standard
input ends. It is a few hundred lines of Python over a real Postgres, not PostgREST: what it costs itself says nothing
of Supabase.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson
from pydantic import SecretStr

from ray_import.credentials import SupabaseAccess
from tests.support.gateway.faults import delayed
from tests.support.gateway.objects import Objects
from tests.support.gateway.server import gateway

ENDS_WITHIN_S = 30


@dataclass(frozen=True, slots=True)
class StandIn:
    """One that runs."""

    pid: int
    access: SupabaseAccess


@contextmanager
def stand_in(dsn: str, delay_seconds: float = 0.0, folder: Path | None = None) -> Iterator[StandIn]:
    """Serves the database at `dsn` (as the user `authenticator`); every call of a function begins so much later.
    `folder` holds a folder for each bucket; what is put there later is not seen."""
    command = [sys.executable, "-m", "benchmarks.gateway_child", dsn, str(delay_seconds)]
    if folder:
        command.append(str(folder))
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            told = orjson.loads(process.stdout.readline())
            yield StandIn(process.pid, SupabaseAccess(told["url"], SecretStr(told["key"])))
        finally:
            process.stdin.close()
            process.wait(ENDS_WITHIN_S)


def put_files(objects: Objects, folder: Path) -> None:
    """Stores the files of a folder of buckets."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        bucket, *key = path.relative_to(folder).parts
        objects.put(bucket, "/".join(key), path)


def main(dsn: str, delay_seconds: str, folder: str = "") -> None:
    """Serves until nobody listens any more."""
    with gateway(dsn) as served:
        if folder:
            put_files(served.objects, Path(folder))
        if float(delay_seconds):
            served.faults.add(delayed(float(delay_seconds)), path="/rpc/")
        sys.stdout.write(orjson.dumps({"url": served.url, "key": served.secret_key}).decode() + "\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
