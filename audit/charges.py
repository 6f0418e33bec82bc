"""What a park charged its tenants: rows with registers, energies, prices and fees, checked against themselves (pure).

    上期示数, 本期示数, 倍率, 加计线损 ─▶ 电量 × 单价 ─▶ 电费 + other fees ─▶ 合计     each step checked where stated

Takes the rows of `papers`. Totals are checked, not added. A row that cannot be read is refused with its number, all of
them at once. Which tenant of the evidence a row means is `names`' matter.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from audit.amounts import rounded, shown
from audit.paper_columns import FEE_WORDS
from audit.papers import FEE, Paper, PaperError, Row, written_name
from audit.written import (
    Days,
    find_span,
    parse_address,
    parse_date,
    parse_flag,
    parse_rate,
    parse_span,
    parse_written,
    whole_months,
)

CENT, KWH = Fraction(1, 100), Fraction(1)

# What does not agree in a row or a total, zh and en
FINDINGS: dict[str, tuple[str, str]] = {
    "KWH_ARITHMETIC": ("电量不等于（本期−上期）×倍率＋加计线损", "kWh is not (end − start) × multiplier + added loss"),
    "YUAN_ARITHMETIC": ("电费不等于电量×单价", "the amount is not kWh × price"),
    "ROW_TOTAL": ("行合计不等于各项之和", "the row's total is not the sum of its amounts"),
    "SUBTOTAL_MISMATCH": ("小计不等于各行之和", "the subtotal is not the sum of its rows"),
    "TOTAL_MISMATCH": ("合计不等于各行之和", "the total is not the sum of the rows"),
    "ADDRESS_PADDED": ("表号前导零已补", "leading zeros of the meter address were put back"),
    "ADDRESS_DAMAGED": ("表号已被表格软件损坏，按名称或房号识别", "damaged meter address; known by name or room"),
    "YUAN_COMPUTED": ("未写电费，按电量×单价计算", "no amount was written: kWh × price"),
}


@dataclass(frozen=True, slots=True)
class Fee:
    """A further line of a tenant's slip. kind: extra, tax, common, grid, elsewhere; `stated`: the paper says where."""

    label: str
    yuan: Fraction
    kind: str
    in_bill: bool
    stated: bool


