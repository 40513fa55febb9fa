"""How an attempt ends: again, later, or for good."""

import pytest

from ray_import.errors import (
    ClusterError,
    ConfigError,
    ImporterError,
    ImportRunning,
    Interrupted,
    LeaseLost,
    ModelBusy,
    ModelError,
    NotAnExport,
    SinkBusy,
    SinkError,
    SourceUnavailable,
    may_pass,
)
from ray_import.service.work.outcome import (
    LONGEST_DELAY_SECONDS,
    MAX_ATTEMPTS,
    Finish,
    HandBack,
    delay_before,
    outcome_of_error,
    outcome_of_fault,
)

PASSING = (SinkBusy, SourceUnavailable, ModelBusy, LeaseLost, ClusterError, Interrupted)
LASTING = (ConfigError, NotAnExport, SinkError, ModelError)


@pytest.mark.parametrize("kind", PASSING)
def test_error_is_tried_again_when_it_may_pass(kind: type[ImporterError]) -> None:
    outcome = outcome_of_error(kind("It is away."), 1, {})
    assert isinstance(outcome, HandBack)
    assert (outcome.counts_attempt, outcome.error, outcome.error_type) == (True, "It is away.", kind.__name__)
    assert outcome.delay_seconds > 0


@pytest.mark.parametrize("kind", PASSING)
def test_error_is_final_when_no_attempt_is_left(kind: type[ImporterError]) -> None:
    outcome = outcome_of_error(kind("It is away."), MAX_ATTEMPTS, {"percent": 3})
    assert outcome == Finish(end="failed", counts={"percent": 3}, error="It is away.", error_type=kind.__name__)


@pytest.mark.parametrize("kind", LASTING)
def test_error_is_final_when_it_will_not_pass(kind: type[ImporterError]) -> None:
    assert not may_pass(kind("x"))
    outcome = outcome_of_error(kind("It is none."), 1, {})
    assert outcome == Finish(end="failed", counts={}, error="It is none.", error_type=kind.__name__)


@pytest.mark.parametrize("attempts", [1, MAX_ATTEMPTS])
def test_waiting_is_no_attempt_when_another_import_of_the_user_runs(attempts: int) -> None:
    outcome = outcome_of_error(ImportRunning("It runs."), attempts, {})
    assert isinstance(outcome, HandBack)
    assert not outcome.counts_attempt
    assert 0 < outcome.delay_seconds < 60


def test_delays_grow_and_are_random_when_attempts_fail() -> None:
    for attempt in range(2, MAX_ATTEMPTS + 1):
        delays = {delay_before(attempt) for _ in range(50)}
        assert len(delays) > 1
        assert max(delays) <= 2 * min(delays) + 1e-9
        assert max(delays) <= min(delay_before(attempt + 1) for _ in range(50))


@pytest.mark.parametrize(("asked", "least", "most"), [(0.0, 5.0, 10.0), (120.0, 120.0, 120.0), (1e9, 3600.0, 3600.0)])
def test_server_is_left_alone_as_long_as_it_asks_when_that_is_bearable(asked: float, least: float, most: float) -> None:
    error = SourceUnavailable("Later.")
    error.retry_after_seconds = asked
    outcome = outcome_of_error(error, 1, {})
    assert isinstance(outcome, HandBack)
    assert least <= outcome.delay_seconds <= most <= LONGEST_DELAY_SECONDS


def test_text_of_a_fault_is_not_kept_when_it_may_hold_words() -> None:
    outcome = outcome_of_fault(ValueError("xyzzy-words"), {})
    assert isinstance(outcome, Finish)
    assert (outcome.end, outcome.error_type) == ("failed", "ValueError")
    assert "xyzzy-words" not in repr(outcome)
