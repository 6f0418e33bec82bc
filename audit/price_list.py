"""The grid company's published price table, a row a month, class and voltage, as the auditor copied it (pure).

    月份 ─ 用电分类 单一制|两部制 ─ 电压等级 ─ 电度用电价格 ─ 尖峰 高峰 平段 低谷 深谷 ─ 需量电价 ─ 容量电价

Prices are data with their month and source, never code: they change every month. Tax-inclusive, as published.
"""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction

from audit.papers import Paper, PaperError, Row, read_prices, written_name
from audit.written import parse_span, parse_written
from contract.records import PERIODS

SINGLE, TWO = "single_part", "two_part"
_SCHEMES = ((TWO, ("两部制", "two")), (SINGLE, ("单一制", "single")))
_LOW = ("不满1", "<1", "0.4", "380", "220")


@dataclass(frozen=True, slots=True)
class Price:
    """Yuan per kWh: `flat_rate` without periods, `periods` by name; `demand` per kW and month, `capacity` per kVA."""

    row: int
    month: date
    scheme: str
    voltage: str
    flat_rate: Fraction | None
    periods: Mapping[str, Fraction]
    demand: Fraction | None
    capacity: Fraction | None

    @property
    def is_low(self) -> bool:
        """Below 1 kV."""
        return any(word in written_name(self.voltage) for word in _LOW)

    def energy_yuan(self, kwh: Mapping[str, Fraction], *, tou: bool) -> Fraction | None:
        """What energy costs by this row; None where a price is lacking."""
        if not tou:
            return None if self.flat_rate is None else self.flat_rate * sum(kwh.values(), Fraction())
        if any(period not in self.periods for period, energy in kwh.items() if energy):
            return None
        return sum((self.periods[period] * energy for period, energy in kwh.items() if energy), Fraction())


def load_prices(path: pathlib.Path, columns: Mapping[str, str] | None = None) -> list[Price]:
    """All rows. Raises PaperError with every row that cannot be read, OSError."""
    paper: Paper = read_prices(path, columns)
    faults: list[str] = []
    prices = [price for row in paper.rows if (price := _price(row, faults)) is not None]
    if not prices and not faults:
        faults.append("0: no row")
    if faults:
        raise PaperError("\n".join(faults))
    return prices


def of_month(prices: Sequence[Price], day: date, scheme: str, voltage: str | None) -> Price | None:
    """The row for a month; voltage None: below 1 kV. None where there is none, or more than one."""
    found = [
        price
        for price in prices
        if price.month == day.replace(day=1)
        and price.scheme == scheme
        and (price.is_low if voltage is None else written_name(price.voltage) == written_name(voltage))
    ]
    return found[0] if len(found) == 1 else None


def _price(row: Row, faults: list[str]) -> Price | None:
    before = len(faults)
    numbers: dict[str, Fraction] = {}
    for name in ("flat_rate", *PERIODS, "demand", "capacity"):
        try:
            value = parse_written(row.cells.get(name, ""))
        except ValueError as error:
            faults.append(f"{row.number}: {name}: {error}")
            continue
        if value is not None:
            numbers[name] = value
    try:
        month = parse_span(row.cells.get("month", ""))[0]
    except ValueError as error:
        faults.append(f"{row.number}: 月份: {error}")
        month = date.min
    said = written_name(row.cells.get("scheme", ""))
    scheme = next((code for code, words in _SCHEMES if any(word in said for word in words)), None)
    if scheme is None:
        faults.append(f"{row.number}: 用电分类: {said!r} is neither 单一制 nor 两部制")
    if len(faults) > before or scheme is None:
        return None
    periods: dict[str, Fraction] = {period: numbers[period] for period in PERIODS if period in numbers}
    rest = (numbers.get(name) for name in ("flat_rate", "demand", "capacity"))
    flat_rate, demand, capacity = rest
    return Price(row.number, month, scheme, row.cells.get("voltage", ""), flat_rate, periods, demand, capacity)
