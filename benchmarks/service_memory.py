"""What the service holds in memory, and how soon it does something: `python -m benchmarks.service_memory`.

    python -m benchmarks.service_memory                              # 300 MB with one web worker, then with two
    python -m benchmarks.service_memory --mb 3000 --web-workers 1
    python -m benchmarks.service_memory --imports 100                # 1 MB each: after 5 and after 100
    python -m benchmarks.service_memory --first-chunks 10            # from the 202 to the first chunk of a 1 MB export

One `ray-import serve` and one `ray-import work` import a ZIP (deflated at level 6) of so many MB of JSON from the
tests' stand-in for Storage into the tests' Postgres, both of which are not counted. Memory is the sum over all
processes of the two commands, their children included, sampled every 100 ms: PSS, in which a page that several
processes share counts in parts, and RSS, in which it counts whole each time. PSS is also shared with other Python
programs of this machine, so on one where nothing else runs it is up to a few MB more per process. Beside the import,
one request a tenth of a second asks for `/health`.
"""

import argparse
import asyncio
import statistics
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import httpx

from benchmarks import machine
from benchmarks.exports import kept_or_temporary
from benchmarks.open_loop import Latencies, get, in_ms, paced
from benchmarks.service_exports import put_copies, zip_of
from benchmarks.service_site import (
    Databases,
    Process,
    Site,
    body_of,
    databases,
    headers,
    site,
    storage,
    user_id,
    wait_for_workers,
    wait_until_up,
)

SAMPLE_EVERY_SECONDS = 0.1
HEALTH_PER_SECOND = 10.0
REST_SECONDS = 1.0
ENDS_WITHIN_SECONDS = 3_600.0
LOOK_EVERY_SECONDS = 0.005
EARLY = 5
"""After so many imports memory is looked at for the first time."""
MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True)
class Memory:
    """Of one process, or of several together."""

    pss_bytes: int = 0
    rss_bytes: int = 0

    def __add__(self, other: "Memory") -> "Memory":
        return Memory(self.pss_bytes + other.pss_bytes, self.rss_bytes + other.rss_bytes)

    def most(self, other: "Memory") -> "Memory":
        """The greater one of each."""
        return Memory(max(self.pss_bytes, other.pss_bytes), max(self.rss_bytes, other.rss_bytes))

    def told(self) -> str:
        """In MB of 10^6 bytes."""
        return f"{self.pss_bytes / MEGABYTE:.0f} MB PSS ({self.rss_bytes / MEGABYTE:.0f} RSS)"


def memory_of(pid: int) -> Memory:
    """Nothing where it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_bytes().splitlines()
    except OSError:
        return Memory()
    found = {name: int(rest.split()[0]) * 1024 for name, _, rest in (line.partition(b":") for line in lines[1:])}
    return Memory(found.get(b"Pss", 0), found.get(b"Rss", 0))


def children_of(pid: int) -> list[int]:
    """All descendants. The kernel lists children by the thread that has started them."""
    found = list[int]()
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):
                found += map(int, (task / "children").read_bytes().split())
    return found + [deeper for child in found for deeper in children_of(child)]


def memory_by_process(roots: Mapping[str, Process]) -> dict[str, Memory]:
    """By a name such as `work`, or `serve child 1234`."""
    found = {}
    for name, root in roots.items():
        found[name] = memory_of(root.popen.pid)
        found |= {f"{name} child {child}": memory_of(child) for child in children_of(root.popen.pid)}
    return found


def together(roots: Mapping[str, Process]) -> Memory:
    """All of them now."""
    return sum(memory_by_process(roots).values(), Memory())


@dataclass(slots=True)
class Peaks:
    """`with Peaks(roots) as peaks:` samples in a thread; `both` is the peak of the sum, not the sum of peaks."""

    roots: Mapping[str, Process]
    both: Memory = field(default_factory=Memory)
    single: dict[str, Memory] = field(default_factory=dict)
    samples: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._sample, name="memory", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread:
            self._thread.join()

    def _sample(self) -> None:
        due = time.monotonic()
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            due = max(due, time.monotonic()) + SAMPLE_EVERY_SECONDS
            now = memory_by_process(self.roots)
            self.both = self.both.most(sum(now.values(), Memory()))
            self.single |= {name: memory.most(self.single.get(name, Memory())) for name, memory in now.items()}
            self.samples += 1


@dataclass(frozen=True, slots=True)
class Service:
    """One `serve` and one `work` that wait for jobs."""

    place: Site
    serve: Process
    work: Process

    @property
    def roots(self) -> dict[str, Process]:
        """By name."""
        return {"serve": self.serve, "work": self.work}

    def accept(self, user: str) -> str:
        """Asks for the import of `export.zip` in the user's folder; the job."""
        url = f"{self.serve.url}/process-full-v2"
        answer = httpx.post(url, json=body_of(user), headers=headers(), timeout=30, trust_env=False)
        if answer.status_code != 202:
            raise RuntimeError(f"{answer.status_code} {answer.text}")
        return str(answer.json()["job_id"])

    def wait(self, job_id: str) -> None:
        """Until the job has ended. Raises RuntimeError where it is not complete."""
        query = f"SELECT state, error, error_type FROM service_jobs WHERE id = '{job_id}'"
        ends_at = time.monotonic() + ENDS_WITHIN_SECONDS
        with self.place.database.connected() as fetch:
            while time.monotonic() < ends_at:
                [found] = fetch(query)
                if found[0] == "complete":
                    return
                if found[0] not in ("queued", "running"):
                    raise RuntimeError(f"the job has ended: {found}; {self.work.last_words()}")
                time.sleep(0.05)
        raise RuntimeError(f"the job has not ended after {ENDS_WITHIN_SECONDS:g} s: {self.work.last_words()}")


