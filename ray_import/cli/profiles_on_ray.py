"""`ray-import profiles` on Ray: from options to finished runs."""

import sys
from collections.abc import Sequence
from contextlib import closing, redirect_stdout
from dataclasses import dataclass

from ray_import.cli import supervision
from ray_import.cli.output import stderr
from ray_import.cli.profile_calls import check_access, check_batches
from ray_import.cli.profile_progress import profile_progress_on
from ray_import.cli.run import before_ray
from ray_import.cluster.environment import joins_cluster
from ray_import.destinations.base import Destination, Sink
from ray_import.errors import Interrupted
from ray_import.pipeline.interruption import Interruption
from ray_import.profile.progress import ProfileReporter, ProfilesProgress
from ray_import.profile.report import ProfileReport
from ray_import.profile.settings import ProfileSettings

BATCHES_BYTES = 64 * 1024 * 1024
"""Of prompts on their way to the process that calls: a batch is about 10 MB."""


@dataclass(frozen=True, slots=True)
class _AsOne:
    """Shows all users together as one run."""

    reporter: ProfileReporter

    def show(self, progress: ProfilesProgress) -> None:
        self.reporter.show(progress.as_one())


def profiles_on_ray(
    why: str,
    user_ids: Sequence[str],
    to: str,
    destination: Destination,
    settings: ProfileSettings,
    workers: int | None,
) -> list[ProfileReport]:
    """Makes the profiles of these users on Ray. Raises what keeps it from beginning, and Interrupted.

    The key is that of the process that makes the calls: on a cluster this one need not have it.
    """
    check_batches(settings) if joins_cluster() else check_access(settings)
    supervision.begin()
    supervision.writes_to(to)
    with closing(destination.open(create=False)) as sink, redirect_stdout(sys.stderr), Interruption() as interruption:
        try:
            return _made(why, user_ids, destination, sink, settings, workers, interruption)
        except KeyboardInterrupt:
            raise Interrupted(
                "The profiles were interrupted.", "Stored answers are kept; run it again to resume."
            ) from None


def _made(
    why: str,
    user_ids: Sequence[str],
    destination: Destination,
    sink: Sink,
    settings: ProfileSettings,
    workers: int | None,
    interruption: Interruption,
) -> list[ProfileReport]:
    before_ray(destination, nice=False)
    # Only now: Ray reads the environment when it is imported.
    from ray_import.cluster.metrics import ProfileJobMetadata, ProfileMetrics  # noqa: PLC0415
    from ray_import.cluster.profile_run import make_profiles_on_ray  # noqa: PLC0415
    from ray_import.cluster.session import ray_session  # noqa: PLC0415

    _tell(f"{'joining' if joins_cluster() else 'starting'} Ray … ({why})")
    with ray_session(workers, BATCHES_BYTES if settings.in_batches else 0) as session:
        interruption.listen()
        with profile_progress_on(stderr) as reporter:
            reporters = (_AsOne(reporter), ProfileMetrics(), ProfileJobMetadata())
            made = make_profiles_on_ray(session, destination, sink, settings, user_ids, workers, reporters, _tell)
        interruption.ignore()
        return made


def _tell(what: str) -> None:
    stderr.print(what, style="dim")
