"""extraction.md §5, format.md §5: marks go, the words that they wrap stay, and nothing else is touched."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ray_import.chatgpt.text import clean_answer
from tests.support.strategies import MARKS, Marked, marked_texts, prose


def clean(text: str) -> str:
    """An assistant's text as it is stored."""
    return clean_answer(text).text


def span(*fields: str) -> str:
    return "\ue200" + "\ue202".join(fields) + "\ue201"


CITE = span("cite", "turn0search3")
ACME = span("entity", '["company","Acme"]')


@pytest.mark.parametrize(
    "mark",
    [
        CITE,
        span("cite", "turn0search3", "turn2news26", "turn5view0"),
        span("filecite", "turn3file14", "L180-L293"),
        span("memcite", "turn0memory1"),
        span("image_group", '{"query": ["a", "b"], "layout": "carousel"}'),
        '\ue200image_group{"query": ["a"]}\ue201',
        span("genui", '{"widget": {"x": 1}}'),
        span("map", '{"pins": []}'),
        span("forecast", "turn0forecast0"),
        span("forecast"),
        "\ue200cite\ue202turn0search1\ue203turn0search2\ue201",
        "\ue200\ue201",
        "【12†source】",
        "【3:0†source】",
        "【4†L123-L131】",
        "【12†source】【13†source】",
        "citeturn0search3",
        "fileciteturn3file14",
        "memciteturn0memory1",
        "citeturn0search3turn2news26",
    ],
)
def test_a_citation_goes_and_all_around_it_stays(mark: str) -> None:
    assert clean(mark) == ""
    assert clean(f"It rained{mark}. {mark}\n漢{mark}字") == "It rained. \n漢字"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (span("entity", '["company","Acme Inc.","maker of anvils"]'), "Acme Inc."),
        (span("entity", '["city", "Zürich 漢字 👩"]'), "Zürich 漢字 👩"),
        (span("entity", '["a","He said \\"no\\""]'), 'He said "no"'),
        (span("entity", "plain words"), "plain words"),
        (span("entity", '["Acme"]'), "Acme"),
        (span("entity", '{"name":"Acme"}'), "Acme"),
        (span("entity", "[]"), ""),
        (span("link_title", "The Times", "turn0search1"), "The Times"),
        (span("url", "The Times", "https://example.org"), "The Times"),
        (span("url", "turn0search1"), ""),
        ("\ue203It rained\ue204", "It rained"),
        ("\ue203It rained" + CITE + "\ue204.", "It rained."),
        ("a\ue206b", "ab"),
        (f"\ue203{ACME} grew\ue204", "Acme grew"),
        (span("link_title", ACME + " grew", "turn0search1"), "Acme grew"),
    ],
)
def test_visible_words_that_a_mark_wraps_stay(text: str, shown: str) -> None:
    assert clean(f"x {text} y") == f"x {shown} y"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a \ue200cite\ue202 the rest\nof it", "a cite the rest\nof it"),
        ("a \ue200", "a "),
        ("a \ue201 b", "a  b"),
        ("a \ue200cite\nb\ue201 c", "a cite\nb c"),
        (f"a \ue200cite {CITE} b", "a cite  b"),
        ("a \ue203 b", "a  b"),
        ("a \ue204 b", "a  b"),
        ("a \ue202 b", "a  b"),
        ("a 【12†sour\nce】 b", "a 【12†sour\nce】 b"),
        ("a 【12†source b", "a 【12†source b"),
        ("a [b](sandbox:/mnt", "a [b](sandbox:/mnt"),
        (":::writing{id=1}\nand no end", "and no end"),
        (f"a{CITE}\n:::\nb", "a\n:::\nb"),
        (":::writing\na\n:::\nb\n:::\nc", "a\nb\n:::\nc"),
    ],
)
def test_an_unterminated_mark_takes_nothing_but_itself(text: str, shown: str) -> None:
    assert clean(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "He cited it; it was linked, recited, excited. cite turn link entity url filecite",
        "citeturn and citeturn0 and turn0search3 are words",
        "【note】 and 【】 and † and 1†2",
        "icon fonts: \ue000\ue1ff\ue207\uf8ff",
        "a [link](https://example.org/sandbox) and [another](file:///sandbox:x)",
        "the data: base64, data:text/plain,hello data:image/png;base64 and base64,AAAA",
        "a:::writing\nb :::\n::: c",
        "no marks at all: é 漢字 👩",
        "",
    ],
)
def test_ordinary_words_survive(text: str) -> None:
    assert clean(text) == text
    assert clean(f"{text}{CITE}") == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("[data.csv](sandbox:/mnt/data/data.csv)", "data.csv"),
        ("[**Get it**](sandbox:/mnt/data/a b (1).csv).", "**Get it**."),
        ("![a plot](sandbox:/mnt/data/p.png)", "a plot"),
        ("[a](<sandbox:/mnt/x>) [b]( sandbox:/mnt/y )", "a b"),
        ("[1] [a](sandbox:/x) [b](https://example.org)", "[1] a [b](https://example.org)"),
        ("[data [v2].csv](sandbox:/mnt/data/x.csv)", "data [v2].csv"),
    ],
)
def test_a_sandbox_link_keeps_its_words(text: str, shown: str) -> None:
    assert clean(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (':::writing{variant="email" id="a {b}"}\nDear all,\n\nhi\n:::\n', "Dear all,\n\nhi\n"),
        ("Here:\n:::writing\nhi\n:::", "Here:\nhi\n"),
        (f":::writing{{id=1}}\nhi{CITE}\n:::\nbye\n:::writing\nagain\n:::", "hi\nbye\nagain\n"),
        (":::writing\n```\n:::\n```\n:::\nend", "```\n:::\n```\nend"),
    ],
)
def test_a_writing_frame_is_opened(text: str, shown: str) -> None:
    assert clean(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("data:image/png;base64,iVBORw0KGgo=", "[data]"),
        ("a ![x](data:image/svg+xml;charset=utf-8;base64,AA/+_-==) b", "a ![x]([data]) b"),
        ("data:;base64,AAAA data:a/b;base64,BBBB", "[data] [data]"),
        ("data:a/b;base64,%2BAA%3D", "[data]"),
    ],
)
def test_inline_data_becomes_a_word(text: str, shown: str) -> None:
    assert clean(text) == shown


