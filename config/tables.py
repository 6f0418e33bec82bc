"""The table of meters as a spreadsheet: .csv or .xlsx with our keys or their Chinese headers.

CSV: UTF-8 with or without BOM, UTF-16 with BOM, GB18030; separated by comma, semicolon or tab. Cells give text, as
YAML scalars do; what a spreadsheet does to numbers is undone where nothing was lost and refused where digits were. The
place of a fault is file:row:column, both counted from 1. What the values must be is `model.py`'s matter.
"""

from __future__ import annotations

import csv
import io
import unicodedata
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path as FilePath
from typing import Any
from xml.etree.ElementTree import ParseError

from config.faults import Findings, Place, Wrong, suggestion

HEADERS = {
    "id": ("编号", "表号", "电表编号", "表计编号"),
    "line": ("线路", "总线", "串口线路"),
    "protocol": ("协议", "规约", "通讯规约", "通信规约", "通讯协议"),
    "address": ("地址", "通讯地址", "通信地址", "表地址"),
    "unit": ("站号", "从站号", "单元号", "modbus地址"),
    "model": ("型号", "表型", "电表型号"),
    "baud": ("波特率",),
    "framing": ("校验", "帧格式", "校验位", "数据格式"),
    "tenant": ("租户", "户名", "用户", "租户编号"),
    "role": ("用途", "角色"),
    "multiplier": ("倍率", "综合倍率"),
    "ct": ("变比", "电流互感器", "电流变比", "ct变比"),
    "pt": ("电压变比", "电压互感器", "pt变比"),
    "serial": ("出厂编号", "资产编号", "序列号"),
    "digits": ("位数", "整数位数"),
    "max_a": ("最大电流", "最大电流a"),
    "phases": ("相数",),
    "class": ("等级", "准确度等级", "精度等级"),
    "certificate": ("检定证书", "证书编号", "检定证书编号"),
    "verified_until": ("检定有效期", "有效期至", "检定有效期至"),
    "seal": ("封印", "封印号", "铅封号"),
    "accepted": ("验收日期", "验收"),
    "room": ("房号", "房间", "房间号", "位置"),
}
WORDS = {
    "role": {
        "租户": "tenant",
        "自用": "operator",
        "运营方": "operator",
        "公共": "public",
        "公用": "public",
        "总表": "master",
        "光伏": "pv",
        "储能": "storage",
    },
    "protocol": {
        "dl/t645-2007": "dlt645-2007",
        "dl/t645-1997": "dlt645-1997",
        "dlt645-07": "dlt645-2007",
        "dlt645-97": "dlt645-1997",
        "645-2007": "dlt645-2007",
        "645-1997": "dlt645-1997",
        "modbus-rtu": "modbus",
        "modbusrtu": "modbus",
        "人工": "manual",
        "手抄": "manual",
        "人工抄表": "manual",
    },
    "framing": {
        "无": "8N1",
        "n": "8N1",
        "偶": "8E1",
        "e": "8E1",
        "偶校验": "8E1",
        "奇": "8O1",
        "o": "8O1",
        "无校验": "8N1",
    },
}
FREE_TEXT = ("room", "tenant", "id", "model", "line")  # kept as written but for the space around
SAFE_INTEGER = 10**15  # a spreadsheet keeps 15 digits of a number
MAX_ROWS = 20_000
# what openpyxl raises on damaged workbooks, as found by damaging some thousands of them: it validates little itself
BROKEN_WORKBOOK = (
    *(zipfile.BadZipFile, zlib.error, ParseError, LookupError, ValueError, TypeError, AttributeError),
    *(ArithmeticError, AssertionError, EOFError, RuntimeError, OSError),
)

Row = tuple[int, list[tuple[int, Any]]]  # row number, then column number and cell


