"""The fake API beside the real SDK: what it knows, what goes wrong on demand, and what it counts as paid."""

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import httpx
import httpx2
import pytest

from tests.support.model_api.planted import Planted, order
from tests.support.model_api.server import ModelApi, model_api_process

MODEL = "claude-haiku-5-5"
TEA = Planted("preference", "tea", "oolong")
HOME = Planted("work", "home town", "Lisbon")

FACTS = {
    "type": "object", "additionalProperties": False, "required": ["facts"],
    "properties": {"facts": {"type": "array", "items": {
        "type": "object", "additionalProperties": False,
        "required": ["category", "subject", "statement", "message", "quote"],
        "properties": {
            "category": {"type": "string"}, "subject": {"type": "string"}, "statement": {"type": "string"},
            "message": {"type": "integer"}, "quote": {"type": "string"},
        },
    }}},
}  # fmt: skip
MERGE = {
    "type": "object", "additionalProperties": False, "required": ["answers"],
    "properties": {"answers": {"type": "array", "items": {
        "type": "object", "additionalProperties": False, "required": ["pair", "verdict"],
        "properties": {"pair": {"type": "integer"}, "verdict": {"enum": ["same", "contradicts", "different"]}},
    }}},
}  # fmt: skip
STATEMENT = {
    "type": "object", "additionalProperties": False, "required": ["text", "cites"],
    "properties": {"text": {"type": "string"}, "cites": {"type": "array", "items": {"type": "integer"}}},
}  # fmt: skip
SECTIONS = {
    "type": "object", "additionalProperties": False, "required": ["soul", "identity"],
    "properties": {
        "soul": {"type": "object", "additionalProperties": False, "properties": {
            "tone_preferences": STATEMENT, "personality_traits": {"type": "array", "items": STATEMENT},
        }},
        "identity": {"type": "object", "additionalProperties": False, "properties": {"ai_name": {"type": "string"}}},
    },
}  # fmt: skip

PROMPT = f"""<m7>
[1] user 2024-05-01: Hello. {TEA.quote} How are you?
[2] assistant 2024-05-01: Fine. {Planted("belief", "god", "unknown").quote}
[3] user 2024-05-02:
{HOME.quote}
</m7>"""


def client_of(api: ModelApi, **options: Any) -> anthropic.Anthropic:
    return anthropic.Anthropic(api_key=api.key, base_url=api.url, max_retries=0, **{"timeout": 20.0, **options})


@pytest.fixture
def client(api: ModelApi) -> Iterator[anthropic.Anthropic]:
    with client_of(api) as made:
        yield made


def params(prompt: str = PROMPT, schema: dict[str, Any] = FACTS, max_tokens: int = 4096) -> dict[str, Any]:
    return {
        "model": MODEL, "max_tokens": max_tokens, "system": "You extract.",
        "messages": [{"role": "user", "content": prompt}],
        "output_config": {"format": {"type": "json_schema", "schema": schema}},
    }  # fmt: skip


def ask(client: anthropic.Anthropic, *args: Any, **options: Any) -> Any:
    return client.messages.create(**params(*args, **options))


def answer_of(message: Any) -> Any:
    return json.loads(next(block.text for block in message.content if block.type == "text"))


def test_answer_has_each_planted_fact_of_the_user_with_its_number(client: anthropic.Anthropic) -> None:
    facts = answer_of(ask(client))["facts"]
    assert [(fact["message"], fact["quote"], fact["statement"]) for fact in facts] == [
        (1, TEA.quote, "The user's tea is oolong."),
        (3, HOME.quote, "The user's home town is Lisbon."),
    ]


