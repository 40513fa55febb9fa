"""The run of one user's profile: resume, plan, quick pass, facts, merge, sections, version, the front end's columns."""

import logging
import time
import uuid
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass

from ray_import.errors import CostReached, ImporterError, NothingToProfile, SinkError, may_pass
from ray_import.profile.batches import BatchLimit, BatchSender
from ray_import.profile.direct import Asker, DirectSender, Sender
from ray_import.profile.facts_step import FactsStep
from ray_import.profile.front_end import FrontEndState, front_end_values, publish
from ray_import.profile.lease import Heartbeats, Holder, begin
from ray_import.profile.merge_step import MergeStep
from ray_import.profile.model import BatchModel, Usage
from ray_import.profile.packing import PACK_TOKENS
from ray_import.profile.plan import is_settled
from ray_import.profile.progress import ProfileProgress, ProfileReporter, SilentReporter
from ray_import.profile.quick_step import QuickStep
from ray_import.profile.report import ProfileReport
from ray_import.profile.requests import RequestLog, now
from ray_import.profile.resume import end_direct_calls, left_behind, read_batches
from ray_import.profile.sections_step import SectionsStep
from ray_import.profile.settings import ProfileSettings
from ray_import.sink.profiles import ProfileStore

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """How the model is reached: `asker` makes direct calls in `slots`, `model` batches. `price` gives dollars."""

    asker: Asker
    slots: AbstractAsyncContextManager[None]
    model: BatchModel
    limit: BatchLimit
    price: Callable[[str, Usage, bool], float]


async def run_profile(
    store: ProfileStore,
    user_id: str,
    settings: ProfileSettings,
    calls: Calls,
    holder: Holder,
    heartbeats: Heartbeats,
    reporter: ProfileReporter | None = None,
) -> ProfileReport:
    """Makes or updates the profile of a user. An ImporterError that ends the run is in its report.

    Raises ConfigError where the user has no messages, and ImportRunning where another run of the user is alive.
    """
    check_messages(store, user_id)
    report = ProfileReport(user_id=user_id, run_id=str(uuid.uuid4()), model=settings.model)
    begin(store, user_id, report.run_id, holder, now())
    heartbeats.add(user_id, report.run_id)
    log.info("profile_run_begun run=%s", report.run_id)
    began = time.monotonic()
    run = ProfileRun(store, report, settings, calls, lambda: heartbeats.check(report.run_id), reporter)
    try:
        await run.make()
    except ImporterError as error:
        report.error = error
        if not (settings.is_retried and may_pass(error)):
            run.publish_failure(error)
    except BaseException:
        with suppress(SinkError):
            store.end_profile(user_id, report.run_id, "failed", report.as_dict(), "interrupted")
        raise
    finally:
        heartbeats.remove(report.run_id)
        report.seconds = time.monotonic() - began
    store.end_profile(user_id, report.run_id, report.status, report.as_dict(), _message_of(report.error))
    log.info("profile_run_ended run=%s status=%s", report.run_id, report.status)
    return report


def check_messages(store: ProfileStore, user_id: str) -> None:
    """Raises ConfigError where there is nothing that a profile could be made of."""
    conversations = store.profile_conversations(user_id)
    if not conversations:
        raise NothingToProfile(
            f"There are no imported conversations of the user {user_id}.",
            "Give the --to and --user-id of the import.",
        )
    with_words = [one for one in conversations if one.message_count]
    if with_words and not any(one.has_messages for one in with_words):
        raise NothingToProfile(
            f"The messages of the user {user_id} are not stored: the export was imported with --no-messages.",
            "Import the export again without --no-messages.",
        )


def _message_of(error: ImporterError | None) -> str | None:
    return None if error is None else error.message


