"""`socket://host:port`, a transparent converter from TCP to RS-485, and `tcp://host:port`, a Modbus TCP device.

Speed and framing are set on the converter itself. Bytes may come bunched or split in any way.
"""

from __future__ import annotations

import asyncio
import socket

from drivers.errors import PortGone
from drivers.ports import Chunk, Settings
from drivers.ports.inbox import Inbox

CONNECT_TIMEOUT_S = 5.0  # a converter that is there answers in milliseconds, over 4G in 1–2 s
WRITE_TIMEOUT_S = 5.0
# A converter that lost its power says nothing: three unanswered probes after 30 s of silence end the connection.
KEEPALIVE = {socket.TCP_KEEPIDLE: 30, socket.TCP_KEEPINTVL: 10, socket.TCP_KEEPCNT: 3}
UNACKNOWLEDGED_MS = 10_000  # request bytes that no peer confirmed for so long


class TcpPort:
    """A bus behind a TCP connection."""

    def __init__(self, host: str, port: int, *, scheme: str = "socket") -> None:
        self.name = f"{scheme}://{host}:{port}"
        self._host = host
        self._port = port
        self._inbox = Inbox(self.name)
        self._connection: _Connection | None = None

    async def open(self, settings: Settings) -> None:
        loop = asyncio.get_running_loop()
        self._inbox = inbox = Inbox(self.name)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                _, self._connection = await loop.create_connection(lambda: _Connection(inbox), self._host, self._port)
        except TimeoutError as error:
            raise PortGone(f"{self.name}: no connection within {CONNECT_TIMEOUT_S:g} s") from error
        except OSError as error:
            raise PortGone(f"{self.name}: {error}") from error

    async def configure(self, settings: Settings) -> None:
        """Nothing to do: the converter was configured by its installer."""
        if self._inbox.ended is not None:
            raise self._inbox.fault()

    async def write(self, data: bytes) -> None:
        if self._connection is None or self._inbox.ended is not None:
            raise self._inbox.fault()
        try:
            async with asyncio.timeout(WRITE_TIMEOUT_S):
                await self._connection.send(data)
        except TimeoutError as error:
            self._connection.abort("takes no bytes")
            raise self._inbox.fault() from error

    async def read(self) -> Chunk:
        return await self._inbox.get()

    def take(self) -> Chunk | None:
        return self._inbox.take()

    def discard(self) -> int:
        return self._inbox.discard()

    async def close(self) -> None:
        if self._connection is not None:
            self._connection.abort("closed")
            self._connection = None


class _Connection(asyncio.Protocol):
    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._transport: asyncio.Transport | None = None
        self._writable = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(high=0)  # so that `send` returns when the kernel has all
        self._writable.set()
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in KEEPALIVE.items():
            connection.setsockopt(socket.IPPROTO_TCP, option, value)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED_MS)
        self._inbox.begin()

    def data_received(self, data: bytes) -> None:
        self._inbox.put(Chunk(data))

    def connection_lost(self, exc: Exception | None) -> None:
        self._inbox.end(f"connection lost: {exc}" if exc else "connection closed by the other side")
        self._writable.set()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    async def send(self, data: bytes) -> None:
        assert self._transport is not None
        self._transport.write(data)
        await self._writable.wait()
        if self._inbox.ended is not None:
            raise self._inbox.fault()

    def abort(self, why: str) -> None:
        assert self._transport is not None
        self._inbox.end(why)
        self._transport.abort()
