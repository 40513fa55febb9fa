"""A web process: `ray-import serve` becomes this one, which has none of the command line in its memory."""

import signal
import socket
import sys

import uvicorn
from uvicorn.supervisors import Multiprocess

from ray_import.service.web.settings import ServeOptions

GRACEFUL_SECONDS = 15
"""For requests that are being answered at SIGTERM; all answers come within a few seconds."""
MOST_HEAD_BYTES = 16 * 1024
"""The request line and the headers together."""
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line", "stream": "ext://sys.stderr"}},
    "root": {"handlers": ["stderr"], "level": "INFO"},
}


def main() -> None:
    """Serves at the socket whose number is the argument, until SIGTERM or Ctrl-C; then exit code 0."""
    # The server's own handlers take their place while it runs; it sends itself the signal again when it has ended.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    options = ServeOptions.of_environment()
    listener = socket.socket(fileno=int(sys.argv[1]))
    config = uvicorn.Config(
        "ray_import.service.web.app:make_app",
        factory=True,
        workers=options.workers,
        timeout_keep_alive=options.timeout_keep_alive,
        limit_concurrency=options.limit_concurrency,
        backlog=options.backlog,
        limit_max_requests=options.limit_max_requests,
        limit_max_requests_jitter=options.limit_max_requests_jitter,
        timeout_graceful_shutdown=GRACEFUL_SECONDS,
        log_config=LOGGING,
        access_log=False,  # it has the query
        http="h11",  # httptools bounds neither the address nor the headers: a stranger could fill the memory
        h11_max_incomplete_event_size=MOST_HEAD_BYTES,
        server_header=False,
        proxy_headers=False,
        ws="none",
    )
    if options.workers > 1:
        Multiprocess(config, [listener]).run()
        return
    server = uvicorn.Server(config)
    server.run([listener])
    sys.exit(0 if server.started else 3)


if __name__ == "__main__":
    main()
