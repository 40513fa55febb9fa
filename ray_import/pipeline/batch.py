"""What is done with a batch, wherever that is: hash, skip, extract, chunk, write, count."""

import signal
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

from ray_import.chatgpt.extract import NotAConversation, content_hash, extract, likely_id
from ray_import.chunks.chunker import chunk_conversation
from ray_import.chunks.rows import ConversationRows, ImportJob, rows_of
from ray_import.destinations.base import LedgerEntry, RejectLimits, Sink, WriteResult
from ray_import.errors import RecordError, reject_reason
from ray_import.pipeline.tally import bounded_counts
from ray_import.records import BatchResult, Counts, Frame, Reject, RejectRef
from ray_import.settings import ImportSettings


@dataclass(frozen=True, slots=True)
class BatchContext:
    """What holds for every batch of an import.

    With `retries` it is of what was rejected before. With `prune` the destination is to remember what was met. With
    `force` what is in and unchanged is imported again. Beyond `reject_limits` rejects are counted, but not kept.
    `source` tells imports of one user apart that are made by turns (see `ray_import.inline.crash_marks`).
    """

    job: ImportJob
    settings: ImportSettings
    retries: bool = False
    prune: bool = False
    force: bool = False
    reject_limits: RejectLimits | None = None
    source: str = ""


def import_batch(
    payload: bytes | memoryview, frames: Sequence[Frame], work: BatchContext, sink: Sink, *, replay: bool = False
) -> BatchResult:
    """Imports the conversations that `frames` finds in `payload`.

    With `replay` the batch was handed out before and may be in: what this import wrote itself then
    counts as imported, not as unchanged.
    """
    return _BatchWork(payload, work, sink, replay).run(frames)


class _Extracted(NamedTuple):
    """What is still needed of a conversation once it has become rows: its messages can go."""

    frame: Frame
    rows: ConversationRows
    left_out: Counter[str]
    notes: Counter[str]


