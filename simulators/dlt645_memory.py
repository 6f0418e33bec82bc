"""What a simulated DL/T 645 meter can tell: data identifier → data bytes, for both editions.

Registers and powers now and at past instants (settlements, freezes, load records) come from the truth; the meter's own
clock may be off and decides when a freeze was taken. Bytes are in wire order before +33H; None where the meter has no
such item. Knows nothing of frames. Layouts: DL/T 645-2007 and -1997 as observed in public meter firmware.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from simulators.faults import Fault
from simulators.household import ORIGIN_MS
from simulators.park import PROGRAM, Truth

SIGNED_MODULUS = 800_000  # the sign takes the top bit, so the highest digit ends at 7
MINUTE_MS = 60_000
HOUR_MS = 3_600_000
DAY_MS = 86_400_000
LOAD_STEP_MS = 15 * MINUTE_MS
LOAD_DEPTH = 62 * 96
FREEZE_DEPTH = {"instant": 3, "hour": 254, "day": 62}
ABSENT = 0xAA  # closes a class of a load record; a class without data is this byte alone
NEVER = 1 << 62
EVENT_FAULTS = {
    "power_cut": "0311",
    "programmed": "033000",
    "cleared": "033001",
    "cover_open": "03300D",
    "terminal_open": "03300E",
}
EVENT_BYTES = {"0311": 12, "033000": 50, "033001": 106, "033004": 16, "03300D": 60, "03300E": 60}


@dataclass(frozen=True, slots=True)
class Happening:
    """An event in the meter's memory, UTC ms."""

    start_ms: int
    end_ms: int


def bcd(value: Decimal | int, size: int, decimals: int = 0, *, signed: bool = False) -> bytes:
    """A number as BCD, low byte first; `signed`: the top bit of the last byte says negative."""
    digits = int(abs(Decimal(value)).scaleb(decimals)) % 10 ** (2 * size)
    data = bytearray(bytes.fromhex(f"{digits:0{2 * size}d}")[::-1])
    if signed and value < 0:
        data[-1] |= 0x80
    return bytes(data)


