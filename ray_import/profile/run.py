"""The run of one user's profile: resume, plan, quick pass, facts, merge, sections, version, the front end's columns."""

import logging
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass

from ray_import.destinations.profiles import ProfileStore, RequestKind, StoredRequest
from ray_import.errors import CostReached, ImporterError, ModelError, NothingToProfile, SinkError, may_pass
from ray_import.profile.batches import BatchLimit, BatchSender, known_batches
from ray_import.profile.direct_calls import Asker, DirectSender, Sender
from ray_import.profile.facts_step import FactsStep
from ray_import.profile.front_end import FrontEndState, front_end_values, publish
from ray_import.profile.lease import Heartbeats, Holder, begin
from ray_import.profile.merge_questions import MergeStep
from ray_import.profile.model import BatchModel, Usage
from ray_import.profile.packing import PACK_TOKENS
from ray_import.profile.progress import ProfileProgress, ProfileReporter, SilentReporter
from ray_import.profile.quick_pass import QuickStep
from ray_import.profile.report import ProfileReport
from ray_import.profile.requests import RequestLog, Step, now
from ray_import.profile.sections import SectionsStep
from ray_import.profile.settings import ProfileSettings

log = logging.getLogger(__name__)


def left_behind(requests: RequestLog) -> list[StoredRequest]:
    """The requests of dead runs that are not at their end."""
    found = requests.store.requests(requests.user_id, ("sending", "in_batch"))
    return [request for request in found if request.run_id != requests.report.run_id]


def end_direct_calls(requests: RequestLog, left: list[StoredRequest]) -> list[StoredRequest]:
    """Ends the direct calls among them as `unknown_outcome`: nobody can learn their answers. Returns the others."""
    batched = []
    for request in left:
        if request.group_id or request.batch_id:
            batched.append(request)
        else:
            requests.unknown_outcome(request)
    return batched


async def read_batches(
    requests: RequestLog, batched: list[StoredRequest], sender: BatchSender, steps: Mapping[RequestKind, Step]
) -> None:
    """Waits for the batches of dead runs, and stores their answers. Those whose id was lost are looked for."""
    known = known_batches(requests.store.requests(requests.user_id))
    groups: dict[tuple[str, str, RequestKind], list[StoredRequest]] = defaultdict(list)
    for request in batched:
        known_id = request.batch_id or known.get(request.group_id, "")
        groups[known_id, request.group_id, request.kind].append(request)
    for (known_id, _, kind), group in groups.items():
        step = steps[kind]
        if known_id:
            batch_id, found = known_id, sender.adopt(group, known_id)
        else:
            batch_id, found = await sender.find_lost(step, group)
        if batch_id:
            log.info("profile_batch_resumed batch=%s requests=%d", batch_id, len(found))
            requests.report.resumed_batches += 1
            await sender.collect(step, {batch_id: found})


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
            if self._settings.quick_only:
                self._publish_quick()
            else:
                await self._make_full()
        except CostReached as error:
            self._report.lacks("max_cost")
            self._try_to_publish("failed", error.message)
        except ModelError:
            self._count()
            raise
        self._count()
        if self._report.version is None and not self._report.lacking:
            self._report.lacks("quick")

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

    def _publish_quick(self) -> None:
        """The pages ask again until the full pass has ended: where none is asked for, it ends with the quick pass."""
        if self._report.spent["quick"].requests and not self._store.versions_of(self._log.user_id, 1):
            self._try_to_publish("failed", "The first profile could not be made.")
        else:
            self._try_to_publish("complete")

    async def _make_full(self) -> None:
        stopped: CostReached | ModelError | None = None
        try:
            await self._extract()
        except (CostReached, ModelError) as error:
            stopped = error
            self._facts.plan()
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
            report.not_extracted = self._facts.failed_for_good() + self._facts.without_answer
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
