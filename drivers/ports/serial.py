"""A device file: pyserial opens and configures it, everything after that is ours, on the event loop.

Ours are the input flags (INPCK and PARMRK, which pyserial clears: a damaged byte must be known as such), the exclusive
hold, the waiting until the last bit has left, the switching of an RS-485 transmitter, and the end: hang-up shows as an
empty read or as EIO, and the descriptor is closed at once, so that a USB adapter comes back under its old number.
An echo of our own request is the reply reader's business.

A pseudo-terminal has no parity and no wire: it is opened with 8 bits and parity N whatever is asked (a second opening
with parity E is EINVAL there), is not marked TIOCEXCL (the mark would outlive us while its simulator keeps it open) and
never waits for a transmitter. pyserial's own `rs485_mode` is not used: once it failed it fails every later change.
"""

from __future__ import annotations

import array
import asyncio
import errno
import fcntl
import logging
import os
import struct
import termios

import serial

from drivers.errors import PortBusy, PortGone
from drivers.ports import Chunk, Settings
from drivers.ports.holder import holder
from drivers.ports.inbox import Inbox
from drivers.ports.marks import MarkReader
from drivers.ports.terminal import is_pty, take_in

DIRECTIONS = ("auto", "kernel", "rts")
WRITE_STALL_S = 2.0  # beyond the time on the wire: an adapter that takes no bytes for so long is stuck
NAP_LEAST_S = 0.002  # of bytes still to come: waking up for each of them costs more than it tells
TIOCSRS485 = 0x542F
RS485_ENABLED, RS485_RTS_ON_SEND = 1, 2  # linux/serial.h; after sending RTS falls: some drivers know nothing else
TIOCSERGETLSR = 0x5459
TIOCSER_TEMT = 1  # the shift register is empty too

log = logging.getLogger(__name__)