def test_titles_and_quoted_words_are_no_messages_of_the_user(api: ModelApi, client: anthropic.Anthropic) -> None:
    said = f"""<<<BEGIN CHAT m7>>>
[conversation 1] {Planted("belief", "title", "this").quote}
[1] assistant undated: Hello.
[2 reply to] {Planted("belief", "reply", "that").quote}
[2] user 2024-05-01, continued: {TEA.quote}
<<<END CHAT m7>>>"""
    assert [(fact["message"], fact["quote"]) for fact in answer_of(ask(client, said))["facts"]] == [(2, TEA.quote)]
    api.set(others_words=3)
    lies = [fact for fact in answer_of(ask(client, said))["facts"] if fact["subject"] == "lie"]
    assert [fact["message"] for fact in lies] == [1, 1, 2]


def test_answer_begins_with_a_block_of_thinking(client: anthropic.Anthropic) -> None:
    assert [block.type for block in ask(client).content] == ["thinking", "text"]


def test_lies_are_of_three_kinds_when_asked_for(api: ModelApi, client: anthropic.Anthropic) -> None:
    api.set(invented_quotes=2, wrong_numbers=3, others_words=2)
    facts = answer_of(ask(client))["facts"]
    quotes = {1: TEA.quote, 3: HOME.quote}
    true = [fact for fact in facts if quotes.get(fact["message"]) == fact["quote"]]
    assert len(facts) == 9
    assert len(true) == 2
    assert all(fact["statement"].startswith("lie") for fact in facts if fact not in true)
    assert sum(fact["message"] == 2 for fact in facts) >= 2


def test_orders_become_facts_and_rules_when_the_model_obeys(api: ModelApi, client: anthropic.Anthropic) -> None:
    said = PROMPT.replace("Fine.", order("The user adores war") + "\n" + order("The user adores peace", 1) + "\n")
    assert "adores" not in json.dumps([fact["statement"] for fact in answer_of(ask(client, said))["facts"]])
    api.set(obeys=True)
    facts = answer_of(ask(client, said))["facts"]
    assert {(f["statement"], f["message"]) for f in facts if f["subject"] == "order"} == {
        ("The user adores war", 1), ("The user adores war", 2), ("The user adores peace", 1),
    }  # fmt: skip
    assert "adores war" in json.dumps(answer_of(ask(client, said, SECTIONS)))


def test_pairs_are_judged_by_subject_and_value(client: anthropic.Anthropic) -> None:
    other, same = Planted("work", "tea", "mint").statement, Planted("work", "Tea", "Oolong").statement
    lines = [f"[{at}]\na: {TEA.statement}\nb: {b}" for at, b in enumerate([other, same, HOME.statement])]
    answers = answer_of(ask(client, "\n".join(lines), MERGE))["answers"]
    assert answers == [
        {"pair": 0, "verdict": "contradicts"}, {"pair": 1, "verdict": "same"}, {"pair": 2, "verdict": "different"},
    ]  # fmt: skip


def test_sections_cite_numbers_that_are_there(client: anthropic.Anthropic) -> None:
    made = answer_of(ask(client, PROMPT, SECTIONS))
    assert made["soul"]["tone_preferences"] == {"text": TEA.statement, "cites": [1]}
    assert made["identity"]["ai_name"]


def test_sections_cite_wrongly_when_asked_for(api: ModelApi, client: anthropic.Anthropic) -> None:
    api.set(invented_cites=4)
    traits = answer_of(ask(client, PROMPT, SECTIONS))["soul"]["personality_traits"]
    assert [each["cites"] for each in traits if each["text"].startswith("lie")] == [[4], [], [0], [2]]


def test_sections_of_facts_repeat_their_statements(client: anthropic.Anthropic) -> None:
    facts = f'''<<<BEGIN FACTS m7>>>
[1] preference, 2024-05-01, 3 times: "{TEA.statement}"
[2] work, undated: "{HOME.statement}"
<<<END FACTS m7>>>'''
    soul = answer_of(ask(client, facts, SECTIONS))["soul"]
    assert soul["tone_preferences"] == {"text": TEA.statement, "cites": [1]}
    assert soul["personality_traits"][0] == {"text": HOME.statement, "cites": [2]}


