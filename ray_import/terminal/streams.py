"""Standard output for results, standard error for everything else."""

import sys

import orjson
from rich.console import Console


class _Told(Console):
    """Standard error: where nobody reads it, an import goes on in silence."""

    def on_broken_pipe(self) -> None:
        """Rich would end the process."""
        self.quiet = True


class _Results(Console):
    """Standard output: where nobody reads it, there is nothing more to do (see `errors_told`)."""

    def on_broken_pipe(self) -> None:
        """Rich would end the process with 1."""
        raise BrokenPipeError


# No markup: a file's name may hold brackets.
stderr = _Told(stderr=True, highlight=False, markup=False)
stdout = _Results(highlight=False, markup=False)


def print_json(value: object) -> None:
    """One JSON object on standard output, and nothing else there."""
    sys.stdout.write(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode() + "\n")
    sys.stdout.flush()
