"""Several billing periods: a report each, refunds set against what was over-charged, and a re-check (pure).

    bills by their days ─┐
    charge rows by days ─┼─▶ make_report each ─▶ tenant × period: allowed, charged, over, refunded, open ─▶ refund order
    refunds, deadline ───┘

Corrections that a bill carries for another period of the series belong to that one's users. An order names only what
was found: a grey tenant's over-charge is listed and not ordered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from fractions import Fraction
from itertools import pairwise
from typing import Any

from audit.amounts import shown
from audit.bill import Bill, BillLine
from audit.charges import ChargeRow, Charges
from audit.markup import RED, YELLOW
from audit.names import Matcher
from audit.refunds import Owed, Refund, recheck, set_against
from audit.report_model import Papers
from audit.written import Days

ZERO = Fraction()
MOST = Fraction(6, 10)  # of a row's days: parks that read on the 20th still have two thirds in the month
Report = Callable[[Papers, Days], dict[str, Any]]


@dataclass(slots=True)
class Period:
    """The papers of one billing period."""

    days: Days
    bill: Bill
    rows: list[ChargeRow]


def join_bills(bills: Sequence[Bill]) -> Bill | None:
    """Several bills (accounts, months) as one."""
    if not bills:
        return None
    spans = [bill.days for bill in bills if bill.days is not None]
    days = (min(span[0] for span in spans), max(span[1] for span in spans)) if spans else None
    totals = [bill.total for bill in bills if bill.total is not None]
    lines = tuple(line for bill in bills for line in bill.lines)
    return Bill(lines, days, sum(totals[1:], totals[0]) if len(totals) == len(bills) else None)


def bills_by_period(bills: Sequence[Bill]) -> list[Bill]:
    """One bill a billing period, in order of time; empty where their days are not known, or overlap.

    Corrections for another of the periods are moved there, whoever has left since.
    """
    by_days: dict[Days, list[Bill]] = {}
    for bill in bills:
        if bill.days is None:
            return []
        by_days.setdefault(bill.days, []).append(bill)
    spans = sorted(by_days)
    if any(one[1] > other[0] for one, other in pairwise(spans)):
        return []
    joined = [one for span in spans if (one := join_bills(by_days[span])) is not None]
    months = {span[0].replace(day=1): n for n, span in enumerate(spans)}
    lines: list[list[BillLine]] = [[] for _ in joined]
    for n, one in enumerate(joined):
        for line in one.lines:
            lines[n if line.for_month is None else months.get(line.for_month, n)].append(line)
    return [replace(one, lines=tuple(kept)) for one, kept in zip(joined, lines, strict=True)]


def part_periods(bills: Sequence[Bill], rows: Sequence[ChargeRow]) -> tuple[list[Period], list[ChargeRow]]:
    """The papers of each billing period, and the rows of none. bills: of `bills_by_period`.

    A row belongs to the period that most of its days lie in; one without days, or over several periods, to none.
    """
    periods = [Period(bill.days, bill, []) for bill in bills if bill.days is not None]
    unplaced = []
    for row in rows:
        best = max(periods, key=lambda period: _shared(period.days, row.days), default=None)
        if best is not None and _shared(best.days, row.days) >= MOST:
            best.rows.append(row)
        else:
            unplaced.append(row)
    return periods, unplaced


def series_part(
    periods: Sequence[Period],
    report: Report,
    refunds: Sequence[Refund],
    matcher: Matcher,
    *,
    deadline: date | None,
    tolerance: Fraction,
) -> dict[str, Any]:
    """Each period's verdict and sums, each tenant's amounts, the order, the re-check."""
    made = [report(Papers(period.bill, Charges(rows=period.rows)), period.days) for period in periods]
    rows: dict[str, list[tuple[Days, dict[str, Any]]]] = {}
    for period, one in zip(periods, made, strict=True):
        for row in one["tenants"]:
            rows.setdefault(row["tenant"], []).append((period.days, row))
    paid: dict[str, list[Refund]] = {}
    strangers = []
    for refund in refunds:
        tenant = matcher.find(refund.who)
        if tenant in rows:
            paid.setdefault(tenant, []).append(refund)
        else:
            strangers.append({"row": refund.row, "who": refund.who, "yuan": shown(refund.yuan)})
    tenants = [_tenant(name, found, paid.get(name, ()), deadline, tolerance) for name, found in rows.items()]
    return {
        "deadline": None if deadline is None else deadline.isoformat(),
        "periods": [
            _period(period, one, [t["periods"] for t in tenants]) for period, one in zip(periods, made, strict=True)
        ],
        "tenants": tenants,
        "ordered_yuan": _sum(tenants, "ordered_yuan"),
        "refunded_yuan": _sum(tenants, "refunded_yuan"),
        "open_yuan": _sum(tenants, "open_yuan"),
        "recheck": _worst([tenant["recheck"] for tenant in tenants]),
        "unmatched_refunds": strangers,
    }


def _tenant(
    name: str,
    rows: Sequence[tuple[Days, Mapping[str, Any]]],
    refunds: Sequence[Refund],
    deadline: date | None,
    tolerance: Fraction,
) -> dict[str, Any]:
    owed = [Owed(days, _ordered(row)) for days, row in rows]
    left = set_against(owed, refunds)
    keys = ("energy_kwh", "allowed_yuan", "charged_yuan", "over_yuan", "colour", "reasons")
    return {
        "tenant": name,
        "periods": [
            {
                "from": days[0].isoformat(),
                **{key: row[key] for key in keys},
                "ordered_yuan": shown(due.over),
                "refunded_yuan": shown(due.refunded),
                "open_yuan": shown(due.open),
            }
            for (days, row), due in zip(rows, owed, strict=True)
        ],
        "ordered_yuan": shown(sum((due.over for due in owed), ZERO)),
        "refunded_yuan": shown(sum((refund.yuan for refund in refunds), ZERO)),
        "open_yuan": shown(sum((due.open for due in owed), ZERO)),
        "too_much_yuan": shown(left),
        "recheck": recheck(owed, deadline, tolerance),
    }


def _ordered(row: Mapping[str, Any]) -> Fraction:
    """What is to be paid back: only where it was found."""
    return Fraction(row["over_yuan"]) if row["colour"] in (RED, YELLOW) and row["over_yuan"] else ZERO


def _period(period: Period, made: Mapping[str, Any], tenants: Sequence[Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    own = [row for rows in tenants for row in rows if row["from"] == period.days[0].isoformat()]
    figures = ("passable_yuan", "allowed_tenants_yuan", "charged_yuan", "over_bill_yuan", "average_price_paid")
    return {
        "from": made["from"],
        "to": made["to"],
        "colour": made["verdict"]["colour"],
        "reasons": made["verdict"]["reasons"],
        **{name: made["figures"][name] for name in figures},
        "ordered_yuan": _sum(own, "ordered_yuan"),
        "refunded_yuan": _sum(own, "refunded_yuan"),
        "open_yuan": _sum(own, "open_yuan"),
        **{kind: sum(entry["class"] == kind for entry in made["conversion"]) for kind in ("ready", "converted")},
    }


def _shared(days: Days, own: Days | None) -> Fraction:
    """How much of a row's days lies in a period."""
    if own is None or own[1] <= own[0]:
        return ZERO
    return Fraction(max(0, (min(days[1], own[1]) - max(days[0], own[0])).days), (own[1] - own[0]).days)


def _sum(rows: Sequence[Mapping[str, Any]], key: str) -> str:
    return shown(sum((Fraction(row[key]) for row in rows), ZERO))


def _worst(found: Sequence[str]) -> str:
    return next((code for code in ("open", "late", "settled") if code in found), "nothing")
