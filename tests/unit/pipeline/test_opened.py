"""Which run is opened, over whom and how far they are; who may be at it, and what it leaves."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from ray_import.chunks.rows import ImportJob
from ray_import.destinations.base import RunKey, RunUser, UserState
from ray_import.destinations.registry import SqliteDestination
from ray_import.destinations.sqlite.sink import SqliteSink
from ray_import.errors import ImportRunning, LeaseLost
from ray_import.pipeline.bulk_run import BulkRun, opened_run
from ray_import.pipeline.lease import this_process
from ray_import.pipeline.selection import UserSelection
from ray_import.settings import ImportOptions, ImportSettings
from ray_import.source.version import version_and_size
from tests.unit.pipeline.runs import a_millisecond_later

NAMES = ("ana", "ben", "eve")
SETTINGS = ImportSettings()


@dataclass(frozen=True, slots=True)
class Service:
    """Users with their exports in a folder and a manifest, and the database that they are imported into."""

    folder: Path
    manifest: Path
    database: Path

    def source(self, name: str) -> Path:
        """Where the export of a user is."""
        return self.folder / f"{name}.json"

    def writes(self, *names: str, text: str = "[]") -> None:
        """Users, and exports of theirs that are other than before."""
        for name in names:
            self.source(name).write_text(text)
        rows = (f"{path.stem},{path}\n" for path in sorted(self.folder.glob("*.json")))
        self.manifest.write_text("user_id,source\n" + "".join(rows))

    @contextmanager
    def opened(self, *only: str, failed: bool = False, force: bool = False) -> Iterator[BulkRun]:
        """A run as the command opens it."""
        which = UserSelection(self.manifest, only=only, failed=failed)
        with closing(SqliteSink(self.database)) as sink:
            found = which.found(sink, SETTINGS)
            with opened_run(
                which, found, SETTINGS, SqliteDestination("", self.database), sink, ImportOptions(force=force)
            ) as opened:
                yield opened

    def run(self, *only: str, failed: bool = False, force: bool = False, **ends: UserState) -> list[str]:
        """A run in which users end so, as `complete` where it is not said; gives who was not done when it began."""
        with self.opened(*only, failed=failed, force=force) as opened:
            todo = [user for user in opened.users if user.state in ("pending", "running")]
            opened.save([self.ended(user, ends.get(user.user_id, "complete")) for user in todo])
            opened.ended()
        return [user.user_id for user in todo]

    def is_interrupted(self, *done: str, force: bool = False, **ends: UserState) -> str:
        """A run that is interrupted when these have ended; gives its id."""
        with suppress(KeyboardInterrupt), self.opened(force=force) as opened:
            some = [user for user in opened.users if user.user_id in {*done, *ends}]
            opened.save([self.ended(user, ends.get(user.user_id, "complete")) for user in some])
            raise KeyboardInterrupt
        return opened.id

    def ended(self, user: RunUser, state: UserState) -> RunUser:
        """How a user of these has ended."""
        return replace(user, state=state, attempts=1, version=version_and_size(self.source(user.user_id))[0])


@pytest.fixture
def service(tmp_path: Path) -> Service:
    made = Service(tmp_path, tmp_path / "users.csv", tmp_path / "chunks.db")
    made.writes(*NAMES)
    return made


# --- which run -----------------------------------------------------------------------------------


def test_a_run_that_was_interrupted_goes_on(service: Service) -> None:
    interrupted = service.is_interrupted("ben")
    with service.opened() as opened:
        assert opened.id == interrupted
        assert {user.user_id: user.state for user in opened.users} == {
            "ana": "pending", "ben": "complete", "eve": "pending",
        }  # fmt: skip
    assert service.run() == ["ana", "eve"]
    with service.opened() as opened:
        assert opened.id != interrupted


def test_opened_run_knows_the_sizes_of_files_when_they_are_there(service: Service) -> None:
    service.writes(*NAMES, text="[   ]")
    service.source("ben").unlink()
    with service.opened() as opened:
        assert opened.known_bytes() == {"ana": 5, "ben": 0, "eve": 5}


def test_a_part_of_an_interrupted_run_leaves_the_others_to_it(service: Service) -> None:
    interrupted = service.is_interrupted("ben")
    assert service.run("ana") == ["ana"]
    with service.opened() as opened:
        assert opened.id == interrupted
    assert service.run() == ["eve"]
    assert service.run() == list(NAMES)


def test_who_is_no_longer_listed_keeps_no_run_open(service: Service) -> None:
    interrupted = service.is_interrupted("ben")
    service.source("eve").unlink()
    service.writes("ana", "ben")
    assert service.run("ana") == ["ana"]
    with service.opened() as opened:
        assert opened.id != interrupted


def test_a_manifest_is_the_same_however_it_is_named(service: Service) -> None:
    interrupted = service.is_interrupted("ben")
    with replace(service, manifest=service.folder / f"../{service.folder.name}/users.csv").opened() as opened:
        assert opened.id == interrupted


def test_a_manifest_whose_link_leads_elsewhere_each_time_is_the_same(service: Service) -> None:
    """As that of a ConfigMap does, which is mounted into a container."""
    linked = replace(service, manifest=service.folder / "linked.csv")
    first, second = service.folder / "2026-11-01.csv", service.folder / "2026-11-02.csv"
    for place in (first, second):
        place.write_bytes(service.manifest.read_bytes())
    linked.manifest.symlink_to(first)
    interrupted = linked.is_interrupted("ben")
    linked.manifest.unlink()
    linked.manifest.symlink_to(second)
    with linked.opened() as opened:
        assert opened.id == interrupted


def test_a_relative_source_is_the_same_wherever_it_is_read(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(service.folder)
    service.manifest.write_text("user_id,source\nana,ana.json\nben,supabase://exports/ben.zip\n")
    with service.opened() as opened:
        sources = {user_id: user.source for user_id, user in opened.sources.items()}
        assert sources == {"ana": str(service.source("ana")), "ben": "supabase://exports/ben.zip"}
        assert {user.user_id: user.source for user in opened.users} == sources


def test_who_joins_is_taken_into_the_run_that_goes_on(service: Service) -> None:
    service.is_interrupted("ana", "ben")
    service.writes("zoe")
    assert service.run() == ["eve", "zoe"]


def test_a_forced_run_is_another_one_and_goes_on_by_itself(service: Service) -> None:
    plain = service.is_interrupted("ana")
    forced = service.is_interrupted("ben", force=True)
    assert plain != forced
    assert service.run(force=True) == ["ana", "eve"]
    assert service.run() == ["ben", "eve"]


# --- who is looked at again ----------------------------------------------------------------------


def test_whose_export_has_changed_since_is_looked_at_again(service: Service) -> None:
    service.is_interrupted("ana", "ben", eve="failed")
    service.writes("ben", "eve", text="[ ]")
    assert service.run() == ["ben", "eve"]


def test_who_had_no_export_is_looked_at_again_once_there_is_one(service: Service) -> None:
    ana = service.source("ana")
    export = ana.read_text()
    ana.unlink()
    with suppress(KeyboardInterrupt), service.opened() as opened:
        failed = [replace(user, state="failed", attempts=1) for user in opened.users if user.user_id != "eve"]
        opened.save(failed)
        raise KeyboardInterrupt
    ana.write_text(export)
    service.source("ben").unlink()
    with service.opened() as opened:
        states = {user.user_id: user.state for user in opened.users}
        assert states == {"ana": "pending", "ben": "failed", "eve": "pending"}


def test_whose_export_is_elsewhere_now_is_looked_at_again_there(service: Service) -> None:
    service.is_interrupted("ana", "ben")
    moved = service.folder / "moved"
    moved.mkdir()
    service.source("ben").rename(moved / "ben.json")
    service.manifest.write_text(service.manifest.read_text().replace("/ben.json", "/moved/ben.json"))
    with service.opened() as opened:
        assert {user.user_id for user in opened.users if user.state == "pending"} == {"ben", "eve"}
        assert [user.source for user in opened.users if user.user_id == "ben"] == [str(moved / "ben.json")]


def test_whose_export_is_gone_is_done_as_before(service: Service) -> None:
    service.is_interrupted("ana", "ben")
    service.source("ben").unlink()
    assert service.run() == ["eve"]


def test_who_is_asked_for_by_name_is_looked_at_again(service: Service) -> None:
    service.is_interrupted("ana", "ben")
    assert service.run("ana", "eve") == ["ana", "eve"]


def imported_alone(service: Service, name: str) -> None:
    """A user is imported by `ray-import run`, with whatever settings, after what was saved until now."""
    a_millisecond_later()
    with closing(SqliteSink(service.database)) as sink:
        assert sink.start_job(ImportJob(f"of {name}", name, time.time()), "x", this_process()) is None
        assert sink.update_job(f"of {name}", {}, "complete")


@pytest.mark.parametrize("force", [False, True])
def test_whom_another_import_has_replaced_since_is_looked_at_again(service: Service, force: bool) -> None:
    service.is_interrupted("ana", "ben", force=force, eve="failed")
    imported_alone(service, "ben")
    imported_alone(service, "eve")
    assert service.run(force=force) == ["ben"]


def test_whom_a_run_over_another_list_has_replaced_since_is_looked_at_again(service: Service) -> None:
    service.is_interrupted("ana", "ben")
    a_millisecond_later()
    elsewhere = service.folder / "elsewhere"
    elsewhere.mkdir()
    other = replace(service, folder=elsewhere, manifest=elsewhere / "users.csv")
    other.writes("ben", text="[ ]")
    assert other.run() == ["ben"]
    assert service.run() == ["ben", "eve"]


def test_whom_a_run_over_another_list_has_found_unchanged_stays_done(service: Service) -> None:
    service.is_interrupted("ana", "ben")
    a_millisecond_later()
    other = service.folder / "again.csv"
    other.write_text(f"user_id,source\nben,{service.source('ben')}\n")
    assert replace(service, manifest=other).run(ben="skipped") == ["ben"]
    assert service.run() == ["eve"]


# --- who failed ----------------------------------------------------------------------------------


def test_who_failed_is_known_until_they_end_otherwise(service: Service) -> None:
    service.run(ana="failed", eve="partial")
    assert service.run("ben", "eve") == ["ben", "eve"]
    assert service.run(failed=True, ana="failed") == ["ana"]
    assert service.run(failed=True) == ["ana"]
    assert service.run(failed=True) == []


@pytest.mark.parametrize(
    ("which", "nobody_lacking"),
    [
        ({"only": ("ben",)}, True),
        ({"since": 32_503_680_000.0}, False),
        ({"limit": 0}, False),
    ],
)
def test_that_nobody_failed_is_not_said_of_those_who_are_left_out_for_something_else(
    service: Service, which: dict[str, Any], nobody_lacking: bool
) -> None:
    service.run(ana="failed")
    with closing(SqliteSink(service.database)) as sink:
        found = UserSelection(service.manifest, failed=True, **which).found(sink, SETTINGS)
    assert (found.users, found.others, found.nobody_lacking) == ([], frozenset(NAMES), nobody_lacking)


def test_who_failed_in_an_interrupted_run_is_tried_again_in_it(service: Service) -> None:
    interrupted = service.is_interrupted("ben", ana="failed")
    assert service.run(failed=True) == ["ana"]
    with service.opened() as opened:
        assert opened.id == interrupted
        assert [user.user_id for user in opened.users if user.state == "pending"] == ["eve"]


def test_who_has_failed_elsewhere_since_is_tried_again_in_it(service: Service) -> None:
    interrupted = service.is_interrupted("ana", "ben")
    service.run("ana", force=True, ana="failed")
    with service.opened(failed=True) as opened:
        assert opened.id == interrupted
        assert [(user.user_id, user.state) for user in opened.users] == [("ana", "pending")]


# --- who is at it --------------------------------------------------------------------------------


def dead_process() -> str:
    """A process that was here."""
    with subprocess.Popen([sys.executable, "-c", "pass"]) as process:
        process.wait()
    return f"{this_process().rsplit('/', 2)[0]}/{process.pid}/1"


def others_are_at(service: Service, run_id: str, holder: str = "other/boot/pids/1/1") -> None:
    """Another process begins the run, or goes on with it."""
    with closing(SqliteSink(service.database)) as sink:
        sink.let_go(this_process())
        assert sink.start_run(run_id, RunKey(str(service.manifest), SETTINGS.rows_hash), holder) is None


def test_a_run_that_another_process_is_at_is_refused_and_named(service: Service) -> None:
    others_are_at(service, "theirs")
    with pytest.raises(ImportRunning) as caught, service.opened():
        pass
    assert "A run over these users is already running: theirs" in caught.value.message
    assert caught.value.exit_code == 2


def test_a_run_whose_process_is_dead_goes_on_at_once(service: Service) -> None:
    others_are_at(service, "theirs", dead_process())
    with service.opened() as opened:
        assert opened.id == "theirs"


@pytest.mark.parametrize("how", [lambda run: run.save(run.users), lambda run: run.ended()])
def test_a_run_that_was_taken_over_is_left_to_the_other(service: Service, how: Callable[[BulkRun], None]) -> None:
    with suppress(LeaseLost), service.opened() as opened:
        others_are_at(service, opened.id)
        how(opened)
    with pytest.raises(ImportRunning) as caught, service.opened():
        pass
    assert opened.id in caught.value.message


# --- users of a table ----------------------------------------------------------------------------


class Table(SqliteSink):
    """A database with a table of the service, of which one row names nobody."""

    def users_of(self, table: str, column: str) -> list[tuple[str, str]]:
        return [("ana", f"{table}/{column}"), ("x" * 256, "x.zip")]


def test_a_relative_source_in_a_table_is_taken_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with closing(Table(tmp_path / "chunks.db")) as sink:
        found = UserSelection(table="profiles", source_column="export").found(sink, SETTINGS)
    assert [user.source for user in found.users] == [str(tmp_path / "profiles/export")]


def test_an_id_in_a_table_that_nobody_can_have_costs_itself_alone(tmp_path: Path) -> None:
    with closing(Table(tmp_path / "chunks.db")) as sink:
        found = UserSelection(table="profiles", source_column="export").found(sink, SETTINGS)
    assert [user.user_id for user in found.users] == ["ana"]
    assert found.passed_over == {"no_users": 1}
