"""Small exports, each for one family of rules, give the messages, chunks and counts that stand beside them.

How to record them anew, and when: tests/golden/record.py.
"""

import pytest

from tests.golden.record import EXAMPLES, HERE, OUTCOMES


@pytest.mark.parametrize("suffix", OUTCOMES)
@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_gives_what_stands_beside_it(name: str, suffix: str) -> None:
    expected = (HERE / f"{name}.{suffix}").read_bytes().decode()
    assert OUTCOMES[suffix](name) == expected


def test_every_expected_file_has_its_example() -> None:
    beside = {path.name for path in HERE.iterdir() if path.suffix in (".ndjson", ".txt")}
    assert beside == {f"{name}.{suffix}" for name in EXAMPLES for suffix in OUTCOMES}
