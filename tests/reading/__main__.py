"""`python -m tests.reading --count 3000`: random conversations by the product and by the reading; 1 on a difference.

`--seed N` begins at another number; `--count 1` with it shows one case, and a smaller one that differs as well.
"""

import argparse
import json
import sys
from collections import Counter

from ray_import.settings import Branches
from tests.reading.comparison import Difference, differences
from tests.reading.generator import conversation
from tests.reading.shrinking import smallest


def branches_of(seed: int) -> Branches:
    """Every seventh case is read with the shown path alone."""
    return "active" if seed % 7 == 3 else "all"


def kind_of(difference: Difference) -> str:
    """What differs, without its place: `text`, `title`."""
    return difference.place.split(" ")[0]


def told(seed: int) -> str:
    """The differences of a case, a smaller case for the first of them, and the command that repeats it."""
    branches = branches_of(seed)
    found = differences(conversation(seed), branches)
    if not found:
        return ""
    first = kind_of(found[0])
    small = smallest(conversation(seed), lambda raw: first in map(kind_of, differences(raw, branches)))
    return "\n".join(
        [
            f"python -m tests.reading --seed {seed} --count 1   (branches: {branches})",
            *(f"  {one}" for one in found),
            f"  smaller: {small.decode()}",
            *(f"  {one}" for one in differences(small, branches)),
        ]
    )


def main() -> int:
    """Runs what the command line asks for and prints what differs."""
    parser = argparse.ArgumentParser(prog="python -m tests.reading", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--count", type=int, default=3000, help="how many cases")
    parser.add_argument("--show", type=int, default=5, help="how many cases that differ are shown in full")
    options = parser.parse_args()
    kinds: Counter[str] = Counter()
    shown = 0
    for seed in range(options.seed, options.seed + options.count):
        found = differences(conversation(seed), branches_of(seed))
        kinds.update({kind_of(one) for one in found})
        kinds["cases"] += bool(found)
        if found and shown < options.show:
            shown += 1
            sys.stdout.write(told(seed) + "\n\n")
    if options.count == 1:
        sys.stdout.write(json.dumps(json.loads(conversation(options.seed)), indent=1) + "\n")
    sys.stdout.write(f"{options.count} cases, {kinds.pop('cases')} with a difference: {dict(kinds)}\n")
    return 1 if kinds else 0


if __name__ == "__main__":
    sys.exit(main())
