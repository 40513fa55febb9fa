"""Files of figures: what `--out` writes, and what plots are drawn of."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from benchmarks import machine


def write(path: Path, figures: Sequence[dict[str, Any]]) -> None:
    """Writes the figures, each with a `label` and its `megabytes`, and what they were measured on."""
    found = {"machine": machine.describe(), "results": list(figures)}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(orjson.dumps(found, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


def read(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """The figures of all of these files."""
    return [figure for path in paths for figure in orjson.loads(path.read_bytes())["results"]]
