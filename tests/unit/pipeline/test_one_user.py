import io
import json
import signal
import sys
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from itertools import permutations
from pathlib import Path
from typing import Any, BinaryIO

import orjson
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as tried
from hypothesis import strategies as st

from ray_import.chunks.chunker import chunk_conversation
from ray_import.chunks.rows import ConversationRows, ImportJob
from ray_import.destinations.base import JobStatus, WriteResult
from ray_import.destinations.sqlite.sink import SqliteSink
from ray_import.errors import Interrupted, NotAnExport, SinkBusy, SinkError
from ray_import.pipeline.batch import BatchContext
from ray_import.pipeline.one_user import OwnWorkers, import_user
from ray_import.pipeline.report import Summary
from ray_import.pipeline.sources import Sources, open_sources
from ray_import.pipeline.user_import import REJECTS_NAMED
from ray_import.records import Chunk, Conversation, Reject
from ray_import.settings import ChunkSettings, ImportSettings, ReadLimits
from ray_import.source.export import Export, Member
from tests.support.in_process import InProcessWorkers
from tests.unit.pipeline.runs import (
    OF_ONE_RUN,
    SETTINGS,
    STARTED_AT,
    Database,
    Recorded,
    add_up,
    batches_of_bytes,
    conversation_counts,
)
from tests.unit.source.exports import Item, conversation, exported, written, zipped

ONE_BATCH, A_BATCH_EACH = batches_of_bytes(32 * 1024 * 1024), batches_of_bytes(1)
BATCHING = pytest.mark.parametrize("settings", [ONE_BATCH, A_BATCH_EACH], ids=["one batch", "a batch each"])

EMPTY = conversation("empty", "   ")
FOLDER = {"title": "a folder"}


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database(tmp_path / "chunks.db")


def export(tmp_path: Path, *items: object, name: str = "export.json") -> Path:
    return written(tmp_path / name, exported(items))


def talk(name: str, size: int = 3, **more: Any) -> Item:
    return conversation(name, *(f"{name} says {i}. " * 40 for i in range(size)), **more)


# --- counts and endings --------------------------------------------------------------------------


@BATCHING
def test_an_import_of_all_there_is_is_complete_and_its_counts_add_up(
    tmp_path: Path, database: Database, settings: ImportSettings
) -> None:
    path = export(tmp_path, talk("a"), FOLDER, EMPTY, talk("b"), 7, "x")
    summary = database.imported(path, settings=settings)
    assert (summary.status, summary.exit_code, summary.error) == ("complete", 0, None)
    assert conversation_counts(summary.counts) == {"seen": 6, "imported": 2, "empty": 1, "not_a_conversation": 3}
    assert summary.counts.kept == 6
    assert summary.counts.left_out == {"no_text": 1}
    assert summary.counts.chunks_written == len(database.dump()["conversation_chunks"])
    assert {row["conversation_id"] for row in database.dump()["imported_conversations"]} == {"a", "b", "empty"}


@BATCHING
def test_a_truncated_source_is_partial_and_all_before_the_cut_is_in(
    tmp_path: Path, database: Database, settings: ImportSettings
) -> None:
    data = exported([talk("a"), talk("b"), talk("c")])[:-30]
    path = written(tmp_path / "x.json", data)
    summary = database.imported(path, settings=settings)
    assert (summary.status, summary.exit_code) == ("partial", 1)
    assert [problem.kind for problem in summary.problems] == ["truncated", "reject"]
    assert conversation_counts(summary.counts) == {"seen": 3, "imported": 2, "rejected": 1}
    (row,) = database.dump()["import_rejects"]
    assert (row["reason"], row["position"], data.endswith(row["raw"])) == ("truncated", 2, True)
    assert {row["conversation_id"] for row in database.dump()["imported_conversations"]} == {"a", "b"}


@BATCHING
def test_a_zip_that_is_cut_off_is_partial_even_if_all_is_in(
    tmp_path: Path, database: Database, settings: ImportSettings
) -> None:
    whole = zipped({"conversations.json": exported([talk("a"), talk("b")]), "picture.png": b"x"})
    summary = database.imported(written(tmp_path / "x.zip", whole[:-30]), settings=settings)
    assert (summary.status, summary.exit_code) == ("partial", 1)
    assert [(problem.kind, problem.where) for problem in summary.problems] == [("truncated", "x.zip")]
    assert conversation_counts(summary.counts) == {"seen": 2, "imported": 2}


