"""Inline base64 data (rules §5), found character by character.

"`data:...;base64,` runs become `[data]`, in code from 200 characters on, also with `\\/` in them."
"""

from string import ascii_letters, digits

HEAD = ascii_letters + digits + "/\\;=.+-_"
LETTERS = ascii_letters + digits + "+/=-_"
FEWEST_IN_CODE = 200
WRAPPED = range(60, 129)


def without_data(text: str, code: list[bool]) -> tuple[str, list[bool]]:
    """`text` with `[data]` in place of its runs, and the flags of what is left."""
    written: list[str] = []
    flags: list[bool] = []
    at = 0
    while at < len(text):
        end = _run_end(text, at)
        if end and not (code[at] and end - at < FEWEST_IN_CODE):
            written.extend("[data]")
            flags.extend([code[at]] * len("[data]"))
            at = end
        else:
            written.append(text[at])
            flags.append(code[at])
            at += 1
    return "".join(written), flags


def _run_end(text: str, at: int) -> int:
    """Where the run that begins at `at` ends; 0 where none begins."""
    if text[at : at + 5].lower() != "data:":
        return 0
    comma = at + 5
    while comma < len(text) and text[comma] in HEAD:
        comma += 1
    if text[comma : comma + 1] != "," or not text[at:comma].lower().endswith(";base64"):
        return 0
    first = comma + 1
    if text[first : first + 1] == "\n":
        first += 1
        if _letters_end(text, first) - first not in WRAPPED:
            return 0
    end = _wrapped_end(text, first)
    return end if end > comma + 1 else 0


def _letters_end(text: str, at: int) -> int:
    """Where the base64 letters that begin at `at` end, on this line: before the next run, if one follows directly."""
    while at < len(text) and (text[at] in LETTERS or text[at : at + 2] == "\\/") and text[at : at + 5] != "data:":
        at += 1
    return at


def _wrapped_end(text: str, first: int) -> int:
    """The rule: "A run crosses line breaks only where it is wrapped: lines of one length of 60 to 128; a shorter last
    line belongs to it after two such lines, or after one if a quote, `)` or `>` follows directly; a single word of
    letters at the end never does."
    """
    end = _letters_end(text, first)
    length = end - first
    lines = 1
    while length in WRAPPED and text[end : end + 1] == "\n":
        next_end = _letters_end(text, end + 1)
        next_length = next_end - (end + 1)
        if next_length == length:
            end, lines = next_end, lines + 1
        elif 0 < next_length < length and _last_line_belongs(text, end + 1, next_end, lines):
            return next_end
        else:
            return end
    return end


def _last_line_belongs(text: str, start: int, end: int, lines: int) -> bool:
    quoted = text[end : end + 1] in ('"', "'", "`", ")", ">")
    ends_line = text[end : end + 1] in ("", "\n")
    line = text[start:end]
    if all(letter in ascii_letters for letter in line) or not any(letter.isalnum() for letter in line):
        return False
    return quoted or (ends_line and lines >= 2)
