"""From what was settled to verdicts on tenants and park, under each reading that the papers leave open (pure).

    settled × (solar power inside the cap | paid apart) × (corrections of other months out | in) ─▶ the milder verdict

What a colour needs is `markup`'s matter; nobody is red on one reading alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from audit.amounts import ratio
from audit.markup import GREEN, GREY, RED, YELLOW, ParkFacts, TenantFacts, Verdict, park_verdict, tenant_verdict
from audit.park_evidence import Days
from audit.report_case import Settled
from audit.report_model import LONG_DAYS, SLACK_DAYS, ZERO, Case, Payer

_LACKING = {"METER_EXCHANGED", "READINGS_MISSING"}  # doubts of a tenant whose energy may be more than is known
_END_USE = ("tenant", "operator", "public")


class Reading(NamedTuple):
    """What is to be said where the bill is read one way."""

    passable: Fraction | None
    park: Verdict
    tenants: list[Verdict]
    facts: list[TenantFacts]


def judge(case: Case, strict: Settled, with_pv: Settled | None) -> list[Reading]:
    """With solar power inside the cap, and paid apart where there is any (`with_pv`); the stricter reading first."""
    readings = []
    for settled in (strict, with_pv):
        if settled is not None:
            facts = [_tenant_facts(case, payer, settled) for payer in case.payers]
            verdicts = [tenant_verdict(fact, case.limits) for fact in facts]
            park = park_verdict(park_facts(case, settled, verdicts, facts), verdicts, case.limits)
            readings.append(Reading(settled.passable, park, verdicts, facts))
    return readings


def combine(bills: Sequence[Sequence[Verdict]]) -> Verdict:
    """One verdict of those under each reading. bills: the bill without and with corrections of other months, the one
    that lets less be passed on first; of each the verdicts in `judge`'s order."""
    of_bills = [_milder(verdicts, "PV_UNRESOLVED") for verdicts in bills]
    return _milder(of_bills, "CORRECTION_UNRESOLVED")


def _milder(verdicts: Sequence[Verdict], unresolved: str) -> Verdict:
    """Never red on one reading alone. verdicts: the strictest reading first."""
    first = verdicts[0]
    if all(verdict.colour == first.colour for verdict in verdicts) or first.colour in (GREEN, GREY):
        return first
    if first.colour == RED and "EXTRA_FEE" in first.reasons:
        return first
    if all(verdict.colour in (RED, YELLOW) for verdict in verdicts):
        return next(verdict for verdict in verdicts if verdict.colour == YELLOW)
    return Verdict(GREY, (unresolved, *first.reasons))


def _tenant_facts(case: Case, payer: Payer, settled: Settled) -> TenantFacts:
    use = payer.own_use or payer.use
    allowed = settled.allowed.get(payer.name)
    if payer.own_use is not None and is_shifted(payer.days, case.days):
        allowed = settled.allowed_for(payer.own_use)
    elif payer.use is None or not settled.allowed:
        allowed = None
    return TenantFacts(
        extra_fee=case.extra(payer.rows) > 0,
        charged=case.charged(payer.rows),
        allowed=allowed,
        estimated_ratio=ZERO if use is None else ratio(Fraction(use.statement.uncertain_kwh), use.total) or ZERO,
        missing=settled.missing[0] if settled.missing else "POINTS_MISSING",
        doubts=payer.doubts,
        hints=payer.hints,
    )


def park_facts(case: Case, settled: Settled, verdicts: Sequence[Verdict], facts: Sequence[TenantFacts]) -> ParkFacts:
    rows = [row for payer in case.payers for row in payer.rows] + case.unmatched
    of_tenants = {reason for verdict in verdicts for reason in verdict.reasons}
    gaps = [code for code in ("CHARGE_MISSING",) if code in of_tenants]
    gaps += ["CHARGE_UNMATCHED"] * bool(case.unmatched)
    gaps += ["TAX_UNKNOWN"] * any(row.tax is None for row in rows)
    gaps += ["EVIDENCE_BAD"] * _is_bad(case.verified)
    steps = sum(use.owed for use in case.uses)
    lost = Fraction(sum(use.missing for use in case.uses), steps) if steps else ZERO
    cap = settled.cap
    is_long = case.days is not None and (case.days[1] - case.days[0]).days >= LONG_DAYS
    if not case.comparable and is_long and settled.allowed:  # each tenant at its own bounds
        cap = sum((_tenant_facts(case, payer, settled).allowed or ZERO for payer in case.payers), ZERO)
    doubts = ["PERIOD_MISMATCH"] * (not case.comparable and not (is_long and settled.allowed))
    doubts += ["READINGS_MISSING"] * (lost > case.limits.estimate_max_ratio)
    uncertain = sum((Fraction(u.statement.uncertain_kwh) for u in case.uses if u.subject.role in _END_USE), ZERO)
    return ParkFacts(
        charged=case.charged(rows),
        passable=settled.passable,
        cap=cap,
        loss_rate=settled.loss_rate if settled.available is not None and case.uses else ZERO,
        estimated_ratio=ratio(uncertain, settled.points) or ZERO,
        missing=settled.missing,
        comparable=case.comparable,
        doubts=tuple(doubts),
        gaps=tuple(gaps),
        doubtful=sum((fact.over for fact in facts if _LACKING & set(fact.doubts)), ZERO),
    )


def _is_bad(verified: Mapping[str, Any] | None) -> bool:
    """Whether verification found more than that an auditor's receipt came late."""
    if verified is None or verified["ok"]:
        return False
    return bool(verified["alarms"]) or any(finding["code"] != "late_witness" for finding in verified["findings"])


def is_shifted(own: Days | None, days: Days | None) -> bool:
    """Whether two spans differ by more than a day at either end."""
    if own is None or days is None:
        return False
    return any(abs((one - other).days) > SLACK_DAYS for one, other in zip(own, days, strict=True))
