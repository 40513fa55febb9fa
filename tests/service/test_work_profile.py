"""The profile after an import, by real worker processes: what the front end sees, kills, missing keys."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.service.test_work import SMALL, at, hosts, numbers_only
from tests.service.workers import Site, site, wait_until
from tests.support.gateway.clients import plain
from tests.support.model_api.planted import Planted
from tests.support.model_api.server import ModelApi, model_api
from tests.support.object_server import ObjectServer, object_server
from tests.support.profile.chats import fact_of
from tests.unit.pipeline.webhook import webhook
from tests.unit.source.exports import conversation, exported

if TYPE_CHECKING:
    from tests.support.gateway.postgres import Database
    from tests.support.gateway.server import Gateway

ADA = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff"
BEN = "7f9619ff-8b86-4d01-b42d-00cf4fc964fe"
TABLE = f"""
CREATE TABLE public.user_profiles (
    user_id uuid PRIMARY KEY,
    import_status text CHECK (import_status IN ('none', 'processing', 'quick_ready', 'complete', 'locked', 'failed')),
    import_stage text, progress_percent integer, import_error text, processing_started_at timestamptz,
    soul_md text, identity_md text, user_md text, agents_md text, tools_md text, soulprint_text text, memory_md text,
    ai_name text, archetype text, memory_status text, updated_at timestamptz,
    total_conversations integer, total_messages integer,
    full_pass_status text DEFAULT 'pending' CHECK (full_pass_status IN ('pending', 'processing', 'complete', 'failed')),
    full_pass_started_at timestamptz, full_pass_completed_at timestamptz, full_pass_error text);
