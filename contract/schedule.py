"""Reads TOU schedules and holiday lists: the periods of any local day, or every fault of the file at once (pure).

Takes parsed data (a mapping whose scalars may all be text) and reads no files: whoever holds the text of a schedule,
the agent's files or the `config` record at an auditor, parses the YAML. Knows five period names, months, holidays and
half-open intervals of the local day in minutes; knows no province, no price and no document number. It does not choose
among schedules: `tariff` does. Forms: settlement reference §4.5.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any, NamedTuple

from contract.grid import parse_utc_offset
from contract.records import PERIODS

UNCLASSIFIED_HOLIDAY = "unclassified_holiday"  # may or may not be a holiday: the year has no list
STATUSES = ("official-text", "secondary-source", "assumed")
HOLIDAYS = ("new_year", "spring_festival", "qingming", "labour_day", "dragon_boat", "mid_autumn", "national_day")
DAY_MIN = 1440

# Days that can be the holiday while the year's list is unknown: (holiday, first (month, day), last (month, day))
CANDIDATES = (
    ("spring_festival", (1, 21), (2, 28)),
    ("labour_day", (5, 1), (5, 5)),
    ("national_day", (10, 1), (10, 8)),
)

_KEYS = frozenset(
    (
        *("id", "version", "applies_to", "source", "status", "utc_offset"),
        *("valid_from", "valid_to", "ratios", "seasons", "overrides"),
    )
)


class Span(NamedTuple):
    """Minutes of the local day, half-open, 0 ≤ start < end ≤ 1440."""

    start: int
    end: int
    period: str


Day = tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Override:
    """Hours laid over the season's day on the first `first` days of a holiday (None: on all of them)."""

    holidays: tuple[str, ...]
    first: int | None
    spans: Day


@dataclass(frozen=True, slots=True, eq=False)
class Schedule:
    """One version of a TOU schedule; valid_from is included, valid_to (None: open) is not. Local dates."""

    id: str
    version: int
    applies_to: str
    source: str
    status: str
    utc_offset_s: int
    valid_from: date
    valid_to: date | None
    ratios: dict[str, Decimal] | None
    months: tuple[Day, ...]  # January first, each covering 00:00–24:00 exactly once
    overrides: tuple[Override, ...]

    @property
    def name(self) -> str:
        return f"{self.id}@{self.version}"

    def valid_on(self, day: date) -> bool:
        return self.valid_from <= day and (self.valid_to is None or day < self.valid_to)

    def bounds(self) -> frozenset[int]:
        """Minutes of the local day at which a period can begin or end; slots of the grid must hit them all."""
        days = (*self.months, *(override.spans for override in self.overrides))
        return frozenset(minute for day in days for span in day for minute in (span.start, span.end))

    def periods_of_day(self, day: date, holidays: Holidays) -> Day:
        """The local day as spans in order, covering 00:00–24:00, as the schedule says it for that date.

        Validity is not looked at here. Where the year has no holiday list, spans that an override would change on
        a candidate day are `unclassified_holiday`.
        """
        minutes = [span.period for span in self.months[day.month - 1] for _ in range(span.start, span.end)]
        if day.year in holidays.years:
            for name, nth in holidays.on(day):
                for override in self.overrides:
                    if name in override.holidays and (override.first is None or nth <= override.first):
                        _lay_over(minutes, override.spans)
            return _spans(minutes)
        certain = list(minutes)
        names = {name for name, first, last in CANDIDATES if first <= (day.month, day.day) <= last}
        for override in self.overrides:
            if names.intersection(override.holidays):
                changed = list(certain)
                _lay_over(changed, override.spans)
                for minute, period in enumerate(changed):
                    if period != certain[minute]:
                        minutes[minute] = UNCLASSIFIED_HOLIDAY
        return _spans(minutes)

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> Schedule:
        """Reads a schedule file's content (with or without its `schedule:` root). Raises ValueError with all faults."""
        return _SchedulePage(data).read()


@dataclass(frozen=True, slots=True, eq=False)
class Holidays:
    """Holiday lists of whole years, as days off. `years` are those with a list."""

    years: frozenset[int] = frozenset()
    days: dict[date, tuple[tuple[str, int], ...]] = field(default_factory=dict)

    def on(self, day: date) -> tuple[tuple[str, int], ...]:
        """The holidays a date belongs to, each with the date's place in it (1 is the first day off)."""
        return self.days.get(day, ())

    @classmethod
    def parse(cls, *documents: Mapping[str, Any]) -> Holidays:
        """Reads holiday files' contents, one a year. Raises ValueError with all faults.

        Shape: {holidays: {id, year, source, status, days_off: {name: {first: date, last: date}}, statutory: …}};
        `statutory` is kept for readers of the file and does not take part.
        """
        faults: list[str] = []
        years: set[int] = set()
        days: dict[date, tuple[tuple[str, int], ...]] = {}
        for document in documents:
            _read_holidays(document, years, days, faults)
        if faults:
            raise ValueError("\n".join(faults))
        return cls(frozenset(years), days)


