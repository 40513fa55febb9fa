"""What earlier imports could not import, as the source of another one: after an upgrade, say."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ray_import.records import Problem, RawConversation
from ray_import.sink.port import KeptReject, Sink


@dataclass(slots=True)
class KeptRejects:
    """The rejects `kept` of one user, read from `sink` one at a time; see `ConversationSource`.

    Those that pass are let go of by the sink, in the transaction that puts their conversation in.
    """

    kept: Sequence[KeptReject]
    sink: Sink
    problems: list[Problem] = field(default_factory=list)
    bytes_read: int = 0

    @property
    def bytes_total(self) -> int:
        """All of them."""
        return sum(reject.size_bytes for reject in self.kept)

    @property
    def label(self) -> str:
        """How the import's source is called in its job and summary."""
        return "rejects of earlier imports"

    @property
    def may_be_empty(self) -> bool:
        """Others may have imported, or deleted, all of them meanwhile."""
        return True

    def conversations(self) -> Iterator[RawConversation]:
        """Each as it was kept, under the place where it was found."""
        for reject in self.kept:
            raw = self.sink.reject_bytes(reject.user_id, reject.raw_hash)
            self.bytes_read += reject.size_bytes
            if raw is not None:
                yield RawConversation(reject.member, reject.position, 0, raw)
