"""A simulated park in a process of its own that shares the agent's virtual time, so that the agent is weighed alone.

    agent's clock ── write at t ──▶ ┌ park's clock ┐     each side runs only while the other stands still:
                  ◀── next, heard ─ └──────────────┘     the agent's time moves up to the park's next event,
                  ── go on to t ──▶                      then the park plays that one, and so on

One message each way at a time over a pipe. A park that ends, or an agent that goes, ends the other.
"""

from __future__ import annotations

import asyncio
import math
import multiprocessing
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any

from drivers.clock import VirtualClock
from drivers.ports import Chunk, Settings
from drivers.ports.memory import MemoryPort
from simulators.faults import Fault
from simulators.site import Site

# line, bytes, baud, framing: what the agent puts on a line
Sent = tuple[str, bytes, int | None, str | None]


@dataclass(frozen=True, slots=True)
class Said:
    """The park stands still. next_s: loop time of what it does next, inf for nothing; heard: (line, bytes)."""

    next_s: float
    heard: list[tuple[str, bytes]]


class _ParkClock(VirtualClock):
    """Moves only as far as the agent's end of the pipe says."""

    def __init__(self, start_ms: int, pipe: Connection) -> None:
        super().__init__(start_ms)
        self.heard: list[tuple[str, bytes]] = []
        self.site: Site | None = None
        self._pipe = pipe
        self._settings: dict[str, tuple[int | None, str | None]] = {}

    def join(self, site: Site) -> None:
        """Has the site's buses end at the pipe."""
        self.site = site
        for line, bus in site.buses.items():
            bus.end = partial(self._hear, line)
            bus.speed = partial(self._speed, line)
            bus.framing = partial(self._form, line)
            bus.start()

    def wait_before(self, timeout: float | None) -> float | None:
        """All that was due is done: says so, and takes the next order."""
        heard, self.heard = self.heard, []
        self._pipe.send(Said(math.inf if timeout is None else self._now + timeout, heard))
        try:
            at_s, sent = self._pipe.recv()
        except EOFError:
            os._exit(0)  # the agent is gone, and with it all that this process was for
        self._now = at_s
        if sent is not None:
            asyncio.get_running_loop().call_soon(self._carry, sent)
        return 0.0

    def move(self, timeout: float) -> None:
        """`wait_before` has moved already."""

    def _hear(self, line: str, data: bytes) -> None:
        self.heard.append((line, data))

    def _speed(self, line: str) -> int | None:
        return self._settings.get(line, (None, None))[0]

    def _form(self, line: str) -> str | None:
        return self._settings.get(line, (None, None))[1]

    def _carry(self, sent: Sent) -> None:
        line, data, baud, framing = sent
        assert self.site is not None
        self._settings[line] = baud, framing
        self.site.buses[line].receive(data)


def _play(pipe: Connection, config: dict[str, Any], start_ms: int, seed: int, faults: Sequence[Fault]) -> None:
    clock = _ParkClock(start_ms, pipe)

    async def forever() -> None:
        asyncio.get_running_loop().set_exception_handler(_end)
        clock.join(Site(config, now_ms=clock.wall_ms, seed=seed, faults=faults))
        await asyncio.Event().wait()

    clock.run(forever())


def _end(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """A meter that fails in a callback would only have been silent."""
    loop.default_exception_handler(context)
    os._exit(1)


class ParkPort(MemoryPort):
    """The agent's end of a line of the park."""

    def __init__(self, line: str, clock: ApartClock) -> None:
        super().__init__(line)
        self._clock = clock

    async def write(self, data: bytes) -> None:
        self._require_open()
        self._clock.put(self.name, data, self.settings)


class ApartClock(VirtualClock):
    """The agent's virtual time, shared with a park in another process from `with` on."""

    def __init__(self, start_ms: int, config: dict[str, Any], *, seed: int = 1, faults: Sequence[Fault] = ()) -> None:
        super().__init__(start_ms)
        self.ports: dict[str, ParkPort] = {}
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._child = context.Process(target=_play, args=(theirs, config, start_ms, seed, faults), daemon=True)
        self._theirs = theirs
        self._next_s = math.inf

    def __enter__(self) -> ApartClock:
        self._child.start()
        self._theirs.close()
        self._take(self._pipe.recv())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._pipe.close()
        self._child.join()

    def port(self, line: str) -> ParkPort:
        """The agent's end of a line."""
        return self.ports.setdefault(line, ParkPort(line, self))

    def put(self, line: str, data: bytes, settings: Settings | None) -> None:
        """Bytes on a line, now."""
        baud, framing = (None, None) if settings is None else (settings.baud, settings.framing)
        self._exchange((line, data, baud, framing))

    def wait_before(self, timeout: float | None) -> float | None:
        """Nothing is ready here: time may move to the next timer, or to what the park does before."""
        if self.speed is not None or self._holds or (timeout is None and self._next_s == math.inf):
            return super().wait_before(timeout)  # paced: the park stands still
        to_s = math.inf if timeout is None else self._now + timeout
        if self._next_s > to_s:
            self._now = to_s
            return 0.0
        self._now = self._next_s
        self._exchange(None)
        return 0.0

    def move(self, timeout: float) -> None:
        """Unpaced, `wait_before` has moved already."""
        if self.speed is not None:
            super().move(timeout)

    def _exchange(self, sent: Sent | None) -> None:
        self._pipe.send((self._now, sent))
        self._take(self._pipe.recv())

    def _take(self, said: Said) -> None:
        self._next_s = said.next_s
        for line, data in said.heard:
            self.port(line).deliver(Chunk(data))
