"""Standard output for results, standard error for everything else."""

import sys

import orjson
from rich.console import Console

stderr = Console(stderr=True, highlight=False)
stdout = Console(highlight=False)


def print_json(value: object) -> None:
    """One JSON object on standard output, and nothing else there."""
    sys.stdout.write(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode() + "\n")
    sys.stdout.flush()
