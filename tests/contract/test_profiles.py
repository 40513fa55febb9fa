"""The row of a --profile-table, in tables that allow less than an import would say: the destinations that have such a
table, and SQLite, which has none."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr

from ray_import.chunks.rows import ImportJob
from ray_import.destinations.base import Sink
from ray_import.destinations.postgres.psycopg import PostgresDatabase
from ray_import.destinations.postgres.sink import DatabaseSink
from ray_import.destinations.sqlite.sink import SqliteSink
from ray_import.errors import ConfigError, Interrupted
from ray_import.pipeline.batch import BatchContext
from ray_import.pipeline.one_user import import_user
from ray_import.pipeline.profile_table import Profile, check_profiles, profile_status, words_for_partial
from ray_import.pipeline.progress import NoReporter
from ray_import.pipeline.report import RunReport, Summary
from ray_import.pipeline.sources import open_sources
from ray_import.records import Batch
from ray_import.settings import ImportOptions
from tests.contract.destinations import PostgresTables, SupabaseTables
from tests.contract.engines import reimported
from tests.support.gateway.postgres import Database
from tests.support.in_process import InProcessWorkers
from tests.unit.pipeline.runs import SETTINGS
from tests.unit.source.exports import conversation, exported, written

if TYPE_CHECKING:
    from tests.support.gateway.server import Gateway

ANA = "ana"
EXIT_CODES = {"complete": 0, "partial": 1, "failed": 3}
COLUMNS = """
    name text, import_stage text, import_error text, processing_started_at timestamptz, progress_percent integer,
    total_conversations integer, total_messages integer