@BATCHING
@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        pytest.param((b'"current_node"', b'"x":NaN,"current_node"'), "invalid_json", id="NaN"),
        pytest.param((b"bad says", b"bad\x01says"), "invalid_json", id="control character"),
        pytest.param((b"bad says", b"bad\xffsays"), "invalid_json", id="bad UTF-8"),
        pytest.param((b'"bad"', b'"bad'), "damaged", id="missing quote"),
    ],
)
def test_one_bad_conversation_becomes_a_reject_with_its_bytes_and_the_others_are_in(
    tmp_path: Path, database: Database, damage: tuple[bytes, bytes], reason: str, settings: ImportSettings
) -> None:
    bad = exported([talk("bad")])[1:-1].replace(*damage, 1)
    data = b"[" + b",".join([exported([talk("a")])[1:-1], bad, exported([talk("c")])[1:-1]]) + b"]"
    path = written(tmp_path / "x.zip", zipped({"f/conversations.json": data}))
    summary = database.imported(path, settings=settings)
    assert (summary.status, summary.exit_code) == ("partial", 1)
    assert conversation_counts(summary.counts) == {"seen": 3, "imported": 2, "rejected": 1}
    assert [(problem.kind, problem.where, problem.detail) for problem in summary.problems] == [
        ("reject", "f/conversations.json, item 1", reason)
    ]
    (row,) = database.dump()["import_rejects"]
    assert (row["raw"], row["reason"], row["position"], row["source_member"]) == (
        bad, reason, 1, "f/conversations.json",
    )  # fmt: skip
    assert {row["conversation_id"] for row in database.dump()["imported_conversations"]} == {"a", "c"}


def test_of_many_rejects_all_are_counted_and_kept_and_the_first_are_named(tmp_path: Path, database: Database) -> None:
    bad = [b'{"mapping":{},"x":NaN,"n":%d}' % i for i in range(REJECTS_NAMED + 30)]
    path = written(tmp_path / "x.json", b"[" + b",".join([*bad, exported([talk("a")])[1:-1]]) + b"]")
    summary = database.imported(path, settings=A_BATCH_EACH)
    assert summary.counts.rejected == len(database.dump()["import_rejects"]) == len(bad)
    assert [problem.where for problem in summary.problems] == [f"x.json, item {i}" for i in range(REJECTS_NAMED)]


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"[]", "it is empty"),
        (b'{"id":"user-1","email":"a@b"}', "none of 1 items has a mapping"),
        (exported([FOLDER, FOLDER]), "none of 2 items has a mapping"),
        (b"[", "truncated"),
        (b"[[[[", "truncated"),
    ],
)
def test_an_export_without_a_conversation_is_an_error(
    tmp_path: Path, database: Database, data: bytes, what: str
) -> None:
    summary = database.imported(written(tmp_path / "x.json", data))
    assert (summary.status, summary.exit_code) == ("failed", 3)
    assert isinstance(summary.error, NotAnExport)
    assert what in summary.error.message
    assert summary.error.hint


@pytest.mark.parametrize("kind", ["complete", "partial", "failed"])
def test_the_jobs_row_says_how_it_ended(tmp_path: Path, database: Database, kind: str) -> None:
    data = {"complete": exported([talk("a")]), "partial": exported([talk("a"), talk("b")])[:-9], "failed": b"[]"}[kind]
    summary = database.imported(written(tmp_path / "x.json", data))
    with closing(SqliteSink(database.path)) as sink:
        (job,) = sink.jobs()
    assert (job.id, job.user_id, job.source, job.status) == ("import-1", "u1", str(tmp_path / "x.json"), kind)
    assert job.counts.items() <= summary.as_dict().items()
    assert job.finished_at is not None
    assert (job.error is None) == (kind != "failed")


