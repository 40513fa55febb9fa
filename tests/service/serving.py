"""`ray-import serve` as a process of its own, and requests to it."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

ROOT = Path(__file__).parents[2]
SECRET = "correct-horse-battery-staple"
SETTINGS = {
    "RAY_IMPORT_SECRET": SECRET,
    "RAY_IMPORT_BUCKETS": "exports,other-exports",
    "RAY_IMPORT_HOSTS": "abc.supabase.co,files.example.com:8443",
    "RAY_IMPORT_JOBS_PER_HOUR": "100000",
}
OF_PLATFORMS = ("PORT", "RENDER_EXTERNAL_URL", "DATABASE_URL", "SUPABASE_URL", "SUPABASE_SERVICE_KEY")
WITHIN_SECONDS = 60


def environment(**changes: str) -> dict[str, str]:
    """The environment of a service in a test: the settings, and nothing that this machine has set."""
    kept = {name: value for name, value in os.environ.items() if name not in OF_PLATFORMS}
    return {**kept, **SETTINGS, "PYTHONPATH": str(ROOT), **changes}


def wait_until(holds: Callable[[], bool]) -> None:
    """Looks again and again. Raises TimeoutError."""
    deadline = time.monotonic() + WITHIN_SECONDS
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.05)


@dataclass(slots=True)
class Served:
    """A service that runs: its address, its process, and the file that holds its log."""

    url: str
    process: subprocess.Popen[bytes]
    log_path: Path
    client: httpx.Client = field(repr=False)

    def log(self) -> str:
        """What it has written until now."""
        return self.log_path.read_text(errors="replace")

    def get(self, path: str, **how: Any) -> httpx.Response:
        """With the secret."""
        return self.client.get(path, **how)

    def post(
        self, path: str = "/process-full-v2", headers: dict[str, str] | None = None, **body: Any
    ) -> httpx.Response:
        """The fields as a JSON object, with the secret."""
        return self.client.post(path, json=body, headers=headers)

    def submit(self, user_id: str, headers: dict[str, str] | None = None, **more: Any) -> httpx.Response:
        """A valid import of this user."""
        return self.post(headers=headers, user_id=user_id, storage_path=f"exports/{user_id}/export.zip", **more)

    def web_processes(self) -> list[psutil.Process]:
        """The processes that answer: with one worker the service itself, else its children."""
        found = psutil.Process(self.process.pid)
        return [child for child in found.children() if is_spawned(child)] or [found]

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Sends a signal and waits. Returns the exit code."""
        self.process.send_signal(number)
        return self.process.wait(WITHIN_SECONDS)


@contextmanager
def serving(
    to: str, folder: Path, *options: str, at: tuple[str, ...] = ("--port", "0"), **settings: str
) -> Iterator[Served]:
    """Serves until the block ends, at a free port; `settings` are variables of its environment."""
    log_path = folder / "service.log"
    command = [sys.executable, "-m", "ray_import", "serve", "--to", to, *at, *options]
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder, env=environment(**settings)
        )
    try:
        url = address_of(log_path, process)
        headers = {"Authorization": f"Bearer {SECRET}"}
        with httpx.Client(base_url=url, headers=headers, timeout=30, trust_env=False) as client:
            wait_until(lambda: answers(client))
            yield Served(url, process, log_path, client)
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(WITHIN_SECONDS)


def is_spawned(process: psutil.Process) -> bool:
    """Whether it is a web process, and there."""
    with suppress(psutil.NoSuchProcess):
        return "spawn_main" in " ".join(process.cmdline())
    return False


def answers(client: httpx.Client) -> bool:
    """Whether a web process has started."""
    try:
        return client.get("/health").status_code == 200
    except httpx.TransportError:
        return False


def address_of(log_path: Path, process: subprocess.Popen[bytes]) -> str:
    """The address that the service says it listens at."""

    def addresses() -> list[str]:
        assert process.poll() is None, log_path.read_text()
        return re.findall(r"listening at (http://\S+)\n", log_path.read_text())

    wait_until(lambda: bool(addresses()))
    return addresses()[0]


def refused(folder: Path, *options: str, **settings: str) -> tuple[int, str]:
    """The exit code and standard error of a service that does not start."""
    return started_without_port(folder, "--port", "0", *options, **settings)


def started_without_port(folder: Path, *options: str, **settings: str) -> tuple[int, str]:
    """The same with no other options than these."""
    ended = subprocess.run(
        [sys.executable, "-m", "ray_import", "serve", *options],
        stdin=subprocess.DEVNULL, capture_output=True, cwd=folder, env=environment(**settings), timeout=60, check=False,
    )  # fmt: skip
    return ended.returncode, ended.stderr.decode()
