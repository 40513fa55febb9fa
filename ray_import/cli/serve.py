"""The command `ray-import serve` and its options."""

import os
import socket
import sys
from contextlib import suppress
from importlib.util import find_spec
from typing import Annotated

import typer

from ray_import.cli import options as o
from ray_import.cli.output import stderr
from ray_import.destinations.base import Destination
from ray_import.destinations.postgres.sqlstates import is_not_migrated
from ray_import.destinations.registry import parse_destination
from ray_import.errors import ConfigError, SinkBusy, SinkError

QUEUE_PATIENCE_SECONDS = 1.5
LOOPBACK, ALL_ADDRESSES = "127.0.0.1", "0.0.0.0"  # noqa: S104 - where a platform sets PORT


def serve(
    to: o.ToOption = o.DEFAULT_DESTINATION,
    host: Annotated[
        str | None,
        typer.Option(
            "--host", metavar="ADDRESS", help="Address to listen at; default: 127.0.0.1, or 0.0.0.0 where PORT is set."
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option("--port", metavar="N", min=0, max=65535, help="Port to listen at; default: PORT, or 8100."),
    ] = None,
    workers: Annotated[int, typer.Option("--workers", metavar="N", min=1, help="Number of web processes.")] = 1,
    timeout_keep_alive: Annotated[
        int,
        typer.Option("--timeout-keep-alive", metavar="S", min=1, help="Seconds until an idle connection is closed."),
    ] = 65,
    limit_concurrency: Annotated[
        int | None,
        typer.Option(
            "--limit-concurrency",
            metavar="N",
            min=2,
            help="Maximum number of open connections, idle ones too; above that, 503.",
        ),
    ] = None,
    backlog: Annotated[
        int, typer.Option("--backlog", metavar="N", min=1, help="Maximum number of connections not yet accepted.")
    ] = 2048,
    limit_max_requests: Annotated[
        int | None,
        typer.Option(
            "--limit-max-requests", metavar="N", min=1, help="Requests after which a web process is replaced."
        ),
    ] = None,
    limit_max_requests_jitter: Annotated[
        int,
        typer.Option("--limit-max-requests-jitter", metavar="N", min=0, help="Maximum random addition to that number."),
    ] = 0,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Allow requests without a secret, on loopback only.")
    ] = False,
) -> None:
    """Accept imports over HTTP and queue them; ray-import work executes them."""
    with o.report_errors():
        missing = [name for name in ("fastapi", "uvicorn") if find_spec(name) is None]
        if missing:
            raise ConfigError(
                f"The service needs packages that are not installed: {' and '.join(missing)}.",
                "Install them with pip install 'ray-import[serve]'.",
            )
        # Only now: these need pydantic's settings, and the packages above.
        from ray_import.service.web import settings as s  # noqa: PLC0415

        if limit_max_requests is not None and workers == 1:
            raise ConfigError(
                "--limit-max-requests with one worker would end the service.", "Use --workers 2, or leave it out."
            )
        if limit_max_requests is None and limit_max_requests_jitter:
            raise ConfigError(
                "--limit-max-requests-jitter needs --limit-max-requests.", "Give both, or leave the jitter out."
            )
        of_platform = s.port_of_environment() if port is None else None
        host = host or (LOOPBACK if of_platform is None else ALL_ADDRESSES)
        if insecure and not s.is_loopback(host):
            raise ConfigError(
                f"--insecure is not allowed with --host {host}.", "Set RAY_IMPORT_SECRET, or use --host 127.0.0.1."
            )
        settings = s.service_settings(insecure=insecure)
        destination = parse_destination(to)
        _check_queue(destination)
        destination.export_password(to_children=True)
        if not settings.sources.buckets and not settings.sources.hosts:
            stderr.print(
                "warning: RAY_IMPORT_BUCKETS and RAY_IMPORT_HOSTS are not set: no export is accepted.", soft_wrap=True
            )
        s.ServeOptions(
            to=to,
            insecure=insecure,
            workers=workers,
            timeout_keep_alive=timeout_keep_alive,
            limit_concurrency=limit_concurrency,
            backlog=backlog,
            limit_max_requests=limit_max_requests,
            limit_max_requests_jitter=limit_max_requests_jitter,
        ).export()
        chosen = next(number for number in (port, of_platform, s.DEFAULT_PORT) if number is not None)
        _become_web_process(_listener(host, chosen, backlog))


def _check_queue(destination: Destination) -> None:
    """Raises SinkError where the queue will never open. One that is away, or is to be migrated, makes /ready say so."""
    try:
        destination.open_jobs(patience_seconds=QUEUE_PATIENCE_SECONDS).close()
    except SinkBusy:
        pass
    except SinkError as error:
        if not is_not_migrated(error):
            raise


def _listener(host: str, port: int, backlog: int) -> socket.socket:
    """A socket that listens there. Raises ConfigError."""
    made = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        made = socket.socket(family, kind, protocol)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
        made.listen(backlog)
    except OSError as error:
        if made is not None:
            made.close()
        raise ConfigError(
            f"The service cannot listen at {host} port {port}: {error.strerror}.",
            "Give a free port with --port, or another address with --host.",
        ) from None
    return made


def _become_web_process(listener: socket.socket) -> None:
    """Replaces this process, so that the modules of the command line take no memory in the one that serves."""
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    stderr.print(f"listening at http://{shown}:{port}", soft_wrap=True)
    listener.set_inheritable(True)
    with suppress(OSError):
        sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, "-m", "ray_import.service", str(listener.fileno())])  # noqa: S606
