"""Standard output for results, standard error for everything else."""

import sys

import orjson
from rich.console import Console


class _Console(Console):
    """A console that takes no file's name for markup, and leaves it to its caller that nobody reads."""

    def on_broken_pipe(self) -> None:
        """Rich would end the process with 1; see `errors_told`."""
        raise BrokenPipeError


stderr = _Console(stderr=True, highlight=False, markup=False)
stdout = _Console(highlight=False, markup=False)


def print_json(value: object) -> None:
    """One JSON object on standard output, and nothing else there."""
    sys.stdout.write(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode() + "\n")
    sys.stdout.flush()
