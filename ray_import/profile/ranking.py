"""Which facts go where there is no room for all."""

from collections import defaultdict
from collections.abc import Callable, Iterable

from ray_import.profile.categories import CATEGORIES
from ray_import.sink.profiles import Fact


def chosen(facts: Iterable[Fact], tokens_of_fact: Callable[[Fact], int], most_tokens: int) -> list[Fact]:
    """Active facts within `most_tokens`, by category and time.

    The categories take turns. Within one, what was said most often comes first, then what was said last.
    """
    queues = _by_category(facts)
    for queue in queues.values():
        queue.sort(key=lambda fact: (min(fact.seen, 8), fact.said_at or "", fact.id))
    found, tokens = list[Fact](), 0
    while any(queues.values()):
        for queue in queues.values():
            if queue:
                fact = queue.pop()
                tokens += tokens_of_fact(fact)
                if tokens > most_tokens:
                    return _in_order(found)
                found.append(fact)
    return _in_order(found)


def _by_category(facts: Iterable[Fact]) -> dict[str, list[Fact]]:
    queues = defaultdict[str, list[Fact]](list, {category: [] for category in CATEGORIES})
    for fact in facts:
        if fact.status == "active":
            queues[fact.category].append(fact)
    return queues


def _in_order(facts: Iterable[Fact]) -> list[Fact]:
    order: dict[str, int] = {category: index for index, category in enumerate(CATEGORIES)}
    return sorted(facts, key=lambda fact: (order.get(fact.category, len(order)), fact.said_at or "~", fact.id))
