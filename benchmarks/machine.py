"""What the figures were measured on."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

import psutil

CPUS = Path("/proc/cpuinfo")
PACKAGES = ("ray", "orjson", "msgspec", "ijson")


def describe() -> dict[str, str]:
    """CPU, memory, system and versions, for people."""
    return {
        "cpu": f"{os.cpu_count()} x {_cpu_name()}",
        "memory": f"{psutil.virtual_memory().total / 1024**3:.0f} GiB",
        "system": platform.platform(),
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
    }


def in_a_line() -> str:
    """The same to print below a table."""
    found = describe()
    return f"{found['cpu']}, {found['memory']}, {found['system']}, Python {found['python']}, Ray {found['ray']}"


def _cpu_name() -> str:
    if CPUS.exists():
        for line in CPUS.read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    return platform.machine()
