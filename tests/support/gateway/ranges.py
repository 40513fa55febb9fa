"""Range requests, as Storage answers them."""

import re


class Unsatisfiable(Exception):
    """A range that is not there, or not one that is understood; `understood` tells which."""

    def __init__(self, *, understood: bool) -> None:
        super().__init__(understood)
        self.understood = understood


def asked_range(header: str, size: int) -> tuple[int, int]:
    """First byte and length of `bytes=0-9`, `bytes=100-` and `bytes=-5`; raises Unsatisfiable for all others."""
    found = re.fullmatch(r"bytes=(\d*)-(\d*)", header.strip())
    if not found or found.groups() == ("", ""):
        raise Unsatisfiable(understood=False)
    first, last = found.groups()
    if first and last and int(last) < int(first):
        raise Unsatisfiable(understood=False)
    start = int(first) if first else max(0, size - int(last))
    end = min(size - 1, int(last)) if first and last else size - 1
    if start >= size or end < start:
        raise Unsatisfiable(understood=True)
    return start, end - start + 1
