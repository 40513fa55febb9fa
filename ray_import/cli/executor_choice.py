"""From the options, the environment and the sizes of sources to the executor of an import."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ray_import.cluster.environment import available_cpus, inside_job, joins_cluster
from ray_import.inline.estimate import Asked, Choice, Packing, Situation, executor_for

TYPICAL_PACKING = 5
"""Bytes of JSON in a byte of a gzip: of those that hide it."""


def chosen(asked: Asked, workers: int | None, size_bytes: int | None, packing: Packing, users: int = 1) -> Choice:
    """The executor of an import. Raises ConfigError if the options exclude each other."""
    situation = Situation(asked, size_bytes, packing, available_cpus(), workers, users, joins_cluster(), inside_job())
    return executor_for(situation)


def size_and_packing(named: Sequence[str], json_bytes: int | None) -> tuple[int | None, Packing]:
    """The bytes of JSON that are to be read, and how they are packed, by the sizes of the files that are named.

    `json_bytes` is what the sources tell; None where a gzip hides it.
    """
    stored = _bytes_of_files(named)
    if json_bytes is None:
        return (None if stored is None else TYPICAL_PACKING * stored), "unknown"
    return json_bytes, "plain" if stored is not None and stored >= json_bytes else "zip"


def _bytes_of_files(named: Sequence[str]) -> int | None:
    """None where one is no file or folder of this machine, or holds nothing."""
    stored = 0
    with suppress(OSError, ValueError):
        for path in map(Path, named):
            files = path.rglob("*") if path.is_dir() else [path]
            stored += sum(file.stat().st_size for file in files)
        return stored or None
    return None
