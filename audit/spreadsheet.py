"""Tables out of spreadsheets as people save them: .xlsx, or CSV in UTF-8 (with or without BOM), GB18030 or UTF-16.

Every line comes back as text with the number under which a spreadsheet shows it. What a merged range holds is repeated
in all its cells and marked as repeated, so that a name may be filled down and an amount is not counted twice. What the
cells mean is `papers`' matter.
"""

from __future__ import annotations

import csv
import io
import pathlib
import zipfile
from typing import Any, NamedTuple

ERRORS = ("#REF!", "#VALUE!", "#DIV/0!", "#NAME?", "#N/A", "#NUM!", "#NULL!")
_OLD_XLS = bytes.fromhex("d0cf11e0a1b11ae1")
NEVER_COMPUTED = "#FORMULA!"  # ours: a formula whose value was never saved; no spreadsheet writes it


class PaperError(ValueError):
    """A file that is no such paper; the text says why, a fault a line, without the file's name."""


class Line(NamedTuple):
    """One line: its number from 1, its cells as text, and the columns where a merged range only repeats."""

    number: int
    cells: list[str]
    repeated: frozenset[int] = frozenset()


class Sheet(NamedTuple):
    """A sheet that holds anything; a CSV file is one without a name."""

    name: str
    lines: list[Line]


def read_sheets(path: pathlib.Path) -> list[Sheet]:
    """All sheets, hidden ones and hidden rows too. Raises PaperError, OSError."""
    raw = path.read_bytes()
    if raw.startswith(_OLD_XLS):
        raise PaperError("an old .xls workbook: open it and save it as .xlsx")
    if raw[:2] == b"PK" or path.suffix.lower() == ".xlsx":
        return _xlsx(raw)
    return [Sheet("", _csv(raw))]


def _csv(raw: bytes) -> list[Line]:
    text = _text(raw)
    first = next((line for line in text.splitlines() if line.strip(",;\t ")), "")
    delimiter = max(",\t;", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    lines = []
    before = 0
    try:
        for cells in reader:  # a cell with line breaks makes one line of several: the first of them is its number
            lines.append(Line(before + 1, [cell.strip() for cell in cells]))
            before = reader.line_num
    except csv.Error as error:
        raise PaperError(f"{reader.line_num}: not CSV: {error}") from error
    return lines


def _text(raw: bytes) -> str:
    codecs = ("utf-16",) if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else ("utf-8-sig", "gb18030")
    for codec in codecs:
        try:
            text = raw.decode(codec)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text
    raise PaperError("neither .xlsx nor text in UTF-8, GB18030 or UTF-16")


def _xlsx(raw: bytes) -> list[Sheet]:
    """A value that a formula gives is the one saved with it; a workbook written by a program may lack it."""
    import openpyxl  # from hubiao[xlsx]: CSV is read without
    from openpyxl.utils.exceptions import InvalidFileException

    try:
        values = openpyxl.load_workbook(io.BytesIO(raw), data_only=True)
        formulas = openpyxl.load_workbook(io.BytesIO(raw))
    except (zipfile.BadZipFile, InvalidFileException, KeyError, ValueError, TypeError) as error:
        if b"opendocument.spreadsheet" in raw[:100]:
            raise PaperError("an OpenDocument sheet: open it and save it as .xlsx") from error
        raise PaperError(f"not an .xlsx workbook: {error}") from error
    sheets = (Sheet(sheet.title, _lines(sheet, formulas[sheet.title])) for sheet in values.worksheets)
    return [sheet for sheet in sheets if any(any(line.cells) for line in sheet.lines)]


def _lines(sheet: Any, formulas: Any) -> list[Line]:
    rows = [[_cell(cell) for cell in row] for row in sheet.iter_rows(values_only=True)]
    for row in formulas.iter_rows():
        for cell in row:
            if cell.data_type == "f" and not rows[cell.row - 1][cell.column - 1]:
                rows[cell.row - 1][cell.column - 1] = NEVER_COMPUTED
    repeated: dict[int, set[int]] = {}
    for area in sheet.merged_cells.ranges:
        value = rows[area.min_row - 1][area.min_col - 1]
        for at in range(area.min_row - 1, area.max_row):
            for column in range(area.min_col - 1, area.max_col):
                if (at, column) != (area.min_row - 1, area.min_col - 1):
                    rows[at][column] = value
                    repeated.setdefault(at, set()).add(column)
    return [Line(at + 1, cells, frozenset(repeated.get(at, ()))) for at, cells in enumerate(rows)]


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
