"""What a park paid back: rows of a spreadsheet, set against over-charges month by month, and re-checked (pure).

over-charged in May, June, July ─┐
refunds, named or oldest first ──┴─▶ open a tenant and month ─▶ settled · late · open, against a deadline
"""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction

from audit.papers import PaperError, Row, read_refunds
from audit.written import Days, parse_date, parse_span, parse_written

ZERO = Fraction()


@dataclass(frozen=True, slots=True)
class Refund:
    """One payment to a tenant, yuan. `month`: the first day of the month it is for, None where nobody says."""

    row: int
    who: str
    yuan: Fraction
    paid_on: date
    month: date | None


@dataclass(slots=True)
class Owed:
    """Over-charged in one billing period; `paid`: (day, yuan) that was set against it."""

    days: Days
    over: Fraction
    paid: list[tuple[date, Fraction]] = field(default_factory=list)

    @property
    def refunded(self) -> Fraction:
        return sum((yuan for _, yuan in self.paid), ZERO)

    @property
    def open(self) -> Fraction:
        return self.over - self.refunded


def load_refunds(path: pathlib.Path, columns: Mapping[str, str] | None = None) -> list[Refund]:
    """All rows that are no totals. Raises PaperError with every row that cannot be read, OSError."""
    faults: list[str] = []
    rows = [row for row in read_refunds(path, columns).rows if row.kind == "line"]
    refunds = [refund for row in rows if (refund := _refund(row, faults)) is not None]
    if faults:
        raise PaperError("\n".join(faults))
    return refunds


def set_against(owed: Sequence[Owed], refunds: Sequence[Refund]) -> Fraction:
    """Sets one tenant's refunds against what was over-charged, in order of payment; what is left over, yuan.

    A refund for a month goes to the period that begins in it, one for none to the oldest still open.
    """
    left_over = ZERO
    for refund in sorted(refunds, key=lambda one: one.paid_on):
        left = refund.yuan
        for due in owed:
            if left > 0 and due.open > 0 and (refund.month is None or due.days[0].replace(day=1) == refund.month):
                part = min(left, due.open)
                due.paid.append((refund.paid_on, part))
                left -= part
        left_over += left
    return left_over


def recheck(owed: Sequence[Owed], deadline: date | None, tolerance: Fraction) -> str:
    """`nothing` to refund, `settled`, `late` (settled, some of it after the deadline), or `open`."""
    if all(due.over <= tolerance for due in owed):
        return "nothing"
    if sum((due.open for due in owed), ZERO) > tolerance:
        return "open"
    late = sum((yuan for due in owed for day, yuan in due.paid if deadline is not None and day > deadline), ZERO)
    return "late" if late > tolerance else "settled"


def _refund(row: Row, faults: list[str]) -> Refund | None:
    cells, before = row.cells, len(faults)
    who = cells.get("tenant", "")
    if not who:
        faults.append(f"{row.number}: 租户: missing")
    yuan, paid_on, month = None, None, None
    try:
        yuan = parse_written(cells.get("yuan", ""))
        if yuan is None or yuan < 0:
            faults.append(f"{row.number}: 退费金额: {'missing' if yuan is None else 'negative'}")
    except ValueError as error:
        faults.append(f"{row.number}: 退费金额: {error}")
    try:
        paid_on = parse_date(cells.get("paid_on", ""))
    except ValueError as error:
        faults.append(f"{row.number}: 退费日期: {error}")
    try:
        month = parse_span(cells["for_month"])[0] if cells.get("for_month") else None
    except ValueError as error:
        faults.append(f"{row.number}: 所属月份: {error}")
    if len(faults) > before or yuan is None or paid_on is None:
        return None
    return Refund(row.number, who, yuan, paid_on, month)
