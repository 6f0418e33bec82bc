"""The connection to the broker, against a listener that counts what arrives."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator

import pytest

from agent.delivery.mqtt import WINDOW, Broker, Connection, UplinkError, Will

CONNACK = bytes.fromhex("2003000000")  # MQTT 5, success, no properties
PUBLISH_QOS_1 = 0x32
PAYLOAD = b"x" * 300


class Listener:
    """Answers CONNECT, acknowledges nothing, keeps what each read gave, and tells when so many bytes have come."""

    def __init__(self, expected: int, answer: bytes = CONNACK) -> None:
        self.reads: list[bytes] = []
        self.complete = asyncio.Event()
        self.left = asyncio.Event()  # the other end is gone
        self._expected, self._answer = expected, answer

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65_536)
        writer.write(self._answer)
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65_536):
                self.reads.append(data)
                if sum(map(len, self.reads)) >= self._expected:
                    self.complete.set()
        writer.close()
        self.left.set()


@contextlib.asynccontextmanager
async def connected(listener: Listener) -> AsyncIterator[tuple[Connection, asyncio.Event]]:
    server = await asyncio.start_server(listener.serve, "127.0.0.1", 0)
    wake = asyncio.Event()
    connection = Connection(Broker(*server.sockets[0].getsockname(), False), "one", Will("will", b""), wake)
    await connection.open()
    try:
        yield connection, wake
    finally:
        await connection.close()
        await listener.left.wait()
        server.close()
        await server.wait_closed()


async def test_a_window_leaves_in_one_go_and_without_a_thread() -> None:
    listener = Listener(WINDOW * len(PAYLOAD))
    async with connected(listener) as (connection, _):
        with connection.together():
            for n in range(WINDOW):
                connection.publish(f"topic/{n}", PAYLOAD)
        assert connection.room == 0
        await listener.complete.wait()
        assert len(listener.reads) <= 2
        assert listener.reads[0][0] == PUBLISH_QOS_1
        assert not [thread.name for thread in threading.enumerate() if "paho" in thread.name]


async def test_what_is_no_packet_ends_the_connection_and_not_the_loop() -> None:
    listener = Listener(1, CONNACK + bytes.fromhex("4003000177"))  # an answer with a reason that there is not
    async with connected(listener) as (connection, wake):
        while not connection.lost:
            await wake.wait()
            wake.clear()
        with pytest.raises(UplinkError):
            connection.publish("topic", PAYLOAD)
