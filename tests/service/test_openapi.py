"""The OpenAPI document: what it says is so, for requests that are made from it."""

import subprocess
import sys
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from ray_import.destinations.registry import parse_destination
from tests.service.serving import SECRET, Served, serving

ACCEPTING = {"/process-full-v2", "/import-full", "/retry-full-pass"}
METHODS = {
    **{path: {"post"} for path in ACCEPTING}, "/jobs": {"get"}, "/jobs/{job_id}": {"get", "delete"},
    "/health": {"get"}, "/ready": {"get"}, "/metrics": {"get"},
}  # fmt: skip
EXAMPLES = 15
"""Per route and phase: several hundred requests, in half a minute."""


@pytest.mark.skipif(find_spec("schemathesis") is None, reason="schemathesis is not installed")
def test_service_answers_as_documented_when_requests_are_made_from_the_document(to: str, tmp_path: Path) -> None:
    """No 5xx, no status, type or body that is not declared, no answer without the secret, to valid and invalid ones.

    Most imports that are made so are refused with 403 or 422, because a path of a user is not made by chance.
    """
    with serving(to, tmp_path, "--workers", "2") as served:
        with closing(parse_destination(to).open_jobs()) as jobs:
            jobs.beat("host/1", None)  # or /ready is 503
        ended = subprocess.run(
            [
                sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()", "run",
                f"{served.url}/openapi.json", "--header", f"Authorization: Bearer {SECRET}", "--checks", "all",
                "--exclude-checks", "positive_data_acceptance", "--phases", "coverage,fuzzing",
                "--max-examples", str(EXAMPLES), "--seed", "1", "--no-color",
            ],
            capture_output=True, cwd=tmp_path, check=False, text=True,
        )  # fmt: skip
        assert ended.returncode == 0, ended.stdout
        assert "9/9" in ended.stdout
        assert served.get("/health").status_code == 200
        assert "request_failed" not in served.log()
        assert SECRET not in served.log()


def test_document_declares_all_answers_and_the_secret_when_it_is_asked_for(service: Served) -> None:
    document: dict[str, Any] = service.get("/openapi.json").json()
    assert {path: set(operations) for path, operations in document["paths"].items()} == METHODS
    schemes = document["components"]["securitySchemes"]
    assert {(scheme["type"], scheme["scheme"]) for scheme in schemes.values()} == {
        ("http", "bearer"),
        ("http", "basic"),
    }
    for path, operations in document["paths"].items():
        for operation in operations.values():
            is_public = path in ("/health", "/ready")
            assert bool(operation["security"]) is not is_public
            declared = set(operation["responses"])
            assert is_public or {"401", "500", "503"} <= declared
            assert path not in ACCEPTING or {"202", "408", "409", "413", "422", "429"} <= declared
            assert path not in ("/import-full", "/process-full-v2") or "403" in declared
            assert path != "/jobs/{job_id}" or {"200", "404", "422"} <= declared


def test_document_names_the_public_address_when_the_platform_sets_it(tmp_path: Path) -> None:
    with serving("sqlite:///jobs.db", tmp_path, RENDER_EXTERNAL_URL="https://x.onrender.com") as served:
        assert served.get("/openapi.json").json()["servers"] == [{"url": "https://x.onrender.com"}]


@pytest.mark.parametrize(
    ("path", "allowed"),
    [("/jobs/x", "DELETE, GET"), ("/health", "GET, HEAD"), ("/import-full", "POST"), ("/jobs", "GET")],
)
def test_service_names_all_methods_when_one_is_not_allowed(service: Served, path: str, allowed: str) -> None:
    answer = service.client.put(path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)


def test_service_has_no_page_with_foreign_scripts_when_docs_are_asked_for(service: Served) -> None:
    assert [service.get(path).status_code for path in ("/docs", "/redoc")] == [404, 404]
