"""A storm, short enough for every day; `python -m benchmarks.chaos` is the long one."""

from pathlib import Path

import pytest
import ray

from benchmarks.chaos import chaotic_users, differences, in_fair_weather, through_the_storm
from ray_import.cluster.session import Session

pytestmark = pytest.mark.ray


def test_whatever_is_killed_when_the_tables_are_those_of_an_undisturbed_run(session: Session, tmp_path: Path) -> None:
    address = ray.get_runtime_context().gcs_address
    users = chaotic_users(tmp_path, 60, seed=1)
    calm, wild = tmp_path / "calm.db", tmp_path / "wild.db"
    in_fair_weather(users, calm, address)
    storm = through_the_storm(users, wild, address, seed=1, most_runs_killed=2)
    assert storm.runs_killed == 2
    assert storm.workers_killed > 1
    assert differences(wild, calm) == []
