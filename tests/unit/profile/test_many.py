"""The progress of many users as one."""

from ray_import.profile.many_users import _Together
from ray_import.profile.progress import ProfileProgress


class Shown:
    def __init__(self) -> None:
        self.last: ProfileProgress | None = None

    def show(self, progress: ProfileProgress) -> None:
        self.last = progress


def progress_of(user_id: str, requests: int, seconds: float) -> ProfileProgress:
    return ProfileProgress(
        user_id=user_id,
        step="facts",
        requests=requests,
        expected_requests=10,
        input_tokens=100 * requests,
        output_tokens=requests,
        usd=requests / 4,
        seconds=seconds,
    )


def test_progress_of_many_users_is_their_sum_when_each_has_moved_several_times() -> None:
    shown = Shown()
    together = _Together(shown, 3)
    for progress in (
        progress_of("ada", 1, 1.0),
        progress_of("ben", 2, 1.5),
        progress_of("ada", 4, 9.0),
        progress_of("ben", 3, 2.5),
    ):
        together.show(progress)
    together.done()
    together.show(progress_of("eve", 0, 0.0))
    last = shown.last
    assert last is not None
    assert (last.user_id, last.requests, last.expected_requests) == ("1 of 3 users", 7, 30)
    assert (last.input_tokens, last.output_tokens, last.usd, last.seconds) == (700, 7, 1.75, 9.0)
