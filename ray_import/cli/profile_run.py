"""From the options of `profile` and `profiles` to finished runs."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass
from typing import TypeVar

from ray_import.cli.executor_choice import chosen
from ray_import.cli.output import stderr
from ray_import.cli.profile_calls import check_access, opened_calls, opened_model
from ray_import.cli.profile_progress import profile_progress_on
from ray_import.cli.profiles_on_ray import profiles_on_ray
from ray_import.cli.run import checked_destination
from ray_import.destinations.base import Destination, Sink
from ray_import.destinations.profiles import StoredRequest
from ray_import.destinations.registry import parse_destination
from ray_import.errors import Interrupted
from ray_import.inline.estimate import Asked
from ray_import.pipeline.interruption import Interruption
from ray_import.pipeline.lease import is_dead, this_process
from ray_import.profile.cost import cost_usd
from ray_import.profile.estimate import Estimate, Estimator
from ray_import.profile.forgetting import Gone, batches_of, delete_batches, find_batches
from ray_import.profile.front_end import front_end_values
from ray_import.profile.lease import Heartbeats, Holder
from ray_import.profile.many_users import run_profiles
from ray_import.profile.progress import ProfileReporter
from ray_import.profile.report import ProfileReport
from ray_import.profile.run import Calls, check_messages, run_profile
from ray_import.profile.settings import DEFAULT_MODEL, ProfileSettings

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prepared:
    """What runs need: the destination, the model, the lease, and somebody who watches."""

    sink: Sink
    calls: Calls
    holder: Holder
    heartbeats: Heartbeats
    reporter: ProfileReporter


def make_profile(
    user_id: str, to: str, settings: ProfileSettings, reporter: ProfileReporter | None = None
) -> ProfileReport:
    """Makes one user's profile, showing its progress: to `reporter`, by default on standard error. Raises what keeps it
    from beginning."""

    async def make(run: _Prepared) -> ProfileReport:
        return await run_profile(run.sink, user_id, settings, run.calls, run.holder, run.heartbeats, run.reporter)

    destination = checked_destination(to, None)
    with closing(destination.open(create=False)) as sink:
        check_messages(sink, user_id)  # whose import is missing need not look for a key first
        if settings.profile_table is not None:
            sink.profile_takes(settings.profile_table, user_id, [])
        return _made(destination, sink, settings, make, reporter)


def make_profiles(
    user_ids: Sequence[str], to: str, settings: ProfileSettings, executor: Asked = "auto", workers: int | None = None
) -> list[ProfileReport]:
    """Makes the profiles of these users. What ends one of them is in its report.

    On Ray inside a job, where RAY_ADDRESS is set, and for a number of workers, unless `executor` says otherwise.
    """

    async def make(run: _Prepared) -> list[ProfileReport]:
        return await run_profiles(run.sink, user_ids, settings, run.calls, run.holder, run.heartbeats, run.reporter)

    destination = checked_destination(to, workers)
    choice = chosen(executor, workers, None, "unknown")
    if choice.executor == "ray" and user_ids:
        return profiles_on_ray(choice.why, user_ids, to, destination, settings, workers)
    with closing(destination.open(create=False)) as sink:
        return _made(destination, sink, settings, make)


def estimates(user_ids: Sequence[str], to: str, settings: ProfileSettings, *, exact: bool) -> list[Estimate]:
    """What runs would send; writes nothing. Without `exact` nothing is asked, and no key is needed."""

    async def estimate(sink: Sink) -> list[Estimate]:
        if not exact:
            estimator = Estimator(sink, settings, cost_usd)
            return [await estimator.estimate(user_id) for user_id in user_ids]
        async with opened_model(settings.model) as model:
            estimator = Estimator(sink, settings, cost_usd, model)
            return [await estimator.estimate(user_id) for user_id in user_ids]

    with closing(checked_destination(to, None).look()) as sink:
        if len(user_ids) == 1:
            check_messages(sink, user_ids[0])
        with Interruption():
            return asyncio.run(estimate(sink))


def all_user_ids(to: str) -> list[str]:
    """The users with imports in the destination, by id."""
    with closing(parse_destination(to).open(create=False)) as sink:
        return sink.profile_users()


def forget_profile(user_id: str, to: str, profile_table: str | None) -> Gone:
    """Deletes all of a user's profile. Raises ConfigError where batches are to be deleted, and there is no key."""

    async def delete(batch_ids: Sequence[str], lost: Sequence[Sequence[StoredRequest]]) -> tuple[list[str], list[str]]:
        """The batches that were found, and those of them that are left."""
        async with opened_model(DEFAULT_MODEL) as model:
            found, unknown = await find_batches(model, lost)
            known = [*batch_ids, *found]
            return known, [*await delete_batches(model, known), *unknown]

    with closing(checked_destination(to, None).open(create=False)) as sink:
        batch_ids, lost = batches_of(sink, user_id)
        known, left = asyncio.run(delete(batch_ids, lost)) if batch_ids or lost else ([], [])
        skipped = []
        if profile_table is not None:
            skipped = sink.publish_profile(profile_table, user_id, front_end_values(None, [], "forgotten"))
        rows = sink.forget_profile(user_id)
    return Gone(
        rows=rows,
        batches_deleted=len(set(known) - set(left)),
        batches_left=tuple(left),
        skipped_columns=tuple(skipped),
    )


def _made(
    destination: Destination,
    sink: Sink,
    settings: ProfileSettings,
    make: Callable[[_Prepared], Awaitable[T]],
    reporter: ProfileReporter | None = None,
) -> T:
    check_access(settings)
    holder = Holder(this_process(), is_dead)

    async def run() -> T:
        with (
            Heartbeats(lambda: destination.open(create=False), holder) as heartbeats,
            profile_progress_on(stderr) if reporter is None else nullcontext(reporter) as shown,
        ):
            async with opened_calls(settings) as calls:
                return await make(
                    _Prepared(sink=sink, calls=calls, holder=holder, heartbeats=heartbeats, reporter=shown)
                )

    with Interruption() as interruption:
        try:
            made = asyncio.run(run())
            interruption.ignore()
        except KeyboardInterrupt:
            raise Interrupted(
                "The profile was interrupted.", "Stored answers are kept; run it again to resume."
            ) from None
    return made