MARKED = f"{CITE} 【1†s】 citeturn0search1 [a](sandbox:/b) data:a/b;base64,AAAA \ue203x\ue204 :::writing"


@pytest.mark.parametrize(
    "form",
    [
        "```\nCODE\n```",
        "```python\nCODE\n```\n",
        "~~~\nCODE\n~~~",
        "````\n```\nCODE\n```\n````",
        "```\n~~~\nCODE\n~~~\nCODE\n```",
        "  ```\n  CODE\n  ```",
        "1. one\n   ```\n   CODE\n   ```",
        "- ```\n  CODE\n  ```",
        "> ```\n> CODE\n> ```",
        "```\nCODE\n```` ",
        "```\nCODE\n``` not the end\nCODE\n```",
        "```\nCODE, cut off",
        "a `b` c\n```\n:::writing\nCODE\n:::\n```",
        "```\nCODE\n```\nbetween\n```\nCODE\n```",
    ],
)
def test_fenced_code_is_left_alone(form: str) -> None:
    block = form.replace("CODE", MARKED)
    assert clean(block) == block
    assert clean(f"{CITE}before\n{block}") == f"before\n{block}"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"```\nx\n```\nafter{CITE}", "```\nx\n```\nafter"),
        (f"``` one line ```{CITE}\nafter{CITE}", "``` one line ```\nafter"),
        (f"``\n\nno fence{CITE}\n``", "``\n\nno fence\n``"),
        (f"a ``` in the middle\n{CITE}b", "a ``` in the middle\nb"),
    ],
)
def test_what_only_looks_like_fenced_code_is_prose(text: str, shown: str) -> None:
    assert clean(text) == shown


