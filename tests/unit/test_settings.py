import pickle
from dataclasses import replace

import pytest

from ray_import import settings as module
from ray_import.errors import ConfigError
from ray_import.settings import MIN_CHUNK_TOKENS, ChunkSettings, FlowLimits, ImportSettings, ReadLimits, SourcePace

USUAL = ImportSettings()


@pytest.mark.parametrize(("target", "overlap"), [(50, 0), (50, 25), (2000, 200), (2000, 1000), (10**9, 0)])
def test_chunks_may_be_of_any_sensible_size(target: int, overlap: int) -> None:
    chunks = ChunkSettings(target, overlap)
    assert (chunks.target_tokens, chunks.overlap_tokens) == (target, overlap)


@pytest.mark.parametrize(
    ("target", "overlap", "what"),
    [
        (MIN_CHUNK_TOKENS - 1, 0, "--chunk-tokens 49 is too small: the minimum is 50"),
        (0, 0, "too small"),
        (-2000, 200, "too small"),
        (2000, 1001, "1001 is out of range for chunks of 2000 tokens: 0 to 1000"),
        (2000, -1, "-1 is out of range"),
        (51, 26, "is out of range"),
    ],
)
def test_a_chunk_that_cannot_be_is_refused_with_what_can(target: int, overlap: int, what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        ChunkSettings(target, overlap)


@pytest.mark.parametrize("size", [1, 1024, 32 * 1024 * 1024])
def test_batches_may_be_of_any_size_that_travels(size: int) -> None:
    assert FlowLimits(batch_bytes=size).batch_bytes == size


@pytest.mark.parametrize("size", [0, -1, 32 * 1024 * 1024 + 1])
def test_a_batch_that_cannot_be_is_refused(size: int) -> None:
    with pytest.raises(ConfigError, match=f"{size} is out of range: 1 to 33554432"):
        FlowLimits(batch_bytes=size)


@pytest.mark.parametrize(
    "other",
    [
        replace(USUAL, branches="active"),
        replace(USUAL, chunks=ChunkSettings(target_tokens=1999)),
        replace(USUAL, chunks=ChunkSettings(overlap_tokens=199)),
        replace(USUAL, chunks=ChunkSettings(200, 20)),
    ],
)
def test_settings_that_change_rows_change_their_hash(other: ImportSettings) -> None:
    assert other.rows_hash != USUAL.rows_hash
    assert other.rows_hash == pickle.loads(pickle.dumps(other)).rows_hash


@pytest.mark.parametrize(
    "other",
    [
        replace(USUAL, flow=FlowLimits(batch_bytes=1)),
        replace(USUAL, read=ReadLimits(window_bytes=1)),
        ImportSettings(),
    ],
)
def test_settings_that_change_no_rows_do_not_change_their_hash(other: ImportSettings) -> None:
    assert other.rows_hash == USUAL.rows_hash


def test_sizes_that_run_together_as_text_have_hashes_of_their_own() -> None:
    hashes = {ImportSettings(chunks=ChunkSettings(*pair)).rows_hash for pair in ((1112, 2), (111, 22), (1111, 22))}
    assert len(hashes) == 3


def test_new_rules_change_the_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    before = USUAL.rows_hash
    monkeypatch.setattr(module, "RULES_VERSION", module.RULES_VERSION + ".1")
    assert USUAL.rows_hash != before


@pytest.mark.parametrize(
    ("pace", "what"),
    [
        ({"slow_bytes_per_second": -1}, "--slow-bytes-per-second -1 is too small"),
        ({"slow_after_seconds": 0}, "--slow-after-seconds 0 is not valid"),
        ({"slow_after_seconds": float("nan")}, "--slow-after-seconds nan is not valid"),
        ({"deadline_seconds": -1}, "--source-deadline-seconds -1 is not valid"),
    ],
)
def test_pace_is_refused_when_it_cannot_be(pace: dict[str, float], what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        SourcePace(**pace)  # type: ignore[arg-type]
