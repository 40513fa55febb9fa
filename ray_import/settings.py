"""What a user may choose, checked once at the border and handed down whole."""

import hashlib
from dataclasses import dataclass, field
from typing import Literal

from ray_import.errors import ConfigError

RULES_VERSION = "3"
"""Raised whenever extraction or chunking gives other rows for the same export, so that unchanged
conversations are imported again."""

BYTES_PER_TOKEN = 4
MIN_CHUNK_TOKENS = 50
"""Below this a chunk has no room for title, label, overlap and at least one character."""

Branches = Literal["all", "active"]
Reader = Literal["auto", "framing", "ijson"]


@dataclass(frozen=True, slots=True)
class ChunkSettings:
    """The size of a chunk in tokens, estimated as UTF-8 bytes / 4; title and overlap are within it."""

    target_tokens: int = 2000
    overlap_tokens: int = 200

    def __post_init__(self) -> None:
        if self.target_tokens < MIN_CHUNK_TOKENS:
            raise ConfigError(f"--chunk-tokens {self.target_tokens} is too small: the minimum is {MIN_CHUNK_TOKENS}.")
        if not 0 <= self.overlap_tokens <= self.target_tokens // 2:
            raise ConfigError(
                f"--overlap-tokens {self.overlap_tokens} is out of range for chunks of {self.target_tokens} tokens: "
                f"0 to {self.target_tokens // 2} (half a chunk)."
            )


@dataclass(frozen=True, slots=True)
class SourcePace:
    """How slow the server of a source may be. All seconds are seconds spent waiting for the server."""

    slow_bytes_per_second: int = 1024
    slow_after_seconds: float = 30.0
    """A source that sends less than `slow_bytes_per_second` over so many seconds is slow."""
    deadline_seconds: float = 600.0
    """One second is added for each MB that the server announces (see `Waiting.deadline_seconds`)."""

    @property
    def silent_after_seconds(self) -> float:
        """Where nothing has come for so long, other users need not wait until the source turns out to be slow."""
        return self.slow_after_seconds / 3

    def __post_init__(self) -> None:
        if self.slow_bytes_per_second < 0:
            raise ConfigError(f"--slow-bytes-per-second {self.slow_bytes_per_second} is too small: the minimum is 0.")
        if not self.slow_after_seconds > 0:
            raise ConfigError(f"--slow-after-seconds {self.slow_after_seconds:g} is not valid: it must be above 0.")
        if not self.deadline_seconds > 0:
            raise ConfigError(f"--source-deadline-seconds {self.deadline_seconds:g} is not valid: it must be above 0.")


@dataclass(frozen=True, slots=True)
class AllowedHost:
    """A host that is exempt from `public_only`. `name` is in lower case ASCII, without brackets or a trailing dot;
    without a `port`, every port is meant."""

    name: str
    port: int | None = None


@dataclass(frozen=True, slots=True)
class SourceRules:
    """Which sources may be read, for lists that others have a part in. By default all may.

    Files must lie below one of the absolute folders `files_under`, links resolved; None allows all files. With
    `public_only` only https to public addresses is allowed, beside `allowed_hosts`.
    """

    files_under: tuple[str, ...] | None = None
    public_only: bool = False
    allowed_hosts: tuple[AllowedHost, ...] = ()


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """How much of an export is held at a time, and who says where a conversation ends.

    `framing` is msgspec, `ijson` the slow reader of record, `auto` the first and, where that gives up, the
    second. Of an export that is not damaged, all give the same bytes.
    """

    window_bytes: int = 512 * 1024
    max_conversation_bytes: int = 256 * 1024 * 1024
    """One that is larger is a reject (`too_large`), of which the first and last 64 KB are kept."""
    reader: Reader = "auto"
    max_download_bytes: int = 20 * 1024**3
    """Of a source on a server that gives no ranges: it goes to a temporary file."""
    pace: SourcePace = field(default_factory=SourcePace)
    """Of a source on a server."""
    sources: SourceRules = field(default_factory=SourceRules)

    def __post_init__(self) -> None:
        if self.max_conversation_bytes < 1:
            raise ConfigError(f"--max-conversation-bytes {self.max_conversation_bytes} is too small: the minimum is 1.")
        if self.max_download_bytes < 1:
            raise ConfigError(f"--max-download-bytes {self.max_download_bytes} is too small: the minimum is 1.")


@dataclass(frozen=True, slots=True)
class FlowLimits:
    """How much raw conversation travels to the workers at a time."""

    batch_bytes: int = 4 * 1024 * 1024
    """What Ray costs, it costs a batch: with 1 MB an import took 1.3 times the CPU, with 8 MB more memory."""
    batches_per_worker: int = 2
    """One is worked on while the next waits: more only takes memory."""
    max_batch_seconds: int = 60
    """CPU time, of which 4 MB take a fraction of a second, and a conversation of 256 MB some 10 s. Waiting for the
    destination takes none, nor does a busy machine."""

    @property
    def bytes_per_worker(self) -> int:
        """What may be in flight for each worker; a conversation that is larger waits until there is room for it."""
        return self.batches_per_worker * self.batch_bytes

    def __post_init__(self) -> None:
        if not 1 <= self.batch_bytes <= 32 * 1024 * 1024:
            raise ConfigError(f"--batch-bytes {self.batch_bytes} is out of range: 1 to 33554432 (32 MiB).")
        if self.max_batch_seconds < 1:
            raise ConfigError(f"--max-batch-seconds {self.max_batch_seconds} is too small: the minimum is 1.")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportOptions:
    """What an import does beside making rows, the same for each user of a run."""

    force: bool = False
    """Whether what is stored and unchanged is imported again."""
    prune: bool = False
    """Whether a complete import deletes the conversations that its export no longer has."""
    profile_table: str | None = None
    """The service's table with a row per user that shows the import."""
    profile_pending: bool = False
    """Whether that row stays at `processing` after the import, for later steps of the service."""
    is_retried: bool = False
    """Whether somebody runs the import again after an error that may pass: that row does not tell of that one."""

    def __post_init__(self) -> None:
        if self.profile_pending and self.profile_table is None:
            raise ConfigError(
                "--profile-pending needs --profile-table.", "Name the table, or leave --profile-pending out."
            )


@dataclass(frozen=True, slots=True)
class ImportSettings:
    """All that decides which rows an export becomes, and how it flows there."""

    branches: Branches = "all"
    chunks: ChunkSettings = field(default_factory=ChunkSettings)
    read: ReadLimits = field(default_factory=ReadLimits)
    flow: FlowLimits = field(default_factory=FlowLimits)
    messages: bool = True
    """Whether messages are stored beside the chunks."""

    @property
    def rows_hash(self) -> str:
        """Equal for two imports that make the same rows of the same conversation."""
        chunks = self.chunks
        what = f"{RULES_VERSION} {self.branches} {chunks.target_tokens} {chunks.overlap_tokens} {self.messages}"
        return f"sha256:{hashlib.sha256(what.encode()).hexdigest()[:32]}"
