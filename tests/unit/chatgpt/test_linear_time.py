"""Extraction and chunking take time in proportion to a text's length, whatever stands in it.

CPU time of this process, and a ratio of it: four times the text may take eight times as long, quadratic work takes
sixteen. What takes less than `FLOOR_SECONDS` is not looked at: quadratic work on `LONG_BYTES` takes far longer.
"""

import gc
import time
from collections.abc import Iterator

import orjson
import pytest

from ray_import.chatgpt.extract import NotAConversation, extract
from ray_import.chunks.chunker import chunk_conversation
from ray_import.records import Conversation
from ray_import.settings import ChunkSettings

SHORT_BYTES, MIDDLE_BYTES, LONG_BYTES = 100_000, 200_000, 400_000
FLOOR_SECONDS = 0.25
TRIES = 4

SIGNS = "\nsandbox: ;base64, citeturn :::writing [oaicite: \ue200 \ue202 \ue201 \ue601 \ue141 【"
"""One of each sign without which a mark is not looked for."""

REPEATED = [
    "`", "``` ", "```\n", "`a", "~", "[", "]", "(", ")", "[]", "[](", "![", "[](sandbox:", "[](sandbox:(", "sandbox:",
    ":", ":::", ":::\n", ":::writing\n", ":::writing{", ":::writing{}\n", "\ue200", "\ue201", "\ue202", "\ue200{",
    "\ue200cite\ue202turn1a1", '\ue200entity\ue202["', "\ue202turn1a1", "\ue202turn1", "【", "【†", "【turn1a", "†】",
    "data:", "data:;", "data:;base64,", "data:;base64,AAAA ", ";base64,", "citeturn1a1", "citeturn1a", "filecite",
    "{", "}", '{"', '"', "\\", "\\u0000", "\n", "\r\n", " ", "\t", "\u3000", ". ", "1", "1a", "- ", "> ", "1. ", "é",
    "\U0001f600", "e\u0301", "~~~\n", "- ```\n", "> ```\n", "- - ", "> - ", "- a\n  ", "> a\n", "1) ", "***\n",
    "- - -\n", "===\n", "\\`", "`\\", "` ``\n\n", "`\ue200cite\ue201", "\ue200`\ue201", "::::::\n", ":::a\n",
    "::::a\n:::\n", ":::writing\n:::\n", ':::writing{a="', ':::writing{subject="x"}\n', ":::writing{a=b ", "> :::\n",
    "- :::writing\n", "【{", '【{"', '【{"a', "【{}】", "【oaicite:", ":contentReference[oaicite:", "[oaicite:1]",
    '【{\\"', "- - :::writing\n", "- [x] ",
    "\ue600",
    "\ue600cite", "\ue600cite\ue602", "\ue142", "\ue142cite", "\ue142cite\ue142", "\ue142cite\ue142a\ue141", "\ue141",
    "\ue203", "\ue200a[", '\ue200products\ue202[["turn1a1","', "turn1a1,", "data:;base64,\n",
    "data:;base64," + "A" * 76 + "\n", "A" * 76 + "\n", "data:a\\/", "data:;base64,\\/", "\\/", "=\n",
]  # fmt: skip
OPENED = [
    "\n:::writing", "\n:::writing{", "\n:::", "\n> ", "\n- ", "\n```", "[", "[](", "[](sandbox:", "\ue200",
    "\ue200cite\ue202", "\ue200entity\ue202[", "\ue202turn", "【", "data:", "data:;base64,", "citeturn1",
    "\n:::writing{a=\"", "\n:::writing{subject=", "【{", "【{\"", "\ue600cite\ue602", "\ue142cite\ue142",
    "\ue200place\ue202[", "data:;base64,\n", "\n- ```", "\n> ```", "\n:::a ",
]  # fmt: skip
FILLINGS = [" ", "`", "1", "a", "}", "[]", "()"]


def rising(length: int) -> str:
    """Runs of 1, 2, 3 … backticks."""
    runs: list[str] = []
    size = 0
    while size < length:
        runs.append("`" * (len(runs) + 1))
        size += len(runs[-1]) + 1
    return " ".join(runs)


