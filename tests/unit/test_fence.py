"""Ray and the clock stay out of the unit tests, and Ray out of all code that need not know it."""

import subprocess
import sys
import time
from pathlib import Path

import orjson
import pytest

IMPORT_ALL_WITHOUT_RAY = """
import importlib, pkgutil, sys
sys.modules["ray"] = None  # from here on `import ray` raises
import ray_import
for module in pkgutil.walk_packages(ray_import.__path__, "ray_import."):
    name = module.name
    may_know_ray = name.startswith("ray_import.cluster.") and name != "ray_import.cluster.environment"
    if not may_know_ray and name != "ray_import.__main__" and not name.startswith("ray_import.cli"):
        importlib.import_module(name)
        print(name)
"""

IMPORT_ALL_OF_PROFILES_ON_RAY = """
import sys
import ray_import.cluster.metrics, ray_import.cluster.profile_run, ray_import.cli.profiles_on_ray
assert "ray_import.cluster.claude_calls" in sys.modules
print("anthropic" in sys.modules)
"""

RUN_COMMAND = """
import sys
from ray_import.cli.app import app
try:
    app(sys.argv[1:])
except SystemExit as end:
    assert not end.code, end.code
assert "ray_import.chatgpt.extract" in sys.modules
print("ray" in sys.modules, file=sys.stderr)
"""


def python(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True)


def test_a_unit_test_cannot_sleep() -> None:
    with pytest.raises(pytest.fail.Exception, match="sleeps"):
        time.sleep(0)


def test_a_unit_test_cannot_start_ray() -> None:
    ray = pytest.importorskip("ray")
    with pytest.raises(pytest.fail.Exception, match="starts Ray"):
        ray.init()


def test_all_but_the_cluster_and_the_terminal_imports_where_there_is_no_ray() -> None:
    imported = python(IMPORT_ALL_WITHOUT_RAY).stdout.split()
    assert {
        "ray_import.pipeline.reading",
        "ray_import.pipeline.engine",
        "ray_import.chunks.chunker",
        "ray_import.cluster.environment",
        "ray_import.chatgpt.extract",
        "ray_import.pipeline.one_user",
        "ray_import.destinations.sqlite.sink",
        "ray_import.source.open_export",
    } <= set(imported)


def test_profiles_on_ray_load_no_sdk_of_a_model_until_calls_are_made() -> None:
    assert python(IMPORT_ALL_OF_PROFILES_ON_RAY).stdout.split() == ["False"]


@pytest.mark.parametrize("command", ["extract", "inspect"])
def test_looking_at_an_export_does_not_load_ray(command: str, tmp_path: Path) -> None:
    message = {"author": {"role": "user"}, "content": {"parts": ["hello"]}}
    export = tmp_path / "conversations.json"
    export.write_bytes(orjson.dumps([{"id": "c", "mapping": {"a": {"message": message}}}]))
    assert python(RUN_COMMAND, command, str(export)).stderr == "False\n"
