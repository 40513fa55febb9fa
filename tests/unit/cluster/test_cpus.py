"""CPU quotas, on forged trees of control groups: version 1 and 2, nested, in and out of containers."""

import os
from pathlib import Path

import pytest

from ray_import.cluster.environment import available_cpus, cpu_quota


def write(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


def of_version_1(quota_us: int, period_us: int, group: str = "cpu,cpuacct") -> dict[str, str]:
    return {f"{group}/cpu.cfs_quota_us": f"{quota_us}\n", f"{group}/cpu.cfs_period_us": f"{period_us}\n"}


@pytest.mark.parametrize(
    ("files", "membership", "expected"),
    [
        pytest.param({"cpu.max": "150000 100000\n"}, "0::/\n", 1.5, id="v2-container"),
        pytest.param({"cpu.max": "max 100000\n"}, "0::/\n", None, id="v2-no-quota"),
        pytest.param({}, "0::/\n", None, id="v2-root-of-the-machine"),
        pytest.param({"a/b/cpu.max": "400000 100000", "a/cpu.max": "200000 100000"}, "0::/a/b", 2.0, id="v2-outer"),
        pytest.param({"a/b/cpu.max": "50000 100000", "a/cpu.max": "200000 100000"}, "0::/a/b", 0.5, id="v2-inner"),
        pytest.param({"a/b/cpu.max": "max 100000", "a/cpu.max": "300000 100000"}, "0::/a/b", 3.0, id="v2-max"),
        pytest.param({"a/cpu.max": "100000 100000", "other/cpu.max": "1 100000"}, "0::/a", 1.0, id="v2-not-of-others"),
        pytest.param({"cpu.max": "200000 100000"}, "0::/docker/0a1b", 2.0, id="v2-path-of-the-host"),
        pytest.param({"cpu.max": "200000 100000"}, "0::/../../x", 2.0, id="v2-path-outside"),
        pytest.param({"unified/cpu.max": "200000 100000"}, "0::/", 2.0, id="v2-hybrid"),
        pytest.param(of_version_1(250000, 100000), "4:cpu,cpuacct:/\n3:memory:/m\n", 2.5, id="v1-container"),
        pytest.param(of_version_1(-1, 100000), "4:cpu,cpuacct:/", None, id="v1-no-quota"),
        pytest.param(of_version_1(100000, 50000, "cpu"), "1:cpu:/", 2.0, id="v1-cpu-alone"),
        pytest.param(
            of_version_1(-1, 100000, "cpu/a/b") | of_version_1(150000, 50000, "cpu/a"),
            "1:cpu,cpuacct:/a/b",
            3.0,
            id="v1-nested",
        ),
        pytest.param(of_version_1(100000, 100000, "cpuset"), "1:cpuset:/", None, id="v1-another-controller"),
        pytest.param({"cpu.max": "gibberish"}, "0::/", None, id="unreadable"),
        pytest.param({"cpu.max": "100000 0"}, "0::/", None, id="no-period"),
        pytest.param({}, "", None, id="no-control-groups"),
    ],
)
def test_cpu_quota_is_the_least_on_the_way_up(
    tmp_path: Path, files: dict[str, str], membership: str, expected: float | None
) -> None:
    assert cpu_quota(write(tmp_path, files), membership) == expected


@pytest.mark.parametrize(("quota", "expected"), [("10000 100000", 1), ("190000 100000", 1), ("max 100000", None)])
def test_available_cpus_is_bounded_by_the_quota_and_never_less_than_one(
    tmp_path: Path, quota: str, expected: int | None
) -> None:
    # At the root of both versions, whichever this machine has.
    amount, period = quota.split()
    files = {"cpu.max": quota} | of_version_1(-1 if amount == "max" else int(amount), int(period), "cpu")
    machine = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert available_cpus(write(tmp_path, files)) == (machine if expected is None else expected)
