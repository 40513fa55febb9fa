"""What Storage says of objects: of one, and of those in a folder."""

from datetime import UTC, datetime
from typing import Any

from tests.support.gateway.objects import StoredObject

MOST_ENTRIES = 1_500
"""Of a page, whatever is asked for."""


def info_of(found: StoredObject) -> dict[str, Any]:
    """All that is known of an object."""
    modified = _iso(found)
    return {
        "id": found.version,
        "name": found.key,
        "version": found.version,
        "bucket_id": found.bucket,
        "size": found.size,
        "content_type": found.content_type,
        "cache_control": found.cache_control,
        "etag": found.etag,
        "metadata": {},
        "last_modified": modified,
        "created_at": modified,
    }


def folder_in(wanted: dict[str, Any]) -> str:
    """What the keys begin with that are asked for: a folder, with its slash."""
    prefix = str(wanted.get("prefix", ""))
    return f"{prefix}/" if prefix and not prefix.endswith("/") else prefix


def listing(objects: list[StoredObject], wanted: dict[str, Any]) -> list[dict[str, Any]]:
    """Names below a folder, one level deep: folders without an id, objects with theirs.

    `objects` are those below it. Upper and lower case are one to it: folders that differ in that alone come as one.
    """
    start = len(folder_in(wanted))
    folders: set[str] = set()
    rows = []
    for found in objects:
        name, deeper, _ = found.key[start:].partition("/")
        if not name.lower().startswith(str(wanted.get("search", "")).lower()):
            continue
        if not deeper:
            rows.append(_entry(name, found))
        elif name.lower() not in folders:
            folders.add(name.lower())
            rows.append(_folder(name))
    column, order = _sorting(wanted)
    rows.sort(key=lambda row: str(row[column] or "").lower(), reverse=order == "desc")
    offset = int(wanted.get("offset", 0))
    return rows[offset : offset + min(int(wanted.get("limit", 100)), MOST_ENTRIES)]


def _sorting(wanted: dict[str, Any]) -> tuple[str, str]:
    sort_by = wanted.get("sortBy") or {}
    return sort_by.get("column") or "name", sort_by.get("order") or "asc"


def _folder(name: str) -> dict[str, Any]:
    names = ("id", "updated_at", "created_at", "last_accessed_at", "metadata")
    return {"name": name, **dict.fromkeys(names)}


def _entry(name: str, found: StoredObject) -> dict[str, Any]:
    modified = _iso(found)
    return {
        "name": name,
        "id": found.version,
        "updated_at": modified,
        "created_at": modified,
        "last_accessed_at": modified,
        "metadata": {
            "eTag": found.etag,
            "size": found.size,
            "mimetype": found.content_type,
            "cacheControl": found.cache_control,
            "lastModified": modified,
            "contentLength": found.size,
            "httpStatusCode": 200,
        },
    }


def _iso(found: StoredObject) -> str:
    return datetime.fromtimestamp(found.modified, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
