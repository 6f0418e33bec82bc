"""The day program inside a meter against the tariff in force: whether its own tariff registers can be a witness (pure).

    meter     00:00 T4   08:00 T2   11:00 T4 …        zone table → period table of the day (DL/T 645-2007, 0401, 0402)
    schedule  00:00 谷   08:00 峰   11:00 谷 …        the ledger's periods

They agree if every tariff number stands for one period and every period for one number, whatever the numbers: the usual
order T1 尖, T2 峰, T3 平, T4 谷 is no rule.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import NamedTuple

HALF_HOUR_S = 1800
DAY_S = 86_400
HOLIDAY = "unclassified_holiday"


class Change(NamedTuple):
    """From `at` of the day or year on (hhmm, MMDD) the `number`ed tariff or period table holds."""

    at: str
    number: int


def changes(entries: Sequence[str]) -> list[Change]:
    """Entries as meters send them, `hhmmNN` or `MMDDNN`, in order of time; unused ones (000000 behind others, or the
    last repeated) fall away. Raises ValueError for what is no entry."""
    found: list[Change] = []
    for entry in entries:
        if len(entry) != 6 or not entry.isdigit():
            raise ValueError(f"{entry!r} is no entry of a zone or period table")
        change = Change(entry[:4], int(entry[4:]))
        if change.number and change not in found:
            found.append(change)
    return sorted(found)


def in_force(table: Sequence[Change], at: str) -> int | None:
    """The number that holds at hhmm or MMDD: before the first entry, the last one still does. None: empty table."""
    if not table:
        return None
    return next((change.number for change in reversed(table) if change.at <= at), table[-1].number)


def told(steps: Sequence[str]) -> str:
    """A day of 48 half hours in short: `00:00 4, 08:00 2`."""
    begun = 0
    parts = []
    for name, run in groupby(steps):
        parts.append(f"{begun // 2:02d}:{begun % 2 * 30:02d} {name}")
        begun += len(list(run))
    return ", ".join(parts)


def disagreement(table: Sequence[Change], period_at: Callable[[int], str], day_s: int) -> dict[str, str]:
    """What meter and schedule say of the local day that begins at `day_s` (UTC seconds), if they contradict each other;
    empty if they agree or the day is one that the schedule does not classify."""
    own, theirs = [], []
    for step_s in range(0, DAY_S, HALF_HOUR_S):
        number = in_force(table, f"{step_s // 3600:02d}{step_s % 3600 // 60:02d}")
        own.append("-" if number is None else f"T{number}")
        theirs.append(period_at(day_s + step_s))
    if HOLIDAY in theirs or not table:
        return {}
    pairs = set(zip(own, theirs, strict=True))
    if len(pairs) == len({tariff for tariff, _ in pairs}) == len({period for _, period in pairs}):
        return {}
    return {"meter": told(own), "schedule": told(theirs)}
