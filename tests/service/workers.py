"""`ray-import work` as a process of its own, and the queue that it works on."""

import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from ray_import.destinations.registry import parse_destination
from ray_import.destinations.service_jobs import Accepted, JobStage, NewJob, ServiceJob, ServiceJobs
from ray_import.errors import SinkError

ROOT = Path(__file__).parents[2]
OF_THIS_MACHINE = (
    "PORT", "RENDER_EXTERNAL_URL", "DATABASE_URL", "SUPABASE_URL", "SUPABASE_SERVICE_KEY", "ANTHROPIC_API_KEY",
    "ANTHROPIC_BASE_URL", "ALERT_WEBHOOK",
)  # fmt: skip
WITHIN_SECONDS = 120.0
STOPS_WITHIN_SECONDS = 30.0
"""What Render gives."""


def wait_until(holds: Callable[[], bool], within_seconds: float = WITHIN_SECONDS) -> None:
    """Looks again and again. Raises TimeoutError."""
    deadline = time.monotonic() + within_seconds
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.02)  # between two looks


@dataclass(slots=True)
class Worker:
    """A worker that runs, or has run; `log` is what it has written on standard error."""

    process: "subprocess.Popen[bytes]"
    log_path: Path

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def events(self, name: str) -> list[dict[str, str]]:
        """The lines of one event, as their fields."""
        lines = re.findall(rf" {name}( .*)?$", self.log, re.MULTILINE)
        return [dict(re.findall(r"(\w+)=(\S+)", line)) for line in lines]

    def wait_for(self, name: str, count: int = 1) -> None:
        """Until so many of these events are in the log. Raises AssertionError where it ends before."""
        wait_until(lambda: len(self.events(name)) >= count or self.process.poll() is not None)
        assert len(self.events(name)) >= count, self.log

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Asks it to stop, and gives its exit code. Raises subprocess.TimeoutExpired after STOPS_WITHIN_SECONDS."""
        self.process.send_signal(number)
        return self.process.wait(STOPS_WITHIN_SECONDS)

    def ended(self) -> tuple[int, Any]:
        """Waits for its end: the exit code, and the JSON on standard output."""
        out, _ = self.process.communicate(timeout=WITHIN_SECONDS)
        return self.process.returncode, orjson.loads(out) if out else None


@dataclass(slots=True)
class Site:
    """A queue, and workers on it. `environment` is the workers' own, beside that of the tests."""

    folder: Path
    to: str
    environment: dict[str, str] = field(default_factory=dict)
    options: list[str] = field(default_factory=list)
    module: str = "ray_import"
    _workers: list[Worker] = field(default_factory=list)

    @contextmanager
    def jobs(self) -> Iterator[ServiceJobs]:
        with closing(parse_destination(self.to).open_jobs()) as opened:
            yield opened

    def accept(self, user_id: str, source: str, stage: JobStage = "import") -> str:
        """Queues a job, and gives its id."""
        new = NewJob(id=str(uuid.uuid4()), user_id=user_id, stage=stage, source=source, source_label="label")
        with self.jobs() as jobs:
            accepted = jobs.accept(new, jobs_per_hour=1_000_000)
        assert isinstance(accepted, Accepted), accepted
        return accepted.job_id

    def job(self, job_id: str) -> ServiceJob:
        with self.jobs() as jobs:
            found = jobs.job(job_id)
        assert found is not None
        return found

    def wait_for(self, job_id: str, *states: str) -> ServiceJob:
        """Until the job is in one of these states."""
        found = self.job(job_id)

        def holds() -> bool:
            nonlocal found
            try:
                found = self.job(job_id)
            except SinkError:
                return False
            return found.state in states

        try:
            wait_until(holds)
        except TimeoutError:
            raise AssertionError(f"{found} {[worker.log for worker in self._workers]}") from None
        return found

    def started(self, *options: str, **environment: str) -> Worker:
        """Starts a worker; it is up once its log says so."""
        log_path = self.folder / f"work-{len(self._workers)}.log"
        kept = {name: value for name, value in os.environ.items() if name not in OF_THIS_MACHINE}
        kept = {name: value for name, value in kept.items() if not name.startswith("RAY_")}
        with log_path.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", self.module, "work", "--to", self.to, *self.options, *options],
                cwd=self.folder,
                env={**kept, "PYTHONPATH": str(ROOT), **self.environment, **environment},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        worker = Worker(process, log_path)
        self._workers.append(worker)
        return worker

    def once(self, *options: str, **environment: str) -> Any:
        """Runs a worker until no job is due, and gives what it counted."""
        worker = self.started("--once", "--json", *options, **environment)
        code, told = worker.ended()
        assert code == 0, worker.log
        return told["jobs"]

    def close(self) -> None:
        """Kills the workers that are left."""
        for worker in self._workers:
            worker.kill()
            if worker.process.stdout is not None:
                worker.process.stdout.close()


@contextmanager
def site(folder: Path, to: str, *options: str, **environment: str) -> Iterator[Site]:
    """A queue whose workers are gone afterwards."""
    made = Site(folder, to, environment, list(options))
    try:
        yield made
    finally:
        made.close()
