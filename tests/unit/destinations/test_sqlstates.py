"""What a code of Postgres, PostgREST or a gateway means: try again, halve, reject a row, give up."""

import pytest

from ray_import.destinations.postgres.sqlstates import error_of_write, sink_error
from ray_import.destinations.refusals import unknown_user
from ray_import.errors import RowsRefused, SinkBusy, SinkError, SinkOverloaded

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
    error = sink_error(code)
    assert type(error) is kind
    assert error.retry == (kind is SinkBusy)
    assert code in error.message
    assert error.code == code
    assert error.hint or kind is not SinkOverloaded


@pytest.mark.parametrize("code", SET_UP)
def test_tables_that_are_missing_lead_to_migrate(code: str) -> None:
    assert "ray-import migrate" in sink_error(code).hint


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
    assert name in sink_error(code).hint


def test_how_long_to_wait_is_handed_on() -> None:
    error = sink_error("429", 7.0)
    assert isinstance(error, SinkBusy)
    assert error.retry_after_seconds == 7.0


@pytest.mark.parametrize("code", [*BUSY, *OVERLOADED, *REFUSED, *SET_UP, *FOR_GOOD])
def test_sink_error_ends_its_message_with_one_full_stop(code: str) -> None:
    told = sink_error(code).message
    assert told.endswith(".")
    assert not told.endswith((": .", ".."))


RAISED_BY_TRIGGERS = ("P0001", "PT503", "PGRST", "42501", "42601", "54001", "ZZZZZ")
OF_THE_SERVER = (
    "XX000", "XX001", "58000", "58030", "25001", "25006", "25P02", "28000", "28P01", "0A000", "3D000", "3F000", "42P01",
    "42883", "26000",
)  # fmt: skip


@pytest.mark.parametrize("code", [*REFUSED, *RAISED_BY_TRIGGERS])
def test_error_of_write_is_a_refused_row_when_the_code_does_not_pass_by_itself(code: str) -> None:
    error = error_of_write(sink_error(code))
    assert type(error) is RowsRefused
    assert error.code == code
    assert error.hint == sink_error(code).hint


@pytest.mark.parametrize("code", [*BUSY, *OVERLOADED, *OF_THE_SERVER, "401", "403", "540", "PGRST202", "PGRST301"])
def test_error_of_write_stays_what_it_is_when_no_row_can_be_to_blame(code: str) -> None:
    error = sink_error(code)
    assert error_of_write(error) is error


def test_error_of_write_stays_what_it_is_when_the_user_is_not_known() -> None:
    error = unknown_user("ada")
    assert error_of_write(error) is error
    assert (error.code, "ada" in error.message, error.retry) == ("23503", True, False)