"""
OF_THE_SERVICE = "'none', 'processing', 'quick_ready', 'complete', 'locked'"
TABLES = {
    "text": "import_status text",
    "check in": f"import_status text DEFAULT 'none' CHECK (import_status IN ({OF_THE_SERVICE}))",
    "check any": f"import_status text CHECK (import_status = ANY (ARRAY[{OF_THE_SERVICE}]))",
    "check with failed": f"import_status text CHECK (import_status IN ({OF_THE_SERVICE}, 'failed'))",
    "varchar and pattern": "import_status varchar(10) CHECK (import_status ~ '^(none|processing|complete)$')",
    "enum": "import_status a_status",
    "domain": "import_status a_domain",
    "check of several columns":
        "import_status text, CHECK (import_status NOT IN ('partial', 'failed')),"
        " CHECK (import_status <> 'complete' OR progress_percent = 100)",
    "neither failed nor none": "import_status text CHECK (import_status IN ('processing', 'complete'))",
}  # fmt: skip
TYPES = f"""
CREATE TYPE a_status AS ENUM ({OF_THE_SERVICE});
CREATE DOMAIN a_domain AS text CHECK (VALUE IN ({OF_THE_SERVICE}));
"""
STATUSES = {
    "text": ("complete", "partial", "failed"),
    "check with failed": ("complete", "complete", "failed"),
    "neither failed nor none": ("complete", "complete", "processing"),
}
OTHERS = ("complete", "complete", "none")


@pytest.fixture(params=["postgres", "supabase"])
def server(request: pytest.FixtureRequest, migrated_database: Database) -> PostgresTables:
    """The destinations that have a table of profiles."""
    with migrated_database.connected() as db:
        db.execute(TYPES.encode())
    if request.param == "postgres":
        return PostgresTables(migrated_database)
    project: Gateway = request.getfixturevalue("migrated_supabase")
    return SupabaseTables(migrated_database, project.url, SecretStr(project.secret_key))


def make_table(server: PostgresTables, columns: str, *, has_row: bool = True) -> None:
    with server.database.connected() as db:
        db.execute(f"CREATE TABLE user_profiles (user_id text PRIMARY KEY, {columns}, {COLUMNS})".encode())
        db.execute("GRANT SELECT, INSERT, UPDATE ON user_profiles TO service_role")
        if has_row:
            db.execute("INSERT INTO user_profiles (user_id, name) VALUES ('ana', 'Ana')")


def row_of(server: PostgresTables) -> dict[str, Any]:
    with server.database.connected() as db:
        found = db.execute("SELECT to_jsonb(p) FROM user_profiles p WHERE user_id = 'ana'").fetchone()
    return found[0] if found else {}


class Interrupting(InProcessWorkers):
    """Somebody asks to stop when the first batch is in."""

    def submit(self, batch: Batch, work: BatchContext) -> None:
        super().submit(batch, work)
        raise Interrupted("The import was interrupted.")


def export_for(ending: str, folder: Path) -> Path:
    items: Sequence[object] = [conversation("a", "Hello, a garden", "Yes")]
    data = exported(items)
    return written(folder / "conversations.json", data[:-1] + b',{"title": ' if ending == "partial" else data)


def imported(ending: str, folder: Path, sink: Sink, *, is_pending: bool = False, number: int = 0) -> Summary:
    job = ImportJob(f"import-{number}", ANA, 1_790_000_000.0 + number)
    work = BatchContext(job, SETTINGS)
    source = open_sources([export_for(ending, folder)], SETTINGS.read)
    make = Interrupting if ending == "failed" else InProcessWorkers
    profile = Profile("user_profiles", job, is_pending)
    return import_user(source, work, sink, "x", lambda: make(sink), NoReporter(), profile=profile)


@pytest.mark.parametrize("table", TABLES)
def test_profile_ends_with_a_status_that_the_table_allows_when_it_does_not_allow_all(
    server: PostgresTables, tmp_path: Path, table: str
) -> None:
    make_table(server, TABLES[table], has_row=table != "text")
    endings = ("complete", "partial", "failed")
    errors = (None, words_for_partial(1, 1), "interrupted")
    for number, (ending, status, error) in enumerate(zip(endings, STATUSES.get(table, OTHERS), errors, strict=True)):
        with closing(server.open()) as sink:
            summary = imported(ending, tmp_path, sink, number=number)
        assert (summary.status, summary.exit_code, summary.warnings) == (ending, EXIT_CODES[ending], ())
        row = row_of(server)
        stage = "failed" if ending == "failed" else "done"
        assert (row["import_status"], row["import_stage"], row["import_error"]) == (status, stage, error)
        assert row["progress_percent"] == (0 if ending == "failed" else 100)
        assert row["name"] == ("Ana" if table != "text" else None)


@pytest.mark.parametrize("table", ["text", "check in"])
def test_profile_stays_processing_when_later_steps_are_to_come(
    server: PostgresTables, tmp_path: Path, table: str
) -> None:
    make_table(server, TABLES[table])
    found = []
    for number, ending in enumerate(("complete", "partial", "failed")):
        with closing(server.open()) as sink:
            summary = imported(ending, tmp_path, sink, is_pending=True, number=number)
        assert (summary.status, summary.warnings) == (ending, ())
        row = row_of(server)
        found.append((row["import_status"], row["import_stage"], row["progress_percent"], bool(row["import_error"])))
    assert found == [
        ("processing", "imported", 99, False),
        ("processing", "imported", 99, True),
        ("failed" if table == "text" else "none", "failed", 0, True),
    ]


@pytest.mark.parametrize("is_pending", [False, True])
def test_import_is_refused_before_it_begins_when_the_table_does_not_allow_complete(
    server: PostgresTables, tmp_path: Path, is_pending: bool
) -> None:
    make_table(server, "import_status text CHECK (import_status IN ('none', 'processing', 'done'))")
    with closing(server.open()) as sink:
        summary = imported("complete", tmp_path, sink, is_pending=is_pending)
    if is_pending:
        assert (summary.exit_code, row_of(server)["import_status"]) == (0, "processing")
        return
    assert isinstance(summary.error, ConfigError)
    assert "does not allow the import_status complete" in summary.error.message
    assert "progress_percent 100" in summary.error.hint  # a CHECK may be of several columns
    assert (summary.exit_code, summary.counts.seen, row_of(server)["import_status"]) == (2, 0, "none")


REFUSES_LATER = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT count(*) FROM public.imported_conversations) > 0 THEN
        RAISE 'no' USING ERRCODE = '23514';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER refuse BEFORE UPDATE ON user_profiles FOR EACH ROW EXECUTE FUNCTION refuse()
"""


