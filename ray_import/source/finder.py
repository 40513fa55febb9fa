"""Looks for the members with conversations in whatever it is given, however deep they are packed."""

import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from ray_import.chatgpt import files
from ray_import.chatgpt.files import MANIFEST, base_name, is_archive, is_conversations, shard_name, shown, wrapper_keys
from ray_import.errors import (
    NotAnExport,
    ResourcesExhausted,
    SourceError,
    SourceRefused,
    UnsafeArchive,
    UnsafeSource,
    UnsupportedFormat,
)
from ray_import.records import Problem
from ray_import.source.archives import Entry, entries_of_folder, entries_of_tar, entries_of_zip, most_unpacked
from ray_import.source.export import Aside, Candidate, Member
from ray_import.source.reasons import damaged, in_words, nothing_found, what_it_is_instead
from ray_import.source.salvage import salvaged_entries
from ray_import.source.sniff import LOOK_BYTES, as_utf_8, holds_conversations, is_empty, wide_encoding
from ray_import.source.streams import DAMAGE, HEAD_BYTES, Opener, file, gunzipped, head_of
from ray_import.source.temporary_copies import Copy
from ray_import.source.unpack_budget import Budget

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
    listed: set[str] = field(default_factory=set)
    """The shards that manifests list."""
    shards: set[str] = field(default_factory=set)
    """The shards that are there, whether they can be read or not."""
    _errors: list[SourceError] = field(default_factory=list)
    _aside: Aside = field(default_factory=Aside)
    _copies: tuple[Copy, ...] = ()
    """The temporary copies that what is looked at now lies in, the innermost first."""
    _budget: Budget = field(default_factory=lambda: Budget(0))

    def failure(self) -> SourceError:
        """Why there is no member at all: what names a way out first, and that something is no export only where
        nothing worse is known."""
        unsupported = [error for error in self._errors if isinstance(error, UnsupportedFormat)]
        worse = [error for error in self._errors if not isinstance(error, NotAnExport)]
        cut_off = [damaged(problem.where, EOFError()) for problem in self.problems if problem.kind == "truncated"]
        return next(iter(unsupported + worse + cut_off + self._errors), nothing_found(self.where, []))

    def look_into_stream(self, opener: Opener, name: str, size: int) -> None:
        """Whatever `opener` opens, which can be gone back and forth in. Raises SourceRefused, ResourcesExhausted,
        and UnsafeSource."""
        self._budget = Budget(size)
        with self._alone(name, may_hold_none=True):
            self._in_stream(opener, name, size, MAX_DEPTH)
        self._look_aside()

    def look_into_folder(self, folder: Path, open_file: Callable[[Path], Opener] = file) -> None:
        """All conversation files below `folder`; where there are none, all archives. Raises as `look_into_stream`."""
        with self._alone(self.where, may_hold_none=True):
            entries = entries_of_folder(folder, self.problems, open_file)
            self._budget = Budget(sum(entry.size for entry in entries), len(entries))
            self._among(entries, self.where, "", MAX_DEPTH)
        self._look_aside()

    def _in_stream(
        self, opener: Opener, name: str, size: int | None, depth: int, *, anywhere: Opener | None = None
    ) -> None:
        """`anywhere` opens the same bytes for going back and forth, where `opener` is slow at that."""
        if depth < 0:
            raise UnsafeArchive(
                f"{name} is nested more than {MAX_DEPTH} archives deep.", "Unpack it once and run it again."
            )
        head = head_of(opener)
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
        elif (wide := wide_encoding(head)) is not None:
            raise UnsupportedFormat(f"{name} is {wide[0]}, which is not read.", "Save it as UTF-8 and import that.")
        elif _may_be_json(head):
            self._budget.unpack(size or 0, name)
            if is_conversations(name):
                self.shards.add(shard_name(name))
            self.members.append(Member(name.removeprefix(self.without), size, opener, self._copies))
        else:
            raise NotAnExport(what_it_is_instead(name, head.removeprefix(b"\xef\xbb\xbf").lstrip()))

    @contextmanager
    def _in_archive(self, name: str, anywhere: Opener | None) -> Iterator[None]:
        """Counts the archive. A copy of it is closed if no member is found in here."""
        self._budget.open_archive(name)
        first, outer = len(self.members), self._copies
        if isinstance(anywhere, Copy):
            self._copies = (anywhere, *outer)
        try:
            yield
        finally:
            self._copies = outer
            if isinstance(anywhere, Copy) and len(self.members) == first:
                anywhere.close()

    def _entries_of_zip(self, opener: Opener, name: str) -> list[Entry]:
        """What its directory lists; where that cannot be read, what can be found without it. Raises one of DAMAGE."""
        try:
            return entries_of_zip(opener, name, self._budget)
        except DAMAGE as error:
            _let_go(error)
            entries = salvaged_entries(opener, name, self._budget)
            self._errors.append(damaged(name, error))
            told = "the archive is cut off or damaged at its end: all files found without its directory were read"
            self.problems.append(Problem("truncated", name, told))
            return entries

    def _among(self, entries: list[Entry], name: str, prefix: str, depth: int) -> None:
        """The conversation files among `entries`; where there are none, all archives: the privacy portal's
        download is whole exports as ZIPs in a ZIP, of which some hold only files."""
        found = [entry for entry in entries if is_conversations(entry.name)]
        archives = [entry for entry in entries if is_archive(entry.name)]
        inner = [] if found else archives
        self.shards.update(shard_name(entry.name) for entry in found)
        for entry in entries:
            candidate = Candidate(entry, f"{prefix}{shown(entry.name)}", depth, self._copies)
            self._aside.put(candidate, beside_conversations=bool(found))
            if base_name(entry.name) == MANIFEST:
                self._budget.unpack(min(entry.size, files.MAX_BYTES), name)
                self._list_shards(entry.opener)
        if not found and not inner:
            raise nothing_found(name, [entry.name for entry in entries])
        self._budget.unpack(sum(entry.size for entry in inner if entry.refused is None), name)
        for entry in found or inner:
            inside = f"{prefix}{shown(entry.name)}"
            with self._alone(inside, may_hold_none=not found):
                if entry.refused is not None:
                    raise entry.refused
                self._in_stream(entry.opener, inside, entry.size, depth, anywhere=entry.anywhere())

    def _list_shards(self, listing_opener: Opener) -> None:
        """A manifest that cannot be read is of no use, and costs nothing else."""
        with suppress(*DAMAGE), ExitStack() as stack:
            stream = listing_opener(stack)
            listing = stream.read(files.MAX_BYTES)
            stream.read(1)  # fails where the checksum is wrong
            for shard in files.listed_shards(listing):
                if len(self.listed) < files.MAX_LISTED:
                    self.listed.add(shard)

    def _look_aside(self) -> None:
        """What has another name is read if no file of conversations was found; group chats always are, where they can
        be. What is not read is noted."""
        for candidate in self._aside.group_chats:
            why = self._why_group_chats_are_not_read(candidate)
            if why:
                self._aside.note(candidate, why)
        if not self.shards:
            copies = self._aside.newest_copies()
            for candidate in copies:
                self.shards.add(shard_name(candidate.entry.name))
                self._read(candidate)
            for candidate in self._aside.others if not copies else ():
                self._read(candidate, if_conversations=True)
        self.problems += self._aside.notes(self.where)

    def _read(self, candidate: Candidate, *, if_conversations: bool = False) -> None:
        """Reads a file that was put aside; with `if_conversations` only where a look shows some in it."""
        entry, name = candidate.entry, candidate.inside
        with self._alone(name, may_hold_none=if_conversations), self._inside(candidate):
            if entry.refused is not None:
                raise entry.refused
            if not if_conversations or holds_conversations(self._beginning(entry.opener, name, candidate.depth)):
                self._in_stream(entry.opener, name, entry.size, candidate.depth, anywhere=entry.anywhere())

    def _why_group_chats_are_not_read(self, candidate: Candidate) -> str:
        """Reads the file if its items have a `mapping`, and else says why not; "" also if it holds nothing."""
        entry, name = candidate.entry, candidate.inside
        try:
            if entry.refused is not None:
                raise entry.refused
            with self._inside(candidate):
                beginning = self._beginning(entry.opener, name, candidate.depth)
            if holds_conversations(beginning, wrapper_keys(name)):
                self._read(candidate)
            elif not is_empty(beginning):
                return "its items have no mapping"
        except (SourceRefused, ResourcesExhausted, UnsafeSource):
            raise
        except SourceError as error:
            return error.message
        except DAMAGE as error:
            _let_go(error)
            return in_words(error)
        return ""

    @contextmanager
    def _inside(self, candidate: Candidate) -> Iterator[None]:
        """Members that are found in here are read from the temporary copies that the candidate lies in."""
        outer, self._copies = self._copies, candidate.copies
        try:
            yield
        finally:
            self._copies = outer

    def _beginning(self, opener: Opener, name: str, depth: int) -> bytes:
        """The first LOOK_BYTES of a file, in UTF-8; of one that shows conversations at once, less. Of what is no JSON
        something that shows none."""
        with ExitStack() as stack:
            stream = opener(stack)
            data = stream.read(HEAD_BYTES)
            if data.startswith(b"\x1f\x8b"):
                return self._beginning(gunzipped(opener, self._budget.upto(name)), name, depth - 1) if depth else b""
            wide = wide_encoding(data)
            if wide is not None or (_may_be_json(data) and not holds_conversations(data, wrapper_keys(name))):
                data += stream.read(LOOK_BYTES - len(data))
        self._budget.unpack(len(data), name)
        return data if wide is None else as_utf_8(data, wide[1])

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
            self._failed(name, damaged(name, error))

    def _failed(self, name: str, error: SourceError) -> None:
        self._errors.append(error.with_traceback(None))  # which would keep the ZIP's temporary file
        if isinstance(error, UnsupportedFormat):
            self.problems.append(Problem("unsupported", name, f"{error.message} {error.hint}"))
        else:
            self.problems.append(Problem("damaged", name, error.message))


def _may_be_json(head: bytes) -> bool:
    begins = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    return begins[:1] in (b"[", b"{") or (not begins and len(head) == HEAD_BYTES)


def _let_go(error: BaseException | None) -> None:
    """Frees what the frames of a failure hold, the ZIP's temporary file above all: since Python 3.12 they are
    in a cycle with it, which only a garbage collection would end."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__context__
