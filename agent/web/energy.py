"""Energies: tenants by tariff period, the park's balance, the reading sheet.

Today and yesterday come from the intervals and balances in memory; a billing period from the log's `day` records, and
the sheet as `hubiao sheet` makes it, both read from the store when somebody asks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from decimal import Decimal

from agent.web.frame import PERIODS, QUALITIES, ROLES, Asked, grid, local, meter_link, number, page, why_text
from agent.web.html import Child, Html, Say, el
from agent.web.reads import Totals
from agent.web.snapshot import Snapshot
from contract.grid import DAY_S
from contract.records import Balance, Flow, Interval, parse_slot
from contract.sheet import FIGURES, Row

Whose = tuple[str | None, str | None]  # tenant, point
Energies = dict[str, Decimal]  # period → kWh


@dataclass(frozen=True, slots=True)
class Span:
    """What is shown and what it is called: `name` is the query's `span`."""

    name: str
    from_s: int
    to_s: int


def span_of(snapshot: Snapshot, name: str) -> Span:
    """today, yesterday, or period: the billing period so far."""
    today_s = snapshot.plan.day_of(snapshot.now_s)[0]
    if name == "yesterday":
        return Span(name, today_s - DAY_S, today_s)
    if name == "period":
        return Span(name, snapshot.plan.billing_period_of(snapshot.now_s)[0], snapshot.now_s)
    return Span("today", today_s, snapshot.now_s)


def intervals_in(snapshot: Snapshot, span: Span) -> dict[Whose, Energies]:
    """Sums of the intervals in memory, by holder and period."""
    found: dict[Whose, Energies] = {}
    for whose, shelf in snapshot.intervals.items():
        for written in shelf.between(span.from_s, span.to_s).values():
            if isinstance(written.body, Interval):
                sums = found.setdefault(whose, {})
                sums[written.body.period] = sums.get(written.body.period, Decimal(0)) + written.body.kwh
    return found


def missing_in(snapshot: Snapshot, span: Span) -> dict[Whose, int]:
    """How many steps each holder lacks, up to the newest step that anybody has."""
    steps: dict[Whose, int] = {}
    newest_s = span.from_s
    for whose, shelf in snapshot.intervals.items():
        held = shelf.between(span.from_s, span.to_s)
        if held:
            steps[whose] = len(held)
            newest_s = max(newest_s, max(held) + snapshot.interval_s)
    expected = (newest_s - span.from_s) // snapshot.interval_s
    return {whose: expected - count for whose, count in steps.items()}


