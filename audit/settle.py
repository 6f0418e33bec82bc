"""`settlement-method-1`: from energies, the grid bill and the contract to what each tenant may be charged (pure).

    energies ─▶ balance ─▶ pools of the bill ─▶ exact shares ─▶ cents ─▶ comparison with the charges ─▶ colour

Exact rational arithmetic; rounded only where the method says so. Settlement reference §5; the colours are `markup`'s.
It reads no files, prorates no money over time, and does not judge whether bill and charges cover the same days.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from audit.amounts import by_largest_remainder, ratio, rounded, shown
from audit.case_values import ALL_PERIODS, CaseError, Energy
from audit.cases import Holder, Inputs, add, read_inputs
from audit.markup import ParkFacts, TenantFacts, Thresholds, Verdict, park_verdict, tenant_verdict

METHOD = "settlement-method-1"
ZERO = Fraction()


def settle(inputs: Mapping[str, Any], config: Mapping[str, Any] | None = None, path: str = "inputs") -> dict[str, Any]:
    """Settles one case: the keys of `expected` in examples/settlement-cases.json, amounts as decimal texts.

    `config` overrides thresholds. null stands where an amount cannot be worked out: no bill, no master, no energy to
    divide by. `master_energy: "read"` is added where a feed has only what its meter read. Raises CaseError naming
    all faults of inputs and config, each with its path under `path`.
    """
    faults: list[str] = []
    limits, read = Thresholds(), None
    try:
        limits = Thresholds.parse(config, path.removesuffix("inputs") + "config")
    except CaseError as error:
        faults += error.faults
    try:
        read = read_inputs(inputs, path)
    except CaseError as error:
        faults += error.faults
    if faults or read is None:
        raise CaseError(faults)
    return _result(read, limits)


def unit_prices(inputs: Mapping[str, Any]) -> tuple[dict[str, Fraction], Fraction] | None:
    """What a kWh of each period may cost an end user, and what is added to every kWh for the fixed part, yuan.

    None where there is no bill or nothing to divide by. Raises CaseError.
    """
    read = read_inputs(inputs)
    passable = [item for item in read.bill or () if item.passable]
    divisors = _divisors(read, _Energies.of(read))
    whole = sum(divisors.values(), ZERO)
    if not passable or not whole:
        return None
    prices: dict[str, Fraction] = {}
    fixed = ZERO
    for item in passable:
        divisor = None if item.period is None or read.by_energy else divisors.get(item.period)
        if divisor and item.period is not None:
            prices[item.period] = prices.get(item.period, ZERO) + item.yuan / divisor
        else:
            fixed += item.yuan
    return prices, fixed / whole


def loss_shares(inputs: Mapping[str, Any]) -> dict[str, str]:
    """For information: the park's loss in kWh as each tenant's part, shared by energy period by period.

    Empty without a master. Raises CaseError.
    """
    read = read_inputs(inputs)
    if read.available is None:
        return {}
    ledger = _Energies.of(read)
    totals = dict.fromkeys(ledger.end_users, ZERO)
    for period, loss in _loss(read.available, ledger.points).items():
        whole = sum((kwh.get(period, ZERO) for kwh in ledger.end_users.values()), ZERO)
        if whole:
            exact = [rounded(loss) * kwh.get(period, ZERO) / whole for kwh in ledger.end_users.values()]
            for holder, part in zip(totals, by_largest_remainder(exact), strict=True):
                totals[holder] += part
    return {holder.id: shown(kwh) for holder, kwh in totals.items() if holder.role == "tenant"}


@dataclass(frozen=True, slots=True)
class _Energies:
    """What was used: by end user in listed order, by all points together, and how much of it is estimated."""

    end_users: dict[Holder, Energy]
    points: Energy
    estimated: dict[Holder, Fraction]
    estimated_total: Fraction
    present: bool

    @classmethod
    def of(cls, inputs: Inputs) -> _Energies:
        end_users: dict[Holder, Energy] = {}
        points: Energy = {}
        estimated: dict[Holder, Fraction] = {}
        for use in inputs.uses:
            add(points, use.kwh)
            if use.holder.role != "public":
                add(end_users.setdefault(use.holder, {}), use.kwh)
                estimated[use.holder] = estimated.get(use.holder, ZERO) + use.estimated
        for charge in inputs.charges:  # charged without a point: a tenant with no energy, whose money still counts
            end_users.setdefault(Holder("tenant", charge.tenant), {})
        total = sum((use.estimated for use in inputs.uses), ZERO)
        return cls(end_users, points, estimated, total, present=bool(inputs.uses))


@dataclass(frozen=True, slots=True)
class _Allowed:
    """What each end user may be charged, and what nobody may be (common use that is paid elsewhere)."""

    shares: dict[Holder, Fraction]
    not_chargeable: Fraction

    def of_role(self, role: str) -> Fraction:
        return sum((yuan for holder, yuan in self.shares.items() if holder.role == role), ZERO)


def _loss(available: Energy, points: Energy) -> Energy:
    """Step 2, by period in the order of the five names."""
    return {p: available.get(p, ZERO) - points.get(p, ZERO) for p in ALL_PERIODS if p in available or p in points}


def _allowed(inputs: Inputs, used: _Energies, passable: Fraction) -> _Allowed:
    """Steps 3 and 4: pools, divisors, exact shares, cents."""
    pools: Energy = {}
    fixed = ZERO
    for item in inputs.bill or ():
        if item.passable and item.period is not None and not inputs.by_energy:
            add(pools, {item.period: item.yuan})
        elif item.passable:
            fixed += item.yuan
    divisors = _divisors(inputs, used)
    fixed += sum((yuan for period, yuan in pools.items() if not divisors.get(period)), ZERO)
    whole = sum(divisors.values(), ZERO)
    exact = []
    for kwh in used.end_users.values():
        share = sum((pools.get(p, ZERO) * kwh.get(p, ZERO) / d for p, d in divisors.items() if d), ZERO)
        exact.append(share + (fixed * sum(kwh.values(), ZERO) / whole if whole else ZERO))
    *shares, common = by_largest_remainder([*exact, passable - sum(exact, ZERO)])
    return _Allowed(dict(zip(used.end_users, shares, strict=True)), common)


def _divisors(inputs: Inputs, used: _Energies) -> Energy:
    """Energy that a period's pool is divided by. Sharing by energy alone has one divisor, whatever the periods."""
    if inputs.shared:
        divisors: Energy = {}
        for kwh in used.end_users.values():
            add(divisors, kwh)
    else:
        available = inputs.available or {}
        divisors = {p: max(available.get(p, ZERO), used.points.get(p, ZERO)) for p in {*available, *used.points}}
        if inputs.by_energy:  # sub-meters without periods: compare totals, not one period's energy with another's
            divisors = {"flat": max(sum(available.values(), ZERO), sum(used.points.values(), ZERO))}
    return divisors


