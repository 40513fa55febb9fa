"""Looks for the members with conversations in whatever it is given, however deep they are packed."""

import errno
import os
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from ray_import.errors import (
    NotAnExport,
    ResourcesExhausted,
    SourceError,
    SourceRefused,
    UnsafeArchive,
    UnsafeSource,
)
from ray_import.records import Problem
from ray_import.source import manifest
from ray_import.source.archives import Entry, entries_of_folder, entries_of_tar, entries_of_zip, most_unpacked
from ray_import.source.budget import Budget
from ray_import.source.copies import Copy
from ray_import.source.export import Member
from ray_import.source.names import MANIFEST, base_name, is_archive, is_conversations, product_of, shown
from ray_import.source.reasons import in_words
from ray_import.source.salvage import salvaged_entries
from ray_import.source.streams import DAMAGE, HEAD_BYTES, Opener, file, gunzipped, head_of

MAX_DEPTH = 4
"""A gzip of a ZIP of a ZIP of a gzip; what nests deeper is made to nest."""

_TAR_MAGIC = slice(257, 262)


@dataclass(slots=True)
class Finder:
    """Collects members, and what was wrong with the parts that gave none."""

    where: str
    without: str = ""
    """What every member's name would begin with, and does not: the file that the user named."""
    members: list[Member] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    _errors: list[SourceError] = field(default_factory=list)
    _missing: int = 0
    _budget: Budget = field(default_factory=lambda: Budget(0))

    def failure(self) -> SourceError:
        """Why there is no member at all: that something is no export only where nothing worse is known."""
        worse = [error for error in self._errors if not isinstance(error, NotAnExport)]
        cut_off = [_damaged(problem.where, EOFError()) for problem in self.problems if problem.kind == "truncated"]
        return next(iter(worse + cut_off + self._errors), _nothing_found(self.where, []))

    def look_into_stream(self, opener: Opener, name: str, size: int) -> None:
        """Whatever `opener` opens, which can be gone back and forth in. Raises SourceRefused, ResourcesExhausted,
        and UnsafeSource."""
        self._budget = Budget(size)
        with self._alone(name):
            self._in_stream(opener, name, size, MAX_DEPTH)
        self._count_missing()

    def look_into_folder(self, folder: Path, open_file: Callable[[Path], Opener] = file) -> None:
        """All conversation files below `folder`; where there are none, all archives. Raises as `look_into_stream`."""
        with self._alone(self.where, may_hold_none=True):
            entries = entries_of_folder(folder, self.problems, open_file)
            self._budget = Budget(sum(entry.size for entry in entries), len(entries))
            self._among(entries, self.where, "", MAX_DEPTH)
        self._count_missing()

    def _in_stream(
        self, opener: Opener, name: str, size: int | None, depth: int, *, anywhere: Opener | None = None
    ) -> None:
        """`anywhere` opens the same bytes for going back and forth, where `opener` is slow at that."""
        if depth < 0:
            raise UnsafeArchive(
                f"{name} is nested more than {MAX_DEPTH} archives deep.", "Unpack it once and run it again."
            )
        head = head_of(opener)
        begins = head.removeprefix(b"\xef\xbb\xbf").lstrip()
        if head.startswith(b"\x1f\x8b"):
            inner = gunzipped(opener, self._budget.upto(name))
            copy = Copy(inner, name, None, self._budget, most_unpacked(size or 0), self.problems)
            self._in_stream(inner, name, None, depth - 1, anywhere=copy)
        elif head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
            with self._in_archive(name, anywhere):
                self._among(self._entries_of_zip(anywhere or opener, name), name, f"{name}/", depth - 1)
        elif head[_TAR_MAGIC] == b"ustar":
            with self._in_archive(name, anywhere):
                entries = entries_of_tar(anywhere or opener, name, self.problems, self._budget)
                self._among(entries, name, f"{name}/", depth - 1)
        elif begins[:1] in (b"[", b"{") or (not begins and len(head) == HEAD_BYTES):
            self._budget.unpack(size or 0, name)
            self.members.append(Member(name.removeprefix(self.without), size, opener))
        else:
            raise NotAnExport(_what_it_is_instead(name, begins))

    @contextmanager
    def _in_archive(self, name: str, anywhere: Opener | None) -> Iterator[None]:
        """Counts the archive. A copy of it is closed if no member is found in here."""
        self._budget.open_archive(name)
        first = len(self.members)
        try:
            yield
        finally:
            if isinstance(anywhere, Copy):
                found = self.members[first:]
                self.members[first:] = [replace(member, copies=(*member.copies, anywhere)) for member in found]
                if not found:
                    anywhere.close()

    def _entries_of_zip(self, opener: Opener, name: str) -> list[Entry]:
        """What its directory lists; where that cannot be read, what can be found without it. Raises one of DAMAGE."""
        try:
            return entries_of_zip(opener, name, self._budget)
        except DAMAGE as error:
            _let_go(error)
            entries = salvaged_entries(opener, name, self._budget)
            self._errors.append(_damaged(name, error))
            told = "the archive is cut off or damaged at its end: all files found without its directory were read"
            self.problems.append(Problem("truncated", name, told))
            return entries

    def _among(self, entries: list[Entry], name: str, prefix: str, depth: int) -> None:
        """The conversation files among `entries`; where there are none, all archives: the privacy portal's
        download is whole exports as ZIPs in a ZIP, of which some hold only files."""
        found = [entry for entry in entries if is_conversations(entry.name)]
        inner = [entry for entry in entries if not found and is_archive(entry.name)]
        if not found and not inner:
            raise _nothing_found(name, [entry.name for entry in entries])
        self._budget.unpack(sum(entry.size for entry in inner if entry.unsafe is None), name)
        for entry in entries:
            if found and base_name(entry.name) == MANIFEST:
                self._budget.unpack(min(entry.size, manifest.MAX_BYTES), name)
                self._compare(entry.opener, [shard.name for shard in found])
        for entry in found or inner:
            inside = f"{prefix}{shown(entry.name)}"
            with self._alone(inside, may_hold_none=not found):
                if entry.unsafe is not None:
                    raise entry.unsafe
                self._in_stream(entry.opener, inside, entry.size, depth, anywhere=entry.anywhere())

    def _compare(self, listing_opener: Opener, present: list[str]) -> None:
        """A manifest that cannot be read is of no use, and costs nothing else."""
        with suppress(*DAMAGE), ExitStack() as stack:
            stream = listing_opener(stack)
            listing = stream.read(manifest.MAX_BYTES)
            stream.read(1)  # fails where the checksum is wrong
            for shard in manifest.missing_shards(listing, present):
                self._missing += 1
                if self._missing <= manifest.MAX_NAMED:
                    name = shown(shard[: manifest.MAX_NAME_CHARACTERS])
                    told = f"{name} is listed in the export's manifest but missing"
                    self.problems.append(Problem("missing_shard", self.where, told))

    def _count_missing(self) -> None:
        """Adds one problem for all missing shards that were not named."""
        more = self._missing - manifest.MAX_NAMED
        if more > 0:
            told = f"{more:,} more files are listed in the export's manifest but missing"
            self.problems.append(Problem("missing_shard", self.where, told))

    @contextmanager
    def _alone(self, name: str, *, may_hold_none: bool = False) -> Iterator[None]:
        """What fails in here costs this part alone, unless no other part can, or may, be read either."""
        try:
            yield
        except (SourceRefused, ResourcesExhausted, UnsafeSource):
            self._budget.close_copies()
            raise
        except SourceError as error:
            if may_hold_none and isinstance(error, NotAnExport):
                self._errors.append(error.with_traceback(None))
                return
            self._failed(name, error)
        except PermissionError:
            self._failed(name, SourceError(f"This user has no permission to read {name}."))
        except DAMAGE as error:
            _let_go(error)
            self._failed(name, _damaged(name, error))

    def _failed(self, name: str, error: SourceError) -> None:
        self._errors.append(error.with_traceback(None))  # which would keep the ZIP's temporary file
        self.problems.append(Problem("damaged", name, error.message))


