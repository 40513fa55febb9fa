"""The end of extraction.md §6: what a row holds; the same input gives the same ids."""

import uuid
from dataclasses import replace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ray_import.chunks.chunker import chunk_conversation
from ray_import.chunks.rows import ChunkRow, ConversationRows, ImportJob, MessageRow, iso_time, rows_of, uuid5
from ray_import.records import Chunk, Conversation, Message, Span
from ray_import.settings import ChunkSettings
from tests.support.strategies import START, kept_conversation, kept_conversations

DAY = 24 * 60 * 60
IMPORT = ImportJob("import-1", "user-1", START + 10.0 * DAY)
CHUNK = Chunk(
    thread="main",
    index=1,
    count=3,
    content="# Talk\n\nUser: hi",
    tokens=4,
    spans=(Span("old", 0, 9, 9, 20, True), Span("half", 0, 4, 9, 40), Span("new", 0, 0, 5, 60)),
    created_at=START + 0.25,
)


def row(job: ImportJob = IMPORT, conversation: Conversation | None = None, **changes: object) -> ChunkRow:
    """The row of CHUNK with `changes`."""
    rows = rows_of(conversation or kept_conversation(()), "hash", [replace(CHUNK, **changes)], job)  # type: ignore[arg-type]
    return rows.chunks[0]


def test_a_row_holds_the_chunk_and_whose_it_is() -> None:
    assert row() == ChunkRow(
        id=row().id,
        user_id="user-1",
        product="chatgpt",
        conversation_id="c",
        thread="main",
        title="Talk",
        content="# Talk\n\nUser: hi",
        chunk_tier="medium",
        chunk_index=1,
        chunk_count=3,
        token_count=4,
        message_count=2,
        node_ids='["half","new"]',
        spans='[{"node":"old","start":0,"fresh":9,"end":9,"at":20,"context":true},'
        '{"node":"half","start":0,"fresh":4,"end":9,"at":40,"context":false},'
        '{"node":"new","start":0,"fresh":0,"end":5,"at":60,"context":false}]',
        created_at="2023-11-14T22:13:20.250Z",
        is_recent=True,
        import_id="import-1",
    )


def test_a_conversations_rows_hold_its_chunks_and_its_numbers() -> None:
    messages = tuple(Message(f"m{i}", None, "main", True, "user", None, "hi", ()) for i in range(2))
    conversation = replace(
        kept_conversation(messages),
        nodes=5,
        create_time=START + 0.0,
        update_time=START + 1.5,
        without_message=3,
        model="gpt-4o",
        is_starred=True,
        project="g-p-1",
        memory_scope="project_enabled",
    )
    rows = rows_of(conversation, "hash", [], IMPORT)
    assert len(rows.messages) == 2
    assert replace(rows, messages=()) == ConversationRows(
        conversation_id="c",
        product="chatgpt",
        content_hash="hash",
        title="Talk",
        create_time="2023-11-14T22:13:20.000Z",
        update_time="2023-11-14T22:13:21.500Z",
        node_count=5,
        message_count=2,
        chunks=(),
        has_messages=True,
        model="gpt-4o",
        is_starred=True,
        is_archived=False,
        project="g-p-1",
        memory_scope="project_enabled",
    )


MESSAGES = (
    Message("q", None, "main", True, "user", START + 0.25, "why?", ("a.pdf", 'b "1".png'), "quoted words"),
    Message("a", "q", "side", False, "assistant", None, "so", (), model="gpt-4o"),
)


def test_message_rows_hold_each_kept_message_in_its_place() -> None:
    asked, answered = rows_of(kept_conversation(MESSAGES), "hash", [], IMPORT).messages
    assert asked == MessageRow(
        user_id="user-1",
        product="chatgpt",
        conversation_id="c",
        node_id="q",
        parent_id=None,
        thread="main",
        on_active_path=True,
        position=0,
        role="user",
        created_at="2023-11-14T22:13:20.250Z",
        model=None,
        text="why?",
        quoted="quoted words",
        attachments='["a.pdf","b \\"1\\".png"]',
        import_id="import-1",
    )
    assert answered == asked._replace(
        node_id="a",
        parent_id="q",
        thread="side",
        on_active_path=False,
        position=1,
        role="assistant",
        created_at=None,
        model="gpt-4o",
        text="so",
        quoted="",
        attachments="[]",
    )
    assert asked.text is MESSAGES[0].text


