"""Where the benchmarks of the service take place: a database, exports in the stand-in for Storage, and real processes.

`ray-import serve` and `ray-import work` run as `python -m ray_import`, each in a session of its own, so that a signal
can meet a process alone or together with its children, as the end of a container does.
"""

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args
from uuid import UUID

import httpx
import psycopg

from benchmarks.gateway_child import stand_in
from ray_import.destinations.registry import parse_destination
from tests.support.gateway.postgres import Database, Server, new_database, postgres_server, supabase_roles

Kind = Literal["sqlite", "postgres"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Rows = list[tuple[Any, ...]]
Fetch = Callable[[str], Rows]

ROOT = Path(__file__).parents[1]
BUCKET = "exports"
SECRET = "a-secret-of-the-benchmarks-0123456789abcdef"
UP_WITHIN_SECONDS = 60.0
ENDS_WITHIN_SECONDS = 40.0
NOT_HANDED_DOWN = ("RAY_ADDRESS", "ANTHROPIC_API_KEY", "ALERT_WEBHOOK", "PORT", "RENDER_EXTERNAL_URL")
TEMPLATE = "service_template"

ENDS_LEDGER = """
CREATE TABLE bench_transitions (job_id TEXT NOT NULL, before TEXT NOT NULL, after TEXT NOT NULL);
"""
SQLITE_TRIGGER = """
CREATE TRIGGER bench_transition AFTER UPDATE OF state ON service_jobs WHEN old.state <> new.state
BEGIN INSERT INTO bench_transitions VALUES (new.id, old.state, new.state); END;
"""
POSTGRES_TRIGGER = """
CREATE FUNCTION bench_transition() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN INSERT INTO public.bench_transitions VALUES (new.id, old.state, new.state); RETURN new; END $$;
CREATE TRIGGER bench_transition AFTER UPDATE OF state ON service_jobs
    FOR EACH ROW WHEN (old.state IS DISTINCT FROM new.state) EXECUTE FUNCTION bench_transition();
"""


def user_id(number: int) -> str:
    """A user's id in the form that Supabase gives, the same for the same number."""
    return str(UUID(int=(number + 1) * 0x9E3779B97F4A7C15F39CC0605CEDC834 % 2**128, version=4))


@dataclass(frozen=True, slots=True)
class ServiceDatabase:
    """A destination with ray_import's tables, which the benchmark reads beside the service."""

    to: str

    @property
    def path(self) -> Path | None:
        """Of a SQLite file."""
        return Path(self.to.removeprefix("sqlite:///")) if self.to.startswith("sqlite:") else None

    @contextmanager
    def connected(self) -> Iterator[Fetch]:
        """A connection that reads."""
        if self.path:
            with closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True, timeout=60)) as db:
                yield lambda query: db.execute(query).fetchall()
        else:
            with psycopg.connect(self.to, autocommit=True) as opened:
                yield lambda query: opened.execute(query.encode()).fetchall()

    def fetch(self, query: str) -> Rows:
        """Reads with a connection of its own."""
        with self.connected() as fetch:
            return fetch(query)

    def record_transitions(self) -> None:
        """From now on each change of a job's state is a row of `bench_transitions`, written in its transaction."""
        if self.path:
            with closing(sqlite3.connect(self.path, timeout=60)) as db:
                db.executescript(ENDS_LEDGER + SQLITE_TRIGGER)
        else:
            with psycopg.connect(self.to, autocommit=True) as opened:
                opened.execute((ENDS_LEDGER + POSTGRES_TRIGGER).encode())


@dataclass(slots=True)
class Process:
    """A process of the service, and the file of what it says."""

    name: str
    popen: "subprocess.Popen[bytes]"
    log: Path
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def kill(self, *, with_children: bool) -> None:
        """SIGKILL, to it alone or to all that it has started."""
        if with_children:
            with suppress(ProcessLookupError):
                os.killpg(self.popen.pid, signal.SIGKILL)
        else:
            self.popen.kill()

    def last_words(self) -> str:
        """The end of what it said."""
        return self.log.read_text(errors="replace")[-2_000:]

    def stacks(self) -> str:
        """Where its threads are: it ends by telling that."""
        self.popen.send_signal(signal.SIGABRT)
        with suppress(subprocess.TimeoutExpired):
            self.popen.wait(5)
        return self.last_words()

    def end(self) -> int | None:
        """SIGTERM, and after ENDS_WITHIN_SECONDS SIGKILL: then None, else the exit code."""
        self.popen.terminate()
        try:
            return self.popen.wait(ENDS_WITHIN_SECONDS)
        except subprocess.TimeoutExpired:
            return None
        finally:
            self.kill(with_children=True)
            self.popen.wait()


