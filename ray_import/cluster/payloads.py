"""Raw conversations in Ray's object store."""

import pickle
from typing import Any

import ray

from ray_import.cluster.failures import to_ours


def put_payload(payload: bytes) -> Any:
    """Puts it there as a buffer, which a worker reads where it lies: bytes Ray would copy to the worker's heap.

    Raises ClusterError.
    """
    try:
        return ray.put(pickle.PickleBuffer(payload))
    except ray.exceptions.RayError as error:
        raise to_ours(error) from None
