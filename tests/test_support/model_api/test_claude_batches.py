"""Batches of our calls of Claude over real HTTP: created once, found, awaited, read, deleted."""

from dataclasses import replace

import pytest

from ray_import.errors import ModelBusy, ModelError, ModelOutcomeUnknown
from ray_import.profile.anthropic_api import Claude
from ray_import.profile.model import Reply
from tests.support.model_api.asking import PROMPT, prompts, results_of, run
from tests.support.model_api.planted import Planted
from tests.support.model_api.server import ModelApi


def test_batch_is_created_awaited_read_and_deleted(api: ModelApi) -> None:
    async def act(claude: Claude) -> None:
        made = await claude.create_batch(prompts(30))
        assert (made.status, made.count) == ("in_progress", 30)
        assert (await claude.batch(made.id)) == replace(made, status="in_progress")
        api.set(hold_batches=False)
        ended = await claude.batch(made.id)
        assert ended == replace(made, status="ended")
        found = await results_of(claude, made.id)
        assert found.keys() == {f"r{at}" for at in range(30)}
        assert all(reply.reason == "" and reply.usage for reply in found.values())
        await claude.cancel_batch(made.id)
        await claude.delete_batch(made.id)
        await claude.delete_batch(made.id)
        await claude.cancel_batch(made.id)
        assert await claude.batch(made.id) is None

    api.set(hold_batches=True)
    run(api, act)
    assert len(api.ledger().paid) == 30


def test_results_are_whole_when_answers_have_odd_line_breaks(api: ModelApi) -> None:
    odd = Planted("work", "sep\u2028arator", "a\x85b\x0bc\x1cd\re")

    async def act(claude: Claude) -> str | None:
        made = await claude.create_batch([replace(PROMPT, text=f"[1] user 2024-05-01: {odd.quote}")])
        assert (await claude.batch(made.id)) is not None
        return (await results_of(claude, made.id))["r0"].text

    assert "sep\u2028arator" in (run(api, act) or "")


def test_results_have_a_reason_each(api: ModelApi) -> None:
    for at, kind in enumerate(("expired", "errored", "canceled", "unknown_type")):
        api.fault(kind, containing=f'"r{at}"')
    api.fault("refuse", containing="2024-05-01: 4")

    async def act(claude: Claude) -> dict[str, Reply]:
        made = await claude.create_batch(prompts(6))
        assert (await claude.batch(made.id)) is not None
        return await results_of(claude, made.id)

    found = run(api, act)
    reasons = [found[f"r{at}"].reason for at in range(6)]
    assert reasons == ["expired", "errored", "canceled", "errored", "refused", ""]


@pytest.mark.parametrize("fault", ["results_cut", "results_bad_line"])
def test_results_end_with_busy_when_they_break_off(api: ModelApi, fault: str) -> None:
    api.fault(fault, lines=3, nth=[1])

    async def act(claude: Claude) -> tuple[int, int]:
        made = await claude.create_batch(prompts(6))
        assert (await claude.batch(made.id)) is not None
        found: list[str] = []

        async def read() -> None:
            async for custom_id, _ in claude.results(made.id):
                found.append(custom_id)

        with pytest.raises(ModelBusy):
            await read()
        return len(found), len(await results_of(claude, made.id))

    assert run(api, act) == (3, 6)


@pytest.mark.parametrize("fault", [("drop_after", {}), ("stall_after", {}), ("status", {"status": 504}), ("html", {})])
def test_outcome_of_a_batch_is_unknown_when_the_answer_is_lost(
    api: ModelApi, fault: tuple[str, dict[str, int]]
) -> None:
    kind, how = fault
    api.fault(kind, path="/batches$", method="POST", **how)
    with pytest.raises(ModelOutcomeUnknown):
        run(api, lambda claude: claude.create_batch(prompts(2)), timeout_seconds=0.5)
    assert len(api.batches()) == (1 if kind.endswith("after") else 0)
    assert api.ledger().count("/batches", "POST") == 1


@pytest.mark.parametrize("status", [429, 529])
def test_batch_may_be_sent_again_when_the_api_says_that_it_is_busy(api: ModelApi, status: int) -> None:
    api.fault("status", status=status)
    with pytest.raises(ModelBusy):
        run(api, lambda claude: claude.create_batch(prompts(2)))


def test_lost_batch_is_found_among_many(api: ModelApi) -> None:
    async def act(claude: Claude) -> None:
        before = [await claude.create_batch(prompts(1)) for _ in range(3)]
        since = before[-1].created_at
        later = [await claude.create_batch(prompts(2)) for _ in range(120)]
        found = await claude.batches_since(since)
        assert [batch.id for batch in found] == [before[-1].id, *(batch.id for batch in later)]
        assert {batch.count for batch in found[1:]} == {2}

    api.set(hold_batches=True)
    run(api, act)
    assert api.ledger().count("/batches", "GET") == 2


@pytest.mark.parametrize("fault", ["html", "half_json", "empty", "foreign_404"])
def test_batch_is_not_taken_for_gone_when_somebody_else_answers(api: ModelApi, fault: str) -> None:
    async def act(claude: Claude) -> None:
        made = await claude.create_batch(prompts(1))
        api.fault(fault)
        with pytest.raises(ModelError):
            await claude.batch(made.id)
        with pytest.raises(ModelError):
            await claude.batches_since(made.created_at)

    run(api, act)


def test_canceled_batch_ends_without_being_paid(api: ModelApi) -> None:
    async def act(claude: Claude) -> set[str]:
        made = await claude.create_batch(prompts(3))
        await claude.cancel_batch(made.id)
        states = [await claude.batch(made.id) for _ in range(2)]
        assert [batch.status for batch in states if batch] == ["canceling", "ended"]
        return {reply.reason for reply in (await results_of(claude, made.id)).values()}

    api.set(hold_batches=True)
    assert run(api, act) == {"canceled"}
    assert not api.ledger().paid
