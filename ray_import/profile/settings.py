"""What a person may choose of a profile, checked once at the border, and the limits that nobody chooses.

Tokens are counted without a tokenizer: UTF-8 bytes / 3.1, rounded up. Today's tokenizer gives about 30 % more tokens
than the one for which 4 bytes per token were measured.
"""

from dataclasses import dataclass
from typing import Literal, get_args

from ray_import.errors import ConfigError

DEFAULT_MODEL = "claude-haiku-5-5"

MAX_EXPIRED = 3
"""Of a unit in one run: how often it is sent again because its batch expired or the answer was lost."""

IN_FLIGHT = 8
"""Direct calls at the same time: at most so many are paid for twice when the process is killed."""

BATCH_REQUESTS = 200
"""Requests of one batch: about 10 MB, which are in memory at once."""

POLL_SECONDS = 30.0
"""Between two looks at a batch."""

LOST_BATCH_SECONDS = 120.0
"""For how long a batch whose creation was not answered is looked for, while none is found."""

CLOCK_SKEW_SECONDS = 300
"""By so much the API's clock may be behind ours when a lost batch is looked for."""

MERGE_ROUNDS = 3
"""What a decision makes unclear anew is asked in the next round; what is left after so many stays apart."""

MERGE_TOKENS = 30_000
"""Input tokens of the merge questions of one run; what is left is asked by the next run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileSettings:
    """How profiles are made. `max_cost_usd` is for the whole command. `in_batches`: by Message Batches, at half the
    price, in place of direct calls."""

    model: str = DEFAULT_MODEL
    in_batches: bool = False
    quick_only: bool = False
    max_cost_usd: float | None = None
    profile_table: str | None = None
    is_retried: bool = False
    """Whether somebody makes the profile again after an error that may pass: the front end is not told of that one."""
    in_flight: int = IN_FLIGHT
    poll_seconds: float = POLL_SECONDS
    lost_batch_seconds: float = LOST_BATCH_SECONDS

    def __post_init__(self) -> None:
        if self.max_cost_usd is not None and not self.max_cost_usd > 0:
            raise ConfigError(f"--max-cost {self.max_cost_usd:g} is not valid: it must be above 0.")
        if not self.model.strip() or not self.model.isascii() or not self.model.isprintable():
            raise ConfigError("--model is not the name of a model.", f"Use a name such as {DEFAULT_MODEL}.")


Category = Literal[
    "preference", "project", "date", "belief", "decision", "person", "work", "interest", "communication"
]  # fmt: skip

CATEGORIES: tuple[Category, ...] = get_args(Category)


def tokens_of_bytes(size_bytes: int) -> int:
    """The estimate for a text of this many UTF-8 bytes."""
    return -(-size_bytes * 10 // 31)


def bytes_of_tokens(tokens: int) -> int:
    """The largest text, in UTF-8 bytes, that takes no more than `tokens`."""
    return tokens * 31 // 10


def utf8_length(text: str) -> int:
    """The length in UTF-8 bytes. Half a surrogate pair counts as one byte: it is shown as another character."""
    return len(text) if text.isascii() else len(text.encode(errors="replace"))


def tokens_of(text: str) -> int:
    """The estimate for `text`."""
    return tokens_of_bytes(utf8_length(text))
