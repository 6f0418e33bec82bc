"""Listens to a bus that others use, and never says a word: which speed, framing and protocols, who asks, who answers.

    9600 8E1 │ 2400 8E1 │ 1200 8E1 │ …       a slice each, until frames come; then on until the bus goes quiet for long

Nobody can be heard on a bus without a master, so silence says nothing about its meters.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from drivers.clock import Clock
from drivers.describe import describe
from drivers.overheard import Frame, Overheard
from drivers.ports import Chunk, Settings

PAUSE_S = 0.06  # longer than a converter waits for more bytes, shorter than a meter's delay and the next request
SLICE_S = 3.0  # for each setting: masters ask every second or so
PATIENCE_S = 15.0  # without a frame at a setting that had some: perhaps the master speaks at several speeds
SURE_MODBUS = 2  # frames: a CRC alone is right by chance once in 65,536 offsets
KEPT_FRAMES = 50
USUAL = tuple(
    Settings.parse(baud, framing)
    for baud, framing in (
        *((9600, "8E1"), (2400, "8E1"), (9600, "8N1"), (1200, "8E1"), (4800, "8E1"), (19200, "8E1"), (19200, "8N1")),
        *((2400, "8N1"), (4800, "8N1"), (115200, "8N1"), (38400, "8N1"), (1200, "8N1")),
    )
)


class Ear(Protocol):
    """The part of a port that listens."""

    async def configure(self, settings: Settings) -> None: ...

    async def read(self) -> Chunk: ...


@dataclass(slots=True)
class Heard:
    """What was heard at one setting. frames: the newest, to be decoded."""

    settings: Settings
    seconds: float = 0.0
    characters: int = 0
    noise: int = 0
    damaged: int = 0
    counts: Counter[str] = field(default_factory=Counter)  # protocol → frames
    asked: Counter[tuple[str, str]] = field(default_factory=Counter)  # (protocol, meter) → requests
    answered: Counter[tuple[str, str]] = field(default_factory=Counter)
    frames: list[Frame] = field(default_factory=list)

    @property
    def is_sure(self) -> bool:
        """Whether what was heard cannot be chance."""
        others = sum(count for protocol, count in self.counts.items() if protocol != "modbus-rtu")
        return others > 0 or self.counts["modbus-rtu"] >= SURE_MODBUS

    def take(self, frames: Iterable[Frame]) -> None:
        for frame in frames:
            self.counts[frame.protocol] += 1
            (self.asked if frame.request else self.answered)[frame.protocol, frame.who] += 1
            self.frames = [*self.frames, frame][-KEPT_FRAMES:]


class Listener:
    """Goes through the settings; `heard` grows while it listens."""

    def __init__(self, ear: Ear, clock: Clock, settings: Iterable[Settings] = USUAL) -> None:
        self.heard = {one: Heard(one) for one in settings}
        self._ear, self._clock = ear, clock

    async def listen(self, seconds: float) -> None:
        """So long in all. Raises PortGone."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while loop.time() < until:
            for heard in self.heard.values():
                if loop.time() >= until:
                    return
                await self._ear.configure(heard.settings)
                await self._at(heard, until)

    async def _at(self, heard: Heard, until: float) -> None:
        loop, overheard = asyncio.get_running_loop(), Overheard()
        began = loop.time()
        leave = min(until, began + SLICE_S)
        while loop.time() < leave:
            try:
                async with asyncio.timeout(min(PAUSE_S, max(0.001, leave - loop.time()))):
                    chunk = await self._ear.read()
            except TimeoutError:
                frames = overheard.pause()
            else:
                heard.characters += len(chunk.data) + chunk.damaged
                frames = overheard.feed(chunk.data, chunk.damaged)
            heard.take(frames)
            if frames and heard.is_sure:
                leave = min(until, loop.time() + max(SLICE_S, PATIENCE_S))
        heard.take(overheard.pause())
        heard.noise += overheard.noise
        heard.damaged += overheard.damaged
        heard.seconds += loop.time() - began

    @property
    def found(self) -> list[Heard]:
        """Settings in use, the busiest first."""
        sure = [heard for heard in self.heard.values() if heard.is_sure]
        return sorted(sure, key=lambda heard: -sum(heard.counts.values()))


def report(port: str, seconds: float, listener: Listener, *, zh: bool = False) -> dict[str, Any]:
    """The document of `hubiao listen --json`."""
    found = listener.found
    protocols: Counter[str] = Counter()
    asked: Counter[tuple[str, str]] = Counter()
    answered: Counter[tuple[str, str]] = Counter()
    for heard in found:
        protocols += heard.counts
        asked += heard.asked
        answered += heard.answered
    return {
        "port": port,
        "seconds": round(seconds, 1),
        "characters": sum(heard.characters for heard in listener.heard.values()),
        "settings": [
            {
                "baud": heard.settings.baud,
                "framing": heard.settings.framing,
                "frames": sum(heard.counts.values()),
                "noise": heard.noise,
                "damaged": heard.damaged,
            }
            for heard in found
        ],
        "protocols": dict(protocols),
        "other_master": bool(asked),
        "meters": [
            {"protocol": protocol, "address": who, "asked": asked[protocol, who], "answered": answered[protocol, who]}
            for protocol, who in sorted(asked.keys() | answered.keys())
        ],
        "frames": [one for heard in found for frame in heard.frames for one in _decoded(frame, zh)],
    }


def _decoded(frame: Frame, zh: bool) -> list[dict[str, Any]]:
    if frame.protocol in ("dlt645", "modbus-rtu"):
        return describe(frame.raw, zh=zh)
    direction = "request" if frame.request else "reply"
    return [{"protocol": frame.protocol, "direction": direction, "address": frame.who, "raw": frame.raw.hex()}]
