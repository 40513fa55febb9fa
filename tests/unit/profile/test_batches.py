"""Batches are sent once, also where an answer is lost, and each of their results is settled once."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from ray_import.destinations.profiles import RequestKind, StoredRequest
from ray_import.destinations.sqlite.sink import SqliteSink
from ray_import.errors import CostReached, ModelError
from ray_import.profile import batches, direct_calls
from ray_import.profile.batches import BatchSender
from ray_import.profile.cost import CostLimit, worst_cost_usd
from ray_import.profile.model import Prompt, Reply
from ray_import.profile.report import ProfileReport
from ray_import.profile.requests import Question, RequestLog
from ray_import.profile.run import end_direct_calls, left_behind, read_batches
from ray_import.profile.settings import ProfileSettings
from ray_import.retry import Backoff
from tests.unit.profile.memory_model import MemoryModel, prompt

SOON = Backoff(first_seconds=0.01, longest_seconds=0.01, longest_asked_seconds=0.01)

SETTINGS = ProfileSettings(in_batches=True, poll_seconds=0.0, lost_batch_seconds=0.0)


class Step:
    """Remembers what it is given."""

    kind: RequestKind = "merge"

    def __init__(self, log: RequestLog) -> None:
        self.log = log
        self.settled: list[str] = []
        self.given_up: list[str] = []

    def load(self, requests: Sequence[StoredRequest]) -> None:
        pass

    def settle(self, request: StoredRequest, reply: Reply) -> None:
        self.settled.append(request.id)
        if reply.reason:
            self.log.failed(request, reply.reason, reply)
        else:
            self.log.answered(request, reply)

    def give_up(self, request: StoredRequest) -> None:
        self.given_up.append(request.id)


class Bench:
    """A sender over a real store, and how to begin a run."""

    def __init__(
        self, store: SqliteSink, model: MemoryModel, max_cost_usd: float | None = None, run_id: str = "run"
    ) -> None:
        assert store.start_profile("ada", run_id, "here/1/1", "2026-05-01T10:00:00.000Z") is None
        self.store, self.model = store, model
        self.report = ProfileReport(user_id="ada", run_id=run_id, model="m")
        self.log = RequestLog(store, self.report, lambda *_: 0.25)
        self.step = Step(self.log)
        self.sender = BatchSender(self.log, model, CostLimit(max_cost_usd), SETTINGS)

    def questions(self, count: int) -> list[Question]:
        requests = [self.log.new("merge") for _ in range(count)]
        return [Question(request, prompt(request.id)) for request in requests]

    def send(self, count: int) -> None:
        asyncio.run(self.sender.send(self.step, iter(self.questions(count))))

    def states(self) -> list[str]:
        return sorted(request.reason or request.state for request in self.store.requests("ada"))


@pytest.fixture
def store(tmp_path: Path) -> SqliteSink:
    return SqliteSink(tmp_path / "chunks.db", create=True)


@pytest.fixture(autouse=True)
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(direct_calls, "BACKOFF", SOON)
    monkeypatch.setattr(batches, "BATCH_REQUESTS", 3)


def test_batches_are_settled_each_request_once_when_results_break_off(store: SqliteSink) -> None:
    bench = Bench(store, MemoryModel(cut_results=2, looks=3, busy=2))
    bench.send(7)
    assert sorted(map(len, bench.model.batches.values())) == [1, 3, 3]
    assert bench.states() == ["answered"] * 7
    assert len(set(bench.step.settled)) == len(bench.step.settled) == 7
    assert bench.report.total.usd == 7 * 0.25
    assert {request.batch_id for request in store.requests("ada")} == set(bench.model.batches)


def test_batch_is_found_and_not_sent_again_when_the_answer_is_lost(store: SqliteSink) -> None:
    bench = Bench(store, MemoryModel(lose_answers=1, looks=4))
    bench.model.batches["of another"] = [prompt("p-x"), prompt("p-y"), prompt("p-z")]
    bench.send(3)
    assert len(bench.model.batches) == 2
    assert bench.states() == ["answered"] * 3


def test_batch_counts_as_not_sent_when_it_is_nowhere(store: SqliteSink) -> None:
    bench = Bench(store, MemoryModel(lose_requests=1))
    bench.model.batches["of another"] = [prompt("p-x"), prompt("p-y")]
    bench.send(2)
    assert bench.states() == ["not_sent"] * 2
    assert len(bench.step.given_up) == 2
    assert bench.report.total.requests == 0


def test_request_fails_alone_when_its_result_is_missing(store: SqliteSink) -> None:
    bench = Bench(store, MemoryModel())
    questions = bench.questions(3)
    bench.model.leave_out = {questions[1].request.id}
    asyncio.run(bench.sender.send(bench.step, iter(questions)))
    assert bench.states() == ["answered", "answered", "no_result"]
    assert bench.step.given_up == [questions[1].request.id]


def test_batches_stop_when_the_next_could_pass_the_cost_limit(store: SqliteSink) -> None:
    bench = Bench(store, MemoryModel(), 0.005)
    with pytest.raises(CostReached):
        bench.send(7)
    assert bench.states() == ["answered"] * 3


def test_batches_that_were_sent_are_read_when_the_next_is_refused(
    store: SqliteSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(store, MemoryModel())
    create = bench.model.create_batch

    async def refused_later(prompts: Sequence[Prompt]) -> object:
        if bench.model.batches:
            raise ModelError("The key was refused.")
        return await create(prompts)

    monkeypatch.setattr(bench.model, "create_batch", refused_later)
    with pytest.raises(ModelError):
        bench.send(6)
    assert bench.states() == ["answered"] * 3 + ["model_refused"] * 3


def dead_run(store: SqliteSink, model: MemoryModel, saved: Sequence[str]) -> Bench:
    """The next run after one that was killed when it had sent a batch; what was `saved` of it says how far it was."""
    before = Bench(store, model, run_id="before")
    questions = before.questions(3)
    requests = [replace(one.request, group_id="g") for one in questions]
    if "batch" in saved:
        asyncio.run(model.create_batch([one.prompt for one in questions]))
    if "batch_id" in saved:
        requests = [replace(one, state="in_batch", batch_id="batch-1") for one in requests]
    if "batch_id of one" in saved:
        requests[0] = replace(requests[0], state="in_batch", batch_id="batch-1")
    before.log.save(requests)
    store.release_profiles("here/1/1")
    return Bench(store, model, run_id="after")


def resumed(bench: Bench) -> None:
    batched = end_direct_calls(bench.log, left_behind(bench.log))
    asyncio.run(read_batches(bench.log, batched, bench.sender, {"merge": bench.step}))


@pytest.mark.parametrize("saved", [["batch"], ["batch", "batch_id"], ["batch", "batch_id of one"]])
def test_batch_of_a_dead_run_is_read_and_not_sent_again_when_the_next_run_begins(
    store: SqliteSink, saved: list[str]
) -> None:
    bench = dead_run(store, MemoryModel(looks=3), saved)
    resumed(bench)
    assert bench.states() == ["answered"] * 3
    assert len(bench.model.batches) == 1
    assert bench.report.resumed_batches == 1


def test_requests_of_a_dead_run_end_as_not_sent_when_no_batch_has_them(store: SqliteSink) -> None:
    bench = dead_run(store, MemoryModel(), [])
    resumed(bench)
    assert bench.states() == ["not_sent"] * 3


def test_requests_of_a_dead_run_fail_when_their_batch_is_gone(store: SqliteSink) -> None:
    model = MemoryModel()
    bench = dead_run(store, model, ["batch", "batch_id"])
    model.batches.clear()
    resumed(bench)
    assert bench.states() == ["batch_gone"] * 3


def test_direct_calls_of_a_dead_run_have_an_unknown_outcome_when_the_next_run_begins(store: SqliteSink) -> None:
    before = Bench(store, MemoryModel(), run_id="before")
    before.log.save([before.log.new("facts", unit_ids=["u"])])
    store.release_profiles("here/1/1")
    after = Bench(store, MemoryModel(), run_id="after")
    resumed(after)
    assert after.states() == ["unknown_outcome"]
    assert after.report.unknown_outcome == 1


def test_batch_is_halved_down_to_the_request_to_blame_when_the_api_refuses_it(
    store: SqliteSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "BATCH_REQUESTS", 20)
    bench = Bench(store, MemoryModel())
    questions = bench.questions(40)
    wrong = {questions[number].request.id for number in (0, 7, 8, 31)}
    bench.model.bad = wrong.__contains__
    asyncio.run(bench.sender.send(bench.step, iter(questions)))
    assert sorted(bench.step.settled) == sorted(question.request.id for question in questions)
    assert Counter(bench.states()) == {"answered": 36, "errored": 4}
    assert sum(map(len, bench.model.batches.values())) == 36
    assert bench.report.failures == {"errored": 4}


def test_run_ends_when_the_api_refuses_every_request_of_a_batch(
    store: SqliteSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "BATCH_REQUESTS", 20)
    bench = Bench(store, MemoryModel(bad=lambda _: True))
    with pytest.raises(ModelError, match="5 requests in succession"):
        bench.send(30)
    assert Counter(bench.states()) == {"errored": 5, "model_refused": 15}
    assert len(bench.step.given_up) == 15


def test_cost_of_a_refused_batch_is_free_again_when_its_halves_are_sent(store: SqliteSink) -> None:
    worst = 3 * worst_cost_usd(prompt("x"), batch=True)
    bench = Bench(store, MemoryModel(), max_cost_usd=worst * 1.01)
    questions = bench.questions(3)
    bench.model.bad = {questions[1].request.id}.__contains__
    asyncio.run(bench.sender.send(bench.step, iter(questions)))
    assert Counter(bench.states()) == {"answered": 2, "errored": 1}
