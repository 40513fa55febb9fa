"""Whose exports a run imports: a manifest, and which of it."""

import csv
import io
import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ray_import.errors import ConfigError, SourceNotAllowed
from ray_import.settings import SourceRules
from ray_import.source.address import ANY_SOURCE, HttpAddress, address_of, path_of
from ray_import.source.version import changed_at, version_and_size

MOST_ID_CHARACTERS = 255
"""Postgres has no room in an index for much longer ones."""

_JSON_HINT = 'Write each line as {"user_id": "…", "source": "…"}.'
_CSV_HINT = "The first line has to name the columns: user_id,source and optionally updated_at."


@dataclass(frozen=True, slots=True)
class UserSource:
    """A user and where their export is. `updated_at` is in seconds since 1970, `version` as `version_of` gives it; what
    is not known is None, or empty."""

    user_id: str
    source: str
    updated_at: float | None = None
    size_bytes: int | None = None
    version: str = ""


def at_a_glance(user: UserSource, rules: SourceRules = ANY_SOURCE) -> tuple[str, int | None]:
    """The version and the bytes of the export, as the file or a bucket's listing tells them without a question to any
    server; empty and None where they do not. Raises ConfigError where there is no such file, SourceNotAllowed where
    `rules` forbid it, as far as that is seen without resolving a name."""
    path = path_of(user.source)
    if path is not None:
        return version_and_size(path, rules)
    if rules.public_only and user.source.lower().startswith(("http://", "https://")):
        _refuse_inner(user.source, rules)
    return user.version, user.size_bytes


def _refuse_inner(source: str, rules: SourceRules) -> None:
    """What is wrong with an address beside that, a reader tells."""
    from httpx import InvalidURL  # noqa: PLC0415 - a fifth of a second that other lists need not wait

    from ray_import.source.ssrf_guard import refuse_inner  # noqa: PLC0415

    with suppress(ConfigError, InvalidURL, ValueError):
        address = address_of(source, rules)
        if isinstance(address, HttpAddress):
            refuse_inner(address, address.url)


def seen_version(user: UserSource, rules: SourceRules = ANY_SOURCE) -> str:
    """The version as `at_a_glance` gives it; empty also where there is nothing, or nothing allowed: a reader tells
    that better."""
    try:
        return at_a_glance(user, rules)[0]
    except (ConfigError, SourceNotAllowed):
        return ""


def seen_bytes(user: UserSource, rules: SourceRules = ANY_SOURCE) -> int | None:
    """The size of the export as it is stored, from the file or a bucket's listing; None where neither knows it. 0 where
    the file is missing or `rules` forbid it: nothing of it will be read."""
    path = path_of(user.source)
    if path is None:
        return user.size_bytes
    try:
        return version_and_size(path, rules)[1]
    except (ConfigError, SourceNotAllowed):
        return 0


def read_manifest(path: Path) -> list[UserSource]:
    """The users of a `.jsonl` or `.csv` file: objects, or columns, `user_id`, `source` and perhaps `updated_at`.

    Raises ConfigError, which names the line.
    """
    records, hint = _records(path, ("user_id", "source"))
    return unique([_user(record, f"{path}, line {line}", hint) for line, record in records])


def read_user_ids(path: Path) -> list[str]:
    """The users of such a file, each once, in its order; other columns than `user_id` need not be there. Raises
    ConfigError, which names the line."""
    records, hint = _records(path, ("user_id",))
    found: dict[str, None] = {}
    for line, record in records:
        user_id = record.get("user_id") if isinstance(record, dict) else None
        if (wrong := what_is_wrong_with_id(user_id)) is not None:
            raise ConfigError(f"{path}, line {line}: {wrong}.", hint)
        found[str(user_id)] = None
    return list(found)


