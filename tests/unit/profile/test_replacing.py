"""The facts of a conversation stay until those that take their place are there: at no moment none, and never both."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ray_import.chunks.rows import ImportJob
from ray_import.destinations.sqlite.sink import SqliteSink
from ray_import.errors import ModelError
from ray_import.profile.model import Prompt, Reply
from ray_import.profile.plan import plan_units
from tests.support.model_api.planted import Planted
from tests.support.profile.chats import JANUARY_2024, chat, fact_of, rows_of, store
from tests.unit.profile.memory_model import answered
from tests.unit.profile.test_facts_step import Bench, truthful, unusable

PLANTED = [fact_of(number) for number in range(42)]
LONG = chat(1, *PLANTED, padding=3_000)
"""Many units: two of them fill a request."""
SHORT = chat(2, fact_of(100))


def in_other_words(prompt: Prompt) -> Reply:
    """What is true, as another model puts it."""
    reply = truthful(prompt)
    facts = json.loads(reply.text or "")["facts"]
    return answered(json.dumps({"facts": [{**fact, "statement": f"Indeed: {fact['statement']}"} for fact in facts]}))


def first(requests: int, answer: Callable[[Prompt], Reply]) -> Callable[[Prompt], Reply]:
    """The key has money for so many requests."""
    asked = []

    def answer_or_end(prompt: Prompt) -> Reply:
        asked.append(prompt)
        if len(asked) > requests:
            raise ModelError("The spend limit is reached.")
        return answer(prompt)

    return answer_or_end


def extracted(sink: SqliteSink, answer: Callable[[Prompt], Reply], run_id: str, model: str) -> Bench:
    """A run, as far as it comes."""
    bench = Bench(sink, answer, run_id, model)
    try:
        bench.extract()
    except ModelError:
        bench.step.plan()
    bench.end()
    return bench


def old(*facts: Planted) -> set[str]:
    return {fact.statement for fact in facts}


def new(*facts: Planted) -> set[str]:
    return {f"Indeed: {fact.statement}" for fact in facts}


@pytest.fixture
def sink(tmp_path: Path) -> SqliteSink:
    made = SqliteSink(tmp_path / "chunks.db", create=True)
    store(made, "ada", [LONG, SHORT])
    assert extracted(made, truthful, "first", "m").statements == old(*PLANTED, fact_of(100))
    assert len(made.units("ada")) > 6
    return made


def shortened(sink: SqliteSink, lines: int) -> None:
    """A newer export has only so many lines of the long conversation."""
    job = ImportJob(f"of {lines}", "ada", JANUARY_2024)
    rows = rows_of(job, replace(LONG, lines=LONG.lines[:lines]))
    sink.start_job(job, "chats", "nobody/0/0")
    sink.write(job, "settings", [replace(rows, update_time=f"2025-01-01T10:00:00.{999 - lines}Z")], [])
    sink.update_job(job.id, {}, "complete")


def statements(sink: SqliteSink) -> set[str]:
    return {fact.statement for fact in sink.facts("ada")}


@pytest.mark.parametrize("requests", [0, 1, 3])
def test_facts_of_the_former_model_stay_when_the_run_stops(sink: SqliteSink, requests: int) -> None:
    stopped = extracted(sink, first(requests, in_other_words), "second", "n")
    assert len(stopped.model.asked) > requests
    assert statements(sink) in (old(*PLANTED, fact_of(100)), old(*PLANTED) | new(fact_of(100)))
    assert stopped.step.without_answer > 0
    last = extracted(sink, in_other_words, "third", "n")
    assert statements(sink) == new(*PLANTED, fact_of(100))
    of_other = {one.id for one in sink.requests("ada") if one.state == "answered" and one.run_id != "first"}
    assert {unit.request_id for unit in sink.units("ada")} == of_other
    assert stopped.report.dropped_units + last.report.dropped_units == stopped.report.new_units + last.report.new_units


def test_both_are_never_there_when_units_are_answered_one_by_one(sink: SqliteSink) -> None:
    bench = Bench(sink, in_other_words, "second", "n")
    seen = set()

    def watched(prompt: Prompt) -> Reply:
        seen.update({frozenset(bench.statements & (old(*PLANTED) | new(*PLANTED)))})
        return in_other_words(prompt)

    bench.model.answer = watched
    bench.extract()
    assert seen == {frozenset(old(*PLANTED))}
    assert bench.statements == new(*PLANTED, fact_of(100))


def test_facts_stay_when_the_next_model_refuses_one_of_the_units(sink: SqliteSink) -> None:
    bench = extracted(
        sink, lambda prompt: unusable("refused") if "thing 9 " in prompt.text else in_other_words(prompt), "second", "n"
    )
    assert statements(sink) == old(*PLANTED) | new(fact_of(100))
    assert bench.step.failed_for_good() > 0
    assert len(extracted(sink, truthful, "third", "m").model.asked) == 1, "about the short one"
    assert statements(sink) == old(*PLANTED, fact_of(100))


def test_facts_of_old_messages_go_when_a_unit_of_the_new_ones_is_refused(sink: SqliteSink) -> None:
    grown = replace(LONG, lines=(*LONG.lines, fact_of(50).quote, "I see.", f"And {fact_of(51).quote}", "Well."))
    store(sink, "ada", [replace(grown, lines=grown.lines[2:]), SHORT])
    extracted(
        sink, lambda prompt: unusable("refused") if "thing 9 " in prompt.text else truthful(prompt), "second", "m"
    )
    left = statements(sink)
    assert fact_of(0).statement not in left
    assert fact_of(9).statement not in left
    assert old(fact_of(50), fact_of(51), fact_of(100)) <= left


def test_facts_of_a_changed_conversation_stay_when_its_new_units_have_no_answer(sink: SqliteSink) -> None:
    changed = replace(LONG, lines=(fact_of(77).quote, *LONG.lines[1:]))
    store(sink, "ada", [changed, SHORT])
    extracted(sink, first(1, truthful), "second", "m")
    assert statements(sink) == old(*PLANTED, fact_of(100))
    extracted(sink, truthful, "third", "m")
    assert statements(sink) == old(fact_of(77), *PLANTED[1:], fact_of(100))


def test_facts_that_wait_are_kept_when_the_conversation_changes_again(sink: SqliteSink) -> None:
    store(
        sink,
        "ada",
        [replace(LONG, lines=(*LONG.lines[:-2], f"{fact_of(77).quote} {'word ' * 12_000}", "I see.")), SHORT],
    )
    extracted(sink, first(1, truthful), "second", "m")
    assert statements(sink) == old(*PLANTED, fact_of(100))
    store(sink, "ada", [replace(LONG, lines=(*LONG.lines[:-2], fact_of(78).quote, "I see.")), SHORT])
    extracted(sink, truthful, "third", "m")
    assert statements(sink) == old(*PLANTED[:-1], fact_of(78), fact_of(100))


def test_facts_that_wait_are_saved_when_what_was_waited_for_is_gone(sink: SqliteSink) -> None:
    extracted(sink, first(3, in_other_words), "second", "n")
    lines = len(LONG.lines)
    while any(ref.conversation_id == LONG.id for ref in plan_units(sink, "ada", "n").to_send):
        lines -= 1
        assert lines > 2
        shortened(sink, lines)
    assert statements(sink) == old(*PLANTED) | new(fact_of(100))
    assert extracted(sink, in_other_words, "third", "n").model.asked == []
    assert statements(sink) == new(*PLANTED[: (lines + 1) // 2], fact_of(100))


def test_facts_go_at_once_when_the_user_says_nothing_any_more(sink: SqliteSink) -> None:
    store(sink, "ada", [replace(LONG, lines=("", "I see."), day=9), SHORT])
    bench = Bench(sink, first(0, truthful), "second")
    assert asyncio.run(bench._extract()) == 0
    assert statements(sink) == old(fact_of(100))


def test_words_are_those_of_the_new_message_when_the_fact_is_the_same(sink: SqliteSink) -> None:
    quoted = [fact.quote for fact in sink.facts("ada") if fact.statement == fact_of(100).statement]
    assert quoted == [fact_of(100).quote]
    store(sink, "ada", [LONG, replace(SHORT, lines=(f"~ {fact_of(100).quote} ~", *SHORT.lines[1:]))])

    def quotes_all(prompt: Prompt) -> Reply:
        text = json.loads(truthful(prompt).text or "")
        return answered(json.dumps({"facts": [{**fact, "quote": f"~ {fact['quote']} ~"} for fact in text["facts"]]}))

    extracted(sink, quotes_all, "second", "m")
    (quote,) = [fact.quote for fact in sink.facts("ada") if fact.statement == fact_of(100).statement]
    assert quote == f"~ {fact_of(100).quote} ~"
