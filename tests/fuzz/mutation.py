"""What a mutation is: a broken file, and what of it was not touched."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.fuzz.exports import GoodExport


@dataclass(frozen=True, slots=True)
class Broken:
    """The text of an export after it was broken."""

    place: str
    """Where and how, for people."""
    text: bytes
    touched: frozenset[int]
    """Places of the items that may suffer; all others have to arrive."""
    instead: Mapping[int, bytes] = field(default_factory=dict)
    """What stands in the place of touched items, where that is known."""
    must_be_told: bool = False
    """Whether something has to be said even where every conversation arrives."""
    twin: int | None = None
    """The item whose id the touched one took: one of the two stays."""


@dataclass(frozen=True, slots=True)
class Mutation:
    """A broken file, as it is imported."""

    operator: str
    seed: int
    export: GoodExport
    broken: Broken
    name: str
    """The file's name."""
    file: bytes
    text_is_known: bool
    """Whether `broken.text` is what lies in the file; of a damaged archive only trying tells."""
    window_bytes: int
    batch_bytes: int

    @property
    def untouched(self) -> list[int]:
        """The places of the conversations that have to arrive whole."""
        return [i for i in self.export.conversations if i not in self.broken.touched]

    @property
    def told_as(self) -> str:
        """What was done, for people."""
        style = self.export.style
        written = [name for name in ("pretty", "ascii", "byte_order_mark") if getattr(style, name)]
        how = " ".join(["one line" if not style.pretty else "", *written]).strip()
        where = f"export {self.export.number} ({style.shape}, {how}, {len(self.export.items)} items) in {self.name}"
        return f"{self.operator}: {self.broken.place}; {where}, window {self.window_bytes}"
