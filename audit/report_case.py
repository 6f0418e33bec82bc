"""From bill and evidence to settlement cases, one a grid account, and from them to what each tenant may be charged.

    bill lines, balance, uses ─▶ inputs of settlement-method-1 ─▶ allowed amounts, caps, losses, prices per kWh

The bill's kWh is the master; the park's own check meter stands in only where the bill says no kWh (settlement reference
§5.2). Compares nothing with charges.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

from audit.amounts import ratio, rounded, shown
from audit.bill import Bill, BillLine, pv_lines
from audit.park_evidence import Flow, Use
from audit.settle import settle, unit_prices

ZERO = Fraction()
Energy = Mapping[str, Fraction]


@dataclass(slots=True)
class Settled:
    """What all accounts together come to; `results`: account → settle's own result. Yuan and kWh."""

    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    allowed: dict[str, Fraction] = field(default_factory=dict)
    prices: dict[str, tuple[dict[str, Fraction], Fraction]] = field(default_factory=dict)
    cap: Fraction | None = None
    passable: Fraction | None = None
    available: Fraction | None = None
    points: Fraction = ZERO
    missing: tuple[str, ...] = ()
    master: str = "none"  # bill, meter or none

    @property
    def loss_rate(self) -> Fraction | None:
        if not self.available:
            return ZERO if self.available == self.points == 0 else None
        return (self.available - self.points) / self.available

    def allowed_for(self, use: Use) -> Fraction | None:
        """What a tenant may be charged for other days than the bill's, at the bill's prices per kWh, to the cent."""
        total = ZERO
        for account, kwh in use.by_account.items():
            known = self.prices.get(account) or self.prices.get("")
            if known is None:
                return None
            prices, fixed = known
            total += sum((prices.get(period, ZERO) * energy for period, energy in kwh.items()), ZERO)
            total += fixed * sum(kwh.values(), ZERO)
        return rounded(total)


def settle_accounts(
    bill: Bill | None, uses: Sequence[Use], flow: Flow | None, common: str, *, pv_yuan: Fraction = ZERO
) -> Settled:
    """Settles each account of the bill. pv_yuan: one reading of what PV power is lets so much more be passed on, as if
    its kWh were the grid's."""
    settled = Settled()
    if bill is not None and pv_yuan:
        bill = _raised(bill, pv_yuan)
    accounts = [""] if bill is None else list(bill.accounts)
    named = {account for use in uses for account in use.by_account}
    single = len(accounts) == 1 or not (named & set(accounts))
    if single:
        accounts = [""]
    missing: dict[str, None] = {}
    for account in accounts:
        inputs = _inputs(bill, uses, flow, common, None if single else account)
        result = settle(inputs)
        settled.results[account] = result
        prices = unit_prices(inputs) if uses else None
        if prices is not None:
            settled.prices[account] = prices
        for row in result["tenants"]:
            if row["allowed_yuan"] is not None:
                name = row["tenant"]
                settled.allowed[name] = settled.allowed.get(name, ZERO) + Fraction(row["allowed_yuan"])
        settled.cap = _plus(settled.cap, result["allowed_max_tenants_yuan"])
        settled.passable = _plus(settled.passable, result["bill_passable_yuan"])
        settled.available = _plus(settled.available, result["available_total_kwh"])
        settled.points += Fraction(result["points_total_kwh"])
        missing |= dict.fromkeys(_missing(inputs))
    settled.missing = tuple(missing)
    settled.master = "bill" if bill is not None and bill.kwh() else ("meter" if flow and flow.periods else "none")
    return settled


def add_up(whole: Settled, parts: Sequence[Settled]) -> Settled:
    """Several billing periods: what each was settled at by itself, at the unit prices of the whole."""
    if any(part.missing or part.cap is None for part in parts):
        return whole
    allowed: dict[str, Fraction] = {}
    for part in parts:
        for name, yuan in part.allowed.items():
            allowed[name] = allowed.get(name, ZERO) + yuan
    return replace(whole, allowed=allowed, cap=sum((part.cap or ZERO for part in parts), ZERO))