def test_the_last_thing_that_is_shown_is_the_end(tmp_path: Path, database: Database) -> None:
    path = export(tmp_path, *(talk(f"c{i}") for i in range(20)))
    sources = open_sources([path], SETTINGS.read)
    recorded = Recorded()
    work = BatchContext(ImportJob("i", "u1", 0.0), A_BATCH_EACH)
    with closing(SqliteSink(database.path)) as sink:
        import_user(sources, work, sink, "", lambda: InProcessWorkers(sink), recorded)
    size = path.stat().st_size
    assert recorded.shown[-1] == (size, 1.0, 20)
    assert recorded.shown == sorted(recorded.shown)


class RefusingSink(SqliteSink):
    """Refuses from the second batch on."""

    def write(
        self,
        job: ImportJob,
        settings_hash: str,
        conversations: Sequence[ConversationRows],
        rejects: Sequence[Reject],
        settled: Sequence[str] = (),  # noqa: ARG002 - the port's
    ) -> list[WriteResult]:
        if (
            self.known(job.user_id, settings_hash, [])
            or self._db.execute("SELECT 1 FROM imported_conversations").fetchone()
        ):
            raise SinkError("The disk is full.", "Make room.")
        return super().write(job, settings_hash, conversations, rejects)


class AwayAtTheEnd(SqliteSink):
    """Does not take how the import ended."""

    def update_job(
        self, import_id: str, counts: dict[str, Any], status: JobStatus = "running", error: str | None = None
    ) -> bool:
        if status != "running":
            raise SinkBusy("The database says 57P01: it shuts down, or starts.", "Run it again.")
        return super().update_job(import_id, counts, status, error)


def test_run_import_gives_a_summary_when_the_destination_is_away_at_the_end(tmp_path: Path, database: Database) -> None:
    path = export(tmp_path, talk("a"))
    work = BatchContext(ImportJob("i", "u1", 0.0), ONE_BATCH)
    with closing(AwayAtTheEnd(database.path)) as sink:
        summary = import_user(
            open_sources([path], work.settings.read), work, sink, "x", lambda: InProcessWorkers(sink), Recorded()
        )
    assert isinstance(summary.error, SinkBusy)
    assert (summary.status, summary.exit_code, summary.counts.imported) == ("failed", 3, 1)


def test_where_the_destination_refuses_the_import_has_failed_and_what_was_in_stays(
    tmp_path: Path, database: Database
) -> None:
    path = export(tmp_path, talk("a"), talk("b"), talk("c"))
    work = BatchContext(ImportJob("i", "u1", 0.0), A_BATCH_EACH)
    with closing(RefusingSink(database.path)) as sink:
        summary = import_user(
            open_sources([path], SETTINGS.read), work, sink, "", lambda: InProcessWorkers(sink), Recorded()
        )
        (job,) = sink.jobs()
    assert (summary.status, summary.exit_code, str(summary.error)) == ("failed", 3, "The disk is full.\nMake room.")
    assert (job.status, job.error) == ("failed", "The disk is full.")
    assert conversation_counts(summary.counts) == {"seen": 1, "imported": 1}
    assert {row["conversation_id"] for row in database.dump()["imported_conversations"]} == {"a"}


# --- again ---------------------------------------------------------------------------------------

BAD = b'{"title":"bad","mapping":{},"x":NaN}'


def mixed(tmp_path: Path) -> Path:
    good = [exported([item])[1:-1] for item in (talk("a"), EMPTY, FOLDER, talk("b", 8), talk("c", update_time=None))]
    return written(tmp_path / "mixed.json", b"[" + b",".join([*good, BAD]) + b"]")


@BATCHING
def test_the_same_import_again_writes_nothing(tmp_path: Path, database: Database, settings: ImportSettings) -> None:
    path = mixed(tmp_path)
    first = database.imported(path, settings=settings)
    before = database.dump()
    database.watch()
    again = database.imported(path, settings=settings)
    assert database.changes() == []
    assert database.dump() == before
    assert conversation_counts(again.counts) == {
        "seen": 6, "unchanged": 3, "empty": 1, "rejected": 1, "not_a_conversation": 1,
    }  # fmt: skip
    assert (again.counts.chunks_written, again.counts.chunks_deleted) == (0, 0)
    assert (first.status, again.status) == ("partial", "partial")


