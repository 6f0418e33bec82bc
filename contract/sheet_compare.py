"""A reading sheet against somebody else's: which rows differ by more than one count of the register (pure).

Rows are paired by meter (its id, serial number or address), else by room. A meter that was split over several of our
rows and stands once in theirs is taken as a whole. What they left empty is not compared.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import Any

from contract.energy import EXACT
from contract.sheet import Row

ONE = Decimal(1)


@dataclass(frozen=True, slots=True)
class Given:
    """A row of the other sheet: where it stands, what it is about, and its figures by the names of Row.figures."""

    number: int
    meter: str | None
    room: str | None
    figures: Mapping[str, Decimal]


@dataclass(frozen=True, slots=True)
class Difference:
    """One figure that differs; `ours` is None where we have none."""

    name: str
    ours: Decimal | None
    theirs: Decimal


@dataclass(frozen=True, slots=True)
class Comparison:
    """`differences` for each of our rows, None where the other sheet lacks it; `strangers`: rows that fit none of ours,
    or that cannot be told apart."""

    differences: list[list[Difference] | None]
    strangers: list[Given]

    @property
    def differ(self) -> bool:
        return bool(self.strangers) or any(self.differences)


def compare(rows: Sequence[Row], given: Sequence[Given], meters: Collection[Mapping[str, Any]]) -> Comparison:
    """Pairs both sheets and compares them. `meters`: those of the configuration, for serial numbers and addresses."""
    steps = _steps(given)
    names = _names(meters)
    pairs: dict[tuple[str, str], list[Given]] = {}
    strangers = []
    for theirs in given:
        key = _key(theirs, rows, names)
        if key is None:
            strangers.append(theirs)
        else:
            pairs.setdefault(key, []).append(theirs)
    differences: list[list[Difference] | None] = [None] * len(rows)
    for (kind, value), theirs_rows in pairs.items():
        at = [i for i, row in enumerate(rows) if (row.meter if kind == "meter" else row.room) == value]
        if len(theirs_rows) == len(at):
            for i, theirs in zip(at, theirs_rows, strict=True):
                differences[i] = _differences([rows[i]], theirs, steps)
        elif len(theirs_rows) == 1 and len({rows[i].meter for i in at}) == 1:
            found = _differences([rows[i] for i in at], theirs_rows[0], steps)
            for i in at:
                differences[i] = []
            differences[at[-1]] = found
        else:
            strangers += theirs_rows
    return Comparison(differences, sorted(strangers, key=lambda theirs: theirs.number))


def _key(theirs: Given, rows: Sequence[Row], names: Mapping[str, str]) -> tuple[str, str] | None:
    if theirs.meter is not None:
        meter = names.get(theirs.meter) or names.get(theirs.meter.lstrip("0"))
        return ("meter", meter) if meter is not None and any(row.meter == meter for row in rows) else None
    if theirs.room is not None and any(row.room == theirs.room for row in rows):
        return "room", theirs.room
    return None


def _names(meters: Collection[Mapping[str, Any]]) -> dict[str, str]:
    """Everything a meter may be called by → its id; a spreadsheet drops leading zeros. What two share names none."""
    names: dict[str, set[str]] = {}
    for meter in meters:
        for name in (meter.get("serial"), meter.get("address")):
            if name:
                names.setdefault(name, set()).add(meter["id"])
                names.setdefault(name.lstrip("0"), set()).add(meter["id"])
    only = {name: ids.pop() for name, ids in names.items() if len(ids) == 1}
    return only | {meter["id"]: meter["id"] for meter in meters}


def _steps(given: Sequence[Given]) -> dict[str, Decimal]:
    """The last place that the other sheet's columns are written to: people note whole kilowatt-hours."""
    steps: dict[str, Decimal] = {}
    for theirs in given:
        for name, figure in theirs.figures.items():
            steps[name] = min(steps.get(name, ONE), _count(figure))
    return steps


def _differences(rows: Sequence[Row], theirs: Given, steps: Mapping[str, Decimal]) -> list[Difference]:
    """`rows`: one, or all of a meter in order of time."""
    ours = _whole(rows)
    multiplier = max(abs(row.multiplier) for row in rows)
    found = []
    for name, figure in theirs.figures.items():
        if name not in ours:
            found.append(Difference(name, None, figure))
            continue
        apart = abs(ours[name] - figure)
        if name == "multiplier":
            same = apart == 0
        else:
            count = _register_count(rows) * (multiplier if name.startswith("kwh") else ONE)
            same = apart <= count or (steps[name] > count and apart < steps[name])
        if not same:
            found.append(Difference(name, ours[name], figure))
    return found


def _whole(rows: Sequence[Row]) -> dict[str, Decimal]:
    """Registers at the ends of all, energies of all together; absent where one row lacks them."""
    if len(rows) == 1:
        return rows[0].figures()
    parts = [row.figures() for row in rows]
    first = {name: value for name, value in parts[0].items() if name.startswith("start_")}
    last = {name: value for name, value in parts[-1].items() if not name.startswith(("start_", "kwh", "multiplier"))}
    whole = {**first, **last}
    if all("kwh" in part for part in parts):
        with localcontext(EXACT):
            for name in dict.fromkeys(name for part in parts for name in part if name.startswith("kwh")):
                whole[name] = sum((part.get(name, Decimal(0)) for part in parts), Decimal(0))
    if len({row.multiplier for row in rows}) == 1:
        whole["multiplier"] = rows[0].multiplier
    return whole


def _register_count(rows: Sequence[Row]) -> Decimal:
    """One count of the register's last digit."""
    totals = [
        bound.registers["total"]
        for row in rows
        for bound in (row.start, row.end)
        if bound is not None and "total" in bound.registers
    ]
    return min(map(_count, totals), default=Decimal(0))


def _count(value: Decimal) -> Decimal:
    return min(ONE, ONE.scaleb(int(value.as_tuple().exponent)))