class ProfileRun:
    """One run, once it holds its lease. `make` does all of it, and fills the report."""

    def __init__(
        self,
        store: ProfileStore,
        report: ProfileReport,
        settings: ProfileSettings,
        calls: Calls,
        check_lease: Callable[[], None] = lambda: None,
        reporter: ProfileReporter | None = None,
    ) -> None:
        self._store = store
        self._report = report
        self._settings = settings
        self._reporter = reporter or SilentReporter()
        self._began = time.monotonic()
        self._step = "planning"
        self._expected = 0
        self._log = RequestLog(store, report, calls.price, self._show, check_lease)
        self._batches = BatchSender(self._log, calls.model, calls.limit, settings)
        direct = DirectSender(self._log, calls.asker, settings.in_flight, calls.slots)
        self._sender: Sender = self._batches if settings.in_batches else direct
        self._facts = FactsStep(self._log)
        self._quick = QuickStep(self._log)
        self._merge = MergeStep(self._log)
        self._sections = SectionsStep(self._log)

    async def make(self) -> None:
        """Does what is not done yet. Raises ImporterError."""
        batched = end_direct_calls(self._log, left_behind(self._log))
        plan = self._facts.plan()
        self._report.without_messages = plan.without_messages
        self._begin("batches of an earlier run" if batched else "planning")
        self._publish("processing")
        if batched:
            steps = {step.kind: step for step in (self._facts, self._quick, self._merge, self._sections)}
            await read_batches(self._log, batched, self._batches, steps)
            self._facts.plan()
        try:
            await self._make_quick()
            if not self._settings.quick_only:
                await self._make_full()
        except CostReached as error:
            self._report.lacks("max_cost")
            self._try_to_publish("failed", error.message)
        self._count()

    def publish_failure(self, error: ImporterError) -> None:
        """Tells the front end, as far as it can be reached."""
        with suppress(ImporterError):
            self._publish("failed", error.message)

    async def _make_quick(self) -> None:
        """Of a user without any version only: nobody waits for a second one."""
        if self._store.versions_of(self._log.user_id, 1):
            return
        self._begin("quick pass", 1)
        await self._sender.send(self._quick, self._quick.questions())
        if self._quick.save_version():
            self._try_to_publish("quick_ready")
        else:
            self._report.lacks("quick")

    async def _make_full(self) -> None:
        stopped: CostReached | None = None
        try:
            await self._extract()
        except CostReached as error:
            stopped = error
        self._begin("merging")
        found = self._merge.merge()
        if stopped is not None:
            raise stopped
        while questions := self._merge.questions(found):
            self._begin("merging", len(questions))
            await self._sender.send(self._merge, iter(questions))
            found = self._merge.merge()
        if self._sections.is_due():
            self._begin("sections", 1)
            await self._sender.send(self._sections, self._sections.questions())
            if not self._sections.save_version():
                self._report.lacks("sections")
                self._try_to_publish("failed", "The sections of the profile could not be made.")
                return
        left = self._facts.without_answer
        self._try_to_publish("complete", f"{left:,} parts of conversations have no answer." if left else "")

    async def _extract(self) -> None:
        """Rounds of packs, until nothing is left: a pack that was cut off is sent in halves by the next one."""
        while left := self._facts.left:
            tokens = sum(ref.tokens for ref in left)
            self._begin("facts", 1 + tokens // PACK_TOKENS)
            await self._sender.send(self._facts, self._facts.questions(left))
            self._facts.plan()

    def _count(self) -> None:
        """What the destination holds at the end."""
        report, user_id = self._report, self._log.user_id
        if not self._settings.quick_only:
            units = self._store.units(user_id)
            final = sum(unit.state == "failed" and is_settled(unit) for unit in units)
            report.not_extracted = final + self._facts.without_answer
        report.facts.update(fact.status for fact in self._store.facts(user_id))
        versions = self._store.versions_of(user_id, 1)
        if versions:
            report.version, report.version_kind = versions[0].id, versions[0].kind

    def _begin(self, step: str, requests: int = 0) -> None:
        self._step = step
        self._expected = self._report.total.requests + requests
        self._show()

    def _show(self) -> None:
        total = self._report.total
        self._reporter.show(
            ProfileProgress(
                user_id=self._log.user_id,
                step=self._step,
                requests=total.requests,
                expected_requests=max(self._expected, total.requests),
                input_tokens=total.input_tokens,
                output_tokens=total.output_tokens,
                usd=total.usd,
                seconds=time.monotonic() - self._began,
                failures=self._report.failures_by_reason,
                rejected=dict(self._report.rejected),
            )
        )

    def _publish(self, state: FrontEndState, error: str = "") -> None:
        """Sets the columns of the front end, if it has a table. Raises ConfigError where that cannot be."""
        table = self._settings.profile_table
        if table is None:
            return
        versions = self._store.versions_of(self._log.user_id, 1)
        if state == "complete" and not versions:  # no page waits for a profile that does not come
            state, error = "failed", "The messages hold nothing that a profile could be made of."
        facts = self._store.facts(self._log.user_id) if versions else []
        values = front_end_values(versions[0] if versions else None, facts, state, error=error)
        self._report.skipped_columns = publish(self._store, table, self._log.user_id, values)

    def _try_to_publish(self, state: FrontEndState, error: str = "") -> None:
        """The profile itself matters more than these columns."""
        try:
            self._publish(state, error)
        except ImporterError as failure:
            log.warning("profile_not_published run=%s error=%s", self._report.run_id, type(failure).__name__)
            self._report.lacks("front_end")