@pytest.mark.parametrize("character", ["\x0c", "\x85", "\u2028"])
def test_only_a_newline_ends_a_line(character: str) -> None:
    """Code pasted from a PDF has form feeds, text from the web has U+2028; Markdown takes neither for a line's end."""
    assert clean(f"a{character}```\n{CITE}b") == f"a{character}```\nb"
    block = f"```\nx{character}```\n{CITE}\n```"
    assert clean(block) == block
    assert clean(f"a{character}:::writing\nb") == f"a{character}:::writing\nb"


@given(marked_texts())
def test_text_outside_of_marks_survives_character_by_character(text: Marked) -> None:
    assert clean(text.raw) == text.shown


@given(marked_texts(), prose(), marked_texts())
def test_fenced_code_in_the_midst_of_marked_text_is_left_alone(before: Marked, code: str, after: Marked) -> None:
    block = f"\n```\n{code} {MARKED}\n```\n"
    assert clean(before.raw + block + after.raw) == before.shown + block + after.shown


BROKEN = st.sampled_from(
    [*MARKS, "cite", "turn0search1", "entity", '["a","b"]', '["a","\\ue200"]', "\n", "a", "【", "†"]
)


@given(st.lists(BROKEN, max_size=12).map("".join))
def test_no_mark_survives_outside_of_code_however_broken(text: str) -> None:
    assert not set(MARKS) & set(clean(text))


@given(prose(), st.integers(1, 12))
def test_spans_in_spans_leave_no_mark(words: str, depth: int) -> None:
    assert not set(MARKS) & set(clean("\ue200cite\ue202" * depth + words + "\ue201" * depth))


@given(marked_texts())
def test_what_is_clean_stays_as_it_is(text: Marked) -> None:
    assert clean(text.shown) == text.shown


# Every mark of format.md §5 beside every other

COMPLETE = {
    "cite": (CITE, ""),
    "filecite": (span("filecite", "turn3file14", "L180-L293"), ""),
    "memcite": (span("memcite", "turn0memory1"), ""),
    "entity": (ACME, "Acme"),
    "plain entity": (span("entity", "Acme"), "Acme"),
    "link_title": (span("link_title", "Acme", "turn0search1"), "Acme"),
    "url": (span("url", "Acme", "https://example.org"), "Acme"),
    "bare url": (span("url", "turn0search1"), ""),
    "image_group": (span("image_group", '{"query": ["a"]}'), ""),
    "navlist": (span("navlist", "More", "turn0search1"), "More"),
    "genui": (span("genui", '{"a": {}}'), ""),
    "products": (span("products", '{"selections": []}'), ""),
    "video": (span("video", "A film", "turn0video1"), "A film"),
    "map": (span("map", '{"pins": []}'), ""),
    "forecast": (span("forecast", "turn0forecast0"), ""),
    "cited words": ("\ue203Acme\ue204", "Acme"),
    "cited entity": (f"\ue203{ACME}\ue204", "Acme"),
    "separator": ("\ue206", ""),
    "lenticular": ("【12†source】", ""),
    "lenticular lines": ("【4†L123-L131】", ""),
    "sandbox": ("[x.csv](sandbox:/mnt/data/x.csv)", "x.csv"),
    "picture": ("![x](sandbox:/mnt/data/x.png)", "x"),
    "data": ("(data:image/png;base64,iVBORw0KGgo=)", "([data])"),
    "ASCII cite": ("citeturn0search3", ""),
    "ASCII filecite": ("fileciteturn3file14", ""),
}
"""Raw, and as the app shows it. What is inline data ends only with its bracket: all letters may be its own."""

UNTERMINATED = {
    "span": ("\ue200", ""),
    "field": ("\ue202", ""),
    "end": ("\ue201", ""),
    "cited words": ("\ue203", ""),
    "end of cited words": ("\ue204", ""),
    "lenticular": ("【12†", "【12†"),
    "sandbox": ("[x](sandbox:", "[x](sandbox:"),
    "data": ("data:image/png;base64,", "data:image/png;base64,"),
    "ASCII cite": ("citeturn0", "citeturn0"),
}


