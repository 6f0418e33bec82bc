"""Load records (curves) of DL/T 645-2007, class 06 (no I/O): one after another in the data of a reply, behind the DI.

    A0 A0 | n | mm hh DD MM YY | class 1 AA | class 2 AA | … | class 6 AA | cs | E5
               └────────────────────── n bytes ───────────────────────┘
    └────────────────── summed mod 256 into cs ───────────────────────┘

An absent class is its AA alone. AA is not escaped, but neither BCD nor FF filler holds one: a record with more than six
is damaged, and is refused rather than divided by a guess that could name one register's value after another. Written
from a meter's firmware that builds it and two concentrators that parse it (reference dlt645.md §4).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from drivers.dlt645.formats import Bcd, Format, Moment
from drivers.dlt645.items import Item
from drivers.quantities import RegisterValue

HEAD = b"\xa0\xa0"
TAIL = 0xE5
CLASS_END = 0xAA
AT = Moment("YYMMDDhhmm")


def _phases(name: str, form: Format, unit: str, *, total: bool = False) -> tuple[Item, ...]:
    names = (name,) * total + tuple(f"{name}_{phase}" for phase in "abc")
    return tuple(Item(one, form, unit) for one in names)


_ENERGY, _POWER = Bcd(4, 2), Bcd(3, 4, signed=True)
CLASSES: dict[int, tuple[Item, ...]] = {
    1: (
        *_phases("voltage", Bcd(2, 1), "V"),
        *_phases("current", Bcd(3, 3, signed=True), "A"),
        Item("frequency", Bcd(2, 2), "Hz"),
    ),
    2: (*_phases("power", _POWER, "kW", total=True), *_phases("reactive_power", _POWER, "kvar", total=True)),
    3: _phases("power_factor", Bcd(2, 3, signed=True), "", total=True),
    4: (
        Item("import", _ENERGY, "kWh"),
        Item("export", _ENERGY, "kWh"),
        Item("reactive_import", Bcd(4, 2, signed=True), "kvarh"),
        Item("reactive_export", Bcd(4, 2, signed=True), "kvarh"),
    ),
    5: tuple(Item(f"reactive_q{n}", _ENERGY, "kvarh") for n in range(1, 5)),
    6: (Item("demand_import", _POWER, "kW"), Item("demand_reactive", _POWER, "kvar")),
}
# single-phase meters send less; these lengths leave no doubt which items they are
SINGLE_PHASE: dict[int, tuple[Item, ...]] = {
    1: (CLASSES[1][0], CLASSES[1][3], CLASSES[1][6]),
    4: CLASSES[4][:2],
}


@dataclass(frozen=True, slots=True)
class LoadRecord:
    """One record. at: the meter's own `YYYY-MM-DD hh:mm`. values: as the meter recorded them then; item is `06cl`."""

    at: str
    values: tuple[RegisterValue, ...]

    def value(self, name: str) -> RegisterValue | None:
        return next((value for value in self.values if value.name == name), None)


def parse(data: bytes) -> list[LoadRecord]:
    """All records in the data of a reply, DI and SEQ removed. Raises ValueError at the first that is not right.

    A series that came in several frames is to be joined first: some meters split a record between them.
    """
    records = []
    while data:
        if len(data) < 3 or data[:2] != HEAD:
            raise ValueError("no load record begins here")
        length = data[2] + 5
        if len(data) < length or data[length - 1] != TAIL:
            raise ValueError("load record is cut short")
        if sum(data[: length - 2]) & 0xFF != data[length - 2]:
            raise ValueError("load record has a wrong checksum")
        records.append(_record(data[3 : length - 2]))
        data = data[length:]
    return records


def build(at: str, classes: Mapping[int, bytes]) -> bytes:
    """A record with the data bytes of its classes, for the simulator. Raises ValueError for an impossible time."""
    body = AT.encode(at)
    for number in CLASSES:
        body += classes.get(number, b"") + bytes((CLASS_END,))
    record = HEAD + bytes((len(body),)) + body
    return record + bytes((sum(record) & 0xFF, TAIL))


def _record(body: bytes) -> LoadRecord:
    at = AT.decode(body[:5])
    if at is None:
        raise ValueError(f"load record has no date: {body[:5].hex()}")
    values: list[RegisterValue] = []
    parts = body[5:].split(bytes((CLASS_END,)))
    if len(parts) != len(CLASSES) + 1 or parts[-1]:
        raise ValueError(f"load record does not divide into its {len(CLASSES)} classes")
    for number, part in enumerate(parts[:-1], 1):
        values += _class(number, part)
    return LoadRecord(at, tuple(values))


def _class(number: int, data: bytes) -> list[RegisterValue]:
    """Values of one class; a length that fits no layout gives the bytes as an invalid value."""
    source = f"06{number:02X}"
    if not data:
        return []
    for items in (CLASSES[number], SINGLE_PHASE.get(number, ())):
        if len(data) != sum(item.format.length for item in items):
            continue
        values = []
        for item in items:
            part, data = data[: item.format.length], data[item.format.length :]
            value = item.format.decode(part)
            invalid = part.hex().upper() if value is None else ""
            values.append(RegisterValue(item.name, value, item.unit, source, invalid))
        return values
    return [RegisterValue(f"class_{number}", None, "", source, data.hex().upper())]
