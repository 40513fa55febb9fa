"""Makes a case that fails as small as it can be, by leaving out one thing after the other."""

import json
import re
from collections.abc import Callable, Iterator

Fails = Callable[[bytes], bool]
MOST_TRIES = 3000
PIECES = re.compile(
    "\ue200[^\ue201]*\ue201|\ue600[^\ue601]*\ue601|\ue142[^\ue141]*\ue141|【[^】]*】|data:[^,]*,[A-Za-z0-9+/=]*"
    "|:::+[a-zA-Z]*|[{][^}]*[}]|[`~]+|\\[[^]]*\\][(][^)]*[)]|[\\w]+|\n|.",
    re.DOTALL,
)
"""What is left out of a text as a whole."""


def smallest(raw: bytes, fails: Fails) -> bytes:
    """A smaller conversation for which `fails` still holds, as small as single removals make it."""
    tries = 0
    value = json.loads(raw)
    shrunk = True
    while shrunk and tries < MOST_TRIES:
        shrunk = False
        for candidate in _smaller(value):
            tries += 1
            if tries > MOST_TRIES:
                break
            if _still_fails(candidate, fails):
                value, shrunk = candidate, True
                break
    return json.dumps(value).encode()


def _still_fails(value: object, fails: Fails) -> bool:
    try:
        return fails(json.dumps(value).encode())
    except Exception:  # noqa: BLE001 (a case that breaks in another way is another case)
        return False


def _smaller(value: object) -> Iterator[object]:
    """`value` with one thing less: a key, an item, a piece of a string, at any depth."""
    if isinstance(value, dict):
        for key in value:
            yield {name: kept for name, kept in value.items() if name != key}
        for key, inner in value.items():
            for smaller in _smaller(inner):
                yield {**value, key: smaller}
    elif isinstance(value, list):
        for number in range(len(value)):
            yield value[:number] + value[number + 1 :]
        for number, inner in enumerate(value):
            for smaller in _smaller(inner):
                yield [*value[:number], smaller, *value[number + 1 :]]
    elif isinstance(value, str) and value:
        yield from _shorter(value)


def _shorter(text: str) -> Iterator[str]:
    """`text` without some of its pieces: halves first, then less. A mark is one piece, so that it stays one."""
    pieces = PIECES.findall(text)
    size = max(len(pieces) // 2, 1)
    while size:
        for start in range(0, len(pieces), size):
            yield "".join(pieces[:start] + pieces[start + size :])
        size //= 2