def missing_with(today: Mapping[Whose, int], totals: Totals, interval_s: int) -> dict[Whose, int]:
    """The same with the days before, whose records name what they lack."""
    found = dict(today)
    for whose, days in totals.days.items():
        for day in days:
            steps = sum((parse_slot(last) - parse_slot(first)) // interval_s + 1 for first, last in day.missing)
            found[whose] = found.get(whose, 0) + steps
    return found


def balances_in(snapshot: Snapshot, span: Span) -> list[Balance]:
    """Steps in memory, oldest first."""
    return [
        written.body
        for written in snapshot.balances.between(span.from_s, span.to_s).values()
        if isinstance(written.body, Balance)
        and parse_slot(written.body.to) - parse_slot(written.body.from_) == snapshot.interval_s
    ]


def with_days(today: Mapping[Whose, Energies], totals: Totals) -> dict[Whose, Energies]:
    """Today's sums and the days before it."""
    found = {whose: dict(sums) for whose, sums in today.items()}
    for whose, days in totals.days.items():
        sums = found.setdefault(whose, {})
        for day in days:
            for period, kwh in day.periods.items():
                sums[period] = sums.get(period, Decimal(0)) + kwh
    return found


def tenants_page(
    snapshot: Snapshot, asked: Asked, span: Span, energies: Mapping[Whose, Energies], missing: Mapping[Whose, int]
) -> Html:
    """`missing`: steps that the sums lack."""
    say = asked.say
    periods = [name for name in PERIODS if any(name in sums for sums in energies.values())]
    head = [("", say("租户", "tenant")), *(("num", say(*PERIODS[name])) for name in periods)]
    head += [("num", say("合计", "total")), ("num", say("缺时段", "steps missing"))]
    tenants = {whose: sums for whose, sums in energies.items() if whose[0] is not None}
    points = {whose: sums for whose, sums in energies.items() if whose[0] is None}
    rows = [
        [_holder(whose, snapshot, say), *_figures(sums, periods), str(missing.get(whose) or "–")]
        for group in (tenants, points)
        for whose, sums in sorted(group.items(), key=lambda item: str(item[0]))
    ]
    foot = [say("租户合计", "all tenants"), *_figures(_added(tenants.values()), periods), None]
    return page(
        snapshot,
        asked,
        say("租户", "Tenants"),
        el("h2", say("各租户用电量 kWh", "Energy by tenant, kWh")),
        _spans(snapshot, asked, span),
        grid(head, rows, id_="tenants", foot=foot) if rows else _nothing(say),
    )


def balance_page(snapshot: Snapshot, asked: Asked, span: Span, balances: Iterable[Balance]) -> Html:
    say = asked.say
    balances = list(balances)
    covered_s = sum(parse_slot(balance.to) - parse_slot(balance.from_) for balance in balances)
    hours, whole_h = covered_s / 3600, (min(span.to_s, snapshot.now_s) - span.from_s) / 3600
    flows: dict[str, dict[str, Decimal]] = {}
    names = [field.name for field in fields(Flow)]
    for balance in balances:
        for period, flow in balance.periods.items():
            sums = flows.setdefault(period, dict.fromkeys(names, Decimal(0)))
            for name in names:
                sums[name] += getattr(flow, name)
    titles = {
        "import_": say("购入", "import"),
        "pv": say("光伏", "PV"),
        "storage": say("储能放−充", "storage"),
        "export": say("上网", "export"),
        "points": say("各点用电", "points"),
        "loss": say("损耗", "loss"),
    }
    whole = {name: sum((sums[name] for sums in flows.values()), Decimal(0)) for name in names}
    absent = {name for name in ("pv", "storage", "export") if not any(sums[name] for sums in flows.values())}
    titles = {name: title for name, title in titles.items() if name not in absent}  # a phone has room for few
    head = [("", say("时段", "period")), *(("num", titles[name]) for name in titles)]
    rows: list[list[Child]] = [
        [say(*PERIODS[period]), *(number(flows[period][name], 2) for name in titles)]
        for period in PERIODS
        if period in flows
    ]
    into = whole["import_"] + whole["pv"] + whole["storage"] - whole["export"]
    foot: list[Child] = [say("合计", "total"), *(number(whole[name], 2) for name in titles)]
    rate = el("p", say("损耗率 ", "loss rate "), el("b", f"{whole['loss'] / into:.2%}", id="rate")) if into else None
    return page(
        snapshot,
        asked,
        say("平衡", "Balance"),
        el("h2", say("园区电量平衡 kWh", "Balance of the park, kWh")),
        _spans(snapshot, asked, span),
        grid(head, rows, id_="balance", foot=foot) if rows else _nothing(say),
        rate,
        el(
            "p",
            say(f"已平衡 {hours:g} 小时,共 {whole_h:.1f} 小时", f"{hours:g} of {whole_h:.1f} hours are balanced"),
            id="covered",
        ),
        el(
            "p",
            say("购入 + 光伏 + 储能 − 上网 − 各点 = 损耗", "import + PV + storage − export − points = loss"),
            class_="note",
        ),
    )


def sheet_page(snapshot: Snapshot, asked: Asked, rows: list[Row], wrong: str = "") -> Html:
    """`?at=` or `?from=` and `?to=`, park-local. `wrong`: why there is no sheet."""
    say = asked.say
    shown = [figure for figure in FIGURES if any(figure[0] in row.figures() for row in rows)]
    spanning = any(row.start is not None for row in rows)
    head = [("", say("房号", "room")), ("", say("租户", "tenant")), ("", say("表号", "meter"))]
    head += [("", say("起", "from"))] if spanning else []
    head += [("", say("止", "to") if spanning else say("时间", "at"))]
    head += [("num", say(zh, en)) for _, zh, en in shown] + [("", say("质量", "quality"))]
    return page(
        snapshot,
        asked,
        say("抄表单", "Reading sheet"),
        el("h2", say("抄表单", "Reading sheet")),
        _bounds(snapshot, asked),
        el("p", wrong, class_="wrong", role="alert") if wrong else None,
        grid(head, [_sheet_row(row, snapshot, spanning, shown, say) for row in rows], id_="sheet") if rows else None,
    )


def _sheet_row(
    row: Row, snapshot: Snapshot, spanning: bool, shown: list[tuple[str, str, str]], say: Say
) -> list[Child]:
    figures = row.figures()
    names = [snapshot.names.get(tenant, tenant) for tenant, _ in row.holders if tenant is not None]
    start: list[Child] = [] if not spanning else [local(snapshot, None if row.start is None else row.start.at_s)]
    return [
        row.room or "–",
        "、".join(names) or (say(*ROLES[row.role]) if row.role in ROLES else "–"),
        meter_link(row.meter),
        *start,
        local(snapshot, row.end.at_s),
        *(number(figures.get(name)) for name, _, _ in shown),
        say(*QUALITIES[row.quality])
        + (f" · {why_text(row.why, say)}" if row.why else "")
        + ("" if row.settles else say(" · 未验收,不作结算", " · not accepted: not to be settled")),
    ]


def _bounds(snapshot: Snapshot, asked: Asked) -> Html:
    say = asked.say
    slot = local(snapshot, snapshot.plan.slot_floor(snapshot.now_s), "%Y-%m-%dT%H:%M")
    from_s, to_s = snapshot.plan.billing_period_of(snapshot.plan.billing_period_of(snapshot.now_s)[0] - 1)

    def moment(name: str, default: str) -> Html:
        return el("input", type="datetime-local", name=name, value=asked.get(name) or default, required=True)

    at = el(
        "form", el("label", say("时刻 ", "at "), moment("at", slot)), el("button", say("出单", "Show")), action="/sheet"
    )
    between = el(
        "form",
        el("label", say("起 ", "from "), moment("from", local(snapshot, from_s, "%Y-%m-%dT%H:%M"))),
        el("label", say("止 ", "to "), moment("to", local(snapshot, to_s, "%Y-%m-%dT%H:%M"))),
        el("button", say("出单", "Show")),
        action="/sheet",
    )
    return el("div", at, between, class_="bounds")


def _spans(snapshot: Snapshot, asked: Asked, span: Span) -> Html:
    say = asked.say
    names = (
        ("today", say("今天", "today")),
        ("yesterday", say("昨天", "yesterday")),
        ("period", say("本结算期", "this billing period")),
    )
    links = [
        el("a", text, href=asked.url(span=name), aria_current="true" if name == span.name else None)
        for name, text in names
    ]
    bounds = f"{local(snapshot, span.from_s, '%Y-%m-%d %H:%M')} – {local(snapshot, span.to_s, '%Y-%m-%d %H:%M')}"
    return el("p", links, el("span", bounds), class_="spans")


def _holder(whose: Whose, snapshot: Snapshot, say: Say) -> Child:
    tenant, point = whose
    if tenant is not None:
        return snapshot.names.get(tenant, tenant)
    known = snapshot.plan.points.get(point or "")
    role = say(*ROLES[known.role]) if known is not None else ""
    return el("span", f"{point} {role}", class_="point")


def _figures(sums: Mapping[str, Decimal], periods: list[str]) -> list[Child]:
    whole = sum(sums.values(), Decimal(0))
    return [*(number(sums[name], 2) if name in sums else "–" for name in periods), number(whole, 2)]


def _added(parts: Iterable[Energies]) -> Energies:
    found: Energies = {}
    for sums in parts:
        for period, kwh in sums.items():
            found[period] = found.get(period, Decimal(0)) + kwh
    return found


def _nothing(say: Say) -> Html:
    return el("p", say("还没有数据", "nothing yet"), class_="none")
