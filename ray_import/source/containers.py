"""From a path to the streams that hold conversations: ZIP, ZIP in ZIP, folder, gzip, bare JSON.

What a thing is, its first bytes decide, not its name (extraction.md §1). Nothing is ever unpacked to
disk: a member is a stream, and an archive's paths are only compared, never followed.
"""

import gzip
import os
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from ray_import.errors import ConfigError, NotAnExport, SourceError, UnsafeArchive
from ray_import.records import Problem
from ray_import.source import manifest
from ray_import.source.names import is_conversations, product_of, shard_order

Opener = Callable[[ExitStack], BinaryIO]
"""Opens a seekable stream; what has to be closed afterwards is put on the stack."""

MAX_DEPTH = 4
"""A gzip of a ZIP of a ZIP of a gzip; what nests deeper is made to nest."""

MAX_RATIO = 200
RATIO_MATTERS_FROM_BYTES = 32 * 1024 * 1024
"""Text deflates 4 to 30 times, small repetitive files more; a bomb, 1,000 times and to gigabytes."""

DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, gzip.BadGzipFile, OSError, NotImplementedError)
"""What a damaged archive or a failing disk raises while it is read."""


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
    an export.
    """
    if not path.exists():
        raise ConfigError(f"There is no file or folder {path}.")
    problems: list[Problem] = []
    try:
        if path.is_dir():
            members = _in_folder(path, problems)
        else:
            members = list(_in_stream(_file(path), path.name, path.stat().st_size, problems, MAX_DEPTH))
    except SourceError:
        raise
    except PermissionError:
        raise SourceError(f"{path} may not be read by this user.") from None
    except DAMAGE as error:
        raise SourceError(
            f"{path} is damaged or cut off ({type(error).__name__}).",
            "Download the export again, or unpack it.",
        ) from None
    members.sort(key=lambda member: shard_order(member.name))
    return Export(str(path), tuple(members), tuple(problems))


def _file(path: Path) -> Opener:
    return lambda stack: stack.enter_context(path.open("rb"))


def _gunzipped(outer: Opener) -> Opener:
    return lambda stack: cast("BinaryIO", stack.enter_context(gzip.GzipFile(fileobj=outer(stack))))


def _zipped(outer: Opener, name: str) -> Opener:
    def open_member(stack: ExitStack) -> BinaryIO:
        archive = stack.enter_context(zipfile.ZipFile(outer(stack)))
        return cast("BinaryIO", stack.enter_context(archive.open(name)))

    return open_member


def _in_stream(opener: Opener, name: str, size: int | None, problems: list[Problem], depth: int) -> Iterator[Member]:
    _refuse_depth(name, depth)
    with ExitStack() as stack:
        head = opener(stack).read(64)
    if head.startswith(b"\x1f\x8b"):
        yield from _in_stream(_gunzipped(opener), name, None, problems, depth - 1)
    elif head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        yield from _in_zip(opener, name, problems, depth)
    elif head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"[", b"{"):
        yield Member(name, size, opener)
    else:
        raise NotAnExport(_what_it_is_instead(name, head))


def _what_it_is_instead(name: str, head: bytes) -> str:
    if not head.strip():
        return f"{name} is empty."
    if head.lstrip()[:1] == b"<":
        return f"{name} is a web page, not an export: ChatGPT's are a ZIP, or the conversations.json in it."
    return f"{name} is no export: looked for a ZIP, a gzip, or JSON that begins with [ or {{."


def _in_zip(opener: Opener, name: str, problems: list[Problem], depth: int) -> Iterator[Member]:
    _refuse_depth(name, depth)
    with ExitStack() as stack:
        archive = stack.enter_context(zipfile.ZipFile(opener(stack)))
        entries = [entry for entry in archive.infolist() if not _is_link(entry) and not entry.is_dir()]
        listed = next((e for e in entries if Path(e.filename).name == manifest.NAME), None)
        found = [entry for entry in entries if is_conversations(entry.filename)]
        if listed is not None and found and listed.file_size <= manifest.MAX_BYTES:
            _report_missing(archive.read(listed), [e.filename for e in found], name, problems)
    inner = [entry for entry in entries if entry.filename.lower().endswith(".zip")] if not found else []
    if not found and not inner:
        raise _nothing_found(name, [entry.filename for entry in entries])
    for entry in found:
        _refuse_unsafe(entry, name)
        yield from _in_stream(_zipped(opener, entry.filename), entry.filename, entry.file_size, problems, depth - 1)
    yield from _in_inner_zips(opener, inner, name, problems, depth)


def _in_inner_zips(
    opener: Opener, inner: list[zipfile.ZipInfo], name: str, problems: list[Problem], depth: int
) -> Iterator[Member]:
    """The privacy portal's download: whole exports as ZIPs in a ZIP, of which some hold only files."""
    found = 0
    for entry in inner:
        _refuse_unsafe(entry, name)
        try:
            for member in _in_zip(_zipped(opener, entry.filename), entry.filename, problems, depth - 1):
                found += 1
                yield Member(f"{entry.filename}/{member.name}", member.size, member.opener)
        except NotAnExport:
            continue
        except DAMAGE as error:
            problems.append(Problem("damaged", f"{name}/{entry.filename}", type(error).__name__))
    if inner and not found:
        raise _nothing_found(name, [entry.filename for entry in inner])


