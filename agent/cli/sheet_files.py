"""The reading sheet as .csv and .xlsx, and somebody else's sheet read back to be compared with ours.

Files have Chinese headers in every language, so that they can be compared with one another. CSV begins with a byte
order mark, without which a spreadsheet program takes UTF-8 for GBK.
"""

from __future__ import annotations

import csv
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from agent.cli import Failure
from agent.cli.words import t
from config.faults import Wrong
from config.tables import TableError, cell_text, table_rows
from contract.records import plain
from contract.sheet_compare import Given

REGISTERS = {"total": "总", "t1": "尖", "t2": "峰", "t3": "平", "t4": "谷", "t5": "深谷"}
PERIOD_ENERGIES = {
    "kwh_sharp": "电量尖",
    "kwh_peak": "电量峰",
    "kwh_flat": "电量平",
    "kwh_valley": "电量谷",
    "kwh_deep_valley": "电量深谷",
    "kwh_other": "电量其他",
}
AT_HEADERS = {
    "room": "房号",
    "tenant": "租户",
    "meter": "表号",
    "point": "计量点",
    "to": "抄表时间",
    **{name: f"示数{word}" for name, word in REGISTERS.items()},
    "multiplier": "倍率",
    "kwh": "电量",
    "quality": "quality",
}
SPAN_HEADERS = {
    "room": "房号",
    "tenant": "租户",
    "meter": "表号",
    "point": "计量点",
    "from": "起",
    "to": "止",
    **{f"start_{name}": f"起示数{word}" for name, word in REGISTERS.items()},
    **{name: f"止示数{word}" for name, word in REGISTERS.items()},
    "multiplier": "倍率",
    "kwh": "电量",
    **PERIOD_ENERGIES,
    "quality": "quality",
}
DIFFERENCE, NOTE = "差异", "备注"

# what else columns are called in sheets that people keep
ALIASES = {
    "meter": ("表号", "电表编号", "表计编号", "编号", "电表号", "meter", "meterno", "meternumber", "id"),
    "room": ("房号", "房间", "房间号", "room"),
    "multiplier": ("倍率", "综合倍率", "multiplier"),
    "total": ("示数", "总示数", "总", "本次示数", "本期示数", "本月示数", "止码", "止度", "reading", "end", "import"),
    "start_total": ("起示数", "上次示数", "上期示数", "上月示数", "起码", "起度", "start"),
    "kwh": ("电量", "用电量", "总电量", "电量总", "电量kwh", "用电量kwh", "energy", "consumption", "usage"),
    **{name: (word, f"{word}示数") for name, word in list(REGISTERS.items())[1:]},
}
HEADER_WITHIN = 20  # rows: titles and dates stand above it
NOTHING = ("", "-", "—", "/", "无", "n/a")


def write_csv(path: Path, headers: dict[str, str], rows: Sequence[dict[str, Any]]) -> None:
    """Raises OSError."""
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(headers.values())
        writer.writerows([_csv_cell(row.get(key)) for key in headers] for row in rows)


def write_xlsx(path: Path, headers: dict[str, str], rows: Sequence[dict[str, Any]]) -> None:
    """Raises OSError. Numbers are numbers, shown with the digits they have; rows that differ are coloured."""
    try:
        from openpyxl import Workbook
        from openpyxl.styles import Font, PatternFill
    except ImportError as error:
        raise Failure(
            t("写 .xlsx 要装 openpyxl;或用 --csv", "writing .xlsx needs openpyxl; or use --csv"), 1
        ) from error
    book = Workbook()
    page = book.active
    page.title = "抄表单"
    page.freeze_panes = "A2"
    for column, header in enumerate(headers.values(), 1):
        page.cell(1, column, header).font = Font(bold=True)
        page.column_dimensions[page.cell(1, column).column_letter].width = 18 if "时间" in header else 12
    for number, row in enumerate(rows, 2):
        for column, key in enumerate(headers, 1):
            cell, value = page.cell(number, column), row.get(key)
            if isinstance(value, Decimal):
                decimals = max(0, -int(value.as_tuple().exponent))
                cell.value, cell.number_format = value, "0" + ("." + "0" * decimals if decimals else "")
            elif value is not None:
                cell.value, cell.data_type = str(value), "s"  # a name that begins with = is no formula
            if row.get("difference"):
                cell.fill = PatternFill("solid", fgColor="FFF2CC")
    book.save(path)


def read_sheet(path: Path) -> list[Given]:
    """Rows of a .csv or .xlsx with a column 表号 or 房号. Exit 78 for what cannot be read, all faults at once."""
    faults: list[str] = []
    try:
        found = list(_given(path, faults))
    except TableError as error:
        place = f":{error.row}:{error.column}" if error.row else ""
        raise Failure(f"{path}{place}: " + t(error.zh, error.en), 78) from error
    if faults:
        raise Failure("\n".join(faults), 78)
    return found


def _given(path: Path, faults: list[str]) -> Iterator[Given]:
    keys: dict[int, str] = {}
    for count, (number, cells) in enumerate(table_rows(path)):
        if not keys:
            named = _header(cells)
            if {"meter", "room"} & set(named.values()):
                keys = named
            elif count >= HEADER_WITHIN:
                break
            continue
        texts: dict[str, str] = {}
        figures: dict[str, Decimal] = {}
        for column, cell in cells:
            key = keys.get(column)
            if key is None:
                continue
            try:
                text = _text(key, cell)
                if text is not None and key not in ("meter", "room"):
                    figures[key] = _number(text)
                elif text is not None:
                    texts[key] = text
            except Wrong as wrong:
                faults.append(f"{path}:{number}:{column}: {key}: {t(wrong.zh, wrong.en)}")
        if texts:  # sums and signatures below the table have neither
            yield Given(number, texts.get("meter"), texts.get("room"), figures)
    if not keys:
        raise TableError(0, 0, "没有表头 表号 或 房号", "no header 表号 (meter) or 房号 (room)")


def _header(cells: Collection[tuple[int, Any]]) -> dict[int, str]:
    """Column → key. Of two columns with one meaning the first counts."""
    keys: dict[int, str] = {}
    for column, cell in cells:
        key = _HEADERS.get(_folded(str(cell)))
        if key is not None and key not in keys.values():
            keys[column] = key
    return keys


def _folded(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text).lower()
    return "".join(c for c in folded if c.isalnum())


_FIGURES = ("multiplier", "kwh", *PERIOD_ENERGIES, *REGISTERS, *(f"start_{name}" for name in REGISTERS))
_HEADERS = {
    _folded(name): key
    for key in ("meter", "room", *_FIGURES)
    for name in (key, *(h[key] for h in (AT_HEADERS, SPAN_HEADERS) if key in h), *ALIASES.get(key, ()))
}


def _text(key: str, cell: Any) -> str | None:
    text = cell_text("room" if key == "room" else "address", cell)
    return None if text is None or text.lower() in NOTHING else text


def _number(text: str) -> Decimal:
    try:
        number = Decimal(text.replace(",", "").replace(" ", ""))
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite():
        raise Wrong(f"{text!r} 不是数字", f"{text!r} is no number")
    return number


def _csv_cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, Decimal):
        return plain(value)
    text = str(value)
    return "'" + text if text[:1] in ("=", "+", "-", "@") else text  # a name that is no formula
