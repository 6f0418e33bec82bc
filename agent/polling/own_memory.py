"""Slots' values from the meters' own memories, on a line whose sweep is longer than the slot's window.

    slot ── live looks at the others ── 15 s ── record of the slot, twice; clock ── next meter …
         what the record says is of the slot itself, however late it is asked

Which meters can is learned in idle time: two records tell in which step a meter writes them. A record counts if its own
date is the slot's by a clock that was read right behind it and is right to within 1 % of the interval. A meter that has
no record, or whose clock dates none, is read live as before, and is tried again after an hour, two, four … a day.
Writes nothing: what it gives goes the way of every reading.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, get_args

from agent.ledger.slots import tolerance_ms
from agent.polling.airtime import Work
from agent.reading import Finding, Observation
from agent.validation import Limits, faults_between
from contract.grid import Grid
from drivers.clock import Clock
from drivers.dlt645.memory import Dlt645Memory, Recorded
from drivers.dlt645.meter import Dlt645Meter
from drivers.errors import LineError, PortGone, Refused, Silent, Unexpected
from drivers.meter import Look, Meter

logger = logging.getLogger(__name__)
Kind = Literal["load_profile", "hour", "timed"]
KINDS: tuple[Kind, ...] = get_args(Kind)  # in the order of asking: the fewest bytes first
CLOCK_SHOWS_MS = 500  # half of the second that a meter's clock shows
LOOK_BACK_S = 7800  # two records of whole hours lie in it
ATTEMPTS = 3  # of a record that was garbled
AGAIN_S, LONGEST_S = 3600, 86_400  # until a memory that was of no use is tried again, doubled each time
SOON_S = 60  # after faults of the line, and behind a slot until everything is written
PART = 0.5  # of an interval, at most, for all memories of the line
USUAL_TURN_S = 2.0  # of one meter, until it is known


class NotThere(Unexpected):
    """The meter's memory does not hold the slot; not yet, perhaps."""


@dataclass(frozen=True, slots=True)
class Rhythm:
    """When a meter writes its records: the instant of one of them by its own clock, taken as UTC ms, and their step."""

    kind: Kind
    at_ms: int
    step_ms: int

    def has(self, slot_s: int) -> bool:
        return (slot_s * 1000 - self.at_ms) % self.step_ms == 0


@dataclass(slots=True)
class _Kept:
    """What is known of one meter."""

    memory: Dlt645Memory
    needed: frozenset[str]
    limits: Limits
    last: Observation | None = None
    rhythm: Rhythm | None = None
    not_before_ms: int = 0  # boot clock
    pause_s: int = AGAIN_S


