"""The fake API as a process: `python -m tests.support.model_api --port 0`. It prints one line of JSON with
`url` and `key`, and ends when its standard input does."""

import argparse
import json
import secrets
import sys
import threading

from tests.support.model_api.app import ModelApp
from tests.support.model_api.server import listener, server_of


def main() -> None:
    """Serves until standard input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--key", default="")
    parser.add_argument("--dials", type=json.loads, default={}, help="JSON of tests.support.model_api.dials.Dials")
    options = parser.parse_args()
    key = options.key or f"sk-ant-fake-{secrets.token_hex(12)}"
    app = ModelApp(key)
    app.dials.update(options.dials)
    with listener(options.port) as found:
        server = server_of(app)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [found]})
        thread.start()
        url = f"http://127.0.0.1:{found.getsockname()[1]}"
        sys.stdout.write(json.dumps({"url": url, "key": key}) + "\n")
        sys.stdout.flush()
        sys.stdin.read()
        server.should_exit = True
        app.close()
        thread.join()
    sys.stderr.writelines(app.ledger.failures)


if __name__ == "__main__":
    main()