class SerialPort:
    """A serial line at a device file or a symlink to one, resolved anew at every opening.

    direction: who switches the transmitter: `auto` the adapter itself, `kernel` its driver (TIOCSRS485), `rts` we do,
    by raising RTS while we send.
    """

    def __init__(self, path: str, *, direction: str = "auto") -> None:
        self.name = path
        self._direction = direction
        self._inbox = Inbox(path)
        self._marks = MarkReader()
        self._serial: serial.Serial | None = None
        self._fd = -1
        self._is_pty = False
        self._settings = Settings()
        self._writable: asyncio.Future[None] | None = None
        self._foreseen = 0  # bytes still expected of an answer whose first byte was not seen yet
        self._nap: asyncio.TimerHandle | None = None

    async def open(self, settings: Settings) -> None:
        port = serial.Serial(exclusive=True, timeout=0)
        port.port = self._device()
        if self._direction == "rts":
            port.rts = False
        try:
            port.apply_settings(self._as_pyserial(settings))
            port.open()
        except (OSError, ValueError, termios.error) as error:
            raise self._cannot_open(error) from error
        try:
            self._fd = port.fileno()
            self._serial = port
            if not self._is_pty:
                fcntl.ioctl(self._fd, termios.TIOCEXCL)
            if self._direction == "kernel":
                fcntl.ioctl(self._fd, TIOCSRS485, struct.pack("8I", RS485_ENABLED | RS485_RTS_ON_SEND, *[0] * 7))
            self._set_flags()
        except (OSError, termios.error) as error:
            self._release()
            raise PortGone(f"{self.name}: cannot be set up for direction {self._direction}: {error}") from error
        self._settings = settings
        self._inbox.begin()
        asyncio.get_running_loop().add_reader(self._fd, self._take)

    async def configure(self, settings: Settings) -> None:
        if self._serial is None:
            raise self._inbox.fault()
        try:
            self._serial.apply_settings(self._as_pyserial(settings))
            self._set_flags()
        except (OSError, ValueError, termios.error) as error:
            self._end(f"cannot be set to {settings.baud} {settings.framing}: {error}")
            raise self._inbox.fault() from error
        self._settings = settings

    async def write(self, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        wire_s = self._settings.seconds(len(data))
        gone_at = loop.time() + wire_s
        try:
            async with asyncio.timeout(wire_s + WRITE_STALL_S):
                self._switch_transmitter(True)
                await self._hand_over(data)
                await self._last_bit(gone_at)
        except TimeoutError as error:
            self._end("takes no bytes")
            raise self._inbox.fault() from error
        except (OSError, termios.error) as error:
            self._end(f"lost while writing: {error}")
            raise self._inbox.fault() from error
        finally:
            self._switch_transmitter(False)

    async def read(self) -> Chunk:
        return await self._inbox.get()

    def take(self) -> Chunk | None:
        chunk = self._inbox.take()
        if chunk is None:
            self._take()  # what the kernel holds and the loop has not seen yet
            chunk = self._inbox.take()
        return chunk

    def foresee(self, count: int) -> None:
        """The answer to what is written next has so many bytes: after its first there is no need to look at each."""
        self._foreseen = count

    def discard(self) -> int:
        if self._serial is not None:
            self._take()  # what the kernel holds and the loop has not seen yet
        return self._inbox.discard()

    async def close(self) -> None:
        self._end("closed")

    def _device(self) -> str:
        self._is_pty = is_pty(self.name)
        return os.path.realpath(self.name)

    def _as_pyserial(self, settings: Settings) -> dict[str, int | str]:
        return {
            "baudrate": settings.baud,
            "bytesize": 8 if self._is_pty else settings.data_bits,
            "parity": "N" if self._is_pty else settings.parity,
            "stopbits": settings.stop_bits,
        }

    def _cannot_open(self, error: Exception) -> PortGone:
        number = getattr(error, "errno", None)
        if number in (errno.EBUSY, errno.EAGAIN):
            return PortBusy(f"{self.name} is in use by {holder(self.name) or 'another process'}")
        if number == errno.EACCES:
            return PortGone(f"{self.name}: no permission (is the user in the group that owns it, often dialout?)")
        return PortGone(f"{self.name}: {error}")

    def _set_flags(self) -> None:
        """Marks damaged bytes, and lets an empty read mean hang-up only (VMIN 1)."""
        iflag, oflag, cflag, lflag, ispeed, ospeed, cc = termios.tcgetattr(self._fd)
        iflag &= ~(termios.IGNPAR | termios.ISTRIP | termios.IGNBRK | termios.BRKINT)
        iflag |= termios.INPCK | termios.PARMRK
        cc[termios.VMIN], cc[termios.VTIME] = 1, 0
        termios.tcsetattr(self._fd, termios.TCSANOW, [iflag, oflag, cflag, lflag, ispeed, ospeed, cc])
        self._marks = MarkReader()

    def _take(self) -> None:
        count = take_in(self._fd, self._marks, self._inbox)
        if (why := self._inbox.ended) is not None:
            self._end(why)
        if not count:
            return
        rest_s = self._settings.seconds(self._foreseen - 1 - count)
        self._foreseen = 0
        if rest_s > NAP_LEAST_S:
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._fd)
            self._nap = loop.call_later(rest_s, self._wake_up)

    def _wake_up(self) -> None:
        """Shortly before the answer's last byte is due."""
        self._nap = None
        if self._serial is not None:
            asyncio.get_running_loop().add_reader(self._fd, self._take)

    async def _hand_over(self, data: bytes) -> None:
        while data:
            if self._serial is None:
                raise self._inbox.fault()
            try:
                data = data[os.write(self._fd, data) :]
            except BlockingIOError:
                await self._until_writable()

    async def _until_writable(self) -> None:
        loop, fd = asyncio.get_running_loop(), self._fd
        self._writable = writable = loop.create_future()
        loop.add_writer(fd, _wake, writable)
        try:
            await writable
        finally:
            self._writable = None
            if self._fd == fd:
                loop.remove_writer(fd)

    async def _last_bit(self, gone_at: float) -> None:
        """Waits as tcdrain does, without its blocking: tcdrain may sleep for a second in a stuck adapter's driver.

        First the computed time on the wire, which covers buffers that the driver cannot see (a USB adapter's), then
        until the kernel's queue is empty and, where the driver can tell, the UART's shift register.
        """
        if self._is_pty:
            return
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(0.0, gone_at - loop.time()))
        while self._serial is not None:
            if self._is_drained():
                return
            await asyncio.sleep(0.001)

    def _is_drained(self) -> bool:
        state = array.array("i", [0])
        fcntl.ioctl(self._fd, termios.TIOCOUTQ, state)
        if state[0]:
            return False
        try:
            fcntl.ioctl(self._fd, TIOCSERGETLSR, state)
        except OSError:  # the driver cannot tell
            return True
        return bool(state[0] & TIOCSER_TEMT)

    def _switch_transmitter(self, on: bool) -> None:
        if self._direction == "rts" and self._serial is not None:
            self._serial.rts = on

    def _end(self, why: str) -> None:
        self._inbox.end(why)
        if self._serial is None:
            return
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._fd)
        loop.remove_writer(self._fd)
        if self._nap is not None:
            self._nap.cancel()
            self._nap = None
        self._foreseen = 0
        self._release()
        if self._writable is not None:
            _wake(self._writable)

    def _release(self) -> None:
        """Closes the descriptor whatever state the device is in."""
        assert self._serial is not None
        try:
            termios.tcflush(self._fd, termios.TCOFLUSH)  # closing would wait up to 30 s for unsent bytes
            if not self._is_pty:
                fcntl.ioctl(self._fd, termios.TIOCNXCL)
        except (OSError, termios.error) as error:
            log.debug("port was gone before it was closed: %s port=%s", error, self.name)
        finally:
            self._serial.close()
            self._serial = None
            self._fd = -1


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