def _refuse_depth(name: str, depth: int) -> None:
    if depth == 0:
        raise UnsafeArchive(f"{name} is packed more than {MAX_DEPTH} times over.", "Unpack it once and try again.")


def _is_link(entry: zipfile.ZipInfo) -> bool:
    return stat.S_ISLNK(entry.external_attr >> 16)


def _refuse_unsafe(entry: zipfile.ZipInfo, archive: str) -> None:
    if entry.flag_bits & 0x1:
        raise UnsafeArchive(
            f"{entry.filename} in {archive} is encrypted.",
            "Unpack it with its password and import the folder.",
        )
    if entry.file_size > RATIO_MATTERS_FROM_BYTES and entry.file_size > MAX_RATIO * max(entry.compress_size, 1):
        raise UnsafeArchive(
            f"{entry.filename} in {archive} claims to unpack to {entry.file_size:,} bytes from "
            f"{entry.compress_size:,}: no text packs that well.",
            "If you trust it, unpack it and import the folder.",
        )


def _in_folder(folder: Path, problems: list[Problem]) -> list[Member]:
    files = sorted(_files_below(folder))
    names = [file.relative_to(folder).as_posix() for file in files]
    wanted = [n for n in names if is_conversations(n)] or [n for n in names if n.lower().endswith(".zip")]
    if not wanted:
        raise _nothing_found(str(folder), names)
    members: list[Member] = []
    for name in wanted:
        file = folder / name
        inside = _in_stream(_file(file), name, file.stat().st_size, problems, MAX_DEPTH)
        try:
            members.extend(inside)
        except NotAnExport:
            if is_conversations(name):
                raise
    if not members:
        raise _nothing_found(str(folder), names)
    for name in names:
        if Path(name).name == manifest.NAME and (folder / name).stat().st_size <= manifest.MAX_BYTES:
            _report_missing((folder / name).read_bytes(), wanted, str(folder), problems)
            break
    return members


def _files_below(folder: Path) -> Iterator[Path]:
    for parent, _, files in os.walk(folder, followlinks=False):
        for file in files:
            path = Path(parent) / file
            if path.is_file() and not path.is_symlink():
                yield path


def _report_missing(listing: bytes, present: list[str], where: str, problems: list[Problem]) -> None:
    problems.extend(
        Problem("missing_shard", where, f"{shard} is listed by the export and not in it")
        for shard in manifest.missing_shards(listing, present)
    )


def _nothing_found(where: str, names: list[str]) -> NotAnExport:
    product = product_of(names)
    if product:
        return NotAnExport(f"{where} looks like a {product} export; this imports ChatGPT's.")
    return NotAnExport(
        f"{where} holds no conversations: looked for conversations.json or conversations-000.json, at any depth.",
        "Is it the ZIP that ChatGPT sent you?",
    )
