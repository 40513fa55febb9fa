"""render.yaml, compose.yaml, .env.example and docs/service.md, without Docker and without Render.

Render publishes its schema without a licence that would let this repository hold a copy of it. `RENDER_KEYS` and the
limits below are from its reference, https://render.com/docs/blueprint-spec.
"""

import os
import re
import shlex
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import pytest
import typer.core
import typer.main
import yaml
from dotenv import dotenv_values
from uvicorn.main import main as uvicorn_command

from ray_import.cli.app import app
from ray_import.credentials import Environment

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


# --- docs/service.md -----------------------------------------------------------------------------

SERVICE = text_of("docs/service.md")


def blocks_of(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", SERVICE, re.DOTALL | re.MULTILINE)


def test_commands_of_the_page_are_those_of_the_program_when_they_are_typed() -> None:
    code = "\n".join(re.findall(r"^```\w*\n(.*?)^```", SERVICE, re.DOTALL | re.MULTILINE))
    commands = re.findall(r"/bin/(ray-import (?:serve|work|migrate|reimport)\b[^#\n]*)", code)
    assert len(commands) >= 6
    for command in commands:
        check_command(shlex.split(command))
    nightly = [command for command in commands if "reimport" in command]
    assert {check_command(shlex.split(command))["from_bucket"] for command in nightly} == {"supabase://imports"}
    assert len(nightly) == 3


def test_render_cron_job_of_the_page_has_known_keys_when_it_is_read() -> None:
    [text] = blocks_of("yaml")
    [service] = yaml.safe_load(text)
    assert service["type"] == "cron"
    check_render(service)
    assert len(service["schedule"].split()) == 5


def test_settings_of_the_page_are_those_of_the_program_when_they_are_compared() -> None:
    table = SERVICE.partition("## Settings")[2].partition("\n## ")[0]
    named = {name for row in re.findall(r"^\| (`[^|]*)\|", table, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)}
    assert named - {name.upper() for name in Environment.model_fields} == {"RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"}
    assert {name.upper() for name in Environment.model_fields if name.startswith("ray_import_")} <= named


def test_web_flags_of_the_page_are_those_of_the_blueprint_when_they_are_compared() -> None:
    told = dict(re.findall(r"^\| `(--[a-z-]+) (\d+)` \|", SERVICE, re.MULTILINE))
    assert told == RESEARCH_FLAGS


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
