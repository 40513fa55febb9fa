"""What the driver does about conversations that the destination refuses; `Refusals` has the rule."""

from ray_import.chunks.rows import ImportJob
from ray_import.destinations.base import Sink
from ray_import.destinations.postgres.sqlstates import everything_refused
from ray_import.destinations.refusals import REFUSED, Refusals
from ray_import.errors import EverythingRefused, ImporterError, LeaseLost, SinkBusy
from ray_import.records import Counts


def refused_by_all(refusals: Refusals, job: ImportJob, sink: Sink, *, at_end: bool = False) -> EverythingRefused | None:
    """Returns the import's error if the destination refuses everything, and deletes the rejects that this caused.

    Raises SinkError.
    """
    code = refusals.code_of_all(at_end=at_end)
    if code is None:
        return None
    if sink.takes_none(job) and sink.withdraw_rejects(job, f"{REFUSED}{code}"):
        return everything_refused(code)
    refusals.taken += 1  # by a worker that has not told yet, or these were rejects before: no need to ask again
    return None


def code_to_withdraw(error: ImporterError | None, refusals: Refusals, job: ImportJob, sink: Sink) -> str | None:
    """Returns the code whose rejects must be deleted when the import ends with `error`; None if they may stay.

    An import that another error ends keeps no rejects either if everything was refused until then: to the next one
    they would look like conversations that are at fault. Raises SinkError.
    """
    if isinstance(error, EverythingRefused):
        return error.code
    # An import whose lease is lost leaves them to the one that has it now; a destination that is away is not asked.
    if error is None or isinstance(error, (LeaseLost, SinkBusy)):
        return None
    refused = refused_by_all(refusals, job, sink, at_end=True)
    return None if refused is None else refused.code


def withdraw(code: str, refusals: Refusals, counts: Counts, job: ImportJob, sink: Sink) -> None:
    """Deletes what workers have kept since, once they are done, and counts these rejects no more. Raises SinkError."""
    sink.withdraw_rejects(job, f"{REFUSED}{code}")
    withdrawn = refusals.refused.pop(code, 0)
    counts.seen -= withdrawn
    counts.rejected -= withdrawn
    if withdrawn:
        del counts.notes["rejects_not_kept"]