@dataclass(slots=True)
class Site:
    """What the processes need to be started."""

    folder: Path
    database: ServiceDatabase
    environment: dict[str, str]
    started: list[Process] = field(default_factory=list)

    def serve(self, *, workers: int = 1, port: int = 0) -> Process:
        """`ray-import serve`; it need not answer yet."""
        port = port or free_port()
        where = ("--host", "127.0.0.1", "--port", str(port), "--workers", str(workers))
        return self._start("serve", port, *where)

    def work(self) -> Process:
        """`ray-import work`."""
        return self._start("work", 0)

    def end(self) -> None:
        """Ends what still runs."""
        for process in self.started:
            process.kill(with_children=True)
            process.popen.wait()

    def _start(self, name: str, port: int, *options: str) -> Process:
        log = self.folder / f"{name}-{len(self.started)}.log"
        with log.open("wb") as said:
            popen = subprocess.Popen(
                [sys.executable, "-m", "ray_import", name, "--to", self.database.to, *options],
                env=self.environment, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=said, stderr=said,
                start_new_session=True,
            )  # fmt: skip
        process = Process(name, popen, log, port)
        self.started.append(process)
        return process


def free_port() -> int:
    """One that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def headers(**more: str) -> dict[str, str]:
    """Those of the back end."""
    return {"Authorization": f"Bearer {SECRET}", **more}


def body_of(user: str, key: str = "export.zip") -> dict[str, Any]:
    """A request to import the object `key` of this user's folder."""
    return {"user_id": user, "storage_path": f"{BUCKET}/{user}/{key}", "file_type": key.rpartition(".")[2]}


def wait_until_up(process: Process) -> None:
    """Until `/health` answers. Raises RuntimeError where the process ends before, or takes too long."""
    ends_at = time.monotonic() + UP_WITHIN_SECONDS
    while time.monotonic() < ends_at and process.popen.poll() is None:
        with suppress(httpx.HTTPError):
            if httpx.get(f"{process.url}/health", timeout=5, trust_env=False).status_code == 200:
                return
        time.sleep(0.05)
    raise RuntimeError(f"{process.name} is not up ({process.popen.poll()}): {process.last_words()}")


def wait_for_workers(database: ServiceDatabase, serve: Process, count: int = 1) -> None:
    """Until so many workers were seen, by what `/metrics` and `/ready` look at. Raises RuntimeError."""
    ends_at = time.monotonic() + UP_WITHIN_SECONDS
    jobs = parse_destination(database.to).open_jobs()
    try:
        while jobs.stats().workers < count:
            if time.monotonic() > ends_at:
                raise RuntimeError(f"no {count} workers after {UP_WITHIN_SECONDS:g} s; {serve.last_words()}")
            time.sleep(0.05)
    finally:
        jobs.close()


class Databases:
    """New databases with ray_import's tables; of Postgres, copies of one that was migrated once."""

    def __init__(self, kind: Kind, server: Server | None) -> None:
        self._kind = kind
        self._server = server

    @contextmanager
    def new(self, folder: Path) -> Iterator[ServiceDatabase]:
        """An empty one, gone afterwards. `folder` is for a SQLite file."""
        if self._server is None:
            made = ServiceDatabase(f"sqlite:///{folder}/chunks.db")
            parse_destination(made.to).migrate()
            yield made
            return
        with new_database(self._server, TEMPLATE) as database:
            yield ServiceDatabase(database.dsn)


@contextmanager
def databases(kind: Kind) -> Iterator[Databases]:
    """Starts a Postgres where one is wanted."""
    if kind == "sqlite":
        yield Databases(kind, None)
        return
    with postgres_server() as server:
        template = Database(server, TEMPLATE).create()
        supabase_roles(template)
        parse_destination(template.dsn).migrate()
        yield Databases(kind, server)


@contextmanager
def storage(folder: Path) -> Iterator[Mapping[str, str]]:
    """Serves `folder`, which holds a folder for each bucket; gives what processes need in their environment."""
    with stand_in("", folder=folder) as served:
        yield {"SUPABASE_URL": served.access.url, "SUPABASE_SERVICE_KEY": served.access.key.get_secret_value()}


@contextmanager
def site(made: Databases, environment: Mapping[str, str] | None = None) -> Iterator[Site]:
    """A new database and a folder of its own; at the end no process of it runs."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ray-import-service-")))
        database = stack.enter_context(made.new(folder))
        clean = {name: value for name, value in os.environ.items() if name not in NOT_HANDED_DOWN}
        settings = {
            "RAY_IMPORT_SECRET": SECRET,
            "RAY_IMPORT_BUCKETS": BUCKET,
            "XDG_STATE_HOME": str(folder / "state"),
            "PYTHONPATH": str(ROOT),
            "PYTHONFAULTHANDLER": "1",
        }
        found = Site(folder, database, clean | settings | dict(environment or {}))
        stack.callback(found.end)
        yield found
