"""Does the time grow with a conversation's length, and no faster? `python -m benchmarks.long_conversations`.

Prints the milliseconds per MB (or per 1,000 nodes) for conversations of growing size: where a column stays the same
from left to right, the time is linear in the size. Each cell is the best of some runs, in one process.
"""

import argparse
import gc
import time
from collections.abc import Callable
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table

from ray_import.chatgpt.extract import extract
from ray_import.chatgpt.text import clean_answer
from ray_import.chunks.chunker import chunk_conversation
from ray_import.records import Conversation
from ray_import.settings import ChunkSettings

START = 1_700_000_000

SENTENCE = "So it was said, and \ue200cite\ue202turn0search1\ue201 nobody wondered. "
TEXTS = {
    "prose with marks": SENTENCE,
    "Japanese": "そう言われて、誰も驚かなかった。",
    "one word": "x",
    "emoji": "👩\u200d👩\u200d👧",
    "code": "```\n    x = [y for y in range(10)]\n```\n",
    "blank lines": "\n\n",
}


def text_of(piece: str, size_bytes: int) -> str:
    """About `size_bytes` of UTF-8."""
    return "so" + piece * (size_bytes // len(piece.encode()))


def node(key: str, parent: str | None, text: str, second: int) -> dict[str, Any]:
    """A message of the user."""
    message = {"author": {"role": "user"}, "create_time": START + second, "content": {"parts": [text]}}
    return {"id": key, "parent": parent, "message": message}


def conversation_of(nodes: list[dict[str, Any]]) -> bytes:
    """As a file has it."""
    return orjson.dumps({"id": "c", "title": "Long", "mapping": {one["id"]: one for one in nodes}})


def one_message(text: str) -> bytes:
    """All of it in one message."""
    return conversation_of([node("n", None, text, 0)])


def deep(count: int) -> bytes:
    """Each message answers the one before."""
    return conversation_of([node(f"n{i}", f"n{i - 1}" if i else None, "so", i) for i in range(count)])


def wide(count: int) -> bytes:
    """All messages answer the first one, the newest first in the mapping."""
    return conversation_of([node(f"n{i}", "n0" if i else None, "so", -i) for i in range(count)])


def extracted(raw: bytes) -> Conversation:
    """What the rules make of it."""
    found = extract(raw)
    assert isinstance(found, Conversation)
    return found


def best_seconds(work: Callable[[], object], runs: int) -> float:
    """The shortest of some runs."""
    best = float("inf")
    for _ in range(runs):
        began = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - began)
    return best


def by_size(console: Console, megabytes: list[float], runs: int) -> None:
    """Milliseconds per MB of each text, for each step."""
    table = Table("ms per MB", *(f"{size:g} MB" for size in megabytes), title="one message of so much text")
    for name, piece in TEXTS.items():
        rows: dict[str, list[float]] = {"text": [], "chunks": []}
        for size in megabytes:
            text = text_of(piece, int(size * 1e6))
            conversation = extracted(one_message(text))
            cleaning = best_seconds(lambda text=text: clean_answer(text), runs)  # type: ignore[misc]
            chunking = best_seconds(lambda c=conversation: list(chunk_conversation(c, ChunkSettings())), runs)  # type: ignore[misc]
            rows["text"].append(1000 * cleaning / size)
            rows["chunks"].append(1000 * chunking / size)
        for step, figures in rows.items():
            table.add_row(f"{step}, {name}", *(f"{figure:.2f}" for figure in figures))
    console.print(table)


def by_nodes(console: Console, counts: list[int], runs: int) -> None:
    """Milliseconds per 1,000 nodes of the whole extraction and of the chunks."""
    table = Table("ms per 1,000 nodes", *(f"{count:,}" for count in counts), title="so many messages")
    for name, shape in {"deep": deep, "wide": wide}.items():
        rows: dict[str, list[float]] = {"extract": [], "chunks": []}
        for count in counts:
            raw = shape(count)
            conversation = extracted(raw)
            rows["extract"].append(best_seconds(lambda raw=raw: extract(raw), runs) * 1e6 / count)  # type: ignore[misc]
            chunking = best_seconds(lambda c=conversation: list(chunk_conversation(c, ChunkSettings())), runs)  # type: ignore[misc]
            rows["chunks"].append(chunking * 1e6 / count)
        for step, figures in rows.items():
            table.add_row(f"{step}, {name}", *(f"{figure:.2f}" for figure in figures))
    console.print(table)


def main() -> None:
    """Prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mb", type=float, nargs="+", default=[1, 2, 4], help="megabytes of text")
    parser.add_argument("--nodes", type=int, nargs="+", default=[10_000, 30_000, 100_000], help="messages")
    parser.add_argument("--runs", type=int, default=3, help="the best of so many is told")
    arguments = parser.parse_args()
    console = Console(width=100)
    gc.disable()  # as in a worker: else the collections, too, go through all that is there
    by_size(console, arguments.mb, arguments.runs)
    by_nodes(console, arguments.nodes, arguments.runs)


if __name__ == "__main__":
    main()
