"""Gaps from the meter's own memory: which stretches are open, what to ask for them, in the idle time of a line.

    outage │───────────────────────────│        of gateway, line or meter
    clock    how far the meter's own is off: its stamps are dated by that
    records  load profile, eight at a time ── none? ─▶ whole hours ── none? ─▶ days, settlement days

What is found goes to the recorder as witnesses; what they make of the slots is decided there (revise.py). A meter
that remembers nothing keeps its estimates, and their total is exact. Stretches that a restart interrupted are found
again in the log.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, get_args

from agent.evidence.store import Epoch, Reader
from agent.ledger.slots import tolerance_ms
from agent.polling.airtime import Work
from agent.reading import Backfilled, Finding, Observation, Witness, exchanged
from contract.records import Check, Gap, Reading, Source, decode, instant, parse_slot
from drivers.clock import Clock
from drivers.dlt645.memory import COUNT, MOST_SETTLEMENTS, Dlt645Memory, Recorded, settlement_moment
from drivers.dlt645.meter import Dlt645Meter
from drivers.errors import DriverError, LineError, PortGone, Refused, Unexpected
from drivers.meter import Meter

logger = logging.getLogger(__name__)
LOOK_BACK_DAYS = 8  # for stretches that were still open when the agent ended
MOST_OFFSET_S = 3600  # a meter whose clock is further off has none that could date anything
RECORD_STEP_S = 900  # between load records, where nothing is told otherwise: only to step over what is not there
HOURS, DAYS = 254, 62  # freezes that meters keep at most
AGAIN_S = 1800  # after faults of the line
MOST_FAILURES = 8
MOST_MISSING = 3  # freezes in a row that are not there: then there are no older ones
CHECKS: tuple[Check, ...] = get_args(Check)
Stage = Literal["clock", "profile", "hour", "day", "settlement"]


@dataclass(slots=True)
class Stretch:
    """An open stretch of one meter, UTC ms, and how far its filling has come."""

    meter: str
    from_ms: int
    to_ms: int
    stage: Stage = "clock"
    offset_ms: int = 0  # the meter's clock minus ours
    cursor_ms: int = 0  # load profile: from where on; freezes: `back`
    back: int = 0
    missing: int = 0
    failures: int = 0
    not_before_ms: int = 0
    found: dict[int, Witness] = field(default_factory=dict)


class Backfill:
    """A chore of one line (idle.py). last_ms: when each meter was last read, as the log remembers it."""

    work: Work = "backfill"

    def __init__(
        self,
        meters: Iterable[Meter],
        *,
        interval_s: int,
        utc_offset_s: int,
        clock: Clock,
        put: Callable[[Finding], Awaitable[None]],
        last_ms: Mapping[str, int],
        open_stretches: Iterable[tuple[str, int, int]] = (),
    ) -> None:
        able = [meter for meter in meters if isinstance(meter, Dlt645Meter) and meter.edition == "2007"]
        self._meters = {meter.id: meter for meter in able}
        self._memories = {meter.id: Dlt645Memory(meter) for meter in able}
        self._interval_ms, self._utc_offset_ms = interval_s * 1000, utc_offset_s * 1000
        self._clock, self._put = clock, put
        self._last_ms = {name: at_ms for name, at_ms in last_ms.items() if name in self._memories}
        self._waiting: deque[Stretch] = deque()
        for name, from_ms, to_ms in open_stretches:
            self.want(name, from_ms, to_ms)

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def want(self, meter: str, from_ms: int, to_ms: int) -> None:
        """Fills a stretch when there is time; joins one of the same meter that it touches and nobody has begun."""
        if meter not in self._memories:
            return
        for stretch in self._waiting:
            touches = stretch.from_ms <= to_ms and from_ms <= stretch.to_ms
            if stretch.meter == meter and stretch.stage == "clock" and touches:
                stretch.from_ms, stretch.to_ms = min(stretch.from_ms, from_ms), max(stretch.to_ms, to_ms)
                return
        self._waiting.append(Stretch(meter, from_ms, to_ms))

    def saw(self, finding: Finding) -> None:
        """A meter that was not read for longer than a step and a half has an outage behind it."""
        if not isinstance(finding, Observation) or finding.meter not in self._memories or finding.clock == "none":
            return
        last_ms = self._last_ms.get(finding.meter)
        if last_ms is not None and finding.wall_ms - last_ms > self._interval_ms * 3 // 2:
            near_ms = tolerance_ms(self._interval_ms // 1000)  # the slots of the two live looks have their values
            self.want(finding.meter, last_ms + near_ms, finding.wall_ms - near_ms)
        self._last_ms[finding.meter] = finding.wall_ms

    async def step(self) -> bool:
        if self._clock.sync()[0] == "none":
            return False
        now_ms = self._clock.wall_ms()
        stretch = next((one for one in self._waiting if one.not_before_ms <= now_ms), None)
        if stretch is None:
            return False
        try:
            done = await self._advance(stretch)
        except PortGone:
            raise
        except (LineError, Unexpected) as error:
            self._put_off(stretch, error)
        except DriverError as error:
            logger.warning("cannot be filled from memory: %s meter=%s", error, stretch.meter)
            await self._close(stretch)
        else:
            stretch.failures = 0
            if done:
                await self._close(stretch)
        return True

    def _put_off(self, stretch: Stretch, error: DriverError) -> None:
        stretch.failures += 1
        stretch.not_before_ms = self._clock.wall_ms() + AGAIN_S * 1000 * (stretch.failures > 2)
        if stretch.failures == MOST_FAILURES:
            logger.warning("given up: %s meter=%s", error, stretch.meter)
            self._waiting.remove(stretch)

    async def _close(self, stretch: Stretch) -> None:
        self._waiting.remove(stretch)
        if stretch.found:
            witnesses = tuple(stretch.found[at_ms] for at_ms in sorted(stretch.found))
            logger.info("filled from memory: meter=%s %d instants", stretch.meter, len(witnesses))
            await self._put(Backfilled(stretch.meter, witnesses))

    async def _advance(self, stretch: Stretch) -> bool:
        """The next few exchanges; True when the stretch is as full as it gets."""
        memory = self._memories[stretch.meter]
        if stretch.stage == "clock":
            return not await self._begin(stretch, memory)
        if stretch.stage == "profile":
            return await self._profile(stretch, memory)
        if stretch.stage == "settlement":
            return await self._settlement(stretch, memory)
        return await self._freeze(stretch, memory)

    async def _begin(self, stretch: Stretch, memory: Dlt645Memory) -> bool:
        """Whether the meter has a clock that can date its records."""
        shown = await self._meters[stretch.meter].clock_at()
        if shown is None:
            return False
        # the clock shows whole seconds: on the average half a second has gone since
        stretch.offset_ms = _local_ms(shown[0]) + 500 - self._utc_offset_ms - shown[1]
        if abs(stretch.offset_ms) > MOST_OFFSET_S * 1000:
            logger.warning("clock is %d s off meter=%s", stretch.offset_ms // 1000, stretch.meter)
            return False
        if await memory.has_load_profile():
            stretch.stage, stretch.cursor_ms = "profile", stretch.from_ms
        else:
            self._next_stage(stretch, "hour")
        return True

    async def _profile(self, stretch: Stretch, memory: Dlt645Memory) -> bool:
        try:
            records = await memory.load_records(self._shown(stretch, stretch.cursor_ms))
        except Refused:
            records = []
        for record in records:
            self._take(stretch, record)
        last_ms = max((self._dated(stretch, record.at) for record in records), default=stretch.cursor_ms)
        missing_ms = (COUNT - 1) * RECORD_STEP_S * 1000
        stretch.cursor_ms = last_ms + 60_000 if records else stretch.cursor_ms + missing_ms
        return stretch.cursor_ms > stretch.to_ms

    def _next_stage(self, stretch: Stretch, stage: Stage) -> None:
        """Freezes are counted back from now: begins with the first that may lie within the stretch."""
        stretch.stage, stretch.missing, stretch.back = stage, 0, 1
        step_ms = {"hour": 3_600_000, "day": 86_400_000}.get(stage)
        if step_ms is not None:
            stretch.back = max(1, (self._clock.wall_ms() - stretch.to_ms) // step_ms)

    async def _freeze(self, stretch: Stretch, memory: Dlt645Memory) -> bool:
        ask, most = (memory.hour, HOURS) if stretch.stage == "hour" else (memory.day, DAYS)
        try:
            record = await ask(stretch.back)
        except Refused:
            stretch.missing += 1
            before_ms = stretch.to_ms
        except Unexpected as error:  # filler, or a new freeze has just moved them all
            stretch.missing += 1
            before_ms = stretch.to_ms
            logger.info("%s", error)
        else:
            stretch.missing = 0
            before_ms = self._dated(stretch, record.at)
            self._take(stretch, record)
        stretch.back += 1
        if before_ms > stretch.from_ms and stretch.back <= most and stretch.missing < MOST_MISSING:
            return False
        if stretch.stage == "hour":
            self._next_stage(stretch, "day")
        else:
            self._next_stage(stretch, "settlement")
        return False

    async def _settlement(self, stretch: Stretch, memory: Dlt645Memory) -> bool:
        now = self._shown(stretch, self._clock.wall_ms())
        oldest = settlement_moment("0100", now, stretch.back)
        if oldest is None or stretch.back > MOST_SETTLEMENTS:
            return True
        if self._dated(stretch, oldest) > stretch.to_ms + 32 * 86_400_000:
            stretch.back += 1
            return False
        if self._dated(stretch, oldest) < stretch.from_ms - 32 * 86_400_000:
            return True
        try:
            self._take(stretch, await memory.settlement(stretch.back, now))
        except (Refused, Unexpected):
            return True
        stretch.back += 1
        return False

    def _take(self, stretch: Stretch, record: Recorded) -> None:
        at_ms = self._dated(stretch, record.at)
        if not stretch.from_ms < at_ms < stretch.to_ms or at_ms in stretch.found:
            return
        source = Source(
            read_at=instant(at_ms),
            boot_ms=record.answers[0].boot_ms,
            registers=record.registers,
            meter_clock=f"{record.at}:00",
            exchanges=[exchanged(answer) for answer in record.answers],
            confirm=[exchanged(answer) for answer in record.confirm],
        )
        checks = tuple(check for check in CHECKS if check in record.checks | {"plausible"})
        method: Literal["load_profile", "freeze"] = "load_profile" if record.kind == "load_profile" else "freeze"
        stretch.found[at_ms] = Witness(at_ms, record.registers, method, source, checks)

    def _dated(self, stretch: Stretch, at: str) -> int:
        """UTC ms by our clock of an instant that the meter's clock shows."""
        return _local_ms(at) - self._utc_offset_ms - stretch.offset_ms

    def _shown(self, stretch: Stretch, at_ms: int) -> str:
        """What the meter's clock shows, to the minute, at an instant (UTC ms); rounded down."""
        shown = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=at_ms + self._utc_offset_ms + stretch.offset_ms)
        return shown.strftime("%Y-%m-%d %H:%M")


