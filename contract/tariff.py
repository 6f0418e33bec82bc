"""Which tariff period an instant lies in: chooses the schedule by local date, then looks up its day (pure).

    instant (UTC) → local date → the schedule valid on it → its month's day, overrides of a holiday laid over → period

Local time is a fixed offset from UTC, never a tz database. A schedule is never applied outside its validity: with none
valid the energy is `unclassified`, not flat. What a schedule says about a day is `schedule`'s matter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple, cast

from contract.grid import parse_utc_offset
from contract.records import Period
from contract.schedule import DAY_MIN, Day, Holidays, Schedule, Span

UNCLASSIFIED = "unclassified"  # no schedule is valid on the local date
_EPOCH = date(1970, 1, 1)


class Classified(NamedTuple):
    """`period`: one of five names, `unclassified` or `unclassified_holiday`; `schedule`: `id@version`, "" if none."""

    period: str
    schedule: str


class Tariff:
    """Several schedules of one point or park, the holidays and the offset: classifies instants, a day at a time.

    Raises ValueError if two schedules are valid on the same date: there would be two answers.
    """

    def __init__(self, schedules: Sequence[Schedule], holidays: Holidays, utc_offset_s: int) -> None:
        ordered = sorted(schedules, key=lambda schedule: schedule.valid_from)
        for earlier, later in pairwise(ordered):
            if earlier.valid_to is None or later.valid_from < earlier.valid_to:
                raise ValueError(f"schedules {earlier.name} and {later.name} are both valid on {later.valid_from}")
        self._schedules = ordered
        self._holidays = holidays
        self._utc_offset_s = utc_offset_s
        self._days: dict[date, tuple[str, Day]] = {}

    def periods_of_day(self, day: date) -> tuple[str, Day]:
        """The schedule valid on a local date as `id@version` ("" if none) and that day's spans."""
        known = self._days.get(day)
        if known is None:
            schedule = next((s for s in self._schedules if s.valid_on(day)), None)
            if schedule is None:
                known = ("", (Span(0, DAY_MIN, UNCLASSIFIED),))
            else:
                known = (schedule.name, schedule.periods_of_day(day, self._holidays))
            self._days[day] = known
        return known

    def classify(self, instant_s: int) -> Classified:
        """The period an instant (seconds since 1970, UTC) lies in."""
        days, second = divmod(instant_s + self._utc_offset_s, DAY_MIN * 60)
        schedule, spans = self.periods_of_day(_EPOCH + timedelta(days=days))
        minute = second // 60
        return Classified(next(span.period for span in spans if minute < span.end), schedule)


def classify(instant_s: int, schedules: Sequence[Schedule], holidays: Holidays, utc_offset_s: int) -> Classified:
    """The period an instant (seconds since 1970, UTC) lies in; see Tariff, which is kept for the next call."""
    return _tariff(tuple(schedules), holidays, utc_offset_s).classify(instant_s)


@lru_cache(maxsize=16)
def _tariff(schedules: tuple[Schedule, ...], holidays: Holidays, utc_offset_s: int) -> Tariff:
    return Tariff(schedules, holidays, utc_offset_s)


def period_finder(config: Mapping[str, Any]) -> Callable[[int, str | None], tuple[Period, str]]:
    """From the effective configuration, the rule: (instant, the point's own schedule or None) → period, `id@version`.

    Reads `settings` (utc_offset, schedules) and the `data` of each entry in `schedules` and `holidays`: the content of
    its text. A point's own schedule stands in `schedules` too. Raises ValueError for what Schedule.parse refuses, for
    schedules valid on the same day, and when asked for a schedule that is not there.
    """
    schedules = {entry["id"]: Schedule.parse(entry["data"]) for entry in config["schedules"]}
    holidays = Holidays.parse(*(entry["data"] for entry in config["holidays"]))
    settings = config["settings"]
    offset_s = parse_utc_offset(settings["utc_offset"])
    missing = [name for name in settings["schedules"] if name not in schedules]
    if missing:
        raise ValueError(f"schedules: no such schedule: {', '.join(missing)}")
    park = Tariff([schedules[name] for name in dict.fromkeys(settings["schedules"])], holidays, offset_s)
    own = {name: Tariff([schedule], holidays, offset_s) for name, schedule in schedules.items()}

    def period_at(instant_s: int, schedule: str | None) -> tuple[Period, str]:
        if schedule is not None and schedule not in own:
            raise ValueError(f"schedules: no such schedule: {schedule}")
        found = (park if schedule is None else own[schedule]).classify(instant_s)
        return cast(Period, found.period), found.schedule

    return period_at
