"""Which version of a source this is, without reading it."""

import hashlib
import os
from contextlib import closing
from pathlib import Path

from ray_import.errors import ConfigError, SourceNotAllowed
from ray_import.settings import SourceRules
from ray_import.source.address import ANY_SOURCE, address_of, label_of
from ray_import.source.files import permitted
from ray_import.source.patience import PATIENCE, RetryPolicy


def version_of(
    source: str | os.PathLike[str], patience: RetryPolicy = PATIENCE, rules: SourceRules = ANY_SOURCE
) -> str:
    """Something that is another one when the bytes at `source` are; empty where that cannot be told.

    Of files their sizes and times, of an object its etag and size. Raises ConfigError where there is nothing,
    SourceRefused and its kinds, SourceNotAllowed where `rules` forbid it.
    """
    address = address_of(source, rules)
    if not isinstance(address, Path):
        from ray_import.source.http import Client  # noqa: PLC0415 - a tenth of a second that a path need not wait

        with closing(Client(address, patience)) as client:
            answer = patience.persist(lambda: client.get(0, 1))
            answer.close()
        return f"{answer.version} {answer.size}" if answer.version and answer.size is not None else ""
    return version_and_size(address, rules)[0]


def version_and_size(path: Path, rules: SourceRules = ANY_SOURCE) -> tuple[str, int]:
    """The version of a file or folder as `version_of` gives it, and its bytes. Raises ConfigError where it is none,
    SourceNotAllowed where `rules` forbid it."""
    permitted(path, rules)
    return _of_files(path, label_of(path))


def changed_at(path: Path, rules: SourceRules = ANY_SOURCE) -> float | None:
    """When the file, or the newest of the folder, was written, in seconds since 1970; None where there is none, or
    `rules` forbid it."""
    try:
        permitted(path, rules)
        return max((changed_ns / 1e9 for _, _, changed_ns in _files(path)), default=None)
    except (OSError, ValueError, ConfigError, SourceNotAllowed):
        return None


def _files(path: Path) -> list[tuple[str, int, int]]:
    paths = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    return [(str(file), (stat := file.stat()).st_size, stat.st_mtime_ns) for file in paths]


def _of_files(path: Path, label: str) -> tuple[str, int]:
    try:
        told = _files(path)
    except (OSError, ValueError):
        raise ConfigError(f"There is no file or folder {label}.") from None
    version = hashlib.sha256(repr(told).encode(errors="surrogateescape")).hexdigest()[:32]
    return version, sum(size for _, size, _ in told)
