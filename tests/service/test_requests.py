"""The routes over HTTP: what is accepted, what is refused, and that no answer repeats what was sent."""

import re
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from uuid import uuid4

import httpx
import pytest

from ray_import.destinations.registry import parse_destination
from ray_import.destinations.service_jobs import ServiceJobs
from ray_import.service.web import middleware
from tests.service.serving import SECRET, Served, serving

ROUTES = ["/process-full-v2", "/import-full", "/retry-full-pass"]
MARK = "M4rk3r"
"""Stands in every value that is sent and not valid: no answer and no log may have it."""


@pytest.fixture
def user() -> str:
    """A user of this test alone."""
    return f"u-{uuid4().hex[:12]}"


def raw(service: Served, *parts: bytes, pause_seconds: float = 0.0) -> bytes:
    """The beginning of the answer to bytes as they are."""
    host, port = service.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        for part in parts:
            connection.sendall(part)
            time.sleep(pause_seconds)
        return connection.recv(65536)


def head(path: str = "/import-full", *lines: str) -> bytes:
    """The head of a request with the secret."""
    lines = ("Host: x", f"Authorization: Bearer {SECRET}", "Content-Type: application/json", *lines)
    return "\r\n".join([f"POST {path} HTTP/1.1", *lines, "", ""]).encode()


# --- accepted ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("route", "stage"), list(zip(ROUTES, ["import", "import", "profile"], strict=True)))
def test_service_queues_a_job_when_a_request_is_valid(
    service: Served, jobs: ServiceJobs, user: str, route: str, stage: str
) -> None:
    path = f"exports/{user}/a.zip"
    answer = service.post(
        route, user_id=user, storage_path=path, file_type="zip", other=MARK, conversation_count=3, message_count=2**40
    )
    found = answer.json()
    assert answer.status_code == 202
    assert (found["status"], found["user_id"]) == ("accepted", user)
    job = jobs.job(found["job_id"], user)
    assert job is not None
    assert (job.state, job.stage) == ("queued", stage)
    source = f"supabase://exports/{user}/a.zip" if stage == "import" else ""
    assert (job.source, job.source_label, job.file_type) == (source, source, "zip" if stage == "import" else "")


def test_service_takes_nulls_and_nothing_when_a_field_is_optional(service: Served, user: str) -> None:
    nothing = {"file_type": None, "conversation_count": None, "message_count": None}
    assert service.submit(user, **nothing).status_code == 202
    assert service.post("/retry-full-pass", user_id=f"{user}2", storage_path=None).status_code == 202
    assert service.post("/retry-full-pass", user_id=f"{user}3").status_code == 202


def test_service_keeps_the_token_of_a_url_to_itself_when_it_is_signed(
    service: Served, jobs: ServiceJobs, user: str
) -> None:
    url = f"https://abc.supabase.co/storage/v1/object/sign/exports/{user}/a.zip"
    accepted = service.post(user_id=user, storage_path=f"{url}?token=t0k3n")
    id_ = accepted.json()["job_id"]
    job = jobs.job(id_)
    assert job is not None
    assert (job.source, job.source_label) == (f"{url}?token=t0k3n", url)
    listed = service.get("/jobs", params={"user_id": user})
    assert listed.json()["jobs"][0]["source"] == url
    texts = [accepted.text, listed.text, service.get("/").text, service.get(f"/jobs/{id_}?user_id={user}").text]
    assert [text for text in [*texts, service.log()] if "t0k3n" in text] == []


@pytest.mark.parametrize("user_id", ["ada@example.com", "Ada Lovelace", "ä-💡", "a%b", "x" * 255, "'; drop table"])
def test_service_takes_a_user_id_when_the_command_line_would(service: Served, user_id: str) -> None:
    answer = service.post("/retry-full-pass", user_id=user_id)
    assert (answer.status_code, answer.json()["user_id"]) == (202, user_id)
    assert [job["user_id"] for job in service.get("/jobs", params={"user_id": user_id}).json()["jobs"]] == [user_id]


# --- not valid -----------------------------------------------------------------------------------

