"""Random exports for the property tests: graphs, messages of every shape, texts, marks, kept conversations."""

import json
from collections import Counter
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from hypothesis import strategies as st
from msgspec.structs import replace

from ray_import.chatgpt.graph import Node
from ray_import.records import Conversation, Message
from ray_import.settings import ChunkSettings

Shape = Literal["full", "slim", "flat"]
SHAPES: tuple[Shape, ...] = ("full", "slim", "flat")

START = 1_700_000_000
"""14 November 2023: the times of random messages lie in the seconds after it."""

MARKS = "".join(map(chr, range(0xE200, 0xE207)))


# Graphs


@cache
def times() -> st.SearchStrategy[float | None]:
    """Seconds, so close that ties and children older than their parents are common; or none."""
    return st.none() | st.integers(0, 6).map(lambda seconds: float(START + seconds))


@st.composite
def graphs(draw: st.DrawFn, max_nodes: int = 14) -> list[Node]:
    """Nodes in a mapping's order: forks, several roots, cycles, self-parents, missing parents, no messages."""
    keys = draw(st.lists(st.sampled_from([f"n{i}" for i in range(max_nodes)]), max_size=max_nodes, unique=True))
    tree = draw(st.booleans())
    nodes = []
    for i, key in enumerate(keys):
        may_be_parents: list[str | None] = [*keys[max(i - 3, 0) : i]] or [None] if tree else [*keys, "missing", None]
        parent = draw(st.sampled_from(may_be_parents))
        has_message, is_chat = draw(st.integers(0, 4)) > 0, draw(st.integers(0, 2)) > 0
        nodes.append(Node(key, parent, draw(times()), has_message, is_chat))
    return nodes


def currents(nodes: list[Node]) -> st.SearchStrategy[str | None]:
    """A `current_node`: a node's key, a dangling one, or none."""
    return st.sampled_from([*(node.key for node in nodes), "missing", None])


# Texts


