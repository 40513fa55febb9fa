"""Which version of a source this is, without reading it."""

import hashlib
import os
from contextlib import closing
from pathlib import Path

from ray_import.errors import ConfigError
from ray_import.source.address import address_of, label_of
from ray_import.source.http import Client
from ray_import.source.patience import PATIENCE, Patience


def version_of(source: str | os.PathLike[str], patience: Patience = PATIENCE) -> str:
    """Something that is another one when the bytes at `source` are; empty where that cannot be told.

    Of files their sizes and times, of an object its etag and size. Raises ConfigError where there is nothing,
    SourceRefused and its kinds.
    """
    address = address_of(source)
    if not isinstance(address, Path):
        with closing(Client(address, patience)) as client:
            answer = patience.persist(lambda: client.get(0, 1))
            answer.close()
        return f"{answer.version} {answer.size}" if answer.version and answer.size is not None else ""
    try:
        paths = sorted(path for path in address.rglob("*") if path.is_file()) if address.is_dir() else [address]
        told = [(str(path), (stat := path.stat()).st_size, stat.st_mtime_ns) for path in paths]
    except (OSError, ValueError):
        raise ConfigError(f"There is no file or folder {label_of(source)}.") from None
    return hashlib.sha256(repr(told).encode(errors="surrogateescape")).hexdigest()[:32]