VALID: dict[str, Any] = {"user_id": "ann", "storage_path": "exports/ann/a.zip"}
NOT_VALID: list[tuple[str, dict[str, Any]]] = [
    ("user_id", {"user_id": None}),
    ("user_id", {"user_id": ""}),
    ("user_id", {"user_id": "   "}),
    ("user_id", {"user_id": f"{MARK}\x00"}),
    ("user_id", {"user_id": f"{MARK}\n"}),
    ("user_id", {"user_id": f"{MARK}\x1b[2J"}),
    ("user_id", {"user_id": MARK * 100}),
    ("user_id", {"user_id": 7}),
    ("user_id", {"user_id": [MARK]}),
    ("user_id", {"user_id": {"a": MARK}}),
    ("storage_path", {"storage_path": None}),
    ("storage_path", {"storage_path": ""}),
    ("storage_path", {"storage_path": MARK}),
    ("storage_path", {"storage_path": f"http://abc.supabase.co/ann/{MARK}.zip"}),
    ("storage_path", {"storage_path": f"file:///{MARK}"}),
    ("storage_path", {"storage_path": f"exports/ann/../{MARK}"}),
    ("storage_path", {"storage_path": f"exports/ann/%2e%2e/{MARK}"}),
    ("storage_path", {"storage_path": f"exports/ann/{MARK}\x00"}),
    ("storage_path", {"storage_path": "exports/ann/" + MARK * 2000}),
    ("storage_path", {"storage_path": 10**30}),
    ("file_type", {"file_type": MARK}),
    ("file_type", {"file_type": 1}),
    ("conversation_count", {"conversation_count": -1}),
    ("conversation_count", {"conversation_count": MARK}),
    ("conversation_count", {"conversation_count": 2**53}),
    ("conversation_count", {"conversation_count": 10**400}),
    ("message_count", {"message_count": 1.5}),
    ("message_count", {"message_count": [MARK]}),
]


@pytest.mark.parametrize(("field", "change"), NOT_VALID, ids=lambda value: str(value)[:40])
def test_service_answers_422_without_the_input_when_a_field_is_not_valid(
    service: Served, field: str, change: dict[str, Any]
) -> None:
    answer = service.client.post("/import-full", json={**VALID, **change})
    assert answer.status_code == 422
    assert answer.json()["error"] == "The request is not valid."
    assert [found["field"] for found in answer.json()["fields"]] == [field]
    assert MARK not in answer.text + service.log()


NO_OBJECTS = [
    b"", b"{", f'{{"user_id": "{MARK}'.encode(), b"null", b"7", f'"{MARK}"'.encode(), f'["{MARK}"]'.encode(),
    b"[" * 60_000, b'{"a":' * 10_000, b"\xff\xfe\x00", f'{{"user_id": "{MARK}\xff"}}'.encode("latin-1"),
    b'{"user_id": "\\udfff", "storage_path": "exports/a/b"}', b"user_id=ann&storage_path=exports/ann/a",
    b'{"user_id": "ann\\u0000", "storage_path": "exports/ann/a"}', b'{"user_id": ' + b"9" * 50_000 + b"}",
]  # fmt: skip
NO_IMPORTS = [
    b'"storage_path": "exports/ann/\\ud800"',
    b'"storage_path": "exports/ann/a", "conversation_count": ' + b"9" * 50_000,
    b'"storage_path": "exports/ann/a", "message_count": NaN',
    b'"storage_path": "exports/ann/a", "message_count": 1e999',
    b'"storage_path": "exports/ann/a", "message_count": -Infinity',
    b'"storage_path": "exports/ann/a", "file_type": "\\ud800"',
]


