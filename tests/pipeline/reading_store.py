"""A morning of a small park in a real store, for the verbs that read one: 10 July 2026, 10:00 to 12:00 in the park.

m-000 master ×40; m-101 acme, ×30 and from 10:30 on ×40, with tariff registers; m-102 bolt, replaced by m-103 at 11:30;
m-104 shared by acme (0.375) and cord, silent at 11:00 (filled at 11:15, or not) and from `silent_from` on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from nacl.signing import SigningKey

from agent.app import CONFIG_KEYS
from agent.evidence.log import Identity, Log
from agent.evidence.opening import open_log
from agent.evidence.store import Store
from config.load import load
from contract.ledger import SlotValue, interval
from contract.plan import Plan
from contract.records import Config, Event, Gap, Quality, Reading, Source, Supersedes, parse_slot, slot_instant
from contract.tariff import period_finder
from drivers.clock import VirtualClock

KEY = SigningKey(bytes(range(32)))
TEN = parse_slot("2026-07-10T02:00:00Z")  # 10:00 in the park
STEP = 900
SLOTS = range(9)

YAML = """
park: {id: xihu-01, name: 西湖, schedules: [zj-2026]}
gateway: {id: gw-1, data: DATA}
mqtt: {url: "mqtt://127.0.0.1:1883"}
lines:
  - {id: east, port: /dev/ttyRS485-1, baud: 9600, framing: 8E1}
meters:
  - {id: m-000, line: east, protocol: dlt645-2007, address: "202208310001", role: master, multiplier: 40}
  - {id: m-101, line: east, protocol: dlt645-2007, address: "000000063295", room: 1-101, serial: "20220831000003"}
  - {id: m-102, line: east, protocol: dlt645-2007, address: "202208310004", room: 1-102}
  - {id: m-103, line: east, protocol: dlt645-2007, address: "202208310005", room: 1-102}
  - {id: m-104, line: east, protocol: dlt645-2007, address: "202208310006", room: 1-104}
points:
  - {id: p-101, role: tenant, meters: [
      {meter: m-101, from: "2026-01-01T00:00:00+08:00", multiplier: 30},
      {meter: m-101, from: "2026-07-10T10:30:00+08:00", multiplier: 40}]}
  - {id: p-102, role: tenant, meters: [
      {meter: m-102, from: "2026-01-01T00:00:00+08:00"},
      {meter: m-103, from: "2026-07-10T11:30:00+08:00"}]}
  - {id: p-104, role: tenant, meters: [{meter: m-104, from: "2026-01-01T00:00:00+08:00"}]}
tenancies:
  - {point: p-101, tenant: acme}
  - {point: p-102, tenant: bolt}
  - {point: p-104, tenant: acme, share: "0.375"}
  - {point: p-104, tenant: cord, share: "0.625"}
tenants:
  - {id: acme, name: 埃克米五金}
  - {id: bolt, name: "=博尔特"}
  - {id: cord, name: 科德}
