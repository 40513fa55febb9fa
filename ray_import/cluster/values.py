"""Errors of actors as values: of what an actor raises, Ray shows the text in its logs and its dashboard."""

import logging
from collections.abc import Awaitable
from typing import Any, TypeVar

import ray

from ray_import.cluster.failures import LOST, to_ours
from ray_import.errors import ClusterError, ImporterError

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
