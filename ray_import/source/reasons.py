"""Why a part of an export cannot be read, in words."""

import lzma
import tarfile
import zipfile
import zlib


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
