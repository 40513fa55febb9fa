"""Joining the cluster that is there, or starting one for this import alone."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import ray

from ray_import.cluster.cpus import available_cpus
from ray_import.cluster.environment import joins_cluster
from ray_import.cluster.joining import join
from ray_import.cluster.starting import MIN_OBJECT_STORE_BYTES, start

BUDGET_SHARE = 0.3
"""Of the smallest object store, so much may be batches in flight. Spilling begins at 0.8."""


@dataclass(frozen=True, slots=True)
class Session:
    """A Ray that is up. `cpus` and `node_id` are this machine's; `budget_bytes` bounds what is in flight."""

    local: bool
    cpus: int
    node_id: str
    budget_bytes: int

    def lanes(self, workers: int | None) -> int:
        """How many workers there can be: as many as asked for, but on a cluster no more than CPUs."""
        return self._lanes_on(self.cpus, workers)

    def lanes_anywhere(self, workers: int | None) -> int:
        """The same where they may be on all machines, which come and go."""
        return self._lanes_on(cluster_cpus(), workers)

    def _lanes_on(self, cpus: int, workers: int | None) -> int:
        most = max(cpus, 1)
        return most if workers is None else workers if self.local else min(workers, most)


@contextmanager
def ray_session(workers: int | None, in_flight_bytes: int = 0) -> Iterator[Session]:
    """Joins the cluster that RAY_ADDRESS names (as inside a submitted job), else starts a local one.

    A local one has a CPU for each of `workers` (default: this machine's), an object store in which
    `in_flight_bytes` find room, and is gone afterwards.
    `prepare_environment` has to be called before this module is imported, and `sys.argv` must have no secrets in
    it: Ray writes it down. Raises ClusterError, or ConfigError where RAY_ADDRESS is no address.
    """
    local = not joins_cluster()
    # Ray writes down the command line of every program that joins, for all to see, and takes it from the system,
    # where it is as it was typed: with the token of a signed URL in it. `sys.argv` is what may be shown.
    ray._private.utils.get_entrypoint_name = _command_line  # noqa: SLF001 - there is no other way to say it
    if local:
        start(workers or available_cpus(), int(in_flight_bytes / BUDGET_SHARE))
    else:
        join(os.environ["RAY_ADDRESS"])
    try:
        yield _describe(local)
    finally:
        ray.shutdown()


def _command_line() -> str:
    return subprocess.list2cmdline([sys.executable, *sys.argv])


def cluster_cpus() -> int:
    """The CPUs of all machines that are up at this moment."""
    return int(sum(node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]))


def _describe(local: bool) -> Session:
    here = ray.get_runtime_context().get_node_id()
    nodes = [node for node in ray.nodes() if node["Alive"]]
    resources = next(node["Resources"] for node in nodes if node["NodeID"] == here)
    stores = [node["Resources"].get("object_store_memory", MIN_OBJECT_STORE_BYTES) for node in nodes]
    return Session(local, int(resources.get("CPU", 0)), here, int(min(stores) * BUDGET_SHARE))