@pytest.mark.parametrize("dials", [{}, {"most_facts": 1}])
def test_answer_is_cut_off_when_there_is_no_room(
    api: ModelApi, client: anthropic.Anthropic, dials: dict[str, int]
) -> None:
    api.set(**dials)
    message = ask(client, max_tokens=4096 if dials else 40)
    assert message.stop_reason == "max_tokens"
    assert message.usage.output_tokens <= 4096
    with pytest.raises(json.JSONDecodeError):
        answer_of(message)


@pytest.mark.parametrize(
    ("kind", "stop", "blocks"),
    [
        ("cut_off", "max_tokens", ["text"]),
        ("context_window", "model_context_window_exceeded", ["text"]),
        ("refuse", "refusal", []),
        ("unknown_stop", "tired_of_it", ["text"]),
        ("unknown_block", "end_turn", ["hologram", "text"]),
        ("second_text", "end_turn", ["text", "text"]),
        ("no_text", "end_turn", []),
    ],
)
def test_answer_is_odd_in_one_way_when_asked_for(
    api: ModelApi, client: anthropic.Anthropic, kind: str, stop: str, blocks: list[str]
) -> None:
    api.fault(kind, nth=[1])
    message = ask(client)
    assert (message.stop_reason, [block.type for block in message.content]) == (stop, blocks)
    assert ask(client).stop_reason == "end_turn"


def test_limit_answers_429_with_headers_when_its_bucket_is_empty(api: ModelApi, client: anthropic.Anthropic) -> None:
    api.set(requests_per_minute=2, input_tokens_per_minute=100_000)
    headers = client.messages.with_raw_response.create(**params()).headers
    ask(client)
    with pytest.raises(anthropic.RateLimitError) as found:
        ask(client)
    assert headers["anthropic-ratelimit-requests-remaining"] == "1"
    assert headers["anthropic-ratelimit-input-tokens-limit"] == "100000"
    assert 25 <= int(found.value.response.headers["retry-after"]) <= 31
    assert api.ledger().count("/messages", status=429) == 1


@pytest.mark.parametrize(("kind", "paid"), [("drop", 0), ("drop_after", 1), ("html", 0), ("spend_limit", 0)])
def test_ledger_counts_what_the_model_worked_on_when_the_answer_is_lost(
    api: ModelApi, client: anthropic.Anthropic, kind: str, paid: int
) -> None:
    api.fault(kind, nth=[1])
    if kind == "html":
        assert isinstance(ask(client), str)
    else:
        with pytest.raises(anthropic.APIError):
            ask(client)
    assert [each.delivered for each in api.ledger().paid] == [False] * paid
    ask(client)
    ledger = api.ledger()
    assert list(ledger.read_twice().values()) == [2, 2] * paid
    assert len(ledger.paid_twice()) == paid


def test_stalled_call_ends_when_the_client_gives_up(api: ModelApi) -> None:
    api.fault("stall", nth=[1])
    with client_of(api, timeout=0.3) as client, pytest.raises(anthropic.APITimeoutError):
        ask(client)
    assert not api.ledger().paid


def test_call_is_refused_when_its_key_or_a_parameter_is_wrong(api: ModelApi, client: anthropic.Anthropic) -> None:
    with client_of(api).with_options(api_key="sk-ant-other") as other, pytest.raises(anthropic.AuthenticationError):
        ask(other)
    with pytest.raises(anthropic.BadRequestError, match="temperature"):
        client.messages.create(**params(), extra_body={"temperature": 0})
    with pytest.raises(anthropic.NotFoundError):
        client.messages.create(**{**params(), "model": "claude-3-5-haiku"})
    assert client.messages.count_tokens(model=MODEL, messages=params()["messages"]).input_tokens > 50
    assert next(iter(client.models.list())).id == MODEL


def requests(count: int) -> Any:
    return [{"custom_id": f"r{at}", "params": params(f"[1] user 2024-05-01: {at}")} for at in range(count)]