def test_the_same_conversation_written_in_another_way_is_replaced_by_the_same_rows(
    tmp_path: Path, database: Database
) -> None:
    database.imported(export(tmp_path, talk("a")))
    before = database.content()["conversation_chunks"]
    pretty = written(tmp_path / "pretty.json", json.dumps([talk("a")], indent=1).encode())
    assert conversation_counts(database.imported(pretty).counts) == {"seen": 1, "imported": 1}
    assert database.content()["conversation_chunks"] == before


@pytest.mark.parametrize(
    "changed",
    [
        ImportSettings(chunks=ChunkSettings(target_tokens=100, overlap_tokens=10)),
        ImportSettings(chunks=ChunkSettings(overlap_tokens=0)),
        ImportSettings(branches="active"),
    ],
)
def test_other_settings_make_the_rows_that_a_first_import_with_them_makes(
    tmp_path: Path, database: Database, changed: ImportSettings
) -> None:
    path = export(tmp_path, talk("a", 200), talk("b"))
    database.imported(path)
    again = database.imported(path, settings=changed)
    assert conversation_counts(again.counts) == {"seen": 2, "imported": 2}
    fresh = Database(tmp_path / "fresh.db")
    first = fresh.imported(path, settings=changed)
    assert database.content() == fresh.content()
    assert again.counts.chunks_written == first.counts.chunks_written
    assert again.counts.chunks_deleted > 0
    assert conversation_counts(database.imported(path, settings=changed).counts) == {"seen": 2, "unchanged": 2}


def test_another_users_import_of_the_same_export_is_their_own(tmp_path: Path, database: Database) -> None:
    path = mixed(tmp_path)
    database.imported(path)
    mine = database.dump()
    other = database.imported(path, user_id="u2")
    assert conversation_counts(other.counts)["imported"] == 3
    found = database.dump()
    assert {table: [row for row in rows if row["user_id"] == "u1"] for table, rows in found.items()} == mine
    assert {table: len(rows) for table, rows in found.items()} == {table: 2 * len(rows) for table, rows in mine.items()}


# --- copies of one conversation ------------------------------------------------------------------


def copies() -> dict[str, tuple[Item, Item]]:
    """Pairs of copies of a conversation, of which the second one has to stay."""
    return {
        "greater update time": (talk("a", 9, update_time=1_700_000_001.5), talk("a", 2, update_time=1_700_000_002.5)),
        "an update time at all": (talk("a", 9, update_time=None), talk("a", 2, update_time=1_700_000_002.5)),
        "more nodes": (talk("a", 3), talk("a", 5)),
        "more nodes, no time": (talk("a", 3, update_time=None), talk("a", 5, update_time=None)),
    }


COPIES = pytest.mark.parametrize("pair", copies().values(), ids=copies())


def alone(tmp_path: Path, item: Item) -> dict[str, list[dict[str, Any]]]:
    """The rows of `item` where nothing else is."""
    database = Database(tmp_path / f"alone-{len(list(tmp_path.glob('alone-*.json')))}.db")
    database.imported(export(tmp_path, item, name=f"{database.path.stem}.json"))
    return database.content()


@COPIES
@pytest.mark.parametrize("newest_first", [False, True])
def test_of_two_copies_in_two_exports_the_newer_stays_whichever_came_first(
    tmp_path: Path, database: Database, pair: tuple[Item, Item], newest_first: bool
) -> None:
    older, newer = pair
    for i, item in enumerate((newer, older) if newest_first else (older, newer)):
        summary = database.imported(export(tmp_path, item, name=f"{i}.json"))
        assert summary.status == "complete"
        assert add_up(summary.counts)
    assert database.content() == alone(tmp_path, newer)
    if newest_first:
        assert conversation_counts(summary.counts) == {"seen": 1, "unchanged": 1}
        assert summary.counts.notes == {"older_copy": 1}


