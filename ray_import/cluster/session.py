"""Joining the cluster that is there, or starting one for this import alone.

Ray itself needs 30 to 40 s to give up starting, and reports words only. So what can be known is checked first; for the
rest a table of Ray's words (2.60) decides, which tests/cluster/test_starting.py holds against real failures.
"""

import logging
import os
import shutil
import subprocess
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import ray
from ray._common.utils import get_default_ray_temp_dir
from ray._private.node import Node

from ray_import.cluster.environment import available_cpus, joins_cluster
from ray_import.cluster.joining import join
from ray_import.errors import ClusterError

MIN_OBJECT_STORE_BYTES = 75 * 1024 * 1024
"""Ray's least. The batches in flight need a few MB of it; what is free is no use to anyone."""

FREE_OBJECTS_EVERY_MS = 20
"""Ray frees finished batches once a second by default: at 100 MB/s, 100 MB of memory for nothing."""

STARTS = 3
"""Tries of 30 s each on a machine on which more processes want a CPU than there are CPUs."""

MIN_FREE_BYTES = 16 * 1024 * 1024
"""For Ray's logs and files in its temporary folder."""

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where Ray has its object store

_TIMED_OUT = (
    "Ray did not start within its 30 s.",
    "Is this machine very busy, or its limit of processes too low (ulimit -u)? See {folder}/session_latest/logs.",
)
_SOCKET_PATH = (
    "Ray's temporary folder has too long a path for a socket (107 bytes with what Ray adds): {folder}",
    "Set RAY_TMPDIR to a short one, for example RAY_TMPDIR=/tmp.",
)
WORDS_OF_RAY = (
    ("AF_UNIX path length cannot exceed", _SOCKET_PATH),
    ("timed out during startup", _TIMED_OUT),
    ("Timed out waiting for file", _TIMED_OUT),
)
"""Words of Ray's exceptions, each with the message and the hint that are shown for them."""


def start(cpus: int, object_store_bytes: int) -> None:
    """Starts a Ray with `cpus` CPUs, which is gone when this process ends. Raises ClusterError with the cause.

    On a busy machine it is tried STARTS times: a raylet ends itself when its agents, which are Python processes, need
    more than 15 s to start, and Ray has no setting for that.
    """
    folder = Path(get_default_ray_temp_dir())
    check_folder(folder)
    if sys.platform == "linux":
        check_shared_memory(SHARED_MEMORY)
    for tries_left in reversed(range(STARTS)):
        try:
            _init(cpus, object_store_bytes)
        except Exception as error:  # Ray raises a plain Exception where its start takes too long
            ours = start_error(error, folder)
            if not (tries_left and ours.message == _TIMED_OUT[0] and _is_busy()):
                raise ours from error
            _end_processes(error)
        else:
            return


def _init(cpus: int, object_store_bytes: int) -> None:
    ray.init(
        address="local",
        num_cpus=cpus,
        object_store_memory=max(MIN_OBJECT_STORE_BYTES, object_store_bytes),
        include_dashboard=False,
        logging_level=logging.ERROR,
        log_to_driver=False,
        _system_config={
            "free_objects_period_milliseconds": FREE_OBJECTS_EVERY_MS,
            "task_events_report_interval_ms": 0,  # 3 kB a call for a dashboard that is not there
        },
    )


def _is_busy() -> bool:
    """Whether more processes want a CPU than there are CPUs: another start has a chance then."""
    return os.getloadavg()[0] > available_cpus()


def _end_processes(error: Exception) -> None:
    """Ends what a failed start has started already. Ray keeps no reference to it but in the frames of its exception."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        node = frame.f_locals.get("self")
        if isinstance(node, Node):
            node.kill_all_processes(check_alive=False, allow_graceful=False)


def check_folder(folder: Path) -> None:
    """Raises ClusterError where `folder`, Ray's temporary one, or its nearest parent there is, has no room for Ray."""
    there = next(parent for parent in (folder, *folder.parents) if os.path.exists(parent))  # noqa: PTH110 - no error
    if not os.access(there, os.W_OK | os.X_OK):
        what = "cannot be written"
    elif shutil.disk_usage(there).free < MIN_FREE_BYTES:
        what = "is full"
    else:
        return
    raise ClusterError(
        f"Ray's temporary folder {what}: {folder}",
        f"Set RAY_TMPDIR to a writable folder with a short path and {MIN_FREE_BYTES // 2**20} MB free or more.",
    )


def check_shared_memory(folder: Path) -> None:
    """Raises ClusterError where Ray cannot make its object store. A full one is none: Ray then uses its folder."""
    if not os.access(folder, os.W_OK):
        raise ClusterError(
            f"{folder} cannot be written, and Ray has its object store there.",
            "In a container, mount a tmpfs there: docker run --shm-size=1g.",
        )


def start_error(error: Exception, folder: Path) -> ClusterError:
    """The error of ours for what `ray.init` raised."""
    for words, (message, hint) in WORDS_OF_RAY:
        if words in str(error):
            return ClusterError(message.format(folder=folder), hint.format(folder=folder))
    return ClusterError(
        f"Ray could not be started ({type(error).__name__}).", "Run the same command with --debug for Ray's own words."
    )


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
