"""The operator's page, in a real browser and as text."""

import re
from contextlib import closing
from pathlib import Path

import pytest

from ray_import.destinations.registry import parse_destination
from ray_import.destinations.service_jobs import ServiceJobs
from ray_import.service.web.page import HEADERS, REFRESH_SECONDS
from tests.service.browser import CHROMIUM, browser
from tests.service.serving import SECRET, Served, serving

EVIL = "<script>document.title='evil'</script><img src=x onerror=\"document.title='evil'\">&amp;"
"""May be the id of a user: all of it is printable."""
CELLS = "[...document.querySelectorAll('#jobs tbody tr')].map(row => [...row.cells].map(cell => cell.innerText))"


def failed(jobs: ServiceJobs, served: Served, user_id: str, words: str) -> str:
    """A job of this user that has failed with these words."""
    job_id: str = served.post("/retry-full-pass", user_id=user_id).json()["job_id"]
    assert jobs.claim("host/1", job_id) is not None
    counts = {"conversations": {"seen": 1200, "imported": 1100, "rejects": 0}, "is_odd": True, "bytes_read": 5000}
    assert jobs.finish(job_id, "host/1", "failed", counts, words, "SourceRefused")
    return job_id


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
def test_page_shows_jobs_and_refreshes_itself_when_a_browser_opens_it(tmp_path: Path) -> None:
    to = f"sqlite:///{tmp_path}/jobs.db"
    with serving(to, tmp_path) as served, closing(parse_destination(to).open_jobs()) as jobs:
        failed_id = failed(jobs, served, EVIL, f"The export is gone: {EVIL}")
        with browser(tmp_path, SECRET) as chromium:
            chromium.open(f"{served.url}/")
            assert chromium.challenges == 1
            assert chromium.evaluate("document.title") == "ray-import: jobs"
            (row,) = chromium.evaluate(CELLS)
            assert row[:3] == [failed_id, EVIL, "failed"]
            assert row[6] == "conversations: 1,200 seen 1,100 imported, bytes_read: 5,000"
            assert row[9] == f"SourceRefused: The export is gone: {EVIL}"
            assert chromium.evaluate("document.scripts.length + document.images.length") == 0
            assert "1 failed within a day" in chromium.evaluate("document.getElementById('queue').innerText")
            assert chromium.evaluate("getComputedStyle(document.querySelector('tr.failed')).color") == "rgb(170, 0, 0)"

            queued_id = served.submit("ada").json()["job_id"]  # seen without a hand being moved
            chromium.wait_for(lambda: len(chromium.evaluate(CELLS) or []) == 2)
            assert chromium.evaluate(CELLS)[0][:3] == [queued_id, "ada", "queued"]
            assert chromium.evaluate("document.title") == "ray-import: jobs"

            assert {url for url in chromium.requests if url != f"{served.url}/"} <= {"data:,", "about:blank"}

            chromium.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=\"/health\">')")
            chromium.wait_for(lambda: any("Content Security Policy" in text for text in chromium.complaints))
            expected = re.compile("Content Security Policy|401")
            assert [text for text in chromium.complaints if not expected.search(text)] == []
        assert SECRET not in served.log()


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
def test_page_is_not_shown_when_the_browser_has_another_password(tmp_path: Path) -> None:
    with serving("sqlite:///jobs.db", tmp_path) as served, browser(tmp_path, "wrong-wrong-wrong") as chromium:
        chromium.ask("Page.navigate", url=f"{served.url}/")
        chromium.wait_for(lambda: chromium.challenges > 3)
        assert not chromium.evaluate(CELLS)


def test_page_has_no_script_and_a_strict_policy_when_it_is_read(service: Served, jobs: ServiceJobs) -> None:
    job_id = failed(jobs, service, f"{EVIL}2", EVIL)
    answer = service.get("/")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    for name, value in HEADERS.items():
        assert answer.headers[name] == value
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert f'<meta http-equiv="refresh" content="{REFRESH_SECONDS}">' in answer.text
    assert job_id in answer.text
    assert not re.search(r"<script|<img|javascript:|onerror=\"| style=", answer.text)
    assert SECRET not in answer.text


def test_page_shows_a_secret_of_no_source_when_it_is_a_signed_url(service: Served) -> None:
    service.post(user_id="signed", storage_path="https://abc.supabase.co/signed/a.zip?token=t0k3n-of-a-url")
    page = service.get("/").text
    assert "https://abc.supabase.co/signed/a.zip" in page
    assert "t0k3n-of-a-url" not in page
