"""What meters tell besides registers, asked in idle time: who they are, their counters and clocks, their phases.

    at start and daily   serial number, CT and PT as set · event counters · status words · clock · price · program of
                         tariffs · namesakes
    hourly               voltages, currents, powers

A counter that rose, a price or a relay that changed, a clock that is wrong becomes an event. What is compared is kept
in the data directory, so that a cover opened while the gateway was off shows too. Hourly values are for people: the
latest stand in `latest`, all in a file a day (telemetry/2026-07-14.csv: instant, meter, name=value …), never in the
log and never billed.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from agent.hearing import Dlt645Ear
from agent.polling.airtime import Work
from agent.polling.known import Aid, Known
from agent.polling.program import changes, disagreement, in_force
from agent.reading import ClockMoved, Finding, Happened, Missed, Observation, Stated
from contract.records import instant
from drivers.clock import Clock
from drivers.dlt645 import requests
from drivers.dlt645.frame import decode
from drivers.dlt645.meter import Dlt645Meter
from drivers.dlt645.plan import REGISTERS
from drivers.errors import DriverError, LineError, PortGone
from drivers.meter import Meter
from drivers.modbus.meter import ModbusMeter
from drivers.quantities import RegisterValue

logger = logging.getLogger(__name__)
HOUR_MS, DAY_MS = 3_600_000, 86_400_000
KEPT_DAYS = 92  # of hourly values: 65 MB of 256 meters
CLOCK_OFF_S = 300  # DL/T 645 meters may be set by at most five minutes a day: beyond that somebody must come
PHASE_MISSING = Decimal("0.5")  # of the highest phase voltage
# counter → event when it rises
COUNTERS = {
    "2007": {
        "03110000": "power_off",
        "03300000": "programmed",
        "03300100": "cleared",
        "03300200": "demand_cleared",
        "03300400": "clock_set",
        "03300D00": "cover_open",
        "03300E00": "terminal_open",
    },
    "1997": {"B212": "programmed", "B310": "phase_missing"},
}
RATIOS = {"2007": {"04000306": "ct", "04000307": "pt"}, "1997": {}}
PRICES = {"2007": ("02800020", "0280000B"), "1997": ()}
RELAY = "04000503"
TASKS = ("who", "clock", "counters", "price", "relay", "program", "namesake", "phases")  # in the order of asking
ZONES, PERIODS = "04010000", "0401{:04X}"  # the first set; the second begins with 0402
WEEKEND_MASK, WEEKEND_TABLE = "04000801", "04000802"
PeriodOf = Callable[[str, int], str | None]  # meter, UTC s → period of the schedule that its point is under
Telemetry = tuple[int, list[RegisterValue]]  # UTC ms and values


@dataclass(slots=True)
class _Watched:
    meter: Meter
    is_answering: bool = False
    due_ms: dict[str, int] = field(default_factory=lambda: dict.fromkeys(TASKS, 0))


class Watch:
    """A chore of one line (idle.py). directory: where known counts and hourly values are kept."""

    work: Work = "watch"

    def __init__(
        self,
        line: str,
        meters: Iterable[Meter],
        *,
        directory: Path,
        utc_offset_s: int,
        clock: Clock,
        put: Callable[[Finding], Awaitable[None]],
        period_of: PeriodOf | None = None,
        one_way: Iterable[str] = (),
    ) -> None:
        self.latest: dict[str, Telemetry] = {}
        self._meters = {meter.id: _Watched(meter) for meter in meters}
        self._directory = directory / "telemetry"
        self._utc_offset_ms = utc_offset_s * 1000
        self._clock, self._put, self._period_of = clock, put, period_of
        self._one_way = frozenset(one_way)  # meters through which energy only ever comes in
        self._known = Known(directory / f"watched-{line}.json")
        self._aid = Aid(self._directory)

    def saw(self, finding: Finding) -> None:
        """Only meters that answer are asked for more."""
        if isinstance(finding, (Observation, Missed)) and finding.meter in self._meters:
            self._meters[finding.meter].is_answering = isinstance(finding, Observation)

    async def step(self) -> bool:
        now_ms = self._clock.wall_ms()
        for task in TASKS:
            for watched in self._meters.values():
                if watched.is_answering and watched.due_ms[task] <= now_ms:
                    # also where it fails: what a meter does not tell today it will not tell in a second
                    watched.due_ms[task] = now_ms + (HOUR_MS if task == "phases" else DAY_MS)
                    await self._do(task, watched.meter, now_ms)
                    return True
        return False

    async def _do(self, task: str, meter: Meter, now_ms: int) -> None:
        try:
            if task == "who":
                await self._put(Stated(meter.id, now_ms, await _own_number(meter), await _ratios(meter)))
            elif task == "phases":
                await self._phases(meter, now_ms)
            elif isinstance(meter, Dlt645Meter):
                await {
                    "clock": self._clock_of,
                    "counters": self._counters,
                    "price": self._price,
                    "relay": self._relay,
                    "program": self._program,
                    "namesake": self._namesake,
                }[task](meter, now_ms)
        except PortGone:
            raise
        except DriverError as error:
            logger.debug("%s: not told: %s meter=%s", task, error, meter.id)

    async def _counters(self, meter: Dlt645Meter, now_ms: int) -> None:
        for di, code in COUNTERS[meter.edition].items():
            value = await _one(meter, di)
            if not isinstance(value, Decimal):
                continue
            before, since_ms = self._known.change(meter.id, di, str(value), now_ms)
            if before is not None and Decimal(before) != value:
                details: dict[str, str | int] = {"before": before, "count": str(value)}
                if meter.edition == "2007" and Decimal(before) < value:
                    details |= await _newest_record(meter, di)
                await self._put(Happened(meter.id, code, since_ms, now_ms, details))

    async def _price(self, meter: Dlt645Meter, now_ms: int) -> None:
        for di in PRICES[meter.edition]:
            value = await _one(meter, di)
            if isinstance(value, Decimal):
                before, since_ms = self._known.change(meter.id, di, str(value), now_ms)
                if before is not None and before != str(value):
                    details: dict[str, str | int] = {"item": di, "before": before, "after": str(value)}
                    await self._put(Happened(meter.id, "price", since_ms, now_ms, details))

    async def _relay(self, meter: Dlt645Meter, now_ms: int) -> None:
        status = await _one(meter, RELAY) if meter.edition == "2007" else None
        if isinstance(status, str):
            words = status.split()
            before, since_ms = self._known.change(meter.id, RELAY, status, now_ms)
            if "relay_open" in words and "relay_open" not in (before or "").split():
                await self._put(Happened(meter.id, "relay_open", since_ms, now_ms, {"status": status}))

    async def _program(self, meter: Dlt645Meter, now_ms: int) -> None:
        """The meter's own tariff periods of today against the schedule's; an event when they begin to disagree."""
        if self._period_of is None or meter.edition != "2007" or self._clock.sync()[0] == "none":
            return
        local_ms = now_ms + self._utc_offset_ms
        day_s = (local_ms - local_ms % DAY_MS - self._utc_offset_ms) // 1000
        periods: dict[int, str] = {}
        for at_s in range(day_s, day_s + DAY_MS // 1000, 1800):
            period = self._period_of(meter.id, at_s)
            if period is None:
                return
            periods[at_s] = period
        today = datetime.fromtimestamp(local_ms / 1000, UTC)
        second = "period_set_2" in str(await _one(meter, RELAY) or "").split()
        zones = await _texts(meter, ZONES.replace("0401", "0402") if second else ZONES)
        number = in_force(changes(zones), f"{today:%m%d}") or 1
        mask, weekend = await _one(meter, WEEKEND_MASK), await _one(meter, WEEKEND_TABLE)
        if _is_rest(mask, today.isoweekday() % 7) and isinstance(weekend, Decimal) and weekend:
            number = int(weekend)
        di = PERIODS.format(number)
        table = changes(await _texts(meter, di.replace("0401", "0402", 1) if second else di))
        details = disagreement(table, periods.__getitem__, day_s)
        before, since_ms = self._known.change(meter.id, "program", "differs" if details else "agrees", now_ms)
        if details and before != "differs":
            await self._put(Happened(meter.id, "tariff_mismatch", since_ms, now_ms, dict(details)))

    async def _clock_of(self, meter: Dlt645Meter, now_ms: int) -> None:
        shown = await meter.clock_at()
        if shown is None or self._clock.sync()[0] == "none":
            return
        moment = datetime.fromisoformat(shown[0]).replace(tzinfo=UTC).timestamp() * 1000
        off_s = round((moment + 500 - self._utc_offset_ms - shown[1]) / 1000)
        before, since_ms = self._known.change(meter.id, "clock_off_s", str(off_s), now_ms)
        if before is not None:
            await self._put(ClockMoved(meter.id, now_ms, off_s - int(before)))
        if abs(off_s) > CLOCK_OFF_S and (before is None or abs(int(before)) <= CLOCK_OFF_S):
            await self._put(Happened(meter.id, "clock_dispute", since_ms, now_ms, {"offset_s": off_s}))

    async def _namesake(self, meter: Dlt645Meter, now_ms: int) -> None:
        """Hears a question's whole time out: two whole answers, and two again, are two meters of one address.

        Once alone could be an answer that came too late for its own question.
        """
        for _ in range(2):
            answers = await self._answers(meter)
            if answers < 2:
                return
        details: dict[str, str | int] = {"address": meter.address, "answers": answers}
        await self._put(Happened(meter.id, "duplicate_address", now_ms, now_ms, details))

    async def _answers(self, meter: Dlt645Meter) -> int:
        di = REGISTERS[meter.edition]["import"][1]
        exchange = requests.read(meter.edition, meter.address, di, meter.manners)
        ears: list[Dlt645Ear] = []

        def listen() -> Dlt645Ear:  # a question may be put twice, and each time is heard by itself
            ears.append(Dlt645Ear(decode(exchange.request)))
            return ears[-1]

        try:
            await meter.ask(replace(exchange, reader=listen))
        except PortGone:
            raise
        except LineError:
            pass  # an ear accepts nothing
        return max((sum(reply.address == meter.address for reply in ear.heard().replies) for ear in ears), default=0)

    async def _phases(self, meter: Meter, now_ms: int) -> None:
        values = await meter.telemetry()
        if not values:
            return
        self.latest[meter.id] = (now_ms, values)
        self._append(now_ms, meter.id, values)
        found = {"phase_missing": missing_phases(values)}
        if meter.id in self._one_way:
            found |= backward(values)
        for code, phases in found.items():
            told = " ".join(phases)
            before, since_ms = self._known.change(meter.id, code, told, now_ms)
            if phases and before != told:
                await self._put(Happened(meter.id, code, since_ms, now_ms, {"phases": told}))

    def _append(self, now_ms: int, meter: str, values: list[RegisterValue]) -> None:
        """One line; nothing here is worth a flush, and an old day goes when a new one begins."""
        path = self._directory / f"{instant(now_ms)[:10]}.csv"
        told = " ".join(f"{value.name}={value.value}" for value in values)
        with self._aid.written():
            self._directory.mkdir(exist_ok=True)
            if not path.exists():
                for old in sorted(self._directory.glob("*.csv"))[: -KEPT_DAYS + 1]:
                    old.unlink()
            with path.open("a", encoding="utf-8") as file:
                file.write(f"{instant(now_ms)},{meter},{told}\n")


def missing_phases(values: Iterable[RegisterValue]) -> list[str]:
    """Phases whose voltage is less than half of the highest; none where only one is measured, as in two-wire meters."""
    volts = {
        value.name[-1]: value.value
        for value in values
        if value.name in ("voltage_a", "voltage_b", "voltage_c") and isinstance(value.value, Decimal)
    }
    highest = max(volts.values(), default=Decimal(0))
    low = [phase for phase, voltage in volts.items() if voltage < highest * PHASE_MISSING]
    return low if len(volts) - len(low) > 1 else []


def backward(values: Iterable[RegisterValue]) -> dict[str, list[str]]:
    """Of a meter through which energy only comes in: `phase_reversed` phases whose power is negative while another's is
    not (a current transformer the wrong way round), `reverse_flow` if all of those that carry power are."""
    powers = {
        value.name[-1]: value.value
        for value in values
        if value.name in ("power_a", "power_b", "power_c") and isinstance(value.value, Decimal)
    }
    negative = [phase for phase, power in powers.items() if power < 0]
    every = bool(negative) and not any(power > 0 for power in powers.values())
    return {"phase_reversed": [] if every else negative, "reverse_flow": negative if every else []}


async def _own_number(meter: Meter) -> str | None:
    try:
        return await meter.serial()
    except LineError:
        raise
    except DriverError:
        return None


async def _ratios(meter: Meter) -> dict[str, Decimal]:
    if isinstance(meter, ModbusMeter):
        return await meter.ratios()
    found: dict[str, Decimal] = {}
    if isinstance(meter, Dlt645Meter):
        for di, name in RATIOS[meter.edition].items():
            value = await _one(meter, di)
            if isinstance(value, Decimal) and value:
                found[name] = value
    return found


async def item_of(meter: Dlt645Meter, di: str) -> list[RegisterValue]:
    """The values of an item, none where the meter has none. Raises LineError."""
    try:
        values, _ = await meter.read_item(di)
    except LineError:
        raise
    except DriverError:
        return []
    return values


async def _one(meter: Dlt645Meter, di: str) -> Decimal | str | None:
    """The value of an item, None where the meter has none."""
    return next((value.value for value in await item_of(meter, di)), None)


async def _texts(meter: Dlt645Meter, di: str) -> list[str]:
    """The entries of a table, none where the meter has none."""
    return [value.value for value in await item_of(meter, di) if isinstance(value.value, str)]


def _is_rest(mask: Decimal | str | None, weekday: int) -> bool:
    """Whether a weekend mask makes this a rest day: bit 0 is Sunday (weekday 0), and a cleared bit means rest."""
    return isinstance(mask, str) and f"bit{weekday}" not in mask.split()


async def _newest_record(meter: Dlt645Meter, di: str) -> Mapping[str, str | int]:
    """When the newest event of a counter was, by the meter's own clock."""
    times = [text for text in await _texts(meter, f"{di[:6]}01") if text[4:5] == "-"]
    return {"meter_clock": times[0]} if times else {}
