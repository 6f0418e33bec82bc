"""A grid bill as lines with meaning: whose account, which days, which tariff period, what may be passed on (pure).

Takes the rows of `papers`. Energy that the bill charges for is the master's (settlement reference §5.2). It does not
say whether the bill agrees with itself (`bill_check`) nor whether prices are the published ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from fractions import Fraction

from audit.amounts import rounded
from audit.papers import Paper, PaperError, Row, written_name
from audit.written import Days, find_span, parse_date, parse_flag, parse_rate, parse_span, parse_written, whole_months
from contract.records import PERIODS

PV_PURCHASE = "pv_purchase"
PERIOD_WORDS = (
    ("deep_valley", ("深谷", "deep_valley", "deepvalley")),
    ("sharp", ("尖峰", "尖", "sharp")),
    ("peak", ("高峰", "峰", "peak")),
    ("flat", ("平段", "平时段", "平期", "平", "flat")),
    ("valley", ("低谷", "谷", "valley")),
)
_NOT_PASSABLE = ("违约金", "滞纳金", "late_penalty", "罚")
_NO_PERIOD = ("力调", "力率", "功率因数", "峰谷分时损益", "平衡", "平台")  # 平 in a name that is no period


@dataclass(frozen=True, slots=True)
class BillLine:
    """One line. `yuan` is tax-inclusive where `tax` is known; `for_month`: the first day of the month it corrects."""

    row: int
    account: str
    category: str
    name: str
    period: str | None
    quantity: Fraction | None
    unit: str
    rate: Fraction | None
    yuan: Fraction
    passable: bool
    for_month: date | None
    tax: bool | None

    @property
    def is_kwh(self) -> bool:
        return self.quantity is not None and self.unit == "kwh"


@dataclass(frozen=True, slots=True)
class Bill:
    """All lines, without totals. `days`: the span the bill charges for, None where nothing says it."""

    lines: tuple[BillLine, ...]
    days: Days | None
    total: Fraction | None

    @property
    def accounts(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(line.account for line in self.lines if line.category != PV_PURCHASE))

    def kwh(self, account: str | None = None) -> dict[str, Fraction]:
        """Energy that the bill charges for, by period: of the group of lines that states most of it.

        A bill has the same kWh in several groups (purchase, transmission, system operation …); energy without a period
        stands under `flat`. Empty where no line has a quantity in kWh.
        """
        groups: dict[str, dict[str, Fraction]] = {}
        for line in self.lines:
            if line.is_kwh and line.category != PV_PURCHASE and account in (None, line.account):
                group = groups.setdefault(line.category or _without_period(line.name), {})
                period = line.period or "flat"
                group[period] = group.get(period, Fraction()) + (line.quantity or Fraction())
        return max(groups.values(), key=lambda group: (sum(group.values()), len(group)), default={})


def read_lines(paper: Paper, *, tax: bool | None = None) -> Bill:
    """The bill of a paper. `tax`: what the auditor says where the paper does not. Raises PaperError, a fault a line."""
    faults: list[str] = []
    lines: list[BillLine] = []
    total: Fraction | None = None
    spans: set[Days] = set()
    for row in paper.rows:
        if row.kind == "line":
            line = _line(row, tax, faults)
            if line is not None:
                lines.append(_filled_down(line, lines[-1:]))
            span = _span(row, faults)
            if span is not None and not row.cells.get("for_month"):
                spans.add(span)
        elif row.kind == "total":
            total = _value(row, "yuan", faults)
    if len(spans) > 1:
        starts, ends = zip(*spans, strict=True)
        spans = {(min(starts), max(ends))}
    if not lines and not faults:
        faults.append("0: no line")
    if faults:
        raise PaperError("\n".join(faults))
    return Bill(tuple(lines), next(iter(spans), None) or find_span(paper.above), total)


def period_of(text: str) -> str | None:
    """The tariff period that a word or a line's name means. None: none."""
    name = written_name(text)
    if not name or any(word in name for word in _NO_PERIOD):
        return None
    return next((period for period, words in PERIOD_WORDS if any(word in name for word in words)), None)


def corrections_elsewhere(bill: Bill, days: Days | None) -> list[BillLine]:
    """Corrections for months that the days do not touch: they belong to those months' users."""
    if days is None:
        return []
    first, end = days[0].replace(day=1), days[1]
    return [line for line in bill.lines if line.for_month is not None and not first <= line.for_month < end]


