"""Joining the cluster that is there, or starting one for this import alone."""

import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import ray

from ray_import.cluster.environment import joins_cluster
from ray_import.errors import ClusterError, ImporterError

MIN_OBJECT_STORE_BYTES = 75 * 1024 * 1024
"""Ray's least. The batches in flight need a few MB of it; what is free is no use to anyone."""

FREE_OBJECTS_EVERY_MS = 20
"""Ray lets go of finished batches once a second by default: at 100 MB/s, 100 MB of memory for nothing."""

REACH_TIMEOUT_SECONDS = 10

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
    it: Ray writes it down. Raises ClusterError.
    """
    local = not joins_cluster()
    # Ray writes down the command line of every program that joins, for all to see, and takes it from the system,
    # where it is as it was typed: with the token of a signed URL in it. `sys.argv` is what may be shown.
    ray._private.utils.get_entrypoint_name = _command_line  # noqa: SLF001 - there is no other way to say it
    try:
        if local:
            _start_local(workers or available_cpus(), in_flight_bytes)
        else:
            _join(os.environ["RAY_ADDRESS"])
    except ImporterError:
        raise
    except Exception as error:  # a bare one where a node is slow to start
        what = "could not be started" if local else f"at {os.environ['RAY_ADDRESS']} cannot be reached"
        raise ClusterError(f"Ray {what} ({type(error).__name__}).", _hint(local)) from error
    try:
        yield _describe(local)
    finally:
        ray.shutdown()


def _command_line() -> str:
    return subprocess.list2cmdline([sys.executable, *sys.argv])


def _join(address: str) -> None:
    """Ray waits for minutes where nothing listens: so that is looked at first."""
    if "://" in address:
        raise ClusterError(
            f"RAY_ADDRESS={address} is not where a program joins Ray.",
            "Name the head as HOST:PORT (6379, mostly), or submit jobs/import_export.py with ray job submit.",
        )
    host, colon, port = address.rpartition(":")
    if colon:
        socket.create_connection((host.strip("[]"), int(port)), timeout=REACH_TIMEOUT_SECONDS).close()
    ray.init(logging_level=logging.ERROR, log_to_driver=False)


def cluster_cpus() -> int:
    """The CPUs of all machines that are up at this moment."""
    return int(sum(node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]))


def available_cpus() -> int:
    """The CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _start_local(workers: int, in_flight_bytes: int) -> None:
    ray.init(
        address="local",
        num_cpus=workers,
        object_store_memory=max(MIN_OBJECT_STORE_BYTES, int(in_flight_bytes / BUDGET_SHARE)),
        include_dashboard=False,
        logging_level=logging.ERROR,
        log_to_driver=False,
        _system_config={
            "free_objects_period_milliseconds": FREE_OBJECTS_EVERY_MS,
            "task_events_report_interval_ms": 0,  # 3 kB a call for a dashboard that is not there
        },
    )


def _hint(local: bool) -> str:
    if local:
        return "Is there room in /tmp and /dev/shm? Run it with --debug for Ray's own words."
    return "Start it, or unset RAY_ADDRESS to let one be started; with token authentication on, set RAY_AUTH_TOKEN."


def _describe(local: bool) -> Session:
    here = ray.get_runtime_context().get_node_id()
    nodes = [node for node in ray.nodes() if node["Alive"]]
    resources = next(node["Resources"] for node in nodes if node["NodeID"] == here)
    stores = [node["Resources"].get("object_store_memory", MIN_OBJECT_STORE_BYTES) for node in nodes]
    return Session(local, int(resources.get("CPU", 0)), here, int(min(stores) * BUDGET_SHARE))
