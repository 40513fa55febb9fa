"""cluster.yaml and cluster.local.yaml pass Ray's own validator, and say what the project promises of a cluster."""

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.scripts.scripts import start

from ray_import.cluster.readers import AHEAD_OBJECTS
from ray_import.cluster.run import ACTIVE_PER_WORKER
from ray_import.cluster.session import BUDGET_SHARE
from ray_import.settings import FlowLimits

ROOT = Path(__file__).resolve().parent.parent
FILES = ("cluster.yaml", "cluster.local.yaml")
MOST_WORKERS = 12 * 8
"""Machines of cluster.yaml, and the CPUs of one."""
SPILLS_FROM = 0.8
"""Ray's own, of an object store."""


def read(name: str) -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / name).read_text(encoding="utf-8")))


@pytest.fixture(params=FILES)
def config(request: pytest.FixtureRequest) -> dict[str, Any]:
    return read(request.param)


@pytest.fixture
def aws() -> dict[str, Any]:
    return read("cluster.yaml")


def validate(config: dict[str, Any]) -> dict[str, Any]:
    """What `ray up` makes of the file before it asks anybody for anything."""
    prepared: dict[str, Any] = prepare_config(copy.deepcopy(config))
    validate_config(prepared)
    return prepared


def starts(config: dict[str, Any]) -> list[str]:
    """The commands that start Ray, the head's first."""
    found = [
        command
        for key in ("head_start_ray_commands", "worker_start_ray_commands")
        for command in validate(config)[key]
        if "ray start" in command
    ]
    assert len(found) == 2
    return found


# --- Ray's validator -----------------------------------------------------------------------------


def test_ray_accepts_the_file(config: dict[str, Any]) -> None:
    validate(config)


def test_an_unknown_key_is_refused(config: dict[str, Any]) -> None:
    with pytest.raises(Exception, match=r"Additional properties are not allowed.*max_wokers"):
        validate(config | {"max_wokers": 4})


def test_an_unknown_key_of_a_node_type_is_refused(aws: dict[str, Any]) -> None:
    aws["available_node_types"]["worker"]["max_wokers"] = 4
    with pytest.raises(Exception, match=r"Additional properties are not allowed.*max_wokers"):
        validate(aws)


def test_an_unknown_head_node_type_is_refused(aws: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="head_node_type"):
        validate(aws | {"head_node_type": "haed"})


def test_more_workers_at_least_than_at_most_are_refused(aws: dict[str, Any]) -> None:
    aws["available_node_types"]["worker"]["min_workers"] = aws["max_workers"] + 1
    with pytest.raises(ValueError, match="max_workers"):
        validate(aws)


def test_every_option_of_a_start_command_is_one_of_rays(config: dict[str, Any]) -> None:
    """The validator does not look into commands."""
    known = {name for parameter in start.params for name in parameter.opts}
    given = {option for command in starts(config) for option in re.findall(r"(?<=\s)--[a-z-]+", command)}
    assert given - known == set()
    assert "--object-spilling-directory" in given


# --- what the project promises -------------------------------------------------------------------


def test_machines_come_when_they_are_asked_for_as_spot_machines_and_go(aws: dict[str, Any]) -> None:
    prepared = validate(aws)
    worker = prepared["available_node_types"]["worker"]
    assert (worker["min_workers"], worker["max_workers"]) == (0, prepared["max_workers"])
    assert 8 * prepared["max_workers"] == MOST_WORKERS
    assert worker["node_config"]["InstanceMarketOptions"]["MarketType"] == "spot"
    assert prepared["max_workers"] > 0
    assert 0 < prepared["idle_timeout_minutes"] <= 10
    assert prepared["provider"]["cache_stopped_nodes"] is False


def test_the_head_runs_no_work_and_is_not_taken_away(aws: dict[str, Any]) -> None:
    head = validate(aws)["available_node_types"]["head"]
    assert head["resources"]["CPU"] == 0
    assert "InstanceMarketOptions" not in head["node_config"]
    assert "--num-cpus=0" in starts(read("cluster.local.yaml"))[0]


def test_all_machines_of_ones_own_are_taken_by_the_autoscaler_that_can() -> None:
    local = validate(read("cluster.local.yaml"))
    node = local["available_node_types"]["local.cluster.node"]
    assert node["min_workers"] == node["max_workers"] == len(local["provider"]["worker_ips"])
    head, _worker = starts(local)
    assert head.index("export RAY_enable_autoscaler_v2=0") < head.index("ray start")


def test_nothing_listens_without_a_token_and_the_dashboard_only_on_the_head(config: dict[str, Any]) -> None:
    head, worker = starts(config)
    for command in (head, worker):
        before_start = command.partition("ray start")[0].rpartition("&&")[2]
        assert "RAY_AUTH_MODE=token" in before_start.split()
    assert re.findall(r"--dashboard-host=(\S+)", head) == ["127.0.0.1"]


@pytest.mark.parametrize("name", FILES)
def test_tokens_and_keys_come_from_files_on_the_machines_and_are_in_none_of_ours(name: str) -> None:
    config = read(name)
    for path in ("~/.ray/auth_token", "~/.ray_import.env"):
        assert config["file_mounts"][path] == path
    for command in starts(config):
        assert "set -a && . ~/.ray_import.env && set +a && " in command
    text = (ROOT / name).read_text(encoding="utf-8")
    assert re.findall(r"(?:TOKEN|KEY|URL|PASSWORD|WEBHOOK)\w*\s*[=:]\s*\S", text) == []
    assert re.findall(r"[0-9a-zA-Z+/_-]{32,}", text) == []


def test_the_object_stores_are_alike_and_enough_for_the_most_workers(config: dict[str, Any]) -> None:
    [store] = {int(size) for command in starts(config) for size in re.findall(r"memory=(\d+)", command)}
    in_flight = MOST_WORKERS * FlowLimits().bytes_per_worker
    held_by_readers = MOST_WORKERS * ACTIVE_PER_WORKER * AHEAD_OBJECTS // 2 * FlowLimits().batch_bytes
    assert in_flight <= BUDGET_SHARE * store
    assert in_flight + held_by_readers <= SPILLS_FROM * store


def test_what_is_copied_to_the_nodes_is_in_the_repository(config: dict[str, Any]) -> None:
    local = [path for path in config["file_mounts"].values() if not path.startswith("~")]
    assert local
    assert [path for path in local if not (ROOT / path).exists()] == []
