"""`rfc2217://host:port`: a converter whose speed and framing we set over the network (RFC 2217).

pyserial's object blocks (opening takes up to 3 s at a wrong peer), so one thread owns it: it runs what the event loop
asks for, in order, and reads in between. Damaged bytes are not marked on this way: the
converter deals with them.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from functools import partial

import serial
from serial import rfc2217

from drivers.errors import PortGone
from drivers.ports import Chunk, Settings
from drivers.ports.inbox import Inbox

POLL_S = 0.01  # how long the thread listens before it looks for work: what a request may wait
ANSWER_TIMEOUT_S = 10.0  # opening asks for a dozen options, each of which pyserial gives 3 s at most


class Rfc2217Port:
    """A bus behind an RFC 2217 server."""

    def __init__(self, host: str, port: int) -> None:
        self.name = f"rfc2217://{host}:{port}"
        self._inbox = Inbox(self.name)
        self._worker: _Worker | None = None

    async def open(self, settings: Settings) -> None:
        await self.close()
        self._inbox = Inbox(self.name)
        self._worker = worker = _Worker(self.name, self._inbox, asyncio.get_running_loop())
        self._inbox.begin()
        await self._ask(partial(worker.open, settings))

    async def configure(self, settings: Settings) -> None:
        await self._ask(partial(self._running().apply, settings))

    async def write(self, data: bytes) -> None:
        await self._ask(partial(self._running().write, data))

    async def read(self) -> Chunk:
        return await self._inbox.get()

    def take(self) -> Chunk | None:
        return self._inbox.take()

    def discard(self) -> int:
        return self._inbox.discard()

    async def close(self) -> None:
        self._inbox.end("closed")
        if self._worker is not None:
            self._worker.stop()
            self._worker = None

    def _running(self) -> _Worker:
        if self._worker is None or self._inbox.ended is not None:
            raise self._inbox.fault()
        return self._worker

    async def _ask(self, work: Callable[[], None]) -> None:
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                await self._running().run(work)
        except (OSError, ValueError) as error:
            self._inbox.end(str(error) or "no answer")
            await self.close()
            raise PortGone(f"{self.name}: {error or 'no answer'}") from error


class _Worker:
    """The thread that owns the pyserial object."""

    def __init__(self, url: str, inbox: Inbox, loop: asyncio.AbstractEventLoop) -> None:
        self._url = url
        self._inbox = inbox
        self._loop = loop
        self._serial: serial.SerialBase | None = None
        self._work: queue.SimpleQueue[tuple[Callable[[], None], asyncio.Future[None]] | None] = queue.SimpleQueue()
        threading.Thread(target=self._serve, name=url, daemon=True).start()

    # on the event loop
    async def run(self, work: Callable[[], None]) -> None:
        """Has the thread do something; raises what that raised."""
        done: asyncio.Future[None] = self._loop.create_future()
        self._work.put((work, done))
        await done

    def stop(self) -> None:
        self._work.put(None)

    # on the thread
    def open(self, settings: Settings) -> None:
        port = rfc2217.Serial(timeout=POLL_S)
        port.port = self._url
        port.apply_settings(_as_pyserial(settings))
        port.open()
        self._serial = port

    def apply(self, settings: Settings) -> None:
        assert self._serial is not None
        self._serial.apply_settings(_as_pyserial(settings))

    def write(self, data: bytes) -> None:
        assert self._serial is not None
        self._serial.write(data)

    def _serve(self) -> None:
        try:
            while (item := self._next()) is not None:
                work, done = item
                try:
                    work()
                except (OSError, ValueError) as error:
                    self._tell(_fail, done, error)
                else:
                    self._tell(_succeed, done)
        except OSError as error:
            self._tell(self._inbox.end, f"connection lost: {error}")
        finally:
            if self._serial is not None:
                self._serial.close()

    def _next(self) -> tuple[Callable[[], None], asyncio.Future[None]] | None:
        """The next piece of work; until it comes, reads."""
        while self._serial is not None:
            try:
                return self._work.get_nowait()
            except queue.Empty:
                data = self._serial.read(max(1, self._serial.in_waiting))
                if data:
                    self._tell(self._inbox.put, Chunk(data))
        return self._work.get()

    def _tell(self, what: Callable[..., None], *arguments: object) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(what, *arguments)


def _as_pyserial(settings: Settings) -> dict[str, int | str]:
    return {
        "baudrate": settings.baud,
        "bytesize": settings.data_bits,
        "parity": settings.parity,
        "stopbits": settings.stop_bits,
    }


def _succeed(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)


def _fail(done: asyncio.Future[None], error: Exception) -> None:
    if not done.done():
        done.set_exception(error)
