"""What a code of Postgres, PostgREST or a gateway means: try again, halve, reject a row, give up."""

import pytest

from ray_import.errors import RowsRefused, SinkBusy, SinkError, SinkOverloaded
from ray_import.sink.sqlstates import sink_error

BUSY = (
    "08000", "08003", "08006", "08P01", "53000", "53100", "53200", "53300", "53400", "57P01", "57P02", "57P03",
    "40001", "40P01", "55P03", "PGRST000", "PGRST001", "PGRST002", "PGRST003", "408", "425", "429", "500", "502", "503",
    "520", "521", "522", "523", "525", "530",
)  # fmt: skip
OVERLOADED = ("57014", "413", "504", "524", "544")
REFUSED = ("22021", "22P02", "22P05", "23502", "23505", "23514", "54000", "PGRST102")
SET_UP = ("42883", "42P01", "3F000", "PGRST202", "PGRST205")
FOR_GOOD = (
    "28P01", "28000", "3D000", "42501", "25006", "PGRST301", "PGRST303", "401", "402", "403", "404", "540", "XX000",
    "42601",
)  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (kind, code)
        for kind, codes in (
            (SinkBusy, BUSY), (SinkOverloaded, OVERLOADED), (RowsRefused, REFUSED), (SinkError, SET_UP + FOR_GOOD),
        )
        for code in codes
    ],
)  # fmt: skip
def test_a_code_has_its_error(kind: type[SinkError], code: str) -> None:
    error = sink_error(code, "what the database says")
    assert type(error) is kind
    assert error.retry == (kind is SinkBusy)
    assert code in error.message
    assert error.code == code
    assert error.hint or kind is not SinkOverloaded


@pytest.mark.parametrize("code", REFUSED)
def test_of_a_refused_row_nothing_is_told_but_the_code(code: str) -> None:
    assert "garden" not in str(sink_error(code, "Key (title)=(my garden) already exists."))


@pytest.mark.parametrize("code", SET_UP)
def test_tables_that_are_missing_lead_to_migrate(code: str) -> None:
    assert "ray-import migrate" in sink_error(code, "").hint


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("401", "SUPABASE_SERVICE_KEY"),
        ("PGRST301", "SUPABASE_SERVICE_KEY"),
        ("28P01", "PGPASSWORD"),
        ("42501", "docs/"),
    ],
)
def test_a_key_or_a_role_that_is_wrong_is_told_with_where_it_comes_from(code: str, name: str) -> None:
    assert name in sink_error(code, "").hint


def test_how_long_to_wait_is_handed_on() -> None:
    error = sink_error("429", "slow down", 7.0)
    assert isinstance(error, SinkBusy)
    assert error.retry_after_seconds == 7.0


@pytest.mark.parametrize("message", ["", "it is full", "it is full.", "it is full: "])
def test_a_message_ends_with_one_full_stop(message: str) -> None:
    told = sink_error("53100", message).message
    assert told.endswith(".")
    assert not told.endswith((": .", ".."))