def started(stack: ExitStack, made: Databases, objects: Path, web_workers: int) -> Service:
    """A new database, the objects that there are, and the processes, which are up."""
    access = stack.enter_context(storage(objects))
    place = stack.enter_context(site(made, access))
    service = Service(place, place.serve(workers=web_workers), place.work())
    wait_until_up(service.serve)
    wait_for_workers(place.database, service.serve)
    time.sleep(REST_SECONDS)
    return service


def health_while(service: Service, ended: threading.Event) -> Latencies:
    """Asks for `/health` until the import has ended."""
    request = get(service.serve.port, "/health")
    asked = paced(
        service.serve.port,
        lambda _: request,
        per_second=HEALTH_PER_SECOND,
        goes_on=lambda _: not ended.is_set(),
        good=200,
    )
    return asyncio.run(asked)


def import_one(service: Service, user: str, name: str) -> None:
    """One import: peaks of memory, and the slowest `/health`."""
    idle, ended = together(service.roots), threading.Event()
    found = list[Latencies]()
    asking = threading.Thread(target=lambda: found.append(health_while(service, ended)), name="health")
    with Peaks(service.roots) as peaks:
        asking.start()
        began = time.monotonic()
        try:
            service.wait(service.accept(user))
        finally:
            took_seconds = time.monotonic() - began
            ended.set()
            asking.join()
    print(
        f"{name}: both at most {peaks.both.told()}, idle {idle.told()}; {took_seconds:.1f} s, {peaks.samples} samples"
    )
    for process, memory in peaks.single.items():
        print(f"    {process}: {memory.told()}")
    health = found[0]
    failed = ", ".join(f"{count} x {what}" for what, count in health.failed.items()) or "none"
    print(f"    /health, {len(health.seconds)} times: {in_ms(health.seconds)}; failed: {failed}", flush=True)


def import_many(service: Service, users: Sequence[str]) -> None:
    """One after the other: memory at rest after EARLY imports and after all."""
    idle = together(service.roots)
    early = idle
    for number, user in enumerate(users, start=1):
        service.wait(service.accept(user))
        if number == EARLY:
            time.sleep(REST_SECONDS)
            early = together(service.roots)
    time.sleep(REST_SECONDS)
    late = together(service.roots)
    more = 100 * (late.pss_bytes / early.pss_bytes - 1)
    print(f"idle {idle.told()}; after {EARLY} imports {early.told()}; after {len(users)} {late.told()}: {more:+.1f} %")
    print("    " + "; ".join(f"{name}: {memory.told()}" for name, memory in memory_by_process(service.roots).items()))


def first_chunks(service: Service, users: Sequence[str]) -> None:
    """From the 202 to the first chunk that everybody sees, each when the one before has ended."""
    found = list[float]()
    with service.place.database.connected() as fetch:
        for user in users:
            job_id = service.accept(user)
            began = time.monotonic()
            while not fetch(f"SELECT 1 FROM conversation_chunks WHERE user_id = '{user}' LIMIT 1"):
                if time.monotonic() - began > 60:
                    raise RuntimeError(f"no chunk after 60 s: {service.work.last_words()}")
                time.sleep(LOOK_EVERY_SECONDS)
            found.append(time.monotonic() - began)
            service.wait(job_id)
    print(
        f"from the 202 to the first chunk, {len(found)} exports: median {statistics.median(found):.2f} s,"
        f" max {max(found):.2f} s",
        flush=True,
    )


def measure(options: argparse.Namespace, kept: Path, folder: Path) -> None:
    """What is asked for."""
    users = [user_id(number) for number in range(max(options.imports, options.first_chunks, 1))]
    large, small = folder / "large", folder / "small"
    alone = options.imports or options.first_chunks
    if alone:
        put_copies(small, zip_of(kept, options.small_mb), users)
    else:
        put_copies(large, zip_of(kept, options.mb), users[:1])
    with databases("postgres") as made:
        for web_workers in options.web_workers:
            name = f"{options.mb:g} MB, {web_workers} web workers"
            with ExitStack() as stack:
                service = started(stack, made, small if alone else large, web_workers)
                if options.first_chunks:
                    first_chunks(service, users[: options.first_chunks])
                elif options.imports:
                    import_many(service, users)
                else:
                    import_one(service, users[0], name)


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.service_memory",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--mb", type=float, default=300.0, help="megabytes (10^6 bytes) of JSON in the ZIP")
    parser.add_argument("--web-workers", type=int, nargs="+", default=[1, 2], help="uvicorn's workers")
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--imports", type=int, default=0, help="instead: so many small imports, one after the other")
    only.add_argument("--first-chunks", type=int, default=0, help="instead: the time to the first chunk, so often")
    parser.add_argument("--small-mb", type=float, default=1.0, help="megabytes of JSON of each small import")
    parser.add_argument("--keep", type=Path, help="keep the ZIPs in this folder")
    options = parser.parse_args()
    with (
        kept_or_temporary(options.keep) as kept,
        tempfile.TemporaryDirectory(dir=kept, prefix="storage-") as folder,
    ):
        measure(options, kept, Path(folder))
    print(machine.in_a_line())


if __name__ == "__main__":
    main()
