"""What an import keeps to, however its export is broken."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isinf
from typing import Any

import orjson

from ray_import.chatgpt.decode import decode
from ray_import.chatgpt.extract import content_hash
from ray_import.errors import ImporterError, RecordError, SourceError
from ray_import.pipeline.report import Summary
from ray_import.reader.items import SAMPLE_BYTES
from ray_import.records import Conversation, Problem, lacks
from ray_import.settings import ImportSettings
from tests.fuzz.exports import has_mapping
from tests.fuzz.mutation import Mutation
from tests.fuzz.outcomes import Outcome, Stored, Unbroken, import_once, outcome_of
from tests.unit.pipeline.runs import add_up

MAX_SECONDS = 20.0
"""A mutation takes some hundredths of one: whoever takes that long would not end for a real export."""

BLANK = b" \t\r\n"

JOB_COUNTS = ("conversations", "messages", "chunks", "notes")
"""What a summary has in common with the job's row."""


@dataclass(frozen=True)
class Trial:
    """A mutation, what came of it, and what comes of the unbroken export."""

    mutation: Mutation
    outcome: Outcome
    unbroken: Outcome

    @cached_property
    def stored(self) -> dict[str, Stored]:
        """The conversations that are in."""
        return self.outcome.stored()

    @cached_property
    def expected(self) -> dict[str, Stored]:
        """The conversations of the unbroken export."""
        return self.unbroken.stored()

    def arrived(self, place: int) -> bool:
        """Whether the item of that place is in as it was before the export was broken."""
        return self.stored.get(self.key(place)) == self.expected[self.key(place)]

    def key(self, place: int) -> str:
        """The hash by which the ledger knows the item of that place."""
        return content_hash(self.mutation.export.items[place])

    @property
    def is_told(self) -> bool:
        """Whether anything says that not all is well."""
        if self.outcome.summary is None or self.unbroken.summary is None:
            return True
        others = self.outcome.summary.counts.not_a_conversation > self.unbroken.summary.counts.not_a_conversation
        return self.outcome.summary.status != "complete" or others


Promise = Callable[[Trial], Iterator[str]]


def nothing_is_raised(trial: Trial) -> Iterator[str]:
    """Only an ImporterError may end an import, and no conversation is a reject for a fault of ours."""
    yield from trial.outcome.faults
    for reject in trial.outcome.tables.get("import_rejects", []):
        if reject["reason"].startswith("fault:"):
            yield f"a conversation is rejected for {reject['reason']}"


def it_ends_in_time(trial: Trial) -> Iterator[str]:
    """Nothing hangs."""
    if trial.outcome.seconds > MAX_SECONDS:
        yield f"it took {trial.outcome.seconds:.1f} seconds"


def it_fails_only_where_nothing_is_in(trial: Trial) -> Iterator[str]:
    """An error is about the source, and no conversation came out of it."""
    failure = trial.outcome.failure
    if failure is None:
        return
    if not isinstance(failure, SourceError):
        yield f"it ends with {failure!r}"
    if trial.outcome.tables.get("imported_conversations"):
        yield f"it failed ({failure}), though conversations are in"


def untouched_conversations_arrive(trial: Trial) -> Iterator[str]:
    """Whole: the same bytes, the same rows, the same chunks."""
    lost = [place for place in trial.mutation.untouched if not trial.arrived(place)]
    if lost:
        ids = [trial.expected[trial.key(place)].ledger["conversation_id"] for place in lost]
        changed = [place for place in lost if trial.key(place) in trial.stored]
        failure = trial.outcome.failure.message if trial.outcome.failure else f"status {trial.outcome.status}"
        but = f" (items {changed} with other rows)" if changed else ""
        yield f"untouched items {lost} ({', '.join(ids)}) did not arrive{but}; {failure}"


def what_is_missing_is_told(trial: Trial) -> Iterator[str]:
    """Damage is a reject, a problem, or a count; a cut is told even where every conversation is in."""
    if trial.is_told:
        return
    mutation = trial.mutation
    touched = [i for i in mutation.export.conversations if i in mutation.broken.touched - {mutation.broken.twin}]
    missing = [i for i in touched if not trial.arrived(i)]
    if mutation.broken.must_be_told:
        yield "nothing is told of the damage"
    for place in missing:
        instead = mutation.broken.instead.get(place)
        if instead is None or (instead.strip(BLANK + b",") and not _is_json(instead)):
            yield f"nothing is told of item {place}, which did not arrive"


def what_is_still_json_is_taken_as_it_is(trial: Trial) -> Iterator[str]:
    """An item that was changed into other JSON is one item, with its own bytes, whatever it holds."""
    mutation, summary = trial.mutation, trial.outcome.summary
    values = {i: _plain_value(data) for i, data in mutation.broken.instead.items()}
    if summary is None or not values or any(value is None for value in values.values()):
        return
    if summary.counts.seen != len(mutation.export.items):
        yield f"{summary.counts.seen} items were seen of {len(mutation.export.items)}"
    for place, value in values.items():
        yield from _is_taken(trial, place, value)


