"""The model: it finds the planted facts of a prompt, and answers as the schema of the answer asks.

What kind of answer is wanted it sees from the schema: `facts` (an array of that name), `quick` and `sections` (an
object with `soul`), `merge` (any other with an array of objects that have a number and an enumeration).
"""

import json
import random
import re
from dataclasses import dataclass
from typing import Any

from tests.support.model_api.dials import Dials
from tests.support.model_api.numbered import Numbered, numbered_in
from tests.support.model_api.planted import Planted, orders_in, planted_in, statements_in

Schema = dict[str, Any]
_SENTENCE = re.compile(r"[^.?!\n]{8,200}[.?!]?")


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of a text in which nothing is planted, as a fact (see `Dials.first_sentences`)."""

    quote: str
    category: str = "interest"

    @property
    def subject(self) -> str:
        """Its first three words."""
        return " ".join(self.quote.split()[:3])

    @property
    def statement(self) -> str:
        """What the model makes of it."""
        return f"The user wrote: {self.quote}"


_WROTE = re.compile(r'The user wrote: [^"\n]+')


def kind_of(schema: Schema, prompt: str) -> str:
    """`facts`, `quick`, `sections` or `merge`; `other` where the schema is of none of them."""
    properties = schema.get("properties", {})
    if "facts" in properties:
        return "facts"
    if "soul" in properties:
        return "quick" if any(line.role == "user" for line in numbered_in(prompt)) else "sections"
    if any(each.get("type") == "array" for each in properties.values()):
        return "merge"
    return "other"


def answer_to(schema: Schema, prompt: str, dials: Dials) -> tuple[str, int]:
    """The answer's text, and how many facts are in it."""
    lines = numbered_in(prompt)
    kind = kind_of(schema, prompt)
    if kind == "facts":
        facts = _facts(lines, prompt, dials)
        item = _resolved(schema["properties"]["facts"]["items"], schema)
        return json.dumps({"facts": [_shaped(fact, item, schema) for fact in facts]}, ensure_ascii=False), len(facts)
    if kind in ("quick", "sections"):
        return json.dumps(_Sections(schema, lines, prompt, dials).answer(), ensure_ascii=False), 0
    if kind == "merge":
        return json.dumps(_merge(schema, lines)), 0
    return json.dumps(_blank(schema, schema)), 0


def _facts(lines: list[Numbered], prompt: str, dials: Dials) -> list[dict[str, Any]]:
    facts = [
        {**_fact(fact.category, fact.subject, fact.statement, fact.quote), "number": line.number}
        for line in lines
        if line.role == "user"
        for fact in planted_in(line.text) or _first_sentence(line, dials)
    ]
    lies = _lies(lines, facts, dials)
    if dials.obeys:
        lies += _obeyed(lines, prompt)
    return facts + lies


def _first_sentence(line: Numbered, dials: Dials) -> list[Sentence]:
    found = _SENTENCE.match(line.text) if dials.first_sentences else None
    return [Sentence(found[0])] if found else []


def _fact(category: str, subject: str, statement: str, quote: str) -> dict[str, Any]:
    return {"category": category, "subject": subject, "statement": statement, "quote": quote}


def _lies(lines: list[Numbered], facts: list[dict[str, Any]], dials: Dials) -> list[dict[str, Any]]:
    """Of each kind as many as the dials say, marked `lie` in their statements."""
    if not lines:
        return []
    numbers = [line.number for line in lines if line.role in ("user", "assistant")] or [0]
    users = [line for line in lines if line.role == "user"] or lines
    others = [line for line in lines if line.role != "user" and line.text]
    lies = []
    for at in range(dials.invented_quotes):
        invented = _fact("belief", "lie", f"lie: invented {at}", f"I have always believed in invention {at}.")
        lies.append({**invented, "number": users[at % len(users)].number})
    for at in range(dials.wrong_numbers if facts else 0):
        fact = facts[at % len(facts)]
        elsewhere = [number for number in numbers if number != fact["number"]]
        wrong = [max(numbers) + 1 + at, -1 - at, *elsewhere]
        lies.append({**fact, "statement": f"lie: wrong number {at}", "number": wrong[at % len(wrong)]})
    for at in range(dials.others_words if others else 0):
        line = others[at % len(others)]
        told = _fact("decision", "lie", f"lie: others' words {at}", line.text.split("\n", 1)[0][:80])
        lies.append({**told, "number": line.number})
    return lies


def _obeyed(lines: list[Numbered], prompt: str) -> list[dict[str, Any]]:
    """A fact for each order, wherever it stands: it claims the number that the order names, that of its own line, or
    that of the user's first line."""
    users = [line.number for line in lines if line.role == "user"] or [0]
    facts = []
    for whole, text, number in orders_in(prompt):
        own = next((line.number for line in lines if whole in line.text), users[0])  # of a title too: a wrong one
        claimed = {own, users[0]} if number is None else {number}
        facts += [{**_fact("decision", "order", text, whole), "number": each} for each in sorted(claimed)]
    return facts


