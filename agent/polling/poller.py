"""One line's supervisor: what is due → driver → findings, and the port's life. Knows nothing of the ledger.

A sweep is centred on its slot: it starts half its own learned length early. Each meter gets one attempt in its turn;
who was silent or garbled comes again behind all others, and those that did not answer last time come last of all, as
far as `turns` allows: a sick meter delays nobody's slot by more than that attempt. Between the sweeps they are
probed: what a probe misses is told to nobody, whoever answers one is read at once. Where look and confirmation of all
do not fit into the slot's window, only the looks are put there (`passes`); where these do not fit either, meters with
a memory of their own are asked for the slot behind it (`own_memory`), and the window is the others'.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from agent.ledger.slots import tolerance_ms
from agent.polling.airtime import Airtime
from agent.polling.asking import ask
from agent.polling.disturbance import Disturbances
from agent.polling.idle import Idle
from agent.polling.order import centred
from agent.polling.own_memory import NotThere, OwnMemory
from agent.polling.passes import MARGIN_S, Passes
from agent.polling.turns import Turns
from agent.reading import Finding, LineState, Missed, Observation, SweepDone
from agent.validation import Limits
from contract.records import Why
from drivers.clock import Clock
from drivers.errors import DriverError, LineError, PortGone
from drivers.line import Line
from drivers.meter import Meter

logger = logging.getLogger(__name__)
PROBE_STEP_S = 0.5  # between looks at who may be probed
ATTEMPTS = 3  # of a settlement read that was garbled or not confirmed
AGAIN: tuple[Why, ...] = ("timeout", "noise")  # what another attempt of the same sweep may mend
REOPEN_S = (0.5, 1.0, 2.0, 5.0)  # between attempts to open a lost port: back within ten seconds of its return
PROBE_LEAST_S = 5.0  # before a sweep: a probe may take a second, and reading who answers it another two
ONE_BY_ONE_PART = 0.75  # of a slot's window, at most, for a sweep one by one: an attempt in vain must fit in as well
SETTLES_S = (15.0, 60.0)  # behind the slot: meters write their records some seconds late, and their clocks may be
PASSES_PART = 0.5  # of an interval, at most, for a sweep in passes: chores and probes need time (agent.schedule)
Put = Callable[[Finding], Awaitable[None]]


@dataclass(slots=True)
class Polled:
    """A meter and what its connection can carry."""

    meter: Meter
    limits: Limits
    bills: bool = True  # its point is a tenant's or the park's feed: first into the slot's window where not all fit


@dataclass(slots=True)
class Poller:
    """Polls the meters of one line at every slot of the grid until cancelled."""

    line: Line
    meters: list[Polled]
    clock: Clock
    slot_after: Callable[[int], int]  # UTC seconds → the first slot later than that
    put: Put
    idle: Idle | None = None  # what is done between the sweeps
    memory: OwnMemory | None = None  # of meters that can tell a slot's value afterwards
    sweep_s: float = 0.0  # length of the last sweep
    needed_s: float = 0.0  # of it, or of an earlier one, for looks and confirmations that were answered
    totals_s: float = 0.0  # of these, for one look of all of them before the window; 0: not known apart
    alive_ms: int = 0  # boot clock at the last sign of life, for the watchdog
    turns: Turns = field(init=False)
    airtime: Airtime = field(init=False)
    disturbances: Disturbances = field(init=False)
    _up: bool | None = field(default=None)
    _turn: int = field(default=0)  # sweeps that were longer than the window
    _live: int = field(default=0)  # meters that `needed_s` is of

    def __post_init__(self) -> None:
        self.airtime = Airtime(self._now_s)
        self.disturbances = Disturbances(self.line.id, self.line.statistics)
        self.turns = Turns((polled.meter.id for polled in self.meters), self._now_s())

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
            lead_ms = self._lead_ms()
            slot_s = self._slot_ahead(lead_ms)
            # at most a minute at a time: the wall clock may be stepped while we wait
            while (wait_ms := slot_s * 1000 - lead_ms - self.clock.wall_ms()) > 0:
                self.alive_ms = self.clock.boot_ms()
                await self._use(wait_ms / 1000)
                if self._slot_ahead(lead_ms) < slot_s:
                    break  # stepped backward: the grid has an earlier slot again
                if self._lead_ms() != lead_ms and self._slot_ahead(self._lead_ms()) == slot_s:
                    break  # more or fewer are to be read live than it seemed
            else:
                await self._sweep(slot_s)

    def _slot_ahead(self, lead_ms: int) -> int:
        """The first slot whose sweep, which begins so long before it, is still to come."""
        return self.slot_after(-(-(self.clock.wall_ms() + lead_ms) // 1000))

    async def _use(self, wait_s: float) -> None:
        """The time until the next sweep, or a part of it."""
        if wait_s > PROBE_LEAST_S:
            with self.airtime.on("probe"):
                if await self._probe():
                    return
        if self.idle is not None and await self.idle.work(wait_s, self.airtime):
            return
        probe_s = self.turns.next_probe_in(self._now_s())
        await self.clock.sleep(min(wait_s, 60.0, wait_s if probe_s is None else max(probe_s, PROBE_STEP_S)))

    async def _probe(self) -> bool:
        """One short question to the silent meter that has waited longest; False if nobody may be asked now."""
        id_ = self.turns.probe(self._now_s())
        if id_ is None:
            return False
        polled = next(polled for polled in self.meters if polled.meter.id == id_)
        began_s = self._now_s()
        try:
            await polled.meter.look(second=True)
        except PortGone:
            raise
        except DriverError:
            self.turns.fell_silent(id_, self._now_s(), self._now_s() - began_s)
        else:
            slot_s = None if self.memory is None else self.memory.owed(id_)
            if slot_s is None or await self._recalled(polled, slot_s) is not True:
                await self._read(polled, ATTEMPTS)
        return True

    def _window_s(self, slot_s: int) -> float:
        return 2 * tolerance_ms(self.slot_after(slot_s) - slot_s) / 1000

    def _ordered(self, asked: list[Polled], slot_s: int) -> list[Polled]:
        """As configured, but where not all fit into the slot's window, others stand in its middle each time."""
        in_window_s = self._in_window_s(slot_s)
        fit = int(len(asked) * self._window_s(slot_s) / in_window_s) if in_window_s else len(asked)
        self._turn += fit < len(asked)
        return centred(asked, lambda polled: polled.bills, fit, self._turn)

    def _in_window_s(self, slot_s: int) -> float:
        """Of the time that is needed, what should lie inside the window."""
        return self.needed_s - self._totals_s() if self._in_passes(slot_s) else self.needed_s

    def _in_passes(self, slot_s: int) -> bool:
        """Whether a slot's window is too short for looks and confirmations, but holds the looks of most meters."""
        interval_s, window_s = self.slot_after(slot_s) - slot_s, self._window_s(slot_s)
        return (
            ONE_BY_ONE_PART * window_s < self.needed_s <= 4 * window_s
            and 1.5 * self.needed_s <= PASSES_PART * interval_s
        )

    def _expect(self, live: int) -> None:
        """What the last sweep's times will be with so many meters to be read live."""
        if live and self._live and live != self._live:
            self.sweep_s, self.needed_s, self.totals_s = (
                time_s * live / self._live for time_s in (self.sweep_s, self.needed_s, self.totals_s)
            )
            self._live = live

    def _covered(self, slot_s: int) -> set[str]:
        """Meters whose own memories are asked for a slot."""
        return set() if self.memory is None else self.memory.covering(slot_s)

    def _lead_ms(self) -> int:
        covered = self._covered(self.slot_after(self.clock.wall_ms() // 1000))
        ids = [polled.meter.id for polled in self.meters]
        live = sum(id_ not in covered and not self.turns.is_silent(id_) for id_ in ids)
        self._expect(live)
        return round(1000 * self._lead_s()) if live else 0

    def _lead_s(self) -> float:
        """How long before its slot a sweep begins."""
        if not self._in_passes(self.slot_after(self.clock.wall_ms() // 1000)):
            return self.sweep_s / 2
        return self._totals_s() + MARGIN_S + (self.needed_s - self._totals_s()) / 2

    def _totals_s(self) -> float:
        return self.totals_s or self.needed_s / 2

    async def _sweep(self, slot_s: int, *, first: bool = False) -> None:
        began_s = self._now_s()
        silent = [polled for polled in self.meters if self.turns.is_silent(polled.meter.id)]
        covered = set() if first else self._covered(slot_s)
        kept = [polled for polled in self.meters if polled.meter.id in covered and polled not in silent]
        late: list[Polled] = []
        if len(covered) < len(self.meters):
            asked = self._ordered([polled for polled in self.meters if polled not in silent + kept], slot_s)
            with self.airtime.on("slot"):
                if not first and self._in_passes(slot_s):
                    late = await self._sweep_in_passes(asked, slot_s)
                else:
                    late = await self._sweep_one_by_one(asked, first=first)
            self.sweep_s = self._now_s() - began_s
        if self.memory is not None and self.needed_s:
            self.memory.wanted = self._is_too_long(slot_s)
        with self.airtime.on("again"):
            for polled in late:
                await self._read(polled, ATTEMPTS, before=1)
        late = await self._recall(kept, slot_s)
        with self.airtime.on("again"):
            for polled in late:
                await self._read(polled, ATTEMPTS)
        with self.airtime.on("probe"):
            for polled in silent:
                if self.turns.may_probe(polled.meter.id, self._now_s()):
                    await self._read(polled, 1)
        for disturbed in self.disturbances.look(self.clock.wall_ms(), self.clock.boot_ms()):
            await self.put(disturbed)
        await self.put(SweepDone(self.line.id, slot_s))

    def _is_too_long(self, slot_s: int) -> bool:
        """Whether the window would not hold the looks of all meters, were all of them read live."""
        live = self._live
        self._expect(len(self.meters))
        too_long = self._in_window_s(slot_s) > self._window_s(slot_s)
        self._expect(live)
        return too_long

    async def _recall(self, kept: list[Polled], slot_s: int) -> list[Polled]:
        """The slot's values from memories, in two rounds; gives who has none and is to be read live."""
        live: list[Polled] = []
        longest_s = (self.slot_after(slot_s) - slot_s) / 10
        for settles_s in (min(settles_s, longest_s) for settles_s in SETTLES_S):
            # by the clock that does not step: the other one may
            until_s = self._now_s() + min(settles_s, slot_s + settles_s - self.clock.wall_ms() / 1000)
            while kept and (wait_s := until_s - self._now_s()) > 0:
                await self._use(wait_s)
            missing = []
            for polled in kept:
                with self.airtime.on("probe"):
                    await self._probe()
                with self.airtime.on("memory"):
                    is_told = await self._recalled(polled, slot_s)
                if is_told is None:
                    missing.append(polled)
                elif not is_told:
                    live.append(polled)
            kept = missing
        for polled in kept:
            assert self.memory is not None
            self.memory.rest(polled.meter.id, f"it kept nothing of slot {slot_s}")
        return live + kept

    async def _recalled(self, polled: Polled, slot_s: int) -> bool | None:
        """Asks one meter's memory for the slot: False if it is of no use, None if it may be of use later."""
        assert self.memory is not None
        self._sign()
        try:
            found = await self.memory.ask(polled.meter.id, slot_s)
        except PortGone:
            raise
        except NotThere:
            return None
        except LineError:
            return False
        except DriverError as error:
            self.memory.rest(polled.meter.id, str(error))
            return False
        await self._found(polled, found, 0.0)
        return True

    async def _sweep_one_by_one(self, asked: list[Polled], *, first: bool) -> list[Polled]:
        """Each meter's look and confirmation; gives who was silent or garbled and comes again after everybody else."""
        late: list[Polled] = []
        needed_s, read = 0.0, 0
        for polled in asked:
            began_s = self._now_s()
            found = await self._ask(polled, ATTEMPTS if first else 1)
            if isinstance(found, Missed) and found.why in AGAIN and not first:
                late.append(polled)
                continue
            if isinstance(found, Observation):
                needed_s += (self._now_s() - began_s) / found.attempts
                read += 1
            await self._found(polled, found, 0.0)
        self.needed_s, self.totals_s, self._live = needed_s, 0.0, read
        return late

    async def _sweep_in_passes(self, asked: list[Polled], slot_s: int) -> list[Polled]:
        """Looks inside the window, the rest around it; gives who could not be read so."""
        passes = Passes(self.clock, self._sign)
        start_ms = slot_s * 1000 - round(500 * (self.needed_s - self._totals_s()))
        for polled in asked:
            if self.clock.wall_ms() >= start_ms:
                break  # the window does not wait
            await passes.totals_before(polled.meter)
        self.totals_s = passes.answered_s
        await self.clock.sleep(max(0.0, min((start_ms - self.clock.wall_ms()) / 1000, 3 * MARGIN_S)))
        await passes.blocks(polled.meter for polled in asked)
        self.needed_s, self._live = passes.answered_s, len(passes.looks)
        late = []
        for polled in asked:
            found = await passes.confirmed(polled.meter, polled.limits)
            if found is None:
                late.append(polled)
            else:
                await self._found(polled, found, 0.0)
        return late

    async def _read(self, polled: Polled, attempts: int, *, before: int = 0) -> None:
        began_s = self._now_s()
        found = await self._ask(polled, attempts, before=before)
        await self._found(polled, found, self._now_s() - began_s)

    async def _found(self, polled: Polled, found: Observation | Missed, took_s: float) -> None:
        if isinstance(found, Missed):
            self.turns.fell_silent(polled.meter.id, self._now_s(), took_s)
        else:
            self.turns.answered(polled.meter.id, self._now_s())
            if self.idle is not None:
                self.idle.saw(found)
        await self.put(found)

    async def _ask(self, polled: Polled, attempts: int, *, before: int = 0) -> Observation | Missed:
        self._sign()
        return await ask(polled.meter, polled.limits, self.clock, attempts, before=before)

    def _sign(self) -> None:
        self.alive_ms = self.clock.boot_ms()

    def _now_s(self) -> float:
        return self.clock.boot_ms() / 1000
