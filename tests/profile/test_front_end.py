"""The row of a front end's table while a profile is made, in the table of the service that this project replaces."""

import re
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ray_import.cli.profile_run import forget_profile, make_profile
from ray_import.destinations.postgres.psycopg import PostgresDatabase
from ray_import.destinations.postgres.sink import DatabaseSink
from ray_import.errors import ModelError
from ray_import.profile.report import ProfileReport
from ray_import.profile.settings import ProfileSettings
from tests.support.gateway.postgres import Database
from tests.support.model_api.server import ModelApi
from tests.support.profile.bench import FAST, Profiled
from tests.support.profile.chats import Chat, chat, fact_of, store

ADA = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff"
STATUSES = "'none', 'processing', 'quick_ready', 'complete', 'locked'"
WITH_FAILED = f"{STATUSES}, 'failed'"
TABLE = """
CREATE TABLE public.user_profiles (
    user_id uuid PRIMARY KEY, import_status text CHECK (import_status IN ({statuses})), import_stage text,
    progress_percent integer, import_error text, soul_md text, identity_md text, user_md text, agents_md text,
    tools_md text, soulprint_text text, memory_md text, ai_name text, archetype text,
    full_pass_status text DEFAULT 'pending' CHECK (full_pass_status IN ('pending', 'processing', 'complete', 'failed')),
    full_pass_error text, memory_status text, soulprint_locked boolean, locked_at timestamptz,
    total_conversations integer, total_messages integer, updated_at timestamptz);
"""


class FrontEnd:
    """A destination with that table, and the fake API."""

    def __init__(self, database: Database, api: ModelApi, statuses: str) -> None:
        self._database = database
        self.api = api
        with database.connected() as db:
            db.execute(TABLE.format(statuses=statuses).encode())
            db.execute(f"INSERT INTO public.user_profiles (user_id) VALUES ('{ADA}')".encode())
        self.imported([chat(number, fact_of(number)) for number in range(3)])

    def imported(self, chats: Sequence[Chat]) -> None:
        with closing(DatabaseSink(PostgresDatabase(self._database.dsn))) as sink:
            store(sink, ADA, chats)

    def run(self, **settings: Any) -> ProfileReport:
        return make_profile(
            ADA, self._database.dsn, ProfileSettings(**{**FAST, "profile_table": "user_profiles", **settings})
        )

    def set(self, values: dict[str, Any]) -> None:
        """As an import does."""
        with closing(DatabaseSink(PostgresDatabase(self._database.dsn))) as sink:
            sink.set_profile("user_profiles", ADA, values)

    def change(self, values: str) -> None:
        """As the front end does."""
        with self._database.connected() as db:
            db.execute(f"UPDATE public.user_profiles SET {values}".encode())

    def forget(self) -> None:
        forget_profile(ADA, self._database.dsn, "user_profiles")

    def row(self, *columns: str) -> tuple[Any, ...]:
        with self._database.connected() as db:
            (found,) = db.execute(f"SELECT {', '.join(columns)} FROM public.user_profiles".encode()).fetchall()
        return tuple(found)


@pytest.fixture(params=[STATUSES, WITH_FAILED], ids=["without failed", "with failed"])
def front_end(request: pytest.FixtureRequest, migrated_database: Database, profiled: Profiled) -> FrontEnd:
    return FrontEnd(migrated_database, profiled.api, request.param)


def test_row_is_complete_when_the_profile_is(front_end: FrontEnd) -> None:
    report = front_end.run()
    assert (report.status, report.lacking) == ("complete", [])
    status = front_end.row("import_status", "import_stage", "progress_percent", "full_pass_status", "memory_status")
    assert status == ("complete", "Complete", 100, "complete", "ready")
    assert all(front_end.row("soul_md", "identity_md", "user_md", "agents_md", "tools_md", "soulprint_text"))
    assert fact_of(1).value in front_end.row("memory_md")[0]


def test_row_is_emptied_when_the_profile_is_forgotten(front_end: FrontEnd) -> None:
    front_end.run()
    front_end.forget()
    texts = front_end.row("soul_md", "identity_md", "soulprint_text", "memory_md", "ai_name", "archetype")
    assert texts == (None,) * 6
    assert front_end.row("import_status", "full_pass_status", "progress_percent") == ("none", "pending", 0)


def test_front_end_need_not_wait_when_the_run_fails(front_end: FrontEnd, request: pytest.FixtureRequest) -> None:
    front_end.api.fault("spend_limit")
    report = front_end.run()
    assert isinstance(report.error, ModelError)
    allowed = "none" if "without" in request.node.name else "failed"
    assert front_end.row("import_status", "import_stage", "full_pass_status") == (allowed, "Failed", "failed")
    assert "spend limit" in front_end.row("import_error")[0]