@COPIES
@BATCHING
@pytest.mark.parametrize("newest_first", [False, True])
def test_of_two_copies_in_one_export_the_newer_stays_whichever_came_first(
    tmp_path: Path, database: Database, pair: tuple[Item, Item], newest_first: bool, settings: ImportSettings
) -> None:
    older, newer = pair
    path = export(tmp_path, talk("z"), *((newer, older) if newest_first else (older, newer)), talk("y"))
    summary = database.imported(path, settings=settings)
    assert conversation_counts(summary.counts) == {"seen": 4, "imported": 3, "unchanged": 1}
    assert summary.counts.notes == {"older_copy": 1}
    only = Database(tmp_path / "only.db")
    only.imported(export(tmp_path, talk("z"), newer, talk("y"), name="only.json"))
    assert database.content() == only.content()
    database.watch()
    again = database.imported(path, settings=settings)
    assert database.changes() == []
    assert conversation_counts(again.counts) == {"seen": 4, "unchanged": 4}


def test_three_copies_in_any_order_come_to_the_same(tmp_path: Path) -> None:
    items = [talk("a", 2, update_time=1_700_000_003.0), talk("a", 4), talk("a", 3)]
    found = []
    for i, order in enumerate(permutations(items)):
        for batching in (ONE_BATCH, A_BATCH_EACH):
            database = Database(tmp_path / f"{i}-{batching.flow.batch_bytes}.db")
            summary = database.imported(export(tmp_path, *order), settings=batching)
            assert conversation_counts(summary.counts) == {"seen": 3, "imported": 1, "unchanged": 2}
            found.append(database.content())
    assert all(each == found[0] for each in found)


def tied(count: int = 2) -> list[Item]:
    """Copies with nothing to choose between them but their texts."""
    return [conversation("a", "One.", f"Version {i}.") for i in range(count)]


def test_of_copies_that_are_equally_new_in_two_exports_the_later_imports_stays(
    tmp_path: Path, database: Database
) -> None:
    for i, item in enumerate((*tied(), *tied())):
        summary = database.imported(export(tmp_path, item, name=f"{i}.json"))
        assert conversation_counts(summary.counts) == {"seen": 1, "imported": 1}
        assert database.content() == alone(tmp_path, item)


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
@BATCHING
def test_of_copies_that_are_equally_new_in_one_export_the_same_one_stays_whichever_came_first(
    tmp_path: Path, database: Database, order: list[int], settings: ImportSettings
) -> None:
    items = tied()
    summary = database.imported(export(tmp_path, *(items[i] for i in order)), settings=settings)
    assert conversation_counts(summary.counts) == {"seen": 2, "imported": 1, "unchanged": 1}
    other = Database(tmp_path / "other.db")
    other.imported(export(tmp_path, *items, name="other.json"), settings=A_BATCH_EACH)
    assert database.content() == other.content()


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@BATCHING
def test_an_export_with_copies_that_are_equally_new_again_writes_nothing(
    tmp_path: Path, database: Database, order: tuple[int, ...], settings: ImportSettings
) -> None:
    items = tied(len(order))
    path = export(tmp_path, *(items[i] for i in order))
    database.imported(path, settings=settings)
    before = database.dump()
    database.watch()
    for _ in range(3):
        again = database.imported(path, settings=settings)
        assert conversation_counts(again.counts) == {"seen": len(order), "unchanged": len(order)}
    assert database.changes() == []
    assert database.dump() == before


@BATCHING
def test_the_same_bytes_twice_in_one_export_are_one_conversation(
    tmp_path: Path, database: Database, settings: ImportSettings
) -> None:
    summary = database.imported(export(tmp_path, talk("a"), talk("a"), talk("b")), settings=settings)
    assert conversation_counts(summary.counts) == {"seen": 3, "imported": 2, "unchanged": 1}
    assert summary.counts.chunks_written == len(database.dump()["conversation_chunks"])
    assert summary.counts.chunks_deleted == 0


ITEMS = st.lists(
    st.one_of(
        st.builds(
            lambda name, size, time: talk(name, size, update_time=time),
            st.sampled_from("abc"),
            st.integers(0, 3),
            st.sampled_from([None, 1_700_000_001.0, 1_700_000_002.0]),
        ),
        st.sampled_from([FOLDER, EMPTY, {"mapping": {}}, 7]),
    ),
    min_size=1,
    max_size=7,
)  # fmt: skip


