"""Why a part of an export cannot be read, in words."""

import errno
import lzma
import os
import tarfile
import zipfile
import zlib

from ray_import.chatgpt.files import product_of
from ray_import.errors import NotAnExport, SourceError


class TrailingData(EOFError):
    """Something that is no gzip follows the end of one, all of which was given."""


_KINDS: tuple[tuple[tuple[type[Exception], ...], str], ...] = (
    ((EOFError,), "it ends too early"),
    ((zipfile.BadZipFile,), "it is not a complete ZIP"),
    ((tarfile.TarError,), "it is not a complete tar"),
    ((zlib.error, lzma.LZMAError), "its compressed data is damaged"),
    ((RuntimeError,), "it is encrypted or uses an unknown compression method"),
)


def in_words(error: Exception) -> str:
    """What one of `DAMAGE` means: never a class's name, and nothing of what is in the file."""
    said = str(error)
    if said.startswith("Bad CRC-32") or "incorrect data check" in said:
        return "its checksum is wrong"
    if isinstance(error, OSError):
        return f"it cannot be read: {error.strerror}" if error.strerror else "it cannot be read"
    return next((words for kinds, words in _KINDS if isinstance(error, kinds)), "it is damaged")


def damaged(name: str, error: Exception) -> SourceError:
    """The error for `name`, reading which raised one of DAMAGE."""
    if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):  # EINVAL reports a bad offset
        return SourceError(f"{name} cannot be read ({os.strerror(error.errno)}).", "Check the disk it is on.")
    what = f"{name} is damaged or cut off: {in_words(error)}."
    return SourceError(what, "Download the export again, or unpack it.")


def what_it_is_instead(name: str, begins: bytes) -> str:
    """What a file is that begins like no export; `begins` is without white space before it."""
    if not begins:
        return f"{name} is empty."
    if begins[:1] == b"<":
        return f"{name} is a web page, not an export: ChatGPT sends a ZIP that contains conversations.json."
    return f"{name} is not an export: expected a ZIP, a gzip, a tar, or JSON that begins with [ or {{."


def nothing_found(where: str, names: list[str]) -> NotAnExport:
    """The error for an archive or a folder without conversations, whose files have these names."""
    product = product_of(names)
    if product:
        return NotAnExport(f"{where} looks like a {product} export; only ChatGPT exports are supported.")
    return NotAnExport(
        f"{where} holds no conversations: no conversations.json or conversations-000.json was found at any depth.",
        "Give the ZIP that ChatGPT sent you.",
    )
