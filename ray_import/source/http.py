"""One request for bytes of an object, or a question, and its answer, in which nothing is left of what may be secret."""

import logging
import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import cache
from urllib.parse import urljoin, urlsplit

import httpx

from ray_import import __version__
from ray_import.errors import SourceError, SourceRefused
from ray_import.source.address import DEFAULT_PORTS, HttpAddress
from ray_import.source.network import NETWORK, Network, watch
from ray_import.source.patience import RetryPolicy
from ray_import.source.refusals import Refusal, changed, error_of, refusal, unavailable
from ray_import.source.ssrf_guard import guarded, refuse_inner
from ray_import.source.streams import exhausted, opening
from ray_import.source.waiting import Waiting

MAX_REDIRECTS = 5
MAX_REFUSAL_BYTES = 16 * 1024
"""How much of a refusal's text is looked at."""
MAX_ANSWER_BYTES = 16 * 1024 * 1024
"""Of an answer to a question: a page of a listing is one of them."""

_USER_AGENT = f"ray-import/{__version__}"
_REDIRECTS = {301, 302, 303, 307, 308}
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Answer:
    """The bytes `[start, end)` of an object; an `end` or a `size` that is not known is None.

    `is_part` says whether it is the range that was asked for, and not the whole. `version` differs for two contents
    of the object, as far as the server tells. An object without a byte has no ranges: it is a part without a response.

    `shows_changes` says whether two answers with the same `version`, `size` and `modified` are of the same content for
    sure. A strong ETag shows that by itself: `modified` is empty then.
    """

    start: int
    end: int | None
    size: int | None
    version: str
    is_part: bool
    pieces: Iterator[bytes]
    response: httpx.Response | None = None
    modified: str = ""
    shows_changes: bool = False

    def is_of_same_content(self, later: "Answer") -> bool:
        """Whether `later` is of the content that this answer is of, as far as the server tells."""
        same = (self.version, self.size) == (later.version, later.size)
        return same and (not self.modified or self.modified == later.modified)

    def close(self) -> None:
        """Lets go of the connection; one that was read to the end is used again."""
        if self.response is not None:
            self.response.close()


