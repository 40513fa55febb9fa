"""The model of where a run saturates: the narrowest part decides, and each remedy moves its own part."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.saturation import KINDS, REMEDIES, Kind, Place, Speed, main, saturated_at, speed

POSTGRES, SUPABASE = KINDS
PLACE = Place()


def test_the_narrowest_part_is_the_speed_of_the_whole() -> None:
    found = Speed(workers=30, window=50, source=20, destination=10, driver=40)
    assert (found.narrowest, found.mb_s) == ("destination", 10)


def test_every_part_has_a_remedy() -> None:
    assert list(REMEDIES) == list(Speed.__slots__)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_twice_the_workers_do_twice_as_much_as_long_as_they_are_the_narrowest(kind: Kind) -> None:
    one, two = speed(2, kind, PLACE), speed(4, kind, PLACE)
    assert (one.narrowest, two.narrowest) == ("workers", "workers")
    assert two.mb_s == pytest.approx(2 * one.mb_s)


@pytest.mark.parametrize(
    ("place", "part"),
    [
        (Place(source_mb_s=1), "source"),
        (Place(database_cpus=0.01), "destination"),
        (Place(store_mb=5), "window"),
        (Place(export_mb=0.01), "driver"),
        (PLACE, "workers"),
    ],
)
def test_what_there_is_too_little_of_is_the_narrowest(place: Place, part: str) -> None:
    assert speed(8, POSTGRES, place).narrowest == part


@pytest.mark.parametrize(
    ("more", "part"),
    [({"source_mb_s": 2500.0}, "source"), ({"database_cpus": 16.0}, "destination"), ({"store_mb": 6400.0}, "window")],
)
def test_twice_as_much_of_it_lets_twice_as_much_through(more: dict[str, Any], part: str) -> None:
    before, after = speed(100, POSTGRES, PLACE), speed(100, POSTGRES, replace(PLACE, **more))
    assert getattr(after, part) == pytest.approx(2 * getattr(before, part))


def test_waiting_costs_workers_that_have_cpus_to_spare_and_a_call_that_is_free_costs_nothing() -> None:
    far, near = replace(SUPABASE, call_ms=600), replace(SUPABASE, call_ms=0)
    assert speed(8, far, PLACE).workers < speed(8, SUPABASE, PLACE).workers <= speed(8, near, PLACE).workers
    assert speed(8, near, PLACE).workers == pytest.approx(8 * 1000 / SUPABASE.whole_ms)


def test_small_exports_and_far_destinations_cost_the_driver() -> None:
    def driver(kind: Kind, export_mb: float) -> float:
        return speed(8, kind, Place(export_mb=export_mb)).driver

    assert driver(POSTGRES, 0.2) < driver(POSTGRES, 5) < driver(POSTGRES, 500)
    assert driver(SUPABASE, 5) < driver(POSTGRES, 5)


def test_runs_side_by_side_have_a_driver_each() -> None:
    one, four = speed(100, POSTGRES, PLACE), speed(100, POSTGRES, replace(PLACE, runs=4))
    assert one.narrowest == "driver"
    assert four.driver >= 4 * one.driver
    assert (four.workers, four.destination) == (one.workers, one.destination)


def test_more_workers_gain_something_until_it_saturates() -> None:
    last = saturated_at(POSTGRES, PLACE)
    assert speed(last - 1, POSTGRES, PLACE).narrowest == "workers"
    assert speed(last, POSTGRES, PLACE).narrowest != "workers"
    assert saturated_at(POSTGRES, Place(1e9, 1e9, 1e9, 1e9), most=20) == 20


def test_the_table_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--workers", "10", "--source-mb-s", "1"])
    out = capsys.readouterr().out
    assert f"where it is the source: {REMEDIES['source']}." in out


PAGE = (Path(__file__).parents[2] / "docs" / "cluster.md").read_text()
SHOWN = re.findall(r"`python -m benchmarks\.saturation([^`]*)`.*?```\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize(("options", "shown"), SHOWN, ids=[options for options, _ in SHOWN])
def test_what_the_document_shows_is_what_is_printed(
    options: str, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    main(options.split())
    printed = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert printed == shown.splitlines()


def test_the_document_shows_it_for_one_run_and_for_several() -> None:
    assert len(SHOWN) == 2
