"""Makes a case that fails as small as it can be, by leaving out one thing after the other."""

import json
from collections.abc import Callable, Iterator

Fails = Callable[[bytes], bool]
MOST_TRIES = 3000


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
    elif isinstance(value, str) and len(value) > 1:
        yield from _shorter(value)


def _shorter(text: str) -> Iterator[str]:
    size = len(text) // 2
    while size:
        for start in range(0, len(text), size):
            yield text[:start] + text[start + size :]
        size //= 2
