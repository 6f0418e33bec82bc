"""A line in a person's hands: asks twice, remembers what came instead of an answer, shows every byte.

Everything else is the agent's own line and gate. That a person asks is told to the gate only where the address is a
wildcard: then, and only for reads, commissioning is meant.
"""

from __future__ import annotations

import time
from dataclasses import fields, replace
from typing import TextIO

from drivers.clock import Clock
from drivers.errors import Garbled, Silent
from drivers.exchange import Answer, Exchange, Noticed
from drivers.line import Line
from drivers.ports import Port, Settings

ATTEMPTS = 2  # the first bytes after a long silence are lost by some converters


class PersonsLine(Line):
    """noticed: what the exchange made last saw besides an answer, all its attempts together. answered: the last answer,
    None before the first."""

    def __init__(
        self,
        port: Port,
        settings: Settings,
        clock: Clock,
        *,
        wildcard: bool = False,
        forbid_unit: int | None = None,
        latency_s: float = 0.0,
        id: str = "line",
    ) -> None:
        super().__init__(id, port, settings, clock, forbid_unit=forbid_unit, latency_s=latency_s)
        self.noticed = Noticed()
        self.answered: Answer | None = None
        self._wildcard = wildcard

    @property
    def answered_ms(self) -> int:
        """UTC in ms at the last answer's mid-read."""
        return self.answered.wall_ms if self.answered else self._clock.wall_ms()

    async def exchange(self, exchange: Exchange, settings: Settings | None = None) -> Answer:
        """As Line.exchange; Silent and Garbled only after ATTEMPTS."""
        if self._wildcard:
            exchange = replace(exchange, commissioning=True)
        before = replace(self.statistics.noticed)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                self.answered = await super().exchange(exchange, settings)
                return self.answered
            except (Silent, Garbled):
                if attempt == ATTEMPTS:
                    raise
            finally:
                self.noticed = _since(before, self.statistics.noticed)
        raise AssertionError("the last attempt answers or raises")


def _since(before: Noticed, now: Noticed) -> Noticed:
    return Noticed(**{one.name: getattr(now, one.name) - getattr(before, one.name) for one in fields(Noticed)})


class TraceWriter:
    """A `drivers.line.Trace`: a line for each run of bytes, with seconds since the first and since the one before."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._first: float | None = None
        self._last = 0.0

    def __call__(self, direction: str, data: bytes, boot_ms: int) -> None:
        now = time.perf_counter()  # finer than the boot clock's milliseconds
        if self._first is None:
            self._first = self._last = now
        shown = data.hex(" ").upper() or "--"
        mark = {"tx": "TX", "rx": "RX"}.get(direction, "RX!")
        self._stream.write(f"{now - self._first:11.6f} {now - self._last:+11.6f}  {mark:3} {shown}\n")
        self._stream.flush()
        self._last = now
