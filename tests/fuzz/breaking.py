"""From an operator and a seed to a mutation: the same one every time, as long as the examples stay what they are."""

from random import Random

from tests.fuzz.exports import EXPORTS, good_export
from tests.fuzz.mutation import Mutation
from tests.fuzz.packings import PACKINGS, zip_of
from tests.fuzz.texts import TEXTS
from tests.fuzz.values import VALUES

OPERATORS = [*VALUES, *TEXTS, *PACKINGS]


def mutation(operator: str, seed: int) -> Mutation:
    """The mutation of that operator and seed."""
    rng = Random(f"{operator} {seed}")
    export = good_export(rng.randrange(EXPORTS))
    window_bytes = rng.choice([64, 1000, 5000, 512 * 1024])
    batch_bytes = rng.choice([1, 10_000, 1024 * 1024])
    if operator in PACKINGS:
        damaged = PACKINGS[operator](rng, export)
        return Mutation(
            operator, seed, export, damaged.broken, damaged.name, damaged.file, False, window_bytes, batch_bytes
        )
    broken = (VALUES.get(operator) or TEXTS[operator])(rng, export)
    name, file = "conversations.json", broken.text
    if rng.random() < 0.2:
        name, file = "export.zip", zip_of({"conversations.json": broken.text})
    return Mutation(operator, seed, export, broken, name, file, True, window_bytes, batch_bytes)
