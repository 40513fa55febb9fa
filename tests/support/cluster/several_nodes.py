"""A cluster of several nodes on this machine; one whose raylet is gone is missed after a second."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psutil
from ray._raylet import GcsClient  # type: ignore[attr-defined]
from ray.autoscaler._private.constants import AUTOSCALER_RESOURCE_REQUEST_CHANNEL
from ray.cluster_utils import Cluster

STORE_BYTES = 78_643_200
QUICKLY = {
    "health_check_initial_delay_ms": 500,
    "health_check_period_ms": 250,
    "health_check_timeout_ms": 10_000,
    "health_check_failure_threshold": 4,
}
"""A raylet that is gone refuses each check at once; one that is only slow, on a busy machine, has time to answer."""


@contextmanager
def several_nodes(cpus: int, **head: Any) -> Iterator[Any]:
    """A head with so many CPUs, to which `add` adds nodes; all of it is gone afterwards."""
    usual = {"object_store_memory": STORE_BYTES, "include_dashboard": False, "_system_config": QUICKLY}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": cpus, **usual, **head})
    try:
        yield cluster
    finally:
        cluster.shutdown()


def add(cluster: Any, cpus: int) -> Any:
    """One more node, which is up."""
    return cluster.add_node(num_cpus=cpus, object_store_memory=STORE_BYTES)


def raylet_of(node: Any) -> psutil.Process:
    """The process whose end is the node's; those of the node's workers are its children."""
    [info] = node.all_processes["raylet"]
    return psutil.Process(info.process.pid)


def lose(node: Any) -> None:
    """Ends a machine without a word, with all that runs on it: idle workers of Ray outlive their raylet."""
    raylet = raylet_of(node)
    for process in (*raylet.children(recursive=True), raylet):
        with suppress(psutil.NoSuchProcess):
            process.kill()


def cpus_asked_for(cluster: Any) -> int:
    """What an autoscaler reads there: how many CPUs the cluster is to have."""
    asked = GcsClient(address=cluster.address).internal_kv_get(AUTOSCALER_RESOURCE_REQUEST_CHANNEL, None)
    return int(sum(bundle["CPU"] for bundle in json.loads(asked))) if asked else 0
