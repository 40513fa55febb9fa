"""A headless Chromium, driven over its own protocol through a pipe."""

import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next((path for path in map(shutil.which, NAMES) if path), None)
BECOME = "import os, sys; a = sys.argv; os.dup2(int(a[1]), 3); os.dup2(int(a[2]), 4); os.execv(a[3], a[3:])"
"""The browser reads at descriptor 3 and writes at 4."""
WITHIN_SECONDS = 90


class Browser:
    """One page. It answers HTTP Basic with the password that it was given."""

    def __init__(self, writing: int, reading: int, password: str) -> None:
        self._writing, self._reading, self._password = writing, reading, password
        self._buffer = b""
        self._sent = 0
        self._session: str | None = None
        self.challenges = 0
        """How often a password was asked for."""
        self.complaints: list[str] = []
        """What the browser says in its console: errors, and what the page's policy has blocked."""
        self.requests: list[str] = []
        """The addresses that it has asked for."""
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")
        self.ask("Fetch.enable", handleAuthRequests=True)

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Calls a method of the protocol, and gives its result."""
        number = self._send(method, parameters)
        while True:
            message = self._receive(WITHIN_SECONDS)
            if message.get("id") == number:
                assert "error" not in message, message
                result: dict[str, Any] = message["result"]
                return result

    def open(self, url: str) -> None:
        """Goes to an address, and waits until the page is there."""
        self.ask("Page.navigate", url=url)
        self.wait_for(lambda: self.evaluate("document.readyState") == "complete")

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression on the page; None where it has none, or the page is just changing."""
        return self.ask("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def wait_for(self, holds: Callable[[], bool]) -> None:
        """Looks again and again, and handles meanwhile what the browser reports. Raises TimeoutError."""
        deadline = time.monotonic() + WITHIN_SECONDS
        while not holds():
            if time.monotonic() > deadline:
                raise TimeoutError(self.complaints)
            if select.select([self._reading], [], [], 0.1)[0]:
                self._receive(WITHIN_SECONDS)

    def _send(self, method: str, parameters: dict[str, Any]) -> int:
        self._sent += 1
        session = {} if self._session is None else {"sessionId": self._session}
        message = {"id": self._sent, "method": method, "params": parameters, **session}
        os.write(self._writing, json.dumps(message).encode() + b"\0")
        return self._sent

    def _receive(self, within_seconds: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            assert select.select([self._reading], [], [], within_seconds)[0], "the browser says nothing"
            part = os.read(self._reading, 65536)
            assert part, "the browser has ended"
            self._buffer += part
        line, self._buffer = self._buffer.split(b"\0", 1)
        message: dict[str, Any] = json.loads(line)
        self._handle(message.get("method", ""), message.get("params", {}))
        return message

    def _handle(self, event: str, params: dict[str, Any]) -> None:
        match event:
            case "Fetch.requestPaused":
                self._send("Fetch.continueRequest", {"requestId": params["requestId"]})
            case "Fetch.authRequired":
                self.challenges += 1
                answer = {"response": "ProvideCredentials", "username": "operator", "password": self._password}
                request = params["requestId"]
                self._send("Fetch.continueWithAuth", {"requestId": request, "authChallengeResponse": answer})
            case "Network.requestWillBeSent":
                self.requests.append(params["request"]["url"])
            case "Log.entryAdded":
                self.complaints.append(params["entry"]["text"])
            case "Runtime.consoleAPICalled" | "Runtime.exceptionThrown" | "Page.javascriptDialogOpening":
                self.complaints.append(json.dumps(params))


@contextmanager
def browser(folder: Path, password: str) -> Iterator[Browser]:
    """Starts one, with a profile of its own below `folder`, and ends it."""
    assert CHROMIUM is not None
    to_read, writing = os.pipe()
    reading, to_write = os.pipe()
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
        f"--user-data-dir={folder / 'chromium'}", "--remote-debugging-pipe", "about:blank",
    ]  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-c", BECOME, str(to_read), str(to_write), *command],
        pass_fds=(to_read, to_write),
        stderr=subprocess.DEVNULL,
    )
    os.close(to_read)
    os.close(to_write)
    try:
        yield Browser(writing, reading, password)
    finally:
        os.close(writing)
        os.close(reading)
        process.terminate()
        process.wait(30)
