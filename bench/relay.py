"""A WebSocket in front of a plain broker, for measurements and tests: the other end's opinion of framing and deflate.

    agent ══ ws or wss ══▶ relay ── plain MQTT ──▶ broker

By `wsproto`, which shares no code with the library that the agent uses. Compresses if asked to and offered.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Event, Ping, Request
from wsproto.extensions import PerMessageDeflate

CHUNK = 65536


async def _at_once() -> None:
    pass


@dataclass(slots=True)
class Relay:
    """broker_port: on loopback. delay: waited for before anything goes down."""

    broker_port: int
    compress: bool = True
    delay: Callable[[], Awaitable[None]] = _at_once
    held: Any = None  # the newest connection's socket
    up: list[bytes] = field(default_factory=list)  # MQTT bytes of each message, as they came
    down_bytes: int = 0
    targets: list[str] = field(default_factory=list)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.held = writer.get_extra_info("socket")
        self.writers.append(writer)
        back, onward = await asyncio.open_connection("127.0.0.1", self.broker_port)
        end = WSConnection(ConnectionType.SERVER)
        down = asyncio.create_task(self._down(back, writer, end))
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(CHUNK):
                end.receive_data(data)
                if not self._take(list(end.events()), writer, onward, end):
                    break
        down.cancel()
        onward.close()
        writer.close()

    def _take(
        self, events: list[Event], writer: asyncio.StreamWriter, onward: asyncio.StreamWriter, end: WSConnection
    ) -> bool:
        """False once the other end closes."""
        message = b""
        for event in events:
            if isinstance(event, Request):
                self.targets.append(event.target)
                extensions = [PerMessageDeflate()] if self.compress else []
                writer.write(end.send(AcceptConnection(subprotocol="mqtt", extensions=extensions)))
            elif isinstance(event, BytesMessage):
                message += event.data
                if event.message_finished:
                    self.up.append(message)
                    onward.write(message)
                    message = b""
            elif isinstance(event, Ping):
                writer.write(end.send(event.response()))
            elif isinstance(event, CloseConnection):
                writer.write(end.send(event.response()))
                return False
        return True

    async def _down(self, back: asyncio.StreamReader, writer: asyncio.StreamWriter, end: WSConnection) -> None:
        while data := await back.read(CHUNK):
            self.down_bytes += len(data)
            await self.delay()
            writer.write(end.send(BytesMessage(data=data)))
        writer.close()

    def cut(self) -> None:
        """Ends all connections without a word."""
        for writer in self.writers:
            writer.transport.abort()
        self.writers.clear()


@contextlib.asynccontextmanager
async def relay(made: Relay, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Listens on loopback for the length of the block; gives the port."""
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        made.cut()
