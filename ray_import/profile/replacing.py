"""Keeps the facts of a conversation until those that take their place are there.

So a run that stops anywhere leaves a whole profile, and no fact twice. A conversation that has changed, or is asked
about by another model or prompt, gets new units. The facts of those that are answered first wait in the rows of their
requests. With the last one all of them are saved, and the old units deleted with their facts, in one transaction.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from ray_import.destinations.profiles import Fact
from ray_import.profile.plan import Replacement
from ray_import.profile.requests import RequestLog
from ray_import.profile.units import Unit

_HELD = "held"
"""In the result of a request: facts of its answer that wait."""


class Outcome(NamedTuple):
    """What is saved with an answer: `facts` are rows, `result` is the request's, `replaced` are ids of old units."""

    facts: list[Fact]
    result: dict[str, Any] | None
    replaced: list[str]


@dataclass(slots=True)
class _Open:
    """A conversation whose old units are still there. `facts` are those of its new ones that are answered."""

    old: tuple[str, ...]
    waiting: set[str]
    facts: list[Fact]


class Replacing:
    """The replacements of one run, by its last plan."""

    def __init__(self, log: RequestLog) -> None:
        self._log = log
        self._by_unit: dict[str, _Open] = {}

    @property
    def old(self) -> set[str]:
        """The ids of old units that are still there."""
        return {unit_id for opened in self._by_unit.values() if opened.waiting for unit_id in opened.old}

    def plan(self, replacements: Sequence[Replacement]) -> None:
        """Begins anew with those of a plan. Ends what waits for nothing any more."""
        held = self._held(replacements)
        self._by_unit = {}
        for one in replacements:
            facts = [fact for unit in one.answered for fact in held[unit.id]]
            if one.waiting:
                opened = _Open(one.old, set(one.waiting), facts)
                self._by_unit.update(dict.fromkeys(one.waiting, opened))
            else:
                self._log.store.replace_units(self._log.user_id, one.old, facts)
                self._log.report.dropped_units += len(one.old)

    def answered(self, units: Iterable[Unit], facts: Iterable[Fact]) -> Outcome:
        """What is to be saved of an answer about these units."""
        of_unit = defaultdict[str, list[Fact]](list)
        for fact in facts:
            of_unit[fact.unit_id].append(fact)
        now, held, replaced = list[Fact](), list[Fact](), list[str]()
        for unit in units:
            opened = self._by_unit.get(unit.id)
            if opened is None:
                now += of_unit[unit.id]
                continue
            held += of_unit[unit.id]
            opened.facts += of_unit[unit.id]
            opened.waiting.discard(unit.id)
            if not opened.waiting:
                now += opened.facts
                replaced += opened.old
        saved = {fact.id for fact in now}
        left = [asdict(fact) for fact in held if fact.id not in saved]
        self._log.report.dropped_units += len(replaced)
        return Outcome(now, {_HELD: left} if left else None, replaced)

    def _held(self, replacements: Sequence[Replacement]) -> defaultdict[str, list[Fact]]:
        """The facts that wait, by their unit."""
        found = defaultdict[str, list[Fact]](list)
        wanted = {unit.id: unit.request_id for one in replacements for unit in one.answered}
        if wanted:
            for request in self._log.store.requests(self._log.user_id, ("answered",)):
                for values in (request.result or {}).get(_HELD, ()):
                    fact = Fact(**values)
                    if wanted.get(fact.unit_id) == request.id:
                        found[fact.unit_id].append(fact)
        return found
