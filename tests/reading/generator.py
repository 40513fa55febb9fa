"""Random conversations: trees of every shape, with times, flags and contents of every kind, right and wrong."""

import json
from itertools import pairwise
from random import Random

from tests.reading import grammar
from tests.reading.reports import LATEST_STATE

START = 1_700_000_000
ROLES = ("user", "user", "user", "assistant", "assistant", "assistant", "assistant", "tool", "system")
REPORTS = (
    "# Moss\n\nIt grows.",
    "# Moss\n\nIt grows.\ue200cite\ue202turn0search1\ue201",
    "# Wind\n\nIt blows.",
    "# Wind\n\n",
    "",
)
TOOL_CALLS = (
    '{"prompt":"a bee","size":"1024x1024"}',
    '{"prompt":"a bee","n":1}',
    ' {"name":"Bees","type":"document","content":"# Bees"}\n',
    '{"path":"/Deep Research App/start","args":{"q":"bees"}}',
    '{"updates":[{"pattern":".*","replacement":"x"}]}',
    '{"search_query":[{"q":"bees"}]}',
    '{"prompt":"a bee"}',
    '{"name":"Ada","type":"person"}',
    '[{"prompt":"a bee","n":1}]',
    '{"prompt":"a bee","n":1} Here it is.',
    '{"answer":42}',
)
TYPES = (
    "code", "execution_output", "tether_browsing_display", "tether_browsing_code", "tether_quote", "sonic_webpage",
    "system_error", "user_editable_context", "model_editable_context", "thoughts", "reasoning_recap",
    "computer_output", "citable_code_output", "app_pairing_content", "super_widget", "system_message",
    "developer_content", "hologram", "new_kind",
)  # fmt: skip
FLAGS = (
    "is_visually_hidden_from_conversation", "is_visually_hidden_reasoning_group", "is_auto_proceed_message",
    "is_contextual_retry_user_message", "is_user_system_message", "is_thinking_preamble_message",
)  # fmt: skip
RETRIES = ("shorter", "more_detailed", "Be shorter", "please shorten", "Shorter", None)
WRONG: tuple[object, ...] = (None, 42, "text", [], {}, True, [1, "x"])


def conversation(seed: int) -> bytes:
    """The JSON of the conversation number `seed`: the same one every time."""
    rng = Random(seed)
    shape = rng.choice(("full", "full", "slim", "slim", "flat"))
    keys = _keys(rng)
    mapping: dict[str, object] = {}
    for position, key in enumerate(keys):
        message: object = None if position == 0 and rng.random() < 0.6 else _message(rng, shape)
        if rng.random() < 0.02:
            message = rng.choice(WRONG)
        mapping[key] = {"id": key, "message": message, "parent": _parent(rng, shape, keys, position)}
    _tell_a_story(rng, keys, mapping)
    if rng.random() < 0.05:
        mapping["odd"] = rng.choice((None, 17, "x", {}, {"message": 42}))
    if rng.random() < 0.2:
        mapping = dict(rng.sample(sorted(mapping.items()), k=len(mapping)))
    item: dict[str, object] = {"mapping": mapping, "title": grammar.title(rng)}
    for name in ("create_time", "update_time"):
        if rng.random() < 0.9:
            item[name] = _time(rng)
    if rng.random() < 0.8:
        item["current_node"] = rng.choice((*keys[-3:], rng.choice(keys), "missing", None, 42))
    if rng.random() < 0.3:
        item["default_model_slug"] = rng.choice(("gpt-5-2", None, 42))
    item.update(
        rng.choice(({"id": "c"}, {"id": "i", "conversation_id": "c"}, {"id": "é" * 101}, {"conversation_id": ""}, {}))
    )
    return json.dumps(item).encode()


def _keys(rng: Random) -> list[str]:
    keys = [f"n{number}" for number in range(rng.choice((1, 2, 4, 6, 9, 12)))]
    if rng.random() < 0.05:
        keys[-1] = rng.choice(("k" * 201, "é" * 101, "橋" * 60))
    return keys


def _parent(rng: Random, shape: str, keys: list[str], position: int) -> object:
    choice = rng.random()
    if shape == "flat":
        return None
    if position and choice < 0.72:
        return keys[position - 1]
    if position and choice < 0.92:
        return rng.choice(keys[:position])
    return rng.choice((None, "missing", rng.choice(keys), [], {}))


def _time(rng: Random) -> object:
    second = START + rng.randint(0, 6)
    choice = rng.randrange(14)
    if choice < 8:
        return second + rng.choice((0, 0.25))
    return (
        None, second * 1000, str(second), f"2023-11-14T22:13:2{rng.randint(0, 6)}Z", "2023-11-14T23:13:21.5+01:00",
        rng.choice((0, -5, 1e15, "5138-01-01", "1999-01-01T00:00:00Z", True, "soon", [], {}, 1e300)),
    )[choice - 8]  # fmt: skip


def _message(rng: Random, shape: str) -> dict[str, object]:
    role = rng.choice(ROLES)
    metadata: dict[str, object] = {}
    message: dict[str, object] = {"author": {"role": role}, "content": _content(rng, role, shape)}
    if rng.random() < 0.85:
        message["create_time"] = _time(rng)
    if shape == "full":
        message["recipient"] = rng.choice(("all", "all", "all", "all", "all", None, "python", "bio"))
        message["channel"] = rng.choice((None, None, None, "final", "commentary", "analysis"))
    metadata.update(_metadata(rng, role))
    if role == "tool" and rng.random() < 0.6:
        _make_report(rng, message, metadata)
    if metadata or rng.random() < 0.5:
        message["metadata"] = metadata
    if rng.random() < 0.02:
        message[rng.choice(("author", "content", "metadata", "create_time"))] = rng.choice(WRONG)
    return message


