"""Which of many short texts resemble each other, without comparing each with all others.

Resemblance is Jaccard's: the share of letter triples that two texts have in common, in any script. MinHash (rensa: a
compiled wheel without dependencies) puts texts that are alike into the same bucket of at least one band; the
resemblance of the pairs found so is then computed exactly. Nothing of rensa's is stored: another version of it may find
other pairs near the bar, and no more.
"""

import heapq
import re
import unicodedata
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from operator import eq

from rensa import RMinHash

BANDS = 12
ROWS = 4
"""Hashes of a band. Of pairs that resemble each other by 0.5 the bands find half, by 0.6 81 %, by 0.7 96 %, by 0.9 all;
by 0.2, as strangers do, 2 %."""

NEIGHBOURS = 3
"""Of each bucket a text meets at most so many, those before it: a thousand texts of one form cost no more than as many
of a thousand forms. Near in order is near in words, as the texts are sorted."""

MOST_COMPARED = 6
"""The texts before it that a text is compared with: those that it met in most buckets."""

MOST_PAIRS = 3
"""The most alike of those."""

MOST_CHARACTERS = 600
"""The beginning of a text that is compared."""

_MINUS = re.compile(r"(?<!\w)[-\u2010-\u2013](?=\d)")
_LEAST_EQUAL = 16
"""Hashes, of 48, that have to be equal before the resemblance is computed: of pairs of 0.5, 99 % have so many."""
_SEED = 1
_BATCH = 1000
"""Texts whose hashes are computed, and held, at once."""


def normalised(text: str) -> str:
    """The words of `text` alone: compatible forms are one (NFKC), case, punctuation and white space do not count.

    Signs that carry meaning stay: C, C++ and C# are three, -5 is not 5. A text of nothing else stays as it is.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return (
        " ".join("".join(map(_letter, _MINUS.sub("\u2212", folded))).split())
        or folded.encode(errors="replace").decode().strip()
    )


@lru_cache(maxsize=4096)
def _letter(character: str) -> str:
    """The character where it counts, nothing for an apostrophe and what is invisible, else a blank."""
    category = unicodedata.category(character)
    if character in "'’ʼ" or category in {"Cf", "Cs"}:
        return ""
    return character if category[0] in "LNMS" or character in "#%&@" else " "


def resemblance(one: str, other: str) -> float:
    """From 0 to 1, of two texts that are normalised."""
    if one == other:
        return 1.0
    of_one, of_other = _triples(one), _triples(other)
    common = len(of_one & of_other)
    return common / (len(of_one) + len(of_other) - common)


@lru_cache(maxsize=4096)
def _triples(text: str) -> frozenset[str]:
    """The first and the last letter count as triples with blanks, so that short texts have some, too."""
    padded = f"  {text[:MOST_CHARACTERS]} "
    return frozenset(padded[i : i + 3] for i in range(len(padded) - 2))


def alike(texts: Sequence[str], least: float) -> Iterator[tuple[int, int, float]]:
    """The pairs (indexes, the lower one first) of texts that resemble each other by `least` or more, and by how much.

    `texts` are normalised, sorted and different: what is found depends on them alone. At most MOST_PAIRS for each text
    and those before it. Time and memory are linear in their number.
    """
    digests = list(_digests(texts))
    for index, met in enumerate(_met(digests)):
        often = heapq.nsmallest(MOST_COMPARED, met, key=lambda other: (-met[other], -other))
        likely = [other for other in often if sum(map(eq, digests[other], digests[index])) >= _LEAST_EQUAL]
        pairs = sorted((-resemblance(texts[other], texts[index]), other) for other in likely)[:MOST_PAIRS]
        yield from ((other, index, -by) for by, other in pairs if -by >= least)


def _met(digests: Sequence["array[int]"]) -> Iterator[Counter[int]]:
    """For each text those before it that it meets, and in how many bands. One band after the other, so that the buckets
    of a band stay small enough for a cache of the CPU."""
    found: list[list[int]] = [[] for _ in digests]
    for band in range(0, BANDS * ROWS, ROWS):
        buckets = dict[bytes, tuple[int, ...]]()
        for index, digest in enumerate(digests):
            key = digest[band : band + ROWS].tobytes()
            before = buckets.get(key, ())
            found[index] += before
            buckets[key] = (*before[1 - NEIGHBOURS :], index)
    return map(Counter, found)


def _digests(texts: Sequence[str]) -> Iterator["array[int]"]:
    for start in range(0, len(texts), _BATCH):
        triples = [_triples(text) for text in texts[start : start + _BATCH]]
        yield from (array("I", digest) for digest in RMinHash.digests_from_token_sets(triples, BANDS * ROWS, _SEED))


class Groups:
    """Each id is a group of its own at first. A group's name is its smallest id, in whatever order it was joined."""

    def __init__(self, ids: Iterable[str]) -> None:
        self._parents = {key: key for key in ids}

    def of(self, key: str) -> str:
        """The name of the group that the id is in. Raises KeyError for an unknown id."""
        parents = self._parents
        while (parent := parents[key]) != key:
            parents[key] = key = parents[parent]
        return key

    def join(self, one: str, other: str) -> None:
        """Makes one group of two."""
        first, second = sorted((self.of(one), self.of(other)))
        self._parents[second] = first
