"""The parts of the report's document: tenants, bill, losses, who is ready for direct supply, papers, what is open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from fractions import Fraction
from typing import Any

from audit.amounts import ratio, rounded, shown
from audit.bill import BillLine, corrections_elsewhere, pv_lines
from audit.markup import TenantFacts, Verdict
from audit.park_evidence import Use
from audit.report_advice import MONTHS, tenant_advice
from audit.report_case import by_demand, fixed_yuan
from audit.report_model import ZERO, Case, Papers, Payer
from audit.rule import Rule
from contract.records import PERIODS

LOSS_NOTICE = Fraction(8, 100)
_UNITS = {"kwh": "kWh", "kva": "kVA", "kw": "kW"}


def tenant_part(case: Case, payer: Payer, verdict: Verdict, facts: TenantFacts) -> dict[str, Any]:
    """A tenant's page: registers, energies, allowed and charged, the excess in energy and price, quality, records."""
    use = payer.own_use or payer.use
    split = _split(case, payer, facts)
    energy = None if use is None else use.total
    days = payer.days or case.days
    return {
        "tenant": payer.name,
        "names": sorted({row.who for row in payer.rows} - {payer.name}),
        "from": None if days is None else days[0].isoformat(),
        "to": None if days is None else days[1].isoformat(),
        "colour": verdict.colour,
        "reasons": list(verdict.reasons),
        "charged_yuan": shown(facts.charged),
        "electricity_yuan": shown(sum((row.yuan for row in payer.rows), ZERO)),
        "allowed_yuan": _text(facts.allowed),
        "over_yuan": None if facts.allowed is None else shown(facts.over),
        "difference_yuan": None if facts.allowed is None else shown(facts.charged - facts.allowed),
        **split,
        "fees": [_fee(case, fee) for row in payer.rows for fee in row.fees],
        "energy_kwh": _text(energy),
        "charged_kwh": _text(payer.charged_kwh),
        "periods": {} if use is None else {period: shown(kwh) for period, kwh in use.kwh.items()},
        "average_price_charged": _text(ratio(facts.charged, payer.charged_kwh or energy or ZERO), 4)
        if payer.rows
        else None,
        "average_price_allowed": None if facts.allowed is None else _text(ratio(facts.allowed, energy or ZERO), 4),
        "estimated_ratio": shown(facts.estimated_ratio, 4),
        "quality_kwh": {} if use is None else {q: shown(Fraction(kwh)) for q, kwh in use.statement.quality_kwh.items()},
        "missing_steps": None if use is None else use.missing,
        "max_demand_kw": _demand(use),
        "own_meter": None if use is None else use.statement.own_meter,
        "registers": [] if use is None else _registers(use),
        "meters": [] if case.evidence is None or case.days is None else case.evidence.meters(payer.name, case.days),
        "profile_kw": _profile(case, payer),
        "records": {} if use is None else {log: list(span) for log, span in use.records.items()},
        "events": [_event(event) for event in payer.breaks],
        "rows": [_row(row) for row in payer.rows],
        "allowed_by_demand_yuan": _by_demand(case, payer, facts),
        **tenant_advice(case, payer),
    }


def bill_part(case: Case) -> dict[str, Any] | None:
    """The bill in plain figures: lines, groups for the waterfall, energy by period."""
    bill = case.papers.bill
    if bill is None:
        return None
    groups: dict[str, Fraction] = {}
    for line in bill.lines:
        name = line.category or line.name
        groups[name] = groups.get(name, ZERO) + line.yuan
    total = sum((line.yuan for line in bill.lines), ZERO)
    return {
        "from": None if bill.days is None else bill.days[0].isoformat(),
        "to": None if bill.days is None else bill.days[1].isoformat(),
        "accounts": list(bill.accounts),
        "total_yuan": shown(total),
        "stated_total_yuan": _text(bill.total),
        "not_passable_yuan": shown(sum((line.yuan for line in bill.lines if not line.passable), ZERO)),
        "pv_purchase_yuan": shown(sum((line.yuan for line in pv_lines(bill.lines)), ZERO)),
        "kwh": {period: shown(kwh) for period, kwh in bill.kwh().items()},
        "groups": [{"name": name, "yuan": shown(yuan)} for name, yuan in groups.items()],
        "lines": [
            {
                "row": line.row,
                "name": line.name,
                "period": line.period,
                "quantity": _text(line.quantity),
                "unit": _UNITS.get(line.unit, line.unit),
                "rate": _text(line.rate, 6),
                "yuan": shown(line.yuan),
                "passable": line.passable,
                "for_month": None if line.for_month is None else line.for_month.strftime("%Y-%m"),
            }
            for line in bill.lines
        ],
    }


