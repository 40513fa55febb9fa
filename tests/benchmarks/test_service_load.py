"""The generator of load, against a small server on loopback."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from benchmarks.open_loop import Answer, Connections, closed_loop, get, in_ms, open_loop, post

STALL_SECONDS = 0.3


class Server:
    """Answers with the body that was sent; stalls for all connections at the request number `stalls_at`."""

    def __init__(self, *, stalls_at: int = 0, status: int = 200, says_close: bool = False) -> None:
        self.asked = 0
        self.connections = 0
        self._stalls_at = stalls_at
        self._status = status
        self._says_close = says_close

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.connections += 1
        while not reader.at_eof():
            try:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
            except asyncio.IncompleteReadError:
                break
            length = head.partition("Content-Length: ")[2].partition("\r\n")[0]
            body = await reader.readexactly(int(length or 0))
            self.asked += 1
            if self.asked == self._stalls_at:
                time.sleep(STALL_SECONDS)  # the whole loop stands still, the generator's too
            close = "Connection: close\r\n" if self._says_close else ""
            writer.write(f"HTTP/1.1 {self._status} X\r\n{close}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            if self._says_close:
                break
        writer.close()


@asynccontextmanager
async def served(server: Server) -> AsyncIterator[int]:
    """Its port."""
    listening = await asyncio.start_server(server.answer, "127.0.0.1", 0)
    async with listening:
        yield listening.sockets[0].getsockname()[1]


def test_open_loop_counts_from_the_scheduled_moment_when_the_server_stalls() -> None:
    async def run() -> list[float]:
        async with served(Server(stalls_at=10)) as port:
            found = await open_loop(port, lambda _: get(port, "/"), per_second=100, seconds=0.6, good=200)
            return found.seconds

    seconds = asyncio.run(run())
    assert len(seconds) == 60
    # All that were due within the stall have waited, not only the one that met it.
    assert sum(each > STALL_SECONDS / 3 for each in seconds) >= 10


def test_open_loop_tells_its_own_lateness_when_it_was_late() -> None:
    async def run() -> list[float]:
        async with served(Server(stalls_at=10)) as port:
            found = await open_loop(port, lambda _: get(port, "/"), per_second=100, seconds=0.6, good=200)
            return found.lateness

    assert max(asyncio.run(run())) > STALL_SECONDS / 2


def test_open_loop_counts_as_failed_when_the_status_is_another() -> None:
    async def run() -> tuple[int, dict[str, int]]:
        async with served(Server(status=503)) as port:
            found = await open_loop(port, lambda _: get(port, "/"), per_second=100, seconds=0.1, good=200)
            return len(found.seconds), dict(found.failed)

    assert asyncio.run(run()) == (0, {"503": 10})


def test_open_loop_counts_as_failed_when_nobody_listens() -> None:
    async def run() -> tuple[int, dict[str, int]]:
        async with served(Server()) as port:
            pass
        found = await open_loop(port, lambda _: get(port, "/"), per_second=100, seconds=0.05, good=200)
        return len(found.seconds), dict(found.failed)

    assert asyncio.run(run()) == (0, {"ConnectionRefusedError": 5})


def test_closed_loop_uses_one_connection_a_client_when_they_stay_open() -> None:
    server = Server()

    async def run() -> int:
        async with served(server) as port:
            found = await closed_loop(
                port, lambda number: post(port, "/", b"%d" % number, {}), clients=3, seconds=0.2, good=200
            )
            return len(set(found.bodies))

    assert asyncio.run(run()) == server.asked
    assert server.connections == 3


def test_connections_are_opened_anew_when_the_server_says_close() -> None:
    server = Server(says_close=True)

    async def run() -> list[Answer]:
        async with served(server) as port:
            connections = Connections(port)
            answers = [await connections.ask(post(port, "/", b"a", {})) for _ in range(2)]
            await connections.close()
            return answers

    assert asyncio.run(run()) == [Answer(200, b"a"), Answer(200, b"a")]
    assert server.connections == 2


def test_percentiles_are_those_of_the_sorted_values() -> None:
    assert in_ms([each / 1000 for each in range(100, 0, -1)]) == "p50 51.0 p90 91.0 p99 100.0 max 100.0 ms"
