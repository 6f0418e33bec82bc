"""The truth about energy: what every consumer of the park draws, as a pure function of time.

Power is constant over cells of five minutes. A park has a deck of day cards (working days and rest days); which card
a local day shows is a hash of seed and date, and each consumer has its own powers for every card. So the energy up to
any instant is a sum over at most a deck and one day, without stepping through the years, and sums of consumers are
exact. Knows no meter, no register and no configuration.

Energies are integers in pWh (1 kWh = 10¹⁵ pWh), rates integers in pWh per ms (1 W = 277 777.7 of them).
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from hashlib import blake2b, shake_128
from itertools import pairwise

PWH_PER_KWH = 10**15
CELL_MS = 300_000
CELLS = 288
QUARTER_MS = 900_000
QUARTERS = 96
DAY_MS = CELL_MS * CELLS
ORIGIN = date(2024, 1, 1)  # a Monday; registers start from their start value here
ORIGIN_MS = int(datetime(ORIGIN.year, ORIGIN.month, ORIGIN.day, tzinfo=UTC).timestamp()) * 1000
WORKING_CARDS = 14
REST_CARDS = 6
CARDS = WORKING_CARDS + REST_CARDS
RATE_STEP = 1000  # consumers' rates are whole nWh per ms, so that a loss in permille of them stays an integer

Minutes = tuple[int, int]  # of the local day, half-open


@dataclass(frozen=True, slots=True)
class Kind:
    """How a sort of consumer spends its day: percent of its nominal power for each hour, and the level of rest days."""

    hours: tuple[int, ...]
    rest_percent: int


KINDS: dict[str, Kind] = {
    "workshop": Kind((8, 8, 8, 8, 8, 8, 15, 45, 90, 100, 95, 85, 50, 80, 100, 95, 90, 70, 35, 20, 12, 10, 8, 8), 25),
    "office": Kind((6, 6, 6, 6, 6, 7, 12, 30, 80, 95, 100, 95, 75, 95, 100, 95, 90, 70, 40, 25, 15, 10, 7, 6), 15),
    "shop": Kind((10, 8, 8, 8, 8, 8, 12, 20, 35, 60, 75, 85, 85, 80, 80, 85, 90, 95, 100, 100, 90, 60, 25, 12), 110),
    "cold_store": Kind(
        (60, 58, 56, 55, 55, 55, 58, 65, 75, 82, 88, 94, 98, 100, 100, 98, 94, 88, 82, 76, 72, 68, 64, 62), 95
    ),
    "dormitory": Kind(
        (35, 22, 15, 12, 12, 15, 35, 50, 30, 20, 18, 25, 40, 28, 20, 20, 25, 50, 80, 95, 100, 100, 85, 60), 125
    ),
    "lighting": Kind(
        (100, 100, 100, 100, 100, 95, 40, 8, 5, 5, 5, 5, 5, 5, 5, 5, 10, 45, 95, 100, 100, 100, 100, 100), 100
    ),
    "sun": Kind((0, 0, 0, 0, 0, 0, 4, 14, 34, 56, 76, 91, 100, 98, 88, 70, 48, 25, 7, 0, 0, 0, 0, 0), 100),
    "charging": Kind((95, 100, 100, 100, 100, 90, 30, 0, 0, 0, 0, 40, 60, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 60), 100),
    "discharging": Kind((0, 0, 0, 0, 0, 0, 0, 0, 30, 60, 60, 0, 0, 0, 0, 40, 70, 90, 100, 95, 60, 20, 0, 0), 100),
}


def drawn(*words: object) -> int:
    """64 bits that depend on nothing but the words."""
    return int.from_bytes(blake2b(":".join(map(str, words)).encode(), digest_size=8).digest())


class Calendar:
    """Local days since ORIGIN and the card each of them shows. `offset_ms`: local time minus UTC."""

    def __init__(self, seed: int, offset_ms: int = 0) -> None:
        self.seed = seed
        self.offset_ms = offset_ms
        self._seen: list[tuple[int, ...]] = [(0,) * CARDS]  # how often each card lay before day d

    def split(self, t_ms: int) -> tuple[int, int]:
        """Local day and ms within it of an instant (UTC ms). Raises ValueError before ORIGIN."""
        day, ms = divmod(t_ms + self.offset_ms - ORIGIN_MS, DAY_MS)
        if day < 0:
            raise ValueError(f"the simulated park begins on {ORIGIN}, {t_ms} ms is earlier")
        return day, ms

    def card(self, day: int) -> int:
        number = drawn(self.seed, "day", day)
        if day % 7 < 5:
            return number % WORKING_CARDS
        return WORKING_CARDS + number % REST_CARDS

    def seen(self, day: int) -> tuple[int, ...]:
        """How often each card lay on the days before this one."""
        while len(self._seen) <= day:
            counts = list(self._seen[-1])
            counts[self.card(len(self._seen) - 1)] += 1
            self._seen.append(tuple(counts))
        return self._seen[day]


class Curve:
    """Something's power over time. `rates`: card → 288 rates in pWh per ms; called once for each card."""

    def __init__(self, calendar: Calendar, rates: Callable[[int], Sequence[int]]) -> None:
        self.calendar = calendar
        self._rates = rates
        self._sums: dict[int, array[int]] = {}
        self._window_totals: dict[tuple[int, tuple[Minutes, ...]], int] = {}
        self._full: dict[tuple[Minutes, ...], tuple[int, int]] = {}  # windows → day asked for last, pWh before it
        self._peaks: dict[tuple[int, int, int], tuple[int, int]] = {}  # card, quarter hours from, to → _day_peak

    def rates(self, card: int) -> Sequence[int]:
        sums = self._prefix(card)
        return [after - before for before, after in pairwise(sums)]

    def rate(self, t_ms: int) -> int:
        """Power at an instant in pWh per ms."""
        day, ms = self.calendar.split(t_ms)
        sums, cell = self._prefix(self.calendar.card(day)), ms // CELL_MS
        return sums[cell + 1] - sums[cell]

    def energy(self, t_ms: int, windows: tuple[Minutes, ...] | None = None) -> int:
        """pWh since ORIGIN, never falling; of the given minutes of every local day only, if there are `windows`."""
        day, ms = self.calendar.split(t_ms)
        windows = windows if windows is not None else ((0, 1440),)
        known_day, full = self._full.get(windows, (-1, 0))
        if known_day != day:
            seen = enumerate(self.calendar.seen(day))
            full = sum(count * self._day_total(card, windows) for card, count in seen if count)
            self._full[windows] = day, full
        card = self.calendar.card(day)
        return full + sum(
            self._within(card, min(ms, end * 60_000)) - self._within(card, min(ms, start * 60_000))
            for start, end in windows
        )

    def peak(self, from_ms: int, to_ms: int) -> tuple[int, int]:
        """The most that flowed in a whole quarter hour of the local day between two instants, pWh, and when that ended.

        Of equals the first. 0 and `from_ms` where no quarter hour fits in between or nothing flowed.
        """
        start_ms = ORIGIN_MS - self.calendar.offset_ms
        first, last = -((start_ms - from_ms) // QUARTER_MS), (to_ms - start_ms) // QUARTER_MS
        highest = 0, from_ms
        for day in range(first // QUARTERS, -(-last // QUARTERS)):
            before = day * QUARTERS
            bounds = max(first - before, 0), min(last - before, QUARTERS)
            pwh, quarter = self._day_peak(self.calendar.card(day), *bounds)
            if pwh > highest[0]:
                highest = pwh, start_ms + (before + quarter + 1) * QUARTER_MS
        return highest

    def _day_peak(self, card: int, first: int, last: int) -> tuple[int, int]:
        """The highest of the quarter hours from one up to another, and which it is."""
        known = self._peaks.get((card, first, last))
        if known is None:
            sums = [self._within(card, quarter * QUARTER_MS) for quarter in range(first, last + 1)]
            parts = [after - before for before, after in pairwise(sums)]
            highest = max(parts, default=0)
            known = self._peaks[card, first, last] = highest, first + parts.index(highest) if parts else first
        return known

    def _day_total(self, card: int, windows: tuple[Minutes, ...]) -> int:
        total = self._window_totals.get((card, windows))
        if total is None:
            total = sum(self._within(card, end * 60_000) - self._within(card, start * 60_000) for start, end in windows)
            self._window_totals[card, windows] = total
        return total

    def _within(self, card: int, ms: int) -> int:
        sums = self._prefix(card)
        cell, rest = divmod(ms, CELL_MS)
        energy = sums[cell] * CELL_MS
        return energy + (sums[cell + 1] - sums[cell]) * rest if rest else energy

    def _prefix(self, card: int) -> array[int]:
        sums = self._sums.get(card)
        if sums is None:
            sums = array("q", [0])
            for rate in self._rates(card):
                sums.append(sums[-1] + rate)
            self._sums[card] = sums
        return sums


def consumer(calendar: Calendar, name: str, kind: str, nominal_w: int) -> Curve:
    """A consumer of that kind: its own powers for each card, at most 1.63 times nominal."""
    shape = KINDS[kind]
    nominal = nominal_w * 2500 // 9  # nWh per ms

    def rates(card: int) -> list[int]:
        noise = shake_128(f"{calendar.seed}:{name}:{card}".encode()).digest(CELLS + 1)
        level = (90 + noise[CELLS] * 20 // 255) * (shape.rest_percent if card >= WORKING_CARDS else 100)
        if kind == "sun":
            level = (20 + noise[CELLS] * 80 // 255) * 100  # the weather of the day
        return [
            nominal
            * shape.hours[cell * 24 // CELLS]
            * level
            * (210 + noise[cell] * 92 // 255)
            // (100 * 10_000 * 256)
            * RATE_STEP
            for cell in range(CELLS)
        ]

    return Curve(calendar, rates)


def total(calendar: Calendar, parts: Sequence[tuple[int, Curve]]) -> Callable[[int], list[int]]:
    """Rates of Σ weight × curve, weights in permille."""

    def rates(card: int) -> list[int]:
        sums = [0] * CELLS
        for weight, curve in parts:
            for cell, rate in enumerate(curve.rates(card)):
                sums[cell] += rate * weight // RATE_STEP
        return sums

    return rates


def windows_of(program: Sequence[tuple[int, int]], tariff: int) -> tuple[Minutes, ...]:
    """The minutes of the day in which a day program [(first minute, tariff)…] runs a tariff."""
    bounds = [minute for minute, _ in program] + [1440]
    return tuple((start, bounds[i + 1]) for i, (start, number) in enumerate(program) if number == tariff)


def tariff_at(program: Sequence[tuple[int, int]], minute: int) -> int:
    """The tariff a day program runs at a minute of the local day."""
    return program[bisect_right([first for first, _ in program], minute) - 1][1]
