"""The smallest port on a pty: what the tests need to talk to a bus without the agent's own port."""

from __future__ import annotations

import asyncio
import os
import termios
import tty

from drivers.ports import Chunk, Settings


class MiniPort:
    def __init__(self, path: str) -> None:
        self.name = path
        self._fd = -1

    async def open(self, settings: Settings) -> None:
        self._fd = os.open(self.name, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        tty.setraw(self._fd)
        await self.configure(settings)

    async def configure(self, settings: Settings) -> None:
        attributes = termios.tcgetattr(self._fd)
        attributes[4] = attributes[5] = getattr(termios, f"B{settings.baud}")
        termios.tcsetattr(self._fd, termios.TCSANOW, attributes)

    async def write(self, data: bytes) -> None:
        assert os.write(self._fd, data) == len(data)

    async def read(self) -> Chunk:
        loop = asyncio.get_running_loop()
        ready = loop.create_future()
        loop.add_reader(self._fd, lambda: ready.done() or ready.set_result(None))
        try:
            await ready
        finally:
            loop.remove_reader(self._fd)
        return Chunk(os.read(self._fd, 4096))

    def take(self) -> Chunk | None:
        try:
            return Chunk(os.read(self._fd, 4096))
        except BlockingIOError:
            return None

    def discard(self) -> int:
        try:
            return len(os.read(self._fd, 4096))
        except BlockingIOError:
            return 0

    async def close(self) -> None:
        os.close(self._fd)
