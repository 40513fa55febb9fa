"""The message at the end of a run that has failures, to a server on this machine."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from ray_import.bulk.alert import alert
from ray_import.bulk.progress import RunReport
from ray_import.sink.port import RunUser

GOOD = RunUser("ada-lovelace", "ada.zip", state="complete")
BAD = RunUser("grace-hopper", "grace.zip", state="failed", error="grace.zip holds no conversations.")


def report(*users: RunUser) -> RunReport:
    return RunReport("run-1", "/data/users.jsonl", "postgresql://db/chats", users, 1_000, 12.3456, 2)


@contextmanager
def webhook(status: int = 200) -> Iterator[tuple[str, list[Any]]]:
    """An address that answers with `status`, and what it was sent."""
    got: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(status)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Says nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/hook-secret", got
        finally:
            server.shutdown()
            thread.join()


def test_one_message_tells_of_a_run_with_failures_and_names_nobody() -> None:
    with webhook() as (url, got):
        alert(report(GOOD, BAD), url)
    expected = {"complete": 1, "failed": 1}
    assert got == [{"run_id": "run-1", "what": "/data/users.jsonl", "states": expected, "seconds": 12.346}]


def test_a_run_without_failures_and_one_without_a_webhook_tell_nothing() -> None:
    with webhook() as (url, got):
        alert(report(GOOD), url)
        alert(report(BAD), "")
    assert got == []


def test_a_webhook_that_refuses_is_only_told(capsys: pytest.CaptureFixture[str]) -> None:
    with webhook(500) as (url, got):
        alert(report(BAD), url)
    assert len(got) == 1
    assert capsys.readouterr().err == "ALERT_WEBHOOK could not be told (HTTPStatusError).\n"


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/hook-secret", "no address", "http://[hook-secret"])
def test_a_webhook_that_is_not_there_is_only_told(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    alert(report(BAD), url)
    told = capsys.readouterr().err
    assert told.startswith("ALERT_WEBHOOK could not be told")
    assert "secret" not in told
