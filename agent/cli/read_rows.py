"""One reading of a meter by a person: asks the driver, gives rows with where and when each value was read."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from agent.cli.read_forms import MOST_WORDS, dlt645_forms, modbus_forms
from agent.cli.read_line import PersonsLine
from agent.cli.read_target import OTHER_FUNCTION, UNKNOWN_MODEL, Target
from drivers.dlt645.frame import WILDCARD, decode
from drivers.dlt645.identifiers import decode_1997, decode_2007
from drivers.dlt645.plan import REGISTERS, SERIAL
from drivers.dlt645.requests import read_address
from drivers.errors import DriverError, MeterError, PortGone, Refused, Unexpected
from drivers.exchange import Answer
from drivers.meter import Look, Meter
from drivers.modbus.adu import registers_in
from drivers.modbus.meter import ModbusMeter
from drivers.modbus.model import Register
from drivers.modbus.plan import Block
from drivers.quantities import RegisterValue

WIDER = (4, 2)  # registers: tried to show more decodings than the one asked for has words
ENERGY_BYTES = 4
ILLEGAL_FUNCTION, ILLEGAL_ADDRESS = 1, 2


@dataclass(frozen=True, slots=True)
class Row:
    """item: the value's DI or register. wall_ms: UTC, ms, at mid-read. invalid: hex of what is no value.
    forms: all decodings, if asked for."""

    name: str
    item: str
    value: Decimal | str | None
    unit: str
    wall_ms: int
    invalid: str = ""
    forms: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Reading:
    """meter_clock: park-local text, None where there is none. faults: what could not be read, by item; an optional
    item (serial, clock, telemetry) is in `missed` instead. notes: what a person should know, (zh, en)."""

    rows: list[Row] = field(default_factory=list)
    meter_clock: str | None = None
    faults: list[tuple[str, DriverError]] = field(default_factory=list)
    missed: list[tuple[str, DriverError]] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)


async def read_meter(target: Target, line: PersonsLine, *, everything: bool = False, forms: bool = False) -> Reading:
    """Reads the items asked for, or the settlement registers and the serial, then the clock. The line must be open.

    everything: telemetry too. Raises DriverError if nothing of what was asked for came.
    """
    reading = Reading()
    address = await _own_address(target, line, reading)
    meter = target.driver(line, address=address)
    if target.items:
        await _items(target, line, meter, reading, forms)
    else:
        reading.rows += _settlement(target, meter, await meter.look(), forms)
        await _optional(reading, "serial", _serial(target, line, meter, reading))
        if everything:
            await _optional(reading, "telemetry", _telemetry(line, meter, reading))
    await _optional(reading, "clock", _clock(meter, reading))
    if target.wildcard and address is None and line.answered is not None:
        _note_address(decode(line.answered.reply).address, reading)
    return reading


async def _own_address(target: Target, line: PersonsLine, reading: Reading) -> str | None:
    """What a wildcard stands for, by 13H (2007 only), None where the meter does not say."""
    if target.entry["address"] != WILDCARD or target.edition != "2007":
        return None
    try:
        answer = await line.exchange(read_address())
    except DriverError:
        return None  # not every meter has 13H: reads with the wildcard then decide
    address = decode(answer.reply).data[::-1].hex().upper()
    return address if _note_address(address, reading) else None


def _note_address(address: str, reading: Reading) -> bool:
    if address.isdecimal():
        reading.notes.append((f"电表地址 {address}", f"the meter's address is {address}"))
    return address.isdecimal()


async def _items(target: Target, line: PersonsLine, meter: Meter, reading: Reading, forms: bool) -> None:
    for item in target.items:
        try:
            values, answer = await meter.read_item(item)
        except Refused as refused:
            other = await _by_other_function(target, line, item, refused, reading)
            if other is None:
                reading.faults.append((item, refused))
                continue
            meter, values, answer = other
        except MeterError as fault:
            reading.faults.append((item, fault))
            continue
        reading.rows += await _rows(meter, item, values, answer, forms)
    if reading.faults and not reading.rows:
        raise reading.faults[0][1]


async def _by_other_function(
    target: Target, line: PersonsLine, item: str, refused: Refused, reading: Reading
) -> tuple[Meter, list[RegisterValue], Answer] | None:
    """The same register by function 4, where nobody said which function and 3 was refused."""
    if not target.may_change_function or refused.code not in (ILLEGAL_FUNCTION, ILLEGAL_ADDRESS):
        return None
    before = target.function or 3
    target.function, target.may_change_function = OTHER_FUNCTION[before], False
    meter = target.driver(line)
    try:
        values, answer = await meter.read_item(item)
    except MeterError:
        target.function = before
        return None
    reading.notes.append(
        (
            f"功能码 {before} 被拒绝,改用 {target.function}",
            f"function {before} was refused, function {target.function} answered",
        )
    )
    return meter, values, answer


async def _rows(meter: Meter, item: str, values: list[RegisterValue], answer: Answer, forms: bool) -> list[Row]:
    found: list[Mapping[str, str]] = [{}] * len(values)
    if forms and isinstance(meter, ModbusMeter):
        found = [modbus_forms(await _wide_words(meter, answer))] * len(values)
    elif forms:
        data = decode(answer.reply).data[len(item) // 2 :]
        size, rest = divmod(len(data), len(values))
        parts = [data] if rest else [data[at : at + size] for at in range(0, len(data), size)]
        found = [*(dlt645_forms(part) for part in parts), *found[len(parts) :]]
    return [_row(value, answer.wall_ms, shown) for value, shown in zip(values, found, strict=True)]


async def _wide_words(meter: ModbusMeter, answer: Answer) -> tuple[int, ...]:
    """The register and up to three after it, as many as the meter gives and its model allows to be touched."""
    _, start, words = registers_in(answer.request, answer.reply)
    for size in WIDER:
        if size <= len(words):
            break
        if meter.model.id != UNKNOWN_MODEL and not meter.model.may_read(Block(start, size)):
            continue
        try:
            _, more = await meter.read_item(f"{start}:u{16 * size}")
        except MeterError:
            continue
        return registers_in(more.request, more.reply)[2]
    return words


def _row(value: RegisterValue, wall_ms: int, forms: Mapping[str, str]) -> Row:
    return Row(value.name, value.item, value.value, value.unit, wall_ms, value.invalid, forms)


def _settlement(target: Target, meter: Meter, look: Look, forms: bool) -> list[Row]:
    if isinstance(meter, ModbusMeter):
        registers = meter.model.settlement.values()
        return [_modbus_row(one, look, forms) for one in registers if one.name in look.registers]
    edition = target.edition
    assert edition is not None
    return [row for answer in look.answers for row in _energies(edition, answer, look, forms)]


def _energies(edition: str, answer: Answer, look: Look, forms: bool) -> list[Row]:
    """The registers in one answer of a look, each under its own DI whether it came alone or in a block."""
    size = 4 if edition == "2007" else 2
    sent = decode(answer.reply).data
    di, data = sent[:size][::-1].hex().upper(), sent[size:]
    rows = []
    for at, value in enumerate(decode_2007(di, data) if edition == "2007" else decode_1997(di, data)):
        if value.name in look.registers:
            shown = dlt645_forms(data[ENERGY_BYTES * at : ENERGY_BYTES * (at + 1)]) if forms else {}
            own_di = _own_di(edition, value.name)
            rows.append(Row(value.name, own_di, look.registers[value.name], value.unit, answer.wall_ms, forms=shown))
    return rows


def _own_di(edition: str, name: str) -> str:
    """`00010200` or `9012` for import_t2."""
    total, _, tariff = name.partition("_t")
    single = REGISTERS[edition][total][1]
    number = int(tariff or 0)
    return f"{single[:4]}{number:02X}00" if edition == "2007" else f"{single[:3]}{number:X}"


def _modbus_row(register: Register, look: Look, forms: bool) -> Row:
    for answer in look.answers:
        _, start, words = registers_in(answer.request, answer.reply)
        at = register.address - start
        if 0 <= at <= len(words) - register.form.words:
            shown = modbus_forms(words[at : at + MOST_WORDS]) if forms else {}
            value, unit = look.registers[register.name], register.form.our_unit
            return Row(register.name, register.item, value, unit, answer.wall_ms, forms=shown)
    raise Unexpected(f"no answer holds {register.item}")


async def _serial(target: Target, line: PersonsLine, meter: Meter, reading: Reading) -> None:
    if isinstance(meter, ModbusMeter):
        item = meter.model.serial.item if meter.model.serial else ""
    else:
        item = SERIAL[target.edition or ""]
    serial = await meter.serial()
    if serial is not None:
        reading.rows.append(Row("serial", item, serial, "", line.answered_ms))


async def _telemetry(line: PersonsLine, meter: Meter, reading: Reading) -> None:
    values = await meter.telemetry()
    reading.rows += [_row(value, line.answered_ms, {}) for value in values]


async def _clock(meter: Meter, reading: Reading) -> None:
    reading.meter_clock = await meter.clock()


async def _optional(reading: Reading, item: str, asking: Awaitable[None]) -> None:
    """What a reading can do without; a port that vanishes is no such thing."""
    try:
        await asking
    except PortGone:
        raise
    except DriverError as fault:
        reading.missed.append((item, fault))
