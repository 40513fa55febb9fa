"""The ASGI application: reads a request, lets it go wrong if a test says so, works in a thread, answers."""

import asyncio
import contextlib
import socket
import struct
import traceback
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import Executor
from typing import Any
from urllib.parse import parse_qsl

from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from tests.support.gateway.calls import Answer, Call, Refused, Slice, html_answer, json_answer
from tests.support.gateway.faults import Fault, Faults
from tests.support.gateway.served import Request, Served

PIECE = 256 * 1024
LONGEST_ADDRESS = 16 * 1024
NOTHING_WRONG = Fault("")

Part = Callable[[Call], Answer]


class App:
    """The parts by the beginning of their paths, behind the faults."""

    def __init__(self, parts: Mapping[str, Part], faults: Faults, served: Served, workers: Executor) -> None:
        self._parts = parts
        self._faults = faults
        self._served = served
        self._workers = workers
        self._closing = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def close(self) -> None:
        """Ends what hangs or drips; called from another thread."""
        if self._loop:
            self._loop.call_soon_threadsafe(self._closing.set)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        self._loop = asyncio.get_running_loop()
        call = await _read(scope, receive)
        if call is None:
            return
        fault = self._faults.of(call) or NOTHING_WRONG
        request = self._served.begin(call, fault.name)
        answer = await self._answer(call, fault, receive)
        if answer is None or fault.reset == "after":
            await _reset(send)
        else:
            await self._send(call, request, answer, fault, send)

    async def _answer(self, call: Call, fault: Fault, receive: Receive) -> Answer | None:
        """The answer, or None where the connection is to be reset without one."""
        await asyncio.sleep(fault.delay_seconds)
        loop = asyncio.get_running_loop()
        if fault.do:
            await loop.run_in_executor(self._workers, fault.do)
        if fault.hang == "before":
            await self._hang(receive)
            return None
        if fault.reset == "before":
            return None
        if fault.answer:
            return fault.answer
        answer = await loop.run_in_executor(self._workers, self._work, call)
        if fault.hang == "after":
            await self._hang(receive)
            return None
        return answer

    def _work(self, call: Call) -> Answer:
        if len(call.path) + sum(len(key) + len(value) + 2 for key, value in call.query) > LONGEST_ADDRESS:
            return html_answer(431, "Request Header Fields Too Large")
        part = next((part for prefix, part in self._parts.items() if call.path.startswith(prefix)), None)
        if part is None:
            return json_answer(404, {"message": "no Route matched with those values"})
        try:
            return part(call)
        except Refused as refused:
            return refused.answer
        except Exception:
            self._served.failures.append(traceback.format_exc())
            raise

    async def _hang(self, receive: Receive) -> None:
        """Until the client goes or the gateway closes."""
        gone = asyncio.ensure_future(receive())
        closing = asyncio.ensure_future(self._closing.wait())
        await asyncio.wait([gone, closing], return_when=asyncio.FIRST_COMPLETED)
        for waiting in (gone, closing):
            waiting.cancel()
        await asyncio.gather(gone, closing, return_exceptions=True)

    async def _send(self, call: Call, request: Request, answer: Answer, fault: Fault, send: Send) -> None:
        request.status = answer.status
        headers = {"content-length": str(answer.length), **answer.headers}
        if answer.status in (204, 304) or (call.method == "HEAD" and "content-length" in answer.headers):
            headers = dict(answer.headers)
        raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        with contextlib.closing(answer.body.file) if isinstance(answer.body, Slice) else contextlib.nullcontext():
            await send({"type": "http.response.start", "status": answer.status, "headers": raw})
            left = answer.length if fault.cut_after is None else fault.cut_after
            async for piece in self._pieces(answer, fault):
                request.sent += len(piece[:left])
                await send({"type": "http.response.body", "body": piece[:left], "more_body": True})
                left -= len(piece[:left])
                if fault.cut_after is not None and left == 0:
                    await asyncio.sleep(0)
                    _break_off(send)
                    return
                if fault.drip and await self._closing_within(fault.drip[1]):
                    await _reset(send)
                    return
            await send({"type": "http.response.body", "body": b""})

    async def _pieces(self, answer: Answer, fault: Fault) -> AsyncIterator[bytes]:
        size = min(PIECE, fault.drip[0] if fault.drip else PIECE)
        if not isinstance(answer.body, Slice):
            for at in range(0, len(answer.body), size):
                yield answer.body[at : at + size]
            return
        loop = asyncio.get_running_loop()
        answer.body.file.seek(answer.body.start)
        left = answer.body.length
        while left:
            piece = await loop.run_in_executor(self._workers, answer.body.file.read, min(size, left))
            left -= len(piece)
            yield piece

    async def _closing_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                return await self._closing.wait()
        except TimeoutError:
            return False


async def _read(scope: Scope, receive: Receive) -> Call | None:
    """The request with its body, or None where the client went before it was whole."""
    body = bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        more = message.get("more_body", False)
    query = parse_qsl(scope["query_string"].decode(), keep_blank_values=True)
    return Call(scope["method"], scope["path"], tuple(query), Headers(scope=scope), bytes(body))


def _transport(send: Send) -> Any:
    """The connection of a request: `send` is a method of uvicorn's request, which knows it."""
    return send.__self__.transport  # type: ignore[attr-defined]


async def _reset(send: Send) -> None:
    """Ends the connection as a crash does: what is on its way is lost."""
    transport = _transport(send)
    if transport.is_closing():
        return  # the client was faster
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
    await asyncio.sleep(0)  # uvicorn learns of it, and does not send an answer of its own


def _break_off(send: Send) -> None:
    """Ends the connection when all that was written so far is out."""
    _transport(send).close()
