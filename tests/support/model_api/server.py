"""Serves the fake API, in a thread of this process or in a process of its own, on a free port of 127.0.0.1."""

import json
import os
import secrets
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from tests.support.model_api.app import ModelApp
from tests.support.model_api.ledger import LedgerCopy

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True, slots=True)
class ModelApi:
    """A fake API that runs somewhere: the address, the key, and how a test controls it."""

    url: str
    key: str

    def environment(self) -> dict[str, str]:
        """What a client's process needs in its environment."""
        return {"ANTHROPIC_BASE_URL": self.url, "ANTHROPIC_API_KEY": self.key}

    def set(self, **dials: Any) -> None:
        """Turns dials (see `tests.support.model_api.dials.Dials`). The buckets of the limits are full afterwards."""
        self._control("set", dials)

    def fault(self, kind: str, **how: Any) -> None:
        """Adds a fault (see `tests.support.model_api.dials`)."""
        self._control("fault", {"kind": kind, **how})

    def clear_faults(self) -> None:
        """From now on nothing goes wrong."""
        self._control("clear")

    def end_batches(self) -> None:
        """Lets all batches that there are end at the next look, unless they are held."""
        self._control("end_batches")

    def batches(self) -> list[dict[str, Any]]:
        """All batches that were not deleted."""
        found: list[dict[str, Any]] = self._control("batches")
        return found

    def ledger(self) -> LedgerCopy:
        """What was asked and paid until now."""
        return LedgerCopy.of(self._control("ledger"))

    def forget_ledger(self) -> None:
        """Begins the ledger anew."""
        self._control("forget")

    def _control(self, verb: str, body: Any = None) -> Any:
        return (
            httpx.post(f"{self.url}/_control/{verb}", json=body, timeout=60, trust_env=False).raise_for_status().json()
        )


@contextmanager
def model_api(**dials: Any) -> Iterator[ModelApi]:
    """Serves one in a thread. A fault of the fake itself fails the test."""
    key = f"sk-ant-fake-{secrets.token_hex(12)}"
    app = ModelApp(key)
    app.dials.update(dials)
    with listener(0) as found, _running(app, found):
        yield ModelApi(f"http://127.0.0.1:{found.getsockname()[1]}", key)
    assert not app.ledger.failures, app.ledger.failures[0]


@contextmanager
def model_api_process(**dials: Any) -> Iterator[ModelApi]:
    """Serves one in a process of its own, which ends with this one, however that ends."""
    command = [sys.executable, "-m", "tests.support.model_api", "--port", "0", "--dials", json.dumps(dials)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=dict(os.environ)
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        found = json.loads(process.stdout.readline())
        try:
            yield ModelApi(found["url"], found["key"])
        finally:
            process.stdin.close()
            process.wait(30)


def listener(port: int) -> socket.socket:
    """A socket that listens."""
    made = socket.socket(proto=socket.IPPROTO_TCP)  # said, or asyncio leaves Nagle's algorithm on
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(("127.0.0.1", port))
    made.listen(512)
    return made


def server_of(app: ModelApp) -> uvicorn.Server:
    """The server, not yet started."""
    config = uvicorn.Config(
        app, loop="asyncio", http="h11", ws="none", lifespan="off", log_config=None, proxy_headers=False,
        access_log=False, timeout_graceful_shutdown=5,
    )  # fmt: skip
    return uvicorn.Server(config)


@contextmanager
def _running(app: ModelApp, found: socket.socket) -> Iterator[None]:
    server = server_of(app)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [found]}, name="model-api")
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        app.close()
        thread.join()
