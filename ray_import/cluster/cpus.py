"""How many CPUs this process may use: its CPU affinity and the CPU quota of its container. Imports no Ray.

Quotas are those of Linux' control groups: `cpu.max` in version 2 (kernel docs, cgroup-v2.rst), `cpu.cfs_quota_us` and
`cpu.cfs_period_us` in version 1 (sched-bwc.rst). A quota of a group bounds all groups below it.
"""

import os
from contextlib import suppress
from pathlib import Path, PurePosixPath

CGROUP_ROOT = Path("/sys/fs/cgroup")


def available_cpus(cgroup_root: Path = CGROUP_ROOT) -> int:
    """The CPUs that this process may use, at least 1. A fraction of a CPU in a quota does not count."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    membership = ""
    with suppress(OSError):
        membership = Path("/proc/self/cgroup").read_text()
    quota = cpu_quota(cgroup_root, membership)
    return max(1, cpus if quota is None else min(cpus, int(quota)))


def cpu_quota(cgroup_root: Path, membership: str) -> float | None:
    """The least CPU quota of this process' groups, in CPUs; None where there is none.

    `membership` is the content of /proc/self/cgroup: lines `ID:CONTROLLERS:PATH`, without controllers for version 2.
    In a container the path may be the host's, which does not exist below `cgroup_root`: then the root holds the quota
    of the container.
    """
    quotas = []
    for line in membership.splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            mounts = [cgroup_root, cgroup_root / "unified"]
        elif "cpu" in controllers.split(","):
            mounts = [cgroup_root / controllers, cgroup_root / "cpu"]
        else:
            continue
        quotas += [quota for mount in mounts for group in _up_to(mount, path) if (quota := _quota_of(group))]
    return min(quotas, default=None)


def _up_to(mount: Path, path: str) -> list[Path]:
    """The group at `path` and all above it, `mount` included."""
    parts = PurePosixPath(path.lstrip("/")).parts
    if ".." in parts:  # the group is outside of what is mounted here
        parts = ()
    return [mount.joinpath(*parts[:depth]) for depth in range(len(parts), -1, -1)]


def _quota_of(group: Path) -> float | None:
    """The quota that this group itself has, in CPUs; None without one."""
    with suppress(OSError, ValueError, ZeroDivisionError):
        quota, period = (group / "cpu.max").read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    with suppress(OSError, ValueError, ZeroDivisionError):
        quota_us = int((group / "cpu.cfs_quota_us").read_text())
        period_us = int((group / "cpu.cfs_period_us").read_text())
        return quota_us / period_us if quota_us > 0 else None
    return None
