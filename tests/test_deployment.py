"""render.yaml, compose.yaml, the Dockerfile, its requirements and .env.example, without Docker and without Render.

Render publishes its schema without a licence that would let this repository hold a copy of it. `RENDER_KEYS` and the
limits below are from its reference, https://render.com/docs/blueprint-spec.
"""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import pytest
import typer.core
import typer.main
import yaml
from dotenv import dotenv_values
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from uvicorn.main import main as uvicorn_command

from ray_import.credentials import Environment
from ray_import.terminal.app import app

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
COMMON_KEYS = {
    "type",
    "name",
    "runtime",
    "plan",
    "region",
    "dockerCommand",
    "dockerfilePath",
    "dockerContext",
    "envVars",
}
LASTING_KEYS = COMMON_KEYS | {"preDeployCommand", "maxShutdownDelaySeconds", "numInstances", "scaling"}
RENDER_KEYS = {
    "web": LASTING_KEYS | {"healthCheckPath"},
    "worker": LASTING_KEYS,
    "cron": COMMON_KEYS | {"schedule"},
}
PLANS_GB = {"standard": 2, "1c-2g": 2, "pro": 4, "2c-4g": 4}
"""The plans that are large enough; `free` and `starter` have 512 MB."""
SECRETS = {
    name.upper()
    for name, field in Environment.model_fields.items()
    if "SecretStr" in str(field.annotation) or name == "supabase_url"
}
RESEARCH_FLAGS = {
    "--workers": "2",
    "--timeout-keep-alive": "65",
    "--limit-concurrency": "100",
    "--backlog": "2048",
    "--limit-max-requests": "1000",
    "--limit-max-requests-jitter": "50",
}


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def parsed(name: str) -> dict[str, Any]:
    return dict(yaml.safe_load(text_of(name)))


def check_command(words: list[str]) -> dict[str, Any]:
    """The options that the program itself reads from a command line; fails where it would refuse it."""
    program, name, *arguments = words
    assert Path(program).name == "ray-import"
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    return dict(group.commands[name].make_context(name, list(arguments)).params)


# --- requirements --------------------------------------------------------------------------------


def pins(name: str) -> dict[str, str]:
    found = re.findall(r"^([a-z0-9.-]+)==(\S+)", text_of(name), re.MULTILINE)
    return {canonicalize_name(package): version for package, version in found}


def declared(*names: str) -> list[Requirement]:
    project = tomllib.loads(text_of("pyproject.toml"))
    return [Requirement(text) for name in names for text in (
        project["build-system"]["requires"] if name == "build" else
        project["project"]["dependencies"] if name == "needed" else project["project"]["optional-dependencies"][name]
    )]  # fmt: skip


@pytest.mark.parametrize(
    ("file", "wanted"),
    [("requirements.txt", declared("needed", "serve")), ("requirements-build.txt", declared("build"))],
    ids=["run", "build"],
)
def test_requirements_are_in_step_with_pyproject_when_versions_are_compared(
    file: str, wanted: list[Requirement]
) -> None:
    pinned = pins(file)
    assert [str(one) for one in wanted if pinned.get(canonicalize_name(one.name), "") not in one.specifier] == []


def test_requirements_hold_no_former_dependency_when_pyproject_has_changed() -> None:
    packages = re.split(r"^(?=[a-z])", text_of("requirements.txt"), flags=re.MULTILINE)
    direct = {canonicalize_name(one.partition("==")[0]) for one in packages if "ray-import (pyproject.toml)" in one}
    assert direct == {canonicalize_name(one.name) for one in declared("needed", "serve")}


@pytest.mark.parametrize("file", ["requirements.txt", "requirements-build.txt"])
def test_requirements_are_pinned_by_hash_and_name_no_index_when_they_are_read(file: str) -> None:
    lines = [line for line in text_of(file).splitlines() if line.strip() and not line.lstrip().startswith("#")]
    hashed = re.compile(r"    --hash=sha256:[0-9a-f]{64}( \\)?")
    pinned = re.compile(r"[a-z0-9.-]+==\S+( ; .+)? \\")
    assert [line for line in lines if not (hashed.fullmatch(line) or pinned.fullmatch(line))] == []
    unhashed = [a for a, b in zip(lines, [*lines[1:], ""], strict=True) if pinned.fullmatch(a) and "--hash" not in b]
    assert unhashed == []
    assert "://" not in text_of(file)


# --- the image -----------------------------------------------------------------------------------


def stages() -> list[list[tuple[str, str]]]:
    """The instructions of each stage of the Dockerfile."""
    lines = [line for line in text_of("Dockerfile").splitlines() if not line.startswith("#")]
    found: list[list[tuple[str, str]]] = []
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        if line.strip():
            word, _, rest = line.partition(" ")
            if word == "FROM":
                found.append([])
            found[-1].append((word, " ".join(rest.split())))
    return found


