"""The end of an import as a person reads it."""

import io
from collections import Counter

from rich.console import Console

from ray_import.cli.tables import show_summary
from ray_import.pipeline.report import Summary
from ray_import.records import Counts


def shown(counts: Counts) -> dict[str, str]:
    """The rows of the summary, by their name."""
    out = io.StringIO()
    summary = Summary("i", "local", "x.zip", "sqlite:////x.db", "complete", counts, 1_000, 0.5, 2, ())
    show_summary(Console(file=out, width=200), summary, 5.25)
    return {line[:15].strip(): line[15:].strip() for line in out.getvalue().splitlines()}


def test_summary_says_that_all_is_there_when_nothing_has_changed() -> None:
    rows = shown(Counts(seen=8, unchanged=8))
    assert rows["conversations"] == "8 seen, 8 unchanged"
    assert rows["nothing new"] == "all of them are already in the destination"
    assert not {"messages", "left out", "chunks"} & rows.keys()


def test_summary_says_what_is_not_counted_when_a_part_has_not_changed() -> None:
    rows = shown(Counts(seen=8, imported=1, unchanged=7, kept=3, chunks_written=2))
    assert rows["messages"] == "3 kept; unchanged conversations are already stored and not counted here"
    assert rows["chunks"] == "2 written, 0 deleted"


def test_summary_tells_the_time_of_the_whole_command() -> None:
    rows = shown(Counts(seen=1, imported=1, kept=2, left_out=Counter(hidden=1)))
    assert rows["done in"] == "5.2 s"
    assert rows["messages"] == "2 kept"