@pytest.mark.parametrize(
    ("route", "body"),
    [
        *((route, body) for route in ROUTES for body in NO_OBJECTS),
        *((route, b'{"user_id": "ann", ' + rest + b"}") for route in ROUTES[:2] for rest in NO_IMPORTS),
    ],
    ids=lambda value: repr(value[:40]),
)
def test_service_answers_422_when_the_body_is_not_what_it_takes(service: Served, route: str, body: bytes) -> None:
    answer = service.client.post(route, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert set(answer.json()) == {"error", "fields"}
    assert MARK not in answer.text + service.log()


@pytest.mark.parametrize(
    "content_type",
    [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "x", ""],
)
def test_service_answers_422_when_the_content_type_is_not_json(service: Served, content_type: str | None) -> None:
    """A page of another site can send these without asking first."""
    headers = {} if content_type is None else {"Content-Type": content_type}
    body = b'{"user_id": "ann-of-a-form", "storage_path": "exports/ann-of-a-form/a.zip"}'
    answer = service.client.post("/import-full", content=body, headers=headers)
    assert (answer.status_code, "ann-of-a-form" in answer.text) == (422, False)


@pytest.mark.parametrize("key", ["", "a b", "x" * 201, "ä", "a\tb"])
def test_service_answers_422_when_the_idempotency_key_is_not_valid(service: Served, user: str, key: str) -> None:
    headers = [(b"Idempotency-Key", key.encode())]
    answer = service.client.post("/retry-full-pass", json={"user_id": user}, headers=headers)
    assert (answer.status_code, answer.json()["fields"][0]["field"]) == (422, "Idempotency-Key")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/jobs", 422), ("/jobs?user_id=", 422), ("/jobs?user_id=%00", 422), ("/jobs?user_id=%ff", 200),
        ("/jobs?user_id=a&limit=0", 422), ("/jobs?user_id=a&limit=101", 422), ("/jobs?user_id=a&limit=x", 422),
        (f"/jobs?user_id=a&limit={'9' * 5000}", 422), ("/jobs/x", 422), ("/jobs/x%00?user_id=a", 422),
        ("/jobs/..%2f..?user_id=a", 404), (f"/jobs/{'x' * 65}?user_id=a", 422), ("/jobs/é?user_id=a", 422),
        ("/jobs/x?user_id=a", 404), ("/nowhere", 404), ("/process-full-v2", 405), ("/jobs/", 404),
    ],
)  # fmt: skip
def test_service_answers_in_json_when_a_path_or_query_is_odd(service: Served, path: str, status: int) -> None:
    answer = service.get(path)
    assert answer.status_code == status
    assert "error" in answer.json() or status == 200


# --- not allowed, active, too many -----------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["exports/bob/a.zip", "exports/ada2/a.zip", "secret/ada/a.zip", "https://evil.example.com/ada/a.zip"]
)
def test_service_answers_403_when_the_source_is_not_the_users(service: Served, path: str) -> None:
    answer = service.post(user_id="ada", storage_path=path)
    assert answer.status_code == 403
    assert not re.search("bob|ada2|secret|evil", answer.text)


def test_service_answers_409_with_the_job_when_one_is_active(service: Served, user: str) -> None:
    first = service.submit(user).json()["job_id"]
    for route in ROUTES:
        answer = service.submit(user) if route != ROUTES[2] else service.post(route, user_id=user)
        body = answer.json()
        assert answer.status_code == 409
        assert (body["job_id"], body["status"], body["elapsedMinutes"]) == (first, "processing", 0)
        assert 0 <= body["age_seconds"] < 60
        assert body["error"]


def test_service_gives_the_same_job_when_an_idempotency_key_comes_again(service: Served, user: str) -> None:
    key = {"Idempotency-Key": f"k-{user}"}
    first, second = service.submit(user, key), service.submit(user, key)
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json()["job_id"] == second.json()["job_id"]
    other_body = service.post(headers=key, user_id=user, storage_path=f"exports/{user}/b.zip")
    assert (other_body.status_code, other_body.json()["fields"][0]["field"]) == (422, "Idempotency-Key")
    other_user = service.submit(f"{user}-2", key)
    assert other_user.status_code == 202
    assert other_user.json()["job_id"] != first.json()["job_id"]
    assert len(service.get("/jobs", params={"user_id": user}).json()["jobs"]) == 1


def test_service_gives_the_same_job_when_a_repeated_request_has_a_url_that_was_signed_anew(
    service: Served, user: str
) -> None:
    key = {"Idempotency-Key": f"k-{user}"}
    urls = [f"https://files.example.com:8443/{user}/a.zip?token={token}" for token in ("first", "second")]
    first, second = (service.post(headers=key, user_id=user, storage_path=url) for url in urls)
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json()["job_id"] == second.json()["job_id"]


