import pytest

from ray_import.source.sniff import as_utf_8, holds_conversations, is_empty, wide_encoding
from tests.unit.source.exports import PLAIN, Style, conversation, exported

TALK = conversation("a", "Wie geht's dem Bären? 很好")
TEXT = exported([TALK]).decode()
CODECS = {"utf-16-le": "UTF-16", "utf-16-be": "UTF-16", "utf-32-le": "UTF-32", "utf-32-be": "UTF-32"}


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["no mark", "mark"])
@pytest.mark.parametrize("text", [TEXT, "[]", "{}", "[", "\r\n  [", "\n", '{"title": 1}', "[\n"])
def test_wide_encoding_is_named_when_json_is_in_it(text: str, mark: str, codec: str) -> None:
    wide = wide_encoding((mark + text).encode(codec))
    assert wide is not None
    assert wide[0] == CODECS[codec]
    assert as_utf_8((mark + text).encode(codec), wide[1]).decode().lstrip("\ufeff") == text


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("text", ["", "Tagebuch", "日記", "<html>"])
def test_wide_encoding_is_named_when_there_is_a_mark_and_no_json(text: str, codec: str) -> None:
    wide = wide_encoding(("\ufeff" + text).encode(codec))
    assert wide is not None
    assert wide[0] == CODECS[codec]


@pytest.mark.parametrize(
    "head",
    [TEXT.encode(), b"", b"[", b"{", b"\0", b"[\0\0\0\0\0\0\0", b"\0" * 16, b"[{\0\0", b"\xef\xbb\xbf[]", b"PK\x03\x04",
     b"\x01\0\0\0\x02\0\0\0", b"a\0b\0c\0", b'["\0\0'],
)  # fmt: skip
def test_wide_encoding_is_none_when_it_is_utf_8_or_no_text(head: bytes) -> None:
    wide = wide_encoding(head)
    assert wide is None or (head.startswith(b"[\0\0\0") and wide[0] == "UTF-32")


@pytest.mark.parametrize("style", [PLAIN, Style(pretty=True), Style("wrapper"), Style("single"), Style("single", True)])
def test_holds_conversations_finds_a_mapping_in_every_shape(style: Style) -> None:
    data = exported([TALK], style)
    assert holds_conversations(data)
    assert holds_conversations(data[: data.index(b'"mapping"') + 20])
    assert not holds_conversations(data[: data.index(b'"mapping"') + 9])


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"title": "x", "tags": ["a", {"b": []}], "mapping": {}}', True),
        ('{"title": "x\\"}]", "mapping" : {}}', True),
        ('{"a": 1}\n{"mapping": {}}', True),
        ('[1, {"x": 1}, {"mapping": {}}]', True),
        ('{"chats": [{"id": 1, "mapping": {}}]}', False),
        ('{"conversations": [{"id": 1, "mapping": {}}]}', True),
        ('{"x": "conversations", "y": [{"id": 1, "mapping": {}}]}', False),
        ('{"x": "not ended, "mapping": {}}', False),
        ('{"title": "bad \\x", NaN, "mapping": {}}', True),
        ('{"mapping": []}', False),
        ('{"mapping": null}', False),
        ('{"title": "\\"mapping\\": {}"}', False),
        ('{"webpack": {"mapping": {"a": 1}}}', False),
        ('{"rows": [{"mapping": {"a": 1}}]}', False),
        ('[[{"mapping": {}}]]', False),
        ('{"x": "mapping"}', False),
        ("", False),
        ("]]}}", False),
    ],
)
def test_holds_conversations_goes_by_the_place_of_the_mapping(text: str, found: bool) -> None:
    assert holds_conversations(text.encode()) is found


@pytest.mark.parametrize(
    ("text", "empty"),
    [
        (b"", True), (b" \n", True), (b"[]", True), (b"{}", True), (b"null", True), (b'{"chats":[]}', True),
        (b'\xef\xbb\xbf{"chats": [], "cursor": null, "total": 0}', True), (b'{"chats":{}}', True),
        (b'{"chats":[{}]}', False), (b"[{}]", False), (b'{"chats":{"a":{}}}', False), (b'["x"]', False),
        (b"{", False), (b"text", False), (b"[" * 100_000, False),
    ],
)  # fmt: skip
def test_is_empty_tells_whether_there_are_items(text: bytes, empty: bool) -> None:
    assert is_empty(text) is empty


def test_holds_conversations_looks_under_the_keys_that_it_is_given() -> None:
    assert holds_conversations(b'{"chats": [{"id": 1, "mapping": {}}]}', ("conversations", "chats"))


@pytest.mark.parametrize(
    "text",
    [
        b'{"x":[' + b'{"mapping":{}},' * 70_000 + b"]}",
        b'{"x' + b'\\"' * 500_000 + b'"mapping":{',
        b'{"x":"' + b'\\"' * 500_000 + b'","y":["mapping":{',
        b'["' + b'\\"' * 500_000 + b'\\"mapping":{',
        b"[" * 1_000_000 + b'"mapping":{',
        b'"mapping"' + b" " * 1_000_000 + b'"mapping":{',
    ],
    ids=["wrong place", "escaped quotes", "in a string", "no end", "brackets", "blanks"],
)
@pytest.mark.timeout(20)
def test_holds_conversations_is_linear_when_text_is_made_to_cost_time(text: bytes) -> None:
    assert not holds_conversations(text)
