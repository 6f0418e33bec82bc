"""Registers in what a 2007 meter kept: date and numbers of freezes and load records (no I/O)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal

from drivers.dlt645 import load_record
from drivers.quantities import RegisterValue, is_billing


def frozen(values: Iterable[RegisterValue]) -> tuple[str | None, dict[str, Decimal]]:
    """Date (`YYYY-MM-DD hh:mm`) and registers of a freeze or a settlement, as far as it has them."""
    at, registers = None, {}
    for value in values:
        if value.name == "freeze_at" and isinstance(value.value, str):
            at = value.value
        elif isinstance(value.value, Decimal):
            registers[plain(value.name)] = value.value
    return at, registers


def recorded(data: bytes) -> dict[str, dict[str, Decimal]]:
    """Settlement registers of load records by their dates. Raises ValueError for data that are no whole records."""
    found = {}
    for record in load_record.parse(data):
        numbers = {value.name: value.value for value in record.values if isinstance(value.value, Decimal)}
        found[record.at] = {name: number for name, number in numbers.items() if is_billing(name)}
    return found


def plain(name: str) -> str:
    """`freeze_import_t1` and `settlement_1_import_t1` are import_t1, then."""
    return re.sub(r"^(freeze|settlement_\d+)_", "", name)
