"""What went wrong with a call, told apart by Ray's types.

RayError
├─ RayTaskError              the work raised: its own error, if it is one of ours, else a fault
├─ RayActorError             ActorDiedError, ActorUnavailableError: the worker is lost
├─ OutOfMemoryError          killed by Ray's memory monitor: lost
├─ WorkerCrashedError, NodeDiedError, LocalRayletDiedError                lost
├─ ObjectLostError …         a payload is gone with the node that had read it
└─ RaySystemError            the import ends
"""

import ray.exceptions as of_ray

from ray_import.errors import ClusterError, ImporterError, PayloadLost

LOST = (
    of_ray.RayActorError,
    of_ray.OutOfMemoryError,
    of_ray.WorkerCrashedError,
    of_ray.NodeDiedError,
    of_ray.LocalRayletDiedError,
)
"""The worker is gone, whatever it was doing; what it was doing may be in, or not."""


def to_ours(error: of_ray.RayError) -> ImporterError:
    """The error of ours that ends the import. Names types and no texts: these may hold a user's words."""
    if isinstance(error, of_ray.RayTaskError):
        cause = error.cause
        if isinstance(cause, ImporterError):
            return cause
        if isinstance(cause, (*LOST, of_ray.ObjectLostError)):  # what became of the payload, not of the worker
            return payload_lost()
        return ClusterError(f"A worker failed with {type(cause).__name__}.", "This is a fault in ray-import.")
    if isinstance(error, (*LOST, of_ray.ObjectLostError)):
        return payload_lost()
    return ClusterError(f"Ray failed with {type(error).__name__}.", "Its logs are in /tmp/ray/session_latest/logs.")


def payload_lost() -> PayloadLost:
    """What is raised for a batch whose payload went with a machine."""
    return PayloadLost("A machine of the cluster was lost while it read this export.", "Run it again.")
