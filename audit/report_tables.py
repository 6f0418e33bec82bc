"""The report's figures as a table (xlsx or CSV), and the zip that holds report, papers, records, proofs and keys."""

from __future__ import annotations

import csv
import io
import json
import pathlib
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import openpyxl

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
    ("colour", "颜色"),
    ("reasons", "原因"),
)


def write_tables(made: Mapping[str, Any], path: pathlib.Path) -> None:
    """One row a tenant; .xlsx, else CSV in UTF-8 with BOM. Raises OSError."""
    rows = [[header for _, header in COLUMNS], *([_cell(row[key]) for key, _ in COLUMNS] for row in made["tenants"])]
    if path.suffix.lower() != ".xlsx":
        text = io.StringIO(newline="")
        csv.writer(text).writerows(rows)
        path.write_bytes(text.getvalue().encode("utf-8-sig"))
        return
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "租户"
    for row in rows:
        sheet.append(row)
    sheet.freeze_panes = "B2"
    for column in sheet.columns:
        sheet.column_dimensions[column[0].column_letter].width = 14
    bill = book.create_sheet("账单")
    bill.append(["行", "项目", "时段", "数量", "单位", "单价", "金额 元", "可转嫁"])
    for line in (made["bill"] or {}).get("lines", ()):
        keys = ("row", "name", "period", "quantity", "unit", "rate", "yuan")
        bill.append([*(line[key] for key in keys), "是" if line["passable"] else "否"])
    out = io.BytesIO()
    book.save(out)
    path.write_bytes(out.getvalue())


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
    return " ".join(value) if isinstance(value, list) else ("" if value is None else str(value))