class Memory:
    """The items of one meter. `clock_ms`: its clock minus true time; `events`: DI prefix → happenings, oldest first."""

    def __init__(self, truth: Truth, meter_id: str, *, tariffs: int = 4, clock_ms: int = 0) -> None:
        self.truth = truth
        self.meter = truth.meters[meter_id]
        self.tariffs = tariffs
        self.clock_ms = clock_ms
        self.closing_aa = False  # ends 1997 blocks and separates the groups of hourly freezes in some meters
        self.events: dict[str, list[Happening]] = {}
        self.frozen: list[int] = []  # instants of commanded freezes, UTC ms

    def local(self, t_ms: int) -> datetime:
        """What the meter's clock shows at an instant."""
        wrong_s = sum(fault.amount for fault in self._faults(t_ms) if fault.kind == "clock")
        shown = t_ms + self.truth.calendar.offset_ms + self.clock_ms + int(wrong_s * 1000)
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=shown)

    def instant(self, local: datetime) -> int:
        """The true instant (UTC ms) at which the meter's clock showed that."""
        return int(local.replace(tzinfo=UTC).timestamp() * 1000) - self.truth.calendar.offset_ms - self.clock_ms

    # DL/T 645-2007

    def item_2007(self, di: str, at_ms: int) -> bytes | None:
        """Data of an identifier of 8 hex digits, as the meter would answer it at `at_ms`."""
        kind, second, third, last = (int(di[i : i + 2], 16) for i in (0, 2, 4, 6))
        if kind == 0x00:
            return self._energy_2007(second, third, last, at_ms)
        if kind == 0x01:
            return self._demand_2007(second, third, last, at_ms)
        if kind == 0x02:
            return self._live_2007(di, at_ms)
        if kind == 0x03:
            return self._event(di, at_ms)
        if kind == 0x04:
            return self._parameter_2007(di, at_ms)
        if kind == 0x05:
            return self._freeze(second, third, last, at_ms)
        return None

    def _energy_2007(self, what: int, tariff: int, settlement: int, at_ms: int) -> bytes | None:
        if settlement > 12:
            return None
        instant = self._settlement(at_ms, settlement) if settlement else at_ms
        if instant < ORIGIN_MS:
            return bcd(0, 4)
        registers = self.truth.registers(self.meter["id"], instant)
        totals = {
            0x00: registers["import"] + registers["export"],
            0x01: registers["import"],
            0x02: registers["export"],
            0x03: registers["reactive_q1"] + registers["reactive_q4"],
            0x04: registers["reactive_q2"] + registers["reactive_q3"],
        } | {0x04 + n: registers[f"reactive_q{n}"] for n in range(1, 5)}
        if what not in totals:
            return None
        signed = what in (0x00, 0x03, 0x04)
        if signed:
            totals[what] %= SIGNED_MODULUS
        if tariff == 0:
            return bcd(totals[what], 4, 2, signed=signed)
        if what > 0x02:
            return None  # reactive energy by tariff is rarely there
        names = {0x00: ("import", "export"), 0x01: ("import",), 0x02: ("export",)}[what]
        parts = [sum(registers[f"{name}_t{n}"] for name in names) for n in range(1, self.tariffs + 1)]
        if tariff == 0xFF:
            return b"".join(bcd(value, 4, 2, signed=signed) for value in (totals[what], *parts))
        return bcd(parts[tariff - 1], 4, 2, signed=signed) if tariff <= self.tariffs else None

    def _demand_2007(self, what: int, tariff: int, settlement: int, at_ms: int) -> bytes | None:
        """Maximum active demand, kW, and the time at which its quarter hour ended; of single tariffs there is none."""
        demand = self._demand(what, settlement, at_ms) if tariff == 0x00 else None
        return None if demand is None else bcd(demand[0], 3, 4) + (self._stamp(demand[1]) if demand[0] else bytes(5))

    def _demand(self, what: int, settlement: int, at_ms: int) -> tuple[Decimal, int] | None:
        """Of the month that a settlement closed, 0: of this one. Cut to the digits that the meter shows."""
        if what not in (0x01, 0x02) or settlement > 12:
            return None
        from_ms = self._settlement(at_ms, settlement + 1)
        to_ms = self._settlement(at_ms, settlement) if settlement else at_ms
        bounds = max(from_ms, ORIGIN_MS), max(to_ms, ORIGIN_MS)
        kw, ended_ms = self.truth.max_demand(self.meter["id"], {0x01: "import", 0x02: "export"}[what], *bounds)
        return Decimal(int(kw * 10_000)).scaleb(-4), ended_ms

    def _settlement(self, at_ms: int, back: int) -> int:
        """The n-th settlement before now: midnight of the first of a month by the meter's clock."""
        now = self.local(at_ms)
        months = now.year * 12 + now.month - 1 - (back - 1)
        return self.instant(datetime(months // 12, months % 12 + 1, 1, tzinfo=UTC))

    def _live_2007(self, di: str, at_ms: int) -> bytes | None:
        live = self.truth.live(self.meter["id"], at_ms)
        group, phase = di[:4], di[4:6]
        if di == "02800002":
            return bcd(live["frequency"], 2, 2)
        if group not in _LIVE_2007 or di[6:] != "00":
            return None
        name, size, decimals, signed, has_total = _LIVE_2007[group]
        values = {f"{i + 1:02d}": _phase_value(live, name, letter) for i, letter in enumerate("abc")}
        if has_total:
            values = {"00": live[name]} | values
        if phase == "FF":
            return b"".join(bcd(value, size, decimals, signed=signed) for value in values.values())
        return bcd(values[phase], size, decimals, signed=signed) if phase in values else None

    def _parameter_2007(self, di: str, at_ms: int) -> bytes | None:
        now = self.local(at_ms)
        date = bcd(now.isoweekday() % 7, 1) + bcd(now.day, 1) + bcd(now.month, 1) + bcd(now.year % 100, 1)
        time = bcd(now.second, 1) + bcd(now.minute, 1) + bcd(now.hour, 1)
        serial = str(self.meter["serial"] or self.meter["address"])[-12:].rjust(12, "0")
        if serial.isdigit() and any(fault.kind == "other_serial" for fault in self._faults(at_ms)):
            serial = f"{(int(serial) + 1) % 10**12:012d}"
        items = {
            "04000101": date,
            "04000102": time,
            "0400010C": time + date,
            "04000103": bcd(15, 1),
            "04000204": bcd(self.tariffs, 1),
            "04000401": bytes.fromhex(self.meter["address"])[::-1],
            "04000402": bytes.fromhex(serial)[::-1] if serial.isdigit() else None,
            "04000409": bcd(400, 3),
            "04000601": b"\x05",  # combined = forward + reverse
            "04000901": b"\x3f",
            "04000B01": bytes((0x00, 0x01)),  # settles on the first at 00
            "04010001": b"".join(bcd(n, 1) + bcd(m % 60, 1) + bcd(m // 60, 1) for m, n in PROGRAM),
        }
        items |= {f"04000A{n:02d}": bcd(LOAD_STEP_MS // MINUTE_MS, 2) for n in range(2, 8)}
        items |= {f"040005{n:02d}": b"\0\0" for n in range(1, 8)} | {"040005FF": b"\0" * 14}
        set_ct = self.truth.faults.find("ct", self.meter["id"], at_ms)
        for item, key in (("04000306", "ct"), ("04000307", "pt")):
            if key == "ct" and set_ct:
                items[item] = bcd(Decimal(str(set_ct.amount)), 3)
            elif self.meter[key]:
                primary, secondary = map(Decimal, self.meter[key].split("/"))
                items[item] = bcd(primary / secondary, 3)
        return items.get(di)

    def _event(self, di: str, at_ms: int) -> bytes | None:
        """Counts (last byte 00) and the record `n` back; only the times in a record are filled."""
        prefix = next((known for known in EVENT_BYTES if di.startswith(known)), None)
        if prefix is None or (prefix == "0311" and di[4:6] != "00"):
            return None
        happenings = [happening for happening in self._happenings(prefix) if happening.end_ms <= at_ms]
        back = int(di[6:], 16)
        if back == 0:
            return bcd(len(happenings), 3)
        if back > 10:
            return None
        size = EVENT_BYTES[prefix]
        if back > len(happenings):
            return bytes(size)
        happening = happenings[-back]
        times = self._stamp(happening.start_ms, seconds=True) + self._stamp(happening.end_ms, seconds=True)
        if prefix == "033004":  # operator, clock before, clock after
            times = bytes(4) + times
        elif size in (50, 106):  # time, operator, …
            times = times[:6]
        return times.ljust(size, b"\0")

    def _stamp(self, t_ms: int, *, seconds: bool = False) -> bytes:
        """YYMMDDhhmm[ss] low byte first by the meter's clock."""
        now = self.local(t_ms)
        fields = (now.minute, now.hour, now.day, now.month, now.year % 100)
        return b"".join(bcd(value, 1) for value in ((now.second, *fields) if seconds else fields))

    def _freeze(self, kind: int, content: int, back: int, at_ms: int) -> bytes | None:
        """Freezes: commanded (01), hourly (04), daily (06); the last is number 1."""
        name = {0x01: "instant", 0x04: "hour", 0x06: "day"}.get(kind)
        if name is None or not 1 <= back <= FREEZE_DEPTH[name]:
            return None
        if name == "instant":
            taken = self.frozen[-back] if back <= len(self.frozen) else None
        else:
            step = {"hour": HOUR_MS, "day": DAY_MS}[name]
            shown = at_ms + self.truth.calendar.offset_ms + self.clock_ms
            taken = shown // step * step - (back - 1) * step - self.truth.calendar.offset_ms - self.clock_ms
        if taken is None or taken < ORIGIN_MS or self._was_off(taken):
            return None
        stamp = self._stamp(taken)
        if content == 0x00:
            return stamp
        tariff = 0x00 if name == "hour" else 0xFF
        if content in (0x01, 0x02):
            return self._energy_2007(content, tariff, 0, taken)
        if content == 0xFF and name == "hour":
            groups = [stamp, self._energy_2007(1, 0, 0, taken) or b"", self._energy_2007(2, 0, 0, taken) or b""]
            return (bytes((ABSENT,)) if self.closing_aa else b"").join(groups)
        return None

    def _was_off(self, t_ms: int) -> bool:
        return any(cut.start_ms <= t_ms < cut.end_ms for cut in self._happenings("0311"))

    def _faults(self, at_ms: int) -> list[Fault]:
        return self.truth.faults.on(self.meter["id"], at_ms)

    def _happenings(self, prefix: str) -> list[Happening]:
        """What the meter itself did and what a scenario does to it, oldest first."""
        own = self.events.get(prefix, [])
        done = [
            Happening(fault.from_ms, NEVER if fault.to_ms is None else fault.to_ms)
            for kind in (kind for kind, group in EVENT_FAULTS.items() if group == prefix)
            for target in (self.meter["id"], self.meter["line"])
            for fault in self.truth.faults.known(kind, target)
        ]
        return sorted(own + done, key=lambda happening: happening.start_ms)

    def load_records(self, di: str, extra: bytes, at_ms: int) -> bytes | None:
        """`06 class 00 selector` with N and the time from which: records one after another.

        extra: N (1 byte), for selector 01 then mm hh DD MM YY. None where the meter has no such record.
        """
        wanted, selector = int(di[2:4], 16), int(di[6:], 16)
        if wanted > 6 or di[4:6] != "00" or selector > 2:
            return None
        shown = at_ms + self.truth.calendar.offset_ms + self.clock_ms
        newest = shown // LOAD_STEP_MS
        oldest = newest - LOAD_DEPTH + 1
        count = extra[0] if extra and selector != 2 else 1
        first = newest if selector == 2 else oldest
        if selector == 1:
            minute, hour, day, month, year = (int(f"{byte:02x}") for byte in extra[1:6])
            asked = datetime(2000 + year, month, day, hour, minute, tzinfo=UTC)
            first = max(oldest, -(-int(asked.timestamp() * 1000) // LOAD_STEP_MS))
        bounds = range(first, min(first + count, newest + 1))
        shift = self.truth.calendar.offset_ms + self.clock_ms
        taken = [bound * LOAD_STEP_MS - shift for bound in bounds]
        records = [self._load_record(wanted, t_ms) for t_ms in taken if t_ms >= ORIGIN_MS and not self._was_off(t_ms)]
        return b"".join(records) if records else None

    def _load_record(self, wanted: int, taken: int) -> bytes:
        """A0 A0 | n | mm hh DD MM YY | class 1 AA | … | class 6 AA | cs | E5."""
        body = bytearray(self._stamp(taken))
        for number in range(1, 7):
            if wanted in (0, number):
                body += self._load_class(number, taken)
            body.append(ABSENT)
        head = bytes((0xA0, 0xA0, len(body)))
        return head + body + bytes((sum(head + body) & 0xFF, 0xE5))

    def _load_class(self, number: int, taken: int) -> bytes:
        items = {
            1: ("0201FF00", "0202FF00", "02800002"),
            2: ("0203FF00", "0204FF00"),
            3: ("0206FF00",),
            4: ("00010000", "00020000", "00030000", "00040000"),
            5: ("00050000", "00060000", "00070000", "00080000"),
            6: ("02030000", "02040000"),
        }[number]
        return b"".join(self.item_2007(item, taken) or b"" for item in items)

    # DL/T 645-1997

    def item_1997(self, di: str, at_ms: int) -> bytes | None:
        """Data of an identifier of 4 hex digits, as the meter would answer it at `at_ms`."""
        if di[0] == "9":
            return self._energy_1997(di, at_ms)
        if di[0] == "A" or di[:2] in ("B0", "B4", "B8"):
            return self._demand_1997(di, at_ms)
        if di[0] == "B":
            return self._live_1997(di, at_ms)
        same = {"C010": "04000101", "C011": "04000102", "C030": "04000409", "C032": "04000402", "C034": "04000401"}
        same |= {"C313": "04000204"}
        return self._parameter_2007(same[di], at_ms) if di in same else None

    def _energy_1997(self, di: str, at_ms: int) -> bytes | None:
        month, direction, tariff = int(di[1], 16), di[2], int(di[3], 16)
        back, reactive = month // 4, month % 2
        if month % 4 > 1 or back > 2:
            return None
        active = {"0": 0x01, "1": 0x01, "2": 0x02}  # 9000 was seen answered as forward active
        quadrants = {"1": 0x03, "2": 0x04, "3": 0x05, "4": 0x08, "5": 0x06, "6": 0x07}
        what = (quadrants if reactive else active).get(direction)
        if what is None:
            return None
        data = self._energy_2007(what, 0xFF if tariff == 0xF else tariff, back, at_ms)
        return data + bytes((ABSENT,)) if data and tariff == 0xF and self.closing_aa else data

    def _demand_1997(self, di: str, at_ms: int) -> bytes | None:
        """Maximum active demand (A), or the time of it (B), of this month and the two before."""
        month, direction = int(di[1], 16), {"1": 0x01, "2": 0x02}.get(di[2])
        if month % 4 or month > 8 or direction is None or di[3] != "0":
            return None
        demand = self._demand(direction, month // 4, at_ms)
        if demand is None:
            return None
        if di[0] == "A":
            return bcd(demand[0], 3, 4)
        return self._stamp(demand[1])[:4] if demand[0] else bytes(4)

    def _live_1997(self, di: str, at_ms: int) -> bytes | None:
        live = self.truth.live(self.meter["id"], at_ms)
        if di[:3] not in _LIVE_1997:
            return None
        name, size, decimals, has_total = _LIVE_1997[di[:3]]
        values = {str(i + 1): _phase_value(live, name, letter) for i, letter in enumerate("abc")}
        if has_total:
            values = {"0": live[name]} | values
        if di[3] == "F":
            return b"".join(bcd(abs(value), size, decimals) for value in values.values())
        return bcd(abs(values[di[3]]), size, decimals) if di[3] in values else None


def _phase_value(live: dict[str, Decimal], name: str, phase: str) -> Decimal:
    """A quantity of one phase; a phase that a single-phase meter lacks is zero, a third of what has no phase values."""
    if f"{name}_{phase}" in live:
        return live[f"{name}_{phase}"]
    if f"voltage_{phase}" not in live:
        return Decimal(0)
    if name == "power_factor":
        return live[name]
    return live[name] / sum(1 for letter in "abc" if f"voltage_{letter}" in live)


# group → quantity, bytes, decimals, signed, total comes first
_LIVE_2007 = {
    "0201": ("voltage", 2, 1, False, False),
    "0202": ("current", 3, 3, True, False),
    "0203": ("power", 3, 4, True, True),
    "0204": ("reactive_power", 3, 4, True, True),
    "0205": ("apparent_power", 3, 4, True, True),
    "0206": ("power_factor", 2, 3, True, True),
}
_LIVE_1997 = {
    "B61": ("voltage", 2, 0, False),
    "B62": ("current", 2, 2, False),
    "B63": ("power", 3, 4, True),
    "B64": ("reactive_power", 2, 2, True),
    "B65": ("power_factor", 2, 3, True),
}
