"""extraction.md §2: what is stored of a conversation beside its messages, and which model gave an answer."""

from typing import Any

import pytest

from ray_import.chatgpt.extract import MOST_KEY_BYTES, as_key
from tests.unit.chatgpt.talks import chain, extracted, said

ODD: list[Any] = [None, 5, 1, "", " ", [], ["g-p-1"], {}, {"a": True}]


@pytest.mark.parametrize(
    ("own", "default", "model"),
    [
        ("gpt-5", "gpt-4", "gpt-5"),
        (None, "gpt-4", "gpt-4"),
        ("", "gpt-4", "gpt-4"),
        (" ", "gpt-4", "gpt-4"),
        (5, "gpt-4", "gpt-4"),
        (["gpt-5"], "gpt-4", "gpt-4"),
        ("gpt\0-5", None, "gpt-5"),
        (None, None, None),
        (None, 5, None),
        (None, "", None),
    ],
)
def test_an_answers_model_is_its_own_else_the_conversations(own: object, default: object, model: str | None) -> None:
    answer = said(role="assistant", metadata={"model_slug": own})
    found = extracted(chain(answer, answer | {"recipient": "all"}), default_model_slug=default)
    assert [m.model for m in found.messages] == [model, model]


@pytest.mark.parametrize("metadata", [{}, None, [], "text"])
def test_an_answers_model_is_the_conversations_when_it_has_no_metadata(metadata: object) -> None:
    found = extracted(chain(said(role="assistant", metadata=metadata)), default_model_slug="gpt-5")
    assert [m.model for m in found.messages] == ["gpt-5"]


def test_a_question_has_no_model() -> None:
    (question,) = extracted(chain(said(metadata={"model_slug": "gpt-5"})), default_model_slug="gpt-5").messages
    assert question.model is None


def test_a_conversations_fields_are_read_when_they_are_of_the_right_type() -> None:
    fields = {"is_starred": True, "is_archived": True, "memory_scope": "project_enabled", "default_model_slug": "gpt-5"}
    found = extracted({}, "all", **fields)
    assert (found.is_starred, found.is_archived, found.memory_scope, found.model) == (
        True, True, "project_enabled", "gpt-5",
    )  # fmt: skip
    found = extracted({}, is_starred=False, is_archived=True)
    assert (found.is_starred, found.is_archived, found.memory_scope, found.model) == (False, True, None, None)


@pytest.mark.parametrize("odd", ODD)
def test_a_conversations_fields_are_absent_when_they_are_of_a_wrong_type(odd: object) -> None:
    names = ("is_starred", "is_archived", "memory_scope", "default_model_slug", "gizmo_id", "conversation_template_id")
    found = extracted({}, "all", **dict.fromkeys(names, odd))
    assert (found.is_starred, found.is_archived) == (False, False)
    assert (found.memory_scope, found.model, found.project) == (None, None, None)


@pytest.mark.parametrize(
    ("template", "gizmo", "project"),
    [
        ("g-p-1", "g-p-1", "g-p-1"),
        ("g-p-1", None, "g-p-1"),
        (None, "g-p-2", "g-p-2"),
        ("g-1", "g-p-2", "g-p-2"),
        (["g-p-1"], "g-p-2", "g-p-2"),
        ("g-p-1", "g-2", "g-p-1"),
        ("g-1", "g-2", None),
        ("a g-p-1", "G-P-1", None),
    ],
)
def test_project_is_the_first_id_of_a_project_when_one_is_given(
    template: object, gizmo: object, project: str | None
) -> None:
    assert extracted({}, conversation_template_id=template, gizmo_id=gizmo).project == project


def test_names_are_stored_within_200_bytes_when_a_file_gives_longer_ones() -> None:
    name = "g-p-" + "漢" * 1000
    answer = said(role="assistant", metadata={"model_slug": name})
    found = extracted(chain(answer), default_model_slug=name, memory_scope=name, gizmo_id=name)
    stored = {found.model, found.memory_scope, found.project, *(m.model for m in found.messages)}
    assert stored == {as_key(name)}
    assert len(as_key(name).encode()) <= MOST_KEY_BYTES
