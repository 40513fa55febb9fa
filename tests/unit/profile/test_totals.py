"""The progress of many users is added up, also where a worker was lost."""

from collections import Counter

from ray_import.errors import ModelError
from ray_import.profile.progress import ProfileProgress, Totals
from ray_import.profile.report import ProfileReport


def told(user_id: str, requests: int, **failures: int) -> ProfileProgress:
    return ProfileProgress(
        user_id=user_id, step="facts", requests=requests, expected_requests=10, input_tokens=100 * requests,
        output_tokens=10 * requests, usd=0.5 * requests, seconds=1.0, failures=failures, rejected={"empty": requests},
    )  # fmt: skip


def report(user_id: str, requests: int, error: ModelError | None = None) -> ProfileReport:
    made = ProfileReport(user_id=user_id, run_id="r", model="m", error=error)
    spent = made.spent["facts"]
    spent.requests, spent.input_tokens, spent.usd = requests, 100 * requests, 0.5 * requests
    made.rejected["empty"] = requests
    made.unknown_outcome = 1
    return made


def test_totals_hold_what_is_at_work_what_has_ended_and_what_was_lost() -> None:
    totals = Totals(4)
    for user_id in ("a", "b", "c"):
        totals.begin(user_id)
    totals.show(told("a", 2, cut_off=1))
    totals.show(told("a", 3, cut_off=1))
    totals.show(told("b", 4))
    totals.lose("b")
    totals.end(report("c", 5, ModelError("no")))
    now = totals.now()
    assert now.states == Counter(pending=2, running=1, failed=1)
    assert now.ended == 1
    assert (now.requests, now.input_tokens, now.usd) == (12, 1200, 6.0)
    assert now.failures == Counter(cut_off=1, unknown_outcome=1)
    assert now.rejected == Counter(empty=12)
    assert now.expected_requests == 19 * 2
    totals.begin("b")
    totals.show(told("b", 1))
    assert totals.now().requests == 13
    assert totals.now().as_one().user_id == "1 of 4 users"


def test_progress_does_not_count_when_it_comes_after_the_end() -> None:
    totals = Totals(1)
    totals.begin("a")
    totals.end(report("a", 5))
    totals.show(told("a", 4))
    assert totals.now().requests == 5
    assert totals.now().states == Counter(complete=1)
