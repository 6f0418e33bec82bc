"""What else would cost less: direct supply for a tenant; for the park capacity or demand, one part or two, TOU or flat.

    energy by period × published price of the month ─▶ yuan under each choice, the cheapest first

For information, never a reason for a colour (settlement reference §3.3, §4.6). Prices come from the published table of
the month; where it lacks one, there is no figure. Demand is what was metered, not what a contract would set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

from audit.amounts import shown
from audit.bill import Bill, pv_lines
from audit.price_list import SINGLE, TWO, Price, of_month

ZERO = Fraction()
REDUCED_FROM = 260  # kWh a kVA and month, from which the demand price is 90 % (发改价格〔2023〕526号)
REDUCTION = Fraction(9, 10)
CHOICE_KVA, TWO_PART_KVA = 100, 315  # below: one part; between: free choice; from: two parts (same notice)
SHIFTED = Fraction(1, 10)  # of the dear energy, in the advice on shifting load
_DEAR = ("sharp", "peak")


def direct_supply(prices: Sequence[Price], month: date, kwh: Mapping[str, Fraction]) -> dict[str, str | None] | None:
    """What a tenant's energy would cost below 1 kV as the grid's own customer; None without prices of the month."""
    price = of_month(prices, month, SINGLE, None)
    if price is None or not kwh:
        return None
    tou, flat = (price.energy_yuan(kwh, tou=by_period) for by_period in (True, False))
    return {"tou_yuan": _text(tou), "flat_yuan": _text(flat)}


def shift_saves(prices: Mapping[str, Fraction], kwh: Mapping[str, Fraction]) -> Fraction | None:
    """Yuan saved by moving a tenth of the sharp and peak energy to the valley, at the bill's own prices."""
    if "valley" not in prices:
        return None
    return sum((kwh.get(p, ZERO) * SHIFTED * (prices.get(p, prices["valley"]) - prices["valley"]) for p in _DEAR), ZERO)


def contracted_kva(bill: Bill | None, said: Mapping[str, Any]) -> Fraction | None:
    """Transformer capacity: what the auditor noted, else the bill's capacity line."""
    if said.get("kva") is not None:
        return Fraction(str(said["kva"]))
    lines = () if bill is None else bill.lines
    found = [line.quantity for line in lines if line.unit == "kva" and line.quantity is not None]
    return max(found, default=None)


def park_advice(
    prices: Sequence[Price],
    bill: Bill | None,
    said: Mapping[str, Any],
    demands: Mapping[date, Decimal],
    kwh: Mapping[str, Fraction],
) -> list[dict[str, Any]]:
    """The park's own choices over the bill's month, dearest last. said: `kva`, `voltage` as in the price table.

    demands: month → the master's maximum demand. Each entry: {choice, options: [{name, yuan}], saves_yuan, months}.
    """
    if bill is None or bill.days is None:
        return []
    month, kva, voltage = bill.days[0], contracted_kva(bill, said), said.get("voltage")
    two = of_month(prices, month, TWO, voltage) if voltage else None
    one = of_month(prices, month, SINGLE, voltage) if voltage else None
    found = []
    fixed: dict[str, Fraction] = {}
    if two is not None and kva is not None and two.capacity is not None and two.demand is not None and demands:
        fixed = {
            "capacity": two.capacity * kva * len(demands),
            "demand": sum((_demand_yuan(two.demand, kva, Fraction(kw), kwh, bill) for kw in demands.values()), ZERO),
        }
        found.append(_choice("capacity_or_demand", fixed, len(demands)))
    if one is not None and two is not None and kva is not None and fixed:
        energy = two.energy_yuan(kwh, tou=True)
        alone = one.energy_yuan(kwh, tou=True)
        if energy is not None and alone is not None:
            cheapest = min(fixed.values()) / len(demands)
            options = {"two_part": energy + cheapest, "single_part": alone}
            found.append({**_choice("one_or_two_parts", options, 1), "free": CHOICE_KVA <= kva < TWO_PART_KVA})
    if one is not None:
        tou, flat = (one.energy_yuan(kwh, tou=by_period) for by_period in (True, False))
        if tou is not None and flat is not None:
            found.append(_choice("tou_or_flat", {"tou": tou, "flat": flat}, 1))
    return found


def add_choices(found: Sequence[Sequence[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Several bills' choices as one: energy added up where every bill has it; the fixed charge as the last one has it,
    since it rests on all months' demands already."""
    by_name: dict[str, list[dict[str, Any]]] = {}
    for choices in found:
        for one in choices:
            by_name.setdefault(one["choice"], []).append(one)
    added = []
    for name, parts in by_name.items():
        if name == "capacity_or_demand" or len(parts) == len(found) == 1:
            added.append(parts[-1])
        elif len(parts) == len(found):
            sums: dict[str, Fraction] = {}
            for option in (option for part in parts for option in part["options"]):
                sums[option["name"]] = sums.get(option["name"], ZERO) + Fraction(option["yuan"])
            added.append({**parts[-1], **_choice(name, sums, len(parts))})
    return added


def _demand_yuan(price: Fraction, kva: Fraction, kw: Fraction, kwh: Mapping[str, Fraction], bill: Bill) -> Fraction:
    """Of a month; the bill's own month says how much energy there is a kVA."""
    assert bill.days is not None
    months = max(1, round((bill.days[1] - bill.days[0]).days / 30))
    is_reduced = sum(kwh.values(), ZERO) / months / kva >= REDUCED_FROM
    return price * kw * (REDUCTION if is_reduced else 1)


def _choice(name: str, options: Mapping[str, Fraction], months: int) -> dict[str, Any]:
    ordered = sorted(options.items(), key=lambda option: option[1])
    return {
        "choice": name,
        "options": [{"name": option, "yuan": shown(yuan)} for option, yuan in ordered],
        "saves_yuan": shown(ordered[-1][1] - ordered[0][1]),
        "months": months,
    }


def grid_kwh(bill: Bill | None) -> dict[str, Fraction]:
    """What the bill charges for, by period; solar power bought is none of it."""
    return {} if bill is None or len(pv_lines(bill.lines)) == len(bill.lines) else bill.kwh()


def _text(value: Fraction | None) -> str | None:
    return None if value is None else shown(value)
