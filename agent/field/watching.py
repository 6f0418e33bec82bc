"""Reads every meter of a line round and round for a person who watches: import total and power. Keeps nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from agent.meters import METER_PROTOCOLS, build_meter
from drivers.errors import DriverError, PortGone
from drivers.line import Line
from drivers.meter import Meter
from drivers.modbus.meter import ModbusMeter

POWER_ITEMS = {"dlt645-2007": "02030000", "dlt645-1997": "B630"}
LEAST_KW = Decimal("0.05")  # at the meter's own side: a kettle behind a direct meter, an office behind a CT
LEAST_PART = Decimal("0.2")


@dataclass(slots=True)
class Seen:
    """What a meter showed last. power: kW on the meter's own side of its CT. before: the power one round ago.

    baseline: the power when watching began. fault: why there is nothing, in words of the driver.
    """

    id: str
    line: str
    total: Decimal | None = None
    power: Decimal | None = None
    before: Decimal | None = None
    baseline: Decimal | None = None
    last_total: Decimal | None = None
    fault: str = ""
    rounds: int = 0
    phases: dict[str, Decimal] = field(default_factory=dict)

    @property
    def change(self) -> Decimal | None:
        """Power now less the power one round ago."""
        return None if self.power is None or self.before is None else self.power - self.before

    @property
    def moved(self) -> bool:
        """Whether its power jumped since the last round, or since the beginning."""
        return any(_jumped(self.power, earlier) for earlier in (self.before, self.baseline))


def _jumped(now: Decimal | None, earlier: Decimal | None) -> bool:
    if now is None or earlier is None:
        return False
    return abs(now - earlier) >= max(LEAST_KW, LEAST_PART * abs(earlier))


async def watch_line(
    config: dict[str, Any], line: Line, seen: dict[str, Seen], tell: Callable[[Seen], None], rounds: int | None
) -> None:
    """Round after round until cancelled or so many are done. `seen` is filled for every meter. Raises PortGone."""
    entries = [m for m in config["meters"] if m["line"] == line.id and m["protocol"] in METER_PROTOCOLS]
    meters = [build_meter(entry, config, line) for entry in entries]
    number = 0
    while rounds is None or number < rounds:
        number += 1
        for entry, meter in zip(entries, meters, strict=True):
            one = seen[entry["id"]]
            await _look(meter, entry["protocol"], one)
            tell(one)


async def _look(meter: Meter, protocol: str, one: Seen) -> None:
    one.before, one.last_total, one.rounds = one.power, one.total, one.rounds + 1
    try:
        one.total = (await meter.look()).registers.get("import")
        one.power = await power_of(meter, protocol)
        one.fault = ""
    except PortGone:
        raise
    except DriverError as error:
        one.fault = str(error)
        return
    if one.baseline is None:
        one.baseline = one.power


async def power_of(meter: Meter, protocol: str) -> Decimal | None:
    """Active power in kW as the meter shows it, None where it shows none."""
    if isinstance(meter, ModbusMeter):
        register = meter.model.registers.get("power")
        item = register.item if register else ""
    else:
        item = POWER_ITEMS[protocol]
    if not item:
        return None
    try:
        values, _ = await meter.read_item(item)
    except PortGone:
        raise
    except DriverError:
        return None
    value = values[0]
    if not isinstance(value.value, Decimal):
        return None
    return value.value / 1000 if value.unit == "W" else value.value