@dataclass(frozen=True, slots=True)
class ChargeRow:
    """One row; amounts tax-inclusive where `tax` is known (True: they were; False: brought up by the rate)."""

    row: int
    who: str
    room: str
    meter: str
    account: str
    days: Days | None
    start: Fraction | None
    end: Fraction | None
    multiplier: Fraction | None
    added_loss: Fraction | None
    kwh: Fraction | None
    price: Fraction | None
    yuan: Fraction
    fees: tuple[Fee, ...]
    tax: bool | None


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that does not agree; amounts in yuan or kWh."""

    row: int
    code: str
    stated: str
    computed: str


@dataclass(slots=True)
class Charges:
    """All rows, what does not agree in them, and what was no row."""

    rows: list[ChargeRow] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    skipped: tuple[tuple[int, str], ...] = ()
    unread: tuple[str, ...] = ()


def fee_kind(label: str) -> str:
    """What a fee is by its name; one that nothing is known of is an extra fee."""
    name = written_name(label)
    return next((kind for kind, word in FEE_WORDS if word in name), "extra")


def read_rows(paper: Paper, *, tax: bool | None = None, fees: Mapping[str, bool] | None = None) -> Charges:
    """The rows of a charges paper. Raises PaperError with every row that cannot be read.

    tax: what the auditor says where the paper does not. fees: label → whether it stands in the electricity bill, as the
    auditor confirmed it.
    """
    reader = _Reader(paper, tax, {written_name(label): inside for label, inside in (fees or {}).items()})
    for row in paper.rows:
        reader.row(row)
    if not reader.charges.rows and not reader.faults:
        reader.faults.append("0: no row")
    if reader.faults:
        raise PaperError("\n".join(reader.faults))
    return reader.charges


class _Reader:
    def __init__(self, paper: Paper, tax: bool | None, fees: Mapping[str, bool]) -> None:
        self.charges = Charges(skipped=paper.skipped, unread=paper.unread)
        self.faults: list[str] = []
        headers = "".join([paper.above, *(paper.headers or {}).values()])
        said = False if "不含税" in headers else (True if "含税" in headers else None)
        self._tax = said if tax is None else tax
        self._fees = fees
        self._days = find_span(paper.above)
        self._sums = {kind: dict.fromkeys(_SUMMED, Fraction()) for kind in ("total", "subtotal")}

    def row(self, row: Row) -> None:
        before = len(self.faults)
        values = {name: self._number(row, name) for name in _NUMBERS}
        if row.kind != "line":
            self._check_total(row, values)
            return
        fees = list(self._read_fees(row))
        who, room = row.cells.get("tenant", ""), row.cells.get("room", "")
        meter = self._meter(row, known=bool(who or room))
        if not (who or room or meter) and len(self.faults) == before:
            self._fault(row, "租户", "missing, and neither 房号 nor 表号")
        loss = self._loss(row, values)
        other = sum((fee.yuan for fee in fees), Fraction())
        if values["yuan"] is None and values["row_total"] is not None:
            values["yuan"] = values["row_total"] - other
        kwh, yuan = self._amounts(row, values, loss, has_fees=bool(fees))
        days = self._span(row)
        own_tax = self._flag(row, "tax")
        has_tax = self._tax if own_tax is None else own_tax
        rate = self._rate(row)
        if has_tax is False and rate is None:
            self._fault(row, "税率", "missing, and the amounts are without tax")
        if len(self.faults) > before:
            return
        factor = 1 + (rate or 0) if has_tax is False else Fraction(1)
        if values["row_total"] is not None and abs(values["row_total"] - yuan - other) > CENT / 2:
            self._find(row, "ROW_TOTAL", shown(values["row_total"]), shown(yuan + other))
        for sums in self._sums.values():
            sums["yuan"] += yuan
            sums["kwh"] += kwh or 0
            sums["row_total"] += yuan + other
        self.charges.rows.append(
            ChargeRow(
                row=row.number,
                who=who or room or meter,
                room=room,
                meter=meter,
                account=row.cells.get("account", ""),
                days=days,
                start=values["start"],
                end=values["end"],
                multiplier=values["multiplier"],
                added_loss=loss,
                kwh=kwh,
                price=values["price"],
                yuan=rounded(yuan * factor),
                fees=tuple(Fee(f.label, rounded(f.yuan * factor), f.kind, f.in_bill, f.stated) for f in fees),
                tax=has_tax,
            )
        )

    def _amounts(
        self, row: Row, values: Mapping[str, Fraction | None], loss: Fraction | None, *, has_fees: bool
    ) -> tuple[Fraction | None, Fraction]:
        """Energy and yuan, stated or computed; what is stated twice must agree."""
        start, end, kwh, price, yuan = (values[name] for name in ("start", "end", "kwh", "price", "yuan"))
        computed = None
        if start is not None and end is not None:
            if end < start:
                self._fault(row, "本期示数", f"{shown(end)} is below 上期示数 {shown(start)}")
            computed = (end - start) * (values["multiplier"] or 1) + (loss or 0)
        if kwh is None:
            kwh = None if computed is None else rounded(computed)
        elif computed is not None and abs(computed - kwh) > KWH and abs(computed - (loss or 0) - kwh) > KWH:
            self._find(row, "KWH_ARITHMETIC", shown(kwh), shown(computed))
        if yuan is None and kwh is not None and price is not None:
            yuan = rounded(kwh * price)
            self._find(row, "YUAN_COMPUTED", "", shown(yuan))
        elif yuan is not None and kwh is not None and price is not None:
            slack = CENT + kwh * _step(row.cells.get("price", "")) / 2
            if abs(kwh * price - yuan) > slack:
                self._find(row, "YUAN_ARITHMETIC", shown(yuan), shown(kwh * price))
        if yuan is None and not has_fees:
            self._fault(row, "电费", "missing, and cannot be computed")
        return kwh, yuan or Fraction()

    def _loss(self, row: Row, values: Mapping[str, Fraction | None]) -> Fraction | None:
        """Added loss in kWh; written as a percentage, it is one of the energy by registers."""
        loss = self._number(row, "added_loss")
        text = row.cells.get("added_loss", "")
        if loss is None or not text.rstrip().endswith(("%", "％")):
            return loss
        start, end = values["start"], values["end"]
        if start is None or end is None:
            kwh = values["kwh"]
            return None if kwh is None else rounded(kwh - kwh / (1 + loss))
        return rounded((end - start) * (values["multiplier"] or 1) * loss)

    def _read_fees(self, row: Row) -> list[Fee]:
        fees = []
        for name, text in row.cells.items():
            if name.startswith(FEE):
                is_json = text.startswith("{")
                fees.append(self._json_fee(row, text) if is_json else self._fee(row, name[len(FEE) :], text, None))
        if row.cells.get("fee_yuan"):
            label = row.cells.get("fee", "其他收费")
            fees.append(self._fee(row, label, row.cells["fee_yuan"], self._flag(row, "in_bill")))
        return [fee for fee in fees if fee is not None]

    def _fee(self, row: Row, label: str, text: str, inside: bool | None) -> Fee | None:
        try:
            yuan = parse_written(text)
        except ValueError as error:
            self._fault(row, label, str(error))
            return None
        if not yuan:
            return None
        kind = fee_kind(label)
        confirmed = self._fees.get(written_name(label), inside)
        return Fee(label, yuan, kind, kind != "elsewhere" if confirmed is None else confirmed, confirmed is not None)

    def _json_fee(self, row: Row, text: str) -> Fee | None:
        data = json.loads(text)
        if not isinstance(data, dict) or "yuan" not in data:
            self._fault(row, "extra_fees", f"{text} is no fee with label and yuan")
            return None
        return self._fee(row, str(data.get("label", "其他收费")), str(data["yuan"]), data.get("in_electricity_bill"))

    def _meter(self, row: Row, *, known: bool) -> str:
        text = row.cells.get("meter", "")
        if not text:
            return ""
        try:
            address = parse_address(text)
        except ValueError as error:
            if known:
                self._find(row, "ADDRESS_DAMAGED", text, "")
            else:
                self._fault(row, "表号", str(error))
            return ""
        if address != text.strip():
            self._find(row, "ADDRESS_PADDED", text, address)
        return address

    def _span(self, row: Row) -> Days | None:
        cells = row.cells
        try:
            if cells.get("from") and cells.get("to"):
                return whole_months(parse_date(cells["from"]), parse_date(cells["to"]))
            if cells.get("span"):
                return parse_span(cells["span"])
        except ValueError as error:
            self._fault(row, "起止", str(error))
        return self._days

    def _check_total(self, row: Row, values: Mapping[str, Fraction | None]) -> None:
        code = f"{row.kind.upper()}_MISMATCH"
        for name in _SUMMED:
            stated, computed = values[name], self._sums[row.kind][name]
            if stated is not None and abs(stated - computed) > (KWH if name == "kwh" else CENT / 2):
                self._find(row, code, shown(stated), shown(computed))
        if row.kind == "subtotal":
            self._sums["subtotal"] = dict.fromkeys(_SUMMED, Fraction())

    def _number(self, row: Row, name: str) -> Fraction | None:
        try:
            return parse_written(row.cells.get(name, ""))
        except ValueError as error:
            self._fault(row, name, str(error))
            return None

    def _rate(self, row: Row) -> Fraction | None:
        try:
            return parse_rate(row.cells.get("tax_rate", ""))
        except ValueError as error:
            self._fault(row, "tax_rate", str(error))
            return None

    def _flag(self, row: Row, name: str) -> bool | None:
        text = row.cells.get(name)
        if text is None:
            return None
        try:
            return parse_flag(text)
        except ValueError as error:
            self._fault(row, name, str(error))
            return None

    def _fault(self, row: Row, where: str, text: str) -> None:
        self.faults.append(f"{row.number}: {where}: {text}")

    def _find(self, row: Row, code: str, stated: str, computed: str) -> None:
        self.charges.findings.append(Finding(row.number, code, stated, computed))


_SUMMED = ("yuan", "kwh", "row_total")
_NUMBERS = ("start", "end", "multiplier", "kwh", "price", "yuan", "row_total")


def _step(text: str) -> Fraction:
    """The last digit of a price as written: what its rounding may hide."""
    decimals = text.partition(".")[2]
    digits = len(decimals) - len(decimals.lstrip("0123456789"))
    return Fraction(1, 10**digits)
