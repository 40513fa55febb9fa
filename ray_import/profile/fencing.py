"""Chat text as data in a prompt: numbered lines between two fences with a random mark.

    <<<BEGIN CHAT 0f5e…>>>
    [conversation 1] its title
    [1] user 2024-05-01: the text of the message
    its second line
    [2 reply to] the words that message 2 replies to
    [2 file] the name of a file
    [2] assistant undated: …
    <<<END CHAT 0f5e…>>>

Text cannot imitate this: of all lines between the fences only ours begin with a bracket and a number, a bracket and
`conversation`, or a fence. A line of text that does so, in whatever brackets, gets a backslash before it. Nothing
depends on the escape being understood: answers are checked against the messages (see `checking`).
"""

import re
import secrets
import unicodedata
from collections.abc import Iterable, Sequence

from ray_import.profile.settings import utf8_length
from ray_import.profile.units import Line

QUOTED_CHARACTERS = 300
NAME_CHARACTERS = 80
"""Of a title, or of the name of a file."""
MOST_FILES = 5
HEADER_BYTES = 24 + 4 * NAME_CHARACTERS
"""The most that the line of a conversation takes."""

_LINE_BYTES = len("[1234]  2024-05-01: \n")
_CONTEXT_BYTES = len("[1234 reply to] \n")
_CONTINUED = ", continued"
_BREAKS = "\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
_BRACKETS = frozenset("[［【〔〖〘〚⟦⁅❲<＜〈⟨《‹«﹝")


class _Shown(dict[int, str]):
    """How a character is shown: every break of a line as the same one; nothing invisible that can hide an order."""

    def __missing__(self, code: int) -> str:
        self[code] = shown = _shown_character(code)
        return shown


def _shown_character(code: int) -> str:
    character = chr(code)
    if character in _BREAKS:
        return "\n"
    if character in "\n\t":
        return character
    if 0xE0000 <= code <= 0xE0FFF or 0x202A <= code <= 0x202E or 0x2066 <= code <= 0x2069:
        return ""  # tags, variation selectors beyond the usual ones, overrides of the direction
    category = unicodedata.category(character)
    return {"Cc": " ", "Cs": "\ufffd"}.get(category, character)


_SHOWN = _Shown()
_IMITATION = re.compile(
    r"^(?P<before>(?:[^\w\n]|_)*+)(?:(?P<fence>(?:begin|end)\s+chat\b)|\d|conversation\b)", re.MULTILINE | re.IGNORECASE
)


def new_mark() -> str:
    """A mark that no text can know."""
    return secrets.token_hex(8)


def shown(text: str) -> str:
    """`text` as it stands behind a number: its lines cannot be taken for ours."""
    text = text.translate(_SHOWN)
    return _IMITATION.sub(_escaped, text) if "\n" in text else text


def _escaped(found: re.Match[str]) -> str:
    if found.start() and (found["fence"] or not _BRACKETS.isdisjoint(found["before"])):
        return "\\" + found[0]
    return found[0]


def one_line(text: str, most_characters: int) -> str:
    """`text` in one line, cut off."""
    line = " ".join(text[: 4 * most_characters].translate(_SHOWN).split())
    return line if len(line) <= most_characters else line[: most_characters - 1] + "…"


def line_bytes(line: Line) -> int:
    """The UTF-8 bytes of the line in a prompt, at least: its number may be shorter."""
    size = _LINE_BYTES + len(line.role) + utf8_length(shown(line.text)) + (len(_CONTINUED) if line.piece else 0)
    for context in _contexts(line):
        size += _CONTEXT_BYTES + utf8_length(context[1])
    return size


def header_bytes(title: str) -> int:
    """The UTF-8 bytes of the line of a conversation."""
    return utf8_length(_header(1234, title)) + 1


def numbered(line: Line, number: int) -> str:
    """The line as a prompt shows it."""
    text = "".join(f"[{number} {kind}] {words}\n" for kind, words in _contexts(line))
    day = line.created_at[:10] if line.created_at else "undated"
    return f"{text}[{number}] {line.role} {day}{_CONTINUED if line.piece else ''}: {shown(line.text)}\n"


def _contexts(line: Line) -> list[tuple[str, str]]:
    found = []
    if line.quoted:
        found.append(("reply to", one_line(line.quoted, QUOTED_CHARACTERS)))
    found += [("file", one_line(name, NAME_CHARACTERS)) for name in line.attachments[:MOST_FILES]]
    return found


def _header(number: int, title: str) -> str:
    return f"[conversation {number}] {one_line(title, NAME_CHARACTERS)}"


def fenced(conversations: Iterable[tuple[str | None, Sequence[Line]]], mark: str) -> str:
    """Conversations (title, lines) between fences; lines are numbered from 1 through all of them. A title that is None
    gives no line of its own."""
    parts, number = [], 0
    for index, (title, lines) in enumerate(conversations, start=1):
        if title is not None:
            parts.append(_header(index, title) + "\n")
        for line in lines:
            number += 1
            parts.append(numbered(line, number))
    text = "".join(parts)
    if mark in text:
        text = text.replace(mark, "…")
    return f"<<<BEGIN CHAT {mark}>>>\n{text}<<<END CHAT {mark}>>>"
