"""From a path to the streams that hold conversations: ZIP, ZIP in ZIP, folder, gzip, bare JSON.

What a thing is, its first bytes decide, not its name (extraction.md §1).
"""

import os
import stat
import traceback
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from ray_import.errors import ConfigError, NotAnExport, SourceError, UnsafeArchive
from ray_import.records import Problem
from ray_import.source import manifest
from ray_import.source.names import base_name, is_conversations, product_of, shard_order, shown
from ray_import.source.streams import (
    DAMAGE,
    HEAD_BYTES,
    Opener,
    entry_of_zip,
    file,
    gunzipped,
    head_of,
    spooled,
    zip_in_zip,
)

MAX_DEPTH = 4
"""A gzip of a ZIP of a ZIP of a gzip; what nests deeper is made to nest."""

MAX_RATIO = 200
RATIO_MATTERS_FROM_BYTES = 32 * 1024 * 1024
"""Text deflates 4 to 30 times, small repetitive files more; a bomb, 1,000 times and to gigabytes."""


@dataclass(frozen=True, slots=True)
class Member:
    """One stream of conversations. `size` is in bytes of JSON, None where only reading tells (gzip)."""

    name: str
    size: int | None
    opener: Opener

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """The member's bytes, from the first on; may be called again."""
        with ExitStack() as stack:
            yield self.opener(stack)


@dataclass(frozen=True, slots=True)
class Export:
    """A source that was looked into: at least one member, in the order of their numbers."""

    path: str
    members: tuple[Member, ...]
    problems: tuple[Problem, ...]


def open_export(path: Path) -> Export:
    """Finds the conversation members of `path`, reading no more than directories and first bytes.

    Raises ConfigError where there is nothing at `path`, SourceError and its kinds where it cannot be
    an export. A part that cannot be read is a problem where others can.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        raise ConfigError(f"There is no file or folder {shown(str(path))}.") from None
    is_folder = stat.S_ISDIR(mode)
    if not is_folder and not stat.S_ISREG(mode):
        raise ConfigError(
            f"{shown(str(path))} is neither a file nor a folder.", "A pipe has to be written to a file first."
        )
    finder = _Finder(shown(str(path)), without="" if is_folder else f"{shown(path.name)}/")
    if is_folder:
        finder.look_into_folder(path)
    else:
        finder.look_into_file(path)
    if not finder.members:
        raise finder.failure()
    members = sorted(finder.members, key=lambda member: shard_order(member.name))
    return Export(finder.where, tuple(members), tuple(finder.problems))


@dataclass(slots=True)
class _Finder:
    """Collects members, and what was wrong with the parts that gave none."""

    where: str
    without: str = ""
    """What every member's name would begin with, and does not: the file that the user named."""
    members: list[Member] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    _errors: list[SourceError] = field(default_factory=list)

    def failure(self) -> SourceError:
        """Why there is no member at all: that something is no export only where nothing worse is known."""
        worse = [error for error in self._errors if not isinstance(error, NotAnExport)]
        return next(iter(worse + self._errors), _nothing_found(self.where, []))

    def look_into_file(self, path: Path) -> None:
        """Whatever the file is."""
        name = shown(path.name)
        with self._alone(name):
            self._in_stream(file(path), name, path.stat().st_size, MAX_DEPTH)

    def look_into_folder(self, folder: Path) -> None:
        """All conversation files below `folder`; where there are none, all ZIPs."""
        names = sorted(path.relative_to(folder).as_posix() for path in self._files_below(folder))
        wanted = [name for name in names if is_conversations(name)]
        for name in wanted or filter(_is_zip, names):
            with self._alone(shown(name), may_hold_none=not wanted):
                self._in_stream(file(folder / name), shown(name), (folder / name).stat().st_size, MAX_DEPTH)
        if not self.members and not self._errors:
            self._errors.append(_nothing_found(self.where, names))
        for name in names:
            if wanted and base_name(name) == manifest.NAME:
                self._compare(file(folder / name), wanted)

    def _files_below(self, folder: Path) -> Iterator[Path]:
        def told(error: OSError) -> None:
            name = shown(os.fspath(error.filename))
            self.problems.append(Problem("damaged", name, f"this folder cannot be read ({type(error).__name__})"))

        for parent, _, files in os.walk(folder, onerror=told, followlinks=False):
            for name in files:
                path = Path(parent) / name
                if path.is_file() and not path.is_symlink():
                    yield path

    def _in_stream(
        self, opener: Opener, name: str, size: int | None, depth: int, *, if_zip: Opener | None = None
    ) -> None:
        """`if_zip` opens the same bytes for going back and forth, where `opener` is slow at that."""
        if depth < 0:
            raise UnsafeArchive(f"{name} is packed more than {MAX_DEPTH} times over.", "Unpack it once and try again.")
        head = head_of(opener)
        begins = head.removeprefix(b"\xef\xbb\xbf").lstrip()
        if head.startswith(b"\x1f\x8b"):
            inner = gunzipped(opener)
            at_most = max(RATIO_MATTERS_FROM_BYTES, MAX_RATIO * (size or 0))
            self._in_stream(inner, name, None, depth - 1, if_zip=spooled(inner, name, None, at_most))
        elif head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
            self._in_zip(if_zip or opener, name, depth)
        elif begins[:1] in (b"[", b"{") or (not begins and len(head) == HEAD_BYTES):
            self.members.append(Member(name.removeprefix(self.without), size, opener))
        else:
            raise NotAnExport(_what_it_is_instead(name, begins))

    def _in_zip(self, opener: Opener, name: str, depth: int) -> None:
        with ExitStack() as stack:
            archive = stack.enter_context(zipfile.ZipFile(opener(stack)))
            entries = [entry for entry in archive.infolist() if not _is_link(entry) and not entry.is_dir()]
            found = [entry for entry in entries if is_conversations(entry.filename)]
        for entry in entries:
            if found and base_name(entry.filename) == manifest.NAME:
                self._compare(entry_of_zip(opener, entry), [e.filename for e in found])
        inner = [entry for entry in entries if not found and _is_zip(entry.filename)]
        if not found and not inner:
            raise _nothing_found(name, [entry.filename for entry in entries])
        for entry in found or inner:
            # The privacy portal's download is whole exports as ZIPs in a ZIP, of which some hold only files.
            inside = f"{name}/{shown(entry.filename)}"
            with self._alone(inside, may_hold_none=not found):
                _refuse_unsafe(entry, name)
                self._in_stream(
                    entry_of_zip(opener, entry),
                    inside,
                    entry.file_size,
                    depth - 1,
                    if_zip=zip_in_zip(opener, entry, inside),
                )

    def _compare(self, listing_opener: Opener, present: list[str]) -> None:
        """A manifest that cannot be read is of no use, and costs nothing else."""
        with suppress(*DAMAGE), ExitStack() as stack:
            listing = listing_opener(stack).read(manifest.MAX_BYTES)
            self.problems.extend(
                Problem("missing_shard", self.where, f"{shard} is listed by the export and not in it")
                for shard in manifest.missing_shards(listing, present)
            )

    @contextmanager
    def _alone(self, name: str, *, may_hold_none: bool = False) -> Iterator[None]:
        """What fails in here costs this part alone."""
        try:
            yield
        except SourceError as error:
            if may_hold_none and isinstance(error, NotAnExport):
                self._errors.append(error.with_traceback(None))
                return
            self._failed(name, error)
        except PermissionError:
            self._failed(name, SourceError(f"{name} may not be read by this user."))
        except DAMAGE as error:
            _let_go(error)
            what = f"{name} is damaged or cut off ({type(error).__name__})."
            self._failed(name, SourceError(what, "Download the export again, or unpack it."))

    def _failed(self, name: str, error: SourceError) -> None:
        self._errors.append(error.with_traceback(None))  # which would keep the ZIP's temporary file
        self.problems.append(Problem("damaged", name, error.message))


