"""A storm, short enough for every day; `python -m benchmarks.chaos` is the long one."""

from pathlib import Path

import pytest

from benchmarks.chaos import Strength, differences, in_fair_weather, through_the_storm
from tests.support.storm_site import site

pytestmark = pytest.mark.ray

USERS = 80
SHORT = Strength(runs=2, machines=1, run_lives_s=(3.0, 5.0))
"""Both kills come while there is much to do, however fast the machine is."""


def test_whatever_is_lost_when_the_tables_are_those_of_an_undisturbed_run(tmp_path: Path) -> None:
    with site() as place:
        users = place.put(tmp_path, USERS, seed=1)
        calm = in_fair_weather(place, users)
        storm, wild = through_the_storm(place, users, seed=1, strength=SHORT)
    assert (storm.runs_killed, storm.machines) == (2, 1)
    assert storm.workers > 1
    assert differences(calm, wild) == []
    assert len(calm["import_run_users"]) == USERS
    assert (calm["import_runs"], calm["import_jobs"]) == ([], [])
