"""Supabase through its official client: functions are called over the REST interface, in requests of moderate size."""

import re
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import httpx
from postgrest.exceptions import APIError
from supabase import create_client
from supabase.lib.client_options import SyncClientOptions

from ray_import.chunks.rows import ChunkRow, MessageRow
from ray_import.credentials import SupabaseAccess
from ray_import.destinations.postgres.calls import PartLimits
from ray_import.destinations.postgres.rows import chunk_object, message_object
from ray_import.destinations.postgres.sqlstates import LATER, sink_error
from ray_import.destinations.refusals import unknown_user
from ray_import.errors import ConfigError, RowsRefused, SinkBusy, SinkError, SinkOverloaded
from ray_import.retry import retry_after_seconds

TIMEOUT = httpx.Timeout(60.0, connect=10.0)
MOST_ROWS, MOST_BYTES = 1000, 1024 * 1024
LEAST_ROWS, LEAST_BYTES = 50, 64 * 1024
_CODE = re.compile(r"[0-9A-Z]{5}|PGRST[0-9A-Z]{3}")
_UNKNOWN_ROLE = "22023"
_NO_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE")
_TLS_WITHOUT_TRUST = "The TLS certificate of SUPABASE_URL is not trusted"
_HINT_OF_TRUST = (
    "Check SUPABASE_URL; for a certificate authority of your own, set SSL_CERT_FILE to its certificate (PEM)."
)
_HINT_OF_TIMEOUT = (
    "A statement is too slow, or a trigger or function of yours always raises 40001 or 40P01, which PostgREST retries"
    " without end: docs/supabase.md, Errors."
)
GROWTH = 1.25
"""Of the size of a request with each one that goes well, after one that was too much."""


class SupabaseDatabase:
    """A client of one's own: one that is shared by threads or processes breaks (supabase-py issue 1064)."""

    def __init__(self, access: SupabaseAccess, timeout: httpx.Timeout = TIMEOUT) -> None:
        self._status = 0
        self._is_result = False
        self._retry_after_seconds = 0.0
        self._timeout_seconds = timeout.read or 0.0
        # HTTP/1.1: over HTTP/2 one GOAWAY ends all that is under way.
        self._http = httpx.Client(http2=False, timeout=timeout, event_hooks={"response": [self._look_at]})
        try:
            options = SyncClientOptions(httpx_client=self._http, auto_refresh_token=False, persist_session=False)
            self._client = create_client(access.url, access.key.get_secret_value(), options)
        except Exception:  # noqa: BLE001 - its errors quote what they do not like
            self._http.close()
            raise ConfigError("SUPABASE_URL or SUPABASE_SERVICE_KEY is malformed.") from None
        self.limits = PartLimits(MOST_ROWS, MOST_BYTES)

    def _look_at(self, response: httpx.Response) -> None:
        """The client keeps none of these."""
        self._status = response.status_code
        self._is_result = response.status_code == 204 or "json" in response.headers.get("content-type", "")
        self._retry_after_seconds = retry_after_seconds(response.headers.get("retry-after", ""))

    def call(self, function: str, arguments: dict[str, Any]) -> Any:
        with self._translated():
            data = self._client.rpc(function, arguments).execute().data
        if not self._is_result:  # the page of whoever stands between, with a status that says all is well
            raise SinkBusy("Supabase sent an unexpected answer.", "Check SUPABASE_URL.")
        return data

    def write(
        self, batch: dict[str, Any], chunks: Sequence[ChunkRow], messages: Sequence[MessageRow]
    ) -> list[dict[str, Any]]:
        """See `Database.write`; the size of later parts follows how this one goes."""
        arguments = {
            "p_batch": batch,
            "p_chunks": [chunk_object(chunk) for chunk in chunks],
            "p_messages": [message_object(message) for message in messages],
        }
        try:
            fates = self.call("ray_import_write", arguments)
        except SinkOverloaded:
            self.limits.rows = max(LEAST_ROWS, self.limits.rows // 2)
            self.limits.bytes = max(LEAST_BYTES, self.limits.bytes // 2)
            raise
        self.limits.rows = min(MOST_ROWS, int(self.limits.rows * GROWTH))
        self.limits.bytes = min(MOST_BYTES, int(self.limits.bytes * GROWTH))
        if fates == {"unknown_user": True}:
            raise unknown_user(batch["user_id"])
        if not isinstance(fates, list):
            raise SinkBusy("Supabase sent an unexpected answer.", "Check SUPABASE_URL.")
        return fates

    def close(self) -> None:
        self._http.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        self._status = 0
        self._retry_after_seconds = 0.0
        try:
            yield
        except APIError as error:
            raise self._ours(error) from None
        except httpx.TimeoutException:
            raise SinkOverloaded(
                f"Supabase did not answer in time ({self._timeout_seconds:g} s).", _HINT_OF_TIMEOUT, "timeout"
            ) from None
        except httpx.HTTPError as error:
            raise _not_connected(error) from None
        except UnicodeEncodeError:
            raise RowsRefused("A row contains invalid text (22021).", code="22021") from None

    def _ours(self, error: APIError) -> SinkError:
        """A gateway's error has no code of the database's. PostgREST sends HTTP 400 with an empty code when its
        connection to Postgres broke without an SQLSTATE, and 401 with 22023 when the role of the key does not exist.
        """
        code = error.code or ""
        if self._status == 400 and error.code == "":
            what = "PostgREST has lost its connection to the database (HTTP 400 with an empty code)."
            return SinkBusy(what, LATER, self._retry_after_seconds, "400")
        if self._status == 401 and code == _UNKNOWN_ROLE:
            return SinkError(
                f"The role in SUPABASE_SERVICE_KEY does not exist in the project's database ({_UNKNOWN_ROLE}).",
                "SUPABASE_SERVICE_KEY is not a key of this project: copy its secret key.",
                "401",
            )
        is_known = isinstance(code, str) and _CODE.fullmatch(code)
        return sink_error(code if is_known else str(self._status), self._retry_after_seconds)


def _not_connected(error: httpx.HTTPError) -> SinkError:
    """A certificate that is not trusted, and a server without TLS, stay as they are: neither is retried."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):  # its words are OpenSSL's own
            return SinkError(f"{_TLS_WITHOUT_TRUST}: {cause.verify_message.rstrip('.')}.", _HINT_OF_TRUST)
        if isinstance(cause, ssl.SSLError) and cause.reason in _NO_TLS:
            return SinkError(
                "The server at SUPABASE_URL does not speak TLS.",
                "Use http:// in SUPABASE_URL.",
            )
        cause = cause.__cause__ or cause.__context__
    what = f"Supabase cannot be reached, or the connection was lost ({type(error).__name__})."
    return SinkBusy(what, "Check SUPABASE_URL.")
