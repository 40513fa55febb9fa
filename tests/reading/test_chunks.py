"""The promises of rules §6 hold for the chunks of random conversations, in chunks of several sizes."""

import uuid

import pytest

from ray_import.chatgpt.extract import extract
from ray_import.chunks.chunker import chunk_conversation
from ray_import.chunks.rows import ImportJob, rows_of
from ray_import.records import Chunk, Conversation
from ray_import.settings import ChunkSettings
from tests.reading.chunks_check import Limits, broken_promises
from tests.reading.generator import conversation

SIZES = (Limits(2000, 200), Limits(300, 40), Limits(300, 0))
CASES = 400
CASES_PER_TEST = 100


def chunks_of(seed: int, limits: Limits) -> tuple[Conversation, list[Chunk]] | None:
    extracted = extract(conversation(seed))
    if not isinstance(extracted, Conversation):
        return None
    return extracted, list(chunk_conversation(extracted, ChunkSettings(**limits._asdict())))


@pytest.mark.parametrize("limits", SIZES)
@pytest.mark.parametrize("first", range(0, CASES, CASES_PER_TEST))
def test_chunk_conversation_keeps_its_promises_when_conversations_are_random(first: int, limits: Limits) -> None:
    found = []
    for seed in range(first, first + CASES_PER_TEST):
        if made := chunks_of(seed, limits):
            extracted, chunks = made
            promises = broken_promises(extracted.title, extracted.messages, chunks, limits)
            found += [f"seed {seed}: {promise}" for promise in promises]
    assert not found, "\n".join(found[:20])


def test_rows_of_gives_the_same_ids_when_a_conversation_comes_again() -> None:
    for seed in range(50):
        ids = []
        for import_id in ("one", "two"):
            made = chunks_of(seed, SIZES[1])
            assert made is not None
            rows = rows_of(made[0], "sha256:0", made[1], ImportJob(import_id, "ada", 1_700_000_000.0))
            ids.append([row.id for row in rows.chunks])
        assert ids[0] == ids[1]
        assert len(set(ids[0])) == len(ids[0])
        assert {uuid.UUID(one).version for one in ids[0]} <= {5}
