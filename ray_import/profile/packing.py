"""Units packed whole into requests of about 12,000 tokens."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Generic, Protocol, TypeVar

from ray_import.profile.cutting import middle_of
from ray_import.profile.units import Line, Unit

PACK_TOKENS = 13_000
"""The most that the chat of one request takes, the numbers of lines included; without instructions and schema."""

OPEN_PACKS = 32
"""So many packs are filled at a time: small units fill what large ones leave, in bounded memory."""

FULL_TOKENS = PACK_TOKENS - 250
"""A pack with less room than this is not kept open."""


class Sized(Protocol):
    """A unit, or what stands for one in a plan."""

    @property
    def tokens(self) -> int: ...


S = TypeVar("S", bound=Sized)


@dataclass(frozen=True)
class Pack:
    """The units of one request. Their lines are numbered from 1 through all of them."""

    units: tuple[Unit, ...]

    @property
    def tokens(self) -> int:
        return sum(unit.tokens for unit in self.units)

    @cached_property
    def lines(self) -> tuple[tuple[Unit, Line], ...]:
        """Line 1 is the first one."""
        return tuple((unit, line) for unit in self.units for line in unit.lines)


def halves(pack: Pack) -> tuple[Pack, Pack]:
    """Two packs of about half the tokens each. Raises ValueError for a pack of one unit: that is split itself (see
    `cutting.halves_of`)."""
    if len(pack.units) < 2:
        raise ValueError("a pack of one unit has no halves")
    middle = middle_of([unit.tokens for unit in pack.units])
    return Pack(pack.units[:middle]), Pack(pack.units[middle:])


def packs_of(units: Iterable[Unit]) -> Iterator[Pack]:
    """Every unit in one pack, in memory of a few packs. The same units in the same order give the same packs."""
    return (Pack(together) for together in packed(units))


def packed(units: Iterable[S]) -> Iterator[tuple[S, ...]]:
    """As `packs_of`, for whatever has tokens: a plan counts its requests so, without the texts.

    Best fit over at most OPEN_PACKS packs; the fullest one is closed to make room for another.
    """
    open_packs = list[_Filling[S]]()
    for unit in units:
        room = PACK_TOKENS - unit.tokens
        fullest = max((pack for pack in open_packs if pack.tokens <= room), key=_tokens, default=None)
        if fullest is None:
            if len(open_packs) == OPEN_PACKS:
                yield tuple(_removed(open_packs, max(open_packs, key=_tokens)))
            open_packs.append(fullest := _Filling())
        fullest.units.append(unit)
        fullest.tokens += unit.tokens
        if fullest.tokens >= FULL_TOKENS:
            yield tuple(_removed(open_packs, fullest))
    for pack in open_packs:
        yield tuple(pack.units)


class _Filling(Generic[S]):
    """A pack that is being filled."""

    def __init__(self) -> None:
        self.units = list[S]()
        self.tokens = 0


def _tokens(pack: _Filling[S]) -> int:
    return pack.tokens


def _removed(packs: list[_Filling[S]], pack: _Filling[S]) -> list[S]:
    packs.remove(pack)
    return pack.units
