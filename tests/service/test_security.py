"""Who may call the service, and where it does not start."""

import base64
import socket
from pathlib import Path

import httpx
import pytest

from tests.service.serving import SECRET, Served, refused, serving, started_without_port

CLOSED = [
    ("POST", "/process-full-v2"), ("POST", "/import-full"), ("POST", "/retry-full-pass"), ("GET", "/jobs?user_id=u"),
    ("GET", "/jobs/x?user_id=u"), ("DELETE", "/jobs/x?user_id=u"), ("GET", "/metrics"), ("GET", "/"),
    ("GET", "/nowhere"), ("GET", "/docs"), ("GET", "/redoc"), ("GET", "/health/"), ("GET", "//health"),
    ("OPTIONS", "/import-full"), ("GET", "/openapi.json/"), ("GET", "/health%2f..%2fjobs?user_id=u"),
]  # fmt: skip


def basic(password: str, user: str = "x") -> str:
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


@pytest.fixture
def stranger(service: Served) -> httpx.Client:
    """A client without the secret."""
    return httpx.Client(base_url=service.url, timeout=30, trust_env=False)


@pytest.mark.parametrize(("method", "path"), CLOSED)
def test_service_answers_401_when_the_secret_is_missing(stranger: httpx.Client, method: str, path: str) -> None:
    answer = stranger.request(method, path)
    assert answer.status_code == 401
    assert answer.json() == {"error": "The secret is missing or wrong."}
    assert answer.headers["www-authenticate"].startswith(("Bearer", "Basic"))


@pytest.mark.parametrize(
    "value",
    [
        "Bearer", f"Bearer {SECRET}x", f"Bearer {SECRET[:-1]}", f"Bearer {SECRET.upper()}", SECRET,
        f"Token {SECRET}", f"Bearer Bearer {SECRET}", f"Bearer {SECRET},{SECRET}", basic(SECRET), "Basic !!!",
        "Bearer é",
    ],
)  # fmt: skip
def test_service_answers_401_when_the_secret_is_wrong(stranger: httpx.Client, value: str) -> None:
    assert stranger.get("/jobs?user_id=u", headers=[(b"Authorization", value.encode())]).status_code == 401


def test_service_answers_401_when_the_secret_is_in_the_url_or_sent_twice(stranger: httpx.Client) -> None:
    assert stranger.get("/jobs", params={"user_id": "u", "secret": SECRET, "token": SECRET}).status_code == 401
    twice = [("Authorization", f"Bearer {SECRET}"), ("Authorization", "Bearer other")]
    assert stranger.get("/jobs?user_id=u", headers=twice).status_code == 401


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_service_answers_when_the_secret_is_right(stranger: httpx.Client, scheme: str) -> None:
    header = {"Authorization": f"{scheme} {SECRET}"}
    assert stranger.get("/jobs?user_id=u", headers=header).status_code == 200


@pytest.mark.parametrize("path", ["/", "/metrics"])
def test_service_takes_http_basic_when_a_browser_or_prometheus_asks(stranger: httpx.Client, path: str) -> None:
    assert stranger.get(path, headers={"Authorization": basic(SECRET)}).status_code == 200
    for wrong in (basic(""), basic("wrong"), "Basic e30=", "Basic", basic("", SECRET)):
        answer = stranger.get(path, headers={"Authorization": wrong})
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == 'Basic realm="ray-import", charset="UTF-8"'


@pytest.mark.parametrize("path", ["/health", "/openapi.json"])
def test_service_answers_without_the_secret_when_a_platform_asks(stranger: httpx.Client, path: str) -> None:
    assert stranger.get(path).status_code == 200


def test_service_refuses_before_the_body_is_sent_when_the_secret_is_missing(service: Served) -> None:
    """The body never comes: the answer does not wait for it."""
    host, port = service.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(b"POST /import-full HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 401")


def test_service_sends_no_cors_headers_when_another_site_asks(service: Served) -> None:
    asked = {"Origin": "https://evil.example.com", "Access-Control-Request-Method": "POST"}
    for answer in (service.client.options("/import-full", headers=asked), service.get("/health", headers=asked)):
        assert [name for name in answer.headers if name.startswith("access-control")] == []


