"""Clients for a stand-in: the official one, and plain HTTP with the headers that the official one sends.

Nothing is verified, since nothing is encrypted: loading the certificates takes longer than most requests.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from supabase import Client, create_client
from supabase.lib.client_options import SyncClientOptions

from tests.support.gateway.keys import Project


@contextmanager
def official(project: Project, key: str, *, timeout: float = 20) -> Iterator[Client]:
    """The official client as its users make it, over HTTP/1.1 and closed at the end."""
    with httpx.Client(http2=False, timeout=timeout, verify=False) as http:
        yield create_client(project.url, key, SyncClientOptions(httpx_client=http))


@contextmanager
def plain(project: Project, key: str, *, token: str | None = None, timeout: float = 20) -> Iterator[httpx.Client]:
    """Plain HTTP, with `key`, and another token where it is a user who asks."""
    headers = {"apikey": key, "Authorization": f"Bearer {token or key}", "Accept-Encoding": "identity"}
    with httpx.Client(base_url=project.url, headers=headers, timeout=timeout, verify=False) as http:
        yield http