class _SchedulePage:
    """One schedule being read: collects every fault before it gives up."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self._faults: list[str] = []
        body = data.get("schedule", data) if isinstance(data, Mapping) else data
        if not isinstance(body, Mapping):
            raise ValueError("schedule: not a mapping")
        self._body = body

    def read(self) -> Schedule:
        for key in self._body:
            if key not in _KEYS:
                self._fault(str(key), "unknown key")
        schedule = Schedule(
            id=self._text("id"),
            version=self._version(),
            applies_to=self._text("applies_to"),
            source=self._text("source"),
            status=self._status(),
            utc_offset_s=self._offset(),
            valid_from=_date(self._body.get("valid_from"), "valid_from", self._faults) or date.min,
            valid_to=None if _null(self._body.get("valid_to")) else self._end(),
            ratios=self._ratios(),
            months=self._months(),
            overrides=self._overrides(),
        )
        if schedule.valid_to is not None and schedule.valid_to <= schedule.valid_from:
            self._fault("valid_to", f"{schedule.valid_to} is not after valid_from {schedule.valid_from}")
        if self._faults:
            raise ValueError("\n".join(self._faults))
        return schedule

    def _fault(self, key: str, text: str) -> None:
        self._faults.append(f"{key}: {text}")

    def _text(self, key: str) -> str:
        value = self._body.get(key)
        if _null(value) or not isinstance(value, str) or not value.strip():
            self._fault(key, "missing")
            return ""
        if key == "id" and not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,62}", value):
            self._fault(key, f"{value!r} is no id ([a-z0-9][a-z0-9._-]{{0,62}})")
        return value

    def _version(self) -> int:
        text = str(self._body.get("version", ""))
        if not re.fullmatch(r"[1-9]\d{0,8}", text):
            self._fault("version", f"{text!r} is no whole number from 1")
            return 0
        return int(text)

    def _status(self) -> str:
        status = str(self._body.get("status", ""))
        if status not in STATUSES:
            self._fault("status", f"{status!r} is none of {', '.join(STATUSES)}")
        return status

    def _offset(self) -> int:
        try:
            return parse_utc_offset(str(self._body.get("utc_offset", "")))
        except ValueError as error:
            self._fault("utc_offset", str(error))
            return 0

    def _end(self) -> date | None:
        return _date(self._body.get("valid_to"), "valid_to", self._faults)

    def _ratios(self) -> dict[str, Decimal] | None:
        ratios = self._body.get("ratios")
        if _null(ratios):
            return None
        if not isinstance(ratios, Mapping):
            self._fault("ratios", "neither null nor a mapping of period to ratio")
            return None
        result: dict[str, Decimal] = {}
        for period, ratio in ratios.items():
            if period not in PERIODS:
                self._fault(f"ratios.{period}", f"none of {', '.join(PERIODS)}")
            elif not re.fullmatch(r"\d+(\.\d+)?", str(ratio)) or isinstance(ratio, float):
                self._fault(f"ratios.{period}", f"{ratio!r} is no decimal text")
            else:
                result[period] = Decimal(str(ratio))
        return result

    def _months(self) -> tuple[Day, ...]:
        days: dict[int, Day] = {}
        for i, season in enumerate(self._list("seasons")):
            key = f"seasons[{i}]"
            if not isinstance(season, Mapping) or set(season) != {"months", "day"}:
                self._fault(key, "must be a mapping of months and day")
                continue
            day = self._spans(season["day"], f"{key}.day", whole=True)
            months = season["months"] if isinstance(season["months"], list) else [season["months"]]
            for month in months:
                if not re.fullmatch(r"0?[1-9]|1[0-2]", str(month)):
                    self._fault(f"{key}.months", f"{month!r} is no month")
                elif int(month) in days:
                    self._fault(f"{key}.months", f"month {int(month)} stands in two seasons")
                else:
                    days[int(month)] = day
        missing = [str(month) for month in range(1, 13) if month not in days]
        if missing:
            self._fault("seasons", f"no season has month {', '.join(missing)}")
        return tuple(days.get(month, ()) for month in range(1, 13))

    def _overrides(self) -> tuple[Override, ...]:
        result = []
        for i, item in enumerate(self._list("overrides", required=False)):
            key = f"overrides[{i}]"
            if not isinstance(item, Mapping) or set(item) != {"days", "set"}:
                self._fault(key, "must be a mapping of days and set")
                continue
            holidays, first = self._override_days(item["days"], f"{key}.days")
            result.append(Override(holidays, first, self._spans(item["set"], f"{key}.set", whole=False)))
        return tuple(result)

    def _override_days(self, days: Any, key: str) -> tuple[tuple[str, ...], int | None]:
        if not isinstance(days, Mapping) or not {"holiday"} <= set(days) <= {"holiday", "first"}:
            self._fault(key, "must be a mapping of holiday and, if wanted, first")
            return (), None
        names = days["holiday"] if isinstance(days["holiday"], list) else [days["holiday"]]
        for name in names:
            if name not in HOLIDAYS:
                self._fault(f"{key}.holiday", f"{name!r} is none of {', '.join(HOLIDAYS)}")
        first = days.get("first")
        if first is not None and not re.fullmatch(r"[1-9]\d?", str(first)):
            self._fault(f"{key}.first", f"{first!r} is no number of days")
            first = None
        return tuple(map(str, names)), None if first is None else int(first)

    def _list(self, key: str, *, required: bool = True) -> list[Any]:
        value = self._body.get(key)
        if isinstance(value, list) and (value or not required):
            return value
        if required or not _null(value):
            self._fault(key, "must be a list" if not required else "must be a list with entries")
        return []

    def _spans(self, items: Any, key: str, *, whole: bool) -> Day:
        """Spans in order of time; one over midnight is cut in two. Overlaps, and holes if `whole`, are faults."""
        spans: list[Span] = []
        for i, item in enumerate(items if isinstance(items, list) else ()):
            place = f"{key}[{i}]"
            if not isinstance(item, Mapping) or set(item) != {"from", "to", "period"}:
                self._fault(place, "must be a mapping of from, to and period")
                continue
            start, end = self._minute(item["from"], f"{place}.from"), self._minute(item["to"], f"{place}.to")
            if item["period"] not in PERIODS:
                self._fault(f"{place}.period", f"{item['period']!r} is none of {', '.join(PERIODS)}")
            if start is None or end is None:
                continue
            if start in (end, DAY_MIN):
                self._fault(place, f"{item['from']}–{item['to']} is empty")
            pieces = [(start, end)] if start < end else [(start, DAY_MIN), (0, end)]
            spans += [Span(*piece, str(item["period"])) for piece in pieces if piece[0] < piece[1]]
        if not spans:
            self._fault(key, "must be a list with entries")
        spans.sort()
        reached = 0
        for span in spans:
            if span.start > reached and whole:
                self._fault(key, f"nothing covers {_clock(reached)}–{_clock(span.start)}")
            if span.start < reached:
                self._fault(key, f"{_clock(span.start)}–{_clock(min(span.end, reached))} is covered twice")
            reached = max(reached, span.end)
        if whole and spans and reached < DAY_MIN:
            self._fault(key, f"nothing covers {_clock(reached)}–24:00")
        return tuple(spans)

    def _minute(self, value: Any, key: str) -> int | None:
        match = re.fullmatch(r"(\d\d):([0-5]\d)", str(value))
        minute = int(match[1]) * 60 + int(match[2]) if match else DAY_MIN + 1
        if minute > DAY_MIN:
            self._fault(key, f"{value!r} is no time of day from 00:00 to 24:00")
            return None
        return minute


def _read_holidays(
    document: Mapping[str, Any],
    years: set[int],
    days: dict[date, tuple[tuple[str, int], ...]],
    faults: list[str],
) -> None:
    body = document.get("holidays", document)
    if not isinstance(body, Mapping) or not isinstance(body.get("days_off"), Mapping):
        faults.append("holidays: must be a mapping with year and days_off")
        return
    text = str(body.get("year", ""))
    if not re.fullmatch(r"[12]\d{3}", text):
        faults.append(f"year: {text!r} is no year")
        return
    if int(text) in years:
        faults.append(f"year: {text} has two lists")
        return
    years.add(int(text))
    for name, span in body["days_off"].items():
        key = f"days_off.{name}"
        if name not in HOLIDAYS:
            faults.append(f"{key}: none of {', '.join(HOLIDAYS)}")
        if not isinstance(span, Mapping) or set(span) != {"first", "last"}:
            faults.append(f"{key}: must be a mapping of first and last")
            continue
        first, last = _date(span["first"], f"{key}.first", faults), _date(span["last"], f"{key}.last", faults)
        if first is None or last is None:
            continue
        if not first <= last <= first + timedelta(days=31) or int(text) not in (first.year, last.year):
            faults.append(f"{key}: {first} to {last} is no holiday of {text}")
            continue
        for n in range((last - first).days + 1):
            day = first + timedelta(days=n)
            days[day] = (*days.get(day, ()), (str(name), n + 1))


def _null(value: Any) -> bool:
    return value is None or value in ("", "null", "~")  # text where scalars were read as text


def _date(value: Any, key: str, faults: list[str]) -> date | None:
    text = str(value)
    try:
        if not re.fullmatch(r"\d{4}-\d\d-\d\d", text):
            raise ValueError(text)
        return date.fromisoformat(text)
    except ValueError:
        faults.append(f"{key}: {text!r} is no date like 2026-07-01")
        return None


def _lay_over(minutes: list[str], spans: Day) -> None:
    for span in spans:
        minutes[span.start : span.end] = [span.period] * (span.end - span.start)


def _spans(minutes: list[str]) -> Day:
    """Minute by minute periods as spans, neighbours of one period joined."""
    starts = [0, *(i for i in range(1, DAY_MIN) if minutes[i] != minutes[i - 1]), DAY_MIN]
    return tuple(Span(start, end, minutes[start]) for start, end in pairwise(starts))


def _clock(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"
