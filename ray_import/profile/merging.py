"""All facts of a user put together: which say the same, which were true until the user said otherwise.

A pure function of the facts and of the answers to merge questions, whatever their order; time and memory are linear in
the number of facts. Nothing is deleted.

Equal after normalising: duplicates. Nearly the same letters, and no word that differs but for a plural: duplicates.
Somewhat alike, or of one subject: unclear, a question for the model. No code can tell "on 3 May" from "on 4 May" as it
can tell two spellings apart, so that only what cannot change the meaning is merged without a question.
"""

import gc
import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from ray_import.destinations.profiles import Fact
from ray_import.profile.similarity import Groups, alike, normalised, resemblance

Relation = Literal["same", "contradicts", "different"]

DUPLICATE = 0.9
"""Resemblance from which on two statements are duplicates, if their words are the same but for a plural."""

UNCLEAR = 0.5
"""Resemblance from which on two statements of a category are worth a question."""

MOST_OF_SUBJECT = 16
"""Facts of one category and subject that are asked about without being alike. A subject of more ("the user") says
nothing."""

SUBJECT_NEIGHBOURS = 2
"""Each of those is compared with so many that were said next."""

_SUBJECT_BONUS = 0.3
"""By so much more urgent is a question about facts of one subject: that is where the user changed their mind."""


class Decision(NamedTuple):
    """The answer to a merge question about two facts, by id."""

    one: str
    other: str
    relation: Relation


@dataclass(frozen=True, slots=True)
class Merged:
    """`facts` are all of them, by `said_at` and id, with status, superseded_by, valid_from, valid_to and seen set.
    `unclear` are the questions, the most urgent first: ids of facts that are not duplicates, the one said first first.
    """

    facts: tuple[Fact, ...]
    unclear: tuple[tuple[str, str], ...]


@contextmanager
def _no_collections() -> Iterator[None]:
    """Merging makes no cycles, and each full collection walks all facts again: at 36,000 a third of the CPU time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@_no_collections()
def merged(facts: Iterable[Fact], decisions: Iterable[Decision]) -> Merged:
    """What the facts come to. Decisions about facts that are not there are ignored."""
    ordered = _ordered(facts)
    by_id = {fact.id: fact for fact in ordered}
    known = [decision for decision in decisions if decision.one in by_id and decision.other in by_id]
    groups = Groups(by_id)
    firsts = _merge_equal(ordered, groups)
    for decision in known:
        if decision.relation == "same":
            groups.join(decision.one, decision.other)
    questions = _compare(firsts, groups)
    members = _members(ordered, groups)
    closed = _closed(_between(known, groups, "contradicts"), members)
    decided = {frozenset((groups.of(decision.one), groups.of(decision.other))) for decision in known}
    return Merged(
        tuple(_settled(fact, members[groups.of(fact.id)], closed.get(groups.of(fact.id))) for fact in ordered),
        _unclear(questions, groups, members, decided),
    )


def changed_facts(before: Iterable[Fact], after: Iterable[Fact]) -> list[Fact]:
    """Those of `after` that are to be stored."""
    stored = {fact.id: fact for fact in before}
    return [fact for fact in after if stored.get(fact.id) != fact]


def facts_hash(facts: Iterable[Fact]) -> str:
    """Of the active facts: as long as it is the same, a profile made of them says the same."""
    ids = sorted(fact.id for fact in facts if fact.status == "active")
    return hashlib.sha256("\n".join(ids).encode()).hexdigest()


def comparable(fact: Fact) -> str:
    """What the fact says, normalised, with its subject where the statement does not name it."""
    statement, subject = normalised(fact.statement), normalised(fact.subject)
    return statement if f" {subject} " in f" {statement} " else f"{subject} {statement}".strip()


def _ordered(facts: Iterable[Fact]) -> list[Fact]:
    """By `said_at` and id; facts without a time are the last. One of each id."""
    by_id = dict[str, Fact]()
    for fact in facts:
        other = by_id.get(fact.id)
        by_id[fact.id] = fact if other is None else min(fact, other, key=repr)
    return sorted(by_id.values(), key=_when)


def _when(fact: Fact) -> tuple[bool, str, str]:
    return fact.said_at is None, fact.said_at or "", fact.id


def _merge_equal(ordered: Sequence[Fact], groups: Groups) -> dict[str, dict[str, Fact]]:
    """Joins facts that are equal after normalising. By category and text the one said first."""
    firsts = defaultdict[str, dict[str, Fact]](dict)
    for fact in ordered:
        first = firsts[fact.category].setdefault(comparable(fact), fact)
        groups.join(first.id, fact.id)
    return firsts


def _compare(firsts: dict[str, dict[str, Fact]], groups: Groups) -> dict[tuple[str, str], float]:
    """Joins near duplicates. What is unclear, with its urgency, by the ids of both."""
    questions = dict[tuple[str, str], float]()
    for by_text in firsts.values():
        texts = sorted(by_text)
        for one, other, by in alike(texts, UNCLEAR):
            ids = by_text[texts[one]].id, by_text[texts[other]].id
            if by >= DUPLICATE and _same_words(texts[one], texts[other]):
                groups.join(*ids)
            else:
                questions[ids] = by
        for one_text, other_text in _of_one_subject(by_text):
            ids = by_text[one_text].id, by_text[other_text].id
            questions[ids] = resemblance(one_text, other_text) + _SUBJECT_BONUS
    return questions


def _same_words(one: str, other: str) -> bool:
    """The same words in the same order, but for a plural's s."""
    words, others = one.split(), other.split()
    return len(words) == len(others) and all(map(_same_word, words, others))