def _result(inputs: Inputs, limits: Thresholds) -> dict[str, Any]:
    used = _Energies.of(inputs)
    bill = None if inputs.bill is None else sum((item.yuan for item in inputs.bill), ZERO)
    passable = None if inputs.bill is None else sum((item.yuan for item in inputs.bill if item.passable), ZERO)
    missing = _missing(inputs, used)
    stops = [reason for reason in missing if reason != "MASTER_MISSING" or not inputs.shared]
    allowed = None if stops or passable is None else _allowed(inputs, used, passable)
    points = sum(used.points.values(), ZERO)
    available = None if inputs.available is None else sum(inputs.available.values(), ZERO)
    loss_rate = None if available is None else ratio(available - points, available)
    if available == points == 0:
        loss_rate = ZERO
    charged = sum((charge.yuan for charge in inputs.charges), ZERO)
    cap = None if allowed is None else allowed.of_role("tenant")
    estimated_ratio = ratio(used.estimated_total, points) or ZERO
    rows, verdicts = _tenants(inputs, used, allowed, stops, limits)
    facts = ParkFacts(charged, passable, cap, loss_rate, estimated_ratio, missing)
    park = park_verdict(facts, verdicts, limits)
    loss = None if inputs.available is None else _loss(inputs.available, used.points)
    result: dict[str, Any] = {
        "available_kwh": None
        if inputs.available is None
        else {p: shown(inputs.available.get(p, ZERO)) for p in loss or {}},
        "available_total_kwh": _text(available),
        "grid_import_total_kwh": _text(inputs.master),
        "points_total_kwh": shown(points),
        "loss_kwh": None if loss is None else {period: shown(kwh) for period, kwh in loss.items()},
        "loss_total_kwh": None if available is None else shown(available - points),
        "loss_rate": _text(loss_rate, 4),
        "bill_total_yuan": _text(bill),
        "bill_passable_yuan": _text(passable),
        "average_price_paid": None if not inputs.master or passable is None else shown(passable / inputs.master, 4),
        "operator_share_yuan": None if allowed is None else shown(allowed.of_role("operator")),
        "common_share_not_chargeable_yuan": None if allowed is None else shown(allowed.not_chargeable),
        "allowed_max_tenants_yuan": _text(cap),
        "charged_tenants_yuan": shown(charged),
        "park_overcharge_yuan": None if cap is None else shown(max(ZERO, charged - cap)),
        "literal_cap_overcharge_yuan": None if passable is None else shown(max(ZERO, charged - passable)),
        "park_estimated_ratio": shown(estimated_ratio, 4),
        "tenants": rows,
        "park_colour": park.colour,
        "park_reasons": list(park.reasons),
    }
    if inputs.master_read:
        result["master_energy"] = "read"
    return result