def loss_part(case: Case) -> dict[str, Any] | None:
    """Losses by period and at night, and the park's own check meter beside the bill."""
    flow = case.flow
    if flow is None or not flow.steps:
        return None
    available = sum((_available(entry) for entry in flow.periods.values()), ZERO)
    rate = ratio(flow.sum("loss"), available)
    billed = sum(case.papers.bill.kwh().values(), ZERO) if case.papers.bill is not None else ZERO
    return {
        "periods": {
            period: {
                **{name: shown(kwh) for name, kwh in flow.periods[period].items()},
                "loss_rate": _text(ratio(flow.periods[period]["loss"], _available(flow.periods[period])), 4),
            }
            for period in (*PERIODS, "unclassified", "unclassified_holiday")
            if period in flow.periods
        },
        "loss_kwh": shown(flow.sum("loss")),
        "loss_rate": _text(rate, 4),
        "night_min_kw": _text(flow.night, 3),
        "is_high": rate is not None and rate > LOSS_NOTICE,
        "check_meter_kwh": shown(flow.sum("import")),
        "bill_kwh": shown(billed) if billed else None,
        "check_meter_difference": _text(ratio(flow.sum("import") - billed, billed), 4),
        "steps": flow.steps,
    }


def paper_part(papers: Papers) -> dict[str, Any]:
    """What was read, what did not agree in it, and what was no row."""
    return {
        "files": [dict(file) for file in papers.files],
        "bill_findings": [asdict(finding) for finding in papers.bill_findings],
        "charge_findings": [asdict(finding) for finding in papers.charges.findings],
        "skipped": [{"row": row, "text": text} for row, text in papers.charges.skipped],
        "unread_columns": list(papers.charges.unread),
    }


def unchecked_part(case: Case, rule: Rule) -> list[dict[str, str]]:
    """Checks that could not be made, as codes with what they concern; texts stand in report_words."""
    codes: list[tuple[str, str]] = []
    rows = [row for payer in case.payers for row in payer.rows] + case.unmatched
    if case.papers.bill is None:
        codes.append(("no_bill", ""))
    elif not case.papers.bill.kwh():
        codes.append(("no_bill_kwh", ""))
    elif any(line.tax is None for line in case.papers.bill.lines):
        codes.append(("bill_tax", ""))
    if case.evidence is None:
        codes += [("no_evidence", ""), ("no_energy_check", ""), ("no_losses", "")]
    elif case.verified is None:
        codes.append(("not_verified", ""))
    if not case.is_common_known:
        codes.append(("common_unknown", ""))
    if any(row.tax is None for row in rows):
        codes.append(("charge_tax", str(sum(row.tax is None for row in rows))))
    if any(row.days is None for row in rows):
        codes.append(("charge_days", str(sum(row.days is None for row in rows))))
    silent = [payer.name for payer in case.payers if payer.rows and payer.charged_kwh is None]
    if silent:
        codes.append(("charge_kwh", ", ".join(silent)))
    unstated = {fee.label for row in rows for fee in row.fees if fee.kind == "elsewhere" and not fee.stated}
    if unstated:
        codes.append(("fees_elsewhere", ", ".join(sorted(unstated))))
    if case.with_pv is not None:
        codes.append(("pv", shown(case.pv_yuan)))
    if case.papers.bill is not None:
        others = corrections_elsewhere(case.papers.bill, case.days)
        codes += [("correction_elsewhere", f"{line.for_month:%Y-%m} {shown(line.yuan)}") for line in others]
    priced = {price.month for price in case.prices}
    if not case.months or not all(month.replace(day=1) in priced for month, _ in case.months):
        codes.append(("published_price", ""))
    months = max((len(demands) for subject, demands in case.demands.items() if subject.role == "master"), default=0)
    if months < MONTHS:
        codes.append(("twelve_demands", str(months)))
    if rule.is_draft:
        codes.append(("draft_rule", rule.title))
    if not rule.covers(case.days):
        codes.append(("rule_not_valid", rule.title))
    classes = (
        sorted({line.name for line in case.papers.bill.lines if _is_other_class(line)}) if case.papers.bill else []
    )
    if classes:
        codes.append(("price_classes", "、".join(classes)))
    return [{"code": code, "detail": detail} for code, detail in codes]


def _is_other_class(line: BillLine) -> bool:
    """A share of the bill at another class's price (定比, 定量), which the points do not tell apart."""
    return any(word in line.name + line.category for word in ("居民", "农业", "定比", "定量"))


