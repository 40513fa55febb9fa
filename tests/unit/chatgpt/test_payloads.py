"""extraction.md §5: what a private-use mark shows, by its kind and payload; and what is counted."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ray_import.chatgpt.marks import KNOWN, SILENT
from ray_import.chatgpt.text import clean_answer, clean_own_words, clean_title
from tests.support.strategies import MARKS, Marked, marked_texts, prose


def span(*fields: str) -> str:
    return "\ue200" + "\ue202".join(fields) + "\ue201"


def old(*fields: str) -> str:
    return "\ue600" + "\ue602".join(fields) + "\ue601"


def oldest(*fields: str) -> str:
    return "\ue142" + "\ue142".join(fields) + "\ue141"


ANY_KIND = ["entity", "product_entity", "product", "business", "hotel", "place", "products", "video", "navlist", "x_2"]
NAMES = [
    ('["turn0product1","Glide 2"]', "Glide 2"),
    ('["turn0product1","Glide 2",0,{"a":1}]', "Glide 2"),
    ('["Glide 2","turn0product1"]', "Glide 2"),
    ('["company","Glide 2","hint"]', "Glide 2"),
    ('["Glide 2"]', "Glide 2"),
    ('{"title":"Glide 2"}', "Glide 2"),
    ('{"id":5,"name":"Glide 2"}', "Glide 2"),
    ('{"title":"turn0search1","name":"Glide 2"}', "Glide 2"),
    ('{"title":"","name":"Glide 2"}', "Glide 2"),
    ('["turn0product1","turn0product2"]', ""),
    ('["turn0product1"]', ""),
    ('["turn0product1", 5]', ""),
    ('{"title":"turn0search1"}', ""),
    ('{"title":5,"name":null}', ""),
    ('{"more":{"title":"deep"}}', ""),
    ("turn0product1", ""),
    ("turn0product1\ue202turn1product2", ""),
    ("turn0product1,turn1product2", ""),
    ("Glide 2", "Glide 2"),
    ("Glide 2\ue202turn0product1", "Glide 2"),
    ("turn0product1\ue202Glide 2", "Glide 2"),
    ('["turn0product1","A\\u0000B \\"C\\""]', 'AB "C"'),
    ('{\n "title":\n"Glide 2"\n}', "Glide 2"),
    ("", ""),
]


@pytest.mark.parametrize("kind", ANY_KIND)
@pytest.mark.parametrize(("payload", "name"), NAMES)
def test_a_mark_of_any_kind_shows_its_name_when_its_payload_has_one(kind: str, payload: str, name: str) -> None:
    for mark in (
        span(kind, payload),
        f"\ue200{kind}{payload}\ue201" if payload[:1] in ("[", "{") else span(kind, payload),
    ):
        found = clean_answer(f"- a {mark} b{mark}\n")
        assert found.text == f"- a {name} b{name}\n"
        assert found.unknown == (() if kind in KNOWN else (f"unknown_mark:{kind}",) * 2)


@pytest.mark.parametrize("kind", sorted(SILENT))
@pytest.mark.parametrize(("payload", "name"), NAMES)
def test_a_mark_of_a_silent_kind_shows_nothing_whatever_its_payload(kind: str, payload: str, name: str) -> None:
    assert clean_answer(f"a{span(kind, payload)} b").text == "a b"
    assert clean_answer(f"a{span(kind, payload)} b").unknown == ()


@pytest.mark.parametrize(
    ("mark", "shown"),
    [
        (span("products", '{"selections":[["turn0product1","A"],["turn0product2","B"]],"tags":["x","y"]}'), "A, B"),
        (span("products", '[{"name":"A"},{"title":"B"},{"id":1},["turn0product3","C"],"turn0product4",5]'), "A, B, C"),
        (span("products", '{"selections":[],"title":"Shoes"}'), "Shoes"),
        (span("products", '{"items":[{"name":"A","title":"B"}]}'), "A"),
        (span("products", '{"selections":[["turn0product1","turn0product2"]]}'), ""),
        (span("video", "A film", "turn0video1"), "A film"),
        (span("video", '{"title":"A film","id":1}'), "A film"),
        (span("navlist", "Further reading", "turn0search1,turn0search2"), "Further reading"),
        (span("navlist", '{"title":"Further reading","items":[["turn0search1","x"]]}'), "Further reading"),
        (span("link_title", "A", "turn0search1"), "A"),
        (span("entity", "[no JSON"), "[no JSON"),
        (span("business", "{no JSON"), ""),
        (span("business", '"A"'), "A"),
        (span("business", '"A" and B'), '"A" and B'),
        ('\ue200["turn0product1","A"]\ue201', "A"),
        ("\ue200Some words\ue201", "Some words"),
        (span("cite", "turn0search1") + span("product", '["turn0product1","A"]') * 2, "AA"),
        (span("link_title", span("hotel", '["turn0hotel1","A"]'), "turn0search1"), "A"),
    ],
)
def test_a_mark_shows_what_the_app_shows(mark: str, shown: str) -> None:
    assert clean_answer(f"a {mark}.").text == f"a {shown}."


def test_the_label_of_an_unknown_mark_is_short() -> None:
    (label,) = clean_answer(span("k" * 300, '["turn0x1","A"]')).unknown
    assert label == "unknown_mark:" + "k" * 60


def test_marks_are_not_counted_when_they_stand_in_code() -> None:
    assert clean_answer(f"`{span('hotel', 'A')}`\n```\n{span('hotel', 'A')}\n```").unknown == ()


# Older encodings


@pytest.mark.parametrize("made", [old, oldest])
@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        (("cite", "turn2view0"), ""), (("cite", "turn2view0", "turn3view1"), ""), (("forecast",), ""),
        (("entity", '["company","Acme"]'), "Acme"), (("link_title", "Acme", "turn0search1"), "Acme"),
        (("product", '["turn0product1","Acme"]'), "Acme"), (("filecite", "turn0file1", "L1-L2"), ""),
    ],
)  # fmt: skip
def test_a_mark_of_an_older_encoding_is_resolved_when_it_is_complete(made, fields, shown) -> None:  # type: ignore[no-untyped-def]
    mark = made(*fields)
    assert clean_answer(f"a {mark}. {mark}{mark}").text == f"a {shown}. {shown}{shown}"


@pytest.mark.parametrize(
    "text",
    [
        "\ue600 \ue601 \ue602 \ue142 \ue141", "\ue600cite\ue602turn1view0",
        "cite\ue602turn1view0\ue601", "\ue142\ue142\ue141",
        "\ue600cite\ue602turn1\nview0\ue601", "\ue142cite\ue142a\nb\ue141", old("hotel", "A"), oldest("hotel", "A"),
        "\ue600home\ue601", "\ue142 home \ue141", "\ue600citedwords\ue601",
        "\ue142citedwords\ue141", "\ue602turn1view0",
    ],
)  # fmt: skip
def test_signs_of_an_older_encoding_stay_when_they_are_no_complete_mark(text: str) -> None:
    assert clean_answer(f"{text} {span('cite', 'turn0search1')}b").text == f"{text} b"


def test_a_complete_older_mark_is_found_when_icons_stand_before_it() -> None:
    assert (
        clean_answer(f"\ue142 a \ue142cite{oldest('cite', 'turn1view0')} b\ue141").text == "\ue142 a \ue142cite b\ue141"
    )
    assert clean_answer(f"\ue600 a \ue600cite{old('cite', 'turn1view0')} b\ue601").text == "\ue600 a \ue600cite b\ue601"


# Lenticular brackets, and references of an old interface


@pytest.mark.parametrize(
    "mark",
    ['【{"image_fetch": "a box"}】', "【{}】", '【 {"a": {"b": ["】"]}} 】', '【{"a":\n"b"}】',
     "【oaicite:0】", "【oaicite:a b】", '【{"a": "†"}】', ":contentReference[oaicite:0]{index=0}",
     ":contentReference[oaicite:12]"],
)  # fmt: skip
def test_a_mark_in_lenticular_brackets_goes_when_it_is_json_or_a_reference(mark: str) -> None:
    assert clean_answer(f"a{mark}. {mark}{mark}b").text == "a. b"
    assert clean_answer(f"`{mark}`").text == f"`{mark}`"


@pytest.mark.parametrize(
    "text",
    [
        "【重要】",
        "【[1]】",
        "【{a}】",
        '【{"a": 1】',
        '【"a"】',
        "【oaicite】",
        "【{】",
        "[oaicite:0]",
        ":contentReference[x]",
    ],
)
def test_lenticular_brackets_stay_when_they_hold_words(text: str) -> None:
    assert clean_answer(f"{text} 【1†source】b").text == f"{text} b"


def test_an_unterminated_mark_takes_no_lines_when_the_end_of_another_follows() -> None:
    text = '- \ue200product\ue202{"title":"A"}\n\n- words \ue201and'
    assert clean_answer(text).text == '- product{"title":"A"}\n\n- words and'
    assert clean_answer('\ue200hotel\ue202{"title":"A"}\n \ue201and').text == 'hotel{"title":"A"}\n and'
    assert clean_answer('\ue200hotel\ue202{"title":\n"A"}\ue201and').text == "Aand"


def test_a_mark_is_resolved_however_long_its_payload_is() -> None:
    names = [f"Glide {i}" for i in range(3000)]
    items = orjson.dumps([["turn0product1", name] for name in names]).decode()
    assert clean_answer(f"A \ue200products\ue202{items}\ue201 b").text == f"A {', '.join(names)} b"
    assert clean_answer(f"A \ue600products\ue602{items}\ue601 b").text == f"A {', '.join(names)} b"


# A user's own words, and titles


@given(marked_texts(), prose())
def test_a_users_words_are_as_typed(text: Marked, words: str) -> None:
    typed = (text.raw + words + "\n:::writing\n【{}】" + old("cite", "a")).replace("data:", "")
    assert clean_own_words(typed) == typed


@pytest.mark.parametrize(
    ("title", "shown"),
    [
        (f"A{span('cite', 'turn0search1')} title", "A title"),
        ("Buy " + span("product", '["turn0product1","Glide 2"]') + "\n now", "Buy Glide 2 now"),
        (f"Buy {span('hotel', 'A')}", "Buy A"),
        ("\ue203Cited\ue204 words", "Cited words"),
        (f"A{old('cite', 'turn1view0')}{oldest('cite', 'turn1view0')} b", "A b"),
        (f"In `{span('cite', 'turn0search1')}` b", f"In `{span('cite', 'turn0search1')}` b"),
        ("A \ue200cite\ue202 b", "A \ue200cite\ue202 b"),
        ("A \ue203 b \ue206", "A \ue203 b \ue206"),
        ("【1†source】 citeturn0search1 [a](sandbox:/b) data:a/b;base64,AAAA", None),
        (":::writing\n\0a", ":::writing a"),
        (span("cite", "turn0search1"), ""),
    ],
)
def test_a_title_has_its_complete_marks_resolved_and_keeps_all_else(title: str, shown: str | None) -> None:
    assert clean_title(title) == (title if shown is None else shown)


BROKEN = st.sampled_from(
    [*MARKS, "\ue600", "\ue601", "\ue602", "\ue142", "\ue141", "cite", "entity", "x", "`", "\n", "["]
)


@given(st.lists(BROKEN, max_size=14).map("".join))
def test_a_title_is_one_line_whatever_is_in_it(title: str) -> None:
    shown = clean_title(title)
    assert shown == " ".join(shown.split())
    assert "\0" not in shown


@given(st.lists(BROKEN | st.sampled_from([":::writing", ":::", "【{}】", "```", "a"]), max_size=14).map("".join))
def test_what_holds_no_mark_is_clean_however_broken_it_was(text: str) -> None:
    """Code alone keeps marks; a text without backticks and without a fence has none left."""
    text = text.replace("`", "")
    assert not set(MARKS) & set(clean_answer(text).text)


@given(marked_texts())
def test_cleaning_is_idempotent_when_the_marks_are_complete(text: Marked) -> None:
    once = clean_answer(text.raw).text
    assert clean_answer(once).text == once
