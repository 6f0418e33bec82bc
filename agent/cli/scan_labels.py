"""What is printed on meters and doors, matched with what answered: a list of labels against found meters.

A label's number and an address fit if one ends with the other, leading zeros aside: nameplates print fewer digits than
an address has, or more. A number that fits two meters fits none.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from pathlib import Path

from agent.cli import Failure
from agent.cli.words import t
from agent.field.scanning import Found
from config.tables import HEADERS, TableError, cell_text, table_rows

FEWEST_DIGITS = 4
NUMBERS = ("address", "serial", "id", "unit")  # columns in which a label's number may stand, best first


@dataclass(frozen=True, slots=True)
class Label:
    """One row of the list: `number` as printed, digits only."""

    number: str
    room: str | None = None
    multiplier: str | None = None


def read_labels(path: Path) -> list[Label]:
    """Rows of a .csv or .xlsx with headers as in the meters table (表号 房号 倍率 …). Exit 78 where it is none."""
    known = {name: key for key, names in HEADERS.items() for name in (key, *names)}
    keys: dict[int, str | None] = {}
    labels = []
    try:
        for _, cells in table_rows(path):
            if not keys:
                keys = {column: known.get(_plain(cell)) for column, cell in cells}
                continue
            row = {key: cell_text(key, cell) for column, cell in cells if (key := keys.get(column)) is not None}
            number = next((digits for name in NUMBERS if (digits := _digits(row.get(name)))), "")
            if number:
                labels.append(Label(number, row.get("room"), row.get("multiplier")))
    except TableError as error:
        raise Failure(f"{path}:{error.row}:{error.column}: {t(error.zh, error.en)}", 78) from error
    if not labels:
        raise Failure(f"{path}: " + t("没有带表号的行(表头:表号 房号)", "no row with a meter number (表号 房号)"), 78)
    return labels


def match(labels: list[Label], found: list[Found]) -> list[Label]:
    """Gives found meters their rooms; returns the labels that nobody answered to."""
    silent = []
    for label in labels:
        fitting = [one for one in found if fits(label.number, one.address or str(one.unit))]
        if len(fitting) == 1:
            fitting[0].room, fitting[0].multiplier = label.room, label.multiplier
        elif not fitting:
            silent.append(label)
    return silent


def fits(label: str, address: str) -> bool:
    """Whether a printed number and an address are the same as far as both go."""
    one, other = label.lstrip("0"), address.lstrip("0")
    if one == other:
        return bool(one)
    if len(label) >= FEWEST_DIGITS and address.endswith(label):
        return True
    return len(other) >= FEWEST_DIGITS and label.endswith(other)


def _plain(cell: object) -> str:
    return unicodedata.normalize("NFKC", str(cell)).strip().lower().replace(" ", "")


def _digits(text: str | None) -> str:
    return "".join(filter(str.isdigit, text or ""))
