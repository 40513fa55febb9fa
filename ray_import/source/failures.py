"""Errors for what cannot be read or is no export, in words."""

import errno
import os

from ray_import.errors import NotAnExport, SourceError
from ray_import.source.names import product_of
from ray_import.source.reasons import in_words


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
