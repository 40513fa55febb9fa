"""Units are sent in packs until each has an answer, is given up, or cannot be cut any smaller."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ray_import.destinations.sqlite.sink import SqliteSink
from ray_import.profile import facts_step
from ray_import.profile.direct_calls import DirectSender
from ray_import.profile.facts_step import FactsStep
from ray_import.profile.model import Prompt, Reply
from ray_import.profile.report import ProfileReport
from ray_import.profile.requests import RequestLog
from tests.support.model_api.numbered import numbered_in
from tests.support.model_api.planted import planted_in
from tests.support.profile.chats import Chat, chat, fact_of, store
from tests.unit.profile.memory_model import USAGE, MemoryModel, answered

CHATS = [chat(number, fact_of(number)) for number in range(40)]


def truthful(prompt: Prompt) -> Reply:
    facts = [
        {"category": fact.category, "subject": fact.subject, "statement": fact.statement, "message": line.number,
         "quote": fact.quote}
        for line in numbered_in(prompt.text)
        if line.role == "user"
        for fact in planted_in(line.text)
    ]  # fmt: skip
    return answered(json.dumps({"facts": facts}))


def unusable(reason: str, stop_reason: str = "max_tokens") -> Reply:
    return Reply(text=None, stop_reason=stop_reason, reason=reason, usage=USAGE)


class Bench:
    """Rounds of one run over a real store."""

    def __init__(
        self, sink: SqliteSink, answer: Callable[[Prompt], Reply], run_id: str = "run", model: str = "m"
    ) -> None:
        assert sink.start_profile("ada", run_id, "here/1/1", "2026-05-01T10:00:00.000Z") is None
        self.sink, self.model = sink, MemoryModel(answer=answer)
        self.report = ProfileReport(user_id="ada", run_id=run_id, model=model)
        self.log = RequestLog(sink, self.report, lambda *_: 0.0)
        self.step = FactsStep(self.log)

    def extract(self) -> int:
        """How many rounds it took."""
        return asyncio.run(self._extract())

    async def _extract(self) -> int:
        sender, rounds = DirectSender(self.log, self.model, 4), 0
        self.step.plan()
        while left := self.step.left:
            await sender.send(self.step, self.step.questions(left))
            self.step.plan()
            rounds += 1
            assert rounds < 50, "It never ends."
        return rounds

    def end(self) -> None:
        self.sink.end_profile("ada", self.report.run_id, "complete", {}, None)

    @property
    def statements(self) -> set[str]:
        return {fact.statement for fact in self.sink.facts("ada")}


@pytest.fixture
def sink(tmp_path: Path) -> SqliteSink:
    made = SqliteSink(tmp_path / "chunks.db", create=True)
    store(made, "ada", CHATS)
    return made


def statements_of(numbers: range) -> set[str]:
    return {fact_of(number).statement for number in numbers}


def test_facts_are_stored_with_their_messages_when_all_is_answered(sink: SqliteSink) -> None:
    bench = Bench(sink, truthful)
    assert bench.extract() == 1
    assert {(fact.statement, fact.node_id) for fact in sink.facts("ada")} == {
        (fact_of(number).statement, f"c-{number:04}-0") for number in range(40)
    }
    assert {unit.state for unit in sink.units("ada")} == {"answered"}
    assert bench.report.new_units == 40
    assert len(bench.model.asked) == 1


def test_nothing_is_sent_when_all_was_answered_before(sink: SqliteSink) -> None:
    first = Bench(sink, truthful)
    first.extract()
    first.end()
    second = Bench(sink, truthful, "second")
    assert second.extract() == 0
    assert second.model.asked == []


def test_only_the_changed_conversation_is_sent_when_an_export_is_newer(sink: SqliteSink) -> None:
    first = Bench(sink, truthful)
    first.extract()
    first.end()
    store(sink, "ada", [*CHATS[:-1], Chat("c-0039", (fact_of(77).quote, "I see."), day=39)])
    second = Bench(sink, truthful, "second")
    second.extract()
    assert second.report.new_units == 1
    assert second.statements == statements_of(range(39)) | {fact_of(77).statement}


@pytest.mark.parametrize("most_facts", [1, 3, 7])
def test_pack_is_halved_until_answers_fit_when_they_are_cut_off(sink: SqliteSink, most_facts: int) -> None:
    def cut_off(prompt: Prompt) -> Reply:
        return truthful(prompt) if prompt.text.count("Let me say it once") <= most_facts else unusable("cut_off")

    bench = Bench(sink, cut_off)
    bench.extract()
    assert bench.statements == statements_of(range(40))
    assert len(bench.model.asked) < 80
    assert {unit.state for unit in sink.units("ada")} == {"answered"}


def test_unit_is_split_by_lines_when_its_own_answer_is_cut_off(sink: SqliteSink) -> None:
    long = chat(500, *(fact_of(number) for number in range(500, 508)))
    store(sink, "ada", [*CHATS, long])

    def cut_off(prompt: Prompt) -> Reply:
        return truthful(prompt) if prompt.text.count("Let me say it once") <= 1 else unusable("cut_off")

    bench = Bench(sink, cut_off)
    bench.extract()
    assert bench.statements == statements_of(range(40)) | statements_of(range(500, 508))
    assert "split" in {unit.state for unit in sink.units("ada")}
    assert bench.step.without_answer == 0


def test_unit_fails_for_good_when_a_single_line_is_cut_off(sink: SqliteSink) -> None:
    def cut_off(prompt: Prompt) -> Reply:
        return unusable("cut_off") if "thing 7 " in prompt.text else truthful(prompt)

    bench = Bench(sink, cut_off)
    bench.extract()
    assert bench.statements == statements_of(range(40)) - {fact_of(7).statement}
    failed = [unit for unit in sink.units("ada") if unit.state == "failed"]
    assert [(unit.conversation_id, unit.reason, unit.attempts) for unit in failed] == [("c-0007", "cut_off", 3)]
    asked = len(bench.model.asked)
    bench.end()
    again = Bench(sink, cut_off, "again")
    again.extract()
    assert again.model.asked == []
    assert asked < 40


@pytest.mark.parametrize("reason", ["unknown_stop", "unknown_block", "not_a_message", "errored"])
def test_units_are_sent_by_three_runs_when_their_answers_cannot_be_used(sink: SqliteSink, reason: str) -> None:
    asked = []
    for run in range(5):
        bench = Bench(sink, lambda _: unusable(reason), f"run-{run}")
        bench.extract()
        asked.append(len(bench.model.asked))
        assert bench.report.failures == ({reason: 1} if run < 3 else {})
        bench.end()
    assert asked == [1, 1, 1, 0, 0]
    assert {(unit.state, unit.reason, unit.attempts) for unit in sink.units("ada")} == {("failed", reason, 3)}


def test_units_are_never_sent_again_when_they_are_refused(sink: SqliteSink) -> None:
    first = Bench(sink, lambda _: unusable("refused", "refusal"))
    first.extract()
    first.end()
    second = Bench(sink, truthful, "second")
    second.extract()
    assert second.model.asked == []


@pytest.mark.parametrize("text", ['{"facts": "likes tea"}', "Here it is: {", '```json\n{"facts": []}\n```', ""])
def test_units_fail_when_the_answer_is_off_the_schema(sink: SqliteSink, text: str) -> None:
    bench = Bench(sink, lambda _: answered(text))
    bench.extract()
    assert bench.report.failures == {"off_schema": 1}
    assert sink.facts("ada") == []


def test_units_are_sent_three_times_when_their_requests_expire(sink: SqliteSink) -> None:
    bench = Bench(sink, lambda _: unusable("expired", ""))
    bench.extract()
    assert len(bench.model.asked) == 3
    assert sink.units("ada") == []
    assert bench.step.without_answer == 40


def test_packs_are_the_same_for_their_answers_when_a_batch_is_read_later(sink: SqliteSink) -> None:
    bench = Bench(sink, truthful)
    bench.step.plan()
    asked = list(bench.step.questions(bench.step.left))
    bench.log.save([one.request for one in asked])
    bench.step.load([one.request for one in asked])
    for one in asked:
        bench.step.settle(one.request, truthful(one.prompt))
    assert bench.statements == statements_of(range(40))


def test_numbers_still_lead_to_their_messages_when_a_conversation_changes_before_its_batch_is_read(
    sink: SqliteSink,
) -> None:
    bench = Bench(sink, truthful)
    bench.step.plan()
    asked = list(bench.step.questions(bench.step.left))
    bench.log.save([one.request for one in asked])
    changed = Chat("c-0005", (fact_of(88).quote, "I see.", "And more.", "Yes."), day=5)
    store(sink, "ada", [changed, *CHATS[:5], *CHATS[6:]])
    later = FactsStep(bench.log)
    later.plan()
    later.load([one.request for one in asked])
    for one in asked:
        later.settle(one.request, truthful(one.prompt))
    assert bench.statements == statements_of(range(40)) - {fact_of(5).statement}
    bench.step = later
    bench.extract()
    assert bench.statements == (statements_of(range(40)) - {fact_of(5).statement}) | {fact_of(88).statement}


def test_slices_hold_whole_conversations_when_there_is_more_than_one_slice(
    sink: SqliteSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(sink, "ada", [chat(number, fact_of(number), fact_of(100 + number), padding=15_000) for number in range(40)])
    monkeypatch.setattr(facts_step, "SLICE_TOKENS", 25_000)
    bench = Bench(sink, truthful)
    bench.step.plan()
    parts = list(facts_step.slices(bench.step.left))
    conversations = [{ref.conversation_id for ref in part} for part in parts]
    assert len(parts) > 10
    assert sum(map(len, conversations)) == 40
    assert max(len(part) for part in parts) > 1
    bench.extract()
    assert bench.statements == statements_of(range(40)) | statements_of(range(100, 140))