def test_front_end_need_not_wait_when_the_user_wrote_nothing(
    front_end: FrontEnd, request: pytest.FixtureRequest
) -> None:
    front_end.imported([Chat(f"c-{number:04}", ("", "Hello."), day=9) for number in range(3)])
    front_end.run()
    allowed = "none" if "without" in request.node.name else "failed"
    assert front_end.row("import_status", "full_pass_status", "soul_md") == (allowed, "failed", None)
    assert "nothing that a profile could be made of" in front_end.row("import_error")[0]


def test_profile_stays_shown_when_a_later_run_fails(front_end: FrontEnd) -> None:
    front_end.run(quick_only=True)
    front_end.api.fault("spend_limit")
    front_end.run()
    assert front_end.row("import_status", "import_stage", "full_pass_status") == ("quick_ready", "Complete", "failed")
    assert all(front_end.row("soul_md", "soulprint_text"))


def test_front_end_need_not_wait_when_only_the_quick_pass_was_asked_for(front_end: FrontEnd) -> None:
    columns = ("import_status", "import_stage", "progress_percent", "full_pass_status", "full_pass_error")
    for _ in range(2):  # the second one has nothing to do
        assert front_end.run(quick_only=True).status == "complete"
        assert front_end.row(*columns) == ("quick_ready", "Complete", 100, "complete", None)
    front_end.run()
    for _ in range(2):
        assert front_end.row(*columns) == ("complete", "Complete", 100, "complete", None)
        front_end.run(quick_only=True)


@pytest.mark.parametrize("why", ["refused", "nothing said"])
def test_front_end_need_not_wait_when_the_quick_pass_alone_gives_no_profile(
    front_end: FrontEnd, request: pytest.FixtureRequest, why: str
) -> None:
    if why == "refused":
        front_end.api.fault("refuse")
    else:
        front_end.imported([Chat(f"c-{number:04}", ("", "Hello."), day=9) for number in range(3)])
    assert front_end.run(quick_only=True).lacking == ["quick"]
    allowed = "none" if "without" in request.node.name else "failed"
    assert front_end.row("import_status", "full_pass_status", "soul_md") == (allowed, "failed", None)
    told = "could not be made." if why == "refused" else "nothing that a profile could be made of"
    assert told in front_end.row("import_error")[0]


def test_locked_row_stays_locked_until_the_profile_is_forgotten(front_end: FrontEnd) -> None:
    front_end.change("import_status = 'locked', soulprint_locked = true, locked_at = '2026-01-01T00:00:00Z'")
    lock = front_end.row("import_status", "soulprint_locked", "locked_at")
    assert lock[:2] == ("locked", True)
    front_end.api.fault("spend_limit", nth=[1])
    assert front_end.run().status == "failed"
    assert front_end.row("import_status", "soulprint_locked", "locked_at", "full_pass_status") == (*lock, "failed")
    for settings in ({"quick_only": True}, {}):
        assert front_end.run(**settings).status == "complete"
        assert front_end.row("import_status", "soulprint_locked", "locked_at", "full_pass_status") == (
            *lock,
            "complete",
        )
        assert all(front_end.row("soul_md", "soulprint_text"))
    front_end.forget()
    assert front_end.row("import_status", "soul_md") == ("none", None)


def test_locked_row_stays_locked_when_an_import_updates_it(front_end: FrontEnd) -> None:
    front_end.change("import_status = 'locked'")
    for status in ("processing", "complete"):
        front_end.set({"import_status": status, "import_stage": status, "progress_percent": 7})
        assert front_end.row("import_status", "import_stage", "progress_percent") == ("locked", status, 7)


def test_rows_of_a_deleted_user_go_by_the_statement_of_the_docs(
    migrated_database: Database, profiled: Profiled
) -> None:
    front_end = FrontEnd(migrated_database, profiled.api, STATUSES)
    front_end.run()
    docs = Path(__file__).parents[2].joinpath("docs", "supabase.md").read_text()
    (statement,) = re.findall(r"`(select ray_import_profile_forget[^`]+)`", docs)
    tables = ("facts", "versions", "units", "requests", "runs", "fact_units")
    with migrated_database.connected() as db:
        counts = " + ".join(f"(SELECT count(*) FROM profile_{table})" for table in tables)
        assert db.execute(f"SELECT {counts}".encode()).fetchone() != (0,)
        db.execute(statement.replace("THE-USER-ID", ADA).encode())
        assert db.execute(f"SELECT {counts}".encode()).fetchone() == (0,)
