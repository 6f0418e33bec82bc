"""The empty spreadsheets that `hubiao audit template` writes, and the JSON Schemas of bill and charges."""

from __future__ import annotations

import io
import pathlib
from collections.abc import Mapping

from audit.paper_columns import BILL_COLUMNS, CHARGE_COLUMNS, PRICE_COLUMNS, REFUND_COLUMNS

BILL_NAME = "电网电费账单.xlsx"
CHARGES_NAME = "租户收费.xlsx"
PRICES_NAME = "公布电价表.xlsx"
REFUNDS_NAME = "退费记录.xlsx"
SCHEMAS = pathlib.Path(__file__).parent / "schemas"
SCHEMA_NAMES = ("bill.schema.json", "charges.schema.json")


def write_templates(directory: pathlib.Path) -> list[pathlib.Path]:
    """Writes all spreadsheets and both schemas; raises FileExistsError rather than replace a filled one, OSError."""
    files = {
        directory / BILL_NAME: _workbook(BILL_COLUMNS),
        directory / CHARGES_NAME: _workbook(CHARGE_COLUMNS),
        directory / PRICES_NAME: _workbook(PRICE_COLUMNS),
        directory / REFUNDS_NAME: _workbook(REFUND_COLUMNS),
        **{directory / name: (SCHEMAS / name).read_bytes() for name in SCHEMA_NAMES},
    }
    for path in files:
        if path.exists():
            raise FileExistsError(17, "File exists", str(path))
    directory.mkdir(parents=True, exist_ok=True)
    for path, content in files.items():
        path.write_bytes(content)
    return list(files)


def _workbook(columns: Mapping[str, tuple[str, str]]) -> bytes:
    import openpyxl  # from hubiao[xlsx]

    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "填写"
    sheet.append([header for header, _ in columns.values()])
    sheet.freeze_panes = "A2"
    for column in sheet.columns:
        sheet.column_dimensions[column[0].column_letter].width = 14
    for at, field in enumerate(columns, 1):
        if field in ("account", "meter", "room", "tenant"):  # long numbers must stay text
            for row in range(2, 202):
                sheet.cell(row, at).number_format = "@"
    notes = book.create_sheet("说明")
    for header, note in columns.values():
        notes.append([header, note])
    notes.column_dimensions["B"].width = 80
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()
