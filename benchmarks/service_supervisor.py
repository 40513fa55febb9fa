"""Starts the processes of the service, kills them at seeded moments, and starts them again."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal, get_args

import psutil

from benchmarks.service_site import Fetch, Process, ServiceDatabase, Site, wait_until_up

LOOK_EVERY_SECONDS = 0.02
KILL_EVERY_SECONDS = (0.3, 2.0)
AWAY_SECONDS = (0.0, 0.5)
"""How long a place stays empty."""
SIGTERM_SHARE = 0.3
Aim = Literal["any", "work", "serve"]
AIMS: tuple[Aim, ...] = get_args(Aim)
AIM_SHARES = (0.2, 0.5, 0.3)
"""Of the kills: whatever is met, a worker with a job, a server that a client is asking."""
WORKING_SECONDS = (0.02, 0.1, 0.3, 1.0)
"""After a worker was seen with a job, it is hit within one of these."""
ACCEPTING_SECONDS = 0.03
"""The same of a request."""
REQUEST_PATIENCE_SECONDS = 0.5
MOST_ATTEMPTS = 3
"""A job that was begun so often is left in peace: after five it fails for good, as it should."""


@dataclass(slots=True)
class Place:
    """Where one process has to be."""

    name: str
    process: Process
    restart_at: float | None = None
    asked_to_end_at: float | None = None
    """It was sent SIGTERM."""
    killed: bool = False


@dataclass(slots=True)
class Kills:
    """What was done to the processes, and what they did that they ought not to."""

    counts: Counter[str] = field(default_factory=Counter)
    slowest_end_seconds: float = 0.0
    """From SIGTERM to the end of the process."""
    wrong: list[str] = field(default_factory=list)


class Supervisor:
    """`with Supervisor(…) as supervisor:` has the processes running; `supervisor.storm()` begins to kill them."""

    def __init__(self, site: Site, serves: int, works: int, *, web_workers: int, seed: int, ends_within: float) -> None:
        self.kills = Kills()
        self._site = site
        self._web_workers = web_workers
        self._rng = random.Random(f"kills {seed}")
        self._ends_within = ends_within
        self._places = [Place("serve", site.serve(workers=web_workers)) for _ in range(serves)]
        self._places += [Place("work", site.work()) for _ in range(works)]
        self._aim: Aim = "any"
        self._watched_port = 0
        self._asked = threading.Event()
        self._storm = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)

    @property
    def serves(self) -> list[Process]:
        """Where to ask; the ports stay the same."""
        return [place.process for place in self._places if place.name == "serve"]

    def __enter__(self) -> "Supervisor":
        for serve in self.serves:
            wait_until_up(serve)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        for place in self._places:
            if place.process.popen.poll() is None:
                began = time.monotonic()
                place.asked_to_end_at = began
                code = place.process.end()
                self._judge_end(place, code)

    def asked(self, port: int) -> None:
        """A client begins to ask there."""
        if port == self._watched_port:
            self._asked.set()

    def storm(self) -> None:
        """From now on processes are killed."""
        self._storm.set()

    def calm(self) -> None:
        """No more."""
        self._storm.clear()

    def _run(self) -> None:
        kill_at = 0.0
        with self._site.database.connected() as fetch:
            while not self._stop.wait(LOOK_EVERY_SECONDS):
                for place in self._places:
                    self._look_after(place)
                now = time.monotonic()
                if self._storm.is_set() and now >= kill_at and self._strike(fetch):
                    kill_at = now + self._rng.uniform(*KILL_EVERY_SECONDS)

    def _look_after(self, place: Place) -> None:
        now = time.monotonic()
        code = place.process.popen.poll()
        if code is None:
            overdue = place.asked_to_end_at is not None and now - place.asked_to_end_at > self._ends_within
            if overdue and not place.killed:
                stacks = place.process.stacks()
                self.kills.wrong.append(f"{place.name} has not ended {self._ends_within:g} s after SIGTERM: {stacks}")
                place.killed = True
                place.process.kill(with_children=True)
            return
        if place.restart_at is None:
            self._judge_end(place, code)
            place.process.kill(with_children=True)  # what a dead parent has left, as the end of a container does
            place.restart_at = now + self._rng.uniform(*AWAY_SECONDS)
        elif now >= place.restart_at:
            self._start_again(place)

    def _start_again(self, place: Place) -> None:
        port = place.process.port
        made = self._site.serve(workers=self._web_workers, port=port) if port else self._site.work()
        place.process, place.restart_at, place.asked_to_end_at, place.killed = made, None, None, False

    def _judge_end(self, place: Place, code: int | None) -> None:
        """A process ends when it is killed, or with 0 when it was asked to."""
        if place.killed:
            return
        if place.asked_to_end_at is None:
            self.kills.wrong.append(f"{place.name} has ended by itself with {code}: {place.process.last_words()}")
            return
        seconds = time.monotonic() - place.asked_to_end_at
        self.kills.slowest_end_seconds = max(self.kills.slowest_end_seconds, seconds)
        if code is None:
            self.kills.wrong.append(f"{place.name} did not end after SIGTERM: {place.process.last_words()}")
        elif code not in (0, -15, 143):
            self.kills.wrong.append(f"{place.name} has ended with {code} after SIGTERM: {place.process.last_words()}")

    def _strike(self, fetch: Fetch) -> bool:
        """Kills a process, mostly in the middle of something; False where none is, yet."""
        running = fetch("SELECT holder, attempts FROM service_jobs WHERE state = 'running'")
        spared = any(attempts >= MOST_ATTEMPTS for _, attempts in running)
        alive = [place for place in self._places if not _is_ending(place) and not (spared and place.name == "work")]
        if self._aim == "work":
            pids = {pid for holder, _ in running for pid in str(holder).split("/")}
            alive = [place for place in alive if str(place.process.popen.pid) in pids]
        elif self._aim == "serve":
            alive = [place for place in alive if place.name == "serve"]
        if not alive:
            return False
        place = self._rng.choice(alive)
        if self._aim == "work":
            time.sleep(self._rng.uniform(0, self._rng.choice(WORKING_SECONDS)))
        elif self._aim == "serve" and not self._wait_for_a_request(place.process.port):
            return False
        self._hit(place)
        self._aim = self._rng.choices(AIMS, AIM_SHARES)[0]
        return True

    def _wait_for_a_request(self, port: int) -> bool:
        """Until a moment after a client has begun to ask there; False where none does."""
        self._watched_port = port
        self._asked.clear()
        found = self._asked.wait(REQUEST_PATIENCE_SECONDS)
        time.sleep(self._rng.uniform(0, ACCEPTING_SECONDS) if found else 0)
        return found

    def _hit(self, place: Place) -> None:
        way = self._rng.random()
        if way < SIGTERM_SHARE:
            place.asked_to_end_at = time.monotonic()
            place.process.popen.terminate()
            self.kills.counts[f"{place.name} SIGTERM"] += 1
        elif place.name == "serve" and self._web_workers > 1 and way < (1 + SIGTERM_SHARE) / 2:
            self._kill_a_web_worker(place)
        else:
            place.killed = True
            place.process.kill(with_children=self._rng.random() < 0.5)
            self.kills.counts[f"{place.name} SIGKILL"] += 1

    def _kill_a_web_worker(self, place: Place) -> None:
        """One that the parent starts again by itself; it holds a socket, so it is not the tracker of resources."""
        with suppress(psutil.Error, IndexError):
            children = psutil.Process(place.process.popen.pid).children()
            self._rng.choice([child for child in children if "spawn_main" in " ".join(child.cmdline())]).kill()
            self.kills.counts["web worker SIGKILL"] += 1


def _is_ending(place: Place) -> bool:
    return place.killed or place.restart_at is not None or place.asked_to_end_at is not None


def wait_until_all_ended(database: ServiceDatabase, jobs: int, within_seconds: float, stop: Callable[[], bool]) -> bool:
    """Until so many jobs are in the table and none is queued or running; False where that takes too long."""
    ends_at = time.monotonic() + within_seconds
    with database.connected() as fetch:
        while time.monotonic() < ends_at:
            found = dict(fetch("SELECT state, count(*) FROM service_jobs GROUP BY state"))
            if sum(found.values()) >= jobs and stop() and not found.keys() & {"queued", "running"}:
                return True
            time.sleep(0.2)
    return False