ALTER TABLE public.user_profiles ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON public.user_profiles FOR SELECT TO authenticated USING (auth.uid() = user_id);
GRANT SELECT ON public.user_profiles TO authenticated;
GRANT ALL ON public.user_profiles TO service_role;
INSERT INTO public.user_profiles (user_id, import_status) VALUES ('{ADA}', 'processing'), ('{BEN}', 'none');
"""
IMPORT_PAGE = "progress_percent,import_stage,import_status,import_error"
PROFILE_TABLE = ("--profile-table", "user_profiles")


def export_of(*facts: Planted) -> bytes:
    return exported([conversation(f"c{n}", f"{fact.quote} And more.", "I see.") for n, fact in enumerate(facts)])


FACTS = [fact_of(number) for number in range(3)]
EXPORT = export_of(*FACTS)


@pytest.fixture
def server() -> Iterator[ObjectServer]:
    with object_server() as made:
        yield made


@pytest.fixture
def api() -> Iterator[ModelApi]:
    with model_api() as made:
        yield made


@pytest.fixture
def to(migrated_database: "Database") -> str:
    with migrated_database.connected() as db:
        db.execute(TABLE.encode())
    return migrated_database.dsn


@dataclass(slots=True)
class Page:
    """The rows that the front end has seen, each different from the one before."""

    url: str
    seen: list[dict[str, Any]] = field(default_factory=list)

    @property
    def statuses(self) -> list[str]:
        return [row["import_status"] for row in self.seen]


@contextmanager
def polling(gateway: "Gateway", user_id: str) -> Iterator[Page]:
    """The import page of a user, who asks again and again with their own token, until the block ends."""
    page = Page(f"/rest/v1/user_profiles?select={IMPORT_PAGE},full_pass_status&user_id=eq.{user_id}")
    over = threading.Event()

    def poll() -> None:
        with plain(gateway.project, gateway.anon_key, token=gateway.user_token(user_id)) as http:
            while not over.is_set():
                (row,) = http.get(page.url).raise_for_status().json()
                if not page.seen or page.seen[-1] != row:
                    page.seen.append(row)
                over.wait(0.005)

    thread = threading.Thread(target=poll)
    thread.start()
    try:
        yield page
    finally:
        over.set()
        thread.join()


def row_of(place: Site, user_id: str = ADA) -> tuple[Any, ...]:
    (row,) = at(
        place, "SELECT import_status, full_pass_status FROM public.user_profiles WHERE user_id = %s::uuid", user_id
    )
    return row


def test_front_end_sees_the_states_that_it_knows_when_a_job_runs(
    tmp_path: Path, migrated_supabase: "Gateway", migrated_database: "Database", api: ModelApi, server: ObjectServer
) -> None:
    """As that user, under row level security; the export comes from Storage, the destination is Supabase."""
    with migrated_database.connected() as db:
        db.execute(TABLE.encode())
    migrated_supabase.objects.make_bucket("exports")
    migrated_supabase.objects.put("exports", f"{ADA}/export.json", EXPORT)
    api.set(latency_seconds=0.3)
    keys = {"SUPABASE_URL": migrated_supabase.url, "SUPABASE_SERVICE_KEY": migrated_supabase.service_key}
    with site(tmp_path, migrated_database.dsn, *PROFILE_TABLE, **keys, **api.environment()) as place:
        job_id = place.accept(ADA, f"supabase://exports/{ADA}/export.json")
        with polling(migrated_supabase, ADA) as page:
            place.to = "supabase"
            worker = place.started("--once")
            assert worker.ended()[0] == 0, worker.log
            wait_until(lambda: bool(page.seen) and page.seen[-1]["full_pass_status"] == "complete")
        place.to = migrated_database.dsn
        job = place.job(job_id)
    assert (job.state, job.stage, job.attempts) == ("complete", "profile", 1)
    assert numbers_only(job.counts)
    assert job.counts["profile"]["facts"]["active"] == len(FACTS)
    distinct = list(dict.fromkeys(page.statuses))
    assert distinct == ["processing", "quick_ready", "complete"]
    assert page.statuses == sorted(page.statuses, key=distinct.index)  # none comes back
    assert not any(row["import_error"] for row in page.seen)
    assert page.seen[-1]["progress_percent"] == 100


def test_job_is_complete_without_a_profile_when_there_is_no_key(tmp_path: Path, to: str, server: ObjectServer) -> None:
    with site(tmp_path, to, *PROFILE_TABLE, **hosts(server)) as place:
        job_id = place.accept(ADA, server.put("a.json", EXPORT))
        assert place.once() == {"complete": 1}
        job = place.job(job_id)
        assert (job.state, job.stage, "profile" in job.counts) == ("complete", "import", False)
        assert row_of(place)[0] == "complete"


def test_profile_alone_fails_with_a_clear_word_when_there_is_no_key(tmp_path: Path, to: str) -> None:
    with webhook() as hook, site(tmp_path, to, *PROFILE_TABLE, ALERT_WEBHOOK=hook.url) as place:
        job_id = place.accept(ADA, "", "profile")
        assert place.once() == {"failed": 1}
        job = place.job(job_id)
        assert job.error is not None
        assert "ANTHROPIC_API_KEY" in job.error
        assert row_of(place) == ("failed", "failed")
        assert hook.got.qsize() == 1


def test_profile_alone_is_made_when_the_messages_are_there(
    tmp_path: Path, to: str, api: ModelApi, server: ObjectServer
) -> None:
    with site(tmp_path, to, *PROFILE_TABLE, **hosts(server)) as place:
        place.accept(ADA, server.put("a.json", EXPORT))
        assert place.once() == {"complete": 1}
        job_id = place.accept(ADA, "", "profile")
        assert place.once(**api.environment()) == {"complete": 1}
        assert place.job(job_id).counts["profile"]["facts"]["active"] == len(FACTS)
        assert row_of(place) == ("complete", "complete")


def test_profile_alone_fails_when_the_user_has_no_conversations(tmp_path: Path, to: str, api: ModelApi) -> None:
    with site(tmp_path, to, *PROFILE_TABLE, **api.environment()) as place:
        job_id = place.accept(ADA, "", "profile")
        assert place.once() == {"failed": 1}
        assert (place.job(job_id).error_type, row_of(place)[0]) == ("NothingToProfile", "failed")


@pytest.mark.parametrize("export", [b"[]", exported([conversation("c1", "", "Hello.")])], ids=["no chats", "no words"])
def test_front_end_need_not_wait_when_the_export_holds_nothing_to_profile(
    tmp_path: Path, to: str, api: ModelApi, server: ObjectServer, export: bytes
) -> None:
    with site(tmp_path, to, *PROFILE_TABLE, **hosts(server), **api.environment()) as place:
        job_id = place.accept(ADA, server.put("conversations.json", export))
        place.once()
        job = place.job(job_id)
        assert job.state in ("partial", "complete")
        assert job.attempts == 1
        assert row_of(place) == ("failed", "failed")


def test_job_resumes_in_its_profile_when_the_worker_stops_there(
    tmp_path: Path, to: str, api: ModelApi, server: ObjectServer
) -> None:
    with site(tmp_path, to, *PROFILE_TABLE, **hosts(server), **api.environment()) as place:
        job_id = place.accept(ADA, server.put("a.json", EXPORT))
        api.fault("stall", containing="", nth=[2])
        worker = place.started()
        wait_until(lambda: paid(api) >= 1)
        asked = len(server.asked)
        assert worker.stop() == 0
        job = place.job(job_id)
        assert (job.state, job.stage, job.attempts) == ("queued", "profile", 0)
        assert row_of(place)[0] in ("processing", "quick_ready")
        assert "Traceback" not in worker.log
        api.clear_faults()
        assert place.once() == {"complete": 1}
        assert len(server.asked) == asked  # it was not imported again
        assert row_of(place) == ("complete", "complete")


def paid(api: ModelApi) -> int:
    return len(api.ledger().paid)


def test_answered_requests_are_not_paid_again_when_workers_are_killed_in_the_profile(
    tmp_path: Path, to: str, api: ModelApi, server: ObjectServer
) -> None:
    with site(tmp_path, to, *PROFILE_TABLE, **hosts(server), **api.environment()) as place:
        place.accept(BEN, server.put("b.json", EXPORT))
        assert place.once() == {"complete": 1}
        undisturbed = paid(api)
        api.forget_ledger()
        job_id = place.accept(ADA, server.put("a.json", EXPORT))
        api.set(latency_seconds=0.5)
        for answers in range(1, undisturbed):
            worker = place.started()
            wait_until(  # two answers may be paid for before a kill: the next worker must have begun, too
                lambda least=answers: place.job(job_id).attempts == least and paid(api) >= least  # type: ignore[misc]
            )
            worker.kill()
        api.set(latency_seconds=0.0)
        assert place.once() == {"complete": 1}
        job = place.job(job_id)
        assert (job.state, job.attempts) == ("complete", undisturbed)
        assert paid(api) <= 2 * undisturbed - 1  # a kill costs at most the request whose answer was not stored
        assert row_of(place) == ("complete", "complete")
        assert sorted(statements(place, ADA)) == sorted(statements(place, BEN))


def statements(place: Site, user_id: str) -> list[str]:
    return [row[0] for row in at(place, "SELECT statement FROM profile_facts WHERE user_id = %s", user_id)]


def test_profile_is_tried_again_and_the_front_end_waits_when_the_api_is_away(
    tmp_path: Path, to: str, api: ModelApi, server: ObjectServer
) -> None:
    with site(tmp_path, to, *PROFILE_TABLE, **hosts(server), **api.environment()) as place:
        job_id = place.accept(ADA, server.put("a.json", EXPORT))
        api.fault("status", status=529)
        place.module = "tests.service.impatient"
        worker = place.started("--once")
        wait_until(lambda: place.job(job_id).stage == "profile")
        wait_until(lambda: place.job(job_id).state != "running" or worker.process.poll() is not None)
        job = place.job(job_id)
        assert (job.state, job.error_type) == ("queued", "ModelBusy"), worker.log
        assert row_of(place)[0] == "processing"
        api.clear_faults()
        at(place, "UPDATE service_jobs SET due_at = created_at")
        place.once()
        assert place.job(job_id).state == "complete"
        assert row_of(place) == ("complete", "complete")


def test_front_end_is_told_when_a_job_with_a_table_fails_for_good(
    tmp_path: Path, to: str, server: ObjectServer
) -> None:
    with site(tmp_path, to, *PROFILE_TABLE, **hosts(server)) as place:
        place.module = "tests.service.dying"
        place.accept(ADA, server.put("a.json", SMALL))
        for _ in range(5):
            assert place.started("--once").ended()[0] == -signal.SIGKILL
        assert row_of(place)[0] == "processing"
        assert place.once() == {"failed": 1}
        assert row_of(place)[0] == "failed"


def test_front_end_goes_on_waiting_when_the_worker_stops_in_the_import(
    tmp_path: Path, to: str, server: ObjectServer
) -> None:
    """A page that sees `failed` stops asking, though the job is only queued again."""
    with site(tmp_path, to, *PROFILE_TABLE, **hosts(server)) as place:
        job_id = place.accept(ADA, server.put("a.json", SMALL))
        with server.held_after(0):
            worker = place.started()
            worker.wait_for("job_begun")
            wait_until(lambda: place.job(job_id).state == "running")
            assert worker.stop() == 0
        assert (place.job(job_id).state, row_of(place)[0]) == ("queued", "processing")
        assert place.once() == {"complete": 1}
        assert row_of(place)[0] == "complete"


def test_front_end_is_told_when_a_running_job_is_cancelled(tmp_path: Path, to: str, server: ObjectServer) -> None:
    with site(tmp_path, to, *PROFILE_TABLE, **hosts(server)) as place, server.held_after(0):
        job_id = place.accept(ADA, server.put("a.json", SMALL))
        worker = place.started()
        worker.wait_for("job_begun")
        with place.jobs() as jobs:
            jobs.cancel(job_id, ADA)
        place.wait_for(job_id, "cancelled")
        assert row_of(place)[0] == "failed"
        began = time.monotonic()
        assert worker.stop() == 0
        assert time.monotonic() - began < 30


@pytest.mark.parametrize("event", ["worker_started", "job_begun", "job_stage", "job_ended"])
def test_job_ends_once_when_its_worker_is_killed_around_a_step(
    tmp_path: Path, to: str, api: ModelApi, server: ObjectServer, event: str
) -> None:
    with (
        webhook() as hook,
        site(tmp_path, to, *PROFILE_TABLE, ALERT_WEBHOOK=hook.url, **hosts(server), **api.environment()) as place,
    ):
        job_id = place.accept(ADA, server.put("a.json", EXPORT))
        worker = place.started("--notify", "always")
        worker.wait_for(event)
        worker.kill()
        told = place.once("--notify", "always")
        job = place.job(job_id)
        assert (job.state, row_of(place)) == ("complete", ("complete", "complete"))
        assert told == ({} if event == "job_ended" else {"complete": 1})
        assert job.attempts == 1 if event == "job_ended" else job.attempts <= 2
        assert len(statements(place, ADA)) == len(FACTS)
        assert [message["event"] for message in hook.messages()] in ([], ["job_complete"])
