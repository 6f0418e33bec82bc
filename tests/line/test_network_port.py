"""The ports over TCP: transparent converters and RFC 2217, on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest
import serial
import wires
from serial.rfc2217 import PortManager

from drivers.clock import RealClock
from drivers.errors import PortGone
from drivers.line import Line
from drivers.ports import Settings
from drivers.ports.choose import port_for
from drivers.ports.rfc2217 import Rfc2217Port

SETTINGS = Settings(9600, 8, "N", 1)


async def heard(port: object, count: int) -> bytes:
    data = b""
    async with asyncio.timeout(5):
        while len(data) < count:
            data += (await port.read()).data  # type: ignore[attr-defined]  # any port
    return data


async def test_a_line_reads_through_a_converter_that_splits_and_bunches() -> None:
    async def converter(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                await reader.readexactly(20)
                writer.write(b"\xfe" + wires.ENERGY_REPLY[:5])
                await writer.drain()
                await asyncio.sleep(0.01)
                writer.write(wires.ENERGY_REPLY[5:])
        writer.close()
        ended.set()

    ended = asyncio.Event()
    async with await asyncio.start_server(converter, "127.0.0.1", 0) as server:
        number = server.sockets[0].getsockname()[1]
        line = Line("west", port_for(f"socket://127.0.0.1:{number}"), SETTINGS, RealClock(), latency_s=0.5)
        await line.open()
        for _ in range(3):
            assert (await line.exchange(wires.read_energy())).reply == wires.ENERGY_REPLY
        await line.close()
        await asyncio.wait_for(ended.wait(), 5)


async def test_a_connection_that_is_closed_is_port_gone() -> None:
    async def converter(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"last")
        writer.close()

    async with await asyncio.start_server(converter, "127.0.0.1", 0) as server:
        port = port_for(f"socket://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        await port.open(SETTINGS)
        assert await heard(port, 4) == b"last"
        with pytest.raises(PortGone, match="closed by the other side"):
            await asyncio.wait_for(port.read(), 5)
        with pytest.raises(PortGone):
            await port.write(b"\x68")
        with pytest.raises(PortGone):
            await port.configure(SETTINGS)
        await port.close()


@pytest.fixture
def dead_port() -> Iterator[int]:
    """A number on which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


async def test_a_refused_connection_is_port_gone(dead_port: int) -> None:
    with pytest.raises(PortGone, match=str(dead_port)):
        await port_for(f"socket://127.0.0.1:{dead_port}").open(SETTINGS)


class EchoServer:
    """pyserial's own RFC 2217 server over a loop-back port; takes one client."""

    def __init__(self) -> None:
        self.serial = serial.serial_for_url("loop://", timeout=0.01)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.number = self._listener.getsockname()[1]
        self._connection: socket.socket | None = None
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def write(self, data: bytes) -> None:
        """What the PortManager sends to the client."""
        assert self._connection is not None
        self._connection.sendall(data)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            self._connection, _ = self._listener.accept()
            manager = PortManager(self.serial, self)
            while data := self._connection.recv(1024):
                self.serial.write(b"".join(manager.filter(data)))
                if waiting := self.serial.read(self.serial.in_waiting):
                    self.write(b"".join(manager.escape(waiting)))

    def stop(self) -> None:
        for one in (self._connection, self._listener):
            if one is not None:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
                one.close()
        for thread in self._threads:
            thread.join(5)
        self.serial.close()


@pytest.fixture
def echo_server() -> Iterator[EchoServer]:
    server = EchoServer()
    yield server
    server.stop()


# pyserial 3.5 still calls Thread.setDaemon and setName
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_an_rfc2217_port_sets_the_speed_and_passes_bytes(echo_server: EchoServer) -> None:
    port = Rfc2217Port("127.0.0.1", echo_server.number)
    await port.open(Settings(2400, 8, "E", 1))
    assert (echo_server.serial.baudrate, echo_server.serial.parity) == (2400, "E")
    every = bytes(range(256))
    await port.write(every)
    assert await heard(port, 256) == every
    await port.configure(Settings(1200, 8, "N", 2))
    assert (echo_server.serial.baudrate, echo_server.serial.parity, echo_server.serial.stopbits) == (1200, "N", 2)
    waiting = asyncio.ensure_future(port.read())
    await asyncio.sleep(0)
    echo_server.stop()
    with pytest.raises(PortGone):
        await asyncio.wait_for(waiting, 5)
    with pytest.raises(PortGone):
        await port.write(b"\x68")
    await port.close()


@pytest.mark.slow
async def test_an_rfc2217_port_without_a_server_is_port_gone(dead_port: int) -> None:
    with pytest.raises(PortGone, match=str(dead_port)):
        await Rfc2217Port("127.0.0.1", dead_port).open(SETTINGS)
