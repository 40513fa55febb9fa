"""What ALERT_WEBHOOK is told of jobs: numbers."""

import re

import pytest

from ray_import.destinations.service_jobs import JobEnd, QueueStats
from ray_import.service.work.alerts import Alerts, EndedJob, Notify, message_of

STATS = QueueStats(queued=3, running=1, oldest_queued_seconds=12.5, workers=2, ended={"failed": 4, "complete": 9})


def test_message_has_a_text_of_numbers_when_a_job_has_failed() -> None:
    ended = EndedJob(job_id="j-1", end="failed", attempts=5, seconds=61.2, error_type="SourceUnavailable")
    message = message_of(ended, STATS)
    assert message["text"] == (
        "ray-import: 1 job failed after 5 attempts (61 s). Queued: 3, running: 1, failed within a day: 4."
    )
    assert (message["event"], message["job_id"], message["error"]) == ("job_failed", "j-1", "SourceUnavailable")


def test_message_is_whole_when_the_queue_could_not_be_asked() -> None:
    message = message_of(EndedJob(job_id="j-1", end="complete", attempts=1, seconds=2.0), None)
    assert message["text"] == "ray-import: 1 job complete after 1 attempt (2 s)."
    assert "error" not in message
    assert re.fullmatch(r"job_\w+", str(message["event"]))


@pytest.mark.parametrize(
    ("notify", "end", "wanted"),
    [
        ("failures", "failed", True),
        ("failures", "partial", False),
        ("failures", "cancelled", False),
        ("always", "complete", True),
        ("always", "cancelled", True),
    ],
)
def test_end_is_told_when_it_is_wanted(notify: Notify, end: JobEnd, wanted: bool) -> None:
    assert Alerts("http://127.0.0.1:1/hook", notify).wants(end) is wanted
    assert not Alerts("", notify).wants(end)


def test_address_of_the_webhook_does_not_show_itself() -> None:
    assert "secret" not in repr(Alerts("https://hooks.example.com/secret"))
