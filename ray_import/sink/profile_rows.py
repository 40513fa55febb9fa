"""The rows of a profile between their classes and what travels to a destination."""

import json
import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

import orjson

from ray_import.errors import SinkError
from ray_import.sink.profiles import Fact, ProfileVersion, StoredRequest, StoredUnit

MERGED = ("status", "superseded_by", "valid_from", "valid_to", "seen")
"""What `ProfileStore.update_facts` sets."""

_ESCAPE = re.compile(r"\\(u[0-9a-f]{4}|.)")
_NUL = "\\u0000"

T = TypeVar("T")


def columns_of(kind: type[Any]) -> tuple[str, ...]:
    """The names of a row's fields."""
    return tuple(field.name for field in fields(kind))


_COLUMNS = {kind: columns_of(kind) for kind in (Fact, StoredRequest, StoredUnit, ProfileVersion)}


def values_of(row: Fact | StoredRequest | StoredUnit | ProfileVersion) -> dict[str, Any]:
    """The fields of a row by name, all texts in them storable."""
    return storable({name: getattr(row, name) for name in _COLUMNS[type(row)]})


def storable(value: T) -> T:
    """The same value, or one in which U+FFFD stands for each NUL and `?` for each lone surrogate. A model's answer may
    hold both, and Postgres takes neither. Texts, numbers, lists and objects alone."""
    try:  # orjson refuses lone surrogates
        text = orjson.dumps(value)
    except TypeError:
        text = json.dumps(value, ensure_ascii=False).encode(errors="replace")
    else:
        if _NUL.encode() not in text:
            return value
    cleaned = _ESCAPE.sub(lambda escape: "\ufffd" if escape[0] == _NUL else escape[0], text.decode())
    found: T = orjson.loads(cleaned)
    return found


def request_of(values: Mapping[str, Any]) -> StoredRequest:
    """A request from its columns, JSON as values."""
    return StoredRequest(**{**values, "unit_ids": tuple(values["unit_ids"]), "usd": float(values["usd"])})


def run_is_over() -> SinkError:
    """The error for something of a run that is not saved, since the run has ended."""
    return SinkError(
        "This run of the profile has ended: another one has taken over, or the profile was forgotten.",
        "Run the same command again.",
    )