@pytest.mark.parametrize(
    ("options", "settings", "words"),
    [
        ([], {"RAY_IMPORT_SECRET": ""}, "RAY_IMPORT_SECRET is not set."),
        ([], {"RAY_IMPORT_SECRET": "  "}, "RAY_IMPORT_SECRET is not set."),
        ([], {"RAY_IMPORT_SECRET": "short"}, "RAY_IMPORT_SECRET is too short"),
        ([], {"RAY_IMPORT_SECRET": "0123456789 0123456789"}, "RAY_IMPORT_SECRET contains invalid characters."),
        ([], {"RAY_IMPORT_SECRET": "0123456789é0123456789"}, "RAY_IMPORT_SECRET contains invalid characters."),
        (["--host", "0.0.0.0"], {"RAY_IMPORT_SECRET": ""}, "RAY_IMPORT_SECRET is not set."),
        (["--host", "0.0.0.0", "--insecure"], {"RAY_IMPORT_SECRET": ""}, "--insecure is not allowed"),
        (["--host", "0.0.0.0", "--insecure"], {}, "--insecure is not allowed"),
        (["--host", "::", "--insecure"], {}, "--insecure is not allowed"),
        (["--limit-max-requests", "9"], {}, "--limit-max-requests with one worker would end the service."),
        (["--limit-max-requests-jitter", "9", "--workers", "2"], {}, "needs --limit-max-requests"),
        (["--host", "no.such.host.invalid"], {}, "The service cannot listen at"),
        (["--to", "mysql://x"], {}, "is not a known destination"),
        ([], {"RAY_IMPORT_BUCKETS": "a/b"}, "RAY_IMPORT_BUCKETS"),
        ([], {"RAY_IMPORT_HOSTS": "https://x"}, "RAY_IMPORT_HOSTS"),
        ([], {"RAY_IMPORT_PATH_PATTERN": "exports/"}, "RAY_IMPORT_PATH_PATTERN"),
        ([], {"RAY_IMPORT_JOBS_PER_HOUR": "0"}, "RAY_IMPORT_JOBS_PER_HOUR"),
    ],
)
def test_serve_ends_with_2_when_a_setting_is_not_safe_or_not_valid(
    tmp_path: Path, options: list[str], settings: dict[str, str], words: str
) -> None:
    code, said = refused(tmp_path, *options, **settings)
    assert (code, words in said) == (2, True), said
    assert len(said.strip().splitlines()) <= 2


def test_serve_ends_with_3_when_its_queue_can_never_open(tmp_path: Path) -> None:
    code, said = refused(tmp_path, "--to", f"sqlite:///{tmp_path}/no/such/folder/jobs.db")
    assert (code, len(said.strip().splitlines()) <= 2) == (3, True), said


def test_serve_ends_with_2_when_the_port_is_taken_or_not_valid(tmp_path: Path, service: Served) -> None:
    port = service.url.rpartition(":")[2]
    code, said = refused(tmp_path, "--port", port)
    assert (code, f"cannot listen at 127.0.0.1 port {port}" in said) == (2, True)
    code, said = refused(tmp_path, "--port", "70000")
    assert code == 2


@pytest.mark.parametrize("value", ["eighty", "-1", "70000", "٣"])
def test_serve_ends_with_2_when_port_of_the_environment_is_not_valid(tmp_path: Path, value: str) -> None:
    code, said = started_without_port(tmp_path, PORT=value)
    assert (code, "The value of PORT is not valid." in said) == (2, True)


def test_service_listens_at_all_addresses_when_a_platform_sets_the_port(tmp_path: Path) -> None:
    """And at loopback where an option says so; `--port` wins over PORT."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with serving("sqlite:///jobs.db", tmp_path, PORT=str(port), at=()) as served:
        assert served.url == f"http://0.0.0.0:{port}"
        assert served.get("/health").status_code == 200
    (tmp_path / "other").mkdir()
    with serving("sqlite:///jobs.db", tmp_path / "other", "--host", "127.0.0.1", PORT=str(port)) as served:
        assert served.url.startswith("http://127.0.0.1:")
        assert served.url != f"http://127.0.0.1:{port}"


def test_serve_ends_with_2_when_fastapi_is_not_installed(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util as u\nfind = u.find_spec\n"
        "u.find_spec = lambda name, package=None: None if name == 'fastapi' else find(name, package)\n"
    )
    code, said = refused(tmp_path, PYTHONPATH=f"{tmp_path}")
    assert (code, "pip install 'ray-import[serve]'" in said) == (2, True), said


def test_service_answers_without_a_secret_when_it_is_insecure_on_loopback(tmp_path: Path) -> None:
    with serving("sqlite:///jobs.db", tmp_path, "--insecure", RAY_IMPORT_SECRET="") as served:
        del served.client.headers["Authorization"]
        assert served.submit("ada").status_code == 202
        for host in ("localhost", "127.0.0.1:9", "[::1]:80", "[::1]"):
            assert served.get("/jobs?user_id=ada", headers={"Host": host}).status_code == 200
        for host in ("evil.example.com", "evil.example.com:8100", "127.0.0.1.evil.com", "localhost.evil.com:80"):
            answer = served.get("/jobs?user_id=ada", headers={"Host": host})
            assert (answer.status_code, "ada" in answer.text) == (403, False)


def test_service_wants_the_secret_when_there_is_one_although_it_is_insecure(tmp_path: Path) -> None:
    with serving("sqlite:///jobs.db", tmp_path, "--insecure") as served:
        assert served.get("/jobs?user_id=ada").status_code == 200
        del served.client.headers["Authorization"]
        assert served.get("/jobs?user_id=ada").status_code == 401
