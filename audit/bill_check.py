"""Whether a grid bill agrees with itself: line = quantity × price, Σ lines = total, subtotals likewise (pure).

Needs no meter and no contract. A line without quantity or price (a correction, a penalty) is added and not checked.
It does not say whether prices are the published ones, nor which lines may be passed on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from audit.amounts import rounded, shown
from audit.papers import PaperError, Row
from audit.written import parse_written

LINE_MISMATCH, SUBTOTAL_MISMATCH, TOTAL_MISMATCH = "LINE_MISMATCH", "SUBTOTAL_MISMATCH", "TOTAL_MISMATCH"
TOTAL_MISSING = "TOTAL_MISSING"
FINDINGS: dict[str, tuple[str, str]] = {
    LINE_MISMATCH: ("金额不等于数量×单价", "the amount is not quantity × price"),
    SUBTOTAL_MISMATCH: ("小计不等于各行之和", "the subtotal is not the sum of its lines"),
    TOTAL_MISMATCH: ("合计不等于各行之和", "the total is not the sum of the lines"),
    TOTAL_MISSING: ("没有合计行", "there is no row with the total"),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that does not agree; `row` as the spreadsheet numbers it (0: the bill as a whole), amounts in yuan."""

    row: int
    code: str
    stated: str | None
    computed: str


@dataclass(frozen=True, slots=True)
class BillCheck:
    """Lines there are, lines whose amount could be recomputed, their sum, the stated total (None: no such row)."""

    lines: int
    checked: int
    sum_yuan: str
    total_yuan: str | None
    findings: tuple[Finding, ...]


def check_bill(rows: Sequence[Row]) -> BillCheck:
    """Checks the rows of a bill paper. Raises PaperError with all cells that are no numbers, one a line."""
    faults: list[str] = []
    findings: list[Finding] = []
    total: Fraction | None = None
    whole = part = Fraction()
    lines = checked = 0
    for row in rows:
        yuan = _number(row, "yuan", faults)
        if yuan is None:
            if "yuan" not in row.cells:
                faults.append(f"{row.number}: 金额: missing")
        elif row.kind == "total":
            total = yuan
            if yuan != whole:
                findings.append(Finding(row.number, TOTAL_MISMATCH, shown(yuan), shown(whole)))
        elif row.kind == "subtotal":
            if yuan != part:
                findings.append(Finding(row.number, SUBTOTAL_MISMATCH, shown(yuan), shown(part)))
            part = Fraction()
        else:
            lines, whole, part = lines + 1, whole + yuan, part + yuan
            quantity, rate = _number(row, "quantity", faults), _number(row, "rate", faults)
            if quantity is not None and rate is not None:
                checked += 1
                if rounded(quantity * rate) != yuan:
                    findings.append(Finding(row.number, LINE_MISMATCH, shown(yuan), shown(quantity * rate)))
    if faults:
        raise PaperError("\n".join(faults))
    if total is None:
        findings.append(Finding(0, TOTAL_MISSING, None, shown(whole)))
    return BillCheck(lines, checked, shown(whole), None if total is None else shown(total), tuple(findings))


def _number(row: Row, field: str, faults: list[str]) -> Fraction | None:
    """A cell as people write amounts. None if empty or no number (a fault says so)."""
    try:
        return parse_written(row.cells.get(field, ""))
    except ValueError as error:
        faults.append(f"{row.number}: {field}: {error}")
        return None
