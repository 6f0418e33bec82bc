"""The report's figures as a table (xlsx or CSV), and the zip that holds report, papers, records, proofs and keys."""

from __future__ import annotations

import csv
import io
import json
import pathlib
import re
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

from audit.store import Store
from contract.note import join_notes
from contract.tree import leaf_hash

COLUMNS = (
    ("tenant", "租户"),
    ("from", "起"),
    ("to", "止"),
    ("energy_kwh", "电量 kWh"),
    ("charged_kwh", "计费电量 kWh"),
    ("kwh_difference", "电量差 kWh"),
    ("allowed_yuan", "应收 元"),
    ("charged_yuan", "实收 元"),
    ("over_yuan", "多收 元"),
    ("excess_energy_yuan", "其中电量 元"),
    ("excess_price_yuan", "其中单价 元"),
    ("excess_fee_yuan", "其中其他收费 元"),
    ("average_price_charged", "实收均价"),
    ("average_price_allowed", "应收均价"),
    ("max_demand_kw", "最大需量 kW"),
    ("unproven_yuan", "证据不能证明 元"),
    ("direct_tou_yuan", "直供分时 元"),
    ("direct_flat_yuan", "直供不分时 元"),
    ("shift_saves_yuan", "移峰一成可省 元"),
    ("colour", "颜色"),
    ("reasons", "原因"),
)
_BILL = (
    *(("row", "行"), ("name", "项目"), ("period", "时段"), ("quantity", "数量"), ("unit", "单位"), ("rate", "单价")),
    *(("yuan", "金额 元"), ("passable", "可转嫁"), ("for_month", "所属月份")),
)
_LOSSES = (
    *(("period", "时段"), ("import", "总表 kWh"), ("pv", "光伏 kWh"), ("export", "上网 kWh"), ("storage", "储能 kWh")),
    *(("points", "各表合计 kWh"), ("loss", "损耗 kWh"), ("loss_rate", "损耗率")),
)
_SERIES = (
    *(("tenant", "租户"), ("from", "周期起"), ("energy_kwh", "电量 kWh"), ("allowed_yuan", "应收 元")),
    *(("charged_yuan", "实收 元"), ("over_yuan", "多收 元"), ("ordered_yuan", "应退 元"), ("refunded_yuan", "已退 元")),
    *(("open_yuan", "未退 元"), ("colour", "颜色"), ("reasons", "原因")),
)
_READY = (
    *(("tenant", "租户"), ("class", "条件"), ("reasons", "原因"), ("declared_kw", "报装容量 kW")),
    *(("own_circuit", "独立回路"), ("own_meter", "独立分表"), ("max_demand_kw", "最大需量 kW"), ("months", "月数")),
    *(("points", "计量点数"), ("verified_until", "检定有效期")),
)
_OPEN = (("code", "事项"), ("detail", "说明"))
_FORMULA = ("=", "+", "-", "@", "\t")
_NUMBER = re.compile(r"-?\d+(\.\d+)?")


def write_tables(made: Mapping[str, Any], path: pathlib.Path) -> None:
    """One row a tenant in CSV (UTF-8 with BOM); .xlsx has a sheet for each part of the report. Raises OSError."""
    rows = [[header for _, header in COLUMNS], *(_row(row, COLUMNS) for row in made["tenants"])]
    if path.suffix.lower() != ".xlsx":
        text = io.StringIO(newline="")
        csv.writer(text).writerows(rows)
        path.write_bytes(text.getvalue().encode("utf-8-sig"))
        return
    import openpyxl  # from hubiao[xlsx]: CSV is written without

    book = openpyxl.Workbook()
    book.remove(book.active)
    _add(book, "租户", rows)
    lines = (made["bill"] or {}).get("lines", ())
    _add(book, "账单", [[header for _, header in _BILL], *(_row(line, _BILL) for line in lines)])
    losses = (made["losses"] or {}).get("periods", {})
    periods = [_row({"period": period, **entry}, _LOSSES) for period, entry in losses.items()]
    _add(book, "损耗", [[header for _, header in _LOSSES], *periods])
    series = made["series"]
    if series is not None:
        months = [_row({"tenant": t["tenant"], **one}, _SERIES) for t in series["tenants"] for one in t["periods"]]
        _add(book, "各月与退费", [[header for _, header in _SERIES], *months])
    _add(book, "转改直", [[header for _, header in _READY], *(_row(entry, _READY) for entry in made["conversion"])])
    _add(book, "未核对", [["事项", "说明"], *(_row(entry, _OPEN) for entry in made["unchecked"])])
    out = io.BytesIO()
    book.save(out)
    path.write_bytes(out.getvalue())


def _add(book: Any, title: str, rows: Sequence[Sequence[str]]) -> None:
    sheet = book.create_sheet(title)
    for row in rows:
        sheet.append(row)
    sheet.freeze_panes = "B2"
    for column in sheet.columns:
        sheet.column_dimensions[column[0].column_letter].width = 14


def _row(row: Mapping[str, Any], columns: Sequence[tuple[str, str]]) -> list[str]:
    return [_cell(row[key]) for key, _ in columns]


def bundle(
    made: Mapping[str, Any],
    page: str,
    path: pathlib.Path,
    papers: Sequence[pathlib.Path],
    store: Store | None,
    park: str,
    tenants: Mapping[str, str],
) -> None:
    """Everything that a third party needs to do it again. tenants: their files by name. Raises OSError."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("report.html", page)
        archive.writestr("report.json", json.dumps(made, ensure_ascii=False, indent=1))
        for n, paper in enumerate(papers, 1):
            archive.writestr(f"papers/{n}-{paper.name}", paper.read_bytes())
        for name, text in tenants.items():
            archive.writestr(f"tenants/{name}", text)
        if store is None:
            return
        archive.writestr("evidence/keys.json", json.dumps(store.keys(), indent=1))
        for which in store.logs(park):
            folder = f"evidence/{which.gateway}.{which.epoch}"
            leaves = store.hashes(which)
            with archive.open(f"{folder}/records.ndjson", "w") as file:
                for row in store.log(which).rows():
                    file.write(row.body + b"\n")
                    if not row.fork:
                        leaves[row.seq] = leaf_hash(row.body)
            size = max(leaves, default=-1) + 1
            archive.writestr(
                f"{folder}/hashes.txt", "".join(leaves.get(n, bytes(32)).hex() + "\n" for n in range(size))
            )
            for name in ("checkpoints", "receipts"):
                archive.writestr(f"{folder}/{name}.txt", join_notes(store.notes(which, name)))


def _cell(value: Any) -> str:
    """As text, so that no digit is lost; a name that a spreadsheet would take for a formula gets an apostrophe."""
    if isinstance(value, bool):
        return "是" if value else "否"
    text = " ".join(value) if isinstance(value, list) else ("" if value is None else str(value))
    return f"'{text}" if text.startswith(_FORMULA) and not _NUMBER.fullmatch(text) else text
