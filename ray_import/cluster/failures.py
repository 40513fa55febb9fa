"""What went wrong with a call, told apart by Ray's types.

RayError
├─ RayTaskError              the work raised: its own error, if it is one of ours, else a fault
│                            with a bare RayError as its cause: what was raised cannot be pickled
├─ UnserializableException   the work raised what cannot be unpickled here: a fault of the work, not of Ray
├─ RayActorError             ActorDiedError, ActorUnavailableError: the worker is lost
├─ OutOfMemoryError          killed by Ray's memory monitor: lost
├─ WorkerCrashedError, NodeDiedError, LocalRayletDiedError                lost
├─ ObjectLostError …         a payload is gone with the node that had read it
├─ ObjectStoreFullError, OutOfDiskError    a payload finds no room: for the moment
└─ RaySystemError            the import ends

Actors return their errors as values: Ray shows the text of what an actor raises in its logs and its dashboard.
"""

import logging
from collections.abc import Awaitable
from typing import Any, TypeVar

import ray
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

NO_ROOM = (of_ray.ObjectStoreFullError, of_ray.OutOfDiskError)


def to_ours(error: of_ray.RayError) -> ImporterError:
    """The error of ours that ends the import. Names types and no texts: these may hold a user's words."""
    if isinstance(error, of_ray.RayTaskError):
        cause = error.cause
        if isinstance(cause, ImporterError):
            return cause
        if type(cause) is of_ray.RayError:
            return _unreadable()
        # These tell what became of the payload, not of the worker.
        return _of_payload(cause) or ClusterError(
            f"A worker failed with {type(cause).__name__}.",
            "This is a fault in ray-import: run it again with --debug and report what it prints.",
        )
    if isinstance(error, of_ray.UnserializableException):
        return _unreadable()
    return _of_payload(error) or ClusterError(
        f"Ray failed with {type(error).__name__}.", "See its logs in /tmp/ray/session_latest/logs."
    )


def _unreadable() -> ClusterError:
    return ClusterError(
        "A worker failed with an error that cannot be sent to another process.",
        "This is a fault in ray-import; the worker's log in Ray's session_latest/logs has the error.",
    )


def cannot_be_made(error: of_ray.RayError) -> ClusterError | None:
    """Why a worker that was lost never was there: where it was to be, it could not even be unpacked."""
    if not getattr(error, "actor_init_failed", False):
        return None
    return ClusterError("A worker could not be started.", "Install the same version of ray-import on all machines.")


def _of_payload(error: BaseException) -> PayloadLost | None:
    if isinstance(error, NO_ROOM):
        return PayloadLost("The object store and the disk of a machine are full.", "Run it again.")
    return payload_lost() if isinstance(error, (*LOST, of_ray.ObjectLostError)) else None


def payload_lost() -> PayloadLost:
    """What is raised for a batch whose payload went with a machine."""
    return PayloadLost("A machine of the cluster was lost while it was reading this export.", "Run it again.")


T = TypeVar("T")

log = logging.getLogger(__name__)


async def answered(work: Awaitable[T]) -> T | ImporterError:
    """In an actor: what comes of `work`, or the error that ended it. Of a foreign one only its type is kept, since its
    text may hold keys and a user's words."""
    try:
        return await work
    except ImporterError as error:
        return error
    except Exception as error:  # noqa: BLE001 - whatever it is, it must not reach Ray
        log.error("profile_fault error=%s", type(error).__name__)  # noqa: TRY400 - nor its text the log
        return ClusterError(
            f"A process of the cluster failed with {type(error).__name__}.",
            "This is a fault in ray-import: report it with what was done.",
        )


async def told(ref: Any, lost: ImporterError) -> Any:
    """Where an actor was asked: what it has answered. Raises its error, and `lost` where it is gone."""
    try:
        answer = await ref
    except LOST:
        raise lost from None
    except ray.exceptions.RayError as error:
        raise to_ours(error) from None
    if isinstance(answer, ImporterError):
        raise answer
    return answer
