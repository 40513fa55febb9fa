"""How fast the service accepts: `python -m benchmarks.service_load --to postgres sqlite`.

`ray-import serve --workers 2`, first under an open loop of 100 requests a second for 60 s, then under a closed loop of
50 clients for 30 s. Each request is a new user's, and adds a row; nobody works on the jobs. Afterwards each 202 must
have its row. The generator runs on the same machine and takes a part of its CPUs: how late it was by itself is
reported separately. Exits with 1 where a row is missing or a request was refused or lost.
"""

import argparse
import asyncio
import os
from collections.abc import Callable, Sequence

import orjson

from benchmarks import machine
from benchmarks.open_loop import Latencies, closed_loop, open_loop, post
from benchmarks.service_site import (
    KINDS,
    Kind,
    ServiceDatabase,
    body_of,
    databases,
    headers,
    site,
    user_id,
    wait_until_up,
)

WARM_UP_SECONDS = 2.0
USERS_APART = 1_000_000


def requests_of(port: int, part: int) -> Callable[[int], bytes]:
    """Each of another user; those of two parts have none in common."""

    def request_of(number: int) -> bytes:
        user = user_id(part * USERS_APART + number)
        idempotent = headers(**{"Idempotency-Key": f"{part}-{number}"})
        return post(port, "/process-full-v2", orjson.dumps(body_of(user)), idempotent)

    return request_of


def rows_missing(database: ServiceDatabase, parts: Sequence[Latencies]) -> tuple[int, int]:
    """How many accepted jobs have no row, and how many rows have no answer."""
    accepted = [orjson.loads(body)["job_id"] for part in parts for body in part.bodies]
    stored = {job_id for (job_id,) in database.fetch("SELECT id FROM service_jobs")}
    return len(accepted) - len(set(accepted) & stored), len(stored - set(accepted))


async def load(port: int, options: argparse.Namespace) -> list[Latencies]:
    """A second or two that count for nothing but their rows, the open loop, the closed loop."""
    rate = options.per_second
    warm = await open_loop(port, requests_of(port, 0), per_second=rate / 2, seconds=WARM_UP_SECONDS, good=202)
    opened = await open_loop(port, requests_of(port, 1), per_second=rate, seconds=options.seconds, good=202)
    print(f"  open loop, {rate:g}/s: {opened.told()}", flush=True)
    closed = await closed_loop(
        port, requests_of(port, 2), clients=options.clients, seconds=options.closed_seconds, good=202
    )
    print(f"  closed loop, {options.clients} clients: {closed.told()}", flush=True)
    return [warm, opened, closed]


def measure(kind: Kind, options: argparse.Namespace) -> bool:
    """One destination; whether nothing was lost."""
    with databases(kind) as made, site(made) as place:
        serve = place.serve(workers=options.workers)
        wait_until_up(serve)
        print(f"{kind}, {options.workers} workers:", flush=True)
        parts = asyncio.run(load(serve.port, options))
        missing, unknown = rows_missing(place.database, parts)
        accepted = sum(len(part.bodies) for part in parts)
        print(f"  {accepted} times 202, {missing} of them without a row; {unknown} rows without an answer", flush=True)
        code = serve.end()
        if code not in (0, -15, 143):
            print(f"  serve has ended with {code}: {serve.last_words()}")
    return not missing and not any(part.failed for part in parts)


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.service_load",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--to", nargs="+", choices=KINDS, default=["postgres", "sqlite"])
    parser.add_argument("--workers", type=int, default=2, help="uvicorn's workers")
    parser.add_argument("--per-second", type=float, default=100.0)
    parser.add_argument("--seconds", type=float, default=60.0, help="of the open loop")
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--closed-seconds", type=float, default=30.0)
    options = parser.parse_args()
    good = [measure(kind, options) for kind in options.to]
    print(f"{machine.in_a_line()}; load of the machine {os.getloadavg()[0]:.1f}")
    if not all(good):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
