"""A profile stays whole while another model, or a newer export, makes it anew, wherever that stops."""

from dataclasses import replace

import pytest

from ray_import.errors import ModelError
from tests.support.profile.bench import Profiled
from tests.support.profile.chats import chat, fact_of

CHATS = [chat(number, fact_of(number), padding=2_000) for number in range(60)]
SAID = {(fact_of(number).statement, f"c-{number:04}-0") for number in range(60)}
OTHER = "claude-haiku-4-5"


@pytest.mark.parametrize("in_batches", [False, True], ids=["now", "batch"])
def test_profile_stays_whole_when_the_cost_limit_stops_another_model(profiled: Profiled, in_batches: bool) -> None:
    profiled.imported(CHATS)
    profiled.run()
    before, version = profiled.facts(), profiled.versions()[0]
    nothing = profiled.run(model=OTHER, in_batches=in_batches, max_cost_usd=0.0001)
    assert (nothing.lacking, nothing.not_extracted, nothing.total.requests) == (["max_cost"], 60, 0)
    assert profiled.facts() == before
    assert profiled.versions()[0] == version
    some = profiled.run(model=OTHER, in_flight=1, max_cost_usd=0.08)
    assert (some.status, some.lacking) == ("partial", ["max_cost"])
    assert 0 < some.new_units == some.dropped_units < 60
    assert some.not_extracted == 60 - some.new_units
    assert profiled.said() == SAID
    assert {fact.status for fact in profiled.facts()} == {"active"}
    last = profiled.run(model=OTHER, in_batches=in_batches)
    assert (last.status, last.new_units) == ("complete", 60 - some.new_units)
    assert len(profiled.facts()) == len(SAID)
    assert len(profiled.units()) == 60
    assert profiled.versions()[0].model == OTHER


def test_profile_stays_whole_when_a_spend_limit_stops_a_newer_export(profiled: Profiled) -> None:
    same = replace(fact_of(3), subject="thing 58", value="value 58", category=fact_of(58).category)
    profiled.imported([*CHATS[:59], chat(70, same)])
    profiled.run()
    assert [fact.status for fact in profiled.facts() if fact.statement == same.statement] == ["active", "duplicate"]
    profiled.imported([*CHATS[:58], chat(58, fact_of(158))])
    profiled.api.fault("spend_limit", nth=[1])
    stopped = profiled.run()
    assert isinstance(stopped.error, ModelError)
    assert (stopped.not_extracted, stopped.version) == (1, profiled.versions()[0].id)
    assert (fact_of(58).statement, "c-0058-0") in profiled.said()
    profiled.api.fault("spend_limit", nth=[2])
    merged = profiled.run()
    assert merged.status == "failed"
    assert [fact.status for fact in profiled.facts() if fact.statement == same.statement] == ["active"]


def test_estimate_counts_what_was_answered_by_this_model_when_there_are_facts_of_another(profiled: Profiled) -> None:
    profiled.imported(CHATS[:5])
    profiled.run()
    estimate = profiled.estimate(model=OTHER)
    assert (estimate.units, estimate.answered) == (5, 0)
    assert profiled.estimate().answered == 5
