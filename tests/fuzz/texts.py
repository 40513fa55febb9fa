"""Operators on the bytes of a file: cuts, and damage within one conversation or between two."""

import json
import re
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from random import Random

from tests.fuzz.exports import GoodExport
from tests.fuzz.mutation import Broken

Operator = Callable[[Random, bytes], tuple[str, bytes]]
"""Damages the bytes of one conversation and says how."""

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"')
_MARKS = b'{}[]",:\\'
_JUNK = [
    b"garbage", b"<br>", b"\xff\xfe", b"'", b"...", b"NaN", b"[redacted]", b"{", b"[", b'"', b"}", b"]", b":", b"}]}",
    b"\x00" * 100, b"-", b"tru", b"\\", b"]]", b"}}", b'"x', b"// a comment", b"/* { */", b"\xef\xbb\xbf",
]  # fmt: skip


def _insert(rng: Random, data: bytes, what: bytes, end: int = 0) -> tuple[str, bytes]:
    at = rng.randint(0, len(data) + end)
    return f"{what!r:.40} before byte {at}", data[:at] + what + data[at:]


def _overwrite(rng: Random, data: bytes, what: bytes) -> tuple[str, bytes]:
    at = rng.randrange(max(1, len(data) - len(what) + 1))
    return f"{what!r:.40} over byte {at}", data[:at] + what + data[at + len(what) :]


def _run(rng: Random, data: bytes) -> tuple[int, int]:
    start = rng.randrange(len(data))
    return start, min(len(data), start + rng.choice([2, 3, 8, 40, 200, 512, 4096]))


def delete_a_byte(rng: Random, data: bytes) -> tuple[str, bytes]:
    """Any byte."""
    at = rng.randrange(len(data))
    return f"byte {at} ({data[at : at + 1]!r}) is gone", data[:at] + data[at + 1 :]


def delete_a_mark(rng: Random, data: bytes) -> tuple[str, bytes]:
    """A bracket, quote, comma, colon or backslash, each kind as often; a first or last one now and then."""
    kinds = sorted(set(data) & set(_MARKS))
    wanted = rng.choice(kinds)
    places = [i for i, byte in enumerate(data) if byte == wanted]
    at = rng.choice([places[0], places[-1], *rng.choices(places, k=4)])
    return f"the {chr(wanted)} at byte {at} is gone", data[:at] + data[at + 1 :]


def insert_a_mark(rng: Random, data: bytes) -> tuple[str, bytes]:
    """A bracket, quote, comma, colon or backslash more, at the borders now and then."""
    what = bytes([rng.choice(_MARKS)])
    at = rng.choice([0, len(data), *(rng.randint(0, len(data)) for _ in range(6))])
    return f"{what!r} before byte {at}", data[:at] + what + data[at:]


def flip_a_bit(rng: Random, data: bytes) -> tuple[str, bytes]:
    """One bit of one byte."""
    at, bit = rng.randrange(len(data)), rng.randrange(8)
    flipped = data[at] ^ 1 << bit
    return f"byte {at} is {flipped:#04x}, not {data[at]:#04x}", data[:at] + bytes([flipped]) + data[at + 1 :]


def put_in_a_control_character(rng: Random, data: bytes) -> tuple[str, bytes]:
    """A raw one, which JSON forbids in strings; a line break may stand elsewhere."""
    return rng.choice([_insert, _overwrite])(rng, data, bytes([rng.choice([0, 1, 7, 9, 10, 13, 27, 31])]))


def put_in_bad_utf_8(rng: Random, data: bytes) -> tuple[str, bytes]:
    """Bytes that cannot stand alone, overlong forms, surrogates, what lies above the last character."""
    bad = [b"\x80", b"\xff", b"\xc3", b"\xe6\x97", b"\xf0\x9f\x98", b"\xc0\xaf", b"\xed\xa0\xbd", b"\xf5\x80\x80\x80"]
    return rng.choice([_insert, _overwrite])(rng, data, rng.choice(bad))


def break_an_escape(rng: Random, data: bytes) -> tuple[str, bytes]:
    """An escape that is none, or is cut short."""
    return _insert(rng, data, rng.choice([rb"\x", rb"\u", rb"\u12", rb"\uD83D", rb"\ ", rb"\u00G0", b"\\"]))