@pytest.mark.parametrize("first", COMPLETE)
def test_neighbouring_marks_are_each_shown_as_if_alone(first: str) -> None:
    raw, shown = COMPLETE[first]
    for other_raw, other_shown in COMPLETE.values():
        assert clean(raw + other_raw) == shown + other_shown
        assert clean(f"a {raw} b {other_raw} c") == f"a {shown} b {other_shown} c"
        assert clean(f"{raw}\n{other_raw}\n") == f"{shown}\n{other_shown}\n"


@pytest.mark.parametrize("broken", UNTERMINATED)
def test_an_unterminated_mark_costs_no_mark_beside_it(broken: str) -> None:
    raw, shown = UNTERMINATED[broken]
    for other_raw, other_shown in COMPLETE.values():
        assert clean(f"{other_raw} a {raw} b") == f"{other_shown} a {shown} b"
        assert clean(f"a {raw} {other_raw} b") == f"a {shown} {other_shown} b"
        assert clean(f"a {raw}\n{other_raw} b") == f"a {shown}\n{other_shown} b"


@pytest.mark.parametrize("name", [*COMPLETE, *UNTERMINATED])
def test_every_mark_stays_in_fenced_code_and_only_there(name: str) -> None:
    raw, shown = (COMPLETE | UNTERMINATED)[name]
    for fence in ("```", "~~~", "````"):
        block = f"{fence}text\n{raw} {raw}\n{raw}\n{fence}\n"
        assert clean(f"{raw}\n{block}{raw}") == f"{shown}\n{block}{shown}"


def test_a_text_of_5_mb_full_of_marks_is_cleaned_like_a_short_one() -> None:
    raw = "".join(f"word {mark} " for mark, _ in COMPLETE.values())
    shown = "".join(f"word {mark} " for _, mark in COMPLETE.values())
    times = 5_000_000 // len(raw.encode())
    assert clean(raw * times) == shown * times


BEGINNINGS = ["\ue200", "\ue200cite", "【†", "[a", "[a](sandbox:(", "data:a;", "cite", "> ", "\n```"]


@pytest.mark.parametrize("piece", BEGINNINGS)
def test_a_megabyte_of_beginnings_takes_no_quadratic_time(piece: str) -> None:
    """It would be many minutes, and the test would be ended."""
    times = 1_000_000 // len(piece.encode())
    assert clean(CITE + piece * times) == piece.replace("\ue200", "") * times


# Rarer forms


@pytest.mark.parametrize(
    "mark", ["\ue202turn0search1", "\ue202turn0search1\ue202turn2news26", "cite\ue202turn0search1", "【turn0search1】",
             "filecite\ue202turn3file14", "memcite\ue202turn0memory1", "【turn0search1】【turn0search2】"],
)  # fmt: skip
def test_a_reference_in_other_brackets_or_in_none_goes(mark: str) -> None:
    assert clean(f"It rained{mark}. {mark}\nSo") == "It rained. \nSo"


def test_json_in_a_span_may_be_spread_over_several_lines() -> None:
    assert clean('a \ue200products\ue202{\n "selections": []\n}\ue201 b') == "a  b"
    assert clean('\ue200image_group{\n"query": ["a"]\n}\ue201b') == "b"
    assert clean('\ue200entity\ue202[\n"city",\n"Zürich"\n]\ue201 grew') == "Zürich grew"
    assert clean("a \ue200cite\ue202\nturn0search1\ue201") == "a cite\nturn0search1"


@pytest.mark.parametrize(
    ("widget", "shown"),
    [
        ('{"math_block_widget_always_prefetch_v2": {"content": "E = mc^2"}}', "E = mc^2"),
        ('{"math_block_widget": {"content": 5}}', ""),
        ('{"math_block_widget": "E = mc^2"}', ""),
        ('{"chart": {"content": "a bar"}}', ""),
        ("no JSON", ""),
        ("[]", ""),
    ],
)
def test_of_all_widgets_a_formula_alone_is_text(widget: str, shown: str) -> None:
    assert clean(f"So {span('genui', widget)}.") == f"So {shown}."
