from typing import Any

import pytest

from ray_import.chatgpt.products import is_chatgpts, is_conversation, other_product
from tests.unit.source.exports import conversation

CLAUDE = {"uuid": "u", "name": "n", "created_at": "2026-01-01T00:00:00Z", "chat_messages": [{"sender": "human"}]}
DEEPSEEK = {
    "id": "d",
    "title": "t",
    "mapping": {
        "root": {"id": "root", "parent": None, "children": ["1"], "message": None},
        "1": {"id": "1", "parent": "root", "message": {"fragments": [{"type": "REQUEST", "content": "hi"}]}},
    },
}
GROK = {"conversation": {"id": "g"}, "responses": [{"response": {"message": "hi"}}]}
GEMINI = {"header": "Gemini Apps", "title": "Prompted hi", "time": "2026-01-01T00:00:00Z", "products": ["Gemini Apps"]}


@pytest.mark.parametrize(
    ("item", "product"), [(CLAUDE, "Claude"), (DEEPSEEK, "DeepSeek"), (GROK, "Grok"), (GEMINI, "Gemini")]
)
def test_another_products_item_is_named(item: Any, product: str) -> None:
    assert other_product(item) == product


@pytest.mark.parametrize(
    "item",
    [
        conversation("c1"),
        conversation("c1") | {"chat_messages": "no list"},
        {"mapping": {}},
        {"mapping": {"a": None, "b": {"message": None}}},
        {"mapping": {"a": {"message": {"author": {"role": "user"}, "fragments": []}}}},
        {"title": "a folder"},
        {"chat_messages": "none"},
        {"header": "h", "title": "t"},
        [],
        "text",
        None,
        17,
    ],
)
def test_what_may_be_chatgpts_or_nobodys_is_not_named(item: object) -> None:
    assert other_product(item) is None


@pytest.mark.parametrize(
    ("item", "is_one"),
    [
        (conversation("c1"), True),
        ({"mapping": {}}, True),
        (DEEPSEEK, True),
        ({"mapping": None}, False),
        ({"mapping": []}, False),
        ({"title": "a folder"}, False),
        ([{"mapping": {}}], False),
        ("mapping", False),
        (None, False),
    ],
)
def test_a_conversation_is_an_object_with_a_mapping_object(item: object, is_one: bool) -> None:
    assert is_conversation(item) is is_one


@pytest.mark.parametrize(
    ("item", "proven"),
    [
        (conversation("c1"), True),
        ({"mapping": {"a": {"message": {"author": {"role": "user"}}}}}, True),
        ({"mapping": {"a": {"message": {"content": {"parts": ["hi"]}}}}}, True),
        ({"mapping": {}}, False),
        ({"mapping": {"a": None, "b": {"message": None}, "c": {"message": 5}}}, False),
        (DEEPSEEK, False),
        (CLAUDE, False),
        ("text", False),
    ],
)
def test_only_a_message_proves_that_a_conversation_is_chatgpts(item: object, proven: bool) -> None:
    assert is_chatgpts(item) is proven
