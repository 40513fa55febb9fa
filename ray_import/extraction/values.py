"""Values of a type that a file may not keep to: what is of another type is empty."""

from typing import Any


def as_dict(value: object) -> dict[str, Any]:
    """`value` where it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def as_str(value: object) -> str:
    """`value` where it is a string, without NUL (which no database takes), else an empty one."""
    return value.replace("\0", "") if isinstance(value, str) else ""
