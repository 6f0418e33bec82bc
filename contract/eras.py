"""The course of a log as its rules see it: configurations in force, time as it went on, what was given up (pure).

    ── config ──┬── slots of era 1 ──┬── config ──┬── slots of era 2 ── …

Judges no record by itself; `slot_rules` and `energy_rules` do. Also the small readings of JSON that both need.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from typing import Any

from contract import records
from contract.grid import parse_utc_offset
from contract.plan import PeriodAt, Plan

PeriodsOf = Callable[[Mapping[str, Any]], PeriodAt]  # config record → its rule of periods; ValueError
Report = Callable[[str, int | None, str], None]

GRACE_SLOTS = 3  # a slot's first answer is due before the end of the second slot after it
ALWAYS_S, NEVER_S = -(2**62), 2**62


@dataclass(slots=True)
class Era:
    """A `config` record while it is in force: from the first slot after it to the last slot before the next one."""

    config: Mapping[str, Any]
    plan: Plan | None
    from_s: int | None  # None until a dated record comes
    interval_s: int
    offset_s: int
    to_s: int = NEVER_S


@dataclass(slots=True)
class Course:
    """Configurations and time in order of the log."""

    report: Report
    periods_of: PeriodsOf
    eras: list[Era] = field(default_factory=list)
    marks: list[tuple[int, int]] = field(default_factory=list)  # (latest time so far in s, seq), rising
    boots: dict[str, int] = field(default_factory=dict)  # boot → its first dated record, ms
    absent: set[int] = field(default_factory=set)  # bodies that were given up
    blind_until_s: int = ALWAYS_S  # answers to earlier slots may be among what was given up
    _blind: bool = False  # the last record was absent

    @property
    def era(self) -> Era | None:
        """The configuration in force."""
        return self.eras[-1] if self.eras else None

    @property
    def interval_s(self) -> int:
        """The grid in force; 0 while there is none."""
        return self.eras[-1].interval_s if self.eras else 0

    @property
    def now_s(self) -> int:
        """The latest time so far."""
        return self.marks[-1][0] if self.marks else ALWAYS_S

    def give_up(self, seq: int) -> None:
        """A body that is not there."""
        self.absent.add(seq)
        self._blind = True

    def finish(self) -> None:
        """No more records come."""
        if self._blind:
            self.blind_until_s = NEVER_S

    def time(self, seq: int, at_ms: int, boot: str) -> None:
        """A dated record."""
        self.boots.setdefault(boot, at_ms)
        at_s = at_ms // 1000
        if at_s > self.now_s:
            self.marks.append((at_s, seq))
        if self._blind:  # what was given up may have answered a slot a little before it
            self._blind, self.blind_until_s = False, at_s + 1 + max(1, self.interval_s // 100)
        if self.eras and self.eras[-1].from_s is None:
            self.eras[-1].from_s = next_slot(self.eras[-1], at_s)

    def config(self, seq: int, at_ms: int, raw: Mapping[str, Any]) -> None:
        """A `config` record: ends the era before it. Raises ValueError without a usable grid."""
        interval_s = raw["settings"]["interval_s"]
        offset_s = parse_utc_offset(raw["settings"]["utc_offset"])
        if type(interval_s) is not int or not 1 <= interval_s <= 3600 or 86_400 % interval_s:
            raise ValueError(f"interval of {interval_s!r} s")
        plan = None
        try:
            plan = Plan.from_config(raw, self.periods_of(raw))
        except (ValueError, KeyError, TypeError) as error:
            self.report("plan", seq, f"config record {seq} describes no park: {error}")
        era = Era(raw, plan, None, interval_s, offset_s)
        if at_ms >= 0:
            era.from_s = next_slot(era, at_ms // 1000)
        if self.eras and self.eras[-1].to_s == NEVER_S:
            last = self.eras[-1]
            last.to_s = at_ms // 1000 if at_ms >= 0 else self.now_s
        self.eras.append(era)
        for entry in (*raw["schedules"], *raw["holidays"], *raw["models"]):
            if hashlib.sha256(entry["text"].encode()).hexdigest() != entry["sha256"]:
                self.report("config", seq, f"config record {seq}: {entry['id']} is not the text of its hash")

    def on_grid(self, seq: int, slot_s: int, method: str) -> None:
        """Reports a slot that is none; people may read between slots."""
        if method != "manual" and self.eras:
            era = self.eras[-1]
            if (slot_s + era.offset_s) % era.interval_s:
                self.report("grid", seq, f"record {seq}: {records.slot_instant(slot_s)} is no slot")

    def seq_at(self, at_s: int) -> int:
        """The first record written at or after an instant; the last one dated if there is none."""
        place = bisect_right(self.marks, (at_s, -1))
        return self.marks[min(place, len(self.marks) - 1)][1]


def next_slot(era: Era, at_s: int) -> int:
    """The first slot after an instant."""
    return at_s - (at_s + era.offset_s) % era.interval_s + era.interval_s


def slot_from(era: Era, at_s: int) -> int:
    """The first slot at or after an instant."""
    return at_s + -(at_s + era.offset_s) % era.interval_s if at_s > ALWAYS_S else at_s


def revision_of(raw: Mapping[str, Any]) -> int:
    """A record's revision. Raises ValueError."""
    revision = raw.get("revision", 0)
    if type(revision) is not int or revision < 0:
        raise ValueError(f"revision {revision!r}")
    return revision


def superseded_by(seq: int, raw: Mapping[str, Any]) -> int | None:
    """The earlier record that this one replaces, None without any. Raises ValueError."""
    supersedes = raw.get("supersedes")
    if supersedes is None:
        return None
    target = supersedes["seq"]
    if type(target) is not int or not 0 <= target < seq:
        raise ValueError(f"supersedes {target!r}, which is not before it")
    return target


@lru_cache(maxsize=65_536)
def slot_of(text: str) -> int:
    """A slot in seconds. Raises ValueError."""
    return records.parse_slot(text)


@lru_cache(maxsize=65_536)
def decimal_of(text: Any) -> Decimal:
    """A decimal string in plain notation. Raises ValueError."""
    if not isinstance(text, str) or not text.removeprefix("-").replace(".", "", 1).isdecimal() or not text.isascii():
        raise ValueError(f"{text!r} is no decimal in plain notation")
    return Decimal(text)
