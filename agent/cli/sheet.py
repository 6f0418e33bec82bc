"""`hubiao sheet`: the meter-reading sheet at an instant or between two, to look at, to hand out, to compare."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import click

from agent.cli import Failure
from agent.cli.output import document, notice, table
from agent.cli.places import LOCAL_INSTANT, local_text, opened_store, store_options, utc_seconds
from agent.cli.words import t
from agent.ledger.history import History, sheet_of
from contract.records import plain, slot_instant
from contract.sheet import FIGURES, Row, row_document
from contract.sheet_compare import Comparison, Difference, compare

FOUND = 3
QUALITY_WORDS = {
    "measured": "实测",
    "interpolated": "内插",
    "estimated": "估算",
    "substituted": "替代",
    "missing": "缺失",
}


@click.command()
@store_options
@click.option("--at", type=LOCAL_INSTANT, default=None, help="'2026-07-25 10:00'")
@click.option("--from", "from_", type=LOCAL_INSTANT, default=None, help="2026-07-01")
@click.option("--to", type=LOCAL_INSTANT, default=None, help="2026-08-01")
@click.option("--xlsx", type=click.Path(path_type=Path), default=None, metavar="F")
@click.option("--csv", "csv_", type=click.Path(path_type=Path), default=None, metavar="F")
@click.option("--compare", "other", type=click.Path(path_type=Path), default=None, metavar="F")
@click.option("--json", "as_json", is_flag=True)
def sheet(
    config: Path | None,
    data: Path | None,
    at: datetime | None,
    from_: datetime | None,
    to: datetime | None,
    xlsx: Path | None,
    csv_: Path | None,
    other: Path | None,
    as_json: bool,
) -> None:
    """抄表单 / the meter-reading sheet.

    尖 峰 平 谷 深谷 of a reading are the meter's own tariff registers 1 to 5, by the usual order T1=尖 T2=峰 T3=平
    T4=谷 T5=深谷; energies by period follow the park's schedule. --compare takes .csv or .xlsx with a column 表号 or
    房号; exit 3 if a row differs by more than one count.
    """
    if (at is None) == (from_ is None and to is None) or (from_ is None) != (to is None):
        raise click.UsageError(t("需要 --at,或 --from 和 --to", "--at, or --from and --to are needed"))
    if xlsx is not None and csv_ is not None:
        raise click.UsageError(t("--xlsx 和 --csv 二选一", "either --xlsx or --csv"))
    with opened_store(config, data) as store:
        history = History(store.reader)
        offset_s = history.plan.utc_offset_s
        bounds = [utc_seconds(moment, offset_s) for moment in (at, from_, to) if moment is not None]
        rows = _rows(history, bounds)
        _warn(history, rows, bounds)
    names = {tenant["id"]: tenant["name"] for tenant in (store.private or {}).get("tenants", [])}
    compared = _compared(rows, history, other)
    cells = [_cells(row, names, offset_s) for row in rows]
    if compared is not None:
        for cell, found in zip(cells, compared.differences, strict=True):
            cell["difference"] = _difference_text(found)
    _write(cells, at is not None, xlsx, csv_, compared is not None)
    if as_json:
        document(_document(rows, names, bounds, compared))
    elif xlsx is None and csv_ is None:
        _show(cells)
    if compared is not None and compared.differ:
        for theirs in compared.strangers:
            zh = f"{other}:{theirs.number}: 对不上电表 {theirs.meter or theirs.room}"
            notice(t(zh, f"{other}:{theirs.number}: fits no meter: {theirs.meter or theirs.room}"))
        raise click.exceptions.Exit(FOUND)


def _rows(history: History, bounds: list[int]) -> list[Row]:
    if len(bounds) == 2 and bounds[0] >= bounds[1]:
        raise click.UsageError(t("--from 要早于 --to", "--from must be before --to"))
    try:
        return sheet_of(history, bounds)
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _warn(history: History, rows: list[Row], bounds: list[int]) -> None:
    """Exit 1 for a date before the store begins; notices of what makes rows empty."""
    first = history.first_slot()
    offset_s = history.plan.utc_offset_s
    if first is None:
        raise Failure(t("存储里还没有示数", "the store holds no reading yet"), 1)
    begun = [bound for row in rows if (bound := row.start or row.end).at_s == bounds[0]]
    if bounds[0] < first and all(bound.quality == "missing" for bound in begun):
        begins = local_text(first, offset_s)
        raise Failure(
            t(f"最早的示数是 {begins},此前没有", f"the first reading is of {begins}; there is none before"), 1
        )
    missing = sum(row.quality == "missing" for row in rows)
    if missing:
        notice(t(f"{missing} 行缺示数或电量", f"{missing} rows lack a reading or the energy"))
    waiting = [row.meter for row in rows if not row.settles]
    if waiting:
        names = ", ".join(dict.fromkeys(waiting))
        zh = f"{names}: 型号只有单一来源,未经验收(hubiao commission),不作结算"
        notice(t(zh, f"{names}: model known from one source, not accepted (hubiao commission): not to be settled"))
    for row in rows:
        if row.why:
            zh = f"{row.meter}: 期间有事件 {row.why},示数之差不是用电量"
            notice(t(zh, f"{row.meter}: {row.why} in between: the difference of registers is no consumption"))


def _compared(rows: list[Row], history: History, other: Path | None) -> Comparison | None:
    if other is None:
        return None
    from agent.cli.sheet_files import read_sheet

    return compare(rows, read_sheet(other), history.config["meters"])


def _cells(row: Row, names: dict[str, str], offset_s: int) -> dict[str, Any]:
    """Everything a row can show, by the keys of the columns."""
    return {
        "room": row.room,
        "tenant": _holders_text(row, names),
        "meter": row.meter,
        "point": row.point,
        "from": None if row.start is None else local_text(row.start.at_s, offset_s),
        "to": local_text(row.end.at_s, offset_s),
        **row.figures(),
        "quality": row.quality,
        "note": None if row.settles else t("未验收,不作结算", "not accepted: not to be settled"),
    }


def _holders_text(row: Row, names: dict[str, str]) -> str | None:
    """Names of those who hold the point, with their shares where one does not hold it alone."""
    holders = [(names.get(tenant, tenant), share) for tenant, share in row.holders if tenant is not None]
    return ", ".join(name if share == 1 else f"{name} ({plain(share)})" for name, share in holders) or None


def _difference_text(found: list[Difference] | None) -> str | None:
    from agent.cli.sheet_files import SPAN_HEADERS

    if found is None:
        return t("对照表无此表", "not in the other sheet")
    parts = []
    for difference in found:
        ours = t("无", "none") if difference.ours is None else plain(difference.ours)
        parts.append(f"{SPAN_HEADERS[difference.name].removeprefix('止')} {ours} ≠ {plain(difference.theirs)}")
    return "; ".join(parts) or None


def _write(cells: list[dict[str, Any]], instant: bool, xlsx: Path | None, csv_: Path | None, compared: bool) -> None:
    path = xlsx or csv_
    if path is None:
        return
    from agent.cli.sheet_files import AT_HEADERS, DIFFERENCE, NOTE, SPAN_HEADERS, write_csv, write_xlsx

    headers = dict(AT_HEADERS if instant else SPAN_HEADERS)
    if any(row["note"] for row in cells):
        headers["note"] = NOTE
    if compared:
        headers["difference"] = DIFFERENCE
    try:
        (write_csv if xlsx is None else write_xlsx)(path, headers, cells)
    except OSError as error:
        raise Failure(f"{path}: {error.strerror}", 74) from error
    notice(t(f"已写入 {path}: {len(cells)} 行", f"{path}: {len(cells)} rows"))


def _document(rows: list[Row], names: dict[str, str], bounds: list[int], compared: Comparison | None) -> dict[str, Any]:
    instants = [slot_instant(bound) for bound in bounds]
    about = {"at": instants[0]} if len(bounds) == 1 else {"from": instants[0], "to": instants[1]}
    found: list[dict[str, Any]] = []
    for i, row in enumerate(rows):
        entry = row_document(row)
        for holder in entry["holders"]:
            holder["name"] = names.get(holder["tenant"])
        if compared is not None:
            entry["differences"] = _differences_document(compared.differences[i])
        found.append(entry)
    strangers = {} if compared is None else {"unmatched": [theirs.number for theirs in compared.strangers]}
    return {**about, "rows": found, **strangers}


def _differences_document(found: list[Difference] | None) -> list[dict[str, Any]] | None:
    if found is None:
        return None
    return [
        {"name": d.name, "ours": None if d.ours is None else plain(d.ours), "theirs": plain(d.theirs)} for d in found
    ]


def _show(cells: list[dict[str, Any]]) -> None:
    """Columns in which any row has something; registers and energies in the field's order.

    Points only where a meter has several: its import and its export.
    """
    texts = [("room", "房号", "room"), ("tenant", "租户", "tenant"), ("meter", "表号", "meter")]
    if len({(row["meter"], row["point"]) for row in cells}) > len({row["meter"] for row in cells}):
        texts.append(("point", "计量点", "point"))
    span = any(row["from"] is not None for row in cells)
    columns = [*texts, ("from", "起", "from"), ("to", "止", "to") if span else ("to", "时间", "at"), *FIGURES]
    shown = [column for column in columns if any(row.get(column[0]) is not None for row in cells)]
    head = [*(t(zh, en) for _, zh, en in shown), "quality"]
    beside = [("note", t("备注", "note")), ("difference", t("差异", "difference"))]
    beside = [(key, text) for key, text in beside if any(row.get(key) for row in cells)]
    body = []
    for row in cells:
        line = [_shown(row.get(key)) for key, _, _ in shown]
        line.append(t(QUALITY_WORDS[row["quality"]], row["quality"]))
        body.append([*line, *(row.get(key) for key, _ in beside)])
    table([*head, *(text for _, text in beside)], body)


def _shown(value: Any) -> str | None:
    return plain(value) if isinstance(value, Decimal) else value
