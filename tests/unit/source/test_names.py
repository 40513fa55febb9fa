import pytest

from ray_import.chatgpt.files import is_conversations, product_of, shard_order


@pytest.mark.parametrize(
    "name",
    [
        "conversations.json",
        "conversations-000.json",
        "conversations-7.json",
        "conversations-10000.json",
        "a/b/conversations.json",
        "0a1b-2026-07-29/conversations-012.json",
        "conversations.json.gz",
        "conversations-003.json.gz",
        "../../conversations.json",
        "/conversations.json",
    ],
)
def test_a_member_of_conversations_is_known_at_any_depth(name: str) -> None:
    assert is_conversations(name)


@pytest.mark.parametrize(
    "name",
    [
        "shared_conversations.json",
        "sectioned_conversations.json",
        "myconversations.json",
        "group_conversations.json",
        "conversations.json.bak",
        "conversations-.json",
        "conversations-a.json",
        "conversations-000.json.part",
        "conversations-000-001.json",
        "conversations 2.json",
        "conversations_000.json",
        "conversations.jsonl",
        "conversationsXjson",
        "conversations.json/user.json",
        "._conversations.json",
        "__MACOSX/._conversations.json",
        "__MACOSX/conversations.json",
        "a/__MACOSX/b/conversations.json",
        "Files__1.zip",
        "",
    ],
)
def test_the_whole_base_name_is_compared(name: str) -> None:
    assert not is_conversations(name)


def test_shards_are_sorted_by_folder_and_then_by_number() -> None:
    names = [
        "b/conversations-1.json",
        "conversations-10.json",
        "conversations-9.json",
        "a/conversations-000.json",
        "conversations-0100.json",
        "conversations.json",
        "b/conversations.json",
        "conversations-000.json.gz",
    ]
    assert sorted(names, key=shard_order) == [
        "conversations.json",
        "conversations-000.json.gz",
        "conversations-9.json",
        "conversations-10.json",
        "conversations-0100.json",
        "a/conversations-000.json",
        "b/conversations.json",
        "b/conversations-1.json",
    ]


def test_a_shard_number_may_be_of_any_length() -> None:
    """A name is up to 64 kB of what somebody else wrote; Python refuses to read a number of 4,300 digits."""
    name = f"conversations-{'9' * 5000}.json"
    assert is_conversations(name)
    assert sorted([name, "conversations-1.json"], key=shard_order) == ["conversations-1.json", name]


@pytest.mark.parametrize(
    ("names", "product"),
    [
        (["ttl/30d/export_data/1/prod-grok-backend.json"], "Grok"),
        (["Takeout/archive_browser.html", "Takeout/My Activity/Gemini Apps/MyActivity.json"], "Gemini"),
        (["user.json", "chat.html"], None),
        (["not-prod-grok-backend.json"], None),
        ([], None),
    ],
)
def test_another_product_is_known_by_a_member_of_its_own(names: list[str], product: str | None) -> None:
    assert product_of(names) == product
