"""Unpacks gzips and what is in ZIPs: in half of zlib's time, and all that comes before damage.

A decompressor that fails keeps to itself what it had unpacked since it was called. So after a failure all is unpacked
again, without what was given already, and at the end byte by byte. Good data pays nothing for that.
"""

import bz2
import io
import lzma
import struct
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from itertools import chain, count, repeat, takewhile
from typing import TYPE_CHECKING, Any, BinaryIO

from ray_import.errors import ImporterError
from ray_import.source.reasons import TrailingData

try:
    from isal import isal_zlib as fast
except ImportError:  # there is none for this machine
    import zlib as fast  # type: ignore[no-redef]

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

READ_BYTES, PIECE_BYTES = 64 * 1024, 64 * 1024
"""More is no faster (`python -m benchmarks.inflate`). A bomb expands by one piece at a time."""

GZIP, DEFLATE = 16 + zlib.MAX_WBITS, -zlib.MAX_WBITS

MAX_DICTIONARY_BYTES = 256 * 1024 * 1024
"""Of LZMA, which holds it in memory: what 7-Zip uses at most by itself. Looking back further is damage."""

_LZMA_HEADER = struct.Struct("<2xHBI")
"""How an LZMA entry begins: the length of the properties, and these (PKWARE's APPNOTE, 5.8.8)."""

Packed = Callable[[ExitStack], BinaryIO]  # an Opener of the packed bytes
Pieces = Generator[bytes, None, None]
Unpack = Callable[[Iterator[bytes]], Pieces]  # unpacks the packed bytes as they come


class Unpacked(io.RawIOBase):
    """A stream of the pieces of a generator. What that raises is raised at the next read: nothing is lost by it."""

    def __init__(self, pieces: Pieces) -> None:
        super().__init__()
        self._pieces = pieces
        self._ready = b""
        self._failure: Exception | None = None

    def close(self) -> None:
        self._pieces.close()
        super().close()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        with memoryview(buffer) as view:
            data = self.read(len(view))
            view[: len(data)] = data
        return len(data)

    def read(self, size: int | None = -1, /) -> bytes:
        """So many bytes, fewer only before the end or a failure; without a size, all or the failure."""
        if size is None or size < 0:
            return b"".join(iter(partial(self.read, PIECE_BYTES), b""))
        parts = []
        while size and (piece := self._ready or self._next()):
            parts.append(piece[:size])
            self._ready = piece[size:]
            size -= len(parts[-1])
        if size and not parts and self._failure:
            raise self._failure
        return b"".join(parts)

    def _next(self) -> bytes:
        try:
            return next(self._pieces, b"")
        except Exception as error:  # noqa: BLE001 - whatever it is, it is raised at the next read
            self._failure = error.with_traceback(None)  # which would keep what is open
            return b""


def of_entry(packed: Packed, entry: zipfile.ZipInfo) -> Pieces:
    """What an entry holds, up to its size. Raises BadZipFile then if its checksum is another one, NotImplementedError
    if its method is not known, and what the method's decompressor raises for damage."""
    found, left, told = 0, entry.file_size, getattr(entry, "CRC", None)
    with ExitStack() as stack, suppress(EOFError):  # the checksum tells
        pieces = stack.enter_context(closing(_of_method(packed, entry)))
        while left and (piece := next(pieces, b"")[:left]):
            found, left = fast.crc32(piece, found), left - len(piece)
            yield piece
    if told not in (None, found):
        raise zipfile.BadZipFile("Bad CRC-32")


def _of_method(packed: Packed, entry: zipfile.ZipInfo) -> Pieces:
    match entry.compress_type:
        case zipfile.ZIP_STORED:
            return _stored(packed)
        case zipfile.ZIP_DEFLATED:
            return inflated(packed, DEFLATE)
        case zipfile.ZIP_BZIP2:
            return _all_before_damage(packed, _of_bz2, _of_bz2)
        case zipfile.ZIP_LZMA:
            unpack = partial(_of_lzma, size=entry.file_size)
            return _all_before_damage(packed, unpack, unpack)
    raise NotImplementedError("This compression method is not supported")


def _stored(packed: Packed) -> Pieces:
    with ExitStack() as stack:
        yield from iter(partial(packed(stack).read, PIECE_BYTES), b"")


