"""When none of a pool's workers has been up for too long, by a clock that the test turns."""

import pytest

from ray_import.cluster.worker_slots import AWAY_SECONDS, LOOK_SECONDS, NoWorkerTimeout, StartupTimeouts
from ray_import.errors import ClusterError, SinkBusy

PATIENCE = StartupTimeouts(none_left=60)
AWAY = SinkBusy("The database is away.")


class Looks:
    """Looks at the workers, second by second."""

    def __init__(self, patience: StartupTimeouts = PATIENCE) -> None:
        self.now = 1000.0
        self.none_up = NoWorkerTimeout(patience, self.now)

    def look(self, seconds: int, *, up: bool = False, away_every: int | None = None) -> None:
        """For so many seconds. Every so many of them a worker answers that its destination is away."""
        for second in range(1, seconds + 1):
            self.now += 1
            if away_every and second % away_every == 0:
                self.none_up.answered(AWAY)
            self.none_up.look(self.now, up=up)


def test_none_is_waited_for_without_end() -> None:
    looks = Looks()
    looks.look(60)
    with pytest.raises(ClusterError, match="No worker restarted within 61 s"):
        looks.look(1)


def test_one_that_is_up_begins_the_wait_anew() -> None:
    looks = Looks()
    looks.look(60)
    looks.look(1, up=True)
    looks.look(60)


def test_those_whose_destination_is_away_are_waited_for_longer_and_not_without_end() -> None:
    looks = Looks()
    looks.look(AWAY_SECONDS, away_every=20)
    with pytest.raises(SinkBusy, match="away"):
        looks.look(20, away_every=20)


def test_a_destination_that_was_back_may_be_away_again() -> None:
    looks = Looks()
    looks.look(AWAY_SECONDS - 1, away_every=20)
    looks.look(1, up=True)
    looks.look(AWAY_SECONDS - 1, away_every=20)


def test_one_that_answers_no_more_is_waited_for_no_longer_than_any() -> None:
    looks = Looks()
    looks.look(20, away_every=20)
    looks.look(59)  # after that answer's second
    with pytest.raises(ClusterError):
        looks.look(1)


def test_time_in_which_nobody_looked_does_not_count() -> None:
    looks = Looks()
    looks.now += 3600
    looks.look(60 - int(LOOK_SECONDS))
    with pytest.raises(ClusterError):
        looks.look(60)


@pytest.mark.parametrize("away_before", [False, True])
def test_one_that_comes_late_may_miss_its_destination_as_long_as_any(away_before: bool) -> None:
    looks = Looks(StartupTimeouts(none_left=1800))
    if away_before:  # it was lost with its machine since
        looks.look(20, away_every=20)
    looks.look(1000)
    looks.look(AWAY_SECONDS, away_every=20)
    with pytest.raises(SinkBusy):
        looks.look(40, away_every=20)
