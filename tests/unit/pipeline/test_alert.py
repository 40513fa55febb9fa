"""Messages about runs, posted to a server on this machine."""

import time

import pytest

from ray_import.errors import NotAnExport, SinkBusy, SinkError
from ray_import.pipeline.alerts import alert_of, error_of, post
from tests.unit.pipeline.webhook import PATH, webhook

MESSAGE = alert_of("died", "run-1", "manifest", {"pending": 2, "complete": 1, "failed": 0}, 12.3456, {"error": "X"})


def test_a_message_is_one_json_object() -> None:
    with webhook() as hook:
        post(hook.url, MESSAGE)
        assert hook.messages() == [
            {
                "event": "died",
                "run_id": "run-1",
                "what": "manifest",
                "states": {"complete": 1, "pending": 2},
                "seconds": 12.346,
                "error": "X",
            }
        ]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (SinkError("The password of ana is wrong.", "Look at it.", "28P01"), {"error": "SinkError", "code": "28P01"}),
        (SinkBusy("ana's database is away."), {"error": "SinkBusy"}),
        (NotAnExport("ana.zip holds no conversations."), {"error": "NotAnExport"}),
        (KeyError("ana"), {"error": "KeyError"}),
    ],
)
def test_of_an_error_its_type_and_its_code_are_told_and_no_text(error: Exception, told: dict[str, object]) -> None:
    assert error_of(error) == told


def test_where_there_is_no_webhook_nothing_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    post("", MESSAGE)
    assert capsys.readouterr().err == ""


def test_a_webhook_that_refuses_is_only_told(capsys: pytest.CaptureFixture[str]) -> None:
    with webhook(500) as hook:
        post(hook.url, MESSAGE)
        assert len(hook.messages()) == 1
    assert capsys.readouterr().err == "The alert could not be sent to ALERT_WEBHOOK (HTTPStatusError).\n"


@pytest.mark.parametrize("url", [f"http://127.0.0.1:1{PATH}", "no address", "http://[hook-secret"])
def test_a_webhook_that_is_not_there_is_only_told(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    post(url, MESSAGE)
    told = capsys.readouterr().err
    assert told.startswith("The alert could not be sent to ALERT_WEBHOOK")
    assert "secret" not in told


def test_a_webhook_that_does_not_answer_holds_nobody_up(capsys: pytest.CaptureFixture[str]) -> None:
    with webhook(slow=True) as hook:
        began = time.monotonic()
        post(hook.url, MESSAGE, within_seconds=0.2)
        assert time.monotonic() - began < 5
        assert hook.got.get(timeout=10) == MESSAGE
    assert "could not be sent to ALERT_WEBHOOK" in capsys.readouterr().err
