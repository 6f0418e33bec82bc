"""Where a simulated bus meets the operating system: a pseudo-terminal or a serial port for serial lines, a TCP server
for `socket://`.

Moves bytes and nothing else. A pty tells at which speed the other end was opened, parity it cannot tell.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import struct
import termios
import time
import tty
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from drivers.ports import Port
from simulators.bus import Bus

CHUNK = 4096
BUFFER = 4096  # what the kernel keeps for a reader; beyond it nothing arrives
PATIENCE_S = 2.0  # real time; the kernel needs microseconds, on an overloaded machine milliseconds
UNSET_SPEED = 38400  # what a pty says before anybody has set a speed
SPEEDS = {
    getattr(termios, f"B{baud}"): baud
    for baud in (300, 600, 1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200, 230400)
}


class Wire(Protocol):
    """What virtual time needs of a wire.

    taken: told how many bytes of the agent were read. settle: a delivery returns only when its bytes can be read at the
    other end, so that an event loop sees them before it lets virtual time pass.
    """

    taken: Callable[[int], None]
    settle: bool


class LinkRefused(OSError):
    """The path where a port should appear cannot be used; the message says why."""


class Pty:
    """A bus on a pty pair."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.taken: Callable[[int], None] = lambda count: None
        self.settle = False
        self.lost = 0  # bytes that nobody fetched while the buffer was full
        self.slave_fd = -1
        self.path = ""
        self._master_fd = -1
        self._link: Path | None = None

    def open(self, link: Path | None = None) -> str:
        """Opens the pair; gives the path that the agent opens. Raises LinkRefused."""
        self._master_fd, self.slave_fd = os.openpty()
        tty.setraw(self.slave_fd)
        os.set_blocking(self._master_fd, False)
        self.path = os.ttyname(self.slave_fd)
        if link is not None:
            try:
                place_link(link, self.path)
            except LinkRefused:
                self._close_files()
                raise
            self._link = link
        self.bus.end, self.bus.speed = self._give, self._speed
        asyncio.get_running_loop().add_reader(self._master_fd, self._take)
        self.bus.start()
        return str(link or self.path)

    def close(self) -> None:
        """Ends the bus; the agent's end then reads end of file. Removes the link if it is still ours."""
        if self._master_fd < 0:
            return
        asyncio.get_running_loop().remove_reader(self._master_fd)
        self.bus.stop()
        if self._link is not None:
            with contextlib.suppress(OSError):
                if os.readlink(self._link) == self.path:
                    self._link.unlink()
        self._close_files()

    def _close_files(self) -> None:
        os.close(self._master_fd)
        os.close(self.slave_fd)
        self._master_fd = self.slave_fd = -1

    def _take(self) -> None:
        try:
            data = os.read(self._master_fd, CHUNK)
        except BlockingIOError:
            return
        self.bus.receive(data)
        self.taken(len(data))

    def _give(self, data: bytes) -> None:
        before = self._readable() if self.settle else 0
        try:
            written = os.write(self._master_fd, data)
        except BlockingIOError:
            written = 0
        self.lost += len(data) - written
        if self.settle and before + written < BUFFER:
            deadline = time.monotonic() + PATIENCE_S
            while self._readable() < before + written and time.monotonic() < deadline:
                os.sched_yield()

    def _readable(self) -> int:
        """Bytes that wait at the agent's end."""
        waiting: int = struct.unpack("i", fcntl.ioctl(self.slave_fd, termios.FIONREAD, bytes(4)))[0]
        return waiting

    def _speed(self) -> int | None:
        code = termios.tcgetattr(self._master_fd)[5]
        baud = SPEEDS.get(code)
        return None if baud == UNSET_SPEED else baud


class SerialWire:
    """A bus on a serial port of this machine, such as an adapter at whose other end somebody's master asks.

    The port has the line's speed and framing; what comes at another is rubbish, as on any bus.
    """

    def __init__(self, bus: Bus, port: Port) -> None:
        self.bus, self.port = bus, port
        self.taken: Callable[[int], None] = lambda count: None
        self.settle = False  # not for virtual time: a real wire takes what it takes
        self._said: asyncio.Queue[bytes] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        """Raises PortGone."""
        await self.port.open(self.bus.settings)
        self.bus.end = self._said.put_nowait
        self._tasks = [asyncio.create_task(self._hear()), asyncio.create_task(self._speak())]
        self.bus.start()

    async def close(self) -> None:
        self.bus.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.port.close()

    async def _hear(self) -> None:
        while True:
            data = (await self.port.read()).data
            self.bus.receive(data)
            self.taken(len(data))

    async def _speak(self) -> None:
        while True:
            await self.port.write(await self._said.get())


class Tcp:
    """A bus behind a serial server; clients share it, each sees every answer. `bunch_s`: bytes wait and go together."""

    def __init__(self, bus: Bus, *, bunch_s: float = 0.0) -> None:
        self.bus = bus
        self.bunch_s = bunch_s
        self.taken: Callable[[int], None] = lambda count: None
        self.settle = True  # on loopback the kernel has delivered when a send returns
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._waiting = bytearray()

    async def open(self, host: str, port: int) -> str:
        """Listens; gives `socket://host:port` with the port really taken. Raises OSError."""
        self._server = await asyncio.start_server(self._serve, host, port)
        self.bus.end = self._give
        self.bus.start()
        taken = self._server.sockets[0].getsockname()
        return f"socket://{taken[0]}:{taken[1]}"

    async def close(self) -> None:
        self.bus.stop()
        if self._server is None:
            return
        self._server.close()
        for writer in list(self._writers):
            writer.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while data := await reader.read(CHUNK):
                self.bus.receive(data)
                self.taken(len(data))
        except ConnectionError:
            pass  # a client that vanished has nothing more to say
        finally:
            self._writers.discard(writer)
            writer.close()

    def _give(self, data: bytes) -> None:
        if self.bunch_s and not self._waiting:
            asyncio.get_running_loop().call_later(self.bunch_s, self._flush)
        self._waiting += data
        if not self.bunch_s:
            self._flush()

    def _flush(self) -> None:
        for writer in self._writers:
            writer.write(bytes(self._waiting))
        self._waiting.clear()


def place_link(link: Path, target: str) -> None:
    """Makes `link` point to a pty. A link to nothing or to another pty is replaced, a real device or file never.

    Raises LinkRefused.
    """
    there = os.path.realpath(link)
    if os.path.exists(there) and not (link.is_symlink() and there.startswith("/dev/pts/")):
        raise LinkRefused(f"{link} exists and is no link of a simulator")
    try:
        if link.is_symlink():
            link.unlink()
        link.symlink_to(target)
    except OSError as error:
        raise LinkRefused(f"{link}: {error.strerror or error}") from error
