"""The stand-in for a Supabase project: `with gateway(dsn) as g:` serves it on a free port of 127.0.0.1, over HTTP/1.1.

It is honest where the semantics come from a real Postgres: rows, constraints, errors, time-outs, roles, row level
security. What it does not have it refuses with 400 PGRST100, rather than passing over it.
"""

import secrets
import socket
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import uvicorn

from tests.support.gateway.app import App
from tests.support.gateway.faults import Faults
from tests.support.gateway.keys import Project
from tests.support.gateway.objects import Objects
from tests.support.gateway.pool import Pool
from tests.support.gateway.rest import PREFIX, Rest
from tests.support.gateway.served import Served
from tests.support.gateway.storage import PREFIX as STORAGE_PREFIX
from tests.support.gateway.storage import Storage

THREADS = 48


@dataclass(frozen=True, slots=True)
class Gateway:
    """A stand-in that runs. `project` is what other processes need of it: it travels."""

    project: Project
    faults: Faults
    served: Served
    objects: Objects
    pool: Pool

    @property
    def url(self) -> str:
        """Its address, without a path."""
        return self.project.url

    @property
    def service_key(self) -> str:
        """The legacy key of the service role."""
        return self.project.service_key

    @property
    def secret_key(self) -> str:
        """The new kind of key of the service role, `sb_secret_…`."""
        return self.project.secret_key

    @property
    def anon_key(self) -> str:
        """The legacy key for everybody."""
        return self.project.anon_key

    def user_token(self, user_id: str, *, expires_in: float = 3600) -> str:
        """The token of a user who is logged in; a negative time makes one that has expired."""
        return self.project.user_token(user_id, expires_in=expires_in)


@contextmanager
def gateway(
    dsn: str,
    *,
    pool_size: int = 10,
    pool_wait_seconds: float = 10.0,
    max_rows: int = 1000,
    s3: bool = False,
    project: Project | None = None,
) -> Iterator[Gateway]:
    """Serves a database, by an address for the user `authenticator`, and a folder of objects of its own.

    With `project` it is that one again, at the same address, after its stand-in was closed. `s3` makes ranges behave as
    where Storage lies on S3, as hosted: what cannot be satisfied is an HTTP 400.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="objects")))
        port = httpx.URL(project.url).port if project else None
        listener = stack.enter_context(_listener(port or 0))
        project = project or _project(listener)
        pool = Pool(dsn, pool_size, pool_wait_seconds)
        stack.callback(pool.close)
        workers = stack.enter_context(ThreadPoolExecutor(THREADS, "gateway"))
        made = Gateway(project, Faults(), Served(), Objects(folder), pool)
        parts = {
            PREFIX: Rest(project, pool, max_rows).answer,
            STORAGE_PREFIX: Storage(project, made.objects, s3).answer,
        }
        app = App(parts, made.faults, made.served, workers)
        stack.enter_context(_running(app, listener, pool))
        yield made


def _listener(port: int) -> socket.socket:
    listener = socket.socket(proto=socket.IPPROTO_TCP)  # said, or asyncio leaves Nagle's algorithm on: 40 ms an answer
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(256)
    return listener


def _project(listener: socket.socket) -> Project:
    port = listener.getsockname()[1]
    secret = f"sb_secret_{secrets.token_urlsafe(16)}"
    return Project(f"http://127.0.0.1:{port}", secrets.token_hex(32), secret)


@contextmanager
def _running(app: App, listener: socket.socket, pool: Pool) -> Iterator[None]:
    """Serves in a thread; at the end what still runs or hangs is ended."""
    config = uvicorn.Config(
        app, loop="asyncio", http="h11", ws="none", lifespan="off", log_config=None, proxy_headers=False,
        access_log=False, timeout_graceful_shutdown=5,
    )  # fmt: skip
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="gateway")
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        app.close()
        pool.cancel()
        thread.join()
