"""The report on a park: bill, charges and evidence to a verdict with figures, reasons and the records behind it (pure).

    papers ──────────────┐
    evidence (or none) ──┴─▶ settle ─▶ tenants: energy first, price second ─▶ verdict ─▶ one document, text by text

Around `settlement-method-1` stands what real papers need (settlement reference §5.2): differing days, missing charges,
tax, estimates, solar power, accounts. The document is plain JSON; `report_html` and `report_tables` show it. Our colour
is never the official 转供电费码.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from fractions import Fraction
from itertools import pairwise
from typing import Any

from audit.amounts import ratio, rounded, shown
from audit.bill import Bill, own_bill, pv_lines
from audit.charges import ChargeRow
from audit.markup import (
    ParkFacts,
    Thresholds,
)
from audit.names import Matcher, Notes
from audit.park_evidence import Days, Flow, ParkEvidence, Use
from audit.price_list import Price
from audit.report_advice import advice_part, conversion_part
from audit.report_case import Settled, add_up, settle_accounts
from audit.report_model import KWH_LEAST, KWH_SLACK, ZERO, Case, Papers, Payer
from audit.report_parts import bill_part, loss_part, paper_part, tenant_part, unchecked_part
from audit.report_verdict import combine, is_shifted, judge, park_facts
from audit.rule import Rule, load_rule
from audit.settle import METHOD
from audit.tenant_proof import fingerprint
from audit.written import month_span
from contract.sheet import BREAKS


def make_report(
    park: str,
    papers: Papers,
    *,
    evidence: ParkEvidence | None = None,
    days: Days | None = None,
    notes: Notes | None = None,
    verified: Mapping[str, Any] | None = None,
    prices: Sequence[Price] = (),
    rule: Rule | None = None,
) -> dict[str, Any]:
    """The whole document. Raises CaseError for impossible inputs.

    days: of the settlement; without, the bill's. rule: what it is measured against; without, the draft for comment.
    """
    notes, rule = notes or Notes(), rule or load_rule()
    case = _case(park, papers, evidence, days, notes, verified, prices)
    own = judge(case, case.strict, case.with_pv)
    bills = [own]
    if case.as_billed is not None:
        bills.append(judge(case, *case.as_billed))
        bills.sort(key=lambda readings: readings[0].passable or ZERO)
    park_result = combine([[reading.park for reading in readings] for readings in bills])
    tenants = []
    for n, payer in enumerate(case.payers):
        verdict = combine([[reading.tenants[n] for reading in readings] for readings in bills])
        tenants.append(tenant_part(case, payer, verdict, own[0].facts[n]))
    facts = park_facts(case, case.strict, own[0].tenants, own[0].facts)
    return {
        "park": park,
        "method": METHOD,
        "colour_code": "hubiao-colour-1",
        "official": False,
        "rule": rule.document(),
        "from": None if case.days is None else case.days[0].isoformat(),
        "to": None if case.days is None else case.days[1].isoformat(),
        "verdict": {
            "colour": park_result.colour,
            "reasons": list(park_result.reasons),
            "readings": [
                {"pv": name, "colour": reading.park.colour, "reasons": list(reading.park.reasons)}
                for name, reading in zip(("inside_cap", "paid_apart"), own, strict=False)
            ],
        },
        "figures": _figures(case, facts),
        "bill": bill_part(case),
        "tenants": tenants,
        "unmatched": [{"row": row.row, "who": row.who, "yuan": shown(case.charged([row]))} for row in case.unmatched],
        "losses": loss_part(case),
        "conversion": conversion_part(case),
        "advice": advice_part(case),
        "series": None,
        "papers": paper_part(papers),
        "evidence": None if evidence is None else _evidence_part(case),
        "unchecked": unchecked_part(case, rule),
    }


def _case(
    park: str,
    papers: Papers,
    evidence: ParkEvidence | None,
    days: Days | None,
    notes: Notes,
    verified: Mapping[str, Any] | None,
    prices: Sequence[Price],
) -> Case:
    bill = papers.bill
    days = days or (bill.days if bill is not None else None) or _charged_days(papers.charges.rows)
    if days is None and evidence is not None:
        days = evidence.days
    uses = evidence.uses(days) if evidence is not None and days is not None else []
    flow = evidence.flow(days) if evidence is not None and days is not None else None
    common = notes.common or "shared"
    own = None if bill is None else own_bill(bill, days)
    parts = papers.bills if evidence is not None and len(papers.bills) > 1 else ()
    strict, with_pv, pv_yuan = _settle_all(
        own, [own_bill(one, one.days) for one in parts], uses, flow, evidence, common
    )
    as_billed = None if own is bill else _settle_all(bill, parts, uses, flow, evidence, common)[:2]
    payers, unmatched = _payers(papers.charges.rows, evidence, days, notes, uses)
    for payer in payers:
        _own_days(payer, days, evidence)
    comparable = days is None or not any(payer.rows and is_shifted(payer.days, days) for payer in payers)
    comparable = comparable and not any(days and is_shifted(row.days, days) for row in unmatched)
    case = Case(
        park=park,
        days=days,
        papers=papers,
        evidence=evidence,
        notes=notes,
        limits=Thresholds.parse(notes.limits, "limits"),
        common=common,
        is_common_known=notes.common is not None,
        payers=payers,
        unmatched=unmatched,
        uses=uses,
        flow=flow,
        strict=strict,
        with_pv=with_pv,
        pv_yuan=pv_yuan,
        as_billed=as_billed,
        comparable=comparable,
        verified=verified,
        prices=prices,
        months=[] if evidence is None or days is None or not prices else _by_month(evidence, days, uses),
        demands={} if evidence is None or days is None else evidence.demands(days),
    )
    for payer in payers:
        payer.breaks = _breaks(case, payer)
        payer.hints, payer.doubts = _hints(payer), _doubts(case, payer)
    return case


def _by_month(
    evidence: ParkEvidence, days: Days, uses: Sequence[Use]
) -> list[tuple[date, dict[str, Mapping[str, Fraction]]]]:
    """Tenants' energy of each calendar month in the span: prices are published by month."""
    starts = [days[0]]
    while (after := month_span(starts[-1].year, starts[-1].month)[1]) < days[1]:
        starts.append(after)
    spans = list(pairwise([*starts, days[1]]))
    found = [uses] if len(spans) == 1 else [evidence.uses(span) for span in spans]
    return [
        (span[0], {use.name: use.kwh for use in month if use.subject.role == "tenant"})
        for span, month in zip(spans, found, strict=True)
    ]