@pytest.mark.parametrize(("ending", "exit_code"), [("complete", 1), ("partial", 1), ("failed", 3)])
def test_summary_comes_with_a_warning_when_the_profile_cannot_be_written_at_the_end(
    server: PostgresTables, tmp_path: Path, ending: str, exit_code: int
) -> None:
    make_table(server, TABLES["text"])
    with server.database.connected() as db:
        db.execute(REFUSES_LATER)
    with closing(server.open()) as sink:
        summary = imported(ending, tmp_path, sink)
        assert [job.status for job in sink.jobs()] == [ending]
    assert (summary.status, summary.exit_code) == (ending, exit_code)
    (warning,) = summary.warnings
    assert "user_profiles" in warning
    assert "23514" in warning
    assert summary.as_dict()["warnings"] == [warning]
    assert row_of(server)["import_status"] == "processing"


PROFILES = ImportOptions(profile_table="user_profiles")


def test_reimport_updates_the_row_of_each_user_when_a_profile_table_is_given(
    server: PostgresTables, tmp_path: Path
) -> None:
    make_table(server, TABLES["check in"])
    with server.database.connected() as db:
        db.execute("INSERT INTO user_profiles (user_id) VALUES ('ben')")
    exports = {ANA: export_for("complete", tmp_path / "ana"), "ben": export_for("partial", tmp_path / "ben")}
    with closing(server.open()) as sink:
        states = {user.user_id: user.state for user in reimported(exports, sink, SETTINGS, options=PROFILES)}
    assert states == {ANA: "complete", "ben": "partial"}
    with server.database.connected() as db:
        rows = db.execute(
            "SELECT user_id, import_status, import_stage, progress_percent, import_error, total_conversations"
            " FROM user_profiles ORDER BY user_id"
        ).fetchall()
    assert rows == [
        (ANA, "complete", "done", 100, None, 1),
        ("ben", "complete", "done", 100, words_for_partial(1, 1), 1),
    ]


def test_reimport_reports_a_warning_of_the_user_when_the_profile_cannot_be_written_at_the_end(
    server: PostgresTables, tmp_path: Path
) -> None:
    make_table(server, TABLES["text"])
    with server.database.connected() as db:
        db.execute(REFUSES_LATER)
    with closing(server.open()) as sink:
        users = reimported({ANA: export_for("complete", tmp_path)}, sink, SETTINGS, options=PROFILES)
        assert [job.status for job in sink.jobs()] == ["complete"]
    report = RunReport("run-1", "users.jsonl", "x", tuple(users), 0, 0.0, 1)
    assert (report.states, report.lacking, report.exit_code) == ({"complete": 1}, [], 1)
    [warning] = report.as_dict()["warnings"]
    assert warning["user_id"] == ANA
    assert "23514" in warning["warning"]


def test_reimport_fails_one_user_alone_when_the_table_refuses_the_row_of_that_user(
    server: PostgresTables, tmp_path: Path
) -> None:
    make_table(server, f"{TABLES['text']}, CHECK (user_id <> 'ben')")
    exports = {ANA: export_for("complete", tmp_path / "ana"), "ben": export_for("complete", tmp_path / "ben")}
    with closing(server.open()) as sink:
        check_profiles(sink, PROFILES, ANA)
        users = {user.user_id: user for user in reimported(exports, sink, SETTINGS, options=PROFILES)}
    assert (users[ANA].state, users["ben"].state) == ("complete", "failed")
    assert "user_profiles" in (users["ben"].error or "")
    assert row_of(server)["import_status"] == "complete"


def test_check_profiles_raises_when_the_table_or_a_column_is_missing(server: PostgresTables) -> None:
    with closing(server.open()) as sink:
        check_profiles(sink, ImportOptions(), ANA)
        with pytest.raises(ConfigError, match="user_profiles"):
            check_profiles(sink, PROFILES, ANA)
        with server.database.connected() as db:
            db.execute("CREATE TABLE user_profiles (user_id text PRIMARY KEY, import_status text)")
        with pytest.raises(ConfigError, match="user_profiles"):
            check_profiles(sink, PROFILES, ANA)
    with server.database.connected() as db:
        assert db.execute("SELECT count(*) FROM user_profiles").fetchone() == (0,)


