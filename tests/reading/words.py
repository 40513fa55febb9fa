"""A message's text (rules §5), step by step."""

import json
from dataclasses import dataclass, field

from tests.reading.code_regions import Fence, begins_inside, code_flags
from tests.reading.frames import without_frames
from tests.reading.identity import one_line, shortened, without_nul_and_surrogates
from tests.reading.inline_data import without_data
from tests.reading.marks import private_use_marks_resolved, without_marks


@dataclass
class Words:
    """A cleaned text, what it is worth counting, and the fence that is open at its end."""

    text: str
    unknown_marks: list[str] = field(default_factory=list)
    unknown_frames: list[str] = field(default_factory=list)
    open_fence: Fence | None = None


def text_of(content: object) -> str:
    """The rule: "String parts and the `text` of dict parts, joined by a newline. Images, sound, video and files give
    no text; `content` that is a bare string is the text."
    """
    if isinstance(content, str):
        return prepared(content)
    if not isinstance(content, dict):
        return ""
    parts = content.get("parts")
    if not isinstance(parts, list) or not parts:
        own = content.get("text")
        return prepared(own) if isinstance(own, str) else ""
    return "\n".join(prepared(text) for text in map(_part_text, parts) if text)


def _part_text(part: object) -> str:
    if isinstance(part, str):
        return part
    if isinstance(part, dict) and isinstance(part.get("text"), str):
        return str(part["text"])
    return ""


def code_block_of(content: dict[str, object]) -> str:
    """The rule: "`code` with an explicit `recipient: all` (kept as a fenced block)": the fence is longer than all
    inside it.
    """
    text = text_of(content)
    language = content.get("language")
    fence = "```"
    while fence in text:
        fence += "`"
    known = isinstance(language, str) and language != "unknown"
    return f"{fence}{language if known else ''}\n{text}\n{fence}" if text.strip() else ""


def prepared(text: str) -> str:
    """The rule: "NUL goes; a lone surrogate becomes U+FFFD; `\\r\\n` becomes `\\n`." """
    return without_nul_and_surrogates(text).replace("\r\n", "\n")


def typed(text: str) -> Words:
    """The rule: "A user's own words stay as typed (inline data becomes `[data]`)." """
    code, _ = code_flags(text)
    return Words(without_data(text, code)[0])


def answered(text: str, parents_fence: Fence | None = None) -> Words:
    """An assistant's text: frames, data and marks outside of code."""
    code, open_fence = code_flags(text, begins_inside(text, parents_fence))
    frames = without_frames(text, code)
    cleaned = without_marks(*without_data(frames.text, frames.code))
    return Words(cleaned.text, cleaned.unknown, frames.unknown, open_fence)


def title_of(value: object) -> str:
    """The rule: "A title is one line; complete private-use marks in it are resolved as in an assistant's text,
    everything else stays."
    """
    if not isinstance(value, str):
        return ""
    title = one_line(prepared(value))
    return shortened(one_line(private_use_marks_resolved(title, [False] * len(title), keep_strays=True).text))


def quoted_of(metadata: dict[str, object]) -> Words:
    """The rule: "`metadata.targeted_reply` (the words of an answer that a question is about, cleaned as an
    assistant's)."
    """
    value = metadata.get("targeted_reply")
    return answered(prepared(value)) if isinstance(value, str) else Words("")


def attachments_of(metadata: dict[str, object]) -> tuple[str, ...]:
    """The rule: "The names in `metadata.attachments` are kept beside it." """
    attachments = metadata.get("attachments")
    names = []
    for attachment in attachments if isinstance(attachments, list) else []:
        name = attachment.get("name") if isinstance(attachment, dict) else None
        if isinstance(name, str) and name.strip():
            names.append(one_line(prepared(name)))
    return tuple(names)


def json_object(text: str) -> dict[str, object] | None:
    """The JSON object that is the whole of `text`, or None."""
    if not text.strip().startswith("{"):
        return None
    try:
        value = json.loads(text, parse_constant=_refused)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _refused(constant: str) -> object:
    """NaN and Infinity are no JSON."""
    raise ValueError(constant)
