"""`hubiao statement`: what everybody used between any two slots, recomputed from the quarter hours of the store.

For the grid bill's own bounds, a calendar month, a move; the agent writes those of `closings` itself. Never prorated.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import click

from agent.cli import Failure
from agent.cli.output import document, notice, table
from agent.cli.places import LOCAL_INSTANT, local_text, opened_store, store_options, utc_seconds
from agent.cli.words import t
from agent.ledger.history import History
from contract.energy import SlotValue
from contract.plan import Subject
from contract.records import PERIODS, Interval, Quality, Reading, Statement, parse_slot, plain, record_fields
from contract.totals import coverage, total

FOUND = 3
PERIOD_WORDS = {"sharp": "尖", "peak": "峰", "flat": "平", "valley": "谷", "deep_valley": "深谷"}


@click.command()
@store_options
@click.option("--from", "from_", type=LOCAL_INSTANT, required=True, help="2026-07-01")
@click.option("--to", type=LOCAL_INSTANT, required=True, help="'2026-07-31 24:00'")
@click.option("--tenant", default=None)
@click.option(
    "--not-accepted",
    "all_",
    is_flag=True,
    help=t("也出未验收电表(单一来源型号)的", "also of meters known from one source that nobody accepted"),
)
@click.option("--json", "as_json", is_flag=True)
def statement(
    config: Path | None,
    data: Path | None,
    from_: datetime,
    to: datetime,
    tenant: str | None,
    all_: bool,
    as_json: bool,
) -> None:
    """任意时段用电结算单 / statements for any bounds.

    Who has a meter whose model rests on one source and that was not accepted on site gets none: exit 3.
    """
    with opened_store(config, data) as store:
        history = History(store.reader)
        offset_s = history.plan.utc_offset_s
        from_s, to_s = utc_seconds(from_, offset_s), utc_seconds(to, offset_s)
        if from_s >= to_s:
            raise click.UsageError(t("--from 要早于 --to", "--from must be before --to"))
        try:
            found = statements(history, from_s, to_s, tenant)
        except ValueError as error:
            raise Failure(str(error), 2) from error
        lacking = history.not_accepted()
    if tenant is not None and not found:
        raise Failure(t(f"此间没有租户 {tenant}", f"no tenant {tenant} in that time"), 1)
    withheld = _withheld(found, lacking)
    if not all_:
        found = [one for one in found if one not in withheld]
    if as_json:
        document([record_fields(one) for one in found])
    else:
        _show(found, (store.private or {}).get("tenants", []), offset_s)
        if tenant is None:
            _cover(found)
    for one in withheld:
        meters = ", ".join(sorted({segment.meter for segment in one.segments} & lacking))
        zh = f"{one.tenant or one.point}: 电表 {meters} 的型号只有单一来源,未经验收(hubiao commission),不作结算"
        en = f"{one.tenant or one.point}: not settled, meter {meters} is known from one source and was not accepted"
        notice(t(zh, f"{en} (hubiao commission)"))
    if withheld and not all_:
        raise click.exceptions.Exit(FOUND)


def _show(found: list[Statement], tenants: list[dict[str, Any]], offset_s: int) -> None:
    names = {entry["id"]: entry["name"] for entry in tenants}
    periods = [name for name in PERIODS if any(name in one.periods for one in found)]
    head = [t("租户/计量点", "tenant/point"), *(t(PERIOD_WORDS[name], name) for name in periods)]
    head += [
        t("其他", "other"),
        t("合计", "total"),
        t("不确定", "uncertain"),
        t("最大需量", "max kW"),
        t("独立分表", "own meter"),
        t("完整", "complete"),
    ]
    table(head, [_cells(one, names, periods) for one in found])
    for one in found:
        for first, last in one.missing:
            span = f"{_local(first, offset_s)} … {_local(last, offset_s)}"
            notice(f"{one.tenant or one.point}: " + t(f"缺 {span}", f"missing {span}"))


def _cover(found: list[Statement]) -> None:
    """One meter per customer, of the whole park."""
    covered = coverage(found)
    if covered.tenants:
        part = f"{covered.own}/{covered.tenants}, {plain(covered.own_kwh)}/{plain(covered.kwh)} kWh"
        notice(t(f"一户一表(独立分表): {part}", f"one meter per customer: {part}"))


def statements(history: History, from_s: int, to_s: int, tenant: str | None = None) -> list[Statement]:
    """Everybody's, or one tenant's, in order of configuration. Raises ValueError off the slots."""
    plan = history.plan
    subjects = [s for s in plan.subjects(from_s, to_s) if tenant is None or s.tenant == tenant]
    intervals: dict[tuple[str | None, str | None], dict[int, Interval]] = {}
    sure: dict[tuple[str, int], SlotValue] = {}
    for _, head, body in history.records(from_s - 2 * plan.interval_s, ("interval", "reading")):
        if isinstance(body, Interval):
            start_s = parse_slot(body.start)
            if from_s - plan.interval_s <= start_s <= to_s:
                intervals.setdefault((body.tenant, body.point), {})[start_s] = body
        elif isinstance(body, Reading) and body.slot is not None:
            sure[body.meter, parse_slot(body.slot)] = _only(body.quality, head.seq)
    return [
        total(
            plan,
            subject,
            from_s,
            to_s,
            intervals.get(_whose(subject), {}),
            kind=Statement,
            value=lambda meter, slot_s: sure.get((meter, slot_s)),
        )
        for subject in subjects
    ]


def _withheld(found: list[Statement], lacking: set[str]) -> list[Statement]:
    """Those that count a meter which was not accepted."""
    return [one for one in found if any(segment.meter in lacking for segment in one.segments)]


def _only(quality: Quality, seq: int) -> SlotValue:
    return SlotValue({}, quality, seq)


def _whose(subject: Subject) -> tuple[str | None, str | None]:
    return subject.tenant, subject.point


def _cells(one: Statement, names: dict[str, Any], periods: Iterable[str]) -> list[str | None]:
    who = one.tenant or one.point
    name = names.get(one.tenant) if one.tenant else None
    known = [one.periods.get(period) for period in periods]
    other = one.total - sum((kwh for kwh in known if kwh is not None), Decimal(0))
    figures = [*known, other or None, one.total, one.uncertain_kwh, one.max_demand_kw]
    yes = {True: t("是", "yes"), False: t("否", "no")}
    texts = [None if figure is None else plain(figure) for figure in figures]
    return [f"{who} {name}" if name else who, *texts, yes[one.own_meter], yes[one.complete]]


def _local(slot: str, offset_s: int) -> str:
    return local_text(parse_slot(slot), offset_s)
