"""Small parks for the recorder and the ledger, with registers that run as told: see bench.fed for how they are read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import ROUND_DOWN, Decimal
from pathlib import Path
from typing import Any

from agent.reading import Witness
from bench.fed import Fed, configuration
from contract.records import Source, instant, parse_instant, parse_slot

START = "2026-07-14T15:50:00Z"  # ten minutes before local midnight of 15 July, a Wednesday


def park(
    meters: str, rest: str = "", *, schedules: str = "[zj-2026]", closings: str = '["01 00:00"]'
) -> dict[str, Any]:
    """A configuration: lines of `meters`, flow-style, and other sections."""
    listed = "\n".join(f"  - {{{line.strip()}}}" for line in meters.strip().splitlines())
    return configuration(
        f"park: {{id: xihu-01, schedules: {schedules}, closings: {closings}}}\n"
        "gateway: {id: gw-1}\n"
        "lines: [{id: east, port: /dev/ttyRS485-1, baud: 2400, framing: 8E1}]\n"
        f"meters:\n{listed}\n"
        "tenants: [{id: acme}, {id: bolt}, {id: cord}]\n" + rest
    )


def meter(name: str, number: int, more: str = "") -> str:
    """A 2007 meter's line for `park`."""
    tail = f", {more}" if more else ""
    address = f'line: east, protocol: dlt645-2007, address: "{number:012d}"'
    return f"id: {name}, {address}, max_a: 60, phases: 3, digits: 6{tail}"


@dataclass
class Run:
    """A register that runs: `start` kWh at START, then `kw`; changes are (instant, kWh to add or new kW)."""

    start: str = "1000.00"
    kw: str = "12"
    steps: list[tuple[str, str]] = field(default_factory=list)  # (instant, kWh added then)
    powers: list[tuple[str, str]] = field(default_factory=list)  # (instant, kW from then on)
    modulus: int = 10**6

    def exact(self, at_ms: int) -> Decimal:
        value, power, since = Decimal(self.start), Decimal(self.kw), parse_instant(START)
        for from_, kw in self.powers:
            then = min(max(parse_instant(from_), since), max(at_ms, since))
            value += power * (then - since) / 3_600_000
            if parse_instant(from_) <= at_ms:
                power = Decimal(kw)
            since = then
        value += power * (at_ms - since) / 3_600_000
        return value + sum((Decimal(kwh) for at, kwh in self.steps if parse_instant(at) <= at_ms), Decimal(0))

    def shown(self, at_ms: int) -> Decimal:
        return (self.exact(at_ms) % self.modulus).quantize(Decimal("0.01"), ROUND_DOWN)


@contextmanager
def fed(config: dict[str, Any], runs: dict[str, Any], data: Path | None = None, *, start: str = START) -> Iterator[Fed]:
    """A park whose meters run as told: an import register, or a `Run` for each of several registers."""

    def registers(name: str, at_ms: int) -> dict[str, Decimal]:
        run = runs[name]
        by_name = run if isinstance(run, dict) else {"import": run}
        return {register: one.shown(at_ms) for register, one in by_name.items()}

    yield Fed(config, registers, start, data)


def witness(at: str, kwh: str, method: Any = "load_profile", **more: Any) -> Witness:
    """A register of the meter at a slot gone by, as its own memory or a person tells it."""
    at_ms = parse_slot(at) * 1000
    registers = {"import": Decimal(kwh)}
    return Witness(at_ms, registers, method, Source(instant(at_ms), 0, registers, None, [], []), **more)