def _let_go(error: BaseException | None) -> None:
    """Frees what the frames of a failure hold, the ZIP's temporary file above all: since Python 3.12 they are
    in a cycle with it, which only a garbage collection would end."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__context__


def _is_zip(name: str) -> bool:
    return name.lower().endswith(".zip") and "__MACOSX" not in name


def _is_link(entry: zipfile.ZipInfo) -> bool:
    return stat.S_ISLNK(entry.external_attr >> 16)


def _refuse_unsafe(entry: zipfile.ZipInfo, archive: str) -> None:
    if entry.flag_bits & 0x1:
        raise UnsafeArchive(
            f"{shown(entry.filename)} in {archive} is encrypted.", "Unpack it with its password and import the folder."
        )
    if entry.file_size > RATIO_MATTERS_FROM_BYTES and entry.file_size > MAX_RATIO * max(entry.compress_size, 1):
        raise UnsafeArchive(
            f"{shown(entry.filename)} in {archive} claims to unpack to {entry.file_size:,} bytes from "
            f"{entry.compress_size:,}: no text packs that well.",
            "If you trust it, unpack it and import the folder.",
        )


def _what_it_is_instead(name: str, begins: bytes) -> str:
    if not begins:
        return f"{name} is empty."
    if begins[:1] == b"<":
        return f"{name} is a web page, not an export: ChatGPT's are a ZIP, or the conversations.json in it."
    return f"{name} is no export: looked for a ZIP, a gzip, or JSON that begins with [ or {{."


def _nothing_found(where: str, names: list[str]) -> NotAnExport:
    product = product_of(names)
    if product:
        return NotAnExport(f"{where} looks like a {product} export; this imports ChatGPT's.")
    return NotAnExport(
        f"{where} holds no conversations: looked for conversations.json or conversations-000.json, at any depth.",
        "Is it the ZIP that ChatGPT sent you?",
    )
