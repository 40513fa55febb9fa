"""A file uploaded as a form, or as it is."""

import re
from typing import NamedTuple

from tests.support.gateway.calls import Call


class Upload(NamedTuple):
    """The bytes of a file, and what the client says of them."""

    content: bytes
    content_type: str
    cache_control: str


def uploaded(call: Call) -> Upload:
    """What a POST or PUT brings; of a form, the part with a file name."""
    kind = call.headers.get("content-type", "application/octet-stream")
    cache_control = call.headers.get("cache-control", "no-cache")
    boundary = re.search(r'boundary="?([^";]+)"?', kind)
    if not kind.startswith("multipart/form-data") or boundary is None:
        return Upload(call.body, kind, cache_control)
    content, content_type = b"", "application/octet-stream"
    for part in call.body.split(b"--" + boundary[1].encode())[1:-1]:
        head, _, value = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        told = head.decode().lower()
        if "filename=" in told:
            content = value.removesuffix(b"\r\n")
            found = re.search(r"content-type: *([^\r\n]+)", told)
            content_type = found[1] if found else content_type
        elif 'name="cachecontrol"' in told:
            cache_control = f"max-age={value.strip().decode()}"
    return Upload(content, content_type, cache_control)