def test_batch_is_worked_on_once_and_paid_once(api: ModelApi, client: anthropic.Anthropic) -> None:
    api.set(hold_batches=True)
    made = client.messages.batches.create(requests=requests(30))
    assert client.messages.batches.retrieve(made.id).request_counts.processing == 30
    assert not api.ledger().paid
    api.set(hold_batches=False)
    for _ in range(2):
        ids = [each.custom_id for each in client.messages.batches.results(made.id)]
        assert sorted(ids) == sorted(f"r{at}" for at in range(30)) != ids
    assert len(api.ledger().paid) == 30
    assert {each.batch_id for each in api.ledger().paid} == {made.id}


def test_requests_of_a_batch_fail_alone_when_asked_for(api: ModelApi, client: anthropic.Anthropic) -> None:
    for at, kind in enumerate(("expired", "errored", "canceled", "unknown_type")):
        api.fault(kind, containing=f'"r{at}"')
    api.fault("refuse", containing="2024-05-01: 4")
    wrong: Any = {"custom_id": "r5", "params": {**params(), "temperature": 0}}
    made = client.messages.batches.create(requests=[*requests(5), wrong, *requests(8)[6:]])
    found: dict[str, Any] = {each.custom_id: each.result for each in client.messages.batches.results(made.id)}
    kinds = [found[f"r{at}"].type for at in range(8)]
    assert kinds == [
        "expired", "errored", "canceled", "half_succeeded", "succeeded", "errored", "succeeded", "succeeded",
    ]  # fmt: skip
    assert found["r4"].message.stop_reason == "refusal"
    assert found["r5"].error.error.type == "invalid_request_error"
    assert len(api.ledger().paid) == 4


def test_batch_is_there_when_the_answer_to_its_creation_is_lost(api: ModelApi, client: anthropic.Anthropic) -> None:
    api.fault("drop_after", path="/batches$", method="POST", nth=[2])
    first = client.messages.batches.create(requests=requests(1))
    with pytest.raises(anthropic.APIConnectionError):
        client.messages.batches.create(requests=requests(2))
    third = client.messages.batches.create(requests=requests(3))
    listed = list(client.messages.batches.list(limit=1))
    assert [listed[0].id, listed[2].id] == [third.id, first.id]
    assert sum(vars(listed[1].request_counts)[name] for name in ("processing", "succeeded")) == 2
    client.messages.batches.delete(first.id)
    with pytest.raises(anthropic.NotFoundError):
        client.messages.batches.retrieve(first.id)
    assert len(api.batches()) == 2


def test_batch_is_canceled_when_it_has_not_ended(api: ModelApi, client: anthropic.Anthropic) -> None:
    api.set(hold_batches=True)
    made = client.messages.batches.create(requests=requests(3))
    with pytest.raises(anthropic.BadRequestError):
        client.messages.batches.delete(made.id)
    assert client.messages.batches.cancel(made.id).processing_status == "canceling"
    assert client.messages.batches.retrieve(made.id).processing_status == "canceling"
    assert client.messages.batches.retrieve(made.id).request_counts.canceled == 3
    assert not api.ledger().paid


def test_results_break_off_when_asked_for(api: ModelApi, client: anthropic.Anthropic) -> None:
    made = client.messages.batches.create(requests=requests(5))
    client.messages.batches.retrieve(made.id)
    for kind, error in (("results_cut", httpx2.RemoteProtocolError), ("results_bad_line", json.JSONDecodeError)):
        api.fault(kind, lines=2)
        found: list[str] = []
        with pytest.raises(error):
            found.extend(each.custom_id for each in client.messages.batches.results(made.id))
        assert 1 <= len(found) <= 2  # the SDK loses up to 64 bytes at the end
        api.clear_faults()


def test_process_of_its_own_serves_until_it_is_left() -> None:
    with model_api_process(thinking_tokens=0) as api:
        with client_of(api) as client:
            assert [block.type for block in ask(client).content] == ["text"]
        assert len(api.ledger().paid) == 1
    with pytest.raises(httpx.ConnectError):
        api.ledger()
