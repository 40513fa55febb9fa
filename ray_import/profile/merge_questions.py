"""Merge questions: pairs of facts that code cannot decide, asked many at a time and answered by number."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
import orjson

from ray_import.destinations.profiles import Fact, RequestKind, StoredRequest
from ray_import.profile.facts_prompt import prompt_of
from ray_import.profile.fencing import new_mark, one_line
from ray_import.profile.merging import Decision, Merged, changed_facts, merged
from ray_import.profile.model import Prompt, Reply
from ray_import.profile.requests import Question, RequestLog
from ray_import.profile.settings import MERGE_ROUNDS, MERGE_TOKENS, tokens_of

Pair = tuple[str, str]

MERGE_PACK_TOKENS = 9_000
"""The most that the pairs of one request take."""

MOST_PAIRS = 200
"""In one request: a model that answers longer lists leaves some out."""

MERGE_OUTPUT_TOKENS = 8_000
"""The most that an answer may take, thinking included."""

STATEMENT_CHARACTERS = 400
"""A longer statement is cut off in a question."""

RELATIONS = ("same", "contradicts", "different")

MERGE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["pairs"],
    "properties": {
        "pairs": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["pair", "relation"],
                "properties": {
                    "pair": {"type": "integer"},
                    "relation": {"type": "string", "enum": list(RELATIONS)},
                },
            },
        }
    },
}


def merge_packs(pairs: Iterable[Pair], facts: Mapping[str, Fact]) -> Iterator[tuple[Pair, ...]]:
    """The pairs of each request, in the order given."""
    pack, tokens = list[Pair](), 0
    for pair in pairs:
        size = tokens_of(_question(len(pack) + 1, pair, facts))
        if pack and (tokens + size > MERGE_PACK_TOKENS or len(pack) == MOST_PAIRS):
            yield tuple(pack)
            pack, tokens = [], 0
        pack.append(pair)
        tokens += size
    if pack:
        yield tuple(pack)


def merge_prompt(pairs: Sequence[Pair], facts: Mapping[str, Fact], *, custom_id: str, mark: str, model: str) -> Prompt:
    """The request about these pairs: the first one has number 1."""
    lines = [_question(number, pair, facts) for number, pair in enumerate(pairs, start=1)]
    text = f"<<<BEGIN PAIRS {mark}>>>\n{''.join(lines)}<<<END PAIRS {mark}>>>\nGive the relation of each pair."
    return prompt_of("merge", text, MERGE_SCHEMA, MERGE_OUTPUT_TOKENS, custom_id=custom_id, model=model)


def quoted(text: str, most_characters: int = STATEMENT_CHARACTERS) -> str:
    """One line in quotation marks. A statement cannot end them, nor begin a line."""
    return orjson.dumps(one_line(text, most_characters)).decode()


def day_of(said_at: str | None) -> str:
    """The date as a prompt shows it."""
    return said_at[:10] if said_at else "undated"


def _question(number: int, pair: Pair, facts: Mapping[str, Fact]) -> str:
    one, other = (facts[key] for key in pair)
    subject = f" about {quoted(one.subject, 60)}" if one.subject.strip() else ""
    statements = "".join(f"  {day_of(fact.said_at)}: {quoted(fact.statement)}\n" for fact in (one, other))
    return f"[{number}] {one.category}{subject}\n{statements}"


class _Answer(msgspec.Struct):
    pair: int
    relation: str


class _Answers(msgspec.Struct):
    pairs: list[_Answer]


def checked_merge(answer: str, pairs: Sequence[Pair]) -> tuple[dict[str, Any] | None, Counter[str]]:
    """What to store as the request's `result`, and how many answers were rejected, by reason. None: off the schema.

    A pair without one clear answer counts as different, so that it is not asked again.
    """
    rejected = Counter[str]()
    try:
        answers = msgspec.json.decode(answer.encode("utf-8", "replace"), type=_Answers).pairs
    except msgspec.DecodeError:
        return None, rejected
    relations = dict[int, set[str]]()
    for given in answers:
        if not 1 <= given.pair <= len(pairs):
            rejected["no_such_pair"] += 1
        elif given.relation not in RELATIONS:
            rejected["unknown_relation"] += 1
        else:
            relations.setdefault(given.pair, set()).add(given.relation)
    decided = []
    for number, pair in enumerate(pairs, start=1):
        found = relations.get(number, set())
        if len(found) != 1:
            rejected["ambiguous" if found else "not_answered"] += 1
        decided.append([*pair, found.pop() if len(found) == 1 else "different"])
    return {"pairs": decided}, rejected


def decisions_of(requests: Iterable[StoredRequest]) -> list[Decision]:
    """The decisions that the answered merge requests hold."""
    return [
        Decision(*pair)
        for request in requests
        if request.kind == "merge" and request.state == "answered" and request.result
        for pair in request.result.get("pairs", ())
    ]


class MergeStep:
    """Merges what is stored, and asks about pairs that code cannot decide, each once. See `requests.Step`."""

    kind: RequestKind = "merge"

    def __init__(self, log: RequestLog) -> None:
        self._log = log
        self._asked: set[Pair] = set()
        self._tokens = 0
        self._rounds = 0

    def merge(self) -> Merged:
        """Stores what the facts come to by the decisions so far."""
        facts = self._log.store.facts(self._log.user_id)
        decisions = decisions_of(self._log.store.requests(self._log.user_id, ("answered",)))
        found = merged(facts, decisions)
        changed = changed_facts(facts, found.facts)
        if changed:
            self._log.store.update_facts(self._log.user_id, changed)
        self._log.report.unclear = len(found.unclear)
        return found

    def questions(self, found: Merged) -> list[Question]:
        """The requests about what is unclear and was not asked in this run, the most urgent first, as far as the tokens
        of a run go."""
        if self._rounds >= MERGE_ROUNDS:
            return []
        self._rounds += 1
        facts = {fact.id: fact for fact in found.facts}
        questions = []
        for pairs in merge_packs((pair for pair in found.unclear if pair not in self._asked), facts):
            request = self._log.new("merge", mark=new_mark(), context={"pairs": [list(pair) for pair in pairs]})
            prompt = merge_prompt(pairs, facts, custom_id=request.id, mark=request.mark, model=request.model)
            if self._tokens + prompt.input_tokens > MERGE_TOKENS:
                break
            self._tokens += prompt.input_tokens
            self._asked.update(pairs)
            questions.append(Question(request, prompt))
        return questions

    def load(self, requests: Sequence[StoredRequest]) -> None:
        """See `Step.load`: the row names the pairs."""

    def settle(self, request: StoredRequest, reply: Reply) -> None:
        if reply.reason or reply.text is None:
            self._log.failed(request, reply.reason or "no_text", reply)
            return
        pairs = [(one, other) for one, other in (request.result or {}).get("pairs", ())]
        result, rejected = checked_merge(reply.text, pairs)
        if result is None:
            self._log.failed(request, "off_schema", reply)
        else:
            self._log.answered(request, reply, rejected=dict(rejected), result=result)

    def give_up(self, request: StoredRequest) -> None:
        """Does nothing: the next run asks again."""
