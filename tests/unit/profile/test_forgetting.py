"""Batches at the API are found, canceled and deleted when a profile is forgotten."""

import asyncio
from pathlib import Path

import pytest

from ray_import.destinations.profiles import StoredRequest
from ray_import.destinations.sqlite.sink import SqliteSink
from ray_import.profile import forgetting
from ray_import.profile.forgetting import batches_of, delete_batches, find_batches
from tests.unit.profile.memory_model import MemoryModel, prompt

LONG_AGO = "2026-05-01T10:00:00.000Z"


@pytest.fixture
def store(tmp_path: Path) -> SqliteSink:
    made = SqliteSink(tmp_path / "chunks.db", create=True)
    assert made.start_profile("ada", "run", "here/1/1", LONG_AGO) is None
    return made


def request(name: str, group_id: str = "", batch_id: str = "") -> StoredRequest:
    return StoredRequest(
        id=name, run_id="run", kind="facts", model="m", state="in_batch" if batch_id else "sending",
        group_id=group_id, batch_id=batch_id, created_at=LONG_AGO,
    )  # fmt: skip


def model_with(*names: str) -> MemoryModel:
    model = MemoryModel()
    asyncio.run(model.create_batch([prompt("p-other")]))
    asyncio.run(model.create_batch([prompt(name) for name in names]))
    return model


def test_batches_are_those_of_the_rows_and_the_lost_ones_when_a_user_has_both(store: SqliteSink) -> None:
    store.save_requests("ada", [request("p-1", "g", "b-1"), request("p-2", "g", "b-1"), request("p-3", "lost")])
    store.save_requests("ada", [request("p-4")])
    known, lost = batches_of(store, "ada")
    assert known == ["b-1"]
    assert [[one.id for one in group] for group in lost] == [["p-3"]]


def test_batch_is_not_lost_when_its_id_was_stored_for_a_part_of_its_requests(store: SqliteSink) -> None:
    store.save_requests("ada", [request("p-1", "g", "b-1"), request("p-2", "g")])
    assert batches_of(store, "ada") == (["b-1"], [])


def test_lost_batch_is_found_by_its_custom_ids_when_it_was_created() -> None:
    model = model_with("p-3")
    found, unknown = asyncio.run(find_batches(model, [[request("p-3", "lost")]], poll_seconds=0.0))
    assert (found, unknown) == (["batch-2"], [])


def test_lost_batch_is_nothing_when_it_was_never_created() -> None:
    model = model_with("p-5", "p-6")
    assert asyncio.run(find_batches(model, [[request("p-3", "lost")]], poll_seconds=0.0)) == ([], [])


def test_lost_batch_is_told_when_it_does_not_end_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forgetting, "CANCEL_SECONDS", 0.0)
    model = model_with("p-3")
    model.looks = 1_000
    found, unknown = asyncio.run(find_batches(model, [[request("p-3", "lost")]], poll_seconds=0.0))
    assert found == []
    assert len(unknown) == 1


def test_batches_are_canceled_and_deleted_once_they_have_ended() -> None:
    model = model_with("p-3")
    model.looks = 3
    assert asyncio.run(delete_batches(model, ["batch-2", "gone"], poll_seconds=0.0)) == []
    assert model.canceled == ["batch-2", "gone"]
    assert model.deleted == ["batch-2"]
    assert list(model.batches) == ["batch-1"]


def test_batch_is_left_when_it_does_not_end_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forgetting, "CANCEL_SECONDS", 0.0)
    model = model_with("p-3")
    model.looks = 1_000
    assert asyncio.run(delete_batches(model, ["batch-2"], poll_seconds=0.0)) == ["batch-2"]