def by_demand(fixed_yuan: Fraction, demands: Mapping[str, Fraction]) -> dict[str, Fraction]:
    """The fixed part of the bill by maximum demand instead of energy: the common counter-claim, for information."""
    whole = sum(demands.values(), ZERO)
    return {name: rounded(fixed_yuan * kw / whole) for name, kw in demands.items()} if whole else {}


def fixed_yuan(bill: Bill) -> Fraction:
    """The passable lines without a tariff period."""
    lines = (line for line in bill.lines if line.passable and line.period is None)
    return sum((line.yuan for line in lines if line not in pv_lines(bill.lines)), ZERO)


def _raised(bill: Bill, yuan: Fraction) -> Bill:
    """The passable lines raised in proportion, to the cent."""
    raised = [line for line in bill.lines if line.passable and line not in pv_lines(bill.lines)]
    whole = sum((line.yuan for line in raised), ZERO)
    factor = 1 + (ratio(yuan, whole) or ZERO)
    lines = (replace(line, yuan=rounded(line.yuan * factor)) if line in raised else line for line in bill.lines)
    return replace(bill, lines=tuple(lines))


def _inputs(
    bill: Bill | None, uses: Sequence[Use], flow: Flow | None, common: str, account: str | None
) -> dict[str, Any]:
    lines = [] if bill is None else [line for line in bill.lines if line not in pv_lines(bill.lines)]
    lines = [line for line in lines if account is None or line.account == account]
    has_periods = any(line.period is not None for line in lines)
    inputs: dict[str, Any] = {
        "points": [
            {"id": use.name, "role": use.subject.role, "kwh": _texts(kwh), "estimated_kwh": _estimated(use, kwh)}
            for use in uses
            if use.subject.role in ("tenant", "operator", "public") and (kwh := _energy(use, account))
        ],
        "bill_items": [_item(line) for line in lines],
        "policy": {"common": common, "method": "by_period" if has_periods or not lines else "by_energy"},
        "charges": [],
    }
    billed = {} if bill is None else bill.kwh(account)
    if billed:
        inputs["master_feeds"] = [{"id": "bill", "billed_kwh": _texts(billed)}]
    elif flow is not None and flow.periods and account is None:
        imports = {period: entry["import"] for period, entry in flow.periods.items()}
        inputs["master_feeds"] = [{"id": "meter", "read_kwh": _texts(imports)}]
    if flow is not None and account is None and "master_feeds" in inputs:
        sources = {p: entry["pv"] + max(ZERO, entry["storage"]) for p, entry in flow.periods.items()}
        drains = {p: entry["export"] + max(ZERO, -entry["storage"]) for p, entry in flow.periods.items()}
        inputs["pv"] = {"generation": _texts(sources), "export": _texts(drains)}
    return inputs


def _missing(inputs: Mapping[str, Any]) -> list[str]:
    """Absent inputs by their codes, in the order of the code's table."""
    absent = {
        "BILL_MISSING": not inputs["bill_items"],
        "MASTER_MISSING": not inputs.get("master_feeds"),
        "POINTS_MISSING": not inputs["points"],
    }
    return [code for code, is_absent in absent.items() if is_absent]


def _item(line: BillLine) -> dict[str, Any]:
    return {"name": line.name, "period": line.period, "yuan": shown(line.yuan), "passable": line.passable}


def _energy(use: Use, account: str | None) -> Energy:
    return use.kwh if account is None else use.by_account.get(account, {})


def _estimated(use: Use, kwh: Energy) -> str:
    uncertain = min(Fraction(use.statement.uncertain_kwh), sum(kwh.values(), ZERO))
    return shown(min(uncertain, sum((rounded(energy) for energy in kwh.values()), ZERO)))


def _texts(kwh: Energy) -> dict[str, str]:
    return {period: shown(energy) for period, energy in kwh.items()}


def _plus(total: Fraction | None, text: str | None) -> Fraction | None:
    return total if text is None else (total or ZERO) + Fraction(text)
