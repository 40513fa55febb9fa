"""Every peer makes the rows that ray_import makes, each in a process of its own."""

import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks.compare import OURS, PEERS
from benchmarks.exports import Variant, prepare
from benchmarks.measured_peer import PeerRun, digest_of_rows, measure_peer
from benchmarks.peers.byte_ranges import RANGE_BYTES, conversations, ranges
from ray_import.pipeline.sources import open_sources
from ray_import.settings import ReadLimits

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")

ON_RAY = {OURS, "ray_data"}


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    [path] = prepare(tmp_path_factory.mktemp("exports"), Variant(1))
    return path


@pytest.fixture(scope="module")
def of_tight(export: Path) -> PeerRun:
    return measure_peer("tight", export, export.with_name("tight.db"), workers=1)


@pytest.mark.parametrize("peer", sorted(PEERS.keys() - ON_RAY - {"tight"}))
def test_a_peer_makes_equal_rows(peer: str, export: Path, of_tight: PeerRun, tmp_path: Path) -> None:
    run = measure_peer(peer, export, tmp_path / "chunks.db", workers=2)
    assert run.rows == of_tight.rows
    assert 0 < run.seconds < run.whole_seconds
    assert 0 < run.first_chunk_seconds < run.whole_seconds + 1
    assert 0 <= run.cpu_seconds < run.whole_cpu_seconds
    assert 10e6 < run.peak_pss_bytes < 200e6


@pytest.mark.ray
@pytest.mark.parametrize("peer", sorted(ON_RAY))
def test_a_peer_on_ray_makes_equal_rows(peer: str, export: Path, of_tight: PeerRun, tmp_path: Path) -> None:
    if peer == "ray_data" and not (find_spec("pandas") and find_spec("pyarrow")):
        pytest.skip("needs ray[data]")
    assert measure_peer(peer, export, tmp_path / "chunks.db", workers=1).rows == of_tight.rows


def test_a_run_of_nothing_has_other_rows(export: Path, of_tight: PeerRun, tmp_path: Path) -> None:
    nothing = tmp_path / "nothing.json"
    nothing.write_bytes(b"[]")
    with pytest.raises(RuntimeError, match="ended before 'done'"):
        measure_peer("orjson_whole", tmp_path / "missing.json", tmp_path / "missing.db", workers=1)
    run = measure_peer("ijson_stream", nothing, tmp_path / "nothing.db", workers=1)
    assert run.rows == digest_of_rows(tmp_path / "nothing.db") != of_tight.rows


def test_byte_ranges_hold_each_conversation_once(tmp_path: Path) -> None:
    [export] = prepare(tmp_path, Variant(5))
    pieces = ranges(export)
    found = [one.data for piece in pieces for one in conversations(export, piece)]
    assert found == [one.data for one in open_sources([export], ReadLimits()).conversations()]
    assert len(pieces) >= 2
    assert all(end - begin >= RANGE_BYTES for begin, end in pieces[:-1])