@tried(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(items=ITEMS, bad=st.integers(0, 2), batch_bytes=st.sampled_from([1, 800, 1 << 20]))
def test_whatever_an_export_holds_counts_add_up_and_no_batching_changes_its_rows(
    tmp_path_factory: pytest.TempPathFactory, items: list[Any], bad: int, batch_bytes: int
) -> None:
    tmp_path = tmp_path_factory.mktemp("export")
    data = exported(items)[:-1] + (b"," + BAD) * bad + b"]"
    path = written(tmp_path / "x.json", data)
    databases = Database(tmp_path / "1.db"), Database(tmp_path / "2.db")
    summaries = [
        database.imported(path, settings=batching)
        for database, batching in zip(databases, (batches_of_bytes(batch_bytes), ONE_BATCH), strict=True)
    ]
    assert all(add_up(summary.counts) for summary in summaries)
    assert summaries[0].counts.seen == len(items) + bad
    if summaries[0].error is None:
        assert databases[0].content() == databases[1].content()
        assert summaries[0].counts.imported == summaries[1].counts.imported
        assert summaries[0].counts.rejected == summaries[1].counts.rejected == bad


# --- interruption --------------------------------------------------------------------------------


class Interrupting(io.BytesIO):
    """Somebody presses Ctrl-C when so many bytes are read."""

    def __init__(self, data: bytes, after_bytes: int) -> None:
        super().__init__(data)
        self._after_bytes = after_bytes

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell() >= self._after_bytes:
            raise KeyboardInterrupt
        return super().read(min(1000, size or 1000))


def interrupted_sources(path: Path, after_bytes: int) -> Sources:
    def opener(stack: ExitStack) -> BinaryIO:
        return stack.enter_context(Interrupting(path.read_bytes(), after_bytes))

    member = Member(path.name, path.stat().st_size, opener)
    return Sources((Export(str(path), (member,), ()),), ReadLimits(window_bytes=1000))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.95])
def test_an_interrupted_import_keeps_what_was_in_and_a_rerun_comes_to_the_same_tables(
    tmp_path: Path, database: Database, share: float
) -> None:
    path = export(tmp_path, *(talk(f"c{i}", i % 5) for i in range(30)), EMPTY, FOLDER)
    sources = interrupted_sources(path, int(share * path.stat().st_size))
    summary = database.imported_from(sources, A_BATCH_EACH)
    assert (summary.status, summary.exit_code) == ("failed", 3)
    assert add_up(summary.counts)
    with closing(SqliteSink(database.path)) as sink:
        (job,) = sink.jobs()
    assert (job.status, job.error) == ("failed", "interrupted")
    in_by_then = database.dump()
    assert len(in_by_then["imported_conversations"]) == summary.counts.imported + summary.counts.empty
    assert (summary.counts.imported > 0) == (share > 0)

    rerun = database.imported(path, settings=A_BATCH_EACH)
    assert rerun.status == "complete"
    assert rerun.counts.unchanged == summary.counts.imported
    for table, rows in in_by_then.items():
        assert [row for row in database.dump()[table] if row["import_id"] == "import-1"] == rows
    undisturbed = Database(tmp_path / "undisturbed.db")
    undisturbed.imported(path, settings=A_BATCH_EACH)
    assert database.content() == undisturbed.content()


def test_a_fault_of_ours_is_raised_and_the_jobs_row_names_its_kind_alone(tmp_path: Path, database: Database) -> None:
    path = export(tmp_path, talk("a"))

    def opener(_stack: ExitStack) -> BinaryIO:
        raise ZeroDivisionError("my doctor said")

    sources = Sources((Export("x", (Member("x", None, opener),), ()),), SETTINGS.read)
    with pytest.raises(ZeroDivisionError):
        database.imported_from(sources)
    with closing(SqliteSink(database.path)) as sink:
        (job,) = sink.jobs()
    assert (job.status, job.error) == ("failed", "ZeroDivisionError")
    assert database.imported(path).status == "complete"


# --- containers and damage, to the end -----------------------------------------------------------