def _settle_all(
    bill: Bill | None,
    parts: Sequence[Bill],
    uses: Sequence[Use],
    flow: Flow | None,
    evidence: ParkEvidence | None,
    common: str,
) -> tuple[Settled, Settled | None, Fraction]:
    """As `_settle`; where there are bills of several periods, each is settled by itself."""
    strict, with_pv, pv_yuan = _settle(bill, uses, flow, common)
    if evidence is not None and parts:
        settled = [_settle_period(one, evidence, common) for one in parts]
        strict = add_up(strict, [part for part, _, _ in settled])
        if with_pv is not None:
            with_pv = add_up(with_pv, [pv or part for part, pv, _ in settled])
    return strict, with_pv, pv_yuan


def _settle(
    bill: Bill | None, uses: Sequence[Use], flow: Flow | None, common: str
) -> tuple[Settled, Settled | None, Fraction]:
    """Settled with solar power inside the cap; paid apart, where there is any; and the yuan between the two."""
    strict = settle_accounts(bill, uses, flow, common)
    pv_yuan = ZERO if bill is None else sum((line.yuan for line in pv_lines(bill.lines)), ZERO)
    if not pv_yuan and flow is not None and bill is not None and flow.sum("pv") > flow.sum("export"):
        imported = sum(bill.kwh().values(), ZERO) or flow.sum("import")
        price = ratio(strict.passable or ZERO, imported) or ZERO
        pv_yuan = rounded((flow.sum("pv") - flow.sum("export")) * price)
    with_pv = settle_accounts(bill, uses, flow, common, pv_yuan=pv_yuan) if pv_yuan > 0 else None
    return strict, with_pv, pv_yuan


def _settle_period(bill: Bill, evidence: ParkEvidence, common: str) -> tuple[Settled, Settled | None, Fraction]:
    assert bill.days is not None
    return _settle(bill, evidence.uses(bill.days), evidence.flow(bill.days), common)


def _payers(
    rows: Sequence[ChargeRow], evidence: ParkEvidence | None, days: Days | None, notes: Notes, uses: Sequence[Use]
) -> tuple[list[Payer], list[ChargeRow]]:
    """Tenants in order of the evidence with their rows; without evidence as the charges name them."""
    if evidence is None or days is None:
        payers: dict[str, Payer] = {}
        matcher = Matcher([row.who for row in rows], {}, notes)
        for row in rows:
            name = matcher.match(row) or row.who
            payers.setdefault(name, Payer(name)).rows.append(row)
        return list(payers.values()), []
    matcher = Matcher(evidence.tenants, evidence.places(days), notes)
    known = {use.name: Payer(use.name, use=use) for use in uses if use.subject.role == "tenant"}
    operators = {use.name for use in uses if use.subject.role != "tenant"}
    unmatched = []
    for row in rows:
        tenant = matcher.match(row)
        if tenant is None and row.who in operators:
            continue  # the operator's own use carries its own share: money to itself is no charge
        if tenant is None or tenant not in known:
            unmatched.append(row)
        else:
            known[tenant].rows.append(row)
    return list(known.values()), unmatched