def _records(path: Path, columns: Sequence[str]) -> tuple[Iterator[tuple[int, Any]], str]:
    """The numbers and values of its lines, and how they are to be written. Raises ConfigError."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(
            f"There is no file {path}.", "Give a JSON Lines (.jsonl) or .csv file with --users."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError(
            f"{path} cannot be read: {why}.", "Give a JSON Lines (.jsonl) or .csv file in UTF-8 with --users."
        ) from None
    if path.suffix.lower() == ".csv":
        return _csv(text, path, columns), _CSV_HINT
    return _json_lines(text), _JSON_HINT


def what_is_wrong_with_id(user_id: object) -> str | None:
    """None where a user can be called so."""
    if user_id is None or (isinstance(user_id, str) and not user_id.strip(" ")):
        return "user_id is missing"
    if not isinstance(user_id, str):
        return "user_id is not a string"
    if not user_id.isprintable():
        return "user_id contains non-printable characters"
    if len(user_id) > MOST_ID_CHARACTERS:
        return f"user_id is longer than {MOST_ID_CHARACTERS} characters"
    return None


def unique(users: Sequence[UserSource]) -> list[UserSource]:
    """The users, each once, with the latest of their times (None where one is not known).

    Raises ConfigError where one has two sources: which one is meant cannot be known.
    """
    found: dict[str, UserSource] = {}
    for user in users:
        other = found.setdefault(user.user_id, user)
        if other.source != user.source:
            raise ConfigError(
                f"The user {user.user_id} is listed with two sources.",
                "Keep one of them, and import the other one separately.",
            )
        found[user.user_id] = replace(user, updated_at=_later(other.updated_at, user.updated_at))
    return list(found.values())


def _later(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else max(one, other)


def only_those(users: Sequence[UserSource], only: Collection[str]) -> Sequence[UserSource]:
    """Those in `only`; all, where that is empty. Raises ConfigError where one of them is not there."""
    missing = set(only) - {user.user_id for user in users}
    if missing:
        raise ConfigError(
            f"--only: the user '{min(missing)}' is not among the {len(users):,} listed users.",
            "Give the id exactly as the list spells it.",
        )
    return [user for user in users if user.user_id in only] if only else users


def not_older(
    users: Sequence[UserSource], since: float, limit: int | None, rules: SourceRules = ANY_SOURCE
) -> tuple[list[UserSource], int]:
    """The first `limit` whose export is not older than `since`, and of how many of them that is not known: these are
    never too old."""
    aged = [(user, time) for user in users if (time := _time_of(user, rules)) is None or time >= since][:limit]
    return [user for user, _ in aged], sum(time is None for _, time in aged)


def _time_of(user: UserSource, rules: SourceRules) -> float | None:
    """When the export was written, as the list of users says it, or the file of this machine; None if neither does."""
    path = path_of(user.source)
    return user.updated_at if user.updated_at is not None or path is None else changed_at(path, rules)


def seconds_of(time: str) -> float:
    """Seconds since 1970 of a date or time in ISO 8601, in UTC where it does not say. Raises ValueError."""
    found = datetime.fromisoformat(time)
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def _csv(text: str, path: Path, columns: Sequence[str]) -> Iterator[tuple[int, Any]]:
    reader = csv.DictReader(io.StringIO(text, newline=""))
    try:
        for name in columns:
            if reader.fieldnames and name not in reader.fieldnames:
                raise ConfigError(f"{path}, line 1: the column {name} is missing.", _CSV_HINT)
        for record in reader:
            yield reader.line_num, record
    except csv.Error:
        yield reader.line_num + 1, None


def _json_lines(text: str) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(text.split("\n"), start=1):  # not at what else may separate lines: JSON may hold it
        if line.strip():
            try:
                yield number, json.loads(line)
            except (ValueError, RecursionError):
                yield number, None


def _user(record: Any, where: str, hint: str) -> UserSource:
    if not isinstance(record, dict):
        raise ConfigError(f"{where}: this is not a valid record.", hint)
    user_id, source, updated_at = (record.get(name) for name in ("user_id", "source", "updated_at"))
    if (wrong := what_is_wrong_with_id(user_id)) is not None:
        raise ConfigError(f"{where}: {wrong}.", hint)
    if not isinstance(source, str) or not source.strip():
        raise ConfigError(f"{where}: source is missing.", hint)
    try:
        return UserSource(str(user_id), source, seconds_of(updated_at) if updated_at else None)
    except (TypeError, ValueError):
        raise ConfigError(f"{where}: updated_at is not a valid time.", "Use the form 2026-05-01T12:00:00Z.") from None
