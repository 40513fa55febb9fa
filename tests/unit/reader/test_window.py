import io
import zlib

import pytest

from ray_import.reader.window import Window
from tests.unit.reader.streams import Dripping

DATA = bytes(range(65, 91))


def window_on(data: bytes, window_bytes: int = 4, most: int = 1 << 20) -> Window:
    return Window(Dripping(data, [most]), window_bytes, (zlib.error, OSError))


class Failing(io.BytesIO):
    """Fails once its bytes are read."""

    def __init__(self, data: bytes, error: Exception) -> None:
        super().__init__(data)
        self._error = error

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        if not data:
            raise self._error
        return data


def test_it_holds_as_much_again_each_time_it_grows() -> None:
    window = window_on(DATA)
    held = []
    while window.grow():
        held.append(window.held_bytes)
    assert held == [4, 8, 16, 26]
    assert bytes(window.data) == DATA


def test_what_lies_before_at_is_let_go_of_and_the_offset_stays_true() -> None:
    window = window_on(DATA)
    passed = 0
    while window.grow():
        assert window.offset == passed
        assert window.data[window.at :] == DATA[passed : passed + window.held_bytes]
        window.at += window.held_bytes
        passed += window.at
        assert len(window.data) <= 8
    assert (window.offset, passed, window.held_bytes) == (26, 26, 0)


def test_after_the_end_it_does_not_grow_and_keeps_what_it_has() -> None:
    window = window_on(b"abc")
    assert window.grow()
    assert not window.grow()
    assert window.ended
    assert not window.grow()
    assert bytes(window.data) == b"abc"


@pytest.mark.parametrize("most", [1, 2, 100])
def test_blanks_and_commas_are_skipped_over_as_many_reads_as_it_takes(most: int) -> None:
    window = window_on(b" \t\r\n, ,,  7 ,\n", window_bytes=1, most=most)
    assert window.skip_blank() == b"7"
    assert window.offset == 10
    window.at += 1
    assert window.skip_blank() == b""
    assert window.held_bytes == 0


def test_other_white_space_than_json_has_is_not_skipped() -> None:
    assert window_on("\u00a0{}".encode()).skip_blank() == b"\xc2"
    assert window_on(b"\f{}").skip_blank() == b"\f"


@pytest.mark.parametrize("most", [1, 2, 3, 100])
@pytest.mark.parametrize(
    ("data", "offset"), [(b"\xef\xbb\xbf[]", 3), (b"[]", 0), (b"\xef\xbb", 0), (b"", 0), (b"[\xef\xbb\xbf", 0)]
)
def test_a_byte_order_mark_is_left_out_at_the_start_alone(data: bytes, offset: int, most: int) -> None:
    window = window_on(data, window_bytes=1, most=most)
    window.skip_byte_order_mark()
    assert window.offset == offset


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (zlib.error("bad"), "its compressed data is damaged"),
        (OSError(5, "Input/output error"), "it cannot be read: Input/output error"),
    ],
)
def test_a_stream_that_fails_is_at_its_end_and_what_was_read_is_there(error: Exception, words: str) -> None:
    window = Window(Failing(b"abcdef", error), 4, (zlib.error, OSError))
    while window.grow():
        pass
    assert bytes(window.data) == b"abcdef"
    assert window.ended
    assert window.failure == words


def test_a_failure_that_is_none_of_a_stream_is_not_hidden() -> None:
    window = Window(Failing(b"", KeyError("x")), 4, (zlib.error, OSError))
    with pytest.raises(KeyError):
        window.grow()