def _shaped(fact: dict[str, Any], item: Schema, root: Schema) -> dict[str, Any]:
    """The fact with the names that the schema has: its only whole number is the message's."""
    shaped = {}
    for name, schema in item.get("properties", {}).items():
        if name in fact:
            shaped[name] = fact[name]
        elif _type(schema, root) == "integer":
            shaped[name] = fact["number"]
        elif name in item.get("required", ()):
            shaped[name] = _blank(schema, root)
    return shaped


def _merge(schema: Schema, lines: list[Numbered]) -> dict[str, Any]:
    """Two statements of one subject are `same` with the same value, else they contradict each other."""
    name, array = next((n, each) for n, each in schema["properties"].items() if each.get("type") == "array")
    item = _resolved(array["items"], schema)
    answers = []
    for line in lines:
        said = statements_in(line.text)
        if len(said) < 2 or said[0][0].casefold() != said[1][0].casefold():
            verdict = "different"
        else:
            verdict = "same" if said[0][1].casefold() == said[1][1].casefold() else "contradicts"
        answers.append({
            key: verdict if "enum" in _resolved(each, schema) else line.number
            for key, each in item["properties"].items()
            if "enum" in _resolved(each, schema) or _type(each, schema) == "integer"
        })  # fmt: skip
    return {name: answers}


class _Sections:
    """Fills the schema of sections: a statement that cites is made of the numbered lines, in turn."""

    def __init__(self, schema: Schema, lines: list[Numbered], prompt: str, dials: Dials) -> None:
        self._schema = schema
        self._dials = dials
        self._lines = [line for line in lines if line.role in ("user", "")] or lines
        if any(line.role == "user" for line in lines):
            self._lines = [line for line in lines if line.role == "user"]
        self._at = 0
        self._orders = orders_in(prompt) if dials.obeys else []
        self._numbers = {line.number for line in lines}
        self._others = sorted({line.number for line in lines if line.role == "assistant"})

    def answer(self) -> dict[str, Any]:
        """The whole answer."""
        filled: dict[str, Any] = self._fill(self._schema)
        return filled

    def _fill(self, schema: Schema) -> Any:
        schema = _resolved(schema, self._schema)
        kind = _type(schema, self._schema)
        if kind == "array":
            return self._array(_resolved(schema["items"], self._schema))
        if kind == "object" and "cites" in schema.get("properties", {}):
            return self._statement()
        if kind == "object":
            properties = schema.get("properties", {})
            return {n: self._ordered(each) if n == "identity" else self._fill(each) for n, each in properties.items()}
        return _blank(schema, self._schema)

    def _ordered(self, schema: Schema) -> Any:
        """An object whose texts are what an order asks for, if there is one."""
        filled = self._fill(schema)
        return dict.fromkeys(filled, self._orders[0][1]) if self._orders else filled

    def _array(self, item: Schema) -> list[Any]:
        if "cites" not in item.get("properties", {}):
            return [self._fill(item)]
        found = [self._statement(), self._statement()]
        beyond = max(self._numbers, default=0) + 1
        wrong = [[beyond], [], [0], *([number] for number in self._others)]
        lies = [wrong[at % len(wrong)] for at in range(self._dials.invented_cites)]
        found += [{"text": f"lie: cites {cites}", "cites": cites} for cites in lies]
        return found + [{"text": text, "cites": [number or 1]} for _, text, number in self._orders]

    def _statement(self) -> dict[str, Any]:
        if not self._lines:
            return {"text": "nothing is known", "cites": []}
        line = self._lines[self._at % len(self._lines)]
        self._at += 1
        said = [Planted("", *each).statement for each in statements_in(line.text)]
        said += [fact.statement for fact in planted_in(line.text)] + _WROTE.findall(line.text)
        return {"text": said[0] if said else line.text.split("\n", 1)[0][:120], "cites": [line.number]}


def _resolved(schema: Schema, root: Schema) -> Schema:
    """The schema itself, where it is a reference or a choice: of a choice the first that is not null."""
    if "$ref" in schema:
        return _resolved(root["$defs"][schema["$ref"].rsplit("/", 1)[-1]], root)
    if "anyOf" in schema:
        return _resolved(next(each for each in schema["anyOf"] if each.get("type") != "null"), root)
    return schema


def _type(schema: Schema, root: Schema) -> str:
    kind = _resolved(schema, root).get("type", "string")
    return str(next((each for each in kind if each != "null"), "null") if isinstance(kind, list) else kind)


def _blank(schema: Schema, root: Schema) -> Any:
    """The least that fits; null where that is allowed."""
    if any(each.get("type") == "null" for each in schema.get("anyOf", ())) or "null" in schema.get("type", ""):
        return None
    schema = _resolved(schema, root)
    if "enum" in schema or "const" in schema:
        return schema.get("const", next(iter(schema.get("enum", ())), None))
    if _type(schema, root) == "object":
        return {name: _blank(each, root) for name, each in schema.get("properties", {}).items()}
    phrase = random.Random(str(sorted(schema))).choice(["calm and plain", "warm and brief"])
    blanks: dict[str, Any] = {"array": [], "integer": 0, "number": 0, "boolean": False}
    return blanks.get(_type(schema, root), phrase)
