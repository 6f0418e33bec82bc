"""The demo's bill and charges, made up, and the verdict on them by the audit's own method."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from audit.settle import settle
from contract.records import Balance, Interval

CENT = Decimal("0.01")
# yuan per kWh, illustrative: the ratios published for 2026 on a made-up base (settlement reference, §5.1)
PRICES = {"sharp": "1.23155", "peak": "1.12655", "flat": "0.6803", "valley": "0.3653", "deep_valley": "0.2603"}
TOO_MUCH = Decimal("1.09")


@dataclass(frozen=True, slots=True)
class Markup:
    """The verdict: colours and reasons, and (tenant, colour, reason, yuan over) of each tenant."""

    cheated: str
    colour: str
    reasons: list[str]
    tenants: list[tuple[str, str, str, str]]


def settle_demo(intervals: Iterable[Interval], balances: Iterable[Balance]) -> Markup | None:
    """Charges everybody what is allowed, but one tenant 9 % more, and settles. None without a balance."""
    points, roles = _points(intervals)
    feeds: dict[str, dict[str, Decimal]] = {name: defaultdict(Decimal) for name in ("import", "export", "pv")}
    for balance in balances:
        for period, flow in balance.periods.items():
            feeds["import"][period] += flow.import_
            feeds["export"][period] += flow.export
            feeds["pv"][period] += flow.pv
    if not feeds["import"]:
        return None
    tenants = [name for name, role in roles.items() if role == "tenant"]
    inputs: dict[str, Any] = {
        "master_feeds": [{"id": "master", "import_kwh": _texts(feeds["import"])}],
        "pv": {"generation": _texts(feeds["pv"]), "export": _texts(feeds["export"])},
        "points": [{"id": name, "role": roles[name], "kwh": _texts(kwh)} for name, kwh in points.items()],
        "bill_items": [
            {"code": f"energy_{period}", "period": period, "yuan": str(_cents(kwh * Decimal(PRICES[period])))}
            for period, kwh in feeds["import"].items()
        ],
        "policy": {"common": "shared"},
        "charges": [{"tenant": name, "electricity_yuan": "0.00", "extra_fees": []} for name in tenants],
    }
    allowed = {row["tenant"]: Decimal(row["allowed_yuan"]) for row in settle(inputs)["tenants"]}
    cheated = max(tenants, key=lambda name: allowed[name])
    for charge in inputs["charges"]:
        factor = TOO_MUCH if charge["tenant"] == cheated else Decimal(1)
        charge["electricity_yuan"] = str(_cents(allowed[charge["tenant"]] * factor))
    result = settle(inputs)
    rows = [(row["tenant"], row["colour"], row["reason"], row["overcharge_yuan"]) for row in result["tenants"]]
    return Markup(cheated, result["park_colour"], result["park_reasons"], rows)


def _points(intervals: Iterable[Interval]) -> tuple[dict[str, dict[str, Decimal]], dict[str, str]]:
    """End users and common loads: kWh by period, and roles."""
    points: dict[str, dict[str, Decimal]] = {}
    roles: dict[str, str] = {}
    for interval in intervals:
        name = interval.tenant or interval.point
        if name is None or interval.role not in ("tenant", "operator", "public"):
            continue
        roles[name] = interval.role
        points.setdefault(name, defaultdict(Decimal))[interval.period] += interval.kwh
    return points, roles


def _texts(kwh: dict[str, Decimal]) -> dict[str, str]:
    return {period: str(_cents(value)) for period, value in kwh.items() if period in PRICES}


def _cents(value: Decimal) -> Decimal:
    return value.quantize(CENT, ROUND_HALF_UP)
