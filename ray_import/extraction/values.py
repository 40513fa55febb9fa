"""Values of a type that a file may not keep to: what is of another type is empty."""

from typing import Any

LABEL_CHARACTERS = 60


def as_dict(value: object) -> dict[str, Any]:
    """`value` where it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def as_label(value: object) -> str:
    """`value` where it is a string, fit to be the name of a count: printable, and short."""
    text = value[:LABEL_CHARACTERS] if isinstance(value, str) else ""
    return text if text.isprintable() else "".join(c if c.isprintable() else "\ufffd" for c in text)


def as_str(value: object) -> str:
    """`value` where it is a string, without NUL (which no database takes), else an empty one."""
    return value.replace("\0", "") if isinstance(value, str) else ""


def is_set(value: object) -> bool:
    """Whether a flag is up: `true`, as 1 or as a word too. Whatever else it is hides nobody's words."""
    return value is True or (value is not None and value in (1, "true", "True"))
