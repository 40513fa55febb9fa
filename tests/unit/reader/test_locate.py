import json

import pytest

from ray_import.reader.locate import Shape, locate
from ray_import.reader.window import Window
from tests.unit.reader.streams import Dripping
from tests.unit.source.exports import BYTE_ORDER_MARK, conversation

SINGLE = json.dumps(conversation("c1", "[{", '"conversations": [')).encode()


def located(data: bytes, most: int, window_bytes: int) -> tuple[Shape, bytes]:
    """The shape, and what lies from the place on that was found."""
    window = Window(Dripping(data, [most]), window_bytes, ())
    shape = locate(window)
    return shape, data[window.offset :]


@pytest.mark.parametrize(("most", "window_bytes"), [(1, 1), (3, 2), (7, 64), (1 << 20, 1 << 20)])
@pytest.mark.parametrize("before", [b"", b" \r\n\t", BYTE_ORDER_MARK, BYTE_ORDER_MARK + b"\n  ", b" " * 200])
@pytest.mark.parametrize(
    ("data", "shape", "rest"),
    [
        pytest.param(b"[]", Shape.ARRAY, b"]", id="empty array"),
        pytest.param(b'[ {"mapping":{}}]', Shape.ARRAY, b' {"mapping":{}}]', id="array"),
        pytest.param(b"[", Shape.ARRAY, b"", id="array cut off"),
        pytest.param(b'{"conversations":[{}]}', Shape.WRAPPER, b"{}]}", id="wrapper"),
        pytest.param(b'{\n "conversations" : [ {}]}', Shape.WRAPPER, b" {}]}", id="pretty wrapper"),
        pytest.param(
            b'{"version":1,"by":{"conversations":[7],"a":[[{}]]},"s":"[{\\"conversations\\":[","conversations":[8]}',
            Shape.WRAPPER,
            b"8]}",
            id="wrapper with keys before, and look-alikes in them",
        ),
        pytest.param(b'{"conversations":{},"mapping":{}}', Shape.SINGLE, None, id="conversations is no array"),
        pytest.param(b'{"mapping":{},"conversations":[]}', Shape.SINGLE, None, id="a mapping comes first"),
        pytest.param(b'{"id":"user-1","email":"a@b"}', Shape.SINGLE, None, id="some other object"),
        pytest.param(b"{}", Shape.SINGLE, None, id="empty object"),
        pytest.param(b'{"title":"cut o', Shape.SINGLE, None, id="object cut off"),
        pytest.param(b'{"title":NaN,"mapping":{}}', Shape.SINGLE, None, id="damaged object"),
        pytest.param(SINGLE, Shape.SINGLE, None, id="a conversation"),
        pytest.param(b"<html>[", Shape.OTHER, None, id="a web page"),
        pytest.param(b'"[]"', Shape.OTHER, None, id="a string"),
        pytest.param(b"", Shape.OTHER, None, id="nothing"),
    ],
)
def test_where_the_conversations_lie(
    data: bytes, shape: Shape, rest: bytes | None, before: bytes, most: int, window_bytes: int
) -> None:
    assert located(before + data, most, window_bytes) == (shape, data if rest is None else rest)


@pytest.mark.parametrize(("most", "window_bytes"), [(1, 1), (7, 64), (1 << 20, 1 << 20)])
def test_the_array_is_found_behind_what_is_no_json(most: int, window_bytes: int) -> None:
    data = b'{"version":NaN,"text":"\\"conversations\\":[","conversations":[8]}'
    assert located(data, most, window_bytes) == (Shape.DAMAGED_WRAPPER, b"8]}")


def test_the_array_is_not_looked_for_endlessly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ray_import.reader.locate.MAX_PREAMBLE_BYTES", 1000)
    far = b'{"filler":"' + b"x" * 5000 + b'","conversations":[1]}'
    near = b'{"filler":"' + b"x" * 500 + b'","conversations":[1]}'
    assert located(far, 100, 100)[0] is Shape.SINGLE
    assert located(near, 100, 100) == (Shape.WRAPPER, b"1]}")