class TableError(Exception):
    """A table that cannot be read at all: row, column (0: the file) and why."""

    def __init__(self, row: int, column: int, zh: str, en: str) -> None:
        super().__init__(en)
        self.row, self.column, self.zh, self.en = row, column, zh, en


def add_meters_file(data: dict[str, Any], directory: FilePath, findings: Findings) -> None:
    """Appends the meters of `data["meters_file"]` to `data["meters"]`, their places to `findings`."""
    path = directory / str(data["meters_file"])
    meters = data.get("meters")
    if meters is not None and not isinstance(meters, list):
        return  # that is a fault already on its way
    meters = list(meters or [])
    shown = str(FilePath(findings.file).parent / str(data["meters_file"]))  # as people named the file beside it
    try:
        _add_rows(table_rows(path), meters, _tenants_by_name(data), shown, findings)
    except TableError as error:
        if error.row:
            findings.fault(("meters_file",), error.zh, error.en, place=Place(shown, error.row, error.column))
        else:
            findings.fault(("meters_file",), error.zh, error.en)
    data["meters"] = meters


def _tenants_by_name(data: dict[str, Any]) -> dict[str, str]:
    """Spreadsheets name tenants by name; names that two share, or that are ids, are nobody's."""
    tenants = (
        [t for t in data.get("tenants") or [] if isinstance(t, dict)] if isinstance(data.get("tenants"), list) else []
    )
    names = [t.get("name") for t in tenants]
    return {
        t["name"]: t["id"]
        for t in tenants
        if isinstance(t.get("name"), str) and isinstance(t.get("id"), str) and names.count(t["name"]) == 1
    }


def _add_rows(rows: Iterator[Row], meters: list[Any], tenants: dict[str, str], file: str, findings: Findings) -> None:
    keys: dict[int, str | None] = {}
    for number, cells in rows:
        if not keys:
            keys = _header(number, cells, file, findings)
            continue
        path = ("meters", len(meters))
        meter: dict[str, Any] = {}
        findings.values[path] = Place(file, number, 1)
        for column, cell in cells:
            place = Place(file, number, column)
            if column not in keys:
                findings.fault(path, "这一格没有表头", "a cell without a header", place=place)
                continue
            key = keys[column]
            if key is None:
                continue  # its header is a fault already
            findings.values[(*path, key)] = findings.keys[(*path, key)] = place
            try:
                text = cell_text(key, cell)
            except Wrong as wrong:
                findings.fault((*path, key), wrong.zh, wrong.en)
                text = _stand_in(key)
            if text is not None:
                meter[key] = tenants.get(text, text) if key == "tenant" else text
        meters.append(meter)
    if not keys:
        raise TableError(0, 0, "表里没有表头", "the table has no header")


def _stand_in(key: str) -> str | None:
    """An id whose text is lost would make a row that nobody can name."""
    return "lost" if key == "id" else None


def _header(number: int, cells: list[tuple[int, Any]], file: str, findings: Findings) -> dict[int, str | None]:
    known = {name: key for key, names in HEADERS.items() for name in (key, *names)}
    keys: dict[int, str | None] = {}
    for column, cell in cells:
        written = unicodedata.normalize("NFKC", str(cell)).strip().lower().replace(" ", "")
        key = known.get(written)
        path = ("meters_file", f"column {column}")
        place = Place(file, number, column)
        if key is None:
            zh, en = suggestion(written, known)
            findings.fault(path, f"不认识的表头 {cell}{zh}", f"unknown header {cell}{en}", place=place)
        elif key in keys.values():
            findings.fault(path, f"表头 {cell} 重复({key})", f"the header {cell} ({key}) is there twice", place=place)
            key = None
        keys[column] = key
    return keys