def open_stretches(data: Path, epoch: Epoch, now_ms: int, interval_s: int) -> Iterator[tuple[str, int, int]]:
    """(meter, from, to in UTC ms) of slots of the last days that are gaps or estimates still."""
    is_open: dict[tuple[str, int], bool] = {}
    reader = Reader(data)
    try:
        since = reader.first_since(epoch, now_ms - LOOK_BACK_DAYS * 86_400_000)
        for _, record, _ in reader.records(epoch, since):
            if record is None or not (b'"kind":"gap"' in record or _is_revised_reading(record)):
                continue
            body = decode(record)[1]
            if isinstance(body, Gap):
                for slot_s in range(parse_slot(body.from_slot), parse_slot(body.to_slot) + 1, interval_s):
                    is_open.setdefault((body.meter, slot_s), True)
            elif isinstance(body, Reading) and body.slot is not None:
                is_open[body.meter, parse_slot(body.slot)] = body.quality == "estimated"
    finally:
        reader.close()
    yield from _joined(sorted(key for key, value in is_open.items() if value), interval_s)


def _joined(slots: list[tuple[str, int]], interval_s: int) -> Iterator[tuple[str, int, int]]:
    while slots:
        meter, first_s = slots[0]
        count = 1
        while count < len(slots) and slots[count] == (meter, slots[count - 1][1] + interval_s):
            count += 1
        yield meter, first_s * 1000 - interval_s * 500, slots[count - 1][1] * 1000 + interval_s * 500
        slots = slots[count:]


def _is_revised_reading(record: bytes) -> bool:
    return b'"kind":"reading"' in record and b'"revision":0' not in record


def _local_ms(moment: str) -> int:
    return int(datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp() * 1000)
