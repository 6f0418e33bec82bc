"""The papers a park fills in: empty spreadsheets for the grid bill and the tenants' charges; reading their rows.

Columns have Chinese headers, one row a line of the paper; .xlsx, or .csv in UTF-8 or GB18030; a bill may also be JSON,
a settlement case's `bill_items`. Rows come back as text by column name with their place in the file; what they mean is
`bill_check`'s matter and the report's.
"""

from __future__ import annotations

import csv
import io
import json
import pathlib
import zipfile
from collections.abc import Iterator
from typing import Any, NamedTuple

BILL_NAME = "电网电费账单.xlsx"
CHARGES_NAME = "租户收费.xlsx"

# field → (header, what to write there)
BILL_COLUMNS = {
    "account": ("户号", "供电公司的用户编号"),
    "from": ("账期起", "本地日期，含，如 2026-07-01"),
    "to": ("账期止", "本地日期，不含，如 2026-08-01"),
    "category": ("类别", "购电、上网环节线损、输配电、系统运行、基金附加、容量、需量、力调、退补、违约金……"),
    "name": ("项目", "账单上的名称；合计行写“合计”，小计行写“小计”"),
    "period": ("时段", "尖峰、高峰、平段、低谷、深谷；不分时段则留空"),
    "quantity": ("数量", "kWh、kVA 或 kW"),
    "unit": ("单位", "数量的单位"),
    "rate": ("单价", "元"),
    "yuan": ("金额", "元，含税；退补可为负"),
    "passable": ("可转嫁", "是或否；违约金为否"),
}
CHARGE_COLUMNS = {
    "tenant": ("租户", "租户编号"),
    "from": ("起", "本地日期，含"),
    "to": ("止", "本地日期，不含"),
    "start": ("上期示数", "kWh，未乘倍率"),
    "end": ("本期示数", "kWh，未乘倍率"),
    "multiplier": ("倍率", "CT×PT"),
    "added_loss": ("加计线损", "kWh"),
    "kwh": ("电量", "kWh"),
    "price": ("单价", "元/kWh"),
    "yuan": ("电费", "元"),
    "fee": ("其他收费名称", "如服务费、损耗费、税点；没有则留空"),
    "fee_yuan": ("其他收费金额", "元"),
    "in_bill": ("在电费单内", "是或否"),
    "tax": ("含税", "是或否"),
    "tax_rate": ("税率", "如 13%"),
}

_JSON_KEYS = {"qty_kwh": "quantity", "qty": "quantity"}
_ALIASES = {"电费账期起": "from", "电费账期止": "to", "项目名称": "name", "费用名称": "name", "电价": "rate"}


class PaperError(ValueError):
    """A file that is no such paper; the text says why, without the file's name."""


class Row(NamedTuple):
    """One filled row: its number in the file as a spreadsheet shows it, and text by field."""

    number: int
    cells: dict[str, str]


def write_templates(directory: pathlib.Path) -> list[pathlib.Path]:
    """Writes both empty spreadsheets; raises FileExistsError rather than replace a filled one, OSError."""
    directory.mkdir(parents=True, exist_ok=True)
    papers = {directory / BILL_NAME: BILL_COLUMNS, directory / CHARGES_NAME: CHARGE_COLUMNS}
    for path in papers:
        if path.exists():
            raise FileExistsError(17, "File exists", str(path))
    for path, columns in papers.items():
        path.write_bytes(_workbook(columns))
    return list(papers)


def read_bill(path: pathlib.Path) -> list[Row]:
    """The rows of a grid bill, from any of the three forms. Raises PaperError, OSError."""
    return _json(path) if path.suffix.lower() == ".json" else read_rows(path, BILL_COLUMNS)


def read_rows(path: pathlib.Path, columns: dict[str, tuple[str, str]]) -> list[Row]:
    """The rows below the header row, empty ones left out. Raises PaperError, OSError."""
    table = _xlsx(path) if path.suffix.lower() == ".xlsx" else _csv(path)
    names = {header: field for field, (header, _) in columns.items()}
    names |= {alias: field for alias, field in _ALIASES.items() if field in columns}
    for first, cells in table:
        fields = [names.get(cell) for cell in cells]
        if len({field for field in fields if field}) >= 2:
            return list(_filled(table, fields, first))
    raise PaperError(f"no header row; expected columns like {' '.join(header for header, _ in columns.values())}")


def _filled(table: Iterator[tuple[int, list[str]]], fields: list[str | None], header: int) -> Iterator[Row]:
    known = [field for field in fields if field]
    twice = sorted({field for field in known if known.count(field) > 1})
    if twice:
        raise PaperError(f"{header}: there twice: {', '.join(twice)}")
    for number, cells in table:
        filled = {field: cell for field, cell in zip(fields, cells, strict=False) if field and cell}
        if filled:
            yield Row(number, filled)


def _json(path: pathlib.Path) -> list[Row]:
    """`bill_items` of a case, rows numbered from 1; `total_yuan` beside them is the total."""
    try:
        data = json.loads(path.read_bytes().decode("utf-8-sig"), parse_float=str, parse_int=str)
    except (ValueError, RecursionError) as error:
        raise PaperError(f"not JSON in UTF-8: {error}") from error
    if isinstance(data, dict) and isinstance(data.get("inputs"), dict):
        data = data["inputs"]
    items = data.get("bill_items") if isinstance(data, dict) else None
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise PaperError("no bill_items")
    items = [*items]
    if data.get("total_yuan") is not None:
        items.append({"name": "合计", "yuan": data["total_yuan"]})
    return [
        Row(number, {_JSON_KEYS.get(key, key): str(value) for key, value in item.items() if value is not None})
        for number, item in enumerate(items, 1)
    ]


def _workbook(columns: dict[str, tuple[str, str]]) -> bytes:
    import openpyxl  # an optional dependency of the upstream side

    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "填写"
    sheet.append([header for header, _ in columns.values()])
    sheet.freeze_panes = "A2"
    for column in sheet.columns:
        sheet.column_dimensions[column[0].column_letter].width = 14
    notes = book.create_sheet("说明")
    for header, note in columns.values():
        notes.append([header, note])
    notes.column_dimensions["B"].width = 80
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def _xlsx(path: pathlib.Path) -> Iterator[tuple[int, list[str]]]:
    """Rows of the first sheet, numbered from 1."""
    import openpyxl

    try:
        book = openpyxl.load_workbook(io.BytesIO(path.read_bytes()), data_only=True)
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise PaperError(f"not an .xlsx workbook: {error}") from error
    for number, cells in enumerate(book.worksheets[0].iter_rows(values_only=True), 1):
        yield number, [_cell(cell) for cell in cells]


def _cell(value: Any) -> str:
    """A cell as it is shown. Workbooks hold binary floats: 15 significant digits are what was typed."""
    if value is None:
        return ""
    if isinstance(value, float):
        text = f"{value:.15g}"
        return text if "e" not in text else f"{value:.15f}".rstrip("0").rstrip(".")
    if hasattr(value, "isoformat"):
        return str(value.isoformat()).removesuffix("T00:00:00")
    return str(value).strip()


def _csv(path: pathlib.Path) -> Iterator[tuple[int, list[str]]]:
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        try:
            text = raw.decode("gb18030")
        except UnicodeDecodeError as error:
            raise PaperError("neither .xlsx nor text in UTF-8 or GB18030") from error
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        for cells in reader:
            yield reader.line_num, [cell.strip() for cell in cells]
    except csv.Error as error:
        raise PaperError(f"{reader.line_num}: not CSV: {error}") from error
