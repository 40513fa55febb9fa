"""extraction.md §5: which of a message's content is text. Every type may be wrong everywhere, and nothing raises."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ray_import.chatgpt import content as module
from ray_import.chatgpt.item import content_of
from tests.unit.chatgpt.content_model import modelled_text

TRANSCRIPTION = {"content_type": "audio_transcription", "text": "spoken", "direction": "in", "decoding_id": None}
SOUND = {"content_type": "audio_asset_pointer", "asset_pointer": "sediment://file_1", "format": "wav", "size_bytes": 9}
PICTURE = {
    "content_type": "image_asset_pointer",
    "asset_pointer": "file-service://file-1",
    "metadata": {"dalle": {"prompt": "a cat"}},
}
VIDEO = {
    "content_type": "real_time_user_audio_video_asset_pointer",
    "audio_asset_pointer": SOUND,
    "frames_asset_pointers": [],
}


def visible_text(content: object) -> str:
    read = content_of(content)
    found = module.visible_text(read)
    if isinstance(content, str):
        assert found == content
        return found
    whole = content if isinstance(content, dict) else {}
    assert found == module.text_of(whole)
    if not module._too_deep(whole):
        assert found == modelled_text(whole), "the model is the oracle"
    return found


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ({"content_type": "text", "parts": ["one"]}, "one"),
        ({"content_type": "text", "parts": ["one", "two"]}, "one\ntwo"),
        ({"content_type": "text", "parts": ["one", "", "two"]}, "one\ntwo"),
        ({"content_type": "text", "parts": [" one ", "\ttwo\n"]}, " one \n\ttwo\n"),
        ({"content_type": "text", "parts": [{"text": "one"}, "two"]}, "one\ntwo"),
        ({"parts": ["no type"]}, "no type"),
        ({"content_type": "text", "text": "no parts"}, "no parts"),
        ({"content_type": "text", "parts": ["parts first"], "text": "text"}, "parts first"),
        ({"content_type": "hologram", "parts": ["unheard of"]}, "unheard of"),
        ({"content_type": "hologram", "text": "unheard of"}, "unheard of"),
        ({"content_type": "multimodal_text", "parts": [TRANSCRIPTION, VIDEO]}, "spoken"),
        ({"content_type": "multimodal_text", "parts": [TRANSCRIPTION, SOUND]}, "spoken"),
        ({"content_type": "multimodal_text", "parts": [PICTURE, "what is this?"]}, "what is this?"),
        ({"content_type": "multimodal_text", "parts": ["a", TRANSCRIPTION, "b"]}, "a\nspoken\nb"),
        ({"parts": [{"content_type": "multimodal_text", "parts": ["in", TRANSCRIPTION]}, "out"]}, "in\nspoken\nout"),
        ({"parts": [{"content_type": "code", "text": "x = 1"}]}, "x = 1"),
    ],
)
def test_strings_and_the_texts_of_objects_are_joined_by_a_newline(content: object, text: str) -> None:
    assert visible_text(content) == text


@pytest.mark.parametrize(
    "content",
    [
        {"content_type": "multimodal_text", "parts": [PICTURE]},
        {"content_type": "multimodal_text", "parts": [SOUND, VIDEO]},
        {"content_type": "multimodal_text", "parts": [{"content_type": "video_container_asset_pointer"}]},
    ],
)
def test_pictures_sound_and_video_give_no_text(content: object) -> None:
    assert visible_text(content) == ""


@pytest.mark.parametrize(
    "content",
    [
        None, "", 42, True, [], ["a"], {}, {"content_type": None}, {"content_type": ["text"]},
        {"parts": None}, {"parts": "ab"}, {"parts": 7}, {"parts": {"0": "a"}}, {"parts": []}, {"parts": [""]},
        {"parts": [None]}, {"parts": [1, 2.5, True, None]}, {"parts": [["nested list"]]}, {"parts": [{"text": None}]},
        {"parts": [{"text": 5}]}, {"parts": [{"text": ["a"]}]}, {"parts": [{"text": {"value": "a"}}]},
        {"parts": [{"parts": [{"parts": None}]}]}, {"text": None}, {"text": ["a"]}, {"text": {"value": "a"}},
        {"content_type": "code"}, {"content_type": "code", "text": None}, {"content_type": "code", "text": " \n"},
        {"content_type": "code", "language": 5, "text": 5},
    ],
)  # fmt: skip
def test_a_value_of_a_wrong_type_is_empty(content: object) -> None:
    assert visible_text(content) == ""


def test_the_good_parts_stay_beside_the_bad_ones() -> None:
    parts = [None, "one", 5, {"text": 5}, ["x"], {"text": "two", "parts": 5}, {"parts": ["three", None]}]
    assert visible_text({"content_type": "text", "parts": parts}) == "one\ntwo\nthree"


@given(
    st.recursive(
        st.sampled_from([None, True, 5, 2.5, "a"]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["parts", "text", "content_type", "language"]), inner, max_size=4)
        ),
    )
)
def test_content_of_any_form_gives_only_strings_that_stand_in_it(content: Any) -> None:
    found = visible_text(content)
    assert found == "" or '"a"' in json.dumps(content)
    assert found.count("a") - found.count("```a\n") <= json.dumps(content).count('"a"')


@pytest.mark.parametrize("text", ["a bare string", "[]", "\n", '{"parts": ["a"]}'])
def test_text_is_the_content_when_that_is_a_bare_string(text: str) -> None:
    assert visible_text(text) == text


def test_parts_may_nest() -> None:
    content: dict[str, Any] = {"parts": ["deep"]}
    for _ in range(20):
        content = {"parts": [content]}
    assert visible_text(content) == "deep"


def test_parts_that_nest_without_end_are_empty_and_no_recursion_error() -> None:
    content: dict[str, Any] = {"parts": ["deep"]}
    for _ in range(900):
        content = {"parts": [content]}
    assert visible_text(content) == ""


@pytest.mark.parametrize(
    ("language", "code", "block"),
    [
        ("python", "x = 1", "```python\nx = 1\n```"),
        ("unknown", "x = 1", "```\nx = 1\n```"),
        (None, "x = 1", "```\nx = 1\n```"),
        ("", "  x = 1\n", "```\n  x = 1\n\n```"),
        ("c++", "x = 1", "```c++\nx = 1\n```"),
        ("py thon`", "x = 1", "```\nx = 1\n```"),
        ("python\n```", "x = 1", "```\nx = 1\n```"),
        ("markdown", "```\nx\n```", "````markdown\n```\nx\n```\n````"),
        ("markdown", "`````", "``````markdown\n`````\n``````"),
    ],
)
def test_code_is_a_fenced_block_whose_fence_is_longer_than_any_in_it(language: object, code: str, block: str) -> None:
    assert visible_text({"content_type": "code", "language": language, "text": code}) == block


@pytest.mark.parametrize("text", [None, "", " ", "\0"])
def test_code_is_in_the_parts_when_the_text_is_blank(text: str | None) -> None:
    content = {"content_type": "code", "language": "python", "text": text, "parts": ["x = 1", {"text": "y = 2"}]}
    assert visible_text(content) == "```python\nx = 1\ny = 2\n```"
    assert visible_text({**content, "parts": ["\0", 1]}) == ""
