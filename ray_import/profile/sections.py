"""The five sections of a profile: what is asked, and the check that each statement cites what is there.

`identity` (a name and a manner for the assistant) is the one section that is made up, and marked `generated`.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import msgspec

from ray_import.destinations.profiles import Fact, RequestKind, StoredRequest
from ray_import.profile.facts_prompt import prompt_of
from ray_import.profile.fencing import new_mark, one_line
from ray_import.profile.memory import chosen
from ray_import.profile.merge_questions import day_of, quoted
from ray_import.profile.merging import facts_hash
from ray_import.profile.model import Prompt, Reply
from ray_import.profile.requests import Question, RequestLog
from ray_import.profile.settings import tokens_of
from ray_import.profile.units import PROMPT_VERSION, Line
from ray_import.profile.versions import save_version, sections_of

SECTIONS_TOKENS = 25_000
"""The most that the facts take in a request. With the merge questions of an update it stays below 60,000."""

SECTIONS_OUTPUT_TOKENS = 16_000
MOST_CHARACTERS = 600
"""Of a statement; a longer one is rejected."""
MOST_ITEMS = 20
"""Of a list; what is beyond is rejected."""
IDENTITY_CHARACTERS = 120

UNKNOWN = "not enough data"
"""The front end hides it: what stands where nothing is known."""

TEXTS: Mapping[str, tuple[str, ...]] = {
    "soul": (
        "communication_style", "tone_preferences", "boundaries", "humor_style", "formality_level", "emotional_patterns",
    ),
    "user": ("name", "location", "occupation", "life_context", "preferred_address"),
    "agents": ("response_style", "context_adaptation", "memory_directives"),
    "tools": ("output_preferences", "depth_preference"),
}  # fmt: skip
"""By section the fields that are one statement, or None where nothing is known."""

LISTS: Mapping[str, tuple[str, ...]] = {
    "soul": ("personality_traits",),
    "user": ("relationships", "interests"),
    "agents": ("behavioral_rules", "do_not"),
    "tools": ("likely_usage", "capabilities_emphasis"),
}
"""By section the fields that are lists of statements."""

IDENTITY = ("ai_name", "archetype", "vibe", "emoji_style", "signature_greeting")
SECTIONS = ("soul", "identity", "user", "agents", "tools")


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    """All of them required: a grammar of many optional parts can be refused as too large."""
    return {"type": "object", "additionalProperties": False, "required": list(properties), "properties": properties}


def _section(name: str) -> dict[str, Any]:
    statement = _object({"text": {"type": "string"}, "cites": {"type": "array", "items": {"type": "integer"}}})
    texts = dict.fromkeys(TEXTS[name], statement)
    return _object(texts | {field: {"type": "array", "items": statement} for field in LISTS[name]})


SECTIONS_SCHEMA: dict[str, Any] = _object(
    {
        name: _object({field: {"type": "string"} for field in IDENTITY}) if name == "identity" else _section(name)
        for name in SECTIONS
    }
)
"""Also that of the quick pass."""


class _Statement(msgspec.Struct):
    text: str
    cites: list[int]


_Identity = msgspec.defstruct("_Identity", [(field, str) for field in IDENTITY])
_Answer = msgspec.defstruct(
    "_Answer",
    [
        ("identity", _Identity),
        *(
            (
                name,
                msgspec.defstruct(
                    f"_{name}",
                    [
                        *((field, _Statement) for field in TEXTS[name]),
                        *((field, list[_Statement]) for field in LISTS[name]),
                    ],
                ),
            )
            for name in TEXTS
        ),
    ],
)


def sections_prompt(facts: Iterable[Fact], *, custom_id: str, mark: str, model: str) -> tuple[Prompt, list[Fact]]:
    """The request for the sections, and the facts that it shows: the first one has number 1."""
    shown = chosen(facts, lambda fact: tokens_of(_line(9999, fact)), SECTIONS_TOKENS)
    lines = "".join(_line(number, fact) for number, fact in enumerate(shown, start=1))
    text = f"<<<BEGIN FACTS {mark}>>>\n{lines}<<<END FACTS {mark}>>>\nDescribe this person."
    prompt = prompt_of("sections", text, SECTIONS_SCHEMA, SECTIONS_OUTPUT_TOKENS, custom_id=custom_id, model=model)
    return prompt, shown


def _line(number: int, fact: Fact) -> str:
    often = f", {fact.seen} times" if fact.seen > 1 else ""
    return f"[{number}] {fact.category}, {day_of(fact.said_at)}{often}: {quoted(fact.statement)}\n"


Cited = tuple[dict[str, Any] | None, Counter[str]]
"""The sections, each statement as `{text, cites}`, and how many statements were rejected, by reason. None: the answer
is off the schema."""


class _Wrong(NamedTuple):
    """Why a number cannot be cited."""

    reason: str


_NO_SUCH_NUMBER = _Wrong("no_such_number")
_NOT_SAID_BY_USER = _Wrong("not_said_by_user")


def checked_sections(answer: str, fact_ids: Sequence[str]) -> Cited:
    """The sections with the ids of the facts that they cite; the first one has number 1."""
    return _checked(answer, lambda number: fact_ids[number - 1] if 1 <= number <= len(fact_ids) else _NO_SUCH_NUMBER)


def checked_quick(answer: str, lines: Sequence[Line], conversations: Sequence[tuple[str, str]]) -> Cited:
    """The sections with the messages that they cite (`{product, conversation_id, node_id}`); the first line has number
    1. A statement that rests on somebody else's words is rejected, whatever else it cites."""

    def cited(number: int) -> dict[str, str] | _Wrong:
        if not 1 <= number <= len(lines):
            return _NO_SUCH_NUMBER
        if lines[number - 1].role != "user":
            return _NOT_SAID_BY_USER
        product, conversation_id = conversations[number - 1]
        return {"product": product, "conversation_id": conversation_id, "node_id": lines[number - 1].node_id}

    return _checked(answer, cited)