def inflated(packed: Packed, wbits: int) -> Pieces:
    """What GZIP or DEFLATE holds. Raises zlib.error, EOFError where it is cut off, and at the end TrailingData."""
    unpack, again = (partial(_pieces, make=module.decompressobj, wbits=wbits) for module in (fast, zlib))
    return _all_before_damage(packed, unpack, again)


def _all_before_damage(packed: Packed, unpack: Unpack, again: Unpack) -> Pieces:
    """What `unpack` gives; after a failure, what `again` gives beyond that, which then raises it."""
    given, reads = 0, count()
    with _but_for_its_source(), ExitStack() as stack:
        data = (data for data, _ in zip(iter(partial(packed(stack).read, READ_BYTES), b""), reads, strict=False))
        for piece in unpack(data):
            given += len(piece)
            yield piece
        return
    with ExitStack() as stack:
        sizes = chain(repeat(READ_BYTES, max(0, next(reads) - 2)), repeat(1))
        for piece in again(takewhile(len, map(packed(stack).read, sizes))):
            if len(piece) > given:
                yield piece[given:]
            given = max(0, given - len(piece))


@contextmanager
def _but_for_its_source() -> Iterator[None]:
    """A failure comes again below, or it was none. What its source refuses is no damage, and is not asked for twice."""
    try:
        yield
    except (ImporterError, TrailingData):
        raise
    except Exception:  # noqa: BLE001, S110 - see above
        pass


def _pieces(packed: Iterator[bytes], make: Callable[[int], Any], wbits: int) -> Pieces:
    """What a decompressor that `make` makes gives; a gzip may have several parts, with zeros between and after them.

    Raises TrailingData where anything but zeros and another part follows.
    """
    data = next(packed, b"")
    while data:
        unpacker = make(wbits)
        while not unpacker.eof:
            if piece := unpacker.decompress(data, PIECE_BYTES):
                yield piece
            data = unpacker.unconsumed_tail
            if not data and len(piece) < PIECE_BYTES and not unpacker.eof and not (data := next(packed, b"")):
                raise EOFError("The packed data is cut off")
        follows: Iterator[bytes] = chain([unpacker.unused_data], packed) if wbits == GZIP else iter(())
        data = next(filter(None, (piece.lstrip(b"\0") for piece in follows)), b"")
        if len(data) == 1:
            data += next(packed, b"")
        if data and not data.startswith(b"\x1f\x8b"):
            raise TrailingData("Something follows the end of the gzip")


def _of_bz2(packed: Iterator[bytes]) -> Pieces:
    return _bounded(packed, bz2.BZ2Decompressor())


def _of_lzma(packed: Iterator[bytes], size: int) -> Pieces:
    """What an LZMA entry gives, of which `size` bytes and the rest of a piece are wanted: so far it may look back."""
    head = b""
    while len(head) < _LZMA_HEADER.size:
        if not (data := next(packed, b"")):
            raise EOFError("The packed data is cut off")
        head += data
    length, packed_bits, dictionary_bytes = _LZMA_HEADER.unpack_from(head)
    if length != 5:
        raise lzma.LZMAError("These are not properties of LZMA")
    filters = {
        "id": lzma.FILTER_LZMA1,
        "dict_size": max(4096, min(dictionary_bytes, size + PIECE_BYTES, MAX_DICTIONARY_BYTES)),
        "lc": packed_bits % 9,
        "lp": packed_bits // 9 % 5,
        "pb": packed_bits // 45,
    }
    unpacker = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[filters])
    yield from _bounded(packed, unpacker, head[_LZMA_HEADER.size :])


def _bounded(
    packed: Iterator[bytes], unpacker: bz2.BZ2Decompressor | lzma.LZMADecompressor, data: bytes = b""
) -> Pieces:
    """What a decompressor gives that keeps what it has not unpacked yet: it gets no more data before it is empty.

    `data` was read from `packed` already.
    """
    while not unpacker.eof:
        if piece := unpacker.decompress(data, PIECE_BYTES):
            yield piece
            data = b""
        elif not unpacker.eof and not (data := next(packed, b"")):
            raise EOFError("The packed data is cut off")