class Client:
    """Asks for bytes of one object. Raises SourceRefused and its kinds, which name its label alone, and
    ResourcesExhausted if this process can open no more files."""

    def __init__(self, address: HttpAddress, patience: RetryPolicy, network: Network = NETWORK) -> None:
        """Waits are counted, and end, where `patience` has a `waiting`."""
        self.address = address
        self.patience = patience
        self._credentials = dict(address.credentials)
        wait, connect = patience.read_seconds, patience.connect_seconds
        self._http = httpx.Client(
            verify=_trusted(),
            timeout=httpx.Timeout(wait, connect=connect),
            follow_redirects=False,
            transport=guarded(address, _trusted(), network, patience.waiting),
        )
        if patience.waiting is not None:
            _watch(self._http, patience.waiting)
        for noisy in ("httpx", "httpcore"):  # they log addresses with their tokens, and headers
            logging.getLogger(noisy).setLevel(logging.WARNING)

    def close(self) -> None:
        """Closes all connections."""
        self._http.close()

    def get(self, start: int | None = None, end: int | None = None) -> Answer:
        """The bytes `[start, end)`, as far as there are any, or the whole without a `start`. One attempt."""
        headers = {"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": _USER_AGENT}
        if start is not None:
            headers["Range"] = f"bytes={start}-{'' if end is None else end - 1}"
        with self._told():
            response = self._followed(headers)
            if response.status_code in (200, 206):
                return self._answer(response)
            refused = self._refused(response)
        if refused.status == 416 and start is not None:
            if start:
                raise changed(self.address)
            return Answer(0, 0, 0, "", is_part=True, pieces=iter(()))
        raise error_of(self.address, refused)

    def asked(self, question: object = None) -> bytes:
        """The whole answer to a question that is sent as JSON, or to none. One attempt; no redirect is followed."""
        headers = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": _USER_AGENT}
        method = "GET" if question is None else "POST"
        with self._told():
            request = self._http.build_request(
                method, self.address.url, headers=headers | self._credentials, json=question
            )
            response = self._http.send(request, stream=True, auth=None)
            if response.status_code != 200:
                raise error_of(self.address, self._refused(response))
            answer, whole = self._read_up_to(response, MAX_ANSWER_BYTES)
        if not whole:
            raise SourceRefused(
                f"The server's answer for {self.address.label} is larger than {MAX_ANSWER_BYTES:,} bytes."
            )
        return answer

    def _followed(self, headers: dict[str, str]) -> httpx.Response:
        """The answer behind all redirects; what is secret goes to the address's own origin alone."""
        url = self.address.url
        for redirects in range(MAX_REDIRECTS + 1):
            refuse_inner(self.address, url, redirected=redirects > 0)
            own = self._credentials if _origin(url) == _origin(self.address.url) else {}
            request = self._http.build_request("GET", url, headers={**headers, **own})
            response = self._http.send(request, stream=True, auth=None)
            if response.status_code not in _REDIRECTS:
                return response
            response.close()
            url = self._next(url, response.headers.get("location", ""))
        raise SourceRefused(f"{self.address.label} is redirected more than {MAX_REDIRECTS} times.")

    def _next(self, url: str, location: str) -> str:
        """Where a redirect leads. Raises SourceRefused where that is no http(s), or leads out of https."""
        url, came_from = urljoin(url, location), urlsplit(url).scheme
        parts = urlsplit(url)
        if not location or not parts.hostname or parts.username or parts.scheme not in ("https", came_from):
            raise SourceRefused(f"{self.address.label} is redirected to an address that is not followed.")
        return url

    def _refused(self, response: httpx.Response) -> Refusal:
        body, _ = self._read_up_to(response, MAX_REFUSAL_BYTES)
        return refusal(response.status_code, response.headers, body)

    @staticmethod
    def _read_up_to(response: httpx.Response, most_bytes: int) -> tuple[bytes, bool]:
        """The body as it was sent, and whether that is all of it; where not, it is a little more than `most_bytes`."""
        body = bytearray()
        try:
            for piece in response.iter_raw():
                body += piece
                if len(body) > most_bytes:
                    return bytes(body), False
        finally:
            response.close()
        return bytes(body), True

    def _answer(self, response: httpx.Response) -> Answer:
        headers = response.headers
        told = _told_of_content(headers)
        if response.status_code == 200:
            size = _number(headers.get("content-length", ""))
            pieces = self._pieces(response, size)
            self._announced(size)
            return Answer(0, size, size, told.version, False, pieces, response, told.modified, told.shows_changes)
        found = _CONTENT_RANGE.fullmatch(headers.get("content-range", ""))
        start, end = (int(found[1]), int(found[2]) + 1) if found is not None else (0, 0)
        if found is None or end <= start:
            response.close()
            raise SourceRefused(f"{self.address.label} cannot be read: the server does not say which range it sends.")
        pieces, size = self._pieces(response, end - start), _number(found[3])
        self._announced(size)
        return Answer(start, end, size, told.version, True, pieces, response, told.modified, told.shows_changes)

    def _announced(self, size: int | None) -> None:
        if self.patience.waiting is not None and size is not None:
            self.patience.waiting.announce(size)

    def _pieces(self, response: httpx.Response, expected: int | None) -> Iterator[bytes]:
        came = 0
        with self._told():
            for piece in response.iter_raw():
                came += len(piece)
                yield piece
        if expected is not None and came < expected:
            raise unavailable(self.address, "the connection was lost")

    @contextmanager
    def _told(self) -> Iterator[None]:
        """What httpx raises holds addresses: it goes no further than this."""
        try:
            yield
        except httpx.TimeoutException:
            raise unavailable(self.address, f"no answer within {self.patience.read_seconds:g} s") from None
        except httpx.ConnectError as error:
            raise self._not_connected(error) from None
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, ValueError):
            raise SourceRefused(
                f"{self.address.label} is not a valid address, or is redirected to one that is not."
            ) from None
        except httpx.TransportError:
            raise unavailable(self.address, "the connection was lost") from None

    def _not_connected(self, error: BaseException | None) -> SourceError:
        label = self.address.label
        while error is not None:
            if isinstance(error, OSError) and (failure := exhausted(error)):
                return failure
            if isinstance(error, ssl.SSLCertVerificationError):
                return SourceRefused(f"{label} cannot be read: the server's certificate is not trusted.")
            if isinstance(error, socket.gaierror) and error.errno == socket.EAI_NONAME:
                return SourceRefused(f"The host name in {label} cannot be resolved.", "Check the address.")
            error = error.__cause__ or error.__context__
        return unavailable(self.address, "the server cannot be reached")


@cache
def _trusted() -> ssl.SSLContext:
    """Made once: reading all certificates takes as long as a request. Raises ResourcesExhausted."""
    with opening():
        return httpx.create_ssl_context()


def _watch(client: httpx.Client, waiting: Waiting) -> None:
    """Counts all waits of the client on sockets; a guarded transport does so by itself."""
    for transport in (client._transport, *client._mounts.values()):  # noqa: SLF001
        if isinstance(transport, httpx.HTTPTransport):  # None of a host for which there is no proxy
            watch(transport, waiting)


@dataclass(frozen=True, slots=True)
class _ToldOfContent:
    version: str
    modified: str
    shows_changes: bool


def _told_of_content(headers: Mapping[str, str]) -> _ToldOfContent:
    """What the headers of an answer tell of which content it is.

    A weak ETag may stay where bytes change (RFC 9110, 8.8.1), so the date has to be the same, too. A date shows all
    changes only from the next second on: it has to be older than the answer (RFC 9110, 8.8.2.2).
    """
    etag, modified = headers.get("etag", ""), headers.get("last-modified", "")
    if etag and not etag.startswith("W/"):
        return _ToldOfContent(etag, "", shows_changes=True)
    return _ToldOfContent(etag.removeprefix("W/") or modified, modified, _is_before(modified, headers.get("date", "")))


def _is_before(earlier: str, later: str) -> bool:
    """Whether one date of HTTP is at least a second before the other; False where one of them is none."""
    try:
        return parsedate_to_datetime(earlier) < parsedate_to_datetime(later)
    except (ValueError, TypeError):
        return False


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() else None


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or DEFAULT_PORTS.get(parts.scheme)
