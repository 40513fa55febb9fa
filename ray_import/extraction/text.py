"""A message's text: clean, readable prose, what the person saw (extraction.md §5).

Half surrogates are no matter here: no decoder lets them through (`decode.py`).
"""

from ray_import.extraction.marks import strip_marks


def clean_text(text: str) -> str:
    """`text` with the marks taken out, and with no character that a database refuses."""
    if "\0" in text:
        text = text.replace("\0", "")
    if "\r" not in text:  # to look for one character takes a tenth of the time
        return strip_marks(text)
    text = strip_marks(text.replace("\r\n", "\n"))
    return text.replace("\r\n", "\n")  # between which a mark may have stood


def one_line(text: str) -> str:
    """`text` with every run of white space as one space: for titles and file names."""
    return " ".join(text.replace("\0", "").split())