class OwnMemory:
    """The memories of one line's meters, and a chore (idle.py) that learns which have one. wanted: the line's sweep is
    longer than the window."""

    work: Work = "memory"

    def __init__(self, meters: Iterable[tuple[Meter, Limits]], *, grid: Grid, clock: Clock) -> None:
        self._kept = {
            meter.id: _Kept(Dlt645Memory(meter), meter.needed, limits)
            for meter, limits in meters
            if isinstance(meter, Dlt645Meter) and meter.edition == "2007"
        }
        self._grid, self._clock = grid, clock
        self._turn_s = USUAL_TURN_S
        self.wanted = False

    def covering(self, slot_s: int) -> set[str]:
        """Meters whose memories are to be asked for a slot, as many as there is time for."""
        if not self.wanted or self._clock.sync()[0] == "none":
            return set()
        able = [id_ for id_, kept in self._kept.items() if kept.rhythm is not None and kept.rhythm.has(slot_s)]
        return set(able[: int(PART * self._grid.interval_s / self._turn_s)])

    def owed(self, meter: str) -> int | None:
        """The slot gone by that a meter's memory may hold, None if something was heard of the meter since."""
        slot_s = self._last_slot()
        last = self._kept[meter].last if meter in self._kept else None
        is_heard = last is not None and last.wall_ms >= slot_s * 1000
        return slot_s if meter in self.covering(slot_s) and not is_heard else None

    async def ask(self, meter: str, slot_s: int) -> Observation:
        """The meter's registers at the slot. Raises NotThere, Unexpected where they cannot be dated or do not fit what
        was read before, and LineError."""
        kept = self._kept[meter]
        if kept.rhythm is None:
            raise NotThere(f"{meter}: nothing is known of its memory")
        for attempt in range(1, ATTEMPTS + 1):
            began_ms = self._clock.boot_ms()
            try:
                record = await self._record(kept, kept.rhythm, slot_s)
                off_ms = await kept.memory.off_ms(self._grid.utc_offset_s)
            except Silent:
                raise
            except LineError:
                if attempt == ATTEMPTS:
                    raise
            else:
                break
        kept.pause_s = AGAIN_S
        self._turn_s += ((self._clock.boot_ms() - began_ms) / 1000 - self._turn_s) / 8
        return self._dated(kept, record, slot_s, off_ms, attempt)

    def rest(self, meter: str, why: str) -> None:
        """Its memory is left alone for a while."""
        kept = self._kept[meter]
        logger.info("slots are read live for %d h: %s meter=%s", kept.pause_s // 3600, why, meter)
        kept.rhythm, kept.not_before_ms = None, self._clock.boot_ms() + kept.pause_s * 1000
        kept.pause_s = min(2 * kept.pause_s, LONGEST_S)

    def saw(self, finding: Finding) -> None:
        if isinstance(finding, Observation) and finding.meter in self._kept:
            self._kept[finding.meter].last = finding

    async def step(self) -> bool:
        """Learns of one meter whether its memory can be asked for slots."""
        now_ms, slot_s = self._clock.boot_ms(), self._last_slot()
        is_settled = self._clock.wall_ms() - slot_s * 1000 >= SOON_S * 1000
        if not self.wanted or not is_settled or self._clock.sync()[0] == "none":
            return False
        for id_, kept in self._kept.items():
            if kept.rhythm is None and kept.not_before_ms <= now_ms and self._answers(kept):
                try:
                    kept.rhythm = await self._learned(kept)
                except PortGone:
                    raise
                except (LineError, Refused, Unexpected) as error:
                    # a new record may have moved the others meanwhile
                    if isinstance(error, LineError) or self._last_slot() != slot_s:
                        kept.not_before_ms = now_ms + SOON_S * 1000
                    else:
                        self.rest(id_, str(error))
                return True
        return False

    def _answers(self, kept: _Kept) -> bool:
        """Whether the meter answered of late."""
        return kept.last is not None and self._clock.wall_ms() - kept.last.wall_ms < self._grid.interval_s * 1500

    async def _learned(self, kept: _Kept) -> Rhythm:
        """Raises Unexpected or Refused where the clock is off or there is no memory, and LineError."""
        off_ms = await kept.memory.off_ms(self._grid.utc_offset_s)
        self._checked(off_ms)
        for kind in KINDS:
            try:
                rhythm = await self._rhythm(kept, kind)
                slot_s = self._newest_slot(rhythm)
                self._fits(kept, await self._record(kept, rhythm, slot_s), slot_s * 1000 - off_ms)
            except (Refused, Unexpected, Silent) as error:  # some meters are silent to what they do not have
                logger.debug("%s", error)
            else:
                logger.info("slots from its %s every %d s meter=%s", kind, rhythm.step_ms // 1000, kept.memory.id)
                return rhythm
        raise NotThere("it has no memory of slots")

    async def _rhythm(self, kept: _Kept, kind: Kind) -> Rhythm:
        """From two records in a row. Raises NotThere where there are none, and as the driver."""
        if kind == "load_profile":
            since = self._local(self._clock.wall_ms() // 1000 - LOOK_BACK_S)
            times = [record.at for record in await kept.memory.load_records(since)]
        else:
            ask = kept.memory.hour if kind == "hour" else kept.memory.timed
            times = sorted([(await ask(1)).at, (await ask(2)).at])
        if len(set(times)) < 2:
            raise NotThere(f"{kept.memory.id}: no two records of {kind}: {times}")
        before_ms, at_ms = (self._utc_ms(at) for at in times[-2:])
        return Rhythm(kind, at_ms, at_ms - before_ms)

    def _newest_slot(self, rhythm: Rhythm) -> int:
        """The last slot that the meter should have written a record of. Raises NotThere."""
        newest_s = self._last_slot()
        for slot_s in range(newest_s, newest_s - LOOK_BACK_S, -self._grid.interval_s):
            if rhythm.has(slot_s):
                return slot_s
        raise NotThere("its records are of no slots")

    async def _record(self, kept: _Kept, rhythm: Rhythm, slot_s: int) -> Recorded:
        """What the meter recorded when its own clock showed the slot. Raises NotThere, LineError."""
        kind, at = rhythm.kind, self._local(slot_s)
        try:
            if kind == "load_profile":
                found = await kept.memory.load_records(at)
            else:
                back = 1 + (self._clock.wall_ms() - slot_s * 1000) // rhythm.step_ms
                found = [await (kept.memory.hour if kind == "hour" else kept.memory.timed)(back)]
        except (Refused, Unexpected) as error:  # filler too: the meter may be about to write it
            raise NotThere(str(error)) from error
        record = next((record for record in found if record.at == at), None)
        if record is None or not kept.needed <= record.registers.keys():
            raise NotThere(f"{kept.memory.id}: no {kind} of {at}, but {[one.at for one in found]}")
        return record

    def _dated(self, kept: _Kept, record: Recorded, slot_s: int, off_ms: int, attempt: int) -> Observation:
        state, error_ms = self._checked(off_ms)
        at_ms = slot_s * 1000 - off_ms
        self._fits(kept, record, at_ms)
        return Observation(
            kept.memory.id,
            at_ms,
            self._clock.boot_ms() - (self._clock.wall_ms() - at_ms),
            state,
            error_ms,
            Look(record.registers, record.answers, record.checks),
            Look(record.registers, record.confirm, record.checks),
            attempt,
            f"{record.at}:00",
            "load_profile" if record.kind == "load_profile" else "freeze",
        )

    def _checked(self, off_ms: int) -> tuple[str, int]:
        """Our clock, and how far off it and what the meter's shows may be. Raises Unexpected if that is too much."""
        state, error_ms = self._clock.sync()
        both_ms = (error_ms or 0) + CLOCK_SHOWS_MS
        if abs(off_ms) + both_ms > tolerance_ms(self._grid.interval_s):
            raise Unexpected(f"its clock is {off_ms / 1000:.1f} s off and dates no slot")
        return state, both_ms

    def _fits(self, kept: _Kept, record: Recorded, at_ms: int) -> None:
        """Raises Unexpected for a record that contradicts the last look, as of another instant than it says."""
        if kept.last is None:
            return
        looks = sorted([(kept.last.wall_ms, kept.last.registers), (at_ms, record.registers)], key=lambda look: look[0])
        (first_ms, first), (last_ms, last) = looks
        faults = faults_between(kept.limits, first, last, last_ms - first_ms)
        if any(code != "rollover" for code in faults.values()):
            raise Unexpected(f"its record of {record.at} does not fit what was read: {faults}")

    def _last_slot(self) -> int:
        return self._grid.slot_floor(self._clock.wall_ms() // 1000)

    def _local(self, at_s: int) -> str:
        """The park's time at UTC seconds, as the meter should show it."""
        return datetime.fromtimestamp(at_s + self._grid.utc_offset_s, UTC).strftime("%Y-%m-%d %H:%M")

    def _utc_ms(self, at: str) -> int:
        return int((datetime.fromisoformat(at).replace(tzinfo=UTC).timestamp() - self._grid.utc_offset_s) * 1000)
