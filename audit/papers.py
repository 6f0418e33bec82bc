"""Rows of the papers that an auditor is given: grid bills and tenants' charges, as grids and parks send them.

    title lines ─▶ header (one line, or two under merged groups) ─▶ rows, subtotals, totals, remarks, header again …

Chinese headers in many wordings become field names; each row keeps its number. Nothing is dropped silently: what is no
row stands in `skipped`, columns that were not understood in `unread`. What rows mean is `bill`'s and `charges`' matter.
"""

from __future__ import annotations

import json
import pathlib
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from audit.paper_columns import (
    BILL_ALIASES,
    BILL_COLUMNS,
    CHARGE_ALIASES,
    CHARGE_COLUMNS,
    FEE_WORDS,
    IDLE,
    NUMBERS,
    PRICE_ALIASES,
    PRICE_COLUMNS,
    REFUND_ALIASES,
    REFUND_COLUMNS,
    REPEATABLE,
)
from audit.spreadsheet import Line, PaperError, read_sheets

__all__ = [
    "FEE",
    "Paper",
    "PaperError",
    "Row",
    "read_bill",
    "read_charges",
    "read_prices",
    "read_refunds",
    "total_kind",
    "written_name",
]

FEE = "fee:"  # a column of its own for a fee: this and its header
_MIN_FIELDS = 2
_JSON_KEYS = {"qty_kwh": "quantity", "qty": "quantity", "electricity_yuan": "yuan"}
_TOTAL = re.compile(r"(本页|本月|本期|本表|以上|电费|全部|各户|月度)*(合计|总计|总额|累计|共计|total|sum)(金额|数)?")
_SUBTOTAL = re.compile(r"(.{0,12})(小计|subtotal)")

_REMARK = re.compile(
    r".*[:：].*|(注|备注|说明|制表|审核|复核|填表|抄表人|经办|以上|温馨|请).*|[一二三四五六七八九十\d]+[、.].*|.{25,}"
)

Kind = Literal["line", "subtotal", "total"]


class Row(NamedTuple):
    """One filled row: its number in the file as a spreadsheet shows it, text by field, and what kind of row it is."""

    number: int
    cells: dict[str, str]
    kind: Kind = "line"


@dataclass(frozen=True, slots=True)
class Paper:
    """A paper as read. `above`: the text before the header; `headers`: header of each field that there is.

    `skipped`: (row, text) that is no row of the table, row 0 for a whole sheet; `unread`: headers not understood.
    """

    rows: tuple[Row, ...]
    above: str = ""
    headers: Mapping[str, str] | None = None
    skipped: tuple[tuple[int, str], ...] = ()
    unread: tuple[str, ...] = ()


def read_bill(path: pathlib.Path, columns: Mapping[str, str] | None = None) -> Paper:
    """A grid bill. `columns`: further headers → field. Raises PaperError, OSError."""
    if path.suffix.lower() == ".json":
        return _json(path, "bill_items")
    return _read(path, _names(BILL_COLUMNS, BILL_ALIASES, columns), fees=False)


def read_charges(path: pathlib.Path, columns: Mapping[str, str] | None = None) -> Paper:
    """The tenants' charges, also with fees in columns of their own. Raises PaperError, OSError."""
    if path.suffix.lower() == ".json":
        return _json(path, "charges")
    return _read(path, _names(CHARGE_COLUMNS, CHARGE_ALIASES, columns), fees=True)


def read_prices(path: pathlib.Path, columns: Mapping[str, str] | None = None) -> Paper:
    """A published price table. Raises PaperError, OSError."""
    return _read(path, _names(PRICE_COLUMNS, PRICE_ALIASES, columns), fees=False)


def read_refunds(path: pathlib.Path, columns: Mapping[str, str] | None = None) -> Paper:
    """What was paid back to tenants. Raises PaperError, OSError."""
    return _read(path, _names(REFUND_COLUMNS, REFUND_ALIASES, columns), fees=False)