def test_profile_warns_and_does_not_end_the_import_when_the_row_cannot_be_written_in_between(
    server: PostgresTables,
) -> None:
    make_table(server, TABLES["text"])
    profile = Profile("user_profiles", ImportJob("import-1", ANA, 1_790_000_000.0))
    with closing(server.open()) as sink:
        profile.begins(sink)
        with server.database.connected() as db:
            db.execute("ALTER TABLE user_profiles RENAME TO away")
        profile.goes_on(sink, 0.5)
        assert "user_profiles" in profile.warning
        with server.database.connected() as db:
            db.execute("ALTER TABLE away RENAME TO user_profiles")
        profile.ends(sink, "complete", None)
    assert profile.warning == ""
    assert row_of(server)["import_status"] == "complete"


def test_profile_takes_tells_what_would_be_refused_and_changes_nothing(server: PostgresTables) -> None:
    make_table(server, f"{TABLES['check in']}, changes integer DEFAULT 0")
    before = row_of(server)
    endings = [{"import_status": status} for status in ("partial", "complete", "failed", "none")]
    with closing(server.open()) as sink:
        assert sink.profile_takes("user_profiles", ANA, endings) == [False, True, False, True]
        assert sink.profile_takes("user_profiles", "nobody", endings) == [False, True, False, True]
        assert sink.profile_takes("user_profiles", ANA, []) == []
        with pytest.raises(ConfigError):
            sink.profile_takes("no_such_table", ANA, endings)
    assert row_of(server) == before
    with server.database.connected() as db:
        assert db.execute("SELECT count(*) FROM user_profiles").fetchone() == (1,)


REFUSES_PARTIAL = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.import_status = 'partial' THEN
        RAISE 'no' USING ERRCODE = 'ZX001';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER refuse BEFORE UPDATE ON user_profiles FOR EACH ROW EXECUTE FUNCTION refuse()
"""


def test_profile_takes_is_false_when_a_trigger_refuses_with_a_code_of_its_own(server: PostgresTables) -> None:
    make_table(server, TABLES["text"])
    with server.database.connected() as db:
        db.execute(REFUSES_PARTIAL)
    endings = [{"import_status": status} for status in ("partial", "complete")]
    with closing(server.open()) as sink:
        assert sink.profile_takes("user_profiles", ANA, endings) == [False, True]


@pytest.fixture
def without_profiles(tmp_path: Path) -> Iterator[Sink]:
    with closing(SqliteSink(tmp_path / "chunks.db")) as sink:
        yield sink


def test_import_is_refused_when_the_destination_has_no_profiles(without_profiles: Sink, tmp_path: Path) -> None:
    summary = imported("complete", tmp_path, without_profiles)
    assert isinstance(summary.error, ConfigError)
    assert (summary.exit_code, summary.warnings, summary.counts.seen) == (2, (), 0)
    with pytest.raises(ConfigError):
        without_profiles.profile_takes("user_profiles", ANA, [])
    with pytest.raises(ConfigError, match="not available for SQLite"):
        check_profiles(without_profiles, PROFILES, ANA)


def test_the_importers_role_may_ask_what_a_profile_takes(server: PostgresTables) -> None:
    make_table(server, TABLES["check in"])
    with server.database.connected() as db:
        db.execute("ALTER ROLE ray_importer LOGIN")
        db.execute("GRANT SELECT, INSERT, UPDATE ON user_profiles TO ray_importer")
    with closing(DatabaseSink(PostgresDatabase(server.database.dsn_as("ray_importer")))) as sink:
        assert sink.profile_takes("user_profiles", ANA, [{"import_status": "partial"}]) == [False]


def test_profile_status_is_none_when_no_status_fits() -> None:
    assert profile_status("failed", ["complete"], False) is None
    assert profile_status("failed", ["complete"], True) is None
    assert profile_status("partial", [], True) == "processing"


@pytest.mark.parametrize(
    ("rejected", "others", "told"),
    [
        (1, 0, "1 rejected conversation."),
        (1200, 2, "1,200 rejected conversations, 2 other problems."),
        (0, 1, "problem."),
    ],
)
def test_words_for_partial_count_what_is_missing(rejected: int, others: int, told: str) -> None:
    assert words_for_partial(rejected, others).endswith(told)
