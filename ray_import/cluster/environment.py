"""Settings that must be in the environment before Ray is imported, and the CPUs that this process may use. Imports no
Ray.

The CPUs are those of the affinity and of the container's quota. Quotas are those of Linux control groups: `cpu.max` in
version 2 (kernel docs, cgroup-v2.rst), `cpu.cfs_quota_us` and `cpu.cfs_period_us` in version 1 (sched-bwc.rst). A quota
of a group bounds all groups below it.
"""

import os
import re
import secrets
from contextlib import suppress
from pathlib import Path, PurePosixPath

from ray_import.chatgpt.files import shown
from ray_import.errors import ConfigError
from ray_import.source.address import without_secrets

TRIM_BYTES = 1024 * 1024
"""What glibc may keep of freed memory at the end of its heap. By default it learns to keep ever more, for the
sake of the largest conversation that came by: 138 instead of 90 MB above idle for an export of 1 GB."""

JOB_CONFIG = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""Set by Ray where a submitted job was started: what the job was given, as JSON."""

OF_EVERY_RAY = {"RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}
"""Below `uv run`, Ray would pack the whole working directory (the export, `.env`) and hand it to every worker: into its
session's files, or to the cluster, where it stays. The workers need none of it."""

OF_OWN_RAY = {"RAY_USAGE_STATS_ENABLED": "0", "MALLOC_TRIM_THRESHOLD_": str(TRIM_BYTES)}

WORKER_NICENESS = "RAY_worker_niceness"
"""Ray's workers have niceness 15 by default: beside other work they get what that leaves, and miss deadlines."""


_HEAD = re.compile(r"(?:[^\s:/@\[\]]+|\[[^\s/@\[\]]+\]):([0-9]{1,5})")


def joins_cluster() -> bool:
    """Whether a cluster is named, by the user or by the job that this runs in."""
    return os.environ.get("RAY_ADDRESS", "local") not in ("", "local")


def checked_address(named: str) -> str:
    """`named` where it has the form of RAY_ADDRESS: HOST:PORT, or `auto`. Raises ConfigError."""
    found = _HEAD.fullmatch(named)
    if named != "auto" and (found is None or not 0 < int(found[1]) < 65536):
        told = "…" if "@" in named else shown(without_secrets(named))
        raise ConfigError(
            f"RAY_ADDRESS={told} is not the address of a Ray head.",
            "Use HOST:PORT (port 6379 by default) or auto, or submit jobs/import_export.py with ray job submit.",
        )
    return named


def inside_job() -> bool:
    """Whether this process was started by a submitted Ray job."""
    return JOB_CONFIG in os.environ


def prepare_environment(*, nice: bool = False) -> None:
    """Sets the defaults of what Ray reads when it is imported. A value that the user has set stays.

    For every Ray: the working directory is not packed. For a Ray of this import's own: nothing is reported home,
    nobody else on this machine gets in, and workers have the niceness of this process (with `nice`, Ray's default).
    By default Ray would leave a token file in the home directory, readable by all, which changes how every later
    `ray start` behaves. A token of this process's own leaves nothing behind, and needs no home.
    Raises ConfigError where RAY_ADDRESS has a wrong form.
    """
    _set_defaults(OF_EVERY_RAY)
    if joins_cluster():
        checked_address(os.environ["RAY_ADDRESS"])
        return
    _set_defaults(OF_OWN_RAY)
    if not nice:
        _set_defaults({WORKER_NICENESS: "0"})
    if os.environ.setdefault("RAY_AUTH_MODE", "token") == "token":
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def _set_defaults(variables: dict[str, str]) -> None:
    for name, value in variables.items():
        os.environ.setdefault(name, value)


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
