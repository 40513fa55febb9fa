"""Workers that die in all ways there are, on a cluster of several nodes; prints what each is held to have died of.

A program of its own, because it joins a Ray of its own: `python -m tests.cluster.dying crash machine`, or `memory`, or
`idle`: whether a pool misses the only one, which has nothing to do.
"""

import os
import sys
import time
from collections.abc import Sequence
from typing import Any

from ray_import.cluster.environment import prepare_environment

prepare_environment()  # before anything imports Ray

import ray  # noqa: E402

from ray_import.cluster.deaths import WorkerProcess, cause_of_death  # noqa: E402
from ray_import.cluster.worker_slot import SELDOM_RECYCLED  # noqa: E402
from ray_import.cluster.worker_slots import StartupTimeouts, WorkerSlots  # noqa: E402
from ray_import.errors import ClusterError  # noqa: E402
from ray_import.pipeline.scheduler import Scheduler  # noqa: E402
from tests.support.cluster.several_nodes import QUICKLY, add, lose, several_nodes  # noqa: E402

ALWAYS_TOO_FULL = {"memory_usage_threshold": 0.0001, "memory_monitor_refresh_ms": 3000}
"""Whatever runs then is killed for memory every few seconds, without anybody's taking any."""


class Mortal:
    """An actor that tells where it lives."""

    def ready(self) -> WorkerProcess:
        """As workers do."""
        return WorkerProcess.of_this()

    def crash(self) -> None:
        """At once."""
        os._exit(1)

    def live(self) -> None:
        """Until somebody kills it."""
        time.sleep(600)


def process_of(actor: Any) -> WorkerProcess:
    """Where it lives now; asks until it does."""
    while True:
        try:
            return ray.get(actor.ready.remote())
        except ray.exceptions.RayActorError:
            continue


def mortal(_lane: int = 0) -> Any:
    """As workers are made."""
    return ray.remote(Mortal).options(num_cpus=1, max_restarts=-1, max_task_retries=0).remote()


def miss_idle(machine: Any) -> None:
    """Until the pool tells that it has no worker any more."""
    workers = WorkerSlots(Scheduler(0, 1, 0), mortal, SELDOM_RECYCLED, StartupTimeouts(none_left=2), print)
    workers.resize(1)
    workers.wait_for_first()
    lose(machine)
    try:
        while True:
            workers.resize(1)
            for answered in ray.wait(list(workers.asked), timeout=0.1)[0] if workers.asked else ():
                workers.settle(answered)
            workers.refuse_to_wait_for_ever()
    except ClusterError as error:
        print("idle", error.message)  # noqa: T201


def main(ways: Sequence[str]) -> None:
    """Dies in each of these ways: on the first machine, until that is lost."""
    memory = ALWAYS_TOO_FULL if "memory" in ways else {}
    with several_nodes(0, _system_config=QUICKLY | memory) as cluster:
        machine = add(cluster, 1)
        ray.init(address=cluster.address, log_to_driver=False)
        try:
            if ways == ["idle"]:
                miss_idle(machine)
                return
            actor = mortal()
            for way in ways:
                before = process_of(actor)
                end = actor.crash.remote() if way == "crash" else actor.live.remote()
                if way == "machine":
                    add(cluster, 1)
                    lose(machine)
                ray.wait([end])
                after = process_of(actor)
                print(way, "nothing" if after == before else cause_of_death(before).value)  # noqa: T201
        finally:
            ray.shutdown()


if __name__ == "__main__":
    main(sys.argv[1:])
