"""What a person meets: commands, options, bars, tables, exit codes."""

import time

_BEGAN = time.monotonic()


def command_seconds() -> float:
    """For how long this command has been running."""
    return time.monotonic() - _BEGAN
