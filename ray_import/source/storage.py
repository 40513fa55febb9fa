"""What lies in a folder of Supabase Storage, however deep: page by page, a few requests at a time."""

import threading
from collections.abc import Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

import msgspec

from ray_import.errors import ConfigError
from ray_import.settings import ReadLimits
from ray_import.source.address import in_project, label_of
from ray_import.source.patience import PATIENCE, RetryPolicy
from ray_import.source.refusals import unavailable

if TYPE_CHECKING:
    from ray_import.source.http import Client

REQUESTS_AT_A_TIME = 8
PAGE_ENTRIES = 1_000
LEAST_PAGE_ENTRIES = 100
"""A page of fewer is the last one, whatever the server makes of what it is asked for."""

LIMITS = ReadLimits()

_SCHEME = "supabase://"
_NO_NAMES = {"", ".", ".."}


@dataclass(frozen=True, slots=True)
class StorageFolder:
    """A bucket, and a folder in it; that is empty for the whole bucket."""

    bucket: str
    folder: str

    def __str__(self) -> str:
        return _SCHEME + "/".join(part for part in (self.bucket, self.folder) if part)

    def source(self, key: str) -> str:
        """The source that an object of the bucket is."""
        return f"{_SCHEME}{self.bucket}/{key}"


@dataclass(frozen=True, slots=True)
class StoredFile:
    """An object of a bucket. `updated_at` is in seconds since 1970, `version` as `version_of` gives it; what the
    listing does not tell is None, or empty."""

    key: str
    updated_at: float | None = None
    size_bytes: int | None = None
    version: str = ""


@dataclass(frozen=True, slots=True)
class _Page:
    folder: str
    offset: int = 0


class _Entry(msgspec.Struct, frozen=True):
    name: str
    id: str | None = None
    updated_at: str | None = None
    created_at: str | None = None
    metadata: dict[str, Any] | None = None


class _Bucket(msgspec.Struct, frozen=True):
    name: str


_Answer = TypeVar("_Answer")


def storage_folder(address: str) -> StorageFolder:
    """What `supabase://BUCKET/FOLDER` names; without a folder, the bucket. Raises ConfigError."""
    bucket, *folders = address.removeprefix(_SCHEME).rstrip("/").split("/")
    if not address.startswith(_SCHEME) or _NO_NAMES & {bucket, *folders} or not address.isprintable():
        raise ConfigError(
            f"{label_of(address)} does not name a folder in a bucket.", "Use the form supabase://BUCKET/FOLDER."
        )
    return StorageFolder(bucket, "/".join(folders))


def files_in(
    place: StorageFolder, patience: RetryPolicy = PATIENCE, limits: ReadLimits = LIMITS
) -> Generator[StoredFile, None, None]:
    """All files of the folder and of those below it, in no order. The deadline is for each next answer.

    A folder that has no name that can be asked for is given as a file whose key ends with a slash. Raises ConfigError
    where there is nothing at all, or no project is set; SourceRefused and its kinds.
    """
    from ray_import.source.http import Client  # noqa: PLC0415 - a tenth of a second that who lists nothing need not wait

    listing = in_project(str(place), place.bucket, f"storage/v1/object/list/{quote(place.bucket, safe='')}")
    stopped = threading.Event()
    waiting, running = [_Page(place.folder)], set[Future[tuple[_Page, list[_Entry]]]]()
    patience = patience.for_source(str(place), limits)
    with closing(Client(listing, replace(patience, sleep=lambda seconds: _nap(stopped, seconds)))) as client:
        pool = ThreadPoolExecutor(REQUESTS_AT_A_TIME, "listing")
        try:
            while waiting or running:
                while waiting and len(running) < REQUESTS_AT_A_TIME:
                    running.add(pool.submit(_asked, client, waiting.pop()))
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for page, entries in (one.result() for one in done):
                    if not entries and page == _Page(place.folder):
                        raise _nothing(place, patience)
                    if patience.waiting is not None:
                        patience.waiting.begin_again()  # the deadline is for the next answer, not for all of them
                    waiting.extend(_more(page, entries))
                    yield from _files(page.folder, entries)
        finally:
            stopped.set()
            pool.shutdown(cancel_futures=True)


def _nap(stopped: threading.Event, seconds: float) -> None:
    """Raises CancelledError where nobody waits for the listing any more."""
    if stopped.wait(seconds):
        raise CancelledError


def _asked(client: "Client", page: _Page) -> tuple[_Page, list[_Entry]]:
    """A page of the listing; what looks like none is asked for again."""
    question = {
        "prefix": page.folder, "limit": PAGE_ENTRIES, "offset": page.offset,
        "sortBy": {"column": "name", "order": "asc"},
    }  # fmt: skip
    return page, _decoded(client, list[_Entry], question)


def _more(page: _Page, entries: list[_Entry]) -> Iterator[_Page]:
    """The next page, where there may be one, then the folders: the last is asked for first, so few wait at a time."""
    if len(entries) >= LEAST_PAGE_ENTRIES:
        yield replace(page, offset=page.offset + len(entries))
    for entry in entries:
        if entry.id is None and entry.name not in _NO_NAMES:
            yield _Page(_below(page.folder, entry.name))


def _files(folder: str, entries: list[_Entry]) -> Iterator[StoredFile]:
    for entry in entries:
        key = _below(folder, entry.name)
        if entry.id is not None:
            metadata = entry.metadata or {}
            size, etag = metadata.get("size"), metadata.get("eTag")
            size = size if isinstance(size, int) else None
            version = f"{etag.removeprefix('W/')} {size}" if isinstance(etag, str) and etag and size is not None else ""
            yield StoredFile(key, _seconds(entry.updated_at or entry.created_at), size, version)
        elif entry.name in _NO_NAMES:
            yield StoredFile(f"{key}/")


def _below(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _seconds(time: str | None) -> float | None:
    try:
        return None if time is None else datetime.fromisoformat(time).timestamp()
    except ValueError:
        return None


def _nothing(place: StorageFolder, patience: RetryPolicy) -> ConfigError:
    """Why a listing is empty: Storage lists a bucket that is not there as one without anything."""
    from ray_import.source.http import Client  # noqa: PLC0415

    with closing(Client(in_project(str(place), place.bucket, "storage/v1/bucket"), patience)) as client:
        buckets = _decoded(client, list[_Bucket])
    if place.bucket not in {bucket.name for bucket in buckets}:
        return ConfigError(
            f"There is no bucket {place.bucket} in the project.",
            "Check its name and SUPABASE_URL, and that SUPABASE_SERVICE_KEY is a secret key.",
        )
    return ConfigError(f"{place} is empty or does not exist.", "Check the folder's name: upper and lower case differ.")


def _decoded(client: "Client", kind: type[_Answer], question: object = None) -> _Answer:
    """An answer of this kind; whatever is of another one is a fault that may pass."""

    def attempt() -> _Answer:
        try:
            return msgspec.json.decode(client.asked(question), type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise unavailable(client.address, "the server's answer is not a listing") from None

    return client.patience.persist(attempt)
