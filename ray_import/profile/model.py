"""What a profile asks of a model. `profile.anthropic_api` is the one that calls Claude, the only one with its SDK."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """One request. `schema` is the JSON Schema of the answer, `input_tokens` an estimate (see `profile.settings`)."""

    custom_id: str
    model: str
    system: str
    text: str
    schema: dict[str, Any]
    max_output_tokens: int
    input_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a request is charged for, in tokens."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0


@dataclass(frozen=True, slots=True)
class RateLimit:
    """What the API tells of a limit a minute: what it is, and what was left of it when the request was answered."""

    kind: Literal["requests", "input-tokens", "output-tokens"]
    limit: int
    remaining: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What came back. `text` is the only text block; None where there is none, or where a block of an unknown type or a
    second text is beside it (`reason` says which).

    `reason` is empty for an answer that can be parsed: it ended with `end_turn`. Else: `cut_off`, `refused`,
    `unknown_stop`, `unknown_block`, `no_text`, `not_a_message`; `errored`, where the API refused this request alone
    (400, 413, 422: nothing is charged, `usage` is None); of a batch also `expired`, `canceled`.
    """

    text: str | None
    stop_reason: str
    reason: str
    usage: Usage | None
    limits: tuple[RateLimit, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchInfo:
    """A batch. `count` is the number of its requests, known from the start."""

    id: str
    status: Literal["in_progress", "canceling", "ended"]
    count: int
    created_at: str


class BatchModel(Protocol):
    """Sends and reads batches. Raises the kinds of ModelError (`ray_import.errors`): ModelBusy is worth another try,
    after `retry_after_seconds`."""

    async def create_batch(self, prompts: Sequence[Prompt]) -> BatchInfo:
        """Sends one batch, once. Raises ModelOutcomeUnknown where the answer was lost: the batch may be there; and
        ModelRejected where the API refuses the batch for what is in it, or for its size."""

    async def batches_since(self, created_at: str) -> list[BatchInfo]:
        """The batches that were created at this time or later, the oldest first."""

    async def batch(self, batch_id: str) -> BatchInfo | None:
        """How far a batch is; None where there is none of this id."""

    def results(self, batch_id: str) -> AsyncIterator[tuple[str, Reply]]:
        """The results of a batch that has ended, by custom id, in any order. Raises ModelBusy where the connection is
        lost on the way: what came before was whole."""


class Model(BatchModel, Protocol):
    """All that an API is asked for. Raises the kinds of ModelError as `BatchModel` does."""

    async def ask(self, prompt: Prompt) -> Reply:
        """Sends one request, once: nothing is tried again here."""

    async def count_tokens(self, prompt: Prompt) -> int:
        """The input tokens as the API counts them."""

    async def cancel_batch(self, batch_id: str) -> None:
        """Asks to cancel it; nothing where it has ended or is not there."""

    async def delete_batch(self, batch_id: str) -> None:
        """Deletes a batch that has ended; nothing where it is not there."""

    async def close(self) -> None:
        """Closes the connections."""
