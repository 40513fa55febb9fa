"""What RAY_ADDRESS may name instead of a head: each gets its own words, in time, and signals end the wait."""

import http.server
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import grpc
import pytest
from ray._private import services

from ray_import.cluster import joining
from ray_import.cluster.environment import checked_address
from ray_import.errors import ClusterError, ConfigError

SAMPLE = Path(__file__).parents[2] / "examples" / "export"
ENDS_WITHIN_SECONDS = joining.ANSWER_WITHIN_SECONDS - 3
"""Of a signal: sooner than the deadline of the question."""


@contextmanager
def black_hole() -> Iterator[socket.socket]:
    """Accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=8) as listening:
        yield listening


@contextmanager
def filtered() -> Iterator[socket.socket]:
    """Its queue is full, so that the kernel drops what comes: as behind a firewall."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listening:
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(listening.getsockname())
        yield listening
        for one in waiting:
            one.close()


@contextmanager
def web_server() -> Iterator[socket.socket]:
    """Speaks HTTP/1.1, as the dashboard does."""
    server = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.socket
    server.shutdown()
    server.server_close()


@contextmanager
def other_grpc_server() -> Iterator[socket.socket]:
    """Speaks gRPC and has none of Ray's services."""
    server = grpc.server(ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with socket.create_connection(("127.0.0.1", port)) as connection:
        yield connection
    server.stop(None).wait()


def port_of(kind: socket.socket) -> int:
    try:
        return int(kind.getpeername()[1])
    except OSError:
        return int(kind.getsockname()[1])


@pytest.mark.parametrize(
    ("server", "words"),
    [
        (black_hole, "accepts connections, but does not answer"),
        (filtered, "no answer"),
        (web_server, "is not the head of a Ray cluster"),
        (other_grpc_server, "is not the head of a Ray cluster (UNIMPLEMENTED)"),
    ],
)
def test_check_head_names_what_listens_there(
    server: Callable[[], AbstractContextManager[socket.socket]], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joining, "ANSWER_WITHIN_SECONDS", 2.0)
    monkeypatch.setattr(joining, "CONNECT_WITHIN_SECONDS", 1.0)
    with server() as listening, pytest.raises(ClusterError) as caught:
        joining.check_head(f"127.0.0.1:{port_of(listening)}")
    assert words in caught.value.message
    assert str(caught.value).count("\n") == 1


def test_check_head_says_that_nothing_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    with pytest.raises(ClusterError, match=f"No Ray listens at 127.0.0.1:{port}"):
        joining.check_head(f"127.0.0.1:{port}")


def test_check_head_says_that_a_host_is_unknown() -> None:
    with pytest.raises(ClusterError, match=r"host of RAY_ADDRESS is unknown: nowhere\.invalid"):
        joining.check_head("nowhere.invalid:6379")


def test_check_head_names_the_settings_of_tls_when_they_cannot_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_USE_TLS", "1")
    with pytest.raises(ClusterError, match="settings for Ray's TLS"):
        joining.check_head("127.0.0.1:1")


@pytest.mark.parametrize(
    "named",
    [
        "ray://127.0.0.1:10001",
        "127.0.0.1",
        ":6379",
        "head:",
        "head:99999",
        "head:six",
        "::1:6379",
        "head:6379\n",
        "ada:xyzzy@head:6379",
        "xyzzy@head",
    ],
)
def test_checked_address_refuses_other_forms(named: str) -> None:
    with pytest.raises(ConfigError, match="is not the address of a Ray head") as refused:
        checked_address(named)
    assert "xyzzy" not in str(refused.value)
    assert "\n" not in refused.value.message


@pytest.mark.parametrize("named", ["auto", "head:6379", "10.0.0.1:6379", "[::1]:6379"])
def test_checked_address_takes_what_ray_takes(named: str) -> None:
    assert checked_address(named) == named


def test_head_address_of_auto_is_the_one_that_was_started_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "find_gcs_addresses", set)  # those of others on this machine
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    with pytest.raises(ClusterError, match="RAY_ADDRESS=auto: no Ray runs on this machine"):
        joining.head_address("auto")
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").write_text("127.0.0.1:1")
    assert joining.head_address("auto") == "127.0.0.1:1"
    with pytest.raises(ClusterError, match=r"No Ray listens at 127\.0\.0\.1:1:"):
        joining.join("auto")


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_an_import_that_waits_for_the_head(tmp_path: Path, stop: signal.Signals) -> None:
    database = tmp_path / "chunks.db"
    command = [sys.executable, "-m", "ray_import", "run", str(SAMPLE), "--to", f"sqlite:///{database}"]
    with black_hole() as listening:
        environment = dict(os.environ) | {"RAY_ADDRESS": f"127.0.0.1:{port_of(listening)}"}
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            connection, _ = listening.accept()  # now it waits for an answer
            with connection:  # closed, it would be an answer
                process.send_signal(stop)
                _, said = process.communicate(timeout=ENDS_WITHIN_SECONDS)
    assert process.returncode == 3
    assert b"was interrupted" in said
    assert b"Traceback" not in said
    with closing(sqlite3.connect(database)) as db:
        assert db.execute("SELECT status, error FROM import_jobs").fetchall() == [("failed", "interrupted")]
