"""Requests over HTTP/1.1 with keep-alive, as light as Python can: raw bytes, a few streams, no library between.

In an open loop each request has its moment, whatever became of those before, and its latency counts from that moment:
what waits in the generator because the server is slow is not hidden (coordinated omission). How late the generator was
by itself (its own loop had no time) is reported separately.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

ANSWER_WITHIN_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: the status and the body."""

    status: int
    body: bytes


@dataclass(slots=True)
class Latencies:
    """Of the good answers, in seconds; `lateness` is the generator's own, of all requests."""

    seconds: list[float] = field(default_factory=list)
    lateness: list[float] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    failed: Counter[str] = field(default_factory=Counter)
    """Other statuses, and requests without an answer, by the error's class."""
    took_seconds: float = 0.0

    def told(self) -> str:
        """p50, p90, p99 and the greatest, in ms; what failed; how late the generator was."""
        failed = ", ".join(f"{count} x {what}" for what, count in sorted(self.failed.items())) or "none"
        rate = len(self.seconds) / self.took_seconds
        late = f"; generator late by {in_ms(self.lateness)}" if self.lateness else ""
        return (
            f"{len(self.seconds)} answered in {self.took_seconds:.1f} s ({rate:.0f}/s):"
            f" {in_ms(self.seconds)}; failed or lost: {failed}{late}"
        )


def in_ms(seconds: list[float]) -> str:
    """The percentiles of these in milliseconds."""
    if not seconds:
        return "-"
    found = sorted(seconds)
    places = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
    parts = [
        f"{name} {1000 * found[min(len(found) - 1, int(share * len(found)))]:.1f}" for name, share in places.items()
    ]
    return " ".join([*parts, f"max {1000 * found[-1]:.1f} ms"])


class Connections:
    """Connections to one server that are used again, the last one first."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self.opened = 0

    async def ask(self, request: bytes) -> Answer:
        """One request. Raises OSError, TimeoutError or EOFError where there is no answer: it is not sent again."""
        reader, writer = self._idle.pop() if self._idle else await self._open()
        try:
            async with asyncio.timeout(ANSWER_WITHIN_SECONDS):
                writer.write(request)
                answer, stays = await _answer(reader)
        except BaseException:
            writer.close()
            raise
        if stays:
            self._idle.append((reader, writer))
        else:
            writer.close()
        return answer

    async def close(self) -> None:
        """Closes what is idle."""
        for _, writer in self._idle:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        self.opened += 1
        return await asyncio.open_connection("127.0.0.1", self._port)


async def _answer(reader: asyncio.StreamReader) -> tuple[Answer, bool]:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    status = int(head[9:12])
    _, found, rest = head.partition(b"content-length:")
    if not found:
        raise OSError("the answer has no Content-Length")
    body = await reader.readexactly(int(rest.split(b"\r\n", 1)[0]))
    return Answer(status, body), b"connection: close" not in head


def post(port: int, path: str, body: bytes, headers: dict[str, str]) -> bytes:
    """The bytes of a request."""
    lines = [f"POST {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Content-Type: application/json"]
    lines += [f"{name}: {value}" for name, value in headers.items()] + [f"Content-Length: {len(body)}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def get(port: int, path: str) -> bytes:
    """The bytes of a request."""
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()


async def open_loop(
    port: int, request_of: Callable[[int], bytes], *, per_second: float, seconds: float, good: int
) -> Latencies:
    """So many requests a second, evenly, for so many seconds; `request_of` is called with 0, 1, 2, …"""
    return await paced(port, request_of, per_second=per_second, goes_on=lambda passed: passed < seconds, good=good)


async def paced(
    port: int, request_of: Callable[[int], bytes], *, per_second: float, goes_on: Callable[[float], bool], good: int
) -> Latencies:
    """The same, as long as `goes_on` says of the seconds that have passed."""
    found, connections = Latencies(), Connections(port)
    running: set[asyncio.Task[None]] = set()
    began, number = time.perf_counter(), 0
    while goes_on(number / per_second):
        due = began + number / per_second
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        found.lateness.append(max(0.0, time.perf_counter() - due))
        task = asyncio.create_task(_one(connections, request_of(number), due, good, found))
        running.add(task)
        task.add_done_callback(running.discard)
        number += 1
    if running:
        await asyncio.wait(running)
    found.took_seconds = time.perf_counter() - began
    await connections.close()
    return found


async def closed_loop(
    port: int, request_of: Callable[[int], bytes], *, clients: int, seconds: float, good: int
) -> Latencies:
    """So many clients, each of which asks again as soon as it has its answer."""
    found, connections = Latencies(), Connections(port)
    began, numbers = time.perf_counter(), iter(range(10**9))

    async def client() -> None:
        while (now := time.perf_counter()) - began < seconds:
            await _one(connections, request_of(next(numbers)), now, good, found)

    await asyncio.gather(*(client() for _ in range(clients)))
    found.took_seconds = time.perf_counter() - began
    await connections.close()
    return found


async def _one(connections: Connections, request: bytes, due: float, good: int, found: Latencies) -> None:
    try:
        answer = await connections.ask(request)
    except (OSError, EOFError) as error:  # TimeoutError is an OSError
        found.failed[type(error).__name__] += 1
        return
    if answer.status != good:
        found.failed[str(answer.status)] += 1
        return
    found.seconds.append(time.perf_counter() - due)
    found.bodies.append(answer.body)
