"""What has to be in the environment before Ray is imported, since Ray reads it then. Imports no Ray."""

import os
import secrets

TRIM_BYTES = 1024 * 1024
"""What glibc may keep of freed memory at the end of its heap. By default it learns to keep ever more, for the
sake of the largest conversation that came by: 138 instead of 90 MB above idle for an export of 1 GB."""

JOB_CONFIG = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""Set by Ray where a submitted job was started: what the job was given, as JSON."""

OF_EVERY_RAY = {"RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}
"""Below `uv run`, Ray would pack the whole working directory (the export, `.env`) and hand it to every worker: into its
session's files, or to the cluster, where it stays. The workers need none of it."""

OF_OWN_RAY = {"RAY_USAGE_STATS_ENABLED": "0", "MALLOC_TRIM_THRESHOLD_": str(TRIM_BYTES)}


def joins_cluster() -> bool:
    """Whether a cluster is named, by the user or by the job that this runs in."""
    return os.environ.get("RAY_ADDRESS", "local") not in ("", "local")


def inside_job() -> bool:
    """Whether this process was started by a submitted Ray job."""
    return JOB_CONFIG in os.environ


def prepare_environment() -> None:
    """Sets the defaults of what Ray reads when it is imported. A value that the user has set stays.

    For every Ray: the working directory is not packed. For a Ray of this import's own: nothing is reported home, and
    nobody else on this machine gets in. By default Ray would leave a token file in the home directory, readable by
    all, which changes how every later `ray start` behaves. A token of this process's own leaves nothing behind, and
    needs no home.
    """
    _set_defaults(OF_EVERY_RAY)
    if joins_cluster():
        return
    _set_defaults(OF_OWN_RAY)
    if os.environ.setdefault("RAY_AUTH_MODE", "token") == "token":
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def _set_defaults(variables: dict[str, str]) -> None:
    for name, value in variables.items():
        os.environ.setdefault(name, value)