def cell_text(key: str, cell: Any) -> str | None:
    """The text of a cell, None if it is empty. Raises Wrong where a spreadsheet lost digits."""
    if cell is None or isinstance(cell, bool):
        return None if cell is None else str(cell).lower()
    if isinstance(cell, datetime | date):
        return cell.isoformat()[:10]
    if isinstance(cell, int | float):
        return _number_text(cell)
    text = str(cell).strip().strip("\u200b\ufeff")
    if text.startswith('="') and text.endswith('"'):
        text = text[2:-1]  # how exports keep a spreadsheet from turning digits into a number
    text = text.removeprefix("'")
    if key not in FREE_TEXT:
        text = unicodedata.normalize("NFKC", text).strip()
    word = text.lower().replace(" ", "").replace("_", "-")
    return WORDS.get(key, {}).get(word, text) or None


def _number_text(number: float) -> str:
    if abs(number) >= SAFE_INTEGER:
        raise Wrong(
            "超过 15 位的数字在电子表格里已被舍入;请把该列设为文本后重新填写",
            "a spreadsheet rounds numbers of more than 15 digits; format the column as text, enter it again",
        )
    if float(number).is_integer():
        return str(int(number))
    return format(Decimal(format(number, ".15g")), "f")  # 15 digits: what the spreadsheet itself shows


def table_rows(path: FilePath) -> Iterator[Row]:
    """The filled cells of each filled row of a .csv, or of the first sheet of an .xlsx. Raises TableError."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise TableError(
            0, 0, f"读不到 {path.name}:{error.strerror}", f"cannot read {path.name}: {error.strerror}"
        ) from error
    suffix = path.suffix.lower()
    if suffix == ".xlsx":
        rows = _xlsx_rows(raw)
    elif suffix == ".csv":
        rows = _csv_rows(raw)
    else:
        raise TableError(0, 0, f"{path.name} 不是 .csv 或 .xlsx", f"{path.name} is neither .csv nor .xlsx")
    for count, (number, cells) in enumerate(rows):
        if count > MAX_ROWS:
            raise TableError(number, 1, f"超过 {MAX_ROWS} 行", f"more than {MAX_ROWS} rows")
        filled = [(n, cell) for n, cell in enumerate(cells, 1) if cell is not None and str(cell).strip()]
        if filled:
            yield number, filled


def _csv_rows(raw: bytes) -> Iterator[tuple[int, Sequence[Any]]]:
    text = _decoded(raw)
    first = next((line for line in text.splitlines() if any(c in line for c in "\t;,")), "")  # not a title above
    separator = max("\t;,", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    number = 0
    try:
        for cells in reader:
            yield number + 1, cells
            number = reader.line_num
    except csv.Error as error:
        raise TableError(number + 1, 1, f"CSV 格式错误:{error}", f"CSV: {error}") from error


def _decoded(raw: bytes) -> str:
    encodings = ("utf-16",) if raw.startswith((b"\xff\xfe", b"\xfe\xff")) else ("utf-8-sig", "gb18030")
    for encoding in encodings:
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise TableError(0, 0, "既不是 UTF-8 也不是 GB18030 编码", "neither UTF-8 nor GB18030")


def _xlsx_rows(raw: bytes) -> Iterator[tuple[int, Sequence[Any]]]:
    """Rows of the first sheet; formulas give the value that was last computed."""
    try:
        import openpyxl
        from openpyxl.utils.exceptions import InvalidFileException
    except ImportError as error:
        raise TableError(
            0, 0, "读 .xlsx 要装 openpyxl;或另存为 .csv", "reading .xlsx needs openpyxl; or save as .csv"
        ) from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of styles and extensions, which no meter has
            book = openpyxl.load_workbook(io.BytesIO(raw), read_only=True, data_only=True)
            rows = [list(row) for row in book.worksheets[0].iter_rows(values_only=True, max_row=MAX_ROWS + 2)]
            book.close()
    except (InvalidFileException, *BROKEN_WORKBOOK) as error:
        raise TableError(0, 0, "不是有效的 .xlsx 文件", f"not a valid .xlsx file: {error}") from error
    yield from enumerate(rows, 1)
