"""The objects of the stand-in's Storage: files in a folder, with what is known of them in memory."""

import hashlib
import shutil
import threading
import time
import uuid
from bisect import bisect_left
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from typing import BinaryIO

PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object; another one comes in its place when it is overwritten, with another version and file."""

    bucket: str
    key: str
    file: Path
    size: int
    etag: str
    version: str
    content_type: str
    cache_control: str
    modified: float

    @property
    def last_modified(self) -> str:
        """The time as HTTP writes it."""
        return formatdate(self.modified, usegmt=True)

    def open(self) -> BinaryIO:
        """Its bytes; an open file keeps them when the object is replaced."""
        return self.file.open("rb")


class Objects:
    """Buckets and objects, for tests to fill and for Storage to serve."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._buckets: dict[str, bool] = {}
        self._objects: dict[tuple[str, str], StoredObject] = {}
        self._sorted: dict[str, list[tuple[str, str]]] = {}
        self._lock = threading.RLock()

    def make_bucket(self, bucket: str, *, public: bool = False) -> None:
        """Makes a bucket, or changes whether it is public."""
        with self._lock:
            self._buckets[bucket] = public

    def buckets(self) -> dict[str, bool]:
        """The buckets, and whether they are public."""
        with self._lock:
            return dict(self._buckets)

    def put(
        self,
        bucket: str,
        key: str,
        content: bytes | Path,
        *,
        content_type: str = "application/octet-stream",
        cache_control: str = "max-age=3600",
    ) -> StoredObject:
        """Stores bytes or a copy of a file, in the place of what was there; makes the bucket where there is none."""
        version = str(uuid.uuid4())
        file = self._folder / version
        if isinstance(content, Path):
            shutil.copyfile(content, file)
        else:
            file.write_bytes(content)
        digest = hashlib.md5(usedforsecurity=False)
        with file.open("rb") as read:
            while piece := read.read(PIECE):
                digest.update(piece)
        etag = f'"{digest.hexdigest()}"'
        made = StoredObject(
            bucket, key, file, file.stat().st_size, etag, version, content_type, cache_control, time.time()
        )
        with self._lock:
            self._buckets.setdefault(bucket, False)
            before = self._objects.get((bucket, key))
            self._objects[bucket, key] = made
            if before is None:
                self._sorted.pop(bucket, None)
        if before:
            before.file.unlink()
        return made

    def find(self, bucket: str, key: str) -> StoredObject | None:
        """The object, if there is one."""
        with self._lock:
            return self._objects.get((bucket, key))

    def remove(self, bucket: str, key: str) -> StoredObject | None:
        """Takes it away; None where there was none."""
        with self._lock:
            gone = self._objects.pop((bucket, key), None)
            self._sorted.pop(bucket, None)
        if gone:
            gone.file.unlink()
        return gone

    def of(self, bucket: str) -> list[StoredObject]:
        """All objects of a bucket, by key."""
        with self._lock:
            return sorted((o for o in self._objects.values() if o.bucket == bucket), key=lambda o: o.key)

    def below(self, bucket: str, prefix: str) -> list[StoredObject]:
        """Those whose keys begin with `prefix`, in upper or lower case, in the order of their keys in lower case."""
        with self._lock:
            if bucket not in self._sorted:
                self._sorted[bucket] = sorted((o.key.lower(), o.key) for o in self.of(bucket))
            keys, start = self._sorted[bucket], prefix.lower()
            first = bisect_left(keys, (start, ""))
            last = bisect_left(keys, (start + "\U0010ffff", ""), first)
            return [self._objects[bucket, key] for _, key in keys[first:last]]