def _own_days(payer: Payer, days: Days | None, evidence: ParkEvidence | None) -> None:
    spans = [row.days for row in payer.rows if row.days is not None]
    if not spans:
        payer.days = days
        return
    payer.days = min(span[0] for span in spans), max(span[1] for span in spans)
    if days is not None and evidence is not None and payer.days != days:
        own = [use for use in evidence.uses(payer.days) if use.subject.tenant == payer.name]
        payer.own_use = own[0] if own else None


def _hints(payer: Payer) -> tuple[str, ...]:
    """Energy first: whether what was charged is what the meter counted over the same days."""
    charged, use = payer.charged_kwh, payer.own_use or payer.use
    if charged is None or use is None or not use.owed or use.missing:
        return ()
    return ("KWH_MISMATCH",) if abs(charged - use.total) > max(KWH_LEAST, use.total * KWH_SLACK) else ()


def _doubts(case: Case, payer: Payer) -> tuple[str, ...]:
    doubts = []
    if payer.use is not None and not payer.rows and payer.use.total > 0:
        doubts.append("CHARGE_MISSING")
    use = payer.own_use or payer.use
    if payer.breaks:
        doubts.append("METER_EXCHANGED")
    if case.evidence is not None and case.days is not None:
        meters = {meter["meter"] for meter in case.evidence.meters(payer.name, case.days)}
        if meters & case.evidence.not_accepted:
            doubts.append("METER_NOT_ACCEPTED")
    if use is not None and use.missing and Fraction(use.missing, use.owed) > case.limits.estimate_max_ratio:
        doubts.append("READINGS_MISSING")
    return tuple(doubts)


def _breaks(case: Case, payer: Payer) -> list[Mapping[str, Any]]:
    """Events of the tenant's meters, without a work order, after which a register is no longer what it was."""
    if case.evidence is None or case.days is None or payer.use is None:
        return []
    meters = {meter["meter"] for meter in case.evidence.meters(payer.name, case.days)}
    events = case.evidence.events(meters, payer.days or case.days)
    replaced = {event["id"] for event in events if event["code"] == "meter_replaced"}
    return [event for event in events if event["code"] in BREAKS and event["id"] not in replaced]


def _figures(case: Case, facts: ParkFacts) -> dict[str, Any]:
    rows = [row for payer in case.payers for row in payer.rows] + case.unmatched
    over_cap = None if facts.cap is None else max(ZERO, facts.charged - facts.cap)
    over_bill = None if facts.passable is None else max(ZERO, facts.charged - facts.passable)
    strict = case.strict
    imported = case.bill.kwh() if case.bill is not None else {}
    bill_kwh = sum(imported.values(), ZERO) or (case.flow.sum("import") if case.flow is not None else ZERO)
    return {
        "charged_yuan": shown(facts.charged),
        "extra_fees_yuan": shown(case.extra(rows)),
        "passable_yuan": _text(facts.passable),
        "allowed_tenants_yuan": _text(facts.cap),
        "over_allowed_yuan": _text(over_cap),
        "over_bill_yuan": _text(over_bill),
        "average_price_paid": _text(ratio(facts.passable or ZERO, bill_kwh), 4),
        "available_kwh": _text(strict.available),
        "points_kwh": shown(strict.points),
        "loss_rate": _text(strict.loss_rate if strict.available is not None and case.uses else None, 4),
        "estimated_ratio": shown(facts.estimated_ratio, 4),
        "common": case.common,
        "common_stated": case.is_common_known,
        "master": strict.master,
        "pv_yuan": shown(case.pv_yuan),
        "accounts": len(strict.results),
    }


def _evidence_part(case: Case) -> dict[str, Any]:
    assert case.evidence is not None
    logs = [
        {**which._asdict(), "records": count, "fingerprint": _fingerprint(case.evidence.keys[which])}
        for which, count in case.evidence.logs.items()
    ]
    return {"logs": logs, "verified": case.verified}


def _fingerprint(key: str | None) -> str | None:
    return None if key is None else fingerprint(key)


def _charged_days(rows: Sequence[ChargeRow]) -> Days | None:
    spans = [row.days for row in rows if row.days is not None]
    return (min(span[0] for span in spans), max(span[1] for span in spans)) if spans else None


def _text(value: Fraction | None, places: int = 2) -> str | None:
    return None if value is None else shown(value, places)
