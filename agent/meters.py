"""From a meter of the effective configuration to its driver: which registers, which model, which speed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from drivers.dlt645.meter import Dlt645Meter
from drivers.habits import HabitualBus
from drivers.line import Line
from drivers.meter import Meter
from drivers.ports import Settings

if TYPE_CHECKING:
    from drivers.modbus.model import MeterModel

METER_PROTOCOLS = ("dlt645-2007", "dlt645-1997", "modbus")  # those that answer; `manual` is read by people
BOTH_WAYS = frozenset({"master", "pv", "storage"})  # roles whose meters count energy in both directions
BILLED = frozenset({"tenant", "master"})  # roles of points that somebody pays for by the slot
Directions = tuple[frozenset[str], frozenset[str]]  # needed, wished
IMPORT_ONLY: Directions = (frozenset({"import"}), frozenset())


class Drivers:
    """Makes the drivers of one configuration's meters. What they share, models above all, is worked out once."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._lines = {entry["id"]: entry for entry in config["lines"]}
        self._data = {model["id"]: model["data"] for model in config["models"]}
        self.directions = directions(config["points"])
        self.billing = {
            entry["meter"] for point in config["points"] if point["role"] in BILLED for entry in point["meters"]
        }
        self._models: dict[str, MeterModel] = {}

    def build(self, meter: dict[str, Any], line: Line) -> Meter:
        """Raises ValueError where the model lacks a register that the meter's point is settled on."""
        entry = self._lines[line.id]
        settings = Settings.parse(meter["baud"] or entry["baud"], meter["framing"] or entry["framing"])
        bus = HabitualBus(line if settings == line.settings else line.at(settings), line.statistics)
        needed, wished = self.directions[meter["id"]]
        if meter["protocol"] == "modbus":
            return self._modbus(meter, entry, needed, wished, bus, settings)
        edition, model = meter["protocol"].removeprefix("dlt645-"), self._data.get(meter["model"])
        return Dlt645Meter(meter["id"], meter["address"], edition, bus, needed, model, wished=wished)

    def _modbus(
        self,
        meter: dict[str, Any],
        entry: dict[str, Any],
        needed: frozenset[str],
        wished: frozenset[str],
        bus: HabitualBus,
        settings: Settings,
    ) -> Meter:
        # pymodbus takes 13 ms and 2 MB: only for lines that have such meters
        from drivers.modbus.meter import ModbusMeter
        from drivers.modbus.model import parse

        name = meter["model"]
        if name not in self._models:
            self._models[name] = parse(self._data.get(name) or {})
        model = self._models[name]
        offered = model.settlement.keys()
        tariffs = {name for name in offered if name.startswith("import_t")}
        wanted = needed | ((wished | tariffs) & offered)
        transport = "tcp" if entry["port"].startswith("tcp://") else "rtu"
        char_s = settings.seconds(1)
        return ModbusMeter(meter["id"], int(meter["unit"]), model, bus, wanted, transport=transport, char_s=char_s)


def build_meter(meter: dict[str, Any], config: dict[str, Any], line: Line) -> Meter:
    """One meter's driver. Raises ValueError where the model lacks a register that its point is settled on."""
    return Drivers(config).build(meter, line)


def by_line(meters: Iterable[dict[str, Any]]) -> defaultdict[str | None, list[dict[str, Any]]]:
    """The meters of each line, in order of configuration; those that people read have none."""
    found: defaultdict[str | None, list[dict[str, Any]]] = defaultdict(list)
    for meter in meters:
        found[meter["line"]].append(meter)
    return found


def directions(points: list[dict[str, Any]]) -> defaultdict[str, Directions]:
    """`import`, `export` of each meter: what its points are ever settled on, and what the balance wishes besides."""
    found: defaultdict[str, Directions] = defaultdict(lambda: IMPORT_ONLY)
    for point in points:
        for entry in point["meters"]:
            needed, wished = found.get(entry["meter"], (IMPORT_ONLY[0], frozenset[str]()))
            also = frozenset({"export"}) if point["role"] in BOTH_WAYS else frozenset[str]()
            found[entry["meter"]] = needed | {point["register"]}, wished | also
    return found
