"""From a meter of the effective configuration to its driver: which registers, which model, which speed."""

from __future__ import annotations

from typing import Any

from drivers.dlt645.meter import Dlt645Meter
from drivers.habits import HabitualBus
from drivers.line import Line
from drivers.meter import Meter
from drivers.ports import Settings

METER_PROTOCOLS = ("dlt645-2007", "dlt645-1997", "modbus")  # those that answer; `manual` is read by people
BOTH_WAYS = frozenset({"master", "pv", "storage"})  # roles whose meters count energy in both directions


def build_meter(meter: dict[str, Any], config: dict[str, Any], line: Line) -> Meter:
    """Raises ValueError where the model lacks a register that the meter's point is settled on."""
    entry = next(entry for entry in config["lines"] if entry["id"] == line.id)
    settings = Settings.parse(meter["baud"] or entry["baud"], meter["framing"] or entry["framing"])
    bus = HabitualBus(line if settings == line.settings else line.at(settings), line.statistics)
    needed, wished = directions(meter["id"], config)
    model = next((model["data"] for model in config["models"] if model["id"] == meter["model"]), None)
    if meter["protocol"] == "modbus":
        # pymodbus takes 13 ms and 2 MB: only for lines that have such meters
        from drivers.modbus.meter import ModbusMeter
        from drivers.modbus.model import parse

        parsed = parse(model or {})
        offered = parsed.settlement.keys()
        tariffs = {name for name in offered if name.startswith("import_t")}
        wanted = needed | ((wished | tariffs) & offered)
        transport = "tcp" if entry["port"].startswith("tcp://") else "rtu"
        char_s = settings.seconds(1)
        return ModbusMeter(meter["id"], int(meter["unit"]), parsed, bus, wanted, transport=transport, char_s=char_s)
    edition = meter["protocol"].removeprefix("dlt645-")
    return Dlt645Meter(meter["id"], meter["address"], edition, bus, needed, model, wished=wished)


def directions(meter: str, config: dict[str, Any]) -> tuple[frozenset[str], frozenset[str]]:
    """`import`, `export`: what the points that the meter ever stands at are settled on, and what the balance wishes."""
    needed, wished = {"import"}, set()
    for point in config["points"]:
        if any(entry["meter"] == meter for entry in point["meters"]):
            needed.add(point["register"])
            if point["role"] in BOTH_WAYS:
                wished.add("export")
    return frozenset(needed), frozenset(wished)
