from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from benchmarks.exports import Variant, prepare, with_bad_utf8, with_nan, without_quote
from ray_import.pipeline.inspection import inspect_sources
from ray_import.pipeline.sources import open_sources
from ray_import.settings import ImportSettings

SETTINGS = ImportSettings()


def test_many_exports_are_of_one_size_and_share_no_conversation(tmp_path: Path) -> None:
    exports = prepare(tmp_path, Variant(1, exports=10))
    values = [conversation for path in exports for conversation in orjson.loads(path.read_bytes())]
    assert len(exports) == 10
    assert all(90_000 < path.stat().st_size < 200_000 for path in exports)
    assert len({value["conversation_id"] for value in values}) == len(values)


def test_what_is_there_is_used_again(tmp_path: Path) -> None:
    for variant in (Variant(0.1), Variant(0.1, zipped=True), Variant(0.1, exports=2), Variant(0.1, damaged=True)):
        before = [path.stat().st_mtime_ns for path in prepare(tmp_path, variant)]
        assert [path.stat().st_mtime_ns for path in prepare(tmp_path, variant)] == before


@pytest.mark.parametrize("damage", [with_nan, without_quote, with_bad_utf8])
def test_damage_makes_a_conversation_unreadable(damage: Callable[[bytes], bytes], tmp_path: Path) -> None:
    raw = next(open_sources(prepare(tmp_path, Variant(0.1)), SETTINGS.read).conversations()).data
    orjson.loads(raw)
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(damage(raw))


def test_every_twentieth_conversation_is_damaged_and_no_other(tmp_path: Path) -> None:
    good = inspect_sources(open_sources(prepare(tmp_path, Variant(5)), SETTINGS.read), SETTINGS)
    damaged = inspect_sources(open_sources(prepare(tmp_path, Variant(5, damaged=True)), SETTINGS.read), SETTINGS)
    assert damaged.seen == good.seen
    assert (good.rejected, damaged.rejected) == (0, good.seen // 20)
    assert damaged.rejected >= 3
