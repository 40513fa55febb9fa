"""Keys, passwords and tokens: in no log, answer, metric, page or process list, also when all fails."""

import asyncio
import base64
import logging
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import psutil
import psycopg
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from ray_import.destinations.registry import parse_destination
from ray_import.service.web.job_stores import JobStores
from ray_import.service.web.middleware import AccessLog
from ray_import.service.web.settings import service_settings
from tests.service.serving import SECRET, Served, serving, wait_until

if TYPE_CHECKING:
    from tests.support.gateway.postgres import Database

TOKEN = "t0k3n-of-a-signed-url"
PASSWORD = "p4ssw0rd-of-the-database"
WORDS = "w0rds-of-a-user"


def asked(served: Served) -> list[str]:
    """Answers of all kinds, with their headers: good, refused and failed."""
    url = f"https://abc.supabase.co/ada/export.zip?token={TOKEN}"
    answers = [
        served.post(user_id="ada", storage_path=url),
        served.post(user_id="ada", storage_path=url),
        served.post(user_id="bob", storage_path=url),
        served.post(user_id=[WORDS], storage_path=url),
        served.post(user_id="ada", storage_path=url, file_type=WORDS),
        served.client.post("/import-full", content=f'{{"user_id": "{WORDS}'.encode()),
        served.client.post("/import-full", content=WORDS.encode() * 10_000),
        served.get("/jobs", params={"user_id": f"{WORDS}\0", "token": TOKEN}),
        served.get(f"/{WORDS}", params={"secret": SECRET}),
        served.get("/jobs", params={"user_id": "ada"}),
        served.get("/jobs", params={"user_id": "ada"}, headers={"Authorization": f"Bearer {SECRET}{WORDS}"}),
        *(served.get(path) for path in ("/", "/metrics", "/ready", "/health", "/openapi.json")),
    ]
    return [f"{answer.status_code} {answer.headers} {answer.text}" for answer in answers]


def forms_of(secret: str) -> set[str]:
    return {secret, quote(secret, safe=""), base64.b64encode(secret.encode()).decode().rstrip("=")}


def places_of(texts: list[str], *secrets: str) -> list[str]:
    return [text for text in texts for secret in secrets if any(form in text for form in forms_of(secret))]


def command_lines(served: Served) -> list[str]:
    process = psutil.Process(served.process.pid)
    return [" ".join(one.cmdline()) for one in (process, *process.children(recursive=True))]


def test_nothing_shows_a_secret_when_requests_are_answered_and_when_the_database_is_gone(
    migrated_database: "Database", tmp_path: Path
) -> None:
    with migrated_database.connected() as db:
        db.execute(f"CREATE ROLE secretive LOGIN SUPERUSER PASSWORD '{PASSWORD}'".encode())
    server = migrated_database.server
    to = f"postgresql://secretive:{PASSWORD}@127.0.0.1:{server.port}/{migrated_database.name}"
    try:
        with serving(to, tmp_path, "--workers", "2") as served:
            wait_until(lambda: len(served.web_processes()) == 2)
            good = asked(served)
            assert [text[:3] for text in good[:3]] == ["202", "409", "403"]
            with migrated_database.connected() as db:
                db.execute("ALTER TABLE service_jobs RENAME TO service_jobs_gone")
            broken = asked(served)
            assert broken[0][:3] == "503"
            texts = [*good, *broken, *command_lines(served)]
        assert places_of([*texts, served.log()], SECRET, PASSWORD, TOKEN, WORDS) == []
    finally:
        with psycopg.connect(server.dsn("postgres"), autocommit=True) as db:
            db.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'secretive'")
            db.execute("DROP ROLE secretive")


def test_settings_do_not_show_the_secret_when_they_are_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_IMPORT_SECRET", SECRET)
    settings = service_settings(insecure=False)
    assert settings.secret is not None
    assert settings.secret.get_secret_value() == SECRET
    assert places_of([repr(settings), str(settings)], SECRET) == []


async def answered(log: AccessLog) -> list[Message]:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    await log({"type": "http", "method": "GET", "path": f"/{WORDS}", "headers": []}, receive, send)
    return sent


@pytest.mark.parametrize("begun", [False, True])
def test_access_log_answers_500_without_the_words_of_the_error_when_the_application_fails(
    caplog: pytest.LogCaptureFixture, begun: bool
) -> None:
    async def fails(scope: Scope, receive: Receive, send: Send) -> None:
        if begun:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ValueError(WORDS)

    with caplog.at_level(logging.INFO):
        sent = asyncio.run(answered(AccessLog(fails)))
    assert sent[0]["status"] == (200 if begun else 500)
    assert len(sent) == (1 if begun else 2)
    assert "request_failed method=GET route=- error=ValueError at=" in caplog.text
    assert places_of([caplog.text, str(sent)], WORDS) == []


def test_access_log_passes_the_answer_on_when_nothing_fails(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        sent = asyncio.run(answered(AccessLog(PlainTextResponse("fine"))))
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert "request method=GET route=- status=200" in caplog.text


def test_job_stores_open_a_new_connection_when_a_call_has_failed(tmp_path: Path) -> None:
    """And close the old one, also at the end."""
    opened = []
    destination = parse_destination(f"sqlite:///{tmp_path}/jobs.db")

    class Counting:
        def open_jobs(self, *, patience_seconds: float | None = None) -> object:
            opened.append(destination.open_jobs(patience_seconds=patience_seconds))
            return opened[-1]

    async def calls() -> None:
        stores = JobStores(Counting(), connections=1)  # type: ignore[arg-type]
        stores.start()
        assert (await stores.call(lambda jobs: jobs.stats())).queued == 0
        with pytest.raises(ZeroDivisionError):
            await stores.call(lambda _jobs: 1 // 0)
        assert (await stores.call(lambda jobs: jobs.stats())).queued == 0
        stores.stop()

    asyncio.run(calls())
    assert len(opened) == 2
    with closing(destination.open_jobs()) as jobs:
        assert jobs.stats().queued == 0