def _missing(inputs: Inputs, used: _Energies) -> tuple[str, ...]:
    absent = {
        "BILL_MISSING": inputs.bill is None,
        "MASTER_MISSING": inputs.master is None,
        "POINTS_MISSING": not used.present,
    }
    return tuple(reason for reason, is_absent in absent.items() if is_absent)


def _tenants(
    inputs: Inputs, used: _Energies, allowed: _Allowed | None, stops: list[str], limits: Thresholds
) -> tuple[list[dict[str, Any]], list[Verdict]]:
    """Step 5 and the colours: one row a tenant in listed order."""
    rows: list[dict[str, Any]] = []
    verdicts = []
    for holder, kwh in used.end_users.items():
        if holder.role != "tenant":
            continue
        own = [charge for charge in inputs.charges if charge.tenant == holder.id]
        energy = sum(kwh.values(), ZERO)
        facts = TenantFacts(
            extra_fee=any(charge.extra_fee for charge in own),
            charged=sum((charge.yuan for charge in own), ZERO),
            allowed=None if allowed is None else allowed.shares[holder],
            estimated_ratio=ratio(used.estimated.get(holder, ZERO), energy) or ZERO,
            missing=stops[0] if stops else "",
        )
        verdict = tenant_verdict(facts, limits)
        verdicts.append(verdict)
        rows.append(_row(holder.id, energy, facts, verdict))
    return rows, verdicts


def _row(tenant: str, energy: Fraction, facts: TenantFacts, verdict: Verdict) -> dict[str, Any]:
    allowed = facts.allowed
    return {
        "tenant": tenant,
        "energy_kwh": shown(energy),
        "allowed_yuan": _text(allowed),
        "charged_yuan": shown(facts.charged),
        "difference_yuan": None if allowed is None else shown(facts.charged - allowed),
        "overcharge_yuan": None if allowed is None else shown(facts.over),
        "average_price_charged": _text(ratio(facts.charged, energy), 4),
        "average_price_allowed": None if allowed is None else _text(ratio(allowed, energy), 4),
        "estimated_ratio": shown(facts.estimated_ratio, 4),
        "colour": verdict.colour,
        "reason": verdict.reasons[0],
    }


def _text(value: Fraction | None, places: int = 2) -> str | None:
    return None if value is None else shown(value, places)
