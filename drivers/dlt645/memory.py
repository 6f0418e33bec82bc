"""What a 2007 meter remembers of its registers: load records, hourly, daily and timed freezes, settlement days.

    load profile   06040001 N since …  B1, 12H …      then the same with another N: only records that both tell
    whole hour     0504FFnn                           then 050400nn 050401nn [050402nn]
    day            050600nn 050601nn 050600nn         then 050601nn
    timed          the same with 0500
    settlement     04000B01, 0001FFss                 then 000100ss

Everything is dated by the meter's own clock, and asked for twice in requests of different shape. A freeze carries its
own date, which is read with it (nn counts back from now: a new freeze moves all of them). Knows no slots, no UTC.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from drivers.dlt645 import requests
from drivers.dlt645.frame import decode
from drivers.dlt645.identifiers import wire
from drivers.dlt645.kept import frozen, plain, recorded
from drivers.dlt645.meter import FRAME_CHECKS, MOST_PARTS, Dlt645Meter
from drivers.dlt645.plan import CLOCK, tariffs_add_up
from drivers.errors import Refused, Unexpected
from drivers.exchange import Answer, Exchange

COUNT = requests.MOST_RECORDS
MOST_SETTLEMENTS = 12
UNUSED = "9999"  # a settlement moment that is none
HOURLY = {"import": "01", "export": "02"}  # contents of an hourly freeze
TIME = CLOCK["2007"][1]
DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Recorded:
    """Registers at an instant of the meter's own clock.

    at: `YYYY-MM-DD hh:mm`. kind: `load_profile` or `freeze` (settlement days are one). answers, confirm: the two
    separate times of asking, in order; checks as a Look has them.
    """

    at: str
    kind: str
    registers: dict[str, Decimal]
    answers: list[Answer]
    confirm: list[Answer]
    checks: frozenset[str]


class Dlt645Memory:
    """The memory of one meter. Every method raises DriverError, Refused where the meter has no such memory."""

    def __init__(self, meter: Dlt645Meter) -> None:
        if meter.edition != "2007":
            raise ValueError(f"{meter.id}: meters of the {meter.edition} edition keep no records that can be read")
        self._meter = meter
        self.id = meter.id

    async def has_load_profile(self) -> bool:
        """Whether the meter tells its latest record of energies."""
        try:
            data, _ = await self._series(requests.load_records(self._meter.address, requests.ENERGY_CLASS), "06040002")
        except Refused:
            return False
        return any("import" in registers for registers in _recorded(data).values())

    async def load_records(self, since: str) -> list[Recorded]:
        """The records from an instant of the meter's clock on, at most eight; oldest first. One request, then another.

        A record stands here only if both answers tell it alike; filler is left out. Raises Refused (ERR 02) also
        where the meter remembers nothing from the next nine intervals, as after a power cut.
        """
        first, answers = await self._records(since, COUNT)
        second, confirm = await self._records(since, max(2, min(COUNT, len(first)) - 1))
        found = []
        for at, registers in first.items():
            if at >= since and second.get(at) == registers and "import" in registers:
                checks = FRAME_CHECKS | {"confirmed"}
                found.append(Recorded(at, "load_profile", registers, answers, confirm, checks))
        return sorted(found, key=lambda record: record.at)

    async def hour(self, back: int) -> Recorded:
        """The freeze of a whole hour, or of what the meter was set to instead, 1 the latest.

        Raises Unexpected where there is filler, or two answers differ.
        """
        values, answer = await self._meter.read_item(f"0504FF{back:02X}")
        at, registers = frozen(values)
        stamp, stamped = await self._meter.read_item(f"050400{back:02X}")
        said, confirm = {}, [stamped]
        for name, content in HOURLY.items():
            if name == "import" or name in self._meter.needed:
                total, again = await self._meter.read_item(f"0504{content}{back:02X}")
                said[name] = frozen(total)[1].get(name)
                confirm.append(again)
        if at is None or frozen(stamp)[0] != at or said != {name: registers.get(name) for name in said}:
            raise Unexpected(f"{self.id}: hourly freeze {back} says {at} {registers}, then {stamp} {said}")
        return Recorded(at, "freeze", registers, [answer], confirm, FRAME_CHECKS | {"confirmed"})

    async def day(self, back: int) -> Recorded:
        """The freeze of a day, 1 the latest; its date is read before and after it. Raises Unexpected as `hour`."""
        return await self._dated("0506", back)

    async def timed(self, back: int) -> Recorded:
        """A freeze of the meter's own timetable, 1 the latest; as `day`."""
        return await self._dated("0500", back)

    async def off_ms(self, utc_offset_s: int) -> int:
        """How far the meter's time of day is before ours, to half a second: within half a day, its date is not asked.

        utc_offset_s: of the local time that the meter should show. Raises Unexpected where it shows no time.
        """
        values, answer = await self._meter.read_item(TIME)
        try:
            shown = datetime.strptime(str(values[0].value), "%H%M%S")
        except ValueError as error:
            raise Unexpected(f"{self.id}: its clock says {values[0].value}", frame=answer.reply) from error
        # it shows whole seconds: on the average half a second has gone since
        shown_ms = (shown.hour * 3600 + shown.minute * 60 + shown.second) * 1000 + 500
        return (shown_ms - answer.wall_ms - utc_offset_s * 1000 + DAY_MS // 2) % DAY_MS - DAY_MS // 2

    async def _dated(self, kind: str, back: int) -> Recorded:
        date, content = f"{kind}00{back:02X}", f"{kind}01{back:02X}"
        before, stamp = await self._meter.read_item(date)
        first, answer = await self._meter.read_item(content)
        second, again = await self._meter.read_item(content)
        after, stamped = await self._meter.read_item(date)
        at, registers = frozen(before)[0], frozen(first)[1]
        if at is None or frozen(after)[0] != at or "import" not in registers or frozen(second)[1] != registers:
            raise Unexpected(f"{self.id}: freeze {kind} {back} says {before} {first}, then {second} {after}")
        agreed = {"tariff_sum"} if tariffs_add_up("import", registers) else set()
        checks = FRAME_CHECKS | {"confirmed"} | agreed
        return Recorded(at, "freeze", registers, [stamp, answer], [again, stamped], checks)

    async def settlement(self, back: int, now: str) -> Recorded:
        """The registers of a settlement day, 1 the latest, 12 the oldest. now: the meter's clock.

        The meter states no date with them: it is the settlement moment of its own calendar, and false if the meter was
        without power then. Raises Unexpected also where it has no settlement moment.
        """
        moment, stated = await self._meter.read_item("04000B01")
        at = settlement_moment(str(moment[0].value), now, back)
        if at is None:
            raise Unexpected(f"{self.id}: no settlement moment: {moment[0].value}")
        block, answer = await self._meter.read_item(f"0001FF{back:02X}")
        total, confirm = await self._meter.read_item(f"000100{back:02X}")
        registers = {plain(value.name): value.value for value in block if isinstance(value.value, Decimal)}
        said = {plain(value.name): value.value for value in total}
        if "import" not in registers or said.get("import") != registers["import"]:
            raise Unexpected(f"{self.id}: settlement {back} says {registers}, then {said}")
        return Recorded(at, "freeze", registers, [stated, answer], [confirm], FRAME_CHECKS | {"confirmed"})

    async def _records(self, since: str, count: int) -> tuple[dict[str, dict[str, Decimal]], list[Answer]]:
        """Registers by the record's time."""
        exchange = requests.load_records(self._meter.address, requests.ENERGY_CLASS, since=since, count=count)
        data, answers = await self._series(exchange, "06040001")
        return _recorded(data), answers

    async def _series(self, exchange: Exchange, di: str) -> tuple[bytes, list[Answer]]:
        """An answer with all its parts: the data behind DI, SEQ left out. Raises Refused, Unexpected, LineError."""
        answers = [await self._meter.ask(exchange)]
        frame = decode(answers[0].reply)
        head = len(wire(di))
        data, seq = frame.data[head:], 1
        while frame.more_follows:
            if len(answers) == MOST_PARTS:
                raise Unexpected(f"{self.id}: {di} has no end after {MOST_PARTS} parts", frame=frame.raw)
            part = requests.read_on("2007", self._meter.address, di, seq, self._meter.manners)
            answers.append(await self._meter.ask(part))
            frame = decode(answers[-1].reply)
            data += frame.data[head:-1]
            seq = requests.next_seq(seq)
        return data, answers


def settlement_moment(day_hour: str, now: str, back: int) -> str | None:
    """The settlement `back` times ago as `YYYY-MM-DD hh:mm`, by DDhh of each month; None for 9999 and nonsense."""
    if not 1 <= back <= MOST_SETTLEMENTS or len(day_hour) != 4 or not day_hour.isdecimal() or day_hour == UNUSED:
        return None
    day, hour = int(day_hour[:2]), int(day_hour[2:])
    if not 1 <= day <= 28 or hour > 23:
        return None
    shown = datetime.fromisoformat(now)
    months = shown.year * 12 + shown.month - 1 - (back - 1)
    if (shown.day, shown.hour) < (day, hour):
        months -= 1
    return f"{months // 12:04d}-{months % 12 + 1:02d}-{day:02d} {hour:02d}:00"


def _recorded(data: bytes) -> dict[str, dict[str, Decimal]]:
    try:
        return recorded(data)
    except ValueError as error:
        raise Unexpected(f"load records: {error}", frame=data) from error
