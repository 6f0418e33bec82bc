"""Which model a Modbus unit is, and what speaks for it: its identity register, else registers that make sense together.

Reads only what models list. Never says more than was seen: without an identity register a model is likely at best, and
a person compares with the display (`hubiao commission`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from dataclasses import dataclass, field, replace
from decimal import Decimal

from drivers.errors import DriverError, LineError, MeterError, PortGone, Unexpected
from drivers.exchange import Answer, Exchange
from drivers.meter import Bus
from drivers.modbus.meter import ModbusMeter
from drivers.modbus.model import MeterModel

Text = tuple[str, str]  # zh, en
FREQUENCY = (Decimal(45), Decimal(65))  # Hz
VOLTAGE = (Decimal(80), Decimal(300))  # phase to neutral, behind a PT too
REPLY_TIMEOUT_MS = 400  # a meter that was found answers; asking for what it has not may end in silence
GENERIC = "generic-modbus"  # fits everything, says nothing


@dataclass(slots=True)
class Candidate:
    """A model that fits. certain: its identity register said so. score: pieces of evidence."""

    model: MeterModel
    evidence: list[Text] = field(default_factory=list)
    score: int = 0
    certain: bool = False
    total: Decimal | None = None  # kWh, as its import register reads
    serial: str | None = None


class _Remembering:
    """A bus that asks each question once: many models share registers."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._said: dict[bytes, Answer | DriverError] = {}

    async def exchange(self, exchange: Exchange) -> Answer:
        if exchange.request not in self._said:
            try:
                self._said[exchange.request] = await self._bus.exchange(exchange)
            except PortGone:
                raise
            except LineError as error:
                self._said[exchange.request] = error
        said = self._said[exchange.request]
        if isinstance(said, DriverError):
            raise said
        return said


class _Misfit(Exception):
    """What the unit said cannot come from this model."""


async def identify(unit: int, bus: Bus, models: Iterable[MeterModel], *, char_s: float) -> list[Candidate]:
    """The models that fit, best first; none if nothing does. Raises PortGone."""
    remembering = _Remembering(bus)
    found: list[Candidate] = []
    # an identity register decides alone, so these models come first
    for model in sorted(models, key=lambda model: (model.identity is None, model.id)):
        if model.id == GENERIC:
            continue
        quick = replace(model, reply_timeout_ms=min(model.reply_timeout_ms, REPLY_TIMEOUT_MS))
        meter = ModbusMeter(f"unit {unit}", unit, quick, remembering, frozenset(), char_s=char_s)
        candidate = Candidate(model)
        try:
            await _compare(meter, candidate)
        except _Misfit:
            continue
        if candidate.score:
            found.append(candidate)
        if candidate.certain:
            return [candidate]
    return sorted(found, key=lambda one: -one.score)


async def _compare(meter: ModbusMeter, candidate: Candidate) -> None:
    model = candidate.model
    if model.identity is not None:
        said = await _asked(meter.identity())
        register = model.identity.item
        if model.identity_expect:
            if said is None or not any(said.startswith(text) for text in model.identity_expect):
                raise _Misfit
            candidate.certain = True
            candidate.score += 10
            candidate.evidence.append((f"标识寄存器 {register} 为 {said}", f"identity register {register} says {said}"))
    await _energy(meter, candidate)
    await _range(meter, candidate, "frequency", FREQUENCY, ("频率", "frequency"))
    for phase in "abc":
        words = (f"{phase.upper()} 相电压", f"voltage {phase.upper()}")
        await _range(meter, candidate, f"voltage_{phase}", VOLTAGE, words)
    if model.serial is not None:
        candidate.serial = await _asked(meter.serial())


async def _asked(question: Awaitable[str | None]) -> str | None:
    """The text that a meter says; what it refuses or leaves unanswered speaks against the model."""
    try:
        return await question
    except PortGone:
        raise
    except (MeterError, LineError) as error:
        raise _Misfit from error


async def _energy(meter: ModbusMeter, candidate: Candidate) -> None:
    model = candidate.model
    if "import" not in model.registers:
        return
    register = model.registers["import"]
    candidate.total = await _number(meter, register.item)
    if candidate.total is None or candidate.total < 0:
        raise _Misfit
    candidate.score += 1
    candidate.evidence.append(
        (f"{register.item} 正向有功 {candidate.total} kWh", f"{register.item} import {candidate.total} kWh")
    )
    check = model.sum_check
    if check is None:
        return
    parts = [await _number(meter, model.registers[name].item) for name in check.parts]
    total = await _number(meter, model.registers[check.total].item)
    known = [part for part in parts if part is not None]
    if total is None or len(known) < len(parts) or abs(sum(known) - total) > check.tolerance + Decimal("0.05"):
        raise _Misfit
    candidate.score += 2 if total else 0
    candidate.evidence.append(("分时之和等于总", "tariffs add up to the total"))


async def _range(
    meter: ModbusMeter, candidate: Candidate, name: str, bounds: tuple[Decimal, Decimal], words: Text
) -> None:
    register = candidate.model.registers.get(name)
    if register is None:
        return
    value = await _number(meter, register.item)
    if value is None or not bounds[0] <= value <= bounds[1]:
        raise _Misfit
    candidate.score += 2
    unit = register.form.our_unit
    candidate.evidence.append(
        (f"{register.item} {words[0]} {value} {unit}", f"{register.item} {words[1]} {value} {unit}")
    )


async def _number(meter: ModbusMeter, item: str) -> Decimal | None:
    """A register's value; None where it holds none. Raises _Misfit where the unit refuses it."""
    try:
        values, _ = await meter.read_item(item)
    except Unexpected:
        return None
    except PortGone:
        raise
    except (MeterError, LineError) as error:
        raise _Misfit from error
    value = values[0].value
    return value if isinstance(value, Decimal) else None