def test_the_same_conversations_give_the_same_rows_however_they_are_packed(tmp_path: Path) -> None:
    items = [talk(f"c{i}") for i in range(6)]
    whole = exported(items)
    packings: dict[str, bytes] = {
        "bare.json": whole,
        "export.zip": zipped({"conversations.json": whole}),
        "sharded.zip": zipped({f"conversations-{i}.json": exported(items[2 * i : 2 * i + 2]) for i in range(3)}),
        "portal.zip": zipped({"a/Conversations__1.zip": zipped({"conversations.json": whole}, zipfile.ZIP_STORED)}),
    }
    found = []
    for name, data in packings.items():
        database = Database(tmp_path / f"{name}.db")
        summary = database.imported(written(tmp_path / name, data))
        assert (summary.status, summary.counts.imported) == ("complete", 6)
        found.append(database.content())
    assert all(each == found[0] for each in found)


@pytest.mark.skipif(sys.platform != "linux", reason="other file systems take names in UTF-8 alone")
def test_a_path_that_is_no_utf_8_is_imported(tmp_path: Path, database: Database) -> None:
    path = written(tmp_path / "caf\udce9.json", exported([talk("a")]))
    assert database.imported(path).status == "complete"
    with closing(SqliteSink(database.path)) as sink:
        assert "caf" in sink.jobs()[0].source


def test_an_import_makes_the_same_rows_twice_over(tmp_path: Path) -> None:
    path = mixed(tmp_path)
    databases = [Database(tmp_path / f"{i}.db") for i in range(2)]
    for database in databases:
        database.imported(path)
    assert databases[0].dump() == databases[1].dump()
    assert databases[0].dump()["conversation_chunks"][0].keys() | {"imported_at", "seen_in"} >= OF_ONE_RUN


def summaries_of(path: Path, tmp_path: Path) -> Iterator[Summary]:
    for batching in (ONE_BATCH, A_BATCH_EACH):
        yield Database(tmp_path / f"{batching.flow.batch_bytes}.db").imported(path, settings=batching)


def test_a_summary_is_one_json_object_without_a_word_of_the_user(tmp_path: Path) -> None:
    bad = exported([talk("bad")])[1:-1].replace(b"says", b"\x01secret", 1)
    path = written(tmp_path / "x.json", b"[" + exported([talk("a")])[1:-1] + b"," + bad + b"]")
    for summary in summaries_of(path, tmp_path):
        told = orjson.dumps(summary.as_dict())
        assert b"secret" not in told
        assert b"says" not in told
        assert orjson.loads(told)["conversations"] == {
            "seen": 2, "imported": 1, "unchanged": 0, "empty": 0, "rejected": 1, "not_a_conversation": 0,
        }  # fmt: skip


@BATCHING
def test_a_fault_of_ours_costs_one_conversation_too(
    tmp_path: Path, database: Database, settings: ImportSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def faulty(one: Conversation, sizes: ChunkSettings) -> Iterator[Chunk]:
        if one.id == "b":
            raise ZeroDivisionError(one.title)
        return chunk_conversation(one, sizes)

    monkeypatch.setattr("ray_import.pipeline.batch.chunk_conversation", faulty)
    summary = database.imported(export(tmp_path, talk("a"), talk("b"), talk("c")), settings=settings)
    assert conversation_counts(summary.counts) == {"seen": 3, "imported": 2, "rejected": 1}
    assert [problem.detail for problem in summary.problems] == ["fault:ZeroDivisionError"]
    assert {row["conversation_id"] for row in database.dump()["imported_conversations"]} == {"a", "c"}


def asked_to_exit() -> OwnWorkers:
    """As Ray does at a SIGTERM that comes while it starts."""
    sys.exit(signal.SIGTERM)


def test_an_import_that_is_interrupted_while_its_workers_start_says_so(tmp_path: Path, database: Database) -> None:
    sources = open_sources([export(tmp_path, talk("c1"))], SETTINGS.read)
    work = BatchContext(ImportJob("import-1", "u1", STARTED_AT), SETTINGS)
    with closing(SqliteSink(database.path)) as sink:
        summary = import_user(sources, work, sink, "sqlite:///chunks.db", asked_to_exit, Recorded())
        (job,) = sink.jobs()
    assert isinstance(summary.error, Interrupted)
    assert (job.status, job.error) == ("failed", "interrupted")