def _same_word(one: str, other: str) -> bool:
    short, long = sorted((one, other), key=len)
    return one == other or (len(short) > 3 and short.isalpha() and long == short + "s")


def _of_one_subject(by_text: dict[str, Fact]) -> Iterable[tuple[str, str]]:
    """Pairs of texts whose subject is the same, said one after the other."""
    by_subject = defaultdict[str, list[str]](list)
    for text, fact in sorted(by_text.items(), key=lambda item: _when(item[1])):
        by_subject[normalised(fact.subject)].append(text)
    for subject, texts in by_subject.items():
        if subject and len(texts) <= MOST_OF_SUBJECT:
            for index, text in enumerate(texts):
                yield from ((text, later) for later in texts[index + 1 : index + 1 + SUBJECT_NEIGHBOURS])


def _members(ordered: Sequence[Fact], groups: Groups) -> dict[str, list[Fact]]:
    """The facts of each group, the one said first first: it stands for the group."""
    members = defaultdict[str, list[Fact]](list)
    for fact in ordered:
        members[groups.of(fact.id)].append(fact)
    return members


def _between(decisions: Iterable[Decision], groups: Groups, relation: Relation) -> set[tuple[str, str]]:
    """The groups that are in this relation."""
    found = {
        (groups.of(decision.one), groups.of(decision.other)) for decision in decisions if decision.relation == relation
    }
    return {pair for pair in found if pair[0] != pair[1]}


class _Closed(NamedTuple):
    """Until when a group was true, and the fact that said otherwise."""

    valid_to: str
    by: str


def _closed(contradictions: Iterable[tuple[str, str]], members: dict[str, list[Fact]]) -> dict[str, _Closed]:
    """The groups that are superseded. The one said last holds; where the dates do not tell, both do."""
    closed = dict[str, _Closed]()
    for pair in contradictions:
        older, newer = sorted(pair, key=lambda group: _last_said(members[group]))
        last = _last_said(members[older])
        if not last or last == _last_said(members[newer]):
            continue
        until = min(fact.said_at for fact in members[newer] if fact.said_at and fact.said_at > last)
        end = _Closed(until, members[newer][0].id)
        closed[older] = min(closed.get(older, end), end)
    return closed


def _last_said(facts: Sequence[Fact]) -> str:
    """Empty where no time is known. Times are all of one form, so that text sorts as time does."""
    return max(fact.said_at or "" for fact in facts)


def _settled(fact: Fact, group: Sequence[Fact], closed: _Closed | None) -> Fact:
    first = group[0]
    if fact is not first:
        return replace(fact, status="duplicate", superseded_by=first.id, valid_to=None, seen=1)
    valid_from = fact.valid_from or fact.said_at
    if closed is None:
        return replace(fact, status="active", superseded_by=None, valid_from=valid_from, valid_to=None, seen=len(group))
    return replace(
        fact,
        status="superseded",
        superseded_by=closed.by,
        valid_from=valid_from,
        valid_to=closed.valid_to,
        seen=len(group),
    )


def _unclear(
    questions: dict[tuple[str, str], float],
    groups: Groups,
    members: dict[str, list[Fact]],
    decided: set[frozenset[str]],
) -> tuple[tuple[str, str], ...]:
    """The questions between groups that have no answer, the most urgent first."""
    urgency = dict[tuple[str, str], float]()
    for (one, other), by in questions.items():
        pair = groups.of(one), groups.of(other)
        if pair[0] == pair[1] or frozenset(pair) in decided:
            continue
        first, second = sorted((members[group][0] for group in pair), key=_when)
        ids = first.id, second.id
        urgency[ids] = max(by, urgency.get(ids, 0.0))
    return tuple(sorted(urgency, key=lambda ids: (-round(urgency[ids], 3), ids)))
