"""Batches that kill workers: their halves, and what becomes of them when their payloads are gone."""

import os
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import ray

from ray_import.chunks.rows import ImportJob
from ray_import.cluster.pool import in_halves, put_payload, rejected
from ray_import.cluster.session import Session
from ray_import.errors import PayloadLost
from ray_import.pipeline.batch import BatchContext
from ray_import.pipeline.scheduler import QueuedBatch
from ray_import.records import Batch, Frame
from ray_import.settings import ImportSettings
from tests.cluster.imports import STARTED_AT, at

pytestmark = pytest.mark.ray

FRAMES = (Frame("conversations.json", 0, 0, 2, ""), Frame("conversations.json", 1, 2, 2, ""))


@pytest.fixture
def queued(session: Session) -> QueuedBatch:
    """Two conversations."""
    work = BatchContext(ImportJob("import", "ada", STARTED_AT), ImportSettings())
    return QueuedBatch(Batch(put_payload(b"{}[]"), 4, FRAMES), work, limit_share=0.5)


@ray.remote(num_cpus=0, max_retries=0)
def dies() -> bytes:
    """What was to be read is an error of Ray's then."""
    os._exit(1)


def test_halves_have_their_own_payloads(queued: QueuedBatch) -> None:
    halves = in_halves(queued)
    assert [bytes(ray.get(half.batch.payload)) for half in halves] == [b"{}", b"[]"]
    assert [(half.size_bytes, half.conversations, half.work) for half in halves] == [(2, 1, queued.work)] * 2
    assert [(half.suspect, half.sent, half.limit_share) for half in halves] == [(True, 1, 1.0)] * 2


def test_what_is_gone_is_neither_halved_nor_rejected_but_an_error_of_ours(queued: QueuedBatch, tmp_path: Path) -> None:
    queued.batch = replace(queued.batch, payload=dies.remote())
    with pytest.raises(PayloadLost):
        in_halves(queued)
    with closing(at(tmp_path / "chunks.db").open()) as sink, pytest.raises(PayloadLost):
        rejected(queued, sink)
