"""Exports as the tests build them: conversations, the JSON they are written in, and what that is packed in."""

import io
import json
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
Item = dict[str, Any]
Shape = Literal["array", "wrapper", "single"]


def conversation(
    name: str, *texts: str, title: str | None = None, update_time: float | None = 1_700_000_100.0, **more: Any
) -> Item:
    """A talk in one line: `texts` are said by the user and the assistant in turn."""
    said = texts or (f"What is {name}?", f"This is {name}.")
    mapping: Item = {f"{name}-root": {"id": f"{name}-root", "parent": None, "message": None}}
    parent = f"{name}-root"
    for i, text in enumerate(said):
        key = f"{name}-{i}"
        message = {
            "id": key,
            "author": {"role": ("user", "assistant")[i % 2]},
            "create_time": 1_700_000_000.0 + i,
            "content": {"content_type": "text", "parts": [text]},
        }
        mapping[key] = {"id": key, "parent": parent, "message": message}
        parent = key
    return {
        "title": name if title is None else title,
        "create_time": 1_700_000_000.0,
        "update_time": update_time,
        "mapping": mapping,
        "current_node": parent,
        "conversation_id": name,
        **more,
    }


@dataclass(frozen=True, slots=True)
class Style:
    """How an export is written down."""

    shape: Shape = "array"
    pretty: bool = False
    ascii: bool = False
    byte_order_mark: bool = False


PLAIN = Style()


def exported(items: Sequence[object], style: Style = PLAIN) -> bytes:
    """The JSON of an export of `items`; the shape `single` takes one."""
    value: object = items
    if style.shape == "wrapper":
        value = {"version": 1, "made_by": {"tools": ["a", []]}, "conversations": items}
    elif style.shape == "single":
        (value,) = items
    separators = None if style.pretty else (",", ":")
    text = json.dumps(value, indent=2 if style.pretty else None, ensure_ascii=style.ascii, separators=separators)
    return (BYTE_ORDER_MARK if style.byte_order_mark else b"") + text.encode()


def zipped(
    members: Mapping[str, bytes] | Iterable[tuple[str | zipfile.ZipInfo, bytes]],
    compression: int = zipfile.ZIP_DEFLATED,
) -> bytes:
    """A ZIP that holds `members`, in order."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, data in members.items() if isinstance(members, Mapping) else members:
            archive.writestr(name, data)
    return buffer.getvalue()


def written(path: Path, data: bytes) -> Path:
    """`path`, with `data` in it and its folders made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path
