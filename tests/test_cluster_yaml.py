"""cluster.yaml passes Ray's own validator, and says what the project promises of a cluster."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def config() -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / "cluster.yaml").read_text(encoding="utf-8")))


def validate(config: dict[str, Any]) -> dict[str, Any]:
    """What `ray up` makes of the file before it asks AWS for anything."""
    prepared: dict[str, Any] = prepare_config(copy.deepcopy(config))
    validate_config(prepared)
    return prepared


def test_ray_accepts_the_file(config: dict[str, Any]) -> None:
    validate(config)


def test_an_unknown_key_is_refused(config: dict[str, Any]) -> None:
    with pytest.raises(Exception, match=r"Additional properties are not allowed.*max_wokers"):
        validate(config | {"max_wokers": 4})


def test_an_unknown_key_of_a_node_type_is_refused(config: dict[str, Any]) -> None:
    config["available_node_types"]["head"]["max_wokers"] = 4
    with pytest.raises(Exception, match=r"Additional properties are not allowed.*max_wokers"):
        validate(config)


def test_an_unknown_head_node_type_is_refused(config: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="head_node_type"):
        validate(config | {"head_node_type": "haed"})


def test_more_workers_at_least_than_at_most_are_refused(config: dict[str, Any]) -> None:
    config["available_node_types"]["head"]["min_workers"] = config["max_workers"] + 1
    with pytest.raises(ValueError, match="max_workers"):
        validate(config)


def test_no_machine_is_paid_for_that_cannot_write_to_the_destination(config: dict[str, Any]) -> None:
    """SQLite is on the head, and so are its writers: the head needs CPUs, and nobody else is of use."""
    prepared = validate(config)
    assert list(prepared["available_node_types"]) == ["head"]
    assert prepared["available_node_types"]["head"]["resources"].get("CPU") != 0
    assert prepared["max_workers"] == 0


def test_nothing_listens_without_a_token_and_the_dashboard_only_on_the_head(config: dict[str, Any]) -> None:
    prepared = validate(config)
    starts = [
        command
        for key in ("head_start_ray_commands", "worker_start_ray_commands")
        for command in prepared[key]
        if "ray start" in command
    ]
    assert len(starts) == 2
    assert all(command.startswith("RAY_AUTH_MODE=token ray start ") for command in starts)
    assert "--dashboard-host=127.0.0.1" in starts[0]


def test_what_is_copied_to_the_nodes_is_in_the_repository(config: dict[str, Any]) -> None:
    local = [path for path in config["file_mounts"].values() if not path.startswith("~")]
    assert local
    assert [path for path in local if not (ROOT / path).exists()] == []
