"""A message's text: clean, readable prose, what the person saw (extraction.md §5)."""

import re

from ray_import.extraction.marks import strip_marks

_SURROGATE = re.compile("[\ud800-\udfff]")


def clean_text(text: str) -> str:
    """`text` with the marks taken out, and with no character that a database refuses."""
    text = storable(text)
    if "\r" not in text:  # to look for one character takes a tenth of the time
        return strip_marks(text)
    text = strip_marks(text.replace("\r\n", "\n"))
    return text.replace("\r\n", "\n")  # between which a mark may have stood


def storable(text: str) -> str:
    """`text` without NUL, lone surrogates as U+FFFD."""
    if not text.isascii():
        try:
            text.encode()  # much faster than to look for what is never there, after a decoder
        except UnicodeEncodeError:
            text = _SURROGATE.sub("\ufffd", text)
    return text.replace("\0", "") if "\0" in text else text


def one_line(text: str) -> str:
    """`text` with every run of white space as one space: for titles and file names."""
    return " ".join(storable(text).split())
