"""Users are shared among workers, and taken up again when a worker is lost."""

from ray_import.profile.many_users import MOST_LOSSES, Assignments


def given(assignments: Assignments, worker: int, workers: int = 1) -> list[str]:
    """All users that this worker takes now."""
    found = []
    while (user_id := assignments.next_for(worker, workers)) is not None:
        found.append(user_id)
    return found


def test_users_are_shared_evenly_when_there_are_fewer_than_workers_could_take() -> None:
    assignments = Assignments(["a", "b", "c", "d", "e"], at_once=16)
    assert given(assignments, 0, 2) == ["a", "b", "c"]
    assert given(assignments, 1, 2) == ["d", "e"]
    assert assignments.open == 5


def test_worker_takes_the_next_user_when_one_has_ended() -> None:
    assignments = Assignments(["a", "b", "c"], at_once=1)
    assert given(assignments, 0) == ["a"]
    assignments.done(0, "a")
    assert given(assignments, 0) == ["b"]
    assert assignments.open == 2


def test_users_are_taken_up_again_when_their_worker_is_lost() -> None:
    assignments = Assignments(["a", "b", "c"], at_once=2)
    assert given(assignments, 0) == ["a", "b"]
    assert assignments.users_of(0) == ["a", "b"]
    assert assignments.lost(0) == []
    assert assignments.open == 3
    assert sorted(given(assignments, 1)) == ["a", "b"]


def test_only_the_user_who_ends_workers_is_given_up_when_others_were_beside_them() -> None:
    assignments = Assignments(["bad", *map(str, range(20))], at_once=8)
    ended: list[str] = []
    given_up: list[str] = []
    for worker in range(100):
        given(assignments, worker)
        while assignments.users_of(worker) and "bad" not in assignments.users_of(worker):
            user_id = assignments.users_of(worker)[0]
            assignments.done(worker, user_id)
            ended.append(user_id)
            given(assignments, worker)
        given_up += assignments.lost(worker)
    assert given_up == ["bad"]
    assert sorted(ended, key=int) == [str(number) for number in range(20)]
    assert assignments.open == 0


def test_user_is_given_up_after_so_many_losses_when_it_is_alone() -> None:
    assignments = Assignments(["bad"], at_once=1)
    lost = []
    for worker in range(MOST_LOSSES):
        assert given(assignments, worker) == ["bad"]
        lost.append(assignments.lost(worker))
    assert lost == [[], [], ["bad"]]
    assert assignments.open == 0


def test_nobody_waits_when_those_who_wait_are_given_up() -> None:
    assignments = Assignments(["a", "b", "b", "c"], at_once=1)
    assert given(assignments, 0) == ["a"]
    assert assignments.give_up_waiting() == ["b", "c"]
    assert assignments.open == 1
