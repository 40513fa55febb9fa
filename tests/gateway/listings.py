"""What Storage says of objects: of one, and of those in a folder."""

from datetime import UTC, datetime
from typing import Any

from tests.gateway.objects import StoredObject


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


def listing(objects: list[StoredObject], wanted: dict[str, Any]) -> list[dict[str, Any]]:
    """Names below a prefix, one level deep: folders without an id, objects with theirs."""
    prefix = wanted.get("prefix", "").strip("/")
    start = f"{prefix}/" if prefix else ""
    rows: dict[str, dict[str, Any]] = {}
    for found in objects:
        name, deeper, _ = found.key.removeprefix(start).partition("/")
        if found.key.startswith(start) and wanted.get("search", "") in name:
            rows.setdefault(name, _folder(name) if deeper else _entry(name, found))
    column, order = _sorting(wanted)
    ordered = sorted(rows.values(), key=lambda row: row[column] or "", reverse=order == "desc")
    offset = wanted.get("offset", 0)
    return ordered[offset : offset + wanted.get("limit", 100)]


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