def given(stage: list[tuple[str, str]], word: str) -> list[str]:
    return [rest for name, rest in stage if name == word]


def test_dockerfile_passes_hadolint_when_it_is_linted() -> None:
    done = subprocess.run([BIN / "hadolint", ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_hadolint_complains_when_a_dockerfile_is_bad(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM python:latest\nCMD ray-import serve\n")
    done = subprocess.run([BIN / "hadolint", tmp_path / "Dockerfile"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert {"DL3007", "DL3025"} <= set(re.findall(r"DL\d+", done.stdout))


def test_image_is_made_of_one_pinned_slim_python_when_it_is_built() -> None:
    images = {given(stage, "FROM")[0].partition(" ")[0] for stage in stages()}
    assert len(stages()) == 2
    [image] = images
    version = re.fullmatch(r"python:(3\.\d+)\.\d+-slim-[a-z]+", image)
    assert version is not None
    assert f"Programming Language :: Python :: {version[1]}" in text_of("pyproject.toml")


def test_image_installs_by_hash_alone_when_it_is_built() -> None:
    build, last = (" ".join(given(stage, "RUN")) for stage in stages())
    installs = [step for step in build.split("&&") if " install " in step]
    assert len(installs) == 3
    assert [step for step in installs if "--no-deps" not in step] == []
    assert [step for step in installs if not ("--require-hashes" in step or "--no-index" in step)] == []
    assert "pip install" not in last


def test_image_runs_without_root_and_without_build_tools_when_it_is_started() -> None:
    _, last = stages()
    assert given(last, "USER") == ["10001:10001"]
    order = [word for word, _ in last]
    assert order.index("USER") > max(at for at, word in enumerate(order) if word in ("RUN", "COPY"))
    assert given(last, "COPY") == ["--from=build /app /app"]
    [run] = given(last, "RUN")
    assert re.findall(r"apt-get install ([^&]*)", run) == ["--yes --no-install-recommends ca-certificates "]
    assert "pip uninstall" in run
    assert "PYTHONUNBUFFERED=1" in given(last, "ENV")[0]


def test_image_holds_compiled_python_when_it_is_built() -> None:
    assert [
        " ".join(given(stage, "RUN")).count("compileall -q -j 0 --invalidation-mode unchecked-hash")
        for stage in stages()
    ] == [1, 1]


def test_image_starts_the_web_service_as_its_first_process_when_no_command_is_given() -> None:
    _, last = stages()
    assert given(last, "ENTRYPOINT") == []
    words = yaml.safe_load(given(last, "CMD")[0])
    assert check_command(words)["host"] == "0.0.0.0"


def test_build_context_holds_only_what_is_copied_when_secrets_lie_beside_it() -> None:
    lines = [line for line in text_of(".dockerignore").splitlines() if line and not line.startswith("#")]
    copied = {name for rest in given(stages()[0], "COPY") for name in rest.split()[:-1]}
    assert lines[0] == "*"
    assert {line[1:] for line in lines if line.startswith("!")} == copied
    assert [name for name in copied if not (ROOT / name).exists()] == []
    after = lines[max(at for at, line in enumerate(lines) if line.startswith("!")) :]
    assert {"**/.env*", "**/*.db*"} <= set(after)


# --- compose.yaml --------------------------------------------------------------------------------


def check_schema(path: Path) -> int:
    return subprocess.run(
        [BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", path], capture_output=True, check=False
    ).returncode


def test_compose_file_passes_the_published_schema_when_it_is_checked(tmp_path: Path) -> None:
    assert check_schema(ROOT / "compose.yaml") == 0
    (tmp_path / "compose.yaml").write_text(text_of("compose.yaml").replace("healthcheck:", "healthchek:"))
    assert check_schema(tmp_path / "compose.yaml") == 1


def test_compose_starts_in_order_when_it_comes_up() -> None:
    services = parsed("compose.yaml")["services"]
    assert set(services) == {"postgres", "migrate", "serve", "work"}
    assert "--host=127.0.0.1" in services["postgres"]["healthcheck"]["test"]
    assert services["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    assert "restart" not in services["migrate"]
    for name in ("serve", "work"):
        assert services[name]["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}
        assert services[name]["restart"] == "unless-stopped"
    assert re.fullmatch(r"postgres:\d+\.\d+-[a-z]+", services["postgres"]["image"])


def test_compose_runs_commands_of_the_program_when_it_comes_up() -> None:
    services = parsed("compose.yaml")["services"]
    options = {name: check_command(services[name]["command"]) for name in ("migrate", "serve", "work")}
    assert {name: given["to"] for name, given in options.items()} == dict.fromkeys(options, "postgres")
    assert options["serve"]["host"] == "0.0.0.0"
    assert services["serve"]["ports"] == ["127.0.0.1:${PORT:-8100}:8100"]
    assert "/health" in services["serve"]["healthcheck"]["test"][-1]


def test_compose_holds_no_secret_and_asks_for_those_that_are_missing_when_it_comes_up() -> None:
    services = parsed("compose.yaml")["services"]
    values = [
        (name, value)
        for service in services.values()
        for name, value in service["environment"].items()
        if name in SECRETS | {"POSTGRES_PASSWORD"}
    ]
    assert len(values) > 8
    assert [value for _, value in values if value and "${" not in value and "ray_importer@postgres" not in value] == []
    for name in ("RAY_IMPORT_SECRET", "PGPASSWORD", "POSTGRES_PASSWORD"):
        assert f"${{{name}:?" in text_of("compose.yaml")
    for name in ("serve", "work"):
        environment = services[name]["environment"]
        assert (environment["POSTGRES_PASSWORD"], environment["SUPABASE_DB_URL"]) == ("", "")


# --- render.yaml ---------------------------------------------------------------------------------


def check_render(service: dict[str, Any]) -> None:
    assert set(service) - RENDER_KEYS[service["type"]] == set()
    assert service["runtime"] == "docker"
    assert service["plan"] in PLANS_GB
    assert 1 <= service.get("maxShutdownDelaySeconds", 30) <= 300
    for variable in service["envVars"]:
        assert variable["key"].lower() in Environment.model_fields
        secret = {"key", "sync"} == set(variable) and variable["sync"] is False
        assert secret if variable["key"] in SECRETS else set(variable) == {"key", "value"}


def of_render(kind: str) -> dict[str, Any]:
    [service] = [one for one in parsed("render.yaml")["services"] if one["type"] == kind]
    return dict(service)


def test_render_blueprint_has_known_keys_and_no_secret_when_it_is_read() -> None:
    blueprint = parsed("render.yaml")
    assert set(blueprint) == {"services"}
    assert [service["type"] for service in blueprint["services"]] == ["web", "worker"]
    for service in blueprint["services"]:
        check_render(service)
    with pytest.raises(AssertionError):
        check_render(of_render("worker") | {"healthCheckPath": "/health"})
    with pytest.raises(AssertionError):
        check_render(of_render("web") | {"plan": "starter"})


def test_render_web_service_scales_and_is_checked_when_it_is_deployed() -> None:
    web = of_render("web")
    assert web["healthCheckPath"] == "/health"
    assert web["scaling"]["minInstances"] <= web["scaling"]["maxInstances"] <= 100
    assert 1 <= web["scaling"]["targetCPUPercent"] <= 90
    assert 1 <= web["scaling"]["targetMemoryPercent"] <= 90
    assert check_command(shlex.split(web["preDeployCommand"]))["to"] == "supabase"
    assert {"key": "RAY_IMPORT_SECRET", "sync": False} in web["envVars"]


def test_web_flags_of_the_research_are_ours_and_those_of_uvicorn_when_render_starts_it() -> None:
    words = shlex.split(of_render("web")["dockerCommand"])
    assert dict(pairwise(words)).items() >= RESEARCH_FLAGS.items()
    options = check_command(words)
    assert {
        f"--{name.replace('_', '-')}": str(value) for name, value in options.items()
    }.items() >= RESEARCH_FLAGS.items()
    assert (options["host"], options["to"]) == ("0.0.0.0", "supabase")
    assert isinstance(uvicorn_command, click.Command)
    known = {name for parameter in uvicorn_command.params for name in parameter.opts}
    assert RESEARCH_FLAGS.keys() - known == set()


def test_render_worker_has_time_to_hand_its_job_back_when_it_is_stopped() -> None:
    worker = of_render("worker")
    options = check_command(shlex.split(worker["dockerCommand"]))
    assert (options["to"], options["profile_table"]) == ("supabase", "user_profiles")
    assert worker["maxShutdownDelaySeconds"] >= 60
    assert {"ANTHROPIC_API_KEY", "ALERT_WEBHOOK"} <= {variable["key"] for variable in worker["envVars"]}


# --- .env.example --------------------------------------------------------------------------------


def test_environment_example_names_all_variables_and_no_others_when_it_is_compared() -> None:
    named = re.findall(r"^#?([A-Z_]+)=", text_of(".env.example"), re.MULTILINE)
    assert sorted(named) == sorted({name.upper() for name in Environment.model_fields} | {"POSTGRES_PASSWORD"})


def test_environment_example_is_valid_and_holds_no_secret_when_it_is_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    values = dotenv_values(ROOT / ".env.example")
    assert {name: value for name, value in values.items() if name in SECRETS and value} == {}
    for name in Environment.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    assert os.environ.keys().isdisjoint(values)
    assert Environment(_env_file=ROOT / ".env.example").ray_import_buckets == "imports"