def _split(case: Case, payer: Payer, facts: TenantFacts) -> dict[str, Any]:
    """The excess: energy that was not used, then other fees, then price; yuan. Unproven: energy that no record bears
    out where registers broke off or readings are missing, at the price charged."""
    use, charged_kwh = payer.own_use or payer.use, payer.charged_kwh
    names = ("excess_energy_yuan", "excess_fee_yuan", "excess_price_yuan", "unproven_yuan", "kwh_difference")
    nothing: dict[str, Any] = dict.fromkeys(names)
    if use is None or charged_kwh is None or facts.allowed is None:
        return {**nothing, "kwh_causes": []}
    difference = charged_kwh - use.total
    electricity = sum((row.yuan for row in payer.rows), ZERO)
    price = ratio(electricity, charged_kwh) or ZERO
    over = facts.charged - facts.allowed
    by_energy = rounded(difference * price) if payer.hints else ZERO
    by_fee = case.extra(payer.rows)
    return {
        "excess_energy_yuan": shown(by_energy),
        "excess_fee_yuan": shown(by_fee),
        "excess_price_yuan": shown(over - by_energy - by_fee),
        "unproven_yuan": shown(max(ZERO, difference * price)) if payer.doubts else None,
        "kwh_difference": shown(difference),
        "kwh_causes": _causes(case, payer) if payer.hints else [],
    }


def _causes(case: Case, payer: Payer) -> list[str]:
    """Why charged energy may differ from the meter's, from what the rows say."""
    causes = []
    meters = case.evidence.meters(payer.name, case.days) if case.evidence is not None and case.days is not None else []
    multipliers = {Fraction(meter["multiplier"]) for meter in meters}
    said = {row.multiplier for row in payer.rows if row.multiplier is not None}
    if multipliers and said - multipliers:
        wrong, right = (
            ", ".join(f"{float(m):g}" for m in sorted(found)) for found in (said - multipliers, multipliers)
        )
        causes.append(f"multiplier {wrong}, not {right}")
    loss = sum((row.added_loss or ZERO for row in payer.rows), ZERO)
    if loss > 0:
        causes.append(f"added_loss {shown(loss)} kWh")
    return causes or ["registers"]


def _registers(use: Use) -> list[dict[str, Any]]:
    return [
        {
            "point": span.point,
            "meter": span.meter,
            "from": span.from_,
            "to": span.to,
            "start": None if span.start is None else str(span.start),
            "end": None if span.end is None else str(span.end),
            "multiplier": str(span.multiplier),
            "share": str(span.share),
            "kwh": shown(Fraction(span.kwh)),
            "start_seq": span.start_seq,
            "end_seq": span.end_seq,
        }
        for span in use.statement.segments
    ]


def _event(event: Mapping[str, Any]) -> dict[str, Any]:
    return {"code": event["code"], "meter": event["id"], "at": event["from"] or event["at"], "seq": event["seq"]} | {
        "details": event["details"]
    }


def _row(row: Any) -> dict[str, Any]:
    numbers = ("start", "end", "multiplier", "added_loss", "kwh", "yuan")
    return {"row": row.row, "who": row.who, **{name: _text(getattr(row, name)) for name in numbers}} | {
        "price": _text(row.price, 4)
    }


def _fee(case: Case, fee: Any) -> dict[str, Any]:
    counts, extra = case.parts(fee)
    return {"label": fee.label, "yuan": shown(fee.yuan), "in_bill": counts, "extra": extra, "stated": fee.stated}


def _profile(case: Case, payer: Payer) -> list[str | None]:
    if case.evidence is None or case.days is None:
        return []
    return [_text(kw) for kw in case.evidence.profile(payer.name, payer.days or case.days)]


def _demand(use: Use | None) -> str | None:
    return None if use is None or use.statement.max_demand_kw is None else shown(Fraction(use.statement.max_demand_kw))


def _by_demand(case: Case, payer: Payer, facts: TenantFacts) -> str | None:
    """The allowed amount if the fixed part were shared by maximum demand."""
    bill = case.bill
    demands = {
        use.name: Fraction(use.statement.max_demand_kw)
        for use in case.uses
        if use.statement.max_demand_kw is not None and use.subject.role in ("tenant", "operator")
    }
    if bill is None or facts.allowed is None or payer.use is None or payer.name not in demands:
        return None
    prices = case.strict.prices.get("")
    if prices is None or payer.own_use is not None:
        return None
    return shown(facts.allowed - prices[1] * payer.use.total + by_demand(fixed_yuan(bill), demands)[payer.name])


def _available(entry: Mapping[str, Fraction]) -> Fraction:
    return entry["loss"] + entry["points"]


def _text(value: Fraction | None, places: int = 2) -> str | None:
    return None if value is None else shown(value, places)
