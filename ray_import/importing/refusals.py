"""What the driver of an import does about conversations that its destination refuses; the rule is `Refusals`."""

from ray_import.chunks.rows import Import
from ray_import.errors import EverythingRefused
from ray_import.records import Counts
from ray_import.sink.port import Sink
from ray_import.sink.refusals import REFUSED, Refusals
from ray_import.sink.sqlstates import everything_refused


def refused_by_all(refusals: Refusals, of: Import, sink: Sink, *, at_end: bool = False) -> EverythingRefused | None:
    """What the import fails with if the destination refuses everything; its rejects for that are deleted then.

    Raises SinkError.
    """
    code = refusals.code_of_all(at_end=at_end)
    if code is None:
        return None
    if sink.takes_none(of) and sink.withdraw_rejects(of, f"{REFUSED}{code}"):
        return everything_refused(code)
    refusals.taken += 1  # by a worker that has not told yet, or these were rejects before: no need to ask again
    return None


def withdraw(error: EverythingRefused, refusals: Refusals, counts: Counts, of: Import, sink: Sink) -> None:
    """Deletes what workers have kept since, once they are done, and counts these rejects no more. Raises SinkError."""
    sink.withdraw_rejects(of, f"{REFUSED}{error.code}")
    withdrawn = refusals.refused.pop(error.code, 0)
    counts.seen -= withdrawn
    counts.rejected -= withdrawn
