"""A device file opened for reading only, to listen on a bus that others use: the kernel itself refuses every write.

The open raises RTS and DTR as every open of a serial port does; both are lowered at once, so that an adapter that
switches its transmitter by RTS stays off the bus. A pseudo-terminal has no parity: only its speed is set.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import struct
import termios

from drivers.errors import PortBusy, PortGone
from drivers.ports import Chunk, Settings
from drivers.ports.holder import holder
from drivers.ports.inbox import Inbox
from drivers.ports.marks import MarkReader
from drivers.ports.terminal import is_pty, take_in

_SIZES = {7: termios.CS7, 8: termios.CS8}


class Tap:
    """The part of a `Port` that listens; it has no way to write."""

    def __init__(self, path: str) -> None:
        self.name = path
        self._inbox = Inbox(path)
        self._marks = MarkReader()
        self._fd = -1

    async def open(self, settings: Settings) -> None:
        """Raises PortBusy if another process holds the port exclusively, PortGone otherwise."""
        try:
            self._fd = os.open(self.name, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK)
        except OSError as error:
            if who := holder(self.name):
                raise PortBusy(f"{self.name} is in use by {who}") from error
            raise PortGone(f"{self.name}: {error.strerror}") from error
        try:
            self._lower_lines()
            self._set(settings)
        except (OSError, termios.error, ValueError) as error:
            os.close(self._fd)
            self._fd = -1
            raise PortGone(f"{self.name}: is no serial port: {error}") from error
        self._inbox.begin()
        asyncio.get_running_loop().add_reader(self._fd, self._take)

    async def configure(self, settings: Settings) -> None:
        """Another speed and framing from now on. Raises PortGone."""
        if self._fd < 0:
            raise self._inbox.fault()
        try:
            self._set(settings)
        except (OSError, termios.error) as error:
            raise PortGone(f"{self.name}: {error}") from error

    async def read(self) -> Chunk:
        return await self._inbox.get()

    async def close(self) -> None:
        self._end("closed")

    def _lower_lines(self) -> None:
        try:
            fcntl.ioctl(self._fd, termios.TIOCMBIC, struct.pack("I", termios.TIOCM_RTS | termios.TIOCM_DTR))
        except OSError:  # a pseudo-terminal has no such lines
            return

    def _set(self, settings: Settings) -> None:
        """Raw, with damaged bytes marked. Raises ValueError on a speed that the system has no word for."""
        speed = getattr(termios, f"B{settings.baud}", None)
        if speed is None:
            raise ValueError(f"{settings.baud} baud")
        pty = is_pty(self.name)
        _, _, _, _, _, _, cc = termios.tcgetattr(self._fd)
        cflag = termios.CREAD | termios.CLOCAL | _SIZES[8 if pty else settings.data_bits]
        if not pty and settings.parity != "N":
            cflag |= termios.PARENB | (termios.PARODD if settings.parity == "O" else 0)
        if settings.stop_bits == 2:
            cflag |= termios.CSTOPB
        cc[termios.VMIN], cc[termios.VTIME] = 1, 0
        iflag = termios.INPCK | termios.PARMRK
        termios.tcsetattr(self._fd, termios.TCSANOW, [iflag, 0, cflag, 0, speed, speed, cc])
        self._marks = MarkReader()

    def _take(self) -> None:
        take_in(self._fd, self._marks, self._inbox)
        if (why := self._inbox.ended) is not None:
            self._end(why)

    def _end(self, why: str) -> None:
        self._inbox.end(why)
        if self._fd >= 0:
            asyncio.get_running_loop().remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1