def _metadata(rng: Random, role: str) -> dict[str, object]:
    metadata: dict[str, object] = {}
    if rng.random() < 0.15:
        flag = rng.choice(FLAGS)
        metadata[flag] = rng.choice((True, True, True, False, None))
        if flag == "is_contextual_retry_user_message" and rng.random() < 0.8:
            metadata["contextual_retry_message"] = rng.choice(RETRIES)
    if rng.random() < 0.15:
        metadata["model_slug"] = rng.choice(("gpt-4o", "o3"))
    if rng.random() < 0.1:
        metadata["attachments"] = rng.choice(
            ([{"name": "a.pdf"}, {"id": "x"}, 7, {"name": "b\n.png"}], "x", {}, [{"name": 7}])
        )
    if role == "user" and rng.random() < 0.12:
        metadata["targeted_reply"] = rng.choice((grammar.line(rng), "Lake Aru is deep.", 7, None, ""))
    return metadata


def _content(rng: Random, role: str, shape: str) -> object:
    choice = rng.random()
    if choice < 0.05:
        return grammar.text(rng)
    if choice < 0.15:
        kind = rng.choice(TYPES)
        content: dict[str, object] = {"content_type": kind, "text": grammar.text(rng)}
        if kind == "code":
            content["language"] = rng.choice(("python", "unknown"))
        if rng.random() < 0.3:
            content = {"content_type": kind, "parts": [grammar.text(rng), 7]}
        return content
    if choice < 0.25:
        return {"content_type": "multimodal_text", "parts": _parts(rng)}
    if role == "assistant" and choice < (0.4 if shape == "slim" else 0.28):
        return {"content_type": "text", "parts": [rng.choice(TOOL_CALLS)]}
    if choice < 0.43:
        return {"parts": [grammar.text(rng)]}
    return {"content_type": "text", "parts": [grammar.text(rng)]}


def _parts(rng: Random) -> list[object]:
    possible: tuple[object, ...] = (
        grammar.text(rng), {"content_type": "audio_transcription", "text": grammar.words(rng)}, "", None, 7, ["x"],
        {"content_type": "image_asset_pointer", "asset_pointer": "sediment://file_1"}, {"text": 7},
    )  # fmt: skip
    return rng.choices(possible, k=rng.randint(0, 3))


def _make_report(rng: Random, message: dict[str, object], metadata: dict[str, object]) -> None:
    """Turns a tool's message into a Deep Research report, or into something like it."""
    report: dict[str, object] = {
        "id": rng.choice(("rep-1", "rep-2", None)),
        "content": {"content_type": "text", "parts": [rng.choice((*REPORTS, grammar.text(rng)))]},
    }
    state: dict[str, object] = {"version": 1, "report_message": rng.choice((report, report, report, None, {"id": "x"}))}
    way = rng.randrange(4)
    if way == 0:
        metadata["chatgpt_sdk"] = {"widget_state": json.dumps(state)}
    elif way == 1:
        metadata["chatgpt_sdk"] = {"widget_state": state}
    elif way == 2:
        message["content"] = {"content_type": "text", "parts": [f"{LATEST_STATE} {json.dumps(state)}"]}
    else:
        metadata["is_async_task_result_message"] = True
        metadata["async_task_type"] = rng.choice(("research", "research", "image_gen"))
        message["content"] = {"content_type": "text", "parts": [rng.choice(REPORTS)]}


def _tell_a_story(rng: Random, keys: list[str], mapping: dict[str, object]) -> None:
    """Makes some neighbours belong together: a continued answer, an answer that repeats a report."""
    for above, below in pairwise(keys):
        choice = rng.random()
        if choice > 0.12:
            continue
        story = _continued_answer(rng) if choice < 0.06 else _repeated_report(rng)
        for key, message in zip((above, below), story, strict=True):
            mapping[key] = {
                "message": message,
                "parent": above if key == below else None if above == keys[0] else keys[0],
            }


def _said(role: str, text: str) -> dict[str, object]:
    return {"author": {"role": role}, "content": {"content_type": "text", "parts": [text]}, "metadata": {}}


def _continued_answer(rng: Random) -> tuple[dict[str, object], dict[str, object]]:
    ticks = rng.choice(("```", "~~~", "````"))
    first = f"{grammar.words(rng)}\n\n{ticks}python\n{grammar.line(rng)}\n"
    closing = rng.choice((ticks, ticks, ticks + ticks[0], "```"))
    second = f"{grammar.line(rng)}\n{closing}\n\n{grammar.paragraph(rng)}"
    if rng.random() < 0.4:
        second += f"\n\n```sh\n{grammar.words(rng)}\n```\n{grammar.line(rng)}"
    return _said("assistant", first), _said(rng.choice(("assistant", "assistant", "user")), second)


def _repeated_report(rng: Random) -> tuple[dict[str, object], dict[str, object]]:
    report = _said("tool", REPORTS[0])
    report["metadata"] = {"is_async_task_result_message": True, "async_task_type": "research"}
    return report, _said(rng.choice(("assistant", "assistant", "user")), rng.choice(REPORTS[:3]))
