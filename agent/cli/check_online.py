"""Asks every meter of a configuration once: who answers, who does not, and what that looks like."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeVar

from agent.cli.read_faults import Asked, explain
from agent.cli.words import t
from agent.ledger.slots import tolerance_ms
from agent.meters import METER_PROTOCOLS, build_meter
from agent.polling.own_memory import CLOCK_SHOWS_MS
from contract.grid import parse_utc_offset
from drivers.clock import Clock, RealClock
from drivers.dlt645.memory import Dlt645Memory
from drivers.dlt645.meter import Dlt645Meter
from drivers.errors import DriverError, LineError, PortGone
from drivers.exchange import Noticed
from drivers.line import Line
from drivers.meter import Meter
from drivers.ports import Port, Settings
from drivers.ports.choose import latency_s, port_for

ATTEMPTS = 2  # the first bytes after a long silence are lost by some converters
DLT645_START = 0x68
L = TypeVar("L", bound=Line)


@dataclass(frozen=True, slots=True)
class Online:
    """One meter's answer: its import register and its slowest reply's delay, or the fault as (zh, en).

    memory: whether it keeps records of its own that can be dated; None where that was not asked.
    """

    meter: str
    line: str
    total: Decimal | None
    fault: tuple[str, str] | None
    port_gone: bool = False
    delay_s: float | None = None
    memory: bool | None = None


def line_of(config: dict[str, Any], entry: dict[str, Any], port: Port, clock: Clock) -> Line:
    """The agent's own line for a configured one, not yet open."""
    return made_line(Line, config, entry, port, clock)


def made_line(make: type[L], config: dict[str, Any], entry: dict[str, Any], port: Port, clock: Clock) -> L:
    """The same of another class."""
    mixed = any(meter["protocol"].startswith("dlt645") for meter in config["meters"] if meter["line"] == entry["id"])
    return make(
        entry["id"],
        port,
        Settings.parse(entry["baud"], entry["framing"]),
        clock,
        forbid_unit=DLT645_START if mixed else None,
        latency_s=latency_s(entry["port"]),
    )


def port_of(entry: dict[str, Any]) -> Port:
    return port_for(entry["port"], direction=entry["direction"])


async def ask_all(config: dict[str, Any], slow: Collection[str] = ()) -> list[Online]:
    """Every meter of every line once, the lines side by side, in the order of the configuration.

    slow: lines whose meters are asked for their memories as well.
    """
    clock = RealClock()
    lines = [
        ask_line(config, entry, line_of(config, entry, port_of(entry), clock), memories=entry["id"] in slow)
        for entry in config["lines"]
    ]
    answers = {one.meter: one for line in await asyncio.gather(*lines) for one in line}
    return [answers[meter["id"]] for meter in config["meters"] if meter["id"] in answers]


async def ask_line(
    config: dict[str, Any], entry: dict[str, Any], line: Line, *, memories: bool = False
) -> list[Online]:
    """Opens the line, asks its meters, closes it."""
    meters = [m for m in config["meters"] if m["line"] == entry["id"] and m["protocol"] in METER_PROTOCOLS]
    found: list[Online] = []
    try:
        await line.open()
        for meter in meters:
            found.append(await _ask(config, meter, line, memories=memories))
    except PortGone as gone:
        said = explain(gone, Noticed(), Asked("", "", entry["port"], ""))
        found += [Online(meter["id"], entry["id"], None, said, port_gone=True) for meter in meters[len(found) :]]
    finally:
        await line.close()
    return found


async def _ask(config: dict[str, Any], meter: dict[str, Any], line: Line, *, memories: bool) -> Online:
    driver = build_meter(meter, config, line)
    how = f" ({meter['baud']} {meter['framing']})"
    asked = Asked(meter["protocol"], meter["id"], "", how)
    for attempt in range(1, ATTEMPTS + 1):
        try:
            look = await driver.look()
            delay_s = max(answer.latency_s for answer in look.answers)
            memory = await _keeps(driver, config) if memories else None
            total = look.registers.get("import")
            return Online(meter["id"], meter["line"], total, None, delay_s=delay_s, memory=memory)
        except PortGone:
            raise
        except DriverError as error:
            if attempt == ATTEMPTS or not isinstance(error, LineError):
                return Online(meter["id"], meter["line"], None, explain(error, Noticed(), asked))
    raise AssertionError("the last attempt answers or is a fault")


async def _keeps(driver: Meter, config: dict[str, Any]) -> bool | None:
    """Whether the meter keeps load records or freezes, and has a clock that dates them; None: not of that kind.

    Raises PortGone.
    """
    if not isinstance(driver, Dlt645Meter) or driver.edition != "2007":
        return None
    memory, settings = Dlt645Memory(driver), config["settings"]
    try:
        off_ms = await memory.off_ms(parse_utc_offset(settings["utc_offset"]))
        if abs(off_ms) + CLOCK_SHOWS_MS > tolerance_ms(settings["interval_s"]):
            return False
        if await memory.has_load_profile():
            return True
    except PortGone:
        raise
    except DriverError:
        return False
    for freeze in (memory.hour, memory.timed):
        try:
            await freeze(1)
        except PortGone:
            raise
        except DriverError:
            continue
        return True
    return False


def as_objects(found: list[Online]) -> list[dict[str, Any]]:
    """`online` of the document of `check --json`."""
    return [
        {
            "meter": one.meter,
            "line": one.line,
            "answers": one.fault is None,
            "import": None if one.total is None else f"{one.total:f}",
            "fault": one.fault and t(*one.fault),
            "memory": one.memory,
            "delay_ms": None if one.delay_s is None else round(1000 * one.delay_s),
        }
        for one in found
    ]
