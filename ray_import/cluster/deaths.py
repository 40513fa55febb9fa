"""What a worker died of, as Ray's head has it: the errors of its calls do not tell.

The head knows by the time that the worker has been started again, and not before: a machine that is cut off is missed
after some 15 s, and only then its workers are started elsewhere.
"""

from dataclasses import dataclass

import ray
from ray._private.state import state
from ray.core.generated.common_pb2 import WorkerExitType
from ray.core.generated.gcs_pb2 import WorkerTableData

from ray_import.pipeline.scheduler import Death


@dataclass(frozen=True, slots=True)
class WorkerProcess:
    """The process in which an actor lives until it dies: which, and on which machine."""

    worker_id: str
    node_id: str

    @classmethod
    def of_this(cls) -> "WorkerProcess":
        """This one; for actors."""
        context = ray.get_runtime_context()
        return cls(context.get_worker_id(), context.get_node_id())


def machines_alive() -> set[str]:
    """The ids of the nodes that Ray has not missed."""
    return {node["NodeID"] for node in ray.nodes() if node["Alive"]}


def cause_of_death(process: WorkerProcess) -> Death:
    """Why a worker is gone in whose place another one has answered."""
    if process.node_id not in machines_alive():
        return Death.MACHINE
    # The public way asks the dashboard, which need not be there.
    known = state._connect_and_get_accessor().get_worker_info(ray.WorkerID.from_hex(process.worker_id))  # noqa: SLF001
    if known is None:
        return Death.CRASH
    told = WorkerTableData.FromString(known)
    if told.is_alive:  # it was not reached for a while
        return Death.MACHINE
    return Death.MEMORY if told.exit_type == WorkerExitType.NODE_OUT_OF_MEMORY else Death.CRASH