def own_bill(bill: Bill, days: Days | None) -> Bill:
    """The bill without them; itself where it has none."""
    others = corrections_elsewhere(bill, days)
    return replace(bill, lines=tuple(line for line in bill.lines if line not in others)) if others else bill


def pv_lines(lines: Sequence[BillLine]) -> list[BillLine]:
    """What the park pays for power from its roof: bills of their own."""
    return [line for line in lines if line.category == PV_PURCHASE]


def _line(row: Row, tax: bool | None, faults: list[str]) -> BillLine | None:
    cells = row.cells
    name, category = cells.get("name", cells.get("code", "")), cells.get("category", "")
    yuan = _value(row, "yuan", faults)
    if yuan is None:
        faults.append(f"{row.number}: 金额: missing")
        return None
    if any(word in name + category for word in ("光伏", PV_PURCHASE)):
        category = PV_PURCHASE
    period = cells.get("period")
    known = period_of(period) if period else period_of(name) or period_of(cells.get("code", ""))
    if period and known is None and written_name(period) not in ("-", "/", "总", "全部", "无"):
        faults.append(f"{row.number}: 时段: {period!r} is none of 尖峰 高峰 平段 低谷 深谷")
    quantity = _value(row, "quantity", faults)
    unit = written_name(cells.get("unit", ""))
    if not unit and quantity is not None and (known in PERIODS or "电量" in name or "电度" in name):
        unit = "kwh"
    own_tax, rate = _flag(row, "tax", faults), _rate(row, faults)
    has_tax = tax if own_tax is None else own_tax
    if has_tax is False and rate is None:
        faults.append(f"{row.number}: 税率: missing, and the amount is without tax")
    passable = _flag(row, "passable", faults)
    return BillLine(
        row=row.number,
        account=cells.get("account", ""),
        category=category,
        name=name or category,
        period=known,
        quantity=quantity,
        unit="kwh" if unit in ("千瓦时", "度", "kw·h", "kw.h") else unit,
        rate=_value(row, "rate", faults),
        yuan=yuan if has_tax is not False else rounded(yuan * (1 + (rate or 0))),
        passable=not any(word in name + category for word in _NOT_PASSABLE) if passable is None else passable,
        for_month=_month(row, faults),
        tax=has_tax,
    )


def _filled_down(line: BillLine, before: Sequence[BillLine]) -> BillLine:
    """A category written once for all periods of an item, as merged cells come out in CSV."""
    for above in before:
        if not line.category and _without_period(line.name) == _without_period(above.name):
            return replace(line, category=above.category)
    return line


def _span(row: Row, faults: list[str]) -> Days | None:
    cells = row.cells
    try:
        if cells.get("from") and cells.get("to"):
            return whole_months(parse_date(cells["from"]), parse_date(cells["to"]))
        if cells.get("span"):
            return parse_span(cells["span"])
    except ValueError as error:
        faults.append(f"{row.number}: 账期: {error}")
    return None


def _month(row: Row, faults: list[str]) -> date | None:
    text = row.cells.get("for_month")
    if text is None:
        return None
    try:
        return parse_span(text)[0]
    except ValueError as error:
        faults.append(f"{row.number}: 所属月份: {error}")
        return None


def _value(row: Row, field: str, faults: list[str]) -> Fraction | None:
    try:
        return parse_written(row.cells.get(field, ""))
    except ValueError as error:
        faults.append(f"{row.number}: {field}: {error}")
        return None


def _rate(row: Row, faults: list[str]) -> Fraction | None:
    try:
        return parse_rate(row.cells.get("tax_rate", ""))
    except ValueError as error:
        faults.append(f"{row.number}: tax_rate: {error}")
        return None


def _flag(row: Row, field: str, faults: list[str]) -> bool | None:
    text = row.cells.get(field)
    if text is None:
        return None
    try:
        return parse_flag(text)
    except ValueError as error:
        faults.append(f"{row.number}: {field}: {error}")
        return None


def _without_period(name: str) -> str:
    plain = written_name(name)
    for _, words in PERIOD_WORDS:
        for word in words:
            plain = plain.replace(word, "")
    return plain