def _let_go(error: BaseException | None) -> None:
    """Frees what the frames of a failure hold, the ZIP's temporary file above all: since Python 3.12 they are
    in a cycle with it, which only a garbage collection would end."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__context__


def _damaged(name: str, error: Exception) -> SourceError:
    if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):  # that is how a bad place is told
        return SourceError(f"{name} cannot be read ({os.strerror(error.errno)}).", "Check the disk it is on.")
    what = f"{name} is damaged or cut off: {in_words(error)}."
    return SourceError(what, "Download the export again, or unpack it.")


def _what_it_is_instead(name: str, begins: bytes) -> str:
    if not begins:
        return f"{name} is empty."
    if begins[:1] == b"<":
        return f"{name} is a web page, not an export: ChatGPT sends a ZIP that contains conversations.json."
    return f"{name} is not an export: expected a ZIP, a gzip, a tar, or JSON that begins with [ or {{."


def _nothing_found(where: str, names: list[str]) -> NotAnExport:
    product = product_of(names)
    if product:
        return NotAnExport(f"{where} looks like a {product} export; only ChatGPT exports are supported.")
    return NotAnExport(
        f"{where} holds no conversations: no conversations.json or conversations-000.json was found at any depth.",
        "Give the ZIP that ChatGPT sent you.",
    )