def _is_taken(trial: Trial, place: int, value: object) -> Iterator[str]:
    raw = trial.mutation.broken.instead[place].strip(BLANK)
    if not has_mapping(value) or content_hash(raw) in trial.stored or trial.mutation.broken.twin is not None:
        return
    rejects = [row for row in trial.outcome.tables["import_rejects"] if row["raw"] == raw]
    if not rejects:
        yield f"item {place} is JSON with a mapping, and neither in nor a reject"
    elif not _may_be_rejected(raw, rejects[0]["reason"]):
        yield f"item {place} is JSON with a mapping, and rejected for {rejects[0]['reason']}"


def _may_be_rejected(raw: bytes, reason: str) -> bool:
    """Node keys that are the same without NUL, numbers that no double holds, and nesting beyond any use."""
    if reason == "ambiguous_node_keys":
        return rb"\u0000" in raw
    return reason == "invalid_json" and (_has_infinity(raw) or b"[" * 500 in raw or b'{"a":' * 500 in raw)


def _has_infinity(raw: bytes) -> bool:
    found: list[float] = []
    json.loads(
        raw, parse_float=lambda text: found.append(float(text)), parse_int=lambda text: found.append(float(text))
    )
    return any(map(isinf, found))


def of_two_copies_the_newer_stays(trial: Trial) -> Iterator[str]:
    """A conversation that took another's id is its copy: one of them is in, whole."""
    twin, summary = trial.mutation.broken.twin, trial.outcome.summary
    if twin is None or summary is None:
        return
    ((_, data),) = trial.mutation.broken.instead.items()
    copies = [_alone(trial.mutation.export.items[twin]), _alone(data)]
    newest = max((_newness(copy) for copy in copies), default=None)
    if not any(_newness(copy) == newest and copy in trial.stored.values() for copy in copies):
        yield "neither of the two copies is in as it would be alone"
    if not summary.counts.notes["older_copy"] + summary.counts.unchanged:
        yield "nothing is told of the copy that is not in"


def _newness(copy: Stored) -> tuple[str, int]:
    return copy.ledger["update_time"] or "", copy.ledger["node_count"]


def _alone(item: bytes) -> Stored:
    (stored,) = import_once(b"[" + item + b"]", ImportSettings()).stored().values()
    return stored


def counts_add_up(trial: Trial) -> Iterator[str]:
    """With each other, with the tables, and with the job's row."""
    summary, tables = trial.outcome.summary, trial.outcome.tables
    if summary is None:
        return
    counts = summary.counts
    if not add_up(counts):
        yield f"the counts do not add up: {counts}"
    if len(tables["imported_conversations"]) != counts.imported + counts.empty:
        yield f"{len(tables['imported_conversations'])} conversations are in, counted are {counts}"
    if len(tables["conversation_chunks"]) != counts.chunks_written - counts.chunks_deleted:
        yield f"{len(tables['conversation_chunks'])} chunks are in, counted are {counts}"
    if len(tables["conversation_messages"]) != counts.kept:
        yield f"{len(tables['conversation_messages'])} messages are in, counted are {counts}"
    if not bool(counts.rejected) <= len(tables["import_rejects"]) <= counts.rejected:
        yield f"{len(tables['import_rejects'])} rejects are kept of {counts.rejected}"
    job = trial.outcome.job
    if job is None or job.status != summary.status or job.counts != _as_stored(summary):
        yield "the job's row says something else than the summary"
    if counts.rejected and summary.status == "complete":
        yield "it is complete with rejects"


def _as_stored(summary: Summary) -> dict[str, Any]:
    return {name: value for name, value in summary.as_dict().items() if name in JOB_COUNTS}


def rejects_are_bytes_of_the_file(trial: Trial) -> Iterator[str]:
    """As they lie there; of what is too large, the first and the last ones."""
    if not trial.mutation.text_is_known:
        return
    text = trial.mutation.broken.text
    for reject in trial.outcome.tables.get("import_rejects", []):
        raw = reject["raw"]
        if raw not in text and not (raw[:SAMPLE_BYTES] in text and raw[SAMPLE_BYTES:] in text):
            yield f"the reject of item {reject['position']} holds what is not in the file"


def all_that_is_stored_can_be_stored_anywhere(trial: Trial) -> Iterator[str]:
    """No NUL and no half character, which other databases refuse."""
    for table in ("conversation_chunks", "conversation_messages", "imported_conversations"):
        for row in trial.outcome.tables.get(table, []):
            for column, value in row.items():
                if isinstance(value, str) and ("\0" in value or not _is_utf_8(value)):
                    yield f"{table}.{column} holds what no database takes: {value!r:.80}"