class _BatchWork:
    def __init__(self, payload: bytes | memoryview, work: BatchContext, sink: Sink, replay: bool) -> None:
        self._payload = memoryview(payload)
        self._work = work
        self._sink = sink
        self._replay = replay
        self._counts = Counts()
        self._extracted: list[_Extracted] = []
        self._rejects: list[Reject] = []
        self._settled: list[str] = []
        self._unchanged: list[str] = []
        self._sink_seconds = defaultdict[str, float](float)

    def run(self, frames: Sequence[Frame]) -> BatchResult:
        began, retries = time.perf_counter(), self._sink.retries
        settings_hash = self._work.settings.rows_hash
        hashes = [content_hash(self._raw(frame)) for frame in frames]
        known: dict[str, LedgerEntry] = {}
        if not self._work.force:
            with self._on_the_sink("look_up"):
                known = self._sink.known(self._work.job.user_id, settings_hash, hashes)
        for frame, raw_hash in zip(frames, hashes, strict=True):
            self._take(frame, raw_hash, known.get(raw_hash))
        rows = [extracted.rows for extracted in self._extracted]
        with self._on_the_sink("write" if rows else "rest"):
            replaced = self._sink.write(self._work.job, settings_hash, rows, [])
        for extracted, outcome in zip(self._extracted, replaced, strict=True):
            if outcome.refused:
                self._reject(extracted.frame, f"refused:{outcome.refused}")
            else:
                self._count(extracted, outcome)
        with self._on_the_sink("rest"):
            _keep(self._rejects, self._work, self._sink, self._counts, self._settled)
            if self._work.prune:
                self._sink.mark_seen(self._work.job, self._unchanged, [one.conversation_id for one in rows])
        references = tuple(RejectRef(r.member, r.position, r.reason) for r in self._rejects)
        spent = self._sink_seconds
        return BatchResult(
            bounded_counts(self._counts), references, time.perf_counter() - began, sum(spent.values()),
            spent["look_up"], spent["write"], self._sink.retries - retries,
        )  # fmt: skip

    @contextmanager
    def _on_the_sink(self, why: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self._sink_seconds[why] += time.perf_counter() - began

    def _raw(self, frame: Frame) -> memoryview:
        return self._payload[frame.start : frame.start + frame.length]

    def _take(self, frame: Frame, raw_hash: str, known: LedgerEntry | None) -> None:
        self._counts.seen += 1
        if known is not None and not (self._replay and known.import_id == self._work.job.id):
            self._settle(raw_hash)
            self._unchanged.append(raw_hash)
            if known.message_count:
                self._counts.unchanged += 1
            else:
                self._counts.empty += 1
            return
        try:
            if frame.damage:
                raise RecordError(frame.damage)
            self._extract(frame, raw_hash)
        except Exception as error:  # noqa: BLE001 - whatever it is, it costs one conversation
            self._reject(frame, reject_reason(error))

    def _settle(self, raw_hash: str) -> None:
        """It is kept as a reject, and needs no more to be done for it."""
        if self._work.retries:
            self._settled.append(raw_hash)

    def _extract(self, frame: Frame, raw_hash: str) -> None:
        conversation = extract(self._raw(frame), self._work.settings.branches)
        if isinstance(conversation, NotAConversation):
            self._counts.not_a_conversation += 1
            self._settle(raw_hash)
            return
        settings = self._work.settings
        chunks = chunk_conversation(conversation, settings.chunks)
        rows = rows_of(conversation, raw_hash, chunks, self._work.job, messages=settings.messages)
        self._extracted.append(_Extracted(frame, rows, conversation.left_out, conversation.notes))

    def _count(self, extracted: _Extracted, outcome: WriteResult) -> None:
        counts = self._counts
        if outcome.same and not self._replay:
            counts.unchanged += 1  # the same bytes twice in one export
            return
        counts.chunks_written += outcome.written
        counts.chunks_deleted += outcome.deleted
        # Whichever copy comes first: of all that were looked at it is told what was left out …
        counts.left_out.update(extracted.left_out)
        counts.notes.update(extracted.notes)
        if outcome.older:
            self._count_older_copy()
            return
        # … and only of the one that stays what was kept.
        if outcome.own_messages is not None:
            self._count_older_copy()
            self._count_imported(outcome.own_messages, -1)
        self._count_imported(extracted.rows.message_count, 1)

    def _count_older_copy(self) -> None:
        self._counts.notes["older_copy"] += 1
        self._counts.unchanged += 1

    def _count_imported(self, messages: int, sign: int) -> None:
        self._counts.kept += sign * messages
        if messages:
            self._counts.imported += sign
        else:
            self._counts.empty += sign

    def _reject(self, frame: Frame, reason: str) -> None:
        self._counts.rejected += 1
        raw = bytes(self._raw(frame))
        self._rejects.append(_rejected(frame, reason, raw))


def reject_whole(payload: bytes, frames: Sequence[Frame], reason: str, work: BatchContext, sink: Sink) -> BatchResult:
    """Keeps all of a batch as rejects: what is done with a conversation that no worker survives."""
    rejects = [_rejected(frame, reason, payload[frame.start : frame.start + frame.length]) for frame in frames]
    counts = Counts(seen=len(rejects), rejected=len(rejects))
    _keep(rejects, work, sink, counts)
    return BatchResult(counts, tuple(RejectRef(r.member, r.position, r.reason) for r in rejects))


def _keep(
    rejects: Sequence[Reject], work: BatchContext, sink: Sink, counts: Counts, settled: Sequence[str] = ()
) -> None:
    left = sink.keep_rejects(work.job, rejects, settled, work.reject_limits)
    if left:
        counts.notes["rejects_not_kept"] += left


def _rejected(frame: Frame, reason: str, raw: bytes) -> Reject:
    return Reject(frame.member, frame.position, likely_id(raw), reason, raw)


@contextmanager
def ended_after(seconds: float) -> Iterator[None]:
    """Ends this process with SIGPROF if the body takes more than `seconds` of CPU time.

    The kernel does it, by the default action of SIGPROF: a thread, or a handler in Python, would wait for the
    interpreter's lock, which code in C (a regular expression) holds until it is done. CPU time, because waiting for
    the destination is no fault of the batch, and neither is a busy machine.
    """
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
