"""`run --profile-table` as a person starts it, with tables that do not allow all endings."""

from pathlib import Path
from typing import Any

import pytest

from tests.cluster.test_databases import on_the_ray_of_the_tests
from tests.contract.destinations import PostgresTables
from tests.contract.test_profiles import REFUSES_LATER, TABLES, export_for, make_table, row_of
from tests.support.gateway.postgres import Database

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("session")]


def shown_in(row: dict[str, Any]) -> tuple[str, str, int, bool]:
    return row["import_status"], row["import_stage"], row["progress_percent"], row["import_error"] is not None


def test_run_ends_a_partial_import_as_complete_when_the_profile_table_does_not_allow_partial(
    migrated_database: Database, tmp_path: Path
) -> None:
    tables = PostgresTables(migrated_database)
    make_table(tables, TABLES["check any"])
    command = ["run", str(export_for("partial", tmp_path)), "--user-id", "ana", "--to", migrated_database.dsn, "--json"]
    command += ["--profile-table", "user_profiles"]
    done = on_the_ray_of_the_tests(tmp_path, *command)
    assert (done.code, done.json["status"], done.json["warnings"]) == (1, "partial", []), done.err
    assert shown_in(row_of(tables)) == ("complete", "done", 100, True)
    done = on_the_ray_of_the_tests(tmp_path, *command, "--profile-pending")
    assert (done.code, done.json["status"], done.json["warnings"]) == (1, "partial", []), done.err
    assert shown_in(row_of(tables)) == ("processing", "imported", 99, True)


def test_run_shows_its_summary_with_a_warning_when_the_profile_table_refuses_the_end(
    migrated_database: Database, tmp_path: Path
) -> None:
    tables = PostgresTables(migrated_database)
    make_table(tables, TABLES["text"])
    with migrated_database.connected() as db:
        db.execute(REFUSES_LATER)
    command = ("run", str(export_for("complete", tmp_path)), "--user-id", "ana", "--to", migrated_database.dsn)
    done = on_the_ray_of_the_tests(tmp_path, *command, "--profile-table", "user_profiles")
    assert done.code == 1, done.err
    assert any(line.startswith("status") and "complete" in line for line in done.err_lines)
    assert [line for line in done.err_lines if line.startswith("warning: ") and "user_profiles" in line]