def again_changes_nothing(trial: Trial) -> Iterator[str]:
    """The same file once more finds everything as it is."""
    again, summary = trial.outcome.again, trial.outcome.summary
    if again is None or summary is None:
        return
    if trial.outcome.tables != trial.outcome.tables_again:
        yield "importing the file again changed the tables"
    if again.counts.imported or again.counts.seen != summary.counts.seen or again.status != summary.status:
        yield f"importing the file again counted {again.counts} ({again.status}) after {summary.counts}"


def inspect_agrees(trial: Trial) -> Iterator[str]:
    """`inspect` says before what the import says after."""
    found, summary = trial.outcome.inspection, trial.outcome.summary
    failure = trial.outcome.failure
    if isinstance(found, ImporterError) or failure is not None:
        if type(found) is not type(failure):
            yield f"inspect says {found!r}, the import {failure!r}"
        return
    if found is None or summary is None:
        return
    counts = summary.counts
    before = (found.seen, found.to_import, found.copies, found.empty, found.rejected, found.not_a_conversation)
    after = (counts.seen, counts.imported, counts.unchanged, counts.empty, counts.rejected, counts.not_a_conversation)
    if before != after:
        yield f"inspect counts {before}, the import {after}"
    if (found.kept, found.left_out, found.notes - counts.notes) != (counts.kept, counts.left_out, Counter()):
        yield f"inspect keeps {found.kept} and leaves out {found.left_out}, the import {counts}"
    if found.chunks != len(trial.outcome.tables["conversation_chunks"]):
        yield f"inspect finds {found.chunks} chunks, the import {len(trial.outcome.tables['conversation_chunks'])}"
    if lacks(found.problems) != (summary.status != "complete"):
        yield f"inspect tells {len(found.problems)} problems, the import is {summary.status}"
    if _kinds(found.problems) != _kinds(summary.problems) and counts.rejected < len(summary.problems):
        yield f"inspect tells {_kinds(found.problems)}, the import {_kinds(summary.problems)}"
    orjson.dumps(found.as_dict())


def extract_agrees(trial: Trial) -> Iterator[str]:
    """`extract` gives the copies that the import leaves and all other items, and every node of a conversation is
    accounted for."""
    found, summary = trial.outcome.extracted, trial.outcome.summary
    for one in found:
        if isinstance(one, Conversation):
            accounted = one.without_message + len(one.messages) + sum(one.left_out.values())
            if accounted != one.nodes:
                yield f"of {one.nodes} nodes of {one.id} {accounted} are accounted for"
    if summary is None:
        return
    others = sum(not isinstance(one, Conversation) for one in found)
    if others != (counted := summary.counts.rejected + summary.counts.not_a_conversation):
        yield f"extract gives {others} items that are no conversations, the import {counted}"
    given = [
        (one.id, message.node_id, message.text)
        for one in found
        if isinstance(one, Conversation)
        for message in one.messages
    ]
    rows = trial.outcome.tables["conversation_messages"]
    stored = [(row["conversation_id"], row["node_id"], row["text"]) for row in rows]
    if sorted(given) != sorted(stored):
        yield f"extract gives {len(given)} messages, the import has stored {len(stored)}, or they are not the same"


def _kinds(problems: Sequence[Problem]) -> Counter[str]:
    return Counter(problem.kind for problem in problems if problem.kind != "reject")


def _is_utf_8(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _is_json(data: bytes) -> bool:
    """A number that no double holds is JSON, too; it matters only where somebody looks at it."""
    if _plain_value(data) is not None:
        return True
    try:
        decode(data)
    except RecordError:
        return False
    return True


def _plain_value(data: bytes) -> object:
    """The value where it is JSON by the letter, an object or anything else than null; None where it is not."""
    try:
        value: object = json.loads(data.decode(), parse_constant=_refused)
    except (ValueError, RecursionError):
        return None
    return value


def _refused(constant: str) -> None:
    raise ValueError(constant)


PROMISES: list[Promise] = [
    nothing_is_raised,
    it_ends_in_time,
    it_fails_only_where_nothing_is_in,
    untouched_conversations_arrive,
    what_is_missing_is_told,
    what_is_still_json_is_taken_as_it_is,
    of_two_copies_the_newer_stays,
    counts_add_up,
    rejects_are_bytes_of_the_file,
    all_that_is_stored_can_be_stored_anywhere,
    again_changes_nothing,
    inspect_agrees,
    extract_agrees,
]

_UNBROKEN = Unbroken()


def tried(mutation: Mutation) -> Trial:
    """Imports the broken file, and the unbroken export if that was not done yet."""
    return Trial(mutation, outcome_of(mutation), _UNBROKEN.outcome(mutation.export))


def violations(trial: Trial) -> list[str]:
    """Which promises are not kept, and how."""
    return [f"{promise.__name__}: {found}" for promise in PROMISES for found in promise(trial)]
