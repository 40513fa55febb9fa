"""Which exports a request may name: in buckets and on hosts that the operator allows, below the user's own folder.

The rules are applied before a job is queued. The worker applies its own when it reads (`SourceRules`).
"""

import re
import unicodedata
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from ray_import.errors import ConfigError
from ray_import.source.address import label_of

DEFAULT_PATTERN = "{user_id}/"
MOST_DECODINGS = 3
"""A path that is still percent-encoded after so many rounds of decoding is refused."""

_PLACEHOLDER = "{user_id}"
_STORAGE_URL = re.compile(r"/storage/v1/object/(?:sign|public|authenticated)/([^/]+)/(.+)")
"""The path of an object in Supabase Storage; signed URLs have this form."""
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_HOST = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
_HTTPS_PORT = 443


class SourceInvalid(ValueError):
    """The source of a request cannot be one. The text is ours."""


class SourceForbidden(Exception):
    """The rules do not allow the source of a request. The text is ours."""


@dataclass(frozen=True, slots=True)
class RequestedSource:
    """A source that is allowed: `source` as `ray-import run` takes it, which may be a secret, and its label."""

    source: str
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowedSources:
    """The allow-lists. `hosts` are pairs of a name in lower case and a port."""

    buckets: frozenset[str]
    hosts: frozenset[tuple[str, int]]
    pattern: str = DEFAULT_PATTERN
    """The folder of a user in a bucket or on a host, with `{user_id}`, and a slash at its end."""

    def source_of(self, storage_path: str, user_id: str) -> RequestedSource:
        """The source that `storage_path` names: `bucket/path`, `supabase://bucket/path` or an https URL.

        Raises SourceInvalid where it is none of these, and SourceForbidden where the bucket or host is not allowed, or
        the path is not below the folder of this user.
        """
        if not storage_path.isprintable() or "\\" in storage_path:
            raise SourceInvalid("storage_path contains characters that are not allowed")
        scheme, mark, rest = storage_path.partition("://")
        if not mark:
            return self._in_bucket(storage_path, user_id)
        match scheme.lower():
            case "supabase":
                return self._in_bucket(rest, user_id)
            case "https":
                return self._on_host(storage_path, user_id)
            case _:
                raise SourceInvalid("storage_path must be bucket/path, supabase://bucket/path or an https URL")

    def _in_bucket(self, named: str, user_id: str) -> RequestedSource:
        bucket, _, path = named.partition("/")
        if not bucket or not path:
            raise SourceInvalid("storage_path must be bucket/path, supabase://bucket/path or an https URL")
        if set("?#") & set(path):  # of a signed URL: the path would show its token
            raise SourceInvalid("storage_path must be the path of an object, without a query")
        self._check_bucket(bucket)
        self._check_folder(path, user_id)
        source = f"supabase://{bucket}/{path}"
        return RequestedSource(source, label_of(source))

    def _on_host(self, url: str, user_id: str) -> RequestedSource:
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").rstrip("."), parts.port
        except ValueError:
            host, port, parts = "", None, urlsplit("")
        if not _HOST.fullmatch(host) or " " in url or "@" in parts.netloc:
            raise SourceInvalid("storage_path is not a valid https URL")
        if (host, _HTTPS_PORT if port is None else port) not in self.hosts:
            raise SourceForbidden("The host of storage_path is not allowed.")
        in_storage = _STORAGE_URL.fullmatch(parts.path)
        if in_storage is not None:
            self._check_bucket(in_storage[1])
        path = in_storage[2] if in_storage is not None else parts.path.removeprefix("/")
        self._check_folder(unquote(path, errors="replace"), user_id)
        source = parts._replace(scheme="https", fragment="").geturl()
        return RequestedSource(source, label_of(source))

    def _check_bucket(self, bucket: str) -> None:
        if bucket not in self.buckets:
            raise SourceForbidden("The bucket of storage_path is not allowed.")

    def _check_folder(self, path: str, user_id: str) -> None:
        """`path` is decoded once. A server may decode it again: no form of it may lead out of the folder."""
        if not _is_plain(user_id) or "/" in user_id or unquote(user_id) != user_id:
            raise SourceForbidden("A user with this id has no folder of exports.")
        folder = self.pattern.replace(_PLACEHOLDER, user_id)
        decoded = path
        for _ in range(MOST_DECODINGS):
            if not _is_plain(decoded):
                raise SourceInvalid("storage_path contains parts that are not allowed")
            before, decoded = decoded, unquote(decoded, errors="replace")
        if decoded != before:
            raise SourceInvalid("storage_path is percent-encoded several times")
        if not path.startswith(folder):
            raise SourceForbidden("storage_path is not below the folder of this user.")


def allowed_sources(buckets: str, hosts: str, pattern: str) -> AllowedSources:
    """The allow-lists of RAY_IMPORT_BUCKETS and RAY_IMPORT_HOSTS (with commas), and RAY_IMPORT_PATH_PATTERN. Raises
    ConfigError."""
    names = _listed(buckets)
    if any(not _BUCKET.fullmatch(name) for name in names):
        raise ConfigError(
            "The value of RAY_IMPORT_BUCKETS is not valid.", "Set it to names of buckets, separated by commas."
        )
    pattern = pattern or DEFAULT_PATTERN
    pattern = pattern if pattern.endswith("/") else f"{pattern}/"
    rest = pattern.removesuffix("/").replace(_PLACEHOLDER, "x")
    if pattern.count(_PLACEHOLDER) != 1 or not _is_plain(rest) or set("{}%?#") & set(rest):
        raise ConfigError(
            "The value of RAY_IMPORT_PATH_PATTERN is not valid.",
            "Set it to the folder of a user's exports, with {user_id} in it, such as exports/{user_id}/.",
        )
    return AllowedSources(
        buckets=frozenset(names), hosts=frozenset(map(_host_and_port, _listed(hosts))), pattern=pattern
    )


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _host_and_port(text: str) -> tuple[str, int]:
    name, colon, port = text.lower().partition(":")
    is_port = not colon or (port.isascii() and port.isdecimal() and len(port) < 6 and 0 < int(port) < 65536)
    if not _HOST.fullmatch(name.rstrip(".")) or not is_port:
        raise ConfigError(
            "The value of RAY_IMPORT_HOSTS is not valid.", "Set it to hosts, separated by commas: HOST or HOST:PORT."
        )
    return name.rstrip("."), int(port) if colon else _HTTPS_PORT


def _is_plain(path: str) -> bool:
    """Whether a path leads straight down: no empty part, no `.` or `..` (nor what some servers take for these), no
    backslash or control character."""
    parts = unicodedata.normalize("NFKC", path).split("/")
    leads_straight = all(part.partition(";")[0].strip(" ") not in ("", ".", "..") for part in parts)
    return path.isprintable() and "\\" not in path and leads_straight
