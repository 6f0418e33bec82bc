"""Tables out of spreadsheets as people save them: .xlsx, or CSV in UTF-8 (with or without BOM) or GB18030.

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

import openpyxl
from openpyxl.utils.exceptions import InvalidFileException

ERRORS = ("#REF!", "#VALUE!", "#DIV/0!", "#NAME?", "#N/A", "#NUM!", "#NULL!")
NEVER_COMPUTED = "#FORMULA!"  # ours: a formula whose value was never saved; no spreadsheet writes it


class PaperError(ValueError):
    """A file that is no such paper; the text says why, a fault a line, without the file's name."""


class Line(NamedTuple):
    """One line: its number from 1, its cells as text, and the columns where a merged range only repeats."""

    number: int
    cells: list[str]
    repeated: frozenset[int] = frozenset()


def read_lines(path: pathlib.Path) -> list[Line]:
    """All lines of a CSV file or of a workbook's first sheet that holds anything. Raises PaperError, OSError."""
    raw = path.read_bytes()
    return _xlsx(raw) if raw[:2] == b"PK" or path.suffix.lower() == ".xlsx" else _csv(raw)


def _csv(raw: bytes) -> list[Line]:
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        try:
            text = raw.decode("gb18030")
        except UnicodeDecodeError as error:
            raise PaperError("neither .xlsx nor text in UTF-8 or GB18030") from error
    if "\0" in text:
        raise PaperError("neither .xlsx nor text in UTF-8 or GB18030")
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


def _xlsx(raw: bytes) -> list[Line]:
    """A value that a formula gives is the one saved with it; a workbook written by a program may lack it."""
    try:
        values = openpyxl.load_workbook(io.BytesIO(raw), data_only=True)
        sheet = next((s for s in values.worksheets if any(map(any, s.iter_rows(values_only=True)))), None)
        if sheet is None:
            return []
        formulas = openpyxl.load_workbook(io.BytesIO(raw))[sheet.title]
    except (zipfile.BadZipFile, InvalidFileException, KeyError, ValueError, TypeError) as error:
        raise PaperError(f"not an .xlsx workbook: {error}") from error
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
