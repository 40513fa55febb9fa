"""How many rejects of one import are kept: never more, however many workers keep them, and however often."""

import multiprocessing
from contextlib import closing
from multiprocessing.synchronize import Barrier
from pathlib import Path

from ray_import.destinations.base import RejectLimits, Sink
from ray_import.pipeline.report import REJECTS_KEPT
from ray_import.records import Reject
from tests.contract.destinations import SETTINGS, DestinationUnderTest, import_of, reject_of, rows_for
from tests.contract.engines import imported, reimported
from tests.unit.pipeline.runs import batches_of_bytes
from tests.unit.source.exports import conversation, exported, written

TEN = RejectLimits(10, 1_000)
OF = import_of(1)


def damaged(*numbers: int, size: int = 10) -> list[Reject]:
    return [reject_of(b"%06d" % number + b"x" * (size - 6), number) for number in numbers]


def positions(sink: Sink) -> list[int]:
    return sorted(reject.position for reject in sink.rejects())


def test_keep_rejects_counts_the_rest_when_there_are_more_than_the_limit(sink: Sink) -> None:
    assert sink.keep_rejects(OF, damaged(*range(7)), limits=TEN) == 0
    assert sink.keep_rejects(OF, damaged(*range(7, 25)), limits=TEN) == 15
    assert positions(sink) == [*range(10)]
    assert sink.keep_rejects(OF, damaged(30, 31), limits=TEN) == 2


def test_keep_rejects_passes_over_what_is_too_large_when_smaller_ones_still_fit(sink: Sink) -> None:
    assert sink.keep_rejects(OF, damaged(0, size=600), limits=TEN) == 0
    assert sink.keep_rejects(OF, [*damaged(1, size=500), *damaged(2, size=400)], limits=TEN) == 1
    assert positions(sink) == [0, 2]
    assert sink.keep_rejects(OF, damaged(3, size=7), limits=TEN) == 1


def test_keep_rejects_gives_the_same_when_it_is_called_again(sink: Sink) -> None:
    rejects = damaged(*range(15))
    assert [sink.keep_rejects(OF, rejects, limits=TEN) for _ in range(3)] == [5, 5, 5]
    assert positions(sink) == [*range(10)]


def test_keep_rejects_does_not_count_one_twice_when_it_is_kept_already(sink: Sink) -> None:
    assert sink.keep_rejects(OF, [*damaged(0), *damaged(0), *damaged(*range(1, 10))], limits=TEN) == 0
    assert sink.keep_rejects(OF, damaged(0, 5, 11), limits=TEN) == 1
    assert positions(sink) == [*range(10)]


def test_keep_rejects_counts_those_of_an_earlier_import_when_they_are_met_again(sink: Sink) -> None:
    assert sink.keep_rejects(OF, damaged(*range(10)), limits=TEN) == 0
    later = import_of(2)
    assert sink.keep_rejects(later, damaged(*range(4)), limits=TEN) == 0
    assert sink.keep_rejects(later, damaged(*range(20, 30)), limits=TEN) == 4
    assert positions(sink) == [*range(10), *range(20, 26)]
    assert {reject.import_id for reject in sink.rejects() if reject.position < 10} == {OF.id}


def test_keep_rejects_has_limits_of_its_own_for_each_import_and_user(sink: Sink) -> None:
    for of in (OF, import_of(2), import_of(1, "u2")):
        number = 100 * int(of.id[-1]) + 1000 * (of.user_id == "u2")
        assert sink.keep_rejects(of, damaged(*range(number, number + 12)), limits=TEN) == 2
    assert len(sink.rejects()) == 30


def test_keep_rejects_keeps_all_when_there_are_no_limits(sink: Sink) -> None:
    assert sink.keep_rejects(OF, damaged(*range(150))) == 0
    assert len(sink.rejects()) == 150


def keep_together(destination: DestinationUnderTest, numbers: range, together: Barrier) -> None:
    """A process that begins with others."""
    together.wait(120)
    with closing(destination.open()) as sink:
        for number in numbers:
            sink.keep_rejects(OF, damaged(number, number + 1000), limits=TEN)


def test_keep_rejects_keeps_to_the_limit_when_several_processes_call_it(destination: DestinationUnderTest) -> None:
    destination.open().close()
    context = multiprocessing.get_context("spawn")
    together = context.Barrier(2)
    processes = [
        context.Process(target=keep_together, args=(destination, range(50 * i, 50 * i + 20), together))
        for i in range(2)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0]
    with closing(destination.open()) as sink:
        assert len(sink.rejects()) == 10


def test_a_run_keeps_a_hundred_rejects_of_an_export_and_counts_the_rest(
    destination: DestinationUnderTest, tmp_path: Path
) -> None:
    bad = [b'{"n":%d,"mapping":{},"x":NaN}' % number for number in range(120)]
    good = exported([conversation("good")])[1:-1]
    export = written(tmp_path / "conversations.json", b"[" + b",".join([good, *bad]) + b"]")
    with closing(destination.open()) as sink:
        [user] = reimported({"bob": export}, sink, batches_of_bytes(1000))
        assert (user.state, user.counts["conversations"]["rejected"]) == ("partial", 120)
        assert user.counts["notes"] == {"rejects_not_kept": 20}
        assert "20 rejects are counted but not stored" in str(user.error)
        assert len(sink.rejects()) == REJECTS_KEPT.count == 100
        [again] = reimported({"bob": export}, sink, batches_of_bytes(1000), "run-2")
        assert again.counts["notes"] == {"rejects_not_kept": 20}
        assert len(sink.rejects()) == 100
        summary = imported(export, sink, batches_of_bytes(1000))
        assert (summary.counts.rejected, summary.counts.notes) == (120, {})
        assert len(sink.rejects("ana")) == 120


def test_what_is_put_in_lets_go_of_a_reject_that_counts_for_a_limit(sink: Sink) -> None:
    sink.keep_rejects(OF, damaged(*range(10)), limits=TEN)
    passed = sink.rejects()[0].raw_hash
    sink.keep_rejects(OF, [], [passed], TEN)
    sink.write(OF, SETTINGS, [rows_for("a")], [])
    assert sink.keep_rejects(OF, damaged(20, 21), limits=TEN) == 1
    assert len(sink.rejects()) == 10