def _read(path: pathlib.Path, names: Mapping[str, str], *, fees: bool) -> Paper:
    """The one sheet that is such a table; others are told, and two are refused: nobody said which is meant."""
    sheets = read_sheets(path)
    found = [(sheet, paper) for sheet in sheets if (paper := _table(sheet.lines, names, fees=fees)) is not None]
    if not found:
        expected = " ".join(names)
        raise PaperError(f"no header row; expected columns like {expected[:120]}")
    if len(found) > 1:
        several = ", ".join(sheet.name for sheet, _ in found)
        raise PaperError(f"several sheets are such tables ({several}): save each as a file of its own")
    ((chosen, paper),) = found
    others = tuple((0, f"工作表 {sheet.name}") for sheet in sheets if sheet is not chosen)
    return replace(paper, skipped=(*paper.skipped, *others))


def _table(lines: Sequence[Line], names: Mapping[str, str], *, fees: bool) -> Paper | None:
    """The rows below the header, None without one. Raises PaperError with a field there twice."""
    for at, line in enumerate(lines):
        fields, labels, depth = _header(lines[at : at + 2], names, fees=fees)
        if len({field for field in fields if field and not field.startswith(FEE)}) >= _MIN_FIELDS:
            above = " ".join(dict.fromkeys(cell for before in lines[:at] for cell in before.cells if cell))
            return _below(lines[at + depth :], fields, labels, line, above)
    return None


