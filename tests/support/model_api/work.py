"""What the model does with the parameters of one message: checks them, answers, and notes what is paid for."""

import json
import math
from dataclasses import dataclass
from typing import Any

from tests.support.model_api.answers import CONTEXT_TOKENS, MODELS, message, refused, spoiled
from tests.support.model_api.dials import ANSWER_FAULTS, Dials, Faults
from tests.support.model_api.ledger import Ledger, Paid, fingerprint_of, planted_read
from tests.support.model_api.oracle import answer_to, kind_of

BYTES_PER_TOKEN = 3.1
UNWANTED = ("temperature", "top_p", "top_k")
KNOWN = {
    "model", "max_tokens", "messages", "system", "metadata", "output_config", "stop_sequences", "cache_control",
    "thinking", "service_tier", "tools", "tool_choice",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """The parameters of a message, checked. `prompt` is all text of the messages."""

    model: str
    max_tokens: int
    prompt: str
    system: str
    schema: dict[str, Any]

    @property
    def input_tokens(self) -> int:
        """As the API counts them."""
        return tokens_of(self.prompt) + tokens_of(self.system) + tokens_of(json.dumps(self.schema))


def tokens_of(text: str) -> int:
    """The fake's own tokens."""
    return math.ceil(len(text.encode("utf-8", "surrogatepass")) / BYTES_PER_TOKEN)


def question_of(params: Any, *, counting: bool = False) -> Question:
    """The parameters. Raises Refused with what the API would answer to bad ones."""
    if not isinstance(params, dict) or not isinstance(params.get("messages"), list) or not params["messages"]:
        raise refused(400, "messages: at least one message is required")
    for name in UNWANTED:
        if name in params:
            raise refused(400, f"{name}: this model does not take it")
    unknown = set(params) - KNOWN
    if unknown:
        raise refused(400, f"{min(unknown)}: extra inputs are not permitted")
    if params.get("model") not in MODELS:
        raise refused(404, f"model: {params.get('model')}")
    most = params.get("max_tokens")
    if not counting and (not isinstance(most, int) or not 1 <= most <= MODELS[params["model"]]):
        raise refused(400, "max_tokens: out of range")
    schema = ((params.get("output_config") or {}).get("format") or {}).get("schema") or {}
    _check_schema(schema)
    question = Question(
        model=params["model"],
        max_tokens=most or 1,
        prompt=_text_of_messages(params["messages"]),
        system=_text_of(params.get("system", "")),
        schema=schema,
    )
    if question.input_tokens > CONTEXT_TOKENS:
        raise refused(400, "prompt is too long")
    return question


def answered(
    question: Question, dials: Dials, faults: Faults, ledger: Ledger, *, batch_id: str = "", custom_id: str = ""
) -> tuple[dict[str, Any], Paid]:
    """The message, and what is paid for it: it is in the ledger by then."""
    text, facts = answer_to(question.schema, question.prompt, dials)
    thinking = min(dials.thinking_tokens, question.max_tokens)
    output = thinking + tokens_of(text)
    usage = {"input_tokens": question.input_tokens, "output_tokens": min(output, question.max_tokens)}
    made = message(question.model, text, thinking, usage)
    path = "/v1/messages/batches" if batch_id else "/v1/messages"
    fault = faults.of(ANSWER_FAULTS, "POST", path, question.prompt)
    if fault:
        made = spoiled(made, fault.kind)
    elif output > question.max_tokens or (dials.most_facts and facts > dials.most_facts):
        made = spoiled(made, "cut_off")
    paid = Paid(
        kind=kind_of(question.schema, question.prompt), model=question.model, input_tokens=usage["input_tokens"],
        output_tokens=usage["output_tokens"], batch_id=batch_id, custom_id=custom_id,
        fingerprint=fingerprint_of(question.prompt), planted=planted_read(question.prompt),
    )  # fmt: skip
    ledger.paid.append(paid)
    return made, paid


def _text_of_messages(messages: list[Any]) -> str:
    if messages[-1].get("role") != "user":
        raise refused(400, "messages: the last one has to be the user's")
    return "\n".join(_text_of(each.get("content", "")) for each in messages)


def _text_of(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(str(block.get("text", "")) for block in content)


def _check_schema(schema: Any) -> None:
    """Structured output wants each object closed."""
    waiting = [schema]
    while waiting:
        each = waiting.pop()
        if isinstance(each, list):
            waiting += each
        if not isinstance(each, dict):
            continue
        if each.get("type") == "object" and each.get("additionalProperties") is not False:
            raise refused(400, "output_config.format.schema: additionalProperties has to be false for each object")
        for name in ("minLength", "maxLength", "minimum", "maximum", "maxItems"):
            if name in each and not isinstance(each[name], dict):
                raise refused(400, f"output_config.format.schema: {name} is not supported")
        waiting += each.values()
