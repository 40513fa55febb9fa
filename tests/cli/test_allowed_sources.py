"""Which sources a list of users may name, as a dry run tells it: files below certain folders, public addresses."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ray_import.cli.app import app
from tests.cli.commands import PLAIN, Ended
from tests.support.gateway.postgres import Database

PROXIES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "HTTP_PROXY", "http_proxy")
NOTICE = "host names are resolved by the proxy"


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*PROXIES, "SUPABASE_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """`lists`, `exports` and `outside`, each with an export."""
    for name in ("lists", "exports", "outside"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "export.json").write_text("[]")
    return tmp_path


def listed(path: Path, sources: Mapping[str, str]) -> Path:
    path.write_text("".join(json.dumps({"user_id": user, "source": source}) + "\n" for user, source in sources.items()))
    return path


def reimport(folder: Path, *options: str | Path) -> Ended:
    """The command, in this process and in that folder."""
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        result = CliRunner(env=PLAIN).invoke(app, ["reimport", *map(str, options)])
    return Ended(result.exit_code, result.stdout_bytes, result.stderr)


def planned(folder: Path, *options: str | Path) -> Ended:
    to = () if "--to" in options else ("--to", f"sqlite:///{folder}/chunks.db")
    return reimport(folder, "--dry-run", "--json", *options, *to)


def states(result: Ended) -> dict[str, str]:
    found = {user["user_id"]: user["state"] for user in result.json["users"]}
    assert result.code == (0 if {"missing", "not_allowed"}.isdisjoint(found.values()) else 1), result
    return found


def users_in(result: Ended) -> dict[str, dict[str, Any]]:
    return {user["user_id"]: user for user in result.json["users"]}


def test_files_of_a_list_lie_below_its_own_folder_or_those_that_are_named(folders: Path) -> None:
    (folders / "lists" / "link.json").symlink_to("../outside/export.json")
    (folders / "link").symlink_to("exports")
    users = listed(
        folders / "lists" / "users.jsonl",
        {
            "own": f"{folders}/lists/export.json",
            "other": f"{folders}/exports/export.json",
            "link": f"{folders}/lists/link.json",
            "up": f"{folders}/lists/../outside/export.json",
            "relative": "lists/export.json",
            "out": "outside/export.json",
            "none": f"{folders}/lists/none.json",
            "root": "/",
        },
    )
    own = {"own": "read", "relative": "read", "none": "missing"}
    forbidden = dict.fromkeys(["link", "up", "out", "root"], "not_allowed")
    result = planned(folders, "--users", users)
    assert states(result) == own | forbidden | {"other": "not_allowed"}
    assert "--files-under" in users_in(result)["out"]["error"]
    assert users_in(result)["out"]["size_bytes"] is None
    for folder in (folders / "exports", "exports", "./link", folders / "lists" / ".." / "link"):
        assert states(planned(folders, "--users", users, "--files-under", folder)) == own | forbidden | {
            "other": "read"
        }
    both = planned(folders, "--users", users, "--files-under", "exports", "--files-under", "outside")
    assert states(both) == {
        **own,
        "other": "read",
        "root": "not_allowed",
        **dict.fromkeys(["link", "up", "out"], "read"),
    }


def test_a_list_that_is_a_link_has_the_folder_where_it_is_named_and_that_where_it_lies(folders: Path) -> None:
    """As a mounted ConfigMap has it: `users.jsonl` → `..data/users.jsonl`, and `..data` is a link, too."""
    sources = {"named": f"{folders}/lists/export.json", "lies": f"{folders}/exports/export.json"}
    listed(folders / "exports" / "users.jsonl", {**sources, "out": f"{folders}/outside/export.json"})
    (folders / "lists" / "..data").symlink_to("../exports")
    (folders / "lists" / "users.jsonl").symlink_to("..data/users.jsonl")
    expected = {"named": "read", "lies": "read", "out": "not_allowed"}
    assert states(planned(folders, "--users", "lists/users.jsonl")) == expected


def test_a_dry_run_shows_people_why_a_user_would_fail(folders: Path) -> None:
    users = listed(folders / "lists" / "users.jsonl", {"out": f"{folders}/outside/export.json"})
    result = reimport(folders, "--users", users, "--dry-run", "--to", f"sqlite:///{folders}/chunks.db")
    told = " ".join(result.out.decode().split())
    assert result.code == 1, result
    assert "is not allowed: it is not below a folder given with --files-under. (the first of 1)" in told


ADDRESSES = {
    "public": "https://files.example/ada.zip?token=xyzzy",
    "http": "http://files.example/ada.zip?token=xyzzy",
    "loopback": "https://127.0.0.1/ada.zip?token=xyzzy",
    "number": "https://2130706433/ada.zip?token=xyzzy",
    "metadata": "https://169.254.169.254/latest?token=xyzzy",
    "local": "https://localhost:8443/ada.zip?token=xyzzy",
    "internal": "http://files.internal/ada.zip?token=xyzzy",
}
ALL_READ = dict.fromkeys(ADDRESSES, "read")
PUBLIC_READ = dict.fromkeys(ADDRESSES, "not_allowed") | {"public": "read"}


def test_addresses_of_a_list_are_checked_when_that_is_asked_for(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    users = listed(folders / "lists" / "users.jsonl", ADDRESSES)
    assert states(planned(folders, "--users", users)) == ALL_READ
    result = planned(folders, "--users", users, "--public-only")
    assert states(result) == PUBLIC_READ
    assert "127.0.0.1 is not a public address" in users_in(result)["loopback"]["error"]
    assert b"xyzzy" not in result.out
    assert "xyzzy" not in result.err
    allowed = ("--allow-host", "Files.Internal.", "--allow-host", "127.0.0.1:443", "--allow-host", "localhost:1")
    result = planned(folders, "--users", users, "--public-only", *allowed)
    assert states(result) == PUBLIC_READ | {"internal": "read", "loopback": "read"}
    monkeypatch.setenv("SUPABASE_URL", "https://localhost:8443")
    assert states(planned(folders, "--users", users, "--public-only")) == PUBLIC_READ | {"local": "read"}


def test_rows_of_a_table_name_public_addresses_and_no_files_unless_that_is_allowed(
    folders: Path, migrated_database: Database
) -> None:
    rows = {**ADDRESSES, "file": f"{folders}/exports/export.json", "out": f"{folders}/outside/export.json"}
    with migrated_database.connected() as db:
        db.execute("CREATE TABLE public.profiles (user_id text, export text)")
        for row in rows.items():
            db.execute("INSERT INTO public.profiles VALUES (%s, %s)", row)
    table = ("--from-table", "profiles", "--source-column", "export", "--to", migrated_database.dsn)
    no_files = dict.fromkeys(["file", "out"], "not_allowed")
    assert states(planned(folders, *table)) == PUBLIC_READ | no_files
    assert states(planned(folders, *table, "--files-under", "exports")) == PUBLIC_READ | no_files | {"file": "read"}
    assert states(planned(folders, *table, "--no-public-only")) == ALL_READ | no_files
    assert states(planned(folders, *table, "--allow-host", "127.0.0.1"))["loopback"] == "read"


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "all_proxy"])
def test_what_a_proxy_hides_is_told_once(folders: Path, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    users = listed(folders / "lists" / "users.jsonl", ADDRESSES)
    assert NOTICE not in planned(folders, "--users", users, "--public-only").err
    monkeypatch.setenv(variable, "http://127.0.0.1:9")
    result = planned(folders, "--users", users, "--public-only")
    assert states(result) == PUBLIC_READ
    assert [line for line in result.err_lines if NOTICE in line] == [
        "--public-only: host names are resolved by the proxy, which has to reject internal addresses itself."
    ]
    assert NOTICE not in planned(folders, "--users", users).err


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (["--files-under", "none"], "--files-under none: there is no such folder"),
        (["--files-under", "users.jsonl"], "--files-under users.jsonl: there is no such folder"),
        (["--public-only", "--allow-host", ""], "is not a valid host"),
        (["--public-only", "--allow-host", "https://user:xyzzy@files.internal/x?token=xyzzy"], "is not a valid host"),
        (
            ["--public-only", "--allow-host", "files.internal/path"],
            "files.internal/path is not a valid host",
        ),
        (["--public-only", "--allow-host", "user@files.internal"], "is not a valid host"),
        (["--public-only", "--allow-host", "*.internal"], "--allow-host *.internal is not a valid host"),
        (["--public-only", "--allow-host", "files.internal:99999"], "is not a valid host"),
    ],
)
def test_an_option_for_sources_that_cannot_be_meant_is_an_error(tmp_path: Path, options: list[str], what: str) -> None:
    listed(tmp_path / "users.jsonl", {})
    result = reimport(tmp_path, "--users", "users.jsonl", "--dry-run", *options)
    assert (result.code, len(result.err_lines)) == (2, 2 if "host" in what else 1), result
    assert what in result.err
    assert "xyzzy" not in result.err