def test_service_answers_429_when_a_user_has_had_too_many_jobs(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("limited")
    with serving("sqlite:///jobs.db", folder, RAY_IMPORT_JOBS_PER_HOUR="2") as served:
        for _ in range(2):
            job_id = served.submit("ada").json()["job_id"]
            assert served.client.delete(f"/jobs/{job_id}?user_id=ada").status_code == 200
        answer = served.submit("ada")
        assert answer.status_code == 429
        assert 3000 < int(answer.headers["retry-after"]) <= 3600
        assert served.submit("bob").status_code == 202


# --- bodies ----------------------------------------------------------------------------------------


def chunks(size: int) -> Iterator[bytes]:
    for _ in range(size // 1000):
        yield b" " * 1000


@pytest.mark.parametrize("size", [middleware.MOST_BODY_BYTES + 1, 1_000_000])
def test_service_answers_413_when_the_body_is_too_large(service: Served, size: int) -> None:
    assert service.client.post("/import-full", content=b" " * size).status_code == 413
    chunked = httpx.post(
        f"{service.url}/import-full", content=chunks(size + 1000), headers=service.client.headers, trust_env=False
    )
    assert chunked.status_code == 413
    assert chunked.json()["error"].startswith("The body of the request is too large")


def test_service_answers_413_at_once_when_a_large_body_is_announced(service: Served) -> None:
    assert raw(service, head("/import-full", "Content-Length: 99999999999")).startswith(b"HTTP/1.1 413")


def test_service_takes_a_body_when_it_is_as_large_as_it_may_be(service: Served, user: str) -> None:
    text = f'{{"user_id": "{user}"}}'.encode()
    body = text + b" " * (middleware.MOST_BODY_BYTES - len(text))
    answer = service.client.post("/retry-full-pass", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 202


def test_service_takes_a_body_when_it_is_chunked(service: Served, user: str) -> None:
    pieces = [f'{{"user_id": "{user}'.encode(), b'"', b"}"]
    answer = service.client.post("/retry-full-pass", content=iter(pieces), headers={"Content-Type": "application/json"})
    assert answer.status_code == 202


def test_service_answers_408_when_the_body_does_not_come(service: Served) -> None:
    answer = raw(service, head("/import-full", "Content-Length: 100"), b"{")
    assert answer.startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize(
    "lines",
    [
        ["Content-Length: -1"], ["Content-Length: x"], ["Content-Length: 1", "Content-Length: 2"],
        ["Content-Length: 3", "Transfer-Encoding: chunked"], ["Transfer-Encoding: gzip, chunked"],
        ["Content-Length: ٣"],
    ],
)  # fmt: skip
def test_service_answers_4xx_when_the_framing_of_the_body_is_odd(service: Served, lines: list[str]) -> None:
    assert raw(service, head("/import-full", *lines) + b"0\r\n\r\n").startswith(b"HTTP/1.1 4")
    assert service.get("/health").status_code == 200


@pytest.mark.parametrize("begins", [b"GET /health HTTP/1.1\r\nX: ", b"GET /", b"", head("/import-full", "X: ")[:-4]])
def test_service_answers_400_when_the_head_of_a_request_does_not_end(service: Served, begins: bytes) -> None:
    """It is not kept in memory, without the secret neither."""
    host, port = service.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection, suppress(ConnectionError):
        connection.sendall(begins)
        for _ in range(400):
            connection.sendall(b"a" * 10_000)
        raise AssertionError("4 MB of a head were taken")
    (process,) = service.web_processes()
    assert process.memory_info().rss < 200 * 2**20
    assert service.get("/health").status_code == 200


# --- jobs ------------------------------------------------------------------------------------------


def test_service_shows_and_cancels_a_job_when_the_user_matches(service: Served, user: str) -> None:
    job_id = service.submit(user).json()["job_id"]
    shown = service.get(f"/jobs/{job_id}", params={"user_id": user}).json()
    assert (shown["job_id"], shown["state"], shown["attempts"]) == (job_id, "queued", 0)
    cancelled = service.client.delete(f"/jobs/{job_id}", params={"user_id": user})
    assert (cancelled.status_code, cancelled.json()["state"]) == (200, "cancelled")
    again = service.client.delete(f"/jobs/{job_id}", params={"user_id": user})
    assert (again.status_code, again.json()["state"]) == (200, "cancelled")
    assert service.submit(user).status_code == 202


def test_service_asks_the_worker_to_stop_when_a_running_job_is_cancelled(
    service: Served, jobs: ServiceJobs, user: str
) -> None:
    job_id = service.submit(user).json()["job_id"]
    assert jobs.claim("host/1", job_id) is not None
    cancelled = service.client.delete(f"/jobs/{job_id}", params={"user_id": user}).json()
    assert (cancelled["state"], cancelled["cancel_requested"]) == ("running", True)
    assert jobs.beat("host/1", job_id) == "cancelled"


@pytest.mark.parametrize("other", ["", "x", "U"])
def test_service_answers_404_when_the_job_is_another_users(service: Served, user: str, other: str) -> None:
    """As it does where there is no such job: nobody learns that there is one."""
    job_id = service.submit(user).json()["job_id"]
    stranger = {"": f"{user}2", "x": "x", "U": user.upper()}[other]
    for method in ("GET", "DELETE"):
        answers = [
            service.client.request(method, f"/jobs/{id_}", params={"user_id": stranger}) for id_ in (job_id, uuid4())
        ]
        assert [answer.status_code for answer in answers] == [404, 404]
        assert answers[0].text == answers[1].text
    assert service.get("/jobs", params={"user_id": stranger}).json() == {"jobs": []}
    assert service.get(f"/jobs/{job_id}", params={"user_id": user}).json()["state"] == "queued"


def test_service_lists_the_newest_jobs_first_when_there_are_several(service: Served, user: str) -> None:
    ids = []
    for _ in range(3):
        ids.append(service.submit(user).json()["job_id"])
        service.client.delete(f"/jobs/{ids[-1]}", params={"user_id": user})
    listed = service.get("/jobs", params={"user_id": user, "limit": 2}).json()["jobs"]
    assert [job["job_id"] for job in listed] == ids[:0:-1]


# --- health ----------------------------------------------------------------------------------------


def test_ready_names_the_worker_when_none_was_seen(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("ready")
    with serving("sqlite:///jobs.db", folder) as served:
        answer = served.get("/ready")
        assert (answer.status_code, answer.json()) == (503, {"status": "not_ready", "missing": ["worker"]})
        queue = parse_destination(f"sqlite:///{folder}/jobs.db").open_jobs()
        queue.beat("host/1", None)
        deadline = time.monotonic() + 10
        while (answer := served.get("/ready")).status_code != 200 and time.monotonic() < deadline:
            pass
        assert answer.json() == {"status": "ready", "missing": []}
        assert served.client.head("/ready").status_code == 200
        queue.close()


def test_metrics_show_the_queue_in_numbers_when_there_are_jobs(service: Served, jobs: ServiceJobs, user: str) -> None:
    job_id = service.submit(user).json()["job_id"]
    assert jobs.claim("host/2", job_id) is not None
    jobs.beat("host/2", job_id)
    service.submit(f"{user}-2")
    answer = service.get("/metrics")
    stats = jobs.stats()
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    values = dict(line.rsplit(" ", 1) for line in answer.text.splitlines() if not line.startswith("#"))
    assert float(values["ray_import_service_jobs_queued"]) == stats.queued >= 1
    assert float(values["ray_import_service_jobs_running"]) == stats.running >= 1
    assert float(values["ray_import_service_workers"]) == stats.workers >= 1
    assert 0 <= float(values["ray_import_service_oldest_queued_seconds"]) < 600
    for state in ("complete", "partial", "failed", "cancelled"):
        assert float(values[f'ray_import_service_jobs_ended{{state="{state}"}}']) == stats.ended.get(state, 0)
    assert user not in answer.text


def test_log_has_routes_and_no_ids_when_requests_are_answered(service: Served, user: str) -> None:
    job_id = service.submit(user).json()["job_id"]
    service.get(f"/jobs/{job_id}", params={"user_id": user, "q": MARK}, headers={"X-Odd": MARK, "User-Agent": MARK})
    service.get(f"/{MARK}")
    service.client.request("PROPFIND", "/jobs")
    until, lines = time.monotonic() + 30, list[str]()
    while "method=other" not in "".join(lines) and time.monotonic() < until:  # a line is written after its answer
        lines = [line for line in service.log().splitlines() if "middleware request" in line]
    assert any(re.search(r"method=GET route=/jobs/\{job_id\} status=200 milliseconds=[\d.]+$", line) for line in lines)
    assert any(re.search(r"method=other route=\S+ status=\d+", line) for line in lines)
    assert [line for line in lines if job_id in line] == []
    assert user not in service.log()
    assert MARK.lower() not in service.log().lower()
