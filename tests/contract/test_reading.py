"""Reading conversations back: every destination finds the same ones by a name, and gives their messages as written."""

from dataclasses import replace

import pytest

from ray_import.chunks.rows import ConversationRows, iso_time
from ray_import.destinations.base import Sink
from ray_import.destinations.postgres import profiles
from ray_import.destinations.reading import StoredConversation
from tests.contract.destinations import SETTINGS, import_of, rows_for

DAY = 86_400.0


def titled(conversation_id: str, title: str, day: int) -> ConversationRows:
    return replace(rows_for(conversation_id, update_time=1_700_000_000.0 + day * DAY), title=title)


def ids(found: list[StoredConversation]) -> list[str]:
    return [one.conversation_id for one in found]


@pytest.fixture
def filled(sink: Sink) -> Sink:
    rows = [
        titled("abc-1", "The balcony in spring", 1),
        titled("abc-2", "Tomatoes on the Balcony", 3),
        titled("abc", "Rain 100% _", 2),
        titled("face", "abc", 0),
    ]
    sink.write(import_of(1), SETTINGS, rows, [])
    other = import_of(2, "u2")
    sink.write(other, SETTINGS, [replace(rows_for("abc-1", job=other), title="Of another user")], [])
    return sink


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("abc", ["abc"]),
        ("abc-", ["abc-2", "abc-1"]),
        ("abc-2", ["abc-2"]),
        ("balcony", ["abc-2", "abc-1"]),
        ("BALCONY spring", ["abc-1"]),
        ("spring balcony the", ["abc-1"]),
        ("ab", ["abc-2", "abc", "abc-1", "face"]),
        ("100%", ["abc"]),
        ("%", ["abc"]),
        ("_", ["abc"]),
        ("balcony rain", []),
        ("ABC-", []),
        (" ", []),
    ],
)
def test_conversations_finds_by_id_beginning_of_id_or_words_of_the_title(
    filled: Sink, wanted: str, expected: list[str]
) -> None:
    assert ids(filled.conversations("u1", wanted, 10)) == expected


def test_conversations_gives_the_newest_of_all_users_when_there_are_more_than_the_limit(filled: Sink) -> None:
    assert [(one.user_id, one.conversation_id) for one in filled.conversations(None, "abc-1", 10)] == [
        ("u1", "abc-1"),
        ("u2", "abc-1"),
    ]
    assert ids(filled.conversations("u1", "a", 2)) == ["abc-2", "abc"]
    assert filled.conversations("nobody", "abc", 10) == []


@pytest.mark.parametrize("messages", [True, False])
def test_conversations_gives_all_that_is_known_of_a_conversation(sink: Sink, *, messages: bool) -> None:
    rows = replace(
        rows_for("c1", messages=messages), title="A title", model="m-1", is_starred=True, is_archived=True,
        project="p", memory_scope="global",
    )  # fmt: skip
    sink.write(import_of(1), SETTINGS, [rows], [])
    (found,) = sink.conversations("u1", "c1", 10)
    assert found == StoredConversation(
        user_id="u1", product="chatgpt", conversation_id="c1", title="A title",
        create_time=iso_time(1_690_000_000.0), update_time=iso_time(1_700_000_000.0), model="m-1", is_starred=True,
        is_archived=True, project="p", memory_scope="global", has_messages=messages, message_count=2, chunk_count=2,
    )  # fmt: skip
    assert found.link == "https://chatgpt.com/c/c1"


@pytest.mark.parametrize("conversation_id", ["unidentified-0123456789abcdef", f"sha256:{'0' * 32}"])
def test_conversation_has_no_link_when_its_id_is_made_here(sink: Sink, conversation_id: str) -> None:
    sink.write(import_of(1), SETTINGS, [rows_for(conversation_id)], [])
    assert [one.link for one in sink.conversations("u1", conversation_id, 10)] == [None]


def test_messages_gives_the_rows_of_one_conversation_by_position(sink: Sink) -> None:
    rows, others = rows_for("c1", chunks=5), rows_for("c2")
    hard = rows.messages[3]._replace(
        text="a\x1b[31mb\u202e\n漢🚀", quoted="> q", attachments='["a \\"b\\".pdf"]', parent_id=None, created_at=None,
        model="m", role="assistant", thread="side", on_active_path=False,
    )  # fmt: skip
    shuffled = (rows.messages[4], hard, *rows.messages[:3])
    sink.write(import_of(1), SETTINGS, [replace(rows, messages=shuffled), others], [])
    assert sink.messages("u1", "chatgpt", "c1") == [*rows.messages[:3], hard, rows.messages[4]]
    assert sink.messages("u1", "chatgpt", "none") == sink.messages("u2", "chatgpt", "c1") == []


def test_messages_gives_all_when_they_exceed_a_page(sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = rows_for("c1", chunks=7)
    sink.write(import_of(1), SETTINGS, [rows], [])
    for size in (1, 700):
        monkeypatch.setattr(profiles, "PAGE_BYTES", size)
        assert sink.messages("u1", "chatgpt", "c1") == list(rows.messages)
