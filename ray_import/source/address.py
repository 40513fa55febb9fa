"""What a SOURCE names: a path, `https://…` or `supabase://BUCKET/KEY`, and how it is called where others may read."""

import base64
import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from ray_import.chatgpt.files import base_name, shown
from ray_import.errors import ConfigError
from ray_import.settings import AllowedHost, SourceRules

ANY_SOURCE = SourceRules()

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
_USER = re.compile(r"://[^/?#]*@")
_ANY_USER = re.compile(r"://.*@", re.DOTALL)
_ENDS_WITH_SCHEME = re.compile(r"[A-Za-z0-9+.-]+\Z")
DEFAULT_PORTS = {"http": 80, "https": 443}
_OF_PATHS = ("supabase", "sqlite")


@dataclass(frozen=True, slots=True)
class HttpAddress:
    """An object on a server. All but `label` and `name` may hold secrets, and does not show itself.

    `label` is what people, logs and databases see; `name` is the last part of the path. `credentials` are headers
    for the origin of `url` alone. `of_project` says whether that is the Supabase project of the environment.
    `rules` hold for `url` and for all that it redirects to.
    """

    label: str
    name: str
    url: str = field(repr=False)
    credentials: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    of_project: bool = False
    rules: SourceRules = ANY_SOURCE


def without_secrets(text: str) -> str:
    """`text`, an argument that may be a URL or end with one, without its users and all from the first ? or # on.

    Tokens stand there, and passwords before a host. In the address of a database libpq takes ?, # and / for a part
    of the password, too: where it cannot be told where that ends, nothing is shown of the address.
    """
    before, mark, url = text.partition("://")
    if not mark:
        return text
    place, *rest = re.split("[?#]", url, maxsplit=1)
    found = _ENDS_WITH_SCHEME.search(before)
    scheme = found[0].lower() if found is not None else ""
    if scheme in DEFAULT_PORTS:
        return f"{before}{mark}{_host_and_path(url)}"
    if scheme in _OF_PATHS:
        return _USER.sub("://", before + mark + place)
    if "@" in "".join(rest):
        return f"{before}{mark}…"
    return _ANY_USER.sub("://", before + mark + place)


def _host_and_path(url: str) -> str:
    """What may be shown of `url`, without its scheme; another URL may follow in it.

    Where an `@` follows the first / ? or #, what stands before may be a user and the beginning of a password that is
    not escaped: then nothing behind the first colon is shown, and nothing at all where an `@` stands before it, too.
    """
    authority, *_ = re.split("[/?#]", url, maxsplit=1)
    behind, mark, other = url[len(authority) :].partition("://")
    if ":" in authority and "@" in behind:
        return "…" if "@" in authority else f"{authority.partition(':')[0]}…"
    host = authority.rpartition("@")[2]
    name, colon, port = host.rpartition(":")
    if colon and not host.endswith("]") and not port.isdecimal():  # a password without its host
        return f"{name.partition(':')[0]}…"
    path, *query = re.split("[?#]", behind, maxsplit=1)
    return host + path + (mark + _host_and_path(other) if mark and not query else "")


def label_of(source: str | os.PathLike[str]) -> str:
    """How a source is called in messages and in its job, whether it can be read or not."""
    if not isinstance(source, str):
        return shown(os.fspath(source))
    return shown(source if source.startswith("supabase://") else without_secrets(source))


def path_of(source: str) -> Path | None:
    """The path that `source` is; None where it is an address."""
    return None if _SCHEME.match(source) else Path(source)


def absolute(source: str) -> str:
    """`source` so that it is the same one in any working directory."""
    path = path_of(source)
    return source if path is None else str(path.absolute())


def address_of(source: str | os.PathLike[str], rules: SourceRules = ANY_SOURCE) -> Path | HttpAddress:
    """What `source` names; a PathLike is a path whatever is in it. The `rules` are not applied here: an address
    carries them, and who opens a path asks `permitted` (ray_import.source.files).

    Raises ConfigError where it is empty or no address that can be, or where the project of `supabase://` is not set.
    """
    scheme = _SCHEME.match(source) if isinstance(source, str) else None
    if isinstance(source, str) and not source.strip():
        raise ConfigError("A source is empty.", "Give a path, https://…, http://… or supabase://BUCKET/PATH.")
    if scheme is None or not isinstance(source, str):
        return Path(source)
    match scheme[1].lower():
        case "http" | "https":
            return replace(_at_url(source), rules=rules)
        case "supabase":
            return _with_own_host_allowed(_in_storage(source, source[scheme.end() :]), rules)
        case _:
            raise ConfigError(
                f"{label_of(source)} cannot be read: {scheme[1]}:// is not supported.",
                "Give a path, https://…, http://… or supabase://BUCKET/PATH.",
            )


def _at_url(source: str) -> HttpAddress:
    label = label_of(source)
    try:
        parts = urlsplit(source)
        host, port = parts.hostname, parts.port
        source.encode()
    except ValueError:
        host = port = None
    if not host or not source.isprintable() or " " in source:
        raise ConfigError(
            f"{label} is not a valid address.", "Use the form 'https://host/path/export.zip?token=…', in quotes."
        )
    netloc = (f"[{host}]" if ":" in host else host) + (f":{port}" if port else "")
    url = parts._replace(netloc=netloc, fragment="").geturl()
    credentials = (("Authorization", _basic(parts.username, parts.password or "")),) if parts.username else ()
    return HttpAddress(label, shown(base_name(unquote(parts.path))) or host, url, credentials)


def _basic(user: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{unquote(user)}:{unquote(password)}'.encode()).decode()}"


def _in_storage(source: str, named: str) -> HttpAddress:
    """Of `supabase://BUCKET/KEY`; what a key may hold the server says, but it leads nowhere else in the project."""
    bucket, _, key = named.partition("/")
    if not bucket or not key or {"", ".", ".."} & {bucket, *key.split("/")}:
        raise ConfigError(
            f"{label_of(source)} does not name an object.", "Use the form supabase://BUCKET/folder/export.zip."
        )
    place = "/".join(quote(part, safe="", errors="surrogateescape") for part in (bucket, *key.split("/")))
    return in_project(label_of(source), shown(base_name(key)), f"storage/v1/object/authenticated/{place}")


def _with_own_host_allowed(address: HttpAddress, rules: SourceRules) -> HttpAddress:
    """Of `supabase://`: the operator has named the project, wherever it runs."""
    own = allowed_origin(address.url)
    return replace(address, rules=replace(rules, allowed_hosts=(*rules.allowed_hosts, own)))


def allowed_origin(url: str) -> AllowedHost:
    """The host and port of an http(s) URL, as `SourceRules.allowed_hosts` holds them."""
    parts = urlsplit(url)
    return AllowedHost((parts.hostname or "").rstrip("."), parts.port or DEFAULT_PORTS.get(parts.scheme, 443))


def in_project(label: str, name: str, path: str) -> HttpAddress:
    """What is at `path` in the Supabase project of the environment. Raises ConfigError where that is not set."""
    from ray_import.credentials import supabase_access  # noqa: PLC0415 - a fifth of a second that a path need not wait

    access = supabase_access()
    secret = access.key.get_secret_value()
    credentials = (("apikey", secret), ("Authorization", f"Bearer {secret}"))
    return HttpAddress(label, name, f"{access.url}/{path}", credentials, of_project=True)
