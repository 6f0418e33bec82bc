"""One line's supervisor: what is due → driver → findings, and the port's life. Knows nothing of the ledger.

A sweep is centred on its slot: it starts half its own learned length early. Meters that did not answer last time come
last and get one attempt, so a dead meter delays nobody's slot; with every silent sweep they are left out longer.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from agent.asking import ask
from agent.idle import Idle
from agent.reading import Finding, LineState, Missed, Observation, SweepDone
from agent.validation import Limits
from drivers.clock import Clock
from drivers.errors import PortGone
from drivers.line import Line
from drivers.meter import Meter

logger = logging.getLogger(__name__)
ATTEMPTS = 3  # of a settlement read that was garbled or not confirmed
REOPEN_S = (0.5, 1.0, 2.0, 5.0)  # between attempts to open a lost port: back within ten seconds of its return
MOST_SKIPPED = 4  # sweeps that a silent meter is left out at most: it is asked again within five intervals
Put = Callable[[Finding], Awaitable[None]]


@dataclass(slots=True)
class Polled:
    """A meter and how it has been answering."""

    meter: Meter
    limits: Limits
    silent: int = 0  # sweeps without an answer in a row
    skip: int = 0  # sweeps still to be left out


@dataclass(slots=True)
class Poller:
    """Polls the meters of one line at every slot of the grid until cancelled."""

    line: Line
    meters: list[Polled]
    clock: Clock
    slot_after: Callable[[int], int]  # UTC seconds → the first slot later than that
    put: Put
    idle: Idle | None = None  # what is done between the sweeps
    sweep_s: float = 0.0  # length of the last sweep
    alive_ms: int = 0  # boot clock at the last sign of life, for the watchdog
    _up: bool | None = field(default=None)

    async def run(self) -> None:
        """Opens the port, polls, reopens with back-off when it is lost; neighbours never notice."""
        attempt = 0
        while True:
            self.alive_ms = self.clock.boot_ms()
            try:
                await self.line.open()
                await self._say(True, "")
                attempt = 0
                await self._poll()
            except PortGone as error:
                await self._say(False, str(error))
            finally:
                await self.line.close()
            await self.clock.sleep(REOPEN_S[min(attempt, len(REOPEN_S) - 1)])
            attempt += 1

    async def _say(self, up: bool, detail: str) -> None:
        if up == self._up:
            return
        self._up = up
        logger.log(
            logging.INFO if up else logging.WARNING, "port %s line=%s %s", (up and "up") or "lost", self.line.id, detail
        )
        await self.put(LineState(self.line.id, self.clock.wall_ms(), up, detail))

    async def _poll(self) -> None:
        await self._sweep(self.slot_after(self.clock.wall_ms() // 1000), first=True)
        while True:
            lead_ms = round(self.sweep_s * 500)
            now_ms = self.clock.wall_ms()
            slot_s = self.slot_after(-(-(now_ms + lead_ms) // 1000))
            # at most a minute at a time: the wall clock may be stepped while we wait
            while (wait_ms := slot_s * 1000 - lead_ms - self.clock.wall_ms()) > 0:
                self.alive_ms = self.clock.boot_ms()
                if self.idle is None or not await self.idle.work(wait_ms / 1000):
                    await self.clock.sleep(min(wait_ms / 1000, 60.0))
                if self.slot_after(-(-(self.clock.wall_ms() + lead_ms) // 1000)) < slot_s:
                    break  # stepped backward: the grid has an earlier slot again
            else:
                await self._sweep(slot_s)

    async def _sweep(self, slot_s: int, *, first: bool = False) -> None:
        began_ms = self.clock.boot_ms()
        late: list[Polled] = []
        for polled in [polled for polled in self.meters if not polled.silent]:
            found = await self._ask(polled, ATTEMPTS)
            if isinstance(found, Missed) and found.why == "timeout" and not first:
                late.append(polled)  # one more chance, after everybody else
            else:
                await self._found(polled, found)
        self.sweep_s = (self.clock.boot_ms() - began_ms) / 1000
        for polled in late:
            await self._found(polled, await self._ask(polled, 1))
        for polled in [polled for polled in self.meters if polled.silent and polled not in late]:
            if polled.skip:
                polled.skip -= 1
            else:
                await self._found(polled, await self._ask(polled, 1))
        await self.put(SweepDone(self.line.id, slot_s))

    async def _found(self, polled: Polled, found: Observation | Missed) -> None:
        if isinstance(found, Missed):
            polled.silent += 1
            polled.skip = min(polled.silent - 1, MOST_SKIPPED)
        else:
            polled.silent = polled.skip = 0
            if self.idle is not None:
                self.idle.saw(found)
        await self.put(found)

    async def _ask(self, polled: Polled, attempts: int) -> Observation | Missed:
        self.alive_ms = self.clock.boot_ms()
        return await ask(polled.meter, polled.limits, self.clock, attempts)