def nested(length: int) -> str:
    """Brackets in brackets, all closed."""
    return "[" * (length // 2) + "]" * (length // 2)


def deep(length: int) -> str:
    """Half of it list items in list items, the rest empty lines in them."""
    return "- " * (length // 4) + "\n" * (length // 2)


def deep_frames(length: int) -> str:
    """Frames of 3, 4, 5 … colons, and as many lines that close them."""
    lines: list[str] = []
    size = 0
    while size < length // 2:
        lines.append(":" * (len(lines) + 3))
        size += 2 * len(lines[-1]) + 9
    return "\n".join([*(f"{line}writing" for line in lines), *lines])


def shallow_closings(length: int) -> str:
    """Frames of four colons, and lines of three that close none of them."""
    return "::::writing\n" * (length // 24) + ":::\n" * (length // 8)


def wrapped(length: int) -> str:
    """Inline data in lines of one length."""
    return "data:a/b;base64,\n" + f"{'A' * 76}\n" * (length // 77)


def one_long_mark(length: int) -> str:
    """A mark of references alone."""
    return "\ue200place\ue202" + "turn1a1," * (length // 8) + "\ue201"


def texts() -> Iterator[tuple[str, tuple[str, str, str]]]:
    """Each as its name and the text in three lengths."""
    lengths = (SHORT_BYTES, MIDDLE_BYTES, LONG_BYTES)
    for make in (rising, nested, deep, deep_frames, shallow_closings, wrapped, one_long_mark):
        yield make.__name__, tuple(make(length) + SIGNS for length in lengths)  # type: ignore[misc]
    for unit in REPEATED:
        size = len(unit.encode())
        yield ascii(unit), tuple(unit * (length // size) + SIGNS for length in lengths)  # type: ignore[misc]
    for opener in OPENED:
        for unit in FILLINGS:
            made = tuple(f"{opener}{unit * (length // len(unit))}x{SIGNS}" for length in lengths)
            yield f"{opener!a} {unit!a}", made  # type: ignore[misc]


CASES = dict(texts())
OF_CODE = ["rising", "nested", *(ascii(unit) for unit in REPEATED if "`" in unit or unit in "~[ 1")]
"""What a code message does more than others is to find a fence."""
CHOSEN = [*(("text", name) for name in CASES), *(("code", name) for name in OF_CODE)]


def conversation_of(text: str, content_type: str) -> bytes:
    """An export's item with one answer; a code message is one that the assistant shows."""
    content = {"content_type": content_type, "language": "python", "parts": [text], "text": text}
    message = {"author": {"role": "assistant"}, "recipient": "all", "content": content, "create_time": 1.7e9}
    return orjson.dumps({"conversation_id": "c", "title": "t", "mapping": {"n": {"parent": None, "message": message}}})


def seconds_of(raw: bytes) -> float:
    """CPU time from the raw bytes to the last chunk."""
    gc.disable()  # as in a worker: a collection goes through whatever other tests hold
    try:
        began = time.process_time()
        conversation = extract(raw)
        assert isinstance(conversation, Conversation)
        chunks = list(chunk_conversation(conversation, ChunkSettings()))
        spent = time.process_time() - began
    finally:
        gc.enable()
    assert chunks or conversation.left_out == {"no_text": 1}
    return spent


def assert_linear(raws: tuple[bytes, bytes, bytes]) -> None:
    """Of several tries one has to hold: what else the machine does can only make it slower."""
    for _ in range(TRIES):
        long = seconds_of(raws[2])
        if long <= FLOOR_SECONDS:
            return
        short, middle = seconds_of(raws[0]), seconds_of(raws[1])
        if long <= 8 * short and middle <= 4 * short:
            return
    pytest.fail(f"{short:.2f}, {middle:.2f} and {long:.2f} s for 100, 200 and 400 KB")


@pytest.mark.parametrize(("content_type", "name"), CHOSEN)
def test_extraction_and_chunking_are_linear_when_a_text_is_adversarial(content_type: str, name: str) -> None:
    short, middle, long = (conversation_of(text, content_type) for text in CASES[name])
    assert_linear((short, middle, long))


def node(parent: str | None, text: str = "a") -> dict[str, object]:
    """A message of the mapping."""
    content = {"content_type": "text", "parts": [text]}
    return {"parent": parent, "message": {"author": {"role": "user"}, "content": content}}


def chain(count: int) -> dict[str, object]:
    """One thread, each message below the one before."""
    return {str(i): node(str(i - 1) if i else None) for i in range(count)}


def chain_backwards(count: int) -> dict[str, object]:
    """The same, with the last message first in the file."""
    return dict(reversed(chain(count).items()))


def roots(count: int) -> dict[str, object]:
    """No message has a parent."""
    return {str(i): node(None) for i in range(count)}


def star(count: int) -> dict[str, object]:
    """All messages answer one."""
    return {str(i): node("0" if i else None) for i in range(count)}


def forks(count: int) -> dict[str, object]:
    """A chain at whose every message a side thread begins."""
    return {str(i): node(str(i - 1 - (i + 1) % 2) if i > 1 else "0" if i else None) for i in range(count)}


def cycle(count: int) -> dict[str, object]:
    """All messages in one circle."""
    return {str(i): node(str((i - 1) % count)) for i in range(count)}


def cycles(count: int) -> dict[str, object]:
    """Pairs of messages that are each other's parent, each with a tail."""
    pairs: dict[str, object] = {str(i): node(str(i ^ 1)) for i in range(count // 2)}
    return pairs | {f"t{i}": node(str(i)) for i in range(count // 2)}


def tool(parent: str | None, report: str, text: str = "x" * 500) -> dict[str, object]:
    """A tool's message with a report of that id in its widget."""
    report_message = {"id": report, "content": {"parts": [text]}}
    metadata = {"chatgpt_sdk": {"widget_state": orjson.dumps({"report_message": report_message}).decode()}}
    return {"parent": parent, "message": {"author": {"role": "tool"}, "metadata": metadata}}


def reports(count: int) -> dict[str, object]:
    """One thread of equal reports."""
    return {str(i): tool(str(i - 1) if i else None, f"r{i}") for i in range(count)}


def different_reports(count: int) -> dict[str, object]:
    """One thread of reports that all differ."""
    return {str(i): tool(str(i - 1) if i else None, f"r{i}", f"{i}") for i in range(count)}


def reports_at_forks(count: int) -> dict[str, object]:
    """Each report is a thread of its own."""
    return {str(i): tool("0", "r") if i else node(None) for i in range(count)}


def calls(count: int) -> dict[str, object]:
    """One thread of what may be calls of tools, and no recipient is named."""
    call = {"author": {"role": "assistant"}, "content": {"parts": ['{"updates": []}']}}
    return {str(i): {"parent": str(i - 1) if i else None, "message": call} for i in range(count)}


def left_out(count: int) -> dict[str, object]:
    """One thread with nothing kept but its beginning and its end."""
    hidden = {"author": {"role": "system"}, "content": {"parts": ["a"]}}
    middle: dict[str, object] = {str(i): {"parent": str(i - 1), "message": hidden} for i in range(1, count - 1)}
    return {"0": node(None)} | middle | {str(count - 1): node(str(count - 2))}


SHAPES = [
    chain, chain_backwards, roots, star, forks, cycle, cycles, reports, different_reports, reports_at_forks, calls,
    left_out,
]  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
def test_extraction_and_chunking_are_linear_when_a_tree_is_adversarial(shape) -> None:  # type: ignore[no-untyped-def]
    raws = tuple(
        orjson.dumps({"conversation_id": "c", "title": "t", "mapping": shape(count)}) for count in (2500, 5000, 10_000)
    )
    assert_linear(raws)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "field", [{"create_time": "9" * 400_000}, {"title": "`" * 400_000}, {"update_time": "1." + "3" * 400_000}], ids=str
)
def test_extraction_takes_no_time_when_a_field_is_long(field: dict[str, str]) -> None:
    raw = orjson.dumps({"conversation_id": "c", "title": "t", "mapping": chain(1)} | field)
    assert not isinstance(extract(raw), NotAConversation)
    assert min(seconds_of(raw) for _ in range(TRIES)) <= FLOOR_SECONDS