def overwrite_a_run(rng: Random, data: bytes) -> tuple[str, bytes]:
    """A block of a disk that holds something else: nothing, ones, marks, other bytes, the block before."""
    start, end = _run(rng, data)
    length = end - start
    block = rng.choice(
        [
            bytes(length),
            b"\xff" * length,
            b" " * length,
            bytes(rng.choices(_MARKS, k=length)),
            rng.randbytes(length),
            data[max(0, start - length) : start],
        ]
    )
    return f"bytes {start} to {end} are {block!r:.40}", data[:start] + block + data[end:]


def lose_a_run(rng: Random, data: bytes) -> tuple[str, bytes]:
    """A block that is gone."""
    start, end = _run(rng, data)
    return f"bytes {start} to {end} are gone", data[:start] + data[end:]


def double_a_run(rng: Random, data: bytes) -> tuple[str, bytes]:
    """A block that stands there twice."""
    start, end = _run(rng, data)
    return f"bytes {start} to {end} are there twice", data[:end] + data[start:end] + data[end:]


def lose_the_end(rng: Random, data: bytes) -> tuple[str, bytes]:
    """Cut off, though the file goes on."""
    at = rng.randrange(1, len(data))
    return f"all from byte {at} on is gone", data[:at]


def lose_the_beginning(rng: Random, data: bytes) -> tuple[str, bytes]:
    """Only its end is left."""
    at = rng.randrange(1, len(data))
    return f"all before byte {at} is gone", data[at:]


def double_a_comma(rng: Random, data: bytes) -> tuple[str, bytes]:
    """Also within a text, where that is no damage."""
    commas = [i for i, byte in enumerate(data) if byte == ord(",")] or [0]
    at = rng.choice(commas)
    return f"the comma at byte {at} is there twice", data[:at] + b"," + data[at:]


def in_text(operator: Operator, times: int = 1) -> Callable[[Random, GoodExport], Broken]:
    """The operator, done to one conversation, or to several that are no neighbours."""

    def broken(rng: Random, export: GoodExport) -> Broken:
        instead: dict[int, bytes] = {}
        said = []
        for _ in range(times):
            i = rng.choice(export.conversations)
            if not {i - 1, i, i + 1} & instead.keys():
                how, instead[i] = operator(rng, export.items[i])
                said.append(f"item {i}: {how}")
        return Broken("; ".join(said), export.written(instead), frozenset(instead), instead)

    return broken


def any_damage(rng: Random, data: bytes) -> tuple[str, bytes]:
    """One of the operators of this module."""
    operator = rng.choice([*IN_ONE.values()])
    return operator(rng, data)


def damage_a_border(rng: Random, export: GoodExport) -> Broken:
    """A block that lies in two neighbours and in what is between them."""
    spans, data = export.spans, export.written()
    if len(spans) < 2:
        return in_text(overwrite_a_run)(rng, export)
    i = rng.randrange(len(spans) - 1)
    start = rng.randrange(spans[i][0], spans[i][1])
    end = rng.randint(spans[i + 1][0] + 1, spans[i + 1][1])
    block = rng.choice([b"", bytes(end - start), b"\xff" * (end - start), rng.randbytes(end - start)])
    if _is_json(data[spans[i][0] : start] + block + data[end : spans[i + 1][1]]):
        block = b"\0"  # the two would be one conversation, of which nobody can tell that it was two
    place = f"bytes {start} to {end}, of items {i} and {i + 1}, are {block!r:.40}"
    return Broken(place, data[:start] + block + data[end:], frozenset([i, i + 1]), must_be_told=True)


def _is_json(data: bytes) -> bool:
    try:
        json.loads(data)
    except ValueError:
        return False
    return True


def junk_between(rng: Random, export: GoodExport) -> Broken:
    """Something between two conversations, or before the first one, or behind the last."""
    gaps = _gaps(export)
    at, name = rng.choice(gaps)
    what, data = rng.choice(_JUNK), export.written()
    return Broken(f"{what!r:.40} {name}", data[:at] + what + data[at:], frozenset(), must_be_told=True)


def commas_between(rng: Random, export: GoodExport) -> Broken:
    """A comma more or less between two conversations, or white space: nothing is lost."""
    at, name = rng.choice(_gaps(export))
    data = export.written()
    if data[at : at + 1] == b"," and rng.random() < 0.5:
        return Broken(f"no comma {name}", data[:at] + data[at + 1 :], frozenset())
    what = rng.choice([b",", b",,", b" , ", b"\n", b"\t\r\n "])
    return Broken(f"{what!r} {name}", data[:at] + what + data[at:], frozenset())