@cache
def prose(max_size: int = 30) -> st.SearchStrategy[str]:
    """Text of any script with nothing in it that could be, or begin, a mark, a fence, a link or a frame."""
    any_script = st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"], exclude_characters="`~:[]!【】†" + MARKS)
    return st.text(st.sampled_from("abc de.\n\ue000\ue207漢字。é👩\u200d🚀") | any_script, max_size=max_size)


@dataclass(frozen=True, slots=True)
class Marked:
    """A text as the model emits it, and what the app shows of it."""

    raw: str
    shown: str


def _span(*fields: str) -> str:
    return "\ue200" + "\ue202".join(fields) + "\ue201"


def _shown_as(form: str) -> "st.SearchStrategy[Marked]":
    """`form` around a name, which is what the app shows of it."""
    names = st.text("abc dé漢👩", max_size=8).map(lambda text: f"w{text}")
    return names.map(lambda name: Marked(form.replace("NAME", name), name))


@cache
def marks() -> st.SearchStrategy[Marked]:
    """Every mark of format.md §5, complete."""
    kinds = st.sampled_from(["search", "view", "news", "file"])
    references = st.lists(
        st.builds("turn{}{}{}".format, st.integers(0, 30), kinds, st.integers(0, 30)), min_size=1, max_size=3
    )
    silent = st.sampled_from(["cite", "filecite", "navlist", "image_group", "genui", "products", "video", "memcite"])
    return st.one_of(
        st.builds(lambda kind, refs: Marked(_span(kind, *refs), ""), silent, references),
        _shown_as(_span("entity", '["city","NAME","hint"]')),
        _shown_as(_span("link_title", "NAME", "turn0search1")),
        _shown_as("\ue203NAME\ue204"),
        _shown_as(f"\ue203NAME{_span('cite', 'turn1news2')}\ue204"),
        _shown_as("[NAME](sandbox:/mnt/data/x.csv)").map(lambda link: Marked(f" {link.raw}", f" {link.shown}")),
        st.integers(0, 99).map(lambda number: Marked(f"【{number}†source】", "")),
        references.map(lambda refs: Marked(f" cite{''.join(refs)} ", "  ")),
        st.just(Marked(" data:image/png;base64,iVBORw0KGgo= ", " [data] ")),
        st.sampled_from([Marked(mark, "") for mark in MARKS if mark not in "\ue200\ue201"]),
    )


@st.composite
def marked_texts(draw: st.DrawFn) -> Marked:
    """Prose with marks anywhere in it."""
    pieces = draw(st.lists(prose().map(lambda text: Marked(text, text)) | marks(), max_size=8))
    return Marked("".join(piece.raw for piece in pieces), "".join(piece.shown for piece in pieces))


# Messages and conversations as a file has them

_ODD_VALUES: tuple[Any, ...] = (None, 42, True, "text", [], [None], {}, {"role": 7})


@cache
def _tool_texts() -> st.SearchStrategy[str]:
    """What is a call of a tool where no recipient is named, and almost one; a widget's state; a report."""
    return st.sampled_from([
        '{"updates": []}', '{"prompt": "a", "n": 1}', '{"prompt": "a"}', "Report", "Another report",
        'The latest state of the widget is: {"report_message": {"id": "r", "content": {"parts": ["Report"]}}}',
    ])  # fmt: skip


@cache
def _widget_states() -> st.SearchStrategy[Any]:
    """States of a widget, as objects and as JSON: with a report, with a blank one, without any, broken."""
    contents = st.builds(lambda text: {"parts": [text]}, st.sampled_from(["Report", "Another report", " "]))
    named = st.fixed_dictionaries({"id": st.sampled_from(["r", "s", None]), "content": contents})
    states = st.builds(lambda message: {"report_message": message}, st.one_of(named, st.sampled_from(_ODD_VALUES)))
    return st.one_of(states, states.map(json.dumps), st.sampled_from(["{", *_ODD_VALUES]))


@cache
def _metadata() -> st.SearchStrategy[Any]:
    """A message's metadata: flags, its model, its files, the state of a widget, a result of research."""
    flags = st.sampled_from([
        "is_visually_hidden_from_conversation", "is_visually_hidden_reasoning_group", "is_auto_proceed_message",
        "is_contextual_retry_user_message", "is_user_system_message", "voice_mode_message",
    ])  # fmt: skip
    research = {"is_async_task_result_message": True, "async_task_type": "research"}
    hints = st.sampled_from(["shorter", "Be kind", None])
    return st.one_of(
        st.dictionaries(flags, st.booleans(), max_size=1),
        st.just({"attachments": [{"name": "a.pdf"}], "model_slug": "gpt-5"}),
        st.builds(lambda state: {"chatgpt_sdk": {"widget_state": state}}, _widget_states()),
        st.just(research),
        st.builds(lambda hint: {"is_contextual_retry_user_message": True, "contextual_retry_message": hint}, hints),
    )


@cache
def _contents() -> st.SearchStrategy[Any]:
    texts = marked_texts().map(lambda text: text.raw)
    transcription = texts.map(lambda text: {"content_type": "audio_transcription", "text": text, "direction": "in"})
    picture = st.just({"content_type": "image_asset_pointer", "asset_pointer": "sediment://file_1"})
    parts = st.lists(st.one_of(texts, transcription, picture, st.none()), max_size=3)
    types = st.sampled_from(["text", "multimodal_text", "thoughts", "code", "execution_output", "hologram"])
    return st.one_of(
        st.fixed_dictionaries({"content_type": st.just("text"), "parts": _tool_texts().map(lambda text: [text])}),
        st.fixed_dictionaries({"content_type": types, "parts": parts}),
        st.fixed_dictionaries({"content_type": types, "text": texts}),
        st.fixed_dictionaries({"parts": parts}),
        st.sampled_from(_ODD_VALUES),
    )


@cache
def _file_times() -> st.SearchStrategy[Any]:
    seconds = st.integers(0, 6).map(lambda second: START + second)
    return st.one_of(
        seconds.map(float),
        seconds,
        seconds.map(str),
        seconds.map(lambda second: second * 1000),
        st.sampled_from([None, "2023-11-14T22:13:20Z", "yesterday", -1, {}]),
    )


@st.composite
def messages(draw: st.DrawFn, shape: Shape) -> dict[str, Any]:
    """A message with the keys of its shape, now and then with a value of a wrong type (format.md §3)."""
    role = st.sampled_from(["user", "user", "assistant", "assistant", "system", "tool", "critic"])
    author = role.map(lambda name: {"role": name, "name": None})
    message: dict[str, Any] = {"author": draw(author), "create_time": draw(_file_times()), "content": draw(_contents())}
    if shape == "full":
        message |= {"status": "finished_successfully", "end_turn": None, "weight": 1.0}
        message["channel"] = draw(st.sampled_from([None, "final", "commentary", "analysis"]))
        message |= {"recipient": draw(st.sampled_from(["all", "all", None, "python"])), "update_time": None}
    if shape == "full" or (shape == "slim" and draw(st.booleans())):
        message["metadata"] = draw(_metadata())
    if draw(st.integers(0, 9)) == 0:
        message[draw(st.sampled_from(sorted(message)))] = draw(st.sampled_from(_ODD_VALUES))
    return message


@st.composite
def conversations(draw: st.DrawFn) -> dict[str, Any]:
    """An item of an export: any graph, any messages, in one of the three shapes."""
    shape: Shape = draw(st.sampled_from(SHAPES))
    nodes = draw(graphs(max_nodes=8))
    mapping: dict[str, Any] = {}
    for node in nodes:
        message = draw(messages(shape)) if node.has_message else draw(st.sampled_from([None, None, 42, "text"]))
        entry: dict[str, Any] = {"id": node.key, "message": message}
        if shape != "flat":
            entry["parent"] = node.parent
        if shape == "full":
            children = [other.key for other in nodes if other.parent == node.key]
            entry["children"] = children if draw(st.booleans()) else ["missing", node.key]
        mapping[node.key] = entry
    title = draw(prose(12) | st.none())
    item = {"id": "c", "title": title, "create_time": draw(_file_times()), "mapping": mapping}
    if shape != "flat":
        item["current_node"] = draw(currents(nodes))
        item["default_model_slug"] = draw(st.sampled_from([None, "gpt-5", 5]))
    return item


# Conversations after the rules, for the chunker

_RUNS = (
    "word ", "a", "A sentence. ", "And? ", "Yes!\n", "\n\n", "    ", "漢字、", "漢字かな。", "é", "👩‍👩‍👧", "🚀",
    "\u3000", "```\nx = 1\n```\n", "\t", "** [link](https://example.org/a?b=c) **",
)  # fmt: skip


@cache
def long_texts(max_runs: int = 5, max_length: int = 60) -> st.SearchStrategy[str]:
    """Texts that are not blank, long enough to be cut, in runs of what is cut well and what is cut badly."""
    run = st.builds(str.__mul__, st.sampled_from(_RUNS), st.integers(1, max_length))
    return st.lists(run | prose(10), min_size=1, max_size=max_runs).map("".join).filter(lambda text: bool(text.strip()))


@cache
def _kept_messages() -> st.SearchStrategy[Message]:
    names = st.lists(st.sampled_from(["a.pdf", "b.png", "資料.xlsx", "n" * 300]), max_size=3).map(tuple)
    return st.builds(
        Message,
        node_id=st.just(""),
        parent_id=st.none(),
        thread=st.sampled_from(["main", "main", "side", "other"]),
        on_active_path=st.just(True),
        role=st.sampled_from(["user", "assistant"]),
        create_time=times(),
        text=long_texts() | long_texts(1, 3),
        attachments=st.just(()) | names,
        quoted=st.just("") | st.just("") | long_texts(),
    )


@st.composite
def kept_conversations(draw: st.DrawFn) -> Conversation:
    """A conversation as the extractor leaves it: messages of several threads, one among the other.

    A side thread may begin below any message before it, or below none; the main thread has nothing above it.
    """
    kept: tuple[Message, ...] = ()
    for i in range(draw(st.integers(0, 7))):
        message = draw(_kept_messages())
        own = [one.node_id for one in kept if one.thread == message.thread]
        above = [None, *(one.node_id for one in kept)] if not own and message.thread != "main" else [None, *own][-1:]
        kept += (replace(message, node_id=f"m{i}", parent_id=draw(st.sampled_from(above))),)
    title = draw(st.sampled_from(["", "Talk", "漢" * 40, "A very long title " * 9]))
    return kept_conversation(kept, title)


def kept_conversation(messages: tuple[Message, ...], title: str = "Talk") -> Conversation:
    """`messages` as a conversation in which nothing else was met."""
    return Conversation(
        id="c",
        title=title,
        create_time=None,
        update_time=None,
        nodes=len(messages),
        without_message=0,
        messages=messages,
        left_out=Counter(),
        notes=Counter(),
        seen_types=Counter(),
    )


@st.composite
def chunk_settings(draw: st.DrawFn) -> ChunkSettings:
    """Any size from the least on, any overlap that is allowed with it."""
    target = draw(st.sampled_from([50, 51, 64, 120, 400]))
    return ChunkSettings(target, draw(st.sampled_from([0, 1, target // 10, target // 2])))
