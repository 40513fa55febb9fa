import pytest

from ray_import.reader.framing import begins_conversation_by_ijson
from ray_import.reader.recovery import Resume, Start, next_start, resume_after

NEXT = b'{"title":"b","mapping":{}}'


@pytest.mark.parametrize(
    "damaged",
    [
        pytest.param(b'{"a":NaN,"b":[1]}', id="a word that is none"),
        pytest.param(b'{"a":"\0","b":{}}', id="a control character"),
        pytest.param(b'{"a":"\xff}"}', id="bad UTF-8, and a bracket in the string"),
        pytest.param(b'{"a":"\\q\\"}","b":[[]]}', id="an unknown escape"),
        pytest.param(b'{"a" 1}', id="no colon"),
    ],
)
@pytest.mark.parametrize("after", [b"," + NEXT, b" \n ," + NEXT, b"]", b"\n]\n"])
def test_where_brackets_balance_they_say_where_the_damage_ends(damaged: bytes, after: bytes) -> None:
    data = b"[" + damaged + after
    assert resume_after(data, 1, ended=False) == Resume(1 + len(damaged), balanced=True)


@pytest.mark.parametrize(
    "damaged",
    [
        pytest.param(b'{"title":"a","mapping":{}', id="no bracket at the end"),
        pytest.param(b'{"title":"a","mapping":{"x":[}}', id="brackets that do not match"),
        pytest.param(b'{"title":"a,"mapping":{}}', id="no quote"),
        pytest.param(b'{"title":a","mapping":{}}', id="no quote before"),
        pytest.param(b'{"title":"a', id="cut off"),
        pytest.param(b"garbage", id="garbage"),
        pytest.param(b'{"title":"a","mapping":{}} and more', id="garbage behind"),
    ],
)
@pytest.mark.parametrize("gap", [b",", b" , \n", b""])
def test_where_brackets_lie_the_next_whole_conversation_says_it(damaged: bytes, gap: bytes) -> None:
    data = b"[" + damaged + gap + NEXT + b"]"
    assert resume_after(data, 1, ended=True) == Resume(1 + len(damaged + gap), balanced=False)


def test_brackets_at_the_end_of_what_is_held_are_believed_only_where_nothing_follows() -> None:
    data = b'[{"a":NaN} '
    assert resume_after(data, 1, ended=False) is None
    assert resume_after(data, 1, ended=True) == Resume(10, balanced=True)


def test_brackets_are_not_believed_as_long_as_a_conversation_in_between_may_go_on() -> None:
    damaged, goes_on = b'{"x":{"y":"cut,', rb'{"id":"b","mapping":{"n":{"t":"\"q"}},"m":"mm'
    data = b"[" + damaged + goes_on
    assert resume_after(data + b'"},', 1, ended=False) == Resume(1 + len(damaged), balanced=False)
    assert resume_after(data, 1, ended=False) is None


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b'{"a":NaN,"b":{', id="brackets are open"),
        pytest.param(b'{"a":NaN,"b":"text', id="a string is open"),
        pytest.param(b'{"title":"a,"mapping":{}},' + NEXT[:-2], id="the next conversation goes on"),
        pytest.param(b"garbage", id="garbage"),
    ],
)
@pytest.mark.parametrize("ended", [True, False])
def test_where_nothing_follows_yet_more_has_to_be_seen(data: bytes, ended: bool) -> None:
    assert resume_after(data, 0, ended=ended) is None


@pytest.mark.parametrize(
    "look_alike",
    [
        pytest.param(b'{"title":"b"}', id="no mapping"),
        pytest.param(b'{"title":"b","mapping":[]}', id="mapping is no object"),
        pytest.param(b'"{\\"title\\":\\"b\\",\\"mapping\\":{}}"', id="quoted in a text"),
        pytest.param(b'{"name":"b","mapping":{}}', id="begins with an unknown key"),
        pytest.param(b'{"title":NaN,"mapping":{}}', id="damaged as well"),
    ],
)
def test_what_only_looks_like_a_conversation_is_passed_by(look_alike: bytes) -> None:
    data = look_alike + b"," + NEXT + b"]"
    assert next_start(data, 0, len(data)) == Start(len(look_alike) + 1, whole=True)
    assert next_start(look_alike + b"]", 0, len(look_alike) + 1) is None


def test_a_conversation_that_goes_on_is_a_beginning_only_where_no_whole_one_follows() -> None:
    cut = b'{"title":"a","mapping":{"x":'
    assert next_start(cut, 0, len(cut)) == Start(0, whole=False)
    assert next_start(b"  " + cut, 1, len(cut) + 2) == Start(2, whole=False)


@pytest.mark.parametrize(
    "first_key",
    [
        "title",
        "id",
        "conversation_id",
        "create_time",
        "update_time",
        "mapping",
        "current_node",
        "moderation_results",
        "is_archived",
        "default_model_slug",
    ],
)
@pytest.mark.parametrize("pretty", [b"", b"\n   "])
def test_a_conversation_may_begin_with_any_of_its_usual_keys(first_key: str, pretty: bytes) -> None:
    value = b"{}" if first_key == "mapping" else b"1"
    raw = b"{" + pretty + b'"' + first_key.encode() + b'" : ' + value + b',"mapping":{}}'
    assert next_start(b"}}" + raw, 0, len(raw) + 2) == Start(2, whole=True)


SLOW = rb'{"id":"\ud83d","m":[1,'
"""That it is no conversation only ijson can tell, at the end of what is held."""


@pytest.mark.parametrize("nested", [1, 2, 3])
def test_a_conversation_is_found_within_a_few_that_only_ijson_can_tell(nested: int) -> None:
    data = SLOW * nested + rb'{"title":"\ud83d","mapping":{}}' + b"," + b"1," * 1000
    assert next_start(data, 0, len(data)) == Start(len(SLOW) * nested, whole=True)


def test_ijson_is_not_asked_at_every_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or what lies deep would be read as often as it is deep."""
    asked = []

    def ask(view: memoryview) -> tuple[bool | None, int]:
        asked.append(len(view))
        return begins_conversation_by_ijson(view)

    monkeypatch.setattr("ray_import.reader.recovery.begins_conversation_by_ijson", ask)
    data = SLOW * 1000
    assert next_start(data, 0, len(data)) == Start(0, whole=False)
    assert 1 <= sum(asked) / len(data) <= 5


def test_beginnings_outside_of_the_stretch_are_not_seen() -> None:
    data = NEXT + b"," + NEXT
    assert next_start(data, 1, len(NEXT)) is None
    assert next_start(data, 1, len(data)) == Start(len(NEXT) + 1, whole=True)
