"""HTTP/1.1 on loopback, written by hand so that replies can be late, cut or never come."""

import asyncio
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Self

STEP = 0.005
DRIP = 0.05


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes over the wire.

    `wait` is in seconds; `cut` sends half of the body and hangs up; `drop` hangs up at once;
    `drip` sends blanks for so many seconds before the body, as gateways do to keep a line open.
    `endless` is sent after the body for as long as the other side listens, `every` so many seconds;
    `endless_head` never ends the headers. `tag` is handed back when the reply has ended.
    """

    status: int = 200
    body: bytes = b""
    kind: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    wait: float = 0.0
    drip: float = 0.0
    cut: bool = False
    drop: bool = False
    endless: bytes = b""
    every: float = 0.0
    endless_head: bool = False
    tag: Any = None


class Listener:
    """Answer with `handle`, then say by `ended` whether the whole reply was taken.

    While `gate` is clear, replies are held back.
    """

    def __init__(self, handle, ended, tls=None):
        self.handle, self.ended, self.tls = handle, ended, tls
        self.gate = threading.Event()
        self.gate.set()
        self.port = 0

    def __enter__(self) -> Self:
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), daemon=True)
        self._thread.start()
        assert ready.wait(10), "the server did not start"
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def _run(self, ready: threading.Event) -> None:
        asyncio.run(self._main(ready))

    async def _main(self, ready: threading.Event) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self.tls)
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        await self._stop.wait()
        server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (request := await read(reader)) is not None:
                reply = self.handle(request)
                taken = False
                try:
                    there = await self._pause(reader, reply.wait)
                    taken = there and await send(writer, reply)
                finally:
                    self.ended(reply, taken)
                if not taken:
                    break
        except ConnectionError:
            with suppress(ConnectionError):
                writer.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
                await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()

    async def _pause(self, reader: asyncio.StreamReader, seconds: float) -> bool:
        """Wait, and return whether the other side is still there."""
        end = self._loop.time() + seconds
        while not self.gate.is_set() or self._loop.time() < end:
            await asyncio.sleep(STEP)
            if reader.at_eof():
                return False
        return not reader.at_eof()


async def read(reader: asyncio.StreamReader) -> Request | None:
    """Read one request; None where the other side has hung up."""
    begun = await reader.read(1)
    if not begun:
        return None
    if not begun.isalpha():
        raise ConnectionError("this is not HTTP; it may be a handshake for TLS")
    head = begun + await reader.readuntil(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    method, path, _ = first.split(" ", 2)
    pairs = (line.partition(":") for line in lines)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(method, path, headers, body)


async def send(writer: asyncio.StreamWriter, reply: Reply) -> bool:
    """Write a reply; return whether all of it went out."""
    if reply.drop:
        return False
    if reply.endless or reply.endless_head:
        return await send_forever(writer, reply)
    lines = [f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}"]
    blanks = int(reply.drip / DRIP)
    lines += [f"content-type: {reply.kind}", f"content-length: {len(reply.body) + blanks}"]
    lines += [f"{name}: {value}" for name, value in reply.headers.items()]
    body = reply.body[: len(reply.body) // 2] if reply.cut else reply.body
    writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
    for _ in range(blanks):
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(DRIP)
    writer.write(body)
    await writer.drain()
    if reply.cut and writer.can_write_eof():
        writer.write_eof()
        await asyncio.sleep(STEP)
    return not reply.cut


async def send_forever(writer: asyncio.StreamWriter, reply: Reply) -> bool:
    """Write headers that never end, or a body that never ends."""
    lines = [f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}"]
    lines += [f"content-type: {reply.kind}", "connection: close"]
    lines += [f"{name}: {value}" for name, value in reply.headers.items()]
    head = "\r\n".join(lines).encode("latin-1")
    writer.write(head if reply.endless_head else head + b"\r\n\r\n" + reply.body)
    number = 0
    while True:
        number += 1
        writer.write(b"\r\nx-%d: y" % number if reply.endless_head else reply.endless)
        await writer.drain()
        await asyncio.sleep(reply.every)