def written_name(text: str) -> str:
    """A name or header as it is compared: full width and half width alike, no spaces, no units in brackets."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    return re.sub(r"[\s::*_·]|\((元|元/kwh|元/度|kwh|度|千瓦时|kw\.h|含税|不含税|%)*\)", "", plain)


def total_kind(texts: Sequence[str]) -> Kind:
    """Whether the words of a row make it a total or a subtotal."""
    for text in texts:
        plain = re.sub(r"\(.*\)|大写.*", "", written_name(text))
        if _SUBTOTAL.fullmatch(plain):
            return "subtotal"
        if _TOTAL.fullmatch(plain):
            return "total"
    return "line"


def _names(
    columns: Mapping[str, tuple[str, str]], aliases: Mapping[str, str], more: Mapping[str, str] | None
) -> dict[str, str]:
    names = {written_name(alias): field for field, words in aliases.items() for alias in words.split()}
    names |= {written_name(header): field for field, (header, _) in columns.items()}
    return names | {written_name(header): field for header, field in (more or {}).items()}


def _header(lines: Sequence[Line], names: Mapping[str, str], *, fees: bool) -> tuple[list[str | None], list[str], int]:
    """Fields and labels by column, and how many lines the header has: two where the second explains the first."""
    top = lines[0].cells
    single = [_field(cell, names, fees=fees) for cell in top]
    below = lines[1].cells if len(lines) > 1 else []
    if below and any(single) and not any(re.search(r"\d", cell) for cell in below):
        labels = [_label(top, below, at) for at in range(max(len(top), len(below)))]
        both = [_field_of_two(upper, lower, names, fees=fees) for upper, lower in labels]
        if len({field for field in both if field}) > len({field for field in single if field}):
            return both, [upper if upper == lower else upper + lower for upper, lower in labels], 2
    return single, list(top), 1


def _label(top: Sequence[str], below: Sequence[str], at: int) -> tuple[str, str]:
    """What stands above a column in both header lines; CSV leaves the rest of a group empty, so look left."""
    lower = below[at] if at < len(below) else ""
    upper = top[at] if at < len(top) else ""
    if not upper and lower:
        upper = next((cell for cell in reversed(top[:at]) if cell), "")
    return upper, lower


def _field_of_two(upper: str, lower: str, names: Mapping[str, str], *, fees: bool) -> str | None:
    candidates = (lower + upper, upper + lower, lower, upper) if lower and lower != upper else (upper,)
    known = (names.get(written_name(text)) for text in candidates)
    return next((field for field in known if field), None) or _field(lower or upper, names, fees=fees)


def _field(text: str, names: Mapping[str, str], *, fees: bool) -> str | None:
    name = written_name(text)
    if not name or name in names or not fees or name in IDLE or any(c.isdigit() for c in name):
        return names.get(name)
    return FEE + text.strip() if any(word in name for _, word in FEE_WORDS) and len(name) < 16 else None


def _below(lines: Sequence[Line], fields: list[str | None], labels: list[str], header: Line, above: str) -> Paper:
    named = [field for field in fields if field]
    fees = any(field == "fee_yuan" or field.startswith(FEE) for field in named)
    if "yuan" not in named and "row_total" in named and not fees:  # the only amount there is
        fields = ["yuan" if field == "row_total" else field for field in fields]
        named = [field for field in fields if field]
    twice = sorted({field for field in named if named.count(field) > 1})
    if twice:
        raise PaperError(f"{header.number}: there twice: {', '.join(twice)}")
    rows: list[Row] = []
    skipped: list[tuple[int, str]] = []
    for line in lines:
        if not any(line.cells):
            continue
        cells = _cells(line, fields)
        words = [cell for at, cell in enumerate(line.cells) if cell and not _is_number_column(fields, at)]
        kind = total_kind(words)
        again = [*map(written_name, line.cells)] == [*map(written_name, header.cells)]
        if again or _is_remark(cells):
            skipped.append((line.number, " ".join(dict.fromkeys(cell for cell in line.cells if cell))))
        else:
            rows.append(Row(line.number, cells, kind))
    headers = {field: label for field, label in zip(fields, labels, strict=False) if field}
    unread = tuple(
        label
        for at, label in enumerate(labels)
        if label and fields[at] is None and written_name(label) not in IDLE and _is_used(lines, at)
    )
    return Paper(tuple(rows), above, headers, tuple(skipped), unread)


def _cells(line: Line, fields: Sequence[str | None]) -> dict[str, str]:
    cells = {}
    for at, (field, cell) in enumerate(zip(fields, line.cells, strict=False)):
        if field and cell and (at not in line.repeated or field in REPEATABLE):
            cells[field] = cell
    return cells


def _is_remark(cells: Mapping[str, str]) -> bool:
    """No number anywhere, and either nothing that names a line or a text that is none."""
    if any(_is_number(field) for field in cells):
        return False
    named = [cells[field] for field in ("name", "category", "tenant", "room", "meter") if field in cells]
    return all(_REMARK.fullmatch(re.sub(r"\s", "", text)) for text in named)


def _is_number(field: str) -> bool:
    return field in NUMBERS or field.startswith(FEE)


def _is_number_column(fields: Sequence[str | None], at: int) -> bool:
    field = fields[at] if at < len(fields) else None
    return field is not None and _is_number(field)


def _is_used(lines: Sequence[Line], at: int) -> bool:
    return any(at < len(line.cells) and line.cells[at] for line in lines)


def _json(path: pathlib.Path, key: str) -> Paper:
    """A settlement case's `bill_items` or `charges` (or a whole case's `inputs`), rows numbered from 1.

    What stands beside the list (`account`, `from`, `to`, `tax`, `tax_rate`) holds for all its rows; `total_yuan` is the
    total.
    """
    try:
        data = json.loads(path.read_bytes().decode("utf-8-sig"), parse_float=str, parse_int=str)
    except (ValueError, RecursionError) as error:
        raise PaperError(f"not JSON in UTF-8: {error}") from error
    if isinstance(data, dict) and isinstance(data.get("inputs"), dict):
        data = data["inputs"]
    items = data.get(key) if isinstance(data, dict) else None
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise PaperError(f"no {key}")
    common = {name: str(data[name]) for name in ("account", "from", "to", "tax", "tax_rate") if data.get(name)}
    rows = []
    for number, item in enumerate(items, 1):
        cells = {**common}
        for name, value in item.items():
            if name == "extra_fees" and isinstance(value, list):
                cells |= {f"{FEE}{n}": json.dumps(fee, ensure_ascii=False) for n, fee in enumerate(value)}
            elif value is not None:
                cells[_JSON_KEYS.get(name, name)] = str(value)
        cells.setdefault("tax", "incl")  # the method's own inputs are
        if "qty_kwh" in item:
            cells.setdefault("unit", "kWh")
        rows.append(Row(number, cells, total_kind([cells.get("name", ""), cells.get("tenant", "")])))
    if data.get("total_yuan") is not None:
        rows.append(Row(len(rows) + 1, {"name": "合计", "yuan": str(data["total_yuan"])}, "total"))
    return Paper(tuple(rows), headers={})
