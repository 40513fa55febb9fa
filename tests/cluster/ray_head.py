"""A really started head (`ray start --head`), on free ports, stopped by its own process ids."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

UP_WITHIN_SECONDS = 120
STARTS = 3
"""On a busy machine: a raylet ends when its agents are not up within 15 s, and `ray start` 30 s later."""


@dataclass(frozen=True, slots=True)
class Head:
    """A head that answers; `environment` is what a program needs to talk to it, in `folder` it writes."""

    gcs: str
    dashboard: str
    client: str
    environment: dict[str, str]
    headers: dict[str, str]
    folder: Path


@contextmanager
def ray_head(*, token: bool) -> Iterator[Head]:
    """Starts a head with two CPUs, with Ray's token authentication on or off."""
    for last in (False,) * (STARTS - 1) + (True,):
        head, process = _started(token)
        try:
            if _is_up(head, process):
                yield head
                return
            if last:
                raise RuntimeError(f"the head did not come up: {(head.folder / 'head.log').read_text()[-500:]}")
        finally:
            _stop(process, head.folder)
            shutil.rmtree(head.folder, ignore_errors=True)


def _started(token: bool) -> "tuple[Head, subprocess.Popen[bytes]]":
    folder = Path(tempfile.mkdtemp(prefix="rh", dir="/tmp"))  # short: sockets' paths have 107 bytes
    gcs, dashboard, client, metrics, agent, agent_grpc, environments = free_ports(7)
    environment = _environment(token)
    command = [
        str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", "--num-cpus=2",
        f"--port={gcs}", f"--dashboard-port={dashboard}", "--dashboard-host=127.0.0.1", "--include-dashboard=true",
        f"--ray-client-server-port={client}", f"--metrics-export-port={metrics}",
        f"--dashboard-agent-listen-port={agent}", "--node-ip-address=127.0.0.1",
        f"--dashboard-agent-grpc-port={agent_grpc}", f"--runtime-env-agent-port={environments}",
        "--object-store-memory=104857600", f"--temp-dir={folder}",
    ]  # fmt: skip
    with (folder / "head.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    headers = {"Authorization": f"Bearer {environment['RAY_AUTH_TOKEN']}"} if token else {}
    addresses = (f"127.0.0.1:{gcs}", f"http://127.0.0.1:{dashboard}", f"127.0.0.1:{client}")
    return Head(*addresses, environment, headers, folder), process


def _environment(token: bool) -> dict[str, str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "token" if token else "disabled"}
    # As in an activated environment: a job's `python` is looked up in the head's PATH.
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    if token:
        environment["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    return environment


def _is_up(head: Head, process: "subprocess.Popen[bytes]") -> bool:
    """Waits until its node is registered, which may be long after its dashboard answers."""
    until = time.monotonic() + UP_WITHIN_SECONDS
    while time.monotonic() < until and process.poll() is None:
        try:
            answer = httpx.get(f"{head.dashboard}/api/v0/nodes", headers=head.headers, timeout=5)
            if answer.is_success and "ALIVE" in answer.text:
                return True
        except httpx.TransportError:
            pass
        time.sleep(0.2)  # between two looks, not instead of one
    return False


def _stop(process: "subprocess.Popen[bytes]", folder: Path) -> None:
    """Everything that names the head's folder, and nothing else: `ray stop` would stop every Ray here."""
    process.send_signal(signal.SIGTERM)
    mine = [p for p in psutil.process_iter(["cmdline"]) if any(str(folder) in word for word in p.info["cmdline"] or [])]
    _, alive = psutil.wait_procs(mine, timeout=10)
    for survivor in alive:
        survivor.kill()
    process.wait(timeout=20)


def free_ports(count: int) -> list[int]:
    """Ports above the range that Ray's workers take theirs from."""
    sockets: list[socket.socket] = []
    while len(sockets) < count:
        candidate = socket.socket()
        try:
            candidate.bind(("127.0.0.1", 20000 + secrets.randbelow(10000)))
        except OSError:
            candidate.close()
            continue
        sockets.append(candidate)
    ports = [bound.getsockname()[1] for bound in sockets]
    for bound in sockets:
        bound.close()
    return ports
