"""The report's parts that look ahead: who is ready for direct supply and at what price, and the park's own choices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

from audit.advice import add_choices, direct_supply, grid_kwh, park_advice, shift_saves
from audit.amounts import shown
from audit.report_model import Case, Payer
from audit.written import parse_date

LOW_VOLTAGE_KW = 160  # equipment below: low-voltage connection, meter and upstream paid by the utility
LIKELY_KW = 120
MONTHS = 12


def conversion_part(case: Case) -> list[dict[str, Any]]:
    """Who is ready for direct supply, as far as it is known (settlement reference §3.5)."""
    return [_conversion(case, payer) for payer in case.payers]


def advice_part(case: Case) -> list[dict[str, Any]]:
    """Capacity or demand, one part or two, TOU or flat, for the park itself."""
    by_month: dict[date, Decimal] = {}
    for subject, demands in case.demands.items():
        if subject.role == "master":
            for month, kw in demands.items():  # of several feeds the sum, which is an upper bound
                by_month[month] = by_month.get(month, Decimal(0)) + kw
    bills = case.papers.bills or [bill for bill in (case.papers.bill,) if bill is not None]
    found = [park_advice(case.prices, bill, case.notes.park, by_month, grid_kwh(bill)) for bill in bills]
    return add_choices(found)


def tenant_advice(case: Case, payer: Payer) -> dict[str, Any]:
    """Direct supply's price for a tenant's energy, each month at its own, and what shifting load would save."""
    kwh = [(month, energies[payer.name]) for month, energies in case.months if payer.name in energies]
    direct = [direct_supply(case.prices, month, energy) for month, energy in kwh]
    use, prices = payer.own_use or payer.use, case.strict.prices.get("")
    saves = None if prices is None or use is None else shift_saves(prices[0], use.kwh)
    return {
        "direct_tou_yuan": _sum([None if one is None else one["tou_yuan"] for one in direct]),
        "direct_flat_yuan": _sum([None if one is None else one["flat_yuan"] for one in direct]),
        "shift_saves_yuan": None if saves is None else shown(saves),
    }


def _sum(parts: Sequence[str | None]) -> str | None:
    """Nothing where a part is lacking."""
    known = [Fraction(part) for part in parts if part is not None]
    return shown(sum(known, Fraction())) if known and len(known) == len(parts) else None


def demands_of(case: Case, payer: Payer) -> Mapping[date, Decimal]:
    """A tenant's maximum demands by month."""
    found: dict[date, Decimal] = {}
    for subject, demands in case.demands.items():
        if subject.tenant == payer.name:
            found |= demands
    return found


def _conversion(case: Case, payer: Payer) -> dict[str, Any]:
    said = case.notes.tenants.get(payer.name, {})
    declared = Fraction(str(said["declared_kw"])) if said.get("declared_kw") is not None else None
    circuit = said.get("own_circuit")
    own_meter = None if payer.use is None else payer.use.statement.own_meter
    demands = demands_of(case, payer)
    highest = None if not demands else Fraction(max(demands.values()))
    reasons = {
        "shared_meter": own_meter is False,
        "no_own_circuit": circuit is False,
        "declared_160_kw": declared is not None and declared >= LOW_VOLTAGE_KW,
    }
    unknown = {
        "circuit_unknown": circuit is None,
        "meter_unknown": own_meter is None,
        "kw_unknown": declared is None and (highest is None or highest >= LIKELY_KW),
        "months_lacking": declared is None and len(demands) < MONTHS,
    }
    converted = None if said.get("converted_on") is None else parse_date(str(said["converted_on"]))
    if converted is not None and case.days is not None and converted < case.days[1]:
        kind, reasons = "converted", {}
    elif any(reasons.values()):
        kind = "not_ready"
    elif any(unknown.values()):
        kind, reasons = "unknown", unknown
    else:
        kind = "likely" if declared is None else "ready"
    return {
        "tenant": payer.name,
        "class": kind,
        "reasons": [code for code, is_so in reasons.items() if is_so],
        "converted_on": None if converted is None else converted.isoformat(),
        "declared_kw": None if declared is None else shown(declared, 1),
        "own_circuit": circuit,
        "own_meter": own_meter,
        "max_demand_kw": None if highest is None else shown(highest),
        "months": len(demands),
        "demands_kw": {f"{month:%Y-%m}": shown(Fraction(kw)) for month, kw in sorted(demands.items())},
        "points": len({span.point for span in payer.use.statement.segments}) if payer.use is not None else None,
        "verified_until": _verified(case, payer),
    }


def _verified(case: Case, payer: Payer) -> str | None:
    """Until when all of a tenant's meters are verified; None where one does not say."""
    if case.evidence is None or case.days is None:
        return None
    dates = [meter["verified_until"] for meter in case.evidence.meters(payer.name, case.days)]
    return min(map(str, dates)) if dates and all(dates) else None
