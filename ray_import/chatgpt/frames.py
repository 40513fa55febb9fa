"""Frames of an assistant's text: `:::writing{subject="…"} … :::` and `:::contextList … :::` (extraction.md §5).

Their lines go, their words stay. Frames of other names are Markdown of some dialect: they stay, and are counted.
"""

import re
from dataclasses import dataclass, field

from ray_import.chatgpt.decode import as_label

SIGN = ":::"
"""Without it a text holds no frame."""

OPENED = frozenset({"writing", "contextList"})

_BEFORE = r"([ \t]*+(?:>[ \t]*+)*+)"
_MARKERS = r"((?:(?:[-+*]|\d{1,9}[.)])[ \t]++(?:\[[ xX]\][ \t]++)?+)*+)"
"""Of list items, with the boxes of tasks."""
_OPENING = re.compile(_BEFORE + _MARKERS + r"(:{3,}+)[ \t]*+([A-Za-z][\w-]*+)([^\n]*+)")
_CLOSING = re.compile(_BEFORE + r"(:{3,}+)[ \t\r]*+\n?")
_VALUE = r""""(?:[^"\\\n]|\\.)*+"|'(?:[^'\\\n]|\\.)*+'|[^\s"'{}]*+"""
_ATTRIBUTE = re.compile(rf"([^\s=\"'{{}}]++)(?:[ \t]*+=[ \t]*+({_VALUE}))?+")
_ATTRIBUTES = re.compile(rf"[ \t]*+\{{(?:[ \t]*+{_ATTRIBUTE.pattern})*+[ \t]*+\}}")
_SHOWN_ATTRIBUTES = (("Subject", ("subject",)), ("To", ("recipient", "to")), ("Title", ("title",)))


@dataclass(slots=True)
class Frames:
    """The frames that are open at a line of a text, which is given line by line.

    `unknown` lists the labels of frames that stay as written, `unknown_frame:<name>`.
    """

    unknown: list[str] = field(default_factory=list)
    _open: list[tuple[int, bool, int]] = field(default_factory=list)
    """Each with its colons, whether its lines go, and the fewest colons of it and those around it."""

    def shown(self, line: str) -> str | None:
        """What stays of a line with a `SIGN` outside of code; None where it begins and ends no frame."""
        if found := _OPENING.match(line):
            return self._opening(line, found)
        found = _CLOSING.fullmatch(line)
        goes = self._close(len(found[2])) if found else None
        return None if goes is None else "" if goes else line

    def _opening(self, line: str, found: re.Match[str]) -> str:
        before, marker, colons, name, rest = found.groups()
        goes = name in OPENED
        fewest = min(len(colons), self._open[-1][2]) if self._open else len(colons)
        self._open.append((len(colons), goes, fewest))
        if not goes:
            self.unknown.append(f"unknown_frame:{as_label(name)}")
            return line
        attributes, words = _parted(rest)
        head = _head(attributes) if name == "writing" else []
        lines = [*head, *([""] if head else []), *([words] if words else [])]
        if not marker:
            return _written(lines, before, before, line)
        return _written(lines or [""], before + marker, before + " " * len(marker), line)

    def _close(self, colons: int) -> bool | None:
        """Closes the innermost frame that began with at most so many colons, and those in it.

        Returns whether its lines go, None where there is no such frame. It takes as many steps as frames are closed.
        """
        if not self._open or self._open[-1][2] > colons:
            return None
        while True:
            began_with, goes, _ = self._open.pop()
            if began_with <= colons:
                return goes


def _parted(rest: str) -> tuple[str, str]:
    """Attributes with their braces, and the words behind them. Braces that are not closed take the line."""
    found = _ATTRIBUTES.match(rest)
    if found:
        return found[0], rest[found.end() :].strip()
    if not rest.lstrip().startswith("{"):
        return "", rest.strip()
    end = rest.rfind("}") + 1 or len(rest)
    return rest[:end], rest[end:].strip()


def _head(attributes: str) -> list[str]:
    """What a mail or a document shows above its body, one a line."""
    if "=" not in attributes:
        return []
    values: dict[str, str] = {}
    for found in _ATTRIBUTE.finditer(attributes):
        values.setdefault(found[1], _unquoted(found[2] or ""))
    shown = ((label, next(filter(None, map(values.get, names)), "")) for label, names in _SHOWN_ATTRIBUTES)
    return [f"{label}: {value}" for label, value in shown if value]


def _unquoted(value: str) -> str:
    return (value[1:-1].replace('\\"', '"') if value[:1] in ('"', "'") else value).strip()


def _written(lines: list[str], first: str, further: str, instead_of: str) -> str:
    """`lines` with what stands before each, ended as the line was that they stand in place of."""
    written = [f"{further if i else first}{line}".rstrip() for i, line in enumerate(lines)]
    end = "\n" if instead_of.endswith("\n") else ""
    return "\n".join(written) + end if written else ""
