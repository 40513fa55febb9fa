"""An object as the answer to GET and HEAD: whole, a range of it, or that it has not changed."""

from tests.support.gateway.calls import Answer, Call, Refused, Slice, storage_error
from tests.support.gateway.objects import StoredObject
from tests.support.gateway.ranges import Unsatisfiable, asked_range

INVALID_RANGE = ("invalid_range", "invalid range provided", "InvalidRange")


def download(call: Call, found: StoredObject, s3: bool) -> Answer:
    """200, 206, 304 or a refused range. If-Range and If-Match are passed over, as there."""
    headers = {
        "accept-ranges": "bytes",
        "etag": found.etag,
        "last-modified": found.last_modified,
        "cache-control": found.cache_control,
        "content-type": found.content_type,
    }
    if call.headers.get("if-none-match") == found.etag:
        return Answer(304, b"", headers)
    start, length, status = _part(call, found, s3)
    if status == 206:
        headers["content-range"] = f"bytes {start}-{start + length - 1}/{found.size}"
    if call.method == "HEAD":
        return Answer(status, b"", headers | {"content-length": str(length)})
    return Answer(status, Slice(found.open(), start, length), headers)


def _part(call: Call, found: StoredObject, s3: bool) -> tuple[int, int, int]:
    header = call.headers.get("range")
    if header is None:
        return 0, found.size, 200
    try:
        return (*asked_range(header, found.size), 206)
    except Unsatisfiable as refused:
        if s3 and not refused.understood:
            return 0, found.size, 200
        raise Refused(storage_error(416, *INVALID_RANGE, http=400 if s3 else 416)) from None