def test_rows_hold_no_messages_when_they_are_not_to_be_stored() -> None:
    rows = rows_of(kept_conversation(MESSAGES), "hash", [], IMPORT, messages=False)
    assert (rows.messages, rows.has_messages, rows.message_count) == ((), False, 2)


# Identity


@given(kept_conversations())
def test_the_same_input_gives_the_same_rows_and_no_id_twice(conversation: Conversation) -> None:
    def rows() -> ConversationRows:
        chunks = list(chunk_conversation(conversation, ChunkSettings(50, 10)))
        return rows_of(conversation, "hash", chunks, IMPORT)

    first = rows()
    assert first == rows()
    assert len({chunk.id for chunk in first.chunks}) == len(first.chunks)


def test_an_id_is_a_uuid5() -> None:
    assert uuid.UUID(row().id).version == 5


def test_an_id_does_not_change_from_version_to_version() -> None:
    """Ids are in people's databases: another one makes every chunk a second time."""
    assert row().id == "3581cd35-d479-539a-98dc-d08f6e6bd2d8"


@pytest.mark.parametrize(
    "other",
    [
        row(replace(IMPORT, user_id="user-2")),
        row(conversation=replace(kept_conversation(()), id="c2")),
        row(thread="side"),
        row(index=2),
        row(replace(IMPORT, user_id='user-1","c'), replace(kept_conversation(()), id="")),
    ],
    ids=["user", "conversation", "thread", "index", "quotes"],
)
def test_an_id_differs_by_user_conversation_thread_and_index(other: ChunkRow) -> None:
    assert other.id != row().id


@pytest.mark.parametrize(
    "same",
    [
        row(replace(IMPORT, id="import-2", started_at=START + 900.0 * DAY)),
        row(content="other", tokens=2, count=9, spans=(), created_at=None),
        row(conversation=replace(kept_conversation(()), title="Renamed")),
    ],
    ids=["import", "content", "title"],
)
def test_an_id_is_the_same_whatever_else_changes(same: ChunkRow) -> None:
    assert same.id == row().id


# Times


@pytest.mark.parametrize(
    ("age_s", "recent"),
    [(-DAY, True), (0, True), (180 * DAY - 1, True), (180 * DAY, False), (180 * DAY + 1, False), (2000 * DAY, False)],
)
def test_a_chunk_is_recent_under_180_days_before_the_import(age_s: int, recent: bool) -> None:
    assert row(replace(IMPORT, started_at=float(START + age_s)), created_at=float(START)).is_recent is recent


def test_a_chunk_without_a_time_is_not_recent() -> None:
    timeless = row(created_at=None)
    assert (timeless.created_at, timeless.is_recent) == (None, False)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, None),
        (START, "2023-11-14T22:13:20.000Z"),
        (START + 0.25, "2023-11-14T22:13:20.250Z"),
        (1_420_070_400.0, "2015-01-01T00:00:00.000Z"),
        (4_102_444_799.0, "2099-12-31T23:59:59.000Z"),
    ],
)
def test_times_are_iso_8601_in_utc_to_the_millisecond(seconds: float | None, text: str | None) -> None:
    assert iso_time(seconds) == text


# Node ids


def test_node_ids_are_json_whatever_is_in_them() -> None:
    odd = 'a"b\\漢\n'
    assert orjson.loads(row(spans=(Span(odd, 0, 0, 1),)).node_ids) == [odd]


@given(st.text())
def test_an_id_is_the_uuid_of_version_5_as_the_standard_library_gives_it(name: str) -> None:
    assert uuid5(uuid.NAMESPACE_URL, name.encode()) == str(uuid.uuid5(uuid.NAMESPACE_URL, name))
