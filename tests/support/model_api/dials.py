"""How the fake API behaves, and what goes wrong, set by a test at any time.

    api.set(latency_seconds=0.2, requests_per_minute=50)
    api.fault("drop_after", nth=[1])                  # the first call: paid for, its answer lost
    api.fault("status", status=529, chance=0.2, seed=7)
    api.fault("refuse", containing="some word of the prompt")
    api.fault("expired", chance=0.1)                  # every tenth request of a batch

Kinds that meet a call: `delay` (`seconds`), `stall`, `stall_after`, `drop`, `drop_after`, `html`, `empty`,
`half_json`, `status` (`status`, `retry_after`), `foreign_404` (a proxy's), `spend_limit`. Those with `after` happen
when the work is paid for.
Kinds that meet an answer, of a direct call or of a batch: `cut_off`, `context_window`, `refuse`, `unknown_stop`,
`pause`, `unknown_block`, `second_text`, `no_text`, `off_schema`, `not_json`, `fenced`, `no_usage`.
Kinds that meet one request of a batch: `expired`, `errored`, `canceled`, `unknown_type`.
Kinds that meet the download of a batch's results: `results_cut` (`lines`), `results_bad_line` (`lines`).
"""

import random
import re
import threading
from collections.abc import Collection
from dataclasses import dataclass, field, fields
from typing import Any

CALL_FAULTS = frozenset({
    "delay", "stall", "stall_after", "drop", "drop_after", "html", "empty", "half_json", "status", "spend_limit",
    "foreign_404",
})  # fmt: skip
ANSWER_FAULTS = frozenset({
    "cut_off", "context_window", "refuse", "unknown_stop", "pause", "unknown_block", "second_text", "no_text",
    "off_schema", "not_json", "fenced", "no_usage",
})  # fmt: skip
ITEM_FAULTS = frozenset({"expired", "errored", "canceled", "unknown_type"})
RESULTS_FAULTS = frozenset({"results_cut", "results_bad_line"})
KINDS = CALL_FAULTS | ANSWER_FAULTS | ITEM_FAULTS | RESULTS_FAULTS


@dataclass(kw_only=True)
class Dials:
    """What holds for all calls. A limit of 0 is none."""

    latency_seconds: float = 0.0
    """How long the model works on a direct call."""
    thinking_tokens: int = 20
    """An answer begins with an empty block of thinking, which costs so much output; 0 leaves it out."""
    requests_per_minute: int = 0
    input_tokens_per_minute: int = 0
    output_tokens_per_minute: int = 0
    batch_seconds: float = 0.0
    """A batch ends so long after it was created."""
    hold_batches: bool = False
    """While this is on, no batch ends."""
    shuffle_results: bool = True
    first_sentences: bool = False
    """Of a user's message without planted facts the first sentence is a fact, so that any export gives some."""
    most_facts: int = 0
    """An answer that would hold more facts is cut off: smaller packs help."""
    invented_quotes: int = 0
    """So many lies are in each answer of facts: a quote that stands nowhere."""
    wrong_numbers: int = 0
    """A planted sentence of the user, with the number of another message or of none."""
    others_words: int = 0
    """A sentence of somebody else, a title or a reply's quoted words, with the number that stands before it."""
    invented_cites: int = 0
    """So many statements of each list cite what does not exist, nothing, or words of somebody else."""
    obeys: bool = False
    """Whether the model does what planted orders say (see `planted.order`)."""

    def update(self, values: dict[str, Any]) -> None:
        """Sets some. Raises KeyError for a name that is none."""
        known = {each.name for each in fields(self)}
        for name, value in values.items():
            if name not in known:
                raise KeyError(name)
            setattr(self, name, value)


@dataclass(kw_only=True)
class Fault:
    """One thing that goes wrong, and which calls, answers or requests of a batch it meets: those whose path has `path`
    (a regular expression) and whose body has `containing`; of these all, the `nth` (from 1), or each with `chance`."""

    kind: str
    path: str = ""
    method: str = ""
    containing: str = ""
    nth: Collection[int] = ()
    chance: float = 1.0
    seed: int = 0
    seconds: float = 0.0
    status: int = 500
    retry_after: float | None = None
    lines: int = 1
    seen: int = 0
    _random: random.Random = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise KeyError(self.kind)
        self._random = random.Random(self.seed)

    def meets(self, method: str, path: str, body: str) -> bool:
        """Whether this one fails; those that fit are counted."""
        if self.method not in ("", method) or not re.search(self.path, path) or self.containing not in body:
            return False
        self.seen += 1
        if self.nth and self.seen not in self.nth:
            return False
        return self.chance >= 1 or self._random.random() < self.chance


class Faults:
    """The faults that are set. The first that fits decides."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> None:
        """Adds one, after those that are there."""
        with self._lock:
            self._faults.append(fault)

    def clear(self) -> None:
        """From now on nothing goes wrong."""
        with self._lock:
            self._faults.clear()

    def of(self, kinds: Collection[str], method: str, path: str, body: str) -> Fault | None:
        """What goes wrong, of these kinds."""
        with self._lock:
            return next((f for f in self._faults if f.kind in kinds and f.meets(method, path, body)), None)
