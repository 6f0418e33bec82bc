"""What a log must obey besides its hashes: one answer a slot, revisions in a chain, energy that recomputes (pure).

    record ─▶ course (config, time) ─▶ slot_rules (reading, gap) ─▶ energy_rules (interval, day, statement, balance)

Fed every record's parsed JSON in order, these keep what later records refer to and report what does not fit. They work
on the JSON itself, not on dataclasses: a year of a park is verified in a minute. What was given up (absent) is never
blamed: whatever refers to it is taken as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from contract.energy_rules import EnergyRules
from contract.eras import GRACE_SLOTS, Course, PeriodsOf, Report
from contract.slot_rules import DecodeReading, SlotRules


class Rules:
    """Feed `record` and `absent` in order of index, then `finish`."""

    def __init__(self, report: Report, decode_reading: DecodeReading | None, periods_of: PeriodsOf) -> None:
        self._course = Course(report, periods_of)
        self._slots = SlotRules(self._course, decode_reading)
        self._energy = EnergyRules(self._course, self._slots)

    def absent(self, seq: int) -> None:
        """A body that was given up."""
        self._course.give_up(seq)

    def record(self, seq: int, at_ms: int, raw: Mapping[str, Any]) -> None:
        """A record that has all its fields. at_ms: −1 where it is undated. Raises ValueError, KeyError and the like."""
        if at_ms >= 0:
            self._course.time(seq, at_ms, raw["boot"])
        kind = raw["kind"]
        if kind == "reading":
            self._slots.reading(seq, at_ms, raw)
        elif kind == "interval":
            self._energy.interval(seq, raw)
        elif kind == "gap":
            self._slots.gap(seq, at_ms, raw)
        elif kind in ("day", "statement"):
            self._energy.total(seq, raw)
        elif kind == "balance":
            self._energy.balance(seq, raw)
        elif kind == "config":
            self._course.config(seq, at_ms, raw)
        elif kind == "event":
            self._energy.event(raw)

    def finish(self) -> None:
        """What only shows at the end: slots without an answer, intervals that were never written or revised."""
        self._course.finish()
        for era in self._course.eras:
            due_s = min(era.to_s, self._course.now_s - GRACE_SLOTS * era.interval_s)
            if era.from_s is not None:
                self._slots.missing(era, era.from_s, due_s)
                self._energy.missing(era, era.from_s, due_s)
        self._energy.stale()
