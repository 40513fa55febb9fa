"""One worker slot of a pool, and its actor."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from ray_import.cluster.deaths import WorkerProcess
from ray_import.cluster.session import Session
from ray_import.cluster.worker import ImportWorker
from ray_import.destinations.base import Destination

MAX_SILENT = 30
"""Maximum number of unanswered readiness probes (about 2 s each, 10 s while the destination is unreachable)."""


@dataclass(frozen=True, slots=True)
class Recycling:
    """When a worker is recycled: after so many batches, or at so much memory."""

    after_batches: int = 1_000_000
    from_bytes: int = 1024 * 1024 * 1024


SELDOM_RECYCLED = Recycling()


@dataclass(slots=True)
class WorkerSlot:
    """Unanswered probes of a worker, its work since it was started, and whether it is draining.

    `slow`: when it was lost, its batch had been there for longer than its time limit.
    """

    actor: Any = None
    process: WorkerProcess | None = None
    silent: int = 0
    slow: bool = False
    batches: int = 0
    retiring: bool = False
    leaving: bool = False
    given_up: bool = False
    rests_until: float = 0.0

    @property
    def is_wanted(self) -> bool:
        """Whether it is up or starting, and not draining."""
        return not self.given_up and not self.leaving

    @property
    def is_up(self) -> bool:
        """Whether it has answered, and has not been lost since."""
        return not self.given_up and self.silent == 0

    @property
    def is_silent(self) -> bool:
        """Whether too many probes went unanswered, so that another worker should take over."""
        return self.silent >= MAX_SILENT

    def ask(self) -> Any:
        """The call that answers once the worker is up."""
        self.silent += 1
        return self.actor.ready.options(name="worker_ready").remote()

    def answered(self, process: WorkerProcess) -> WorkerProcess | None:
        """Records that it is up, in `process`. Returns its previous process, if that was another one."""
        before, self.process = self.process, process
        self.silent = 0
        return before if before != process else None


def actor_factory(session: Session, destination: Destination, cpus: float) -> Callable[[int], Any]:
    """Creates the actor of a slot: on the destination's machine if it is bound to one, else anywhere."""
    remote = ray.remote(ImportWorker)
    here = NodeAffinitySchedulingStrategy(node_id=session.node_id, soft=False)

    def make(lane: int) -> Any:
        return remote.options(
            name=f"import-worker-{lane}",
            num_cpus=min(cpus, session.cpus) if destination.on_this_machine else cpus,  # a head may have none
            max_restarts=-1,
            max_task_retries=0,
            scheduling_strategy=here if destination.on_this_machine else "SPREAD",
        ).remote(lane, destination)

    return make