def _checked(answer: str, cited: Callable[[int], Any]) -> Cited:
    rejected = Counter[str]()
    try:
        found = msgspec.to_builtins(msgspec.json.decode(answer.encode("utf-8", "replace"), type=_Answer))
    except msgspec.DecodeError:
        return None, rejected
    sections = dict[str, Any]()
    for name in SECTIONS:
        if name == "identity":
            sections[name] = {field: one_line(found[name][field], IDENTITY_CHARACTERS) for field in IDENTITY} | {
                "generated": True
            }
            continue
        texts = {field: _statement(found[name][field], cited, rejected) for field in TEXTS[name]}
        lists = {field: _statements(found[name][field], cited, rejected) for field in LISTS[name]}
        sections[name] = texts | lists
    return sections, rejected


def _statements(
    given: Sequence[dict[str, Any]], cited: Callable[[int], Any], rejected: Counter[str]
) -> list[dict[str, Any]]:
    found = [statement for one in given if (statement := _statement(one, cited, rejected)) is not None]
    if len(found) > MOST_ITEMS:
        rejected["too_many"] += len(found) - MOST_ITEMS
    return found[:MOST_ITEMS]


def _statement(given: dict[str, Any], cited: Callable[[int], Any], rejected: Counter[str]) -> dict[str, Any] | None:
    """A statement that may stand, with what it cites; None, and counted, otherwise. One without words says that nothing
    is known."""
    text = one_line(given["text"], MOST_CHARACTERS + 1)
    if not text or UNKNOWN in text.casefold():
        return None
    if len(text) > MOST_CHARACTERS:
        rejected["too_long"] += 1
        return None
    sources = [cited(number) for number in dict.fromkeys(given["cites"])]
    wrong = [source for source in sources if isinstance(source, _Wrong)]
    if _NOT_SAID_BY_USER in wrong:
        rejected[_NOT_SAID_BY_USER.reason] += 1
        return None
    if len(wrong) == len(sources):
        rejected[wrong[0].reason if wrong else "no_citation"] += 1
        return None
    return {"text": text, "cites": [source for source in sources if not isinstance(source, _Wrong)]}


class SectionsStep:
    """One request whenever the active facts have changed. See `requests.Step`."""

    kind: RequestKind = "sections"

    def __init__(self, log: RequestLog) -> None:
        self._log = log

    def is_due(self) -> bool:
        """Whether the newest full version is of other facts than those of now, or of another model or prompt. Without
        facts no version is needed, unless there is one that still says something."""
        facts = self._active()
        full = [one for one in self._log.store.versions_of(self._log.user_id) if one.kind == "full"]
        if not facts:
            return bool(full) and full[0].facts_hash != facts_hash(())
        return not full or (full[0].facts_hash, full[0].model, full[0].prompt_version) != (
            facts_hash(facts),
            self._log.model,
            PROMPT_VERSION,
        )

    def questions(self) -> Iterator[Question]:
        """The request, unless there are no facts, or one about the same facts is answered."""
        facts = self._active()
        if not facts or self._answer_about(facts) is not None:
            return
        request = self._log.new("sections", mark=new_mark())
        prompt, shown = sections_prompt(facts, custom_id=request.id, mark=request.mark, model=request.model)
        context = {"facts_hash": facts_hash(facts), "facts": [fact.id for fact in shown]}
        yield Question(replace(request, result=context), prompt)

    def load(self, requests: Sequence[StoredRequest]) -> None:
        """See `Step.load`: the row names the facts."""

    def settle(self, request: StoredRequest, reply: Reply) -> None:
        if reply.reason or reply.text is None:
            self._log.failed(request, reply.reason or "no_text", reply)
            return
        context = request.result or {}
        sections, rejected = checked_sections(reply.text, context.get("facts") or [])
        if sections is None:
            self._log.failed(request, "off_schema", reply)
            return
        result = {"sections": sections, "facts_hash": context.get("facts_hash")}
        self._log.answered(request, reply, rejected=dict(rejected), result=result)

    def give_up(self, request: StoredRequest) -> None:
        """Does nothing: the next run asks again."""

    def save_version(self) -> bool:
        """Makes a version of the stored answer about the facts of now; an empty one without facts. False where there is
        no such answer."""
        facts = self._active()
        answer = self._answer_about(facts) if facts else None
        if facts and answer is None:
            return False
        save_version(self._log, sections_of(answer) if answer else {}, self._log.model, "full", facts)
        return True

    def _active(self) -> list[Fact]:
        return [fact for fact in self._log.store.facts(self._log.user_id) if fact.status == "active"]

    def _answer_about(self, facts: Sequence[Fact]) -> StoredRequest | None:
        wanted = facts_hash(facts)
        for request in reversed(self._log.store.requests(self._log.user_id, ("answered",))):
            of_these = (request.result or {}).get("facts_hash") == wanted
            if request.kind == self.kind and request.model == self._log.model and of_these:
                return request
        return None