"""

# meter → register at 10:00 and what it counts a slot
COUNTS = {
    "m-000": ("5000.00", "3.00"),
    "m-101": ("1000.00", "1.10"),
    "m-102": ("2000.00", "2.05"),
    "m-103": ("0.50", "0.25"),
    "m-104": ("300.00", "0.08"),
}


def register(meter: str, slot: int) -> Decimal:
    """What the meter shows at slot number `slot`."""
    first, each = COUNTS[meter]
    return Decimal(first) + slot * Decimal(each)


def slot_text(slot: int) -> str:
    return slot_instant(TEN + STEP * slot)


def write_config(directory: Path) -> Path:
    """The configuration file, its store in `directory`/data."""
    path = directory / "park.yaml"
    path.write_text(YAML.replace("DATA", str(directory / "data")), encoding="utf-8")
    return path


@dataclass
class Morning:
    """Writes the log, a commit a slot. Change `registers` or the hooks before `write`."""

    directory: Path
    silent_from: int = 99
    filled: bool = True
    late_s: int = 20  # of a commit after its slot
    registers: Callable[[str, int], Decimal] = register
    after: dict[int, Callable[[Morning], None]] = field(default_factory=dict)
    clock: VirtualClock = field(default_factory=lambda: VirtualClock((TEN - 600) * 1000))
    values: dict[tuple[str, int], SlotValue] = field(default_factory=dict)
    slots: range = SLOTS
    delivered: int = 0
    written: set[tuple[Any, int]] = field(default_factory=set)

    def write(self) -> Morning:
        self.path = write_config(self.directory)
        loaded = load(self.path)
        assert loaded.config is not None, loaded.faults
        self.config = loaded.config
        self.plan = Plan.from_config(self.config, period_finder(self.config))
        self.data = self.directory / "data"
        self.clock.run(self._write())
        return self

    async def _write(self) -> None:
        store = Store(self.data, self.clock.hold)
        self.log: Log = await open_log(store, Identity("xihu-01", "gw-1", "0.1.0"), self.clock, KEY)
        self.log.add(Config(**{name: self.config[name] for name in CONFIG_KEYS}))
        await self.log.commit()
        for slot in self.slots:
            at_s = TEN + STEP * slot + self.late_s
            await self.clock.sleep(at_s - self.clock.wall_ms() / 1000)
            self._sweep(slot)
            if slot in self.after:
                self.after[slot](self)
            await self.log.commit()
        await self.log.close()
        await store.close()

    def _sweep(self, slot: int) -> None:
        for meter in self.plan.meters_due(TEN + STEP * slot):
            if meter == "m-104" and (slot == 4 or slot >= self.silent_from):
                self.gap_seq = self.log.add(Gap(meter, slot_text(slot), slot_text(slot), "timeout"))
            else:
                self.reading(meter, slot)
        if slot == 5 and self.filled:
            self.reading("m-104", 4, quality="estimated", revision=1)
            self.step(3)
        self.step(slot - 1)

    def reading(self, meter: str, slot: int, *, quality: Quality = "measured", revision: int = 0) -> None:
        value = self.registers(meter, slot)
        registers = {"import": value}
        if meter == "m-101":
            registers |= {f"import_t{n}": value / 4 for n in range(1, 5)}
        body = Reading(
            meter=meter,
            serial=None,
            point=self.plan.point_of(meter, TEN + STEP * slot),
            slot=slot_text(slot),
            method="manual",
            quality=quality,
            estimate="linear" if quality == "estimated" else None,
            registers=registers,
            sources=[Source(None, 0, registers, None, [], [])],
            checks=[],
            attempts=1,
            revision=revision,
            supersedes=Supersedes(self.gap_seq, "meter_back") if revision else None,
        )
        self.values[meter, TEN + STEP * slot] = SlotValue(registers, quality, self.log.add(body))

    def step(self, slot: int) -> None:
        """The intervals of the step that starts at the slot, as far as there are, each once."""
        start_s = TEN + STEP * slot
        for subject, holdings in self.plan.holdings(start_s).items():
            body = interval(self.plan, subject, holdings, start_s, lambda meter, s: self.values.get((meter, s)))
            if body is not None and (subject, start_s) not in self.written:
                self.written.add((subject, start_s))
                self.log.add(body)

    def revise(self, point: str, slot: int) -> None:
        """Writes the interval of a point that no tenant holds once more, as revision 1."""
        start_s = TEN + STEP * slot
        for subject, holdings in self.plan.holdings(start_s).items():
            body = interval(self.plan, subject, holdings, start_s, lambda meter, s: self.values.get((meter, s)))
            if subject.point == point and body is not None:
                self.log.add(replace(body, revision=1, supersedes=Supersedes(0, "reading_revised")))

    def event(self, meter: str, code: str, at_s: int) -> None:
        at = slot_instant(at_s)[:-1] + ".000Z"
        self.log.add(Event("meter", meter, code, at, at, {}))
