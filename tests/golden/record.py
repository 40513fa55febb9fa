"""What the examples in this folder give, as text; and `python -m tests.golden.record`, which writes that down.

Of NAME.json, NAME.messages.ndjson is what `ray-import extract` prints, and NAME.chunks.txt holds the contents of the
chunks. What is recorded anew after a change of the rules is only right once somebody has read the difference line by
line beside the rules: a recorded mistake looks like a promise.
"""

import sys
from pathlib import Path

from typer.testing import CliRunner

from ray_import.chunks.chunker import chunk_conversation
from ray_import.importing.inspection import extracted
from ray_import.importing.sources import open_sources
from ray_import.records import Conversation
from ray_import.settings import ChunkSettings, ImportSettings
from ray_import.terminal.app import app

HERE = Path(__file__).resolve().parent
EXAMPLES = sorted(path.stem for path in HERE.glob("*.json"))

CHUNKS = ChunkSettings(target_tokens=100, overlap_tokens=12)
"""Small, so that a small example shows where chunks are cut: at 400 bytes, with 48 of overlap."""

BETWEEN_CHUNKS = f"\n{'-' * 80}\n"


def messages_of(name: str) -> str:
    """What `ray-import extract NAME.json` prints."""
    result = CliRunner().invoke(app, ["extract", str(HERE / f"{name}.json")])
    assert result.exit_code == 0, result.output
    return result.stdout


def chunks_of(name: str) -> str:
    """The contents of the chunks of all conversations, in order."""
    settings = ImportSettings(chunks=CHUNKS)
    found = extracted(open_sources([HERE / f"{name}.json"], settings.read), settings)
    chunks = [chunk for one in found if isinstance(one, Conversation) for chunk in chunk_conversation(one, CHUNKS)]
    return BETWEEN_CHUNKS.join(chunk.content for chunk in chunks) + "\n"


OUTCOMES = {"messages.ndjson": messages_of, "chunks.txt": chunks_of}


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
