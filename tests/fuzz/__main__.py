"""`python -m tests.fuzz --count 10000`: many mutations of every operator; ends with 1 on a broken promise.

`--operator NAME --seed N --count 1` tries one again.
"""

import argparse
import faulthandler
import sys
import time
from collections import Counter

from tests.fuzz.breaking import OPERATORS, mutation
from tests.fuzz.promises import tried, violations

HANGS_AFTER_SECONDS = 120
"""Then where it hangs is printed, and all ends: a hang cannot be counted."""

STATUSES = ("complete", "partial", "failed", "refused", "fault")


def main() -> int:
    """Runs what the command line asks for and prints a table."""
    options = _options()
    operators = options.operator or OPERATORS
    outcomes: dict[str, Counter[str]] = {operator: Counter() for operator in operators}
    began = time.monotonic()
    for number in range(options.count):
        operator = operators[number % len(operators)]
        outcomes[operator].update(_try(operator, options.seed + number // len(operators)))
    _show(outcomes, time.monotonic() - began)
    return 1 if any(counts["broken"] for counts in outcomes.values()) else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--count", type=int, default=1000, help="how many mutations")
    parser.add_argument("--seed", type=int, default=0, help="the first seed of each operator")
    parser.add_argument("--operator", action="append", choices=OPERATORS, help="these operators alone")
    return parser.parse_args()


def _try(operator: str, seed: int) -> list[str]:
    """What is to be counted of one mutation."""
    faulthandler.dump_traceback_later(HANGS_AFTER_SECONDS, exit=True)
    trial = tried(mutation(operator, seed))
    faulthandler.cancel_dump_traceback_later()
    found = violations(trial)
    if found:
        sys.stdout.write(f'\n--operator "{operator}" --seed {seed} --count 1\n  {trial.mutation.told_as}\n')
        sys.stdout.writelines(f"  {line}\n" for line in found)
    return ["mutations", trial.outcome.status, *(["broken"] if found else [])]


def _show(outcomes: dict[str, Counter[str]], seconds: float) -> None:
    columns = ("mutations", *STATUSES, "broken")
    width = max(map(len, outcomes))
    lines = [" " * width + "".join(f"{column:>11}" for column in columns)]
    total: Counter[str] = sum(outcomes.values(), Counter())
    for operator, counts in [*outcomes.items(), ("all", total)]:
        lines.append(f"{operator:{width}}" + "".join(f"{counts[column]:11,}" for column in columns))
    sys.stdout.write("\n" + "\n".join(lines) + f"\n{seconds:.0f} s\n")


if __name__ == "__main__":
    sys.exit(main())
