"""The broker's end of a WebSocket, frame by frame and without a library: says what no honest server would."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import re
import struct
import zlib
from collections.abc import AsyncIterator, Sequence

from agent.delivery.mqtt import Broker, Connection, Will

CONNACK = bytes.fromhex("2003000000")  # MQTT 5, success, no properties
GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
DEFLATE = "permessage-deflate"
BINARY, CONT, TEXT, CLOSE, PING, PONG = 0x82, 0x80, 0x81, 0x88, 0x89, 0x8A
RSV1 = 0x40
FIN = 0x80


def frame(first: int, payload: bytes = b"", masked: bool = False) -> bytes:
    """first: FIN, reserved bits and opcode."""
    mask = b"\x00\x00\x00\x00" if masked else b""
    size, flag = len(payload), 0x80 if masked else 0
    if size < 126:
        length = bytes((flag | size,))
    elif size < 65536:
        length = struct.pack("!BH", flag | 126, size)
    else:
        length = struct.pack("!BQ", flag | 127, size)
    return bytes((first,)) + length + mask + payload


def deflated(data: bytes) -> bytes:
    """As one message in a context of its own."""
    context = zlib.compressobj(wbits=-15)
    return (context.compress(data) + context.flush(zlib.Z_SYNC_FLUSH))[:-4]


async def read_frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """The first byte and the unmasked payload of what a client sends."""
    first, size = await reader.readexactly(2)
    assert size & 0x80, "a client must mask"
    size &= 0x7F
    if size == 126:
        (size,) = struct.unpack("!H", await reader.readexactly(2))
    elif size == 127:
        (size,) = struct.unpack("!Q", await reader.readexactly(8))
    mask = await reader.readexactly(4)
    payload = await reader.readexactly(size)
    return first, bytes(byte ^ mask[n % 4] for n, byte in enumerate(payload))


class Server:
    """Upgrades, answers CONNECT, and once `after` messages came says what it was told to. `frames`: what came."""

    def __init__(
        self, says: Sequence[bytes] = (), extension: str = "", head: str = "", *, after: int = 1, stays: bool = True
    ) -> None:
        self.frames: list[tuple[int, bytes]] = []
        self.request = ""
        self.left = asyncio.Event()  # the other end is gone
        self._says, self._extension, self._head, self._after, self._stays = says, extension, head, after, stays

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            self.request = (await reader.readuntil(b"\r\n\r\n")).decode()
            writer.write((self._head or self._upgrade()).encode())
            if not self._stays:
                raise ConnectionError
            await self._hear(reader)
            writer.write(frame(BINARY, CONNACK))
            while len(self.frames) < self._after:
                await self._hear(reader)
            for data in self._says:
                writer.write(data)
                await writer.drain()
                await asyncio.sleep(0)
            while True:
                await self._hear(reader)
        writer.close()
        self.left.set()

    async def _hear(self, reader: asyncio.StreamReader) -> None:
        self.frames.append(await read_frame(reader))

    def _upgrade(self) -> str:
        asked = re.search(r"(?i)sec-websocket-key: (\S+)", self.request)
        assert asked
        return upgrade(asked[1], self._extension)


def upgrade(key: str, extension: str = "", protocol: str = "mqtt") -> str:
    accept = base64.b64encode(hashlib.sha1((key + GUID).encode()).digest()).decode()
    lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
    lines.append(f"Sec-WebSocket-Accept: {accept}")
    lines += [f"Sec-WebSocket-Protocol: {protocol}"] if protocol else []
    lines += [f"Sec-WebSocket-Extensions: {extension}"] if extension else []
    return "\r\n".join([*lines, "", ""])


@contextlib.asynccontextmanager
async def listening(server: Server) -> AsyncIterator[Connection]:
    """A connection to it, not yet open."""
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    broker = Broker("127.0.0.1", port, False, "gw-1", path="/mqtt")
    connection = Connection(broker, "one", Will("will", b""), asyncio.Event())
    try:
        yield connection
    finally:
        await connection.close()
        await server.left.wait()
        listener.close()
        await listener.wait_closed()


async def end_of(connection: Connection) -> str:
    """Why it was lost."""
    async with asyncio.timeout(10):
        while not connection.lost:
            await connection._wake.wait()
            connection._wake.clear()
    return connection.lost
