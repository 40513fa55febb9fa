"""What the examples in this folder give, as text; and `python -m tests.golden.record`, which writes that down.

Of NAME.json, NAME.messages.ndjson is what `ray-import extract` prints, NAME.chunks.txt holds the contents of the
chunks, and NAME.counts.txt is what `ray-import inspect` counts. What is recorded anew after a change of the rules is
only right once somebody has read the difference line by line beside the rules: a recorded mistake looks like a promise.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from typer.testing import CliRunner

from ray_import.chunks.chunker import chunk_conversation
from ray_import.cli.app import app
from ray_import.pipeline.inspection import extracted
from ray_import.pipeline.sources import open_sources
from ray_import.records import Conversation
from ray_import.settings import ChunkSettings, ImportSettings

HERE = Path(__file__).resolve().parent
EXAMPLES = sorted(path.stem for path in HERE.glob("*.json"))

CHUNKS = ChunkSettings(target_tokens=100, overlap_tokens=12)
"""Small, so that a small example shows where chunks are cut: at 400 bytes, with 48 of overlap."""

BETWEEN_CHUNKS = f"\n{'-' * 80}\n"


def messages_of(name: str) -> str:
    """What `ray-import extract NAME.json` prints."""
    return _printed(name, "extract")


def counts_of(name: str) -> str:
    """What `ray-import inspect NAME.json --json` prints, one number or problem a line, without noughts and the path."""
    sizes = ("--chunk-tokens", str(CHUNKS.target_tokens), "--overlap-tokens", str(CHUNKS.overlap_tokens))
    found = json.loads(_printed(name, "inspect", "--json", *sizes))
    del found["source"]
    return "".join(f"{line}\n" for line in _lines("", found))


def _printed(name: str, command: str, *options: str) -> str:
    """An example may be damaged on purpose: then the exit code is 1."""
    result = CliRunner().invoke(app, [command, str(HERE / f"{name}.json"), *options])
    assert result.exit_code in (0, 1), result.output
    return result.stdout


def _lines(path: str, value: object) -> Iterator[str]:
    if isinstance(value, dict) and "kind" in value:
        yield f"{path} {value['kind']}: {value['where']}: {value['detail']}"
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _lines(f"{path}, {key}" if path else key, inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _lines(path, inner)
    elif value:
        yield f"{path}: {value}"


def chunks_of(name: str) -> str:
    """The contents of the chunks of all conversations, in order."""
    settings = ImportSettings(chunks=CHUNKS)
    found = extracted(open_sources([HERE / f"{name}.json"], settings.read), settings)
    chunks = [chunk for one in found if isinstance(one, Conversation) for chunk in chunk_conversation(one, CHUNKS)]
    return BETWEEN_CHUNKS.join(chunk.content for chunk in chunks) + "\n"


OUTCOMES = {"messages.ndjson": messages_of, "chunks.txt": chunks_of, "counts.txt": counts_of}


def main() -> None:
    """Writes every expected file, and names those that changed."""
    for name in EXAMPLES:
        for suffix, outcome in OUTCOMES.items():
            path, now = HERE / f"{name}.{suffix}", outcome(name).encode()
            if not path.exists() or path.read_bytes() != now:
                path.write_bytes(now)
                sys.stdout.write(f"recorded {path.name}\n")


if __name__ == "__main__":
    main()
