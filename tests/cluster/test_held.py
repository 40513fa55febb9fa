"""Batches that a pool holds, whose payloads are gone."""

import os
from contextlib import closing
from pathlib import Path

import pytest
import ray

from ray_import.chunks.rows import Import
from ray_import.cluster.held import Held, in_halves, rejected
from ray_import.cluster.payloads import put_payload
from ray_import.cluster.session import Session
from ray_import.errors import PayloadLost
from ray_import.importing.dispatch import Load
from ray_import.importing.work import Work
from ray_import.records import Frame
from ray_import.settings import ImportSettings
from tests.cluster.imports import STARTED_AT, at

pytestmark = pytest.mark.ray

FRAMES = (Frame("conversations.json", 0, 0, 2, ""), Frame("conversations.json", 1, 2, 2, ""))


@pytest.fixture
def held(session: Session) -> Held:
    """Two conversations."""
    work = Work(Import("import", "ada", STARTED_AT), ImportSettings())
    return Held(Load(0, 4, 2), put_payload(b"{}[]"), FRAMES, work)


@ray.remote(num_cpus=0, max_retries=0)
def dies() -> bytes:
    """What was to be read is an error of Ray's then."""
    os._exit(1)


def test_halves_have_their_own_payloads(held: Held) -> None:
    assert [bytes(ray.get(payload)) for payload, _ in in_halves(held)] == [b"{}", b"[]"]


def test_what_is_gone_is_neither_halved_nor_rejected_but_an_error_of_ours(held: Held, tmp_path: Path) -> None:
    held.payload = dies.remote()
    with pytest.raises(PayloadLost):
        in_halves(held)
    with closing(at(tmp_path / "chunks.db").open()) as sink, pytest.raises(PayloadLost):
        rejected(held, sink)
