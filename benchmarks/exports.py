"""The exports that are measured: made when they are wanted, and kept where somebody wants that."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

from ray_import.pipeline.sources import open_sources
from ray_import.settings import ReadLimits
from tests.support.generate import write_export, write_exports, write_zip

DAMAGE_EVERY = 20


@dataclass(frozen=True, slots=True)
class Variant:
    """An import's input: `megabytes` of JSON in all, in so many exports."""

    megabytes: float
    exports: int = 1
    zipped: bool = False
    damaged: bool = False

    @property
    def name(self) -> str:
        """As columns are headed."""
        kind = "ZIP" if self.zipped else "JSON"
        many = f" in {self.exports:,} exports" if self.exports > 1 else ""
        return f"{self.megabytes:g} MB of {kind}{many}{', damaged' if self.damaged else ''}"


def prepare(directory: Path, variant: Variant) -> list[Path]:
    """The paths of such exports in `directory`; what is there already is used again."""
    name = f"export-{variant.megabytes:g}mb"
    if variant.exports > 1:
        return _kept(directory / f"{name}-in-{variant.exports}", lambda path: _write_many(path, variant))
    if variant.zipped:
        return _kept(directory / f"{name}.zip", lambda path: write_zip(path, variant.megabytes))
    good = _kept(directory / f"{name}.json", lambda path: write_export(path, variant.megabytes))
    if not variant.damaged:
        return good
    return _kept(directory / f"{name}-damaged.json", lambda path: write_damaged(good[0], path))


def _kept(path: Path, write: Callable[[Path], object]) -> list[Path]:
    if not path.exists():
        unfinished = path.with_name(path.name + ".part")
        write(unfinished)
        unfinished.replace(path)
    return sorted(path.iterdir()) if path.is_dir() else [path]


def _write_many(path: Path, variant: Variant) -> None:
    path.mkdir(exist_ok=True)
    write_exports(path, variant.exports, variant.megabytes / variant.exports)


def with_nan(raw: bytes) -> bytes:
    """Python's json writes that, and no strict decoder reads it."""
    return raw.replace(b'"create_time":', b'"create_time":NaN,"was":', 1)


def without_quote(raw: bytes) -> bytes:
    """One that is lost about the middle."""
    at = raw.index(b'"', len(raw) // 2)
    return raw[:at] + raw[at + 1 :]


def with_bad_utf8(raw: bytes) -> bytes:
    """A byte that begins no character, in the first key of the mapping."""
    return raw.replace(b'"mapping":{"', b'"mapping":{"\xff', 1)


def write_damaged(good: Path, path: Path) -> None:
    """The same export with every twentieth conversation damaged, in one way after the other."""
    ways = cycle((with_nan, without_quote, with_bad_utf8))
    with path.open("wb") as file:
        for number, raw in enumerate(open_sources([good], ReadLimits()).conversations()):
            data = next(ways)(raw.data) if number % DAMAGE_EVERY == DAMAGE_EVERY - 1 else raw.data
            file.write((b"," if number else b"[") + data)
        file.write(b"]")


@contextmanager
def kept_or_temporary(keep: Path | None) -> Iterator[Path]:
    """The directory to keep exports in, or one that is gone afterwards."""
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="ray-import-benchmark-") as temporary:
            yield Path(temporary)
    else:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep
