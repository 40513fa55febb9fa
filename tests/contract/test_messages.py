"""Messages are stored once, beside the chunks: in one transaction with them, whatever the destination.

That readers see no half of it, and that a killed writer leaves none, is in `test_sinks.py`: `content` compares chunks,
messages and ledger at one moment.
"""

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from ray_import.chunks.rows import ConversationRows, MessageRow, iso_time
from ray_import.destinations.base import Pruned, Sink
from ray_import.pipeline.inspection import extracted
from ray_import.pipeline.sources import open_sources
from ray_import.records import Conversation
from ray_import.settings import ImportSettings
from tests.contract.destinations import (
    LEDGER_COLUMNS,
    SETTINGS,
    DestinationUnderTest,
    import_of,
    rows_for,
    twice_the_same_chunk,
)
from tests.contract.engines import imported, reimported
from tests.support.generate import write_export

OLD, NEW = 1_700_000_000.0, 1_800_000_000.0
GOLDEN = Path(__file__).parent.parent / "golden"


def stored(destination: DestinationUnderTest) -> list[MessageRow]:
    """All messages that are in, by user, conversation, product and position."""
    rows = [MessageRow(*row) for row in destination.everything()["conversation_messages"]]
    return sorted(rows, key=lambda row: (row.user_id, row.conversation_id, row.product, row.position))


def messages_of(*conversations: ConversationRows) -> list[MessageRow]:
    """The messages of these, as `stored` gives them."""
    return [message for rows in conversations for message in rows.messages]


def in_ledger(destination: DestinationUnderTest, column: str = "has_messages") -> list[object]:
    """What the ledger says in a column, in the order of the conversations' ids."""
    place = LEDGER_COLUMNS.index("conversation_id")
    ledger = sorted(destination.everything()["imported_conversations"], key=lambda row: str(row[place]))
    return [row[LEDGER_COLUMNS.index(column)] for row in ledger]


# --- what is stored ------------------------------------------------------------------------------


def expected_of(export: Path, import_id: str) -> list[MessageRow]:
    """What the rules give of `export`, without the product's way from messages to rows."""
    settings = ImportSettings()
    found = []
    for conversation in extracted(open_sources([export], settings.read), settings):
        assert isinstance(conversation, Conversation)
        for position, message in enumerate(conversation.messages):
            found.append(
                MessageRow(
                    user_id="ana",
                    product="chatgpt",
                    conversation_id=conversation.id,
                    node_id=message.node_id,
                    parent_id=message.parent_id,
                    thread=message.thread,
                    on_active_path=message.on_active_path,
                    position=position,
                    role=message.role,
                    created_at=iso_time(message.create_time),
                    model=message.model,
                    text=message.text,
                    quoted=message.quoted,
                    attachments=orjson.dumps(list(message.attachments)).decode(),
                    import_id=import_id,
                )
            )
    return sorted(found, key=lambda row: (row.conversation_id, row.position))


@pytest.mark.parametrize("name", ["generated", "forks", "flat", "marks", "voice", "times", "long"])
def test_stored_messages_equal_what_extract_gives(destination: DestinationUnderTest, tmp_path: Path, name: str) -> None:
    export = GOLDEN / f"{name}.json"
    if name == "generated":
        export = tmp_path / "conversations.json"
        write_export(export, 1, seed=5)
    with closing(destination.open()) as sink:
        summary = imported(export, sink, ImportSettings())
    expected = expected_of(export, "import-1")
    assert len(expected) == summary.counts.kept > 0
    assert stored(destination) == expected


def test_ledger_holds_what_a_reader_wants_of_a_conversation(sink: Sink, destination: DestinationUnderTest) -> None:
    rows = replace(rows_for("a"), is_archived=True, memory_scope="project_enabled")
    sink.write(import_of(1), SETTINGS, [rows], [])
    columns = ("product", "model", "is_starred", "is_archived", "project", "memory_scope", "has_messages")
    found = [in_ledger(destination, column) for column in columns]
    assert found == [["chatgpt"], ["gpt-4o"], [True], [True], ["g-p-1"], ["project_enabled"], [True]]
    changed = rows_for("a", version="v2", job=import_of(2), update_time=NEW)
    sink.write(import_of(2), SETTINGS, [replace(changed, model=None, is_starred=False, project=None)], [])
    found = [in_ledger(destination, column) for column in columns]
    assert found == [["chatgpt"], [None], [False], [False], [None], [None], [True]]


def test_odd_texts_come_back_as_they_went_in(sink: Sink, destination: DestinationUnderTest) -> None:
    odd = "é 日本 \U0001f600 \u2028 ' \" ; -- \\ \x01 \r\n" + "x" * 1_000_000
    rows = rows_for("a", chunks=1)
    message = rows.messages[0]._replace(text=odd, quoted=odd, thread="é", model="", attachments='["é \\"1\\".pdf"]')
    sink.write(import_of(1), SETTINGS, [replace(rows, messages=(message,))], [])
    assert stored(destination) == [message]


# --- replaced, pruned, removed with the chunks ---------------------------------------------------


@pytest.mark.parametrize(("before", "after"), [(1, 5), (5, 1), (3, 3), (4, 0), (0, 2)])
def test_messages_are_replaced_as_a_whole_when_a_newer_copy_comes(
    sink: Sink, destination: DestinationUnderTest, before: int, after: int
) -> None:
    other = rows_for("b")
    sink.write(import_of(1), SETTINGS, [rows_for("a", chunks=before, update_time=OLD), other], [])
    newer = rows_for("a", version="v2", chunks=after, update_time=NEW, job=import_of(2))
    sink.write(import_of(2), SETTINGS, [newer], [])
    assert stored(destination) == messages_of(newer, other)


@pytest.mark.parametrize(
    ("coming", "same_import"),
    [
        pytest.param(rows_for("a", version="v0", update_time=OLD, chunks=7), False, id="older"),
        pytest.param(rows_for("a", version="v0", update_time=NEW, chunks=7), True, id="passed over"),
        pytest.param(rows_for("a", version="v1", update_time=NEW, chunks=2), True, id="same"),
    ],
)
def test_messages_stay_when_a_copy_comes_that_does_not_replace_theirs(
    sink: Sink, destination: DestinationUnderTest, coming: ConversationRows, same_import: bool
) -> None:
    there = rows_for("a", update_time=NEW)
    sink.write(import_of(1), SETTINGS, [there], [])
    owner = import_of(1 if same_import else 2)
    sink.write(owner, SETTINGS, [coming], [])
    assert stored(destination) == messages_of(there)


def test_messages_are_pruned_with_their_conversations(sink: Sink, destination: DestinationUnderTest) -> None:
    of_another = rows_for("gone", job=import_of(1, "u2"))
    sink.write(import_of(1), SETTINGS, [rows_for("stays"), rows_for("gone", chunks=3)], [])
    sink.write(import_of(1, "u2"), SETTINGS, [of_another], [])
    sink.mark_seen(import_of(2), ["stays-v1"], [])
    assert sink.prune(import_of(2)) == Pruned(1, 3)
    assert stored(destination) == messages_of(rows_for("stays"), of_another)


@pytest.mark.parametrize("position", [0, 1, 2])
def test_refused_conversation_leaves_no_messages_and_the_others_theirs(
    sink: Sink, destination: DestinationUnderTest, position: int
) -> None:
    good = [rows_for("a"), rows_for("b")]
    before = rows_for("x", update_time=OLD, chunks=1)
    sink.write(import_of(1), SETTINGS, [before], [])
    of_chunk = twice_the_same_chunk(rows_for("x", version="v2", update_time=NEW))
    first, *_ = of_chunk.messages
    of_message = replace(rows_for("y"), messages=(first._replace(conversation_id="y"),) * 2)
    batch = [*good[:position], of_chunk, of_message, *good[position:]]
    outcomes = sink.write(import_of(1), SETTINGS, batch, [])
    assert [bool(outcome.refused) for outcome in outcomes] == [rows in (of_chunk, of_message) for rows in batch]
    assert stored(destination) == messages_of(*good, before)
    assert destination.content()["u1"].keys() == {"a", "b", "x"}


def test_no_messages_removes_those_of_an_earlier_import(sink: Sink, destination: DestinationUnderTest) -> None:
    sink.write(import_of(1), SETTINGS, [rows_for("a"), rows_for("b")], [])
    without = rows_for("a", job=import_of(2), messages=False)
    sink.write(import_of(2), "other settings", [without], [])
    assert stored(destination) == messages_of(rows_for("b"))
    assert in_ledger(destination) == [False, True]
    assert destination.content()["u1"] == {"a": ["v1 text"] * 2, "b": ["v1 text"] * 2}


# --- through the engines -------------------------------------------------------------------------


def test_imports_store_and_remove_messages_when_the_setting_changes(
    destination: DestinationUnderTest, tmp_path: Path
) -> None:
    export = tmp_path / "conversations.json"
    write_export(export, 1, seed=3)
    with_messages, without = ImportSettings(), ImportSettings(messages=False)
    with closing(destination.open()) as sink:
        first = imported(export, sink, with_messages)
        assert len(stored(destination)) == first.counts.kept > 0
        second = imported(export, sink, without, "import-2")
        assert (stored(destination), set(in_ledger(destination))) == ([], {0})
        assert second.counts.kept == first.counts.kept
        again = imported(export, sink, without, "import-3")
        assert (again.counts.imported, again.counts.unchanged) == (0, first.counts.imported)
        third = imported(export, sink, with_messages, "import-4")
        assert third.counts.imported == first.counts.imported
        assert [row._replace(import_id="") for row in stored(destination)] == [
            row._replace(import_id="") for row in expected_of(export, "")
        ]
        (ben,) = reimported({"ben": export}, sink, without)
        assert (ben.state, ben.error) == (first.status, None)
    assert {row.user_id for row in stored(destination)} == {"ana"}


# --- products ------------------------------------------------------------------------------------


def test_conversations_of_two_products_are_apart_when_their_ids_are_equal(
    sink: Sink, destination: DestinationUnderTest
) -> None:
    other = replace(import_of(2), product="other")
    rows = rows_for("a", job=other, chunks=3, version="v9", update_time=OLD)
    rows = replace(
        rows,
        product="other",
        chunks=tuple(chunk._replace(product="other", id=chunk.id[:-1] + "f") for chunk in rows.chunks[:1]),
        messages=tuple(message._replace(product="other") for message in rows.messages),
    )
    own = rows_for("a", update_time=NEW)
    sink.write(import_of(1), SETTINGS, [own], [])
    assert sink.write(other, SETTINGS, [rows], [])[0].written == 1
    assert stored(destination) == messages_of(own, rows)
    later = replace(import_of(3), product="other")
    sink.write(later, SETTINGS, [replace(rows_for("b", job=later, chunks=0, update_time=NEW), product="other")], [])
    assert sink.prune(later) == Pruned(1, 1)
    assert stored(destination) == messages_of(own)
