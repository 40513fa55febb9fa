"""The Dockerfile and its requirements, without Docker."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.test_deployment import BIN, ROOT, check_command, text_of

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
