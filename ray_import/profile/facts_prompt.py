"""The request that asks for the facts in a pack."""

from functools import cache
from importlib.resources import files
from itertools import groupby
from typing import Any

import orjson

from ray_import.profile.fencing import fenced
from ray_import.profile.model import Prompt
from ray_import.profile.packing import Pack
from ray_import.profile.settings import CATEGORIES, tokens_of

FACTS_OUTPUT_TOKENS = 8_000
"""The most that an answer may take, thinking included. Facts usually take 8 % of what was read."""

FACTS_SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["facts"],
    "properties": {
        "facts": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["category", "subject", "statement", "message", "quote"],
                "properties": {
                    "category": {"type": "string", "enum": list(CATEGORIES)},
                    "subject": {"type": "string"},
                    "statement": {"type": "string"},
                    "message": {"type": "integer"},
                    "quote": {"type": "string"},
                },
            },
        }
    },
}


def facts_prompt(pack: Pack, *, custom_id: str, mark: str, model: str) -> Prompt:
    """The request for a pack. `mark` is new for each request (see `fencing.new_mark`)."""
    conversations = [
        (units[0].title, [line for unit in units for line in unit.lines])
        for _, group in groupby(pack.units, key=lambda unit: (unit.product, unit.conversation_id))
        if (units := list(group))
    ]
    text = f"{fenced(conversations, mark)}\nList the facts that the user states in this chat."
    return prompt_of("facts", text, FACTS_SCHEMA, FACTS_OUTPUT_TOKENS, custom_id=custom_id, model=model)


def prompt_of(
    name: str, text: str, schema: dict[str, Any], max_output_tokens: int, *, custom_id: str, model: str
) -> Prompt:
    """A request with the instructions of `prompts/<name>.md`."""
    return Prompt(
        custom_id=custom_id,
        model=model,
        system=instructions(name),
        text=text,
        schema=schema,
        max_output_tokens=max_output_tokens,
        input_tokens=overhead_tokens(name, schema) + tokens_of(text),
    )


def overhead_tokens(name: str, schema: dict[str, Any]) -> int:
    """What instructions and schema take of a request's input."""
    return tokens_of(instructions(name)) + tokens_of(orjson.dumps(schema).decode())


@cache
def instructions(name: str) -> str:
    """The text of `prompts/<name>.md`."""
    return (files("ray_import.profile") / "prompts" / f"{name}.md").read_text(encoding="utf-8").strip()