def _gaps(export: GoodExport) -> list[tuple[int, str]]:
    spans = export.spans
    if export.style.shape == "single":
        return [(spans[0][1], "behind the conversation")]
    between = [(end, f"behind item {i}") for i, (_, end) in enumerate(spans)]
    return [(spans[0][0], "before item 0"), *between]


def lose_the_frame(rng: Random, export: GoodExport) -> Broken:
    """A byte of what stands before the conversations, or behind them, is gone, or another.

    A wrapper's key `conversations` has to stay, and the first byte of a file has to be a bracket: by these alone
    it is known what the file is.
    """
    (first, _), (_, last), data = export.spans[0], export.spans[-1], export.written()
    key = data.find(b'"conversations"')
    begins = data.index(b"{" if key >= 0 else b"[") + 1 if export.style.shape != "single" else first
    before = range(begins, key) if export.style.shape == "wrapper" else range(begins, first)
    at = rng.choice([*before, *range(last, len(data))] or [len(data) - 1])
    other = rng.choice([b"", b"\0", b"\xff", b'"', b"}", b"x"])
    touched = frozenset() if export.style.shape != "single" else frozenset([0])
    return Broken(f"byte {at} ({data[at : at + 1]!r}) is {other!r}", data[:at] + other + data[at + 1 :], touched)


CUTS: dict[str, Callable[[bytes, GoodExport], list[int]]] = {
    "anywhere": lambda data, _: list(range(len(data))),
    "inside a string": lambda data, _: [i for s in _STRING.finditer(data) for i in range(s.start() + 1, s.end())],
    "in an escape": lambda data, _: [found.end() for found in re.finditer(rb"\\(?:u[0-9a-f]{0,3})?", data)],
    "in a character": lambda data, _: [i for i, byte in enumerate(data) if byte & 0xC0 == 0x80],
    "after a colon": lambda data, _: _outside(data, b":"),
    "after a comma": lambda data, _: _outside(data, b","),
    "after a bracket": lambda data, _: [i for mark in (b"{", b"}", b"[", b"]") for i in _outside(data, mark)],
    "between conversations": lambda _, export: [
        i for (_, end), (start, _) in pairwise(export.spans) for i in range(end, start + 1)
    ],
    "before the last bracket": lambda data, export: list(range(export.spans[-1][1], len(data.rstrip()))),
    "in a number or a word": lambda data, _: [f.end() - 1 for f in re.finditer(rb"[0-9]{2,}|true|false|null", data)],
}


def _outside(data: bytes, mark: bytes) -> list[int]:
    """Places right behind a mark that stands in no string."""
    blanked = _STRING.sub(lambda found: b'"' * len(found.group()), data)
    return [i + 1 for i, byte in enumerate(blanked) if byte == mark[0]]


def cut_off(where: str, rng: Random, export: GoodExport) -> Broken:
    """The file ends at such a place. Where it has none, anywhere."""
    data = export.written()
    at = rng.choice(CUTS[where](data, export) or CUTS["anywhere"](data, export))
    touched = frozenset(i for i, (_, end) in enumerate(export.spans) if end > at)
    return Broken(f"at byte {at} of {len(data)}", data[:at], touched, must_be_told=bool(data[at:].strip()))


IN_ONE: dict[str, Operator] = {
    "delete a byte": delete_a_byte,
    "delete a mark": delete_a_mark,
    "insert a mark": insert_a_mark,
    "flip a bit": flip_a_bit,
    "put in a control character": put_in_a_control_character,
    "put in bad UTF-8": put_in_bad_utf_8,
    "break an escape": break_an_escape,
    "overwrite a run": overwrite_a_run,
    "lose a run": lose_a_run,
    "double a run": double_a_run,
    "lose the end": lose_the_end,
    "lose the beginning": lose_the_beginning,
    "double a comma": double_a_comma,
}

TEXTS: dict[str, Callable[[Random, GoodExport], Broken]] = {
    **{f"cut off {where}": partial(cut_off, where) for where in CUTS},
    **{name: in_text(operator) for name, operator in IN_ONE.items()},
    "damage several": in_text(any_damage, times=4),
    "damage a border": damage_a_border,
    "junk between": junk_between,
    "commas between": commas_between,
    "lose the frame": lose_the_frame,
}
