"""Ids, titles and times (rules §2), as plainly as they can be written."""

import hashlib
import math
from datetime import UTC, datetime

EARLIEST = datetime(2015, 1, 1, tzinfo=UTC).timestamp()
END = datetime(2101, 1, 1, tzinfo=UTC).timestamp()
MOST_TITLE_CHARACTERS = 300
MOST_ID_BYTES = 200


def without_nul_and_surrogates(text: str) -> str:
    """The rule: "NUL goes; a lone surrogate becomes U+FFFD." """
    characters = []
    for character in text:
        if "\ud800" <= character <= "\udfff":
            characters.append("\ufffd")
        elif character != "\0":
            characters.append(character)
    return "".join(characters)


def stored_key(key: str) -> str:
    """The rule: "A conversation's id or a node's key of over 200 bytes is stored as `sha256:` + 32 hex digits." """
    key = without_nul_and_surrogates(key)
    if len(key.encode()) <= MOST_ID_BYTES:
        return key
    return "sha256:" + hashlib.sha256(key.encode()).hexdigest()[:32]


def conversation_id(item: dict[str, object]) -> str | None:
    """The rule: "`conversation_id` first, then `id`"; None where the rules ask for `unidentified-` and a hash."""
    for name in ("conversation_id", "id"):
        value = item.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if isinstance(value, str) and value:
            return stored_key(value)
    return None


def time_of(value: object) -> float | None:
    """The rule: "Times are UTC. Numbers, numeric strings and ISO strings are accepted; above 1e11 they are
    milliseconds; outside 2015-2100 they are null."
    """
    seconds = _seconds(value)
    if seconds is None or not math.isfinite(seconds):
        return None
    if seconds > 1e11:
        seconds /= 1000
    return seconds if EARLIEST <= seconds < END else None


def _seconds(value: object) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value)
    if isinstance(value, str):
        return _seconds_of_text(value)
    return None


def _seconds_of_text(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return moment.timestamp()


def one_line(text: str) -> str:
    """The rule: "A title is one line": all white space is one blank."""
    return " ".join(text.split())


def shortened(title: str) -> str:
    """The rule: "What is stored of a title is at most 300 characters (then `…`)", the last one included."""
    if len(title) <= MOST_TITLE_CHARACTERS:
        return title
    return title[: MOST_TITLE_CHARACTERS - 1] + "…"
