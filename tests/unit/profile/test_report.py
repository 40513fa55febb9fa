"""What a run's report counts, and how it ends."""

from ray_import.destinations.profiles import RequestState, StoredRequest
from ray_import.errors import ConfigError, ModelError
from ray_import.profile.report import ProfileReport


def report() -> ProfileReport:
    return ProfileReport(user_id="ada", run_id="r", model="m")


def request(state: RequestState, reason: str = "", **more: int) -> StoredRequest:
    return StoredRequest(
        id="p-1", run_id="r", kind="facts", model="m", state=state, reason=reason, usd=0.5, rejected=more,
        input_tokens=100, output_tokens=10,
    )  # fmt: skip


def test_report_counts_tokens_by_step_and_rejections_by_reason_when_requests_end() -> None:
    counted = report()
    counted.add(request("answered", quote_not_found=2))
    counted.add(request("failed", "refused"))
    counted.add(request("answered", quote_not_found=1))
    assert counted.spent["facts"].as_dict() == {"requests": 3, "input_tokens": 300, "output_tokens": 30, "usd": 1.5}
    assert counted.as_dict()["requests"] == 3
    assert counted.failures == {"refused": 1}
    assert counted.rejected == {"quote_not_found": 3}


def test_report_counts_no_request_when_it_was_never_sent() -> None:
    counted = report()
    counted.add(request("failed", "max_cost"))
    counted.add(request("failed", "not_sent"))
    assert counted.total.requests == 0
    assert counted.failures == {"max_cost": 1, "not_sent": 1}


def test_report_is_partial_when_units_have_no_answer_or_something_lacks() -> None:
    assert (report().status, report().exit_code) == ("complete", 0)
    missing = report()
    missing.not_extracted = 1
    assert (missing.status, missing.exit_code) == ("partial", 1)
    stopped = report()
    stopped.lacks("max_cost")
    stopped.lacks("max_cost")
    assert (stopped.status, stopped.lacking) == ("partial", ["max_cost"])


def test_report_ends_with_the_code_of_its_error_when_the_run_failed() -> None:
    failed = report()
    failed.error = ModelError("The key was refused.", "Set another one.")
    assert (failed.status, failed.exit_code) == ("failed", 3)
    assert failed.as_dict()["error"] == "The key was refused.\nSet another one."
    failed.error = ConfigError("no")
    assert failed.exit_code == 2
