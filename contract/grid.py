"""The grid of time that a park is billed on: slots, local days, billing periods (pure).

    local midnight ├──┼──┼──┼── … ──┼──┤ local midnight      slots divide the local day
                  ├── billing period ──────────┤             from one closing to the next

Everything goes in and comes out as UTC in whole seconds since 1970; local time is UTC plus a fixed offset, without
summer time. Which tariff period an instant lies in is `tariff`'s matter.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

DAY_S = 86_400
QUARTER_HOUR_S = 900


@dataclass(frozen=True)
class Closing:
    """The moment in each month at which a billing period ends: `day` (clipped to the month's end) and seconds after
    its local midnight, 0 to 86 400."""

    day: int
    second: int

    @classmethod
    def parse(cls, text: str) -> Closing:
        """Reads `DD HH:MM`, `24:00` included. Raises ValueError."""
        match = re.fullmatch(r"(\d\d?) (\d\d):(\d\d)", text)
        if match is None:
            raise ValueError(f"closing {text!r} is not of the form 'DD HH:MM'")
        day, hour, minute = map(int, match.groups())
        second = hour * 3600 + minute * 60
        if not 1 <= day <= 31 or minute > 59 or second > DAY_S:
            raise ValueError(f"closing {text!r} is no day of a month and time of day")
        return cls(day, second)


@dataclass(frozen=True)
class Grid:
    """Slots every `interval_s` from local midnight; billing periods between `closings`."""

    interval_s: int
    utc_offset_s: int
    closings: tuple[Closing, ...]

    def __post_init__(self) -> None:
        if not 1 <= self.interval_s <= 3600 or DAY_S % self.interval_s:
            raise ValueError(f"interval of {self.interval_s} s does not divide a day, or is beyond 1 s to 1 h")
        if not self.closings:
            raise ValueError("closings: at least one is needed")
        for closing in self.closings:
            if closing.second % self.interval_s:
                raise ValueError(f"closing on day {closing.day} is on no slot of {self.interval_s} s")

    def slot_floor(self, t_s: int) -> int:
        """The last slot at or before an instant."""
        return t_s - (t_s + self.utc_offset_s) % self.interval_s

    def is_slot(self, t_s: int) -> bool:
        return self.slot_floor(t_s) == t_s

    def day_of(self, slot_s: int) -> tuple[int, int]:
        """Bounds of the local day that holds the instant."""
        start = slot_s - (slot_s + self.utc_offset_s) % DAY_S
        return start, start + DAY_S

    def billing_period_of(self, slot_s: int) -> tuple[int, int]:
        """Bounds of the billing period that holds the instant: the closing at or before it and the next one."""
        local = datetime.fromtimestamp(slot_s + self.utc_offset_s, UTC).date()
        this = local.replace(day=1)
        before = (this - timedelta(days=1)).replace(day=1)
        after = (this + timedelta(days=31)).replace(day=1)
        moments = sorted(self._closings_in((before, this, after)))
        return max(m for m in moments if m <= slot_s), min(m for m in moments if m > slot_s)

    def demand_window_s(self) -> int:
        """What demand is averaged over: a quarter hour, or the next longer stretch of whole steps that divides a day.

        A grid that does not divide a quarter hour has none; an interval longer than it is its own window.
        """
        window = self.interval_s
        while window < QUARTER_HOUR_S or DAY_S % window:
            window += self.interval_s
        return window

    def require_slot(self, t_s: int, what: str) -> None:
        """Raises ValueError unless the instant is a slot."""
        if not self.is_slot(t_s):
            moment = datetime.fromtimestamp(t_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            raise ValueError(f"{what}: {moment} is on no slot of {self.interval_s} s")

    def _closings_in(self, months: Iterable[date]) -> set[int]:
        moments = set()
        for month in months:
            last = monthrange(month.year, month.month)[1]
            midnight = int(datetime(month.year, month.month, 1, tzinfo=UTC).timestamp()) - self.utc_offset_s
            for closing in self.closings:
                moments.add(midnight + (min(closing.day, last) - 1) * DAY_S + closing.second)
        return moments


def parse_utc_offset(text: str) -> int:
    """Seconds that local time is ahead of UTC, from `+08:00`. Raises ValueError."""
    match = re.fullmatch(r"([+-])(\d\d):(\d\d)", text)
    if match is None or int(match[2]) > 14 or int(match[3]) > 59:
        raise ValueError(f"utc_offset {text!r} is not of the form +08:00")
    seconds = int(match[2]) * 3600 + int(match[3]) * 60
    return -seconds if match[1] == "-" else seconds
