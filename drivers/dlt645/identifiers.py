"""Data identifiers of DL/T 645: what a DI is called and how its data bytes become values, and back (no I/O).

    2007: DI3 DI2 DI1 DI0 as text "0001FF00", 1997: DI1 DI0 as "901F"; on the wire the low byte comes first

Decoding raises nothing: what is no value (a nibble above 9, FF filler, an impossible date, a length that fits no
layout) is a RegisterValue of None with the bytes, in wire order, in `invalid`. What the tables do not know decodes to
nothing. The tables stand in table_2007.py and table_1997.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from drivers.dlt645 import load_record, table_1997, table_2007
from drivers.dlt645.formats import Bcd, bcd, is_filler
from drivers.dlt645.items import Identifier, Item
from drivers.quantities import RegisterValue

__all__ = ["bcd", "decode_1997", "decode_2007", "encode", "lookup", "lookup_1997", "lookup_2007", "wire"]

BLOCK_END = 0xAA  # some meters close a block with it, some put it between the groups of a freeze
Overrides = Mapping[str, Mapping[str, Any]]


def wire(di: str) -> bytes:
    """A DI as it stands in DATA: "0001FF00" is 00 FF 01 00. Raises ValueError unless it is 4 or 8 hex digits."""
    if len(di) not in (4, 8):
        raise ValueError(f"{di!r} is not a DI of 4 or 8 hex digits")
    return bytes.fromhex(di)[::-1]


def lookup_2007(di: str) -> Identifier | None:
    """What a 2007 DI means, None if no table knows it."""
    return table_2007.lookup(di)


def lookup_1997(di: str, overrides: Overrides | None = None) -> Identifier | None:
    """What a 1997 DI means, None if no table knows it.

    overrides: a meter model's own formats, by DI ("B611") or by its first three digits ("B61"):
    {"bytes": 2, "decimals": 1, "signed": false}. 1997 fixes the codes of live values but not their formats.
    """
    found = table_1997.lookup(di)
    own = (overrides or {}).get(di) or (overrides or {}).get(di[:3])
    if found is None or own is None:
        return found
    form = Bcd(int(own["bytes"]), int(own["decimals"]), str(own.get("signed", False)).lower() == "true")
    if form == found.items[0].format:
        return found  # no news, so the table's second layout still counts
    items = tuple(Item(item.name, form, item.unit) for item in found.items)
    return Identifier(found.zh, found.en, items, block=found.block)


def lookup(di: str) -> Identifier | None:
    """What a DI means, the edition told by its length."""
    return lookup_1997(di) if len(di) == 4 else lookup_2007(di)


def decode_2007(di: str, data: bytes) -> list[RegisterValue]:
    """The values in the data bytes of a reply (after −33H, DI removed) to a read of a 2007 DI."""
    found = lookup_2007(di)
    if found is None:
        return []
    return _load_records(di, data) if di.startswith("06") else _values(di, found, data)


def decode_1997(di: str, data: bytes, overrides: Overrides | None = None) -> list[RegisterValue]:
    """The values in the data bytes of a reply (after −33H, DI removed) to a read of a 1997 DI."""
    found = lookup_1997(di, overrides)
    return _values(di, found, data) if found else []


def encode(di: str, values: Sequence[Any], overrides: Overrides | None = None) -> bytes:
    """The data bytes that say these values, one for each item of the DI; a block takes as many as are given.

    Raises ValueError for an unknown DI, a value that does not fit, or the wrong number of values.
    """
    found = lookup_1997(di, overrides) if len(di) == 4 else lookup_2007(di)
    if found is None or found.groups:
        raise ValueError(f"no layout to write {di} by")
    if len(values) > len(found.items) or (len(values) < len(found.items) and not found.block):
        raise ValueError(f"{di} has {len(found.items)} items, not {len(values)}")
    return b"".join(item.format.encode(value) for item, value in zip(found.items, values, strict=False))


def _values(di: str, found: Identifier, data: bytes) -> list[RegisterValue]:
    if found.groups:
        return _grouped(di, found.groups, data)
    if not found.items:  # known by name only
        return [RegisterValue("data", data.hex().upper(), "", di)]
    items = found.layout(len(data))
    if items is None and data.endswith(bytes((BLOCK_END,))):
        data = data[:-1]
        items = found.layout(len(data))
    if items is None:
        return [_none(di, found.items[0], data)]
    values = []
    for item in items:
        values.append(_value(di, item, data[: item.format.length]))
        data = data[item.format.length :]
    return values


def _value(di: str, item: Item, data: bytes) -> RegisterValue:
    value = item.format.decode(data)
    return _none(di, item, data) if value is None else RegisterValue(item.name, value, item.unit, di)


def _none(di: str, item: Item, data: bytes) -> RegisterValue:
    return RegisterValue(item.name, None, item.unit, di, data.hex().upper())


def is_absent(value: RegisterValue) -> bool:
    """Whether the meter sent filler for this item: no data, as against data that is damaged."""
    return value.value is None and is_filler(bytes.fromhex(value.invalid))


def _grouped(di: str, groups: tuple[Identifier, ...], data: bytes) -> list[RegisterValue]:
    """A whole freeze: groups in order, with AA between and behind them or without.

    Neither BCD nor FF filler holds an AA, so where one stands it separates; without it the number of registers
    follows from the whole length, since every block of a freeze has the same tariffs.
    """
    parts = _between(groups, data) or _by_length(groups, data)
    if parts is None:
        return [_none(di, groups[0].items[0], data)]
    return [value for group, part in zip(groups, parts, strict=False) if part for value in _values(di, group, part)]


def _between(groups: tuple[Identifier, ...], data: bytes) -> list[bytes] | None:
    if BLOCK_END not in data:
        return None
    parts = data.split(bytes((BLOCK_END,)))
    if not parts[-1]:
        parts.pop()
    return parts if len(parts) <= len(groups) else None


def _by_length(groups: tuple[Identifier, ...], data: bytes) -> list[bytes] | None:
    fixed = sum(group.length for group in groups if not group.block)
    register = sum(group.register_length for group in groups if group.block)
    registers, rest = divmod(len(data) - fixed, register) if register else (1, len(data) - fixed)
    if rest or registers < 1:
        return None
    parts = []
    for group in groups:
        length = group.register_length * registers if group.block else group.length
        parts.append(data[:length])
        data = data[length:]
    return parts


def _load_records(di: str, data: bytes) -> list[RegisterValue]:
    """Load records as flat values: `record_1_at`, `record_1_import`, … Whole records only."""
    values = []
    try:
        records = load_record.parse(data)
    except ValueError:
        return [RegisterValue("records", None, "", di, data.hex().upper())]
    for number, record in enumerate(records, 1):
        values.append(RegisterValue(f"record_{number}_at", record.at, "", di))
        for value in record.values:
            values.append(RegisterValue(f"record_{number}_{value.name}", value.value, value.unit, di, value.invalid))
    return values
