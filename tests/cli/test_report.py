"""A run over many users as tables: what it would do, and at the end which users failed or are incomplete."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from ray_import.cli.run_tables import (
    PASSED_OVER_WORDS,
    SHOWN_NOTES,
    SHOWN_USERS,
    duration,
    show_plan,
    show_report,
)
from ray_import.destinations.base import RunUser, UserState
from ray_import.pipeline.bucket import PASSED_OVER, SelectedUsers
from ray_import.pipeline.plan import BASED_ON, Plan, PlannedUser, plan_of
from ray_import.pipeline.report import RunReport
from ray_import.pipeline.users import UserSource

ANA = RunUser("ana", "ana.zip", "complete", 1)
BEN = RunUser("ben", "ben.zip", "failed", 3, error="The server is away.")
EVE = RunUser("eve", "eve.zip", "partial", 1)
REPORT = RunReport("run-1", "users.jsonl", "sqlite:///x.db", (ANA, BEN, EVE, ANA), 50_000_000, 2.0, 4)


def shown(report: RunReport) -> str:
    out = io.StringIO()
    show_report(Console(file=out, width=100), report)
    return out.getvalue()


def plan_shown(plan: Plan) -> str:
    out = io.StringIO()
    show_plan(Console(file=out, width=160), plan)
    return out.getvalue()


def test_show_report_adds_up_the_notes_of_all_users_when_there_are_some() -> None:
    noted = [replace(ANA, counts={"notes": {"not_read:group_chats.json": 1, "cycle": 2}}), replace(EVE, counts={})]
    many = replace(ANA, counts={"notes": {f"not_read:{n}.zip": 1 for n in range(SHOWN_NOTES + 3)}})
    text = " ".join(shown(replace(REPORT, users=(*noted, noted[0]))).split())
    assert "noted 4 cycle, 2 not_read:group_chats.json done in" in text
    assert "not_read:0.zip, " in shown(replace(REPORT, users=(many,)))
    assert "and 3 more names" in " ".join(shown(replace(REPORT, users=(many,))).split())
    assert "noted" not in shown(REPORT)


def test_show_report_warns_by_user_when_a_profile_is_not_up_to_date() -> None:
    warned = replace(ANA, error="The row of ana in profiles is not up to date: it is locked.")
    report = replace(REPORT, users=(warned, replace(ANA, state="skipped")))
    assert "warning" in shown(report)
    assert "The row of ana in profiles is not up to date" in shown(report)
    assert (report.exit_code, report.lacking) == (1, [])
    assert report.as_dict()["warnings"] == [{"user_id": "ana", "warning": warned.error}]
    assert "warnings" not in REPORT.as_dict()
    assert replace(report, users=(ANA,)).exit_code == 0


def test_the_end_tells_how_many_are_in_which_state_and_who_lacks_something() -> None:
    told = shown(REPORT)
    for words in (
        "run-1",
        "4: 2 complete, 1 failed, 1 partial",
        "50.0 MB in 2.0 s (25 MB/s, 4 workers)",
        "sqlite:///x",
    ):
        assert words in told
    assert [line.split()[0] for line in told.splitlines() if line.strip().startswith(("ana", "ben", "eve"))] == [
        "ben",
        "eve",
    ]
    assert "(25 MB/s, 1 worker)" in shown(replace(REPORT, workers=1))
    assert "The server is away." in told
    assert "see ray-import rejects, with the same --to" in " ".join(told.split())


def test_where_all_is_well_nobody_is_named() -> None:
    told = shown(replace(REPORT, users=(ANA,), seconds=0.0))
    assert "1: 1 complete" in told
    assert "why" not in told


def test_of_many_that_failed_the_first_are_named() -> None:
    told = shown(replace(REPORT, users=tuple(replace(BEN, user_id=f"ben-{i}") for i in range(SHOWN_USERS + 7))))
    assert told.count("ben-") == SHOWN_USERS
    assert "and 7 more" in told


def test_what_users_are_called_is_no_markup() -> None:
    bad = replace(BEN, user_id="[red]ben[/red]", error="[bold]no[/x]")
    told = shown(replace(REPORT, users=(bad,), destination="sqlite:///[b]x.db"))
    assert "sqlite:///[b]x.db" in told
    assert "[red]ben[/red]" in told
    assert "[bold]no[/x]" in told
    told = plan_shown(
        plan_of(SelectedUsers([UserSource("[b]a", "https://host/[x].zip?token=secret")]), [], {}, 2, None)
    )
    assert "[b]a" in told
    assert "https://host/[x].zip" in told
    assert "secret" not in told


def test_what_was_passed_over_is_told_by_why() -> None:
    assert set(PASSED_OVER_WORDS) == set(PASSED_OVER)
    passed_over = {"older_exports": 12, "no_exports": 3}
    told = "skipped 12 older exports, 3 files that are not exports"
    assert told in " ".join(shown(replace(REPORT, passed_over=passed_over)).split())
    assert told in " ".join(plan_shown(Plan((), 2, passed_over=passed_over)).split())
    assert "skipped nothing" in " ".join(shown(replace(REPORT, passed_over={})).split())
    assert "\nskipped" not in shown(REPORT)
    assert replace(REPORT, passed_over=passed_over).as_dict()["passed_over"] == passed_over


def test_a_plan_tells_users_totals_and_what_the_estimate_is_based_on() -> None:
    users = [PlannedUser(f"ana-{i}", f"{i}.zip", "read", 10_000_000) for i in range(SHOWN_USERS)]
    users += [PlannedUser("ben", "ben.zip", "read", None), PlannedUser("eve", "eve.zip", "unchanged", 5)]
    told = plan_shown(Plan(tuple(users), 4, goes_on="run-1"))
    assert told.count("ana-") == SHOWN_USERS
    assert "and 2 more: --json lists all" in told
    for words in ("the interrupted run run-1", "52: 51 read, 1 unchanged", "500.0 MB, and 1 exports of unknown size"):
        assert words in told
    assert "about 12 s on 4 workers" in told
    assert BASED_ON in " ".join(told.split())


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.0, "1 s"), (89.4, "89 s"), (90.0, "2 min"), (3600.0, "60 min"), (5400.0, "1.5 h"), (9e6, "2,500.0 h")],
)
def test_how_long_it_takes_is_told_in_the_unit_that_suits(seconds: float, words: str) -> None:
    assert duration(seconds) == f"about {words}"


@pytest.mark.parametrize(
    ("states", "exit_code"),
    [((), 0), (("complete", "skipped"), 0), (("complete", "failed"), 1), (("partial",), 1)],
)
def test_the_exit_code_tells_whether_all_is_in(states: tuple[UserState, ...], exit_code: int) -> None:
    users = tuple(replace(ANA, user_id=str(i), state=state) for i, state in enumerate(states))
    assert replace(REPORT, users=users).exit_code == exit_code


def test_a_program_is_told_all_that_lack_something() -> None:
    assert REPORT.as_dict() == {
        "run_id": "run-1",
        "what": "users.jsonl",
        "destination": "sqlite:///x.db",
        "users": {"all": 4, "complete": 2, "failed": 1, "partial": 1},
        "bytes_read": 50_000_000,
        "seconds": 2.0,
        "workers": 4,
        "failed": [
            {"user_id": "ben", "source": "ben.zip", "state": "failed", "attempts": 3, "error": "The server is away."},
            {"user_id": "eve", "source": "eve.zip", "state": "partial", "attempts": 1, "error": None},
        ],
    }
