"""From what a meter said at odd instants to its value at each slot (pure).

       last known            slot               known
    ─────●─────────────────────┼──────────────────●────▶ time
         └── linear in read_at, half up to the last digit ┘      `interpolated`, `estimated` over more than a step
                             ●─┼─●                               within 1 % of the interval: `measured`

Every slot gets exactly one first answer: a reading, or a gap once it is half an interval overdue (well before the end
of the second slot after it). A gap is filled by revisions as soon as the meter speaks again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from contract.ledger import interpolate

from contract.records import Check, Estimate, Method, Quality, Source, Why


@dataclass(frozen=True, slots=True)
class Known:
    """An accepted look: registers at `at_ms` (UTC), with an error bound, and the record form of its source."""

    at_ms: int
    error_ms: int
    registers: dict[str, Decimal]
    source: Source
    checks: list[Check]
    attempts: int


@dataclass(frozen=True, slots=True)
class SlotReading:
    """A meter's value at a slot (UTC seconds); `fills`: seq of the gap that it replaces, or None."""

    slot_s: int
    method: Method
    quality: Quality
    estimate: Estimate | None
    registers: dict[str, Decimal]
    sources: list[Source]
    checks: list[Check]
    attempts: int
    fills: int | None


def tolerance_ms(interval_s: int) -> int:
    """How far from the slot a live reading may be and still stand for it: 1 % of the interval, at least 0.5 s."""
    return max(500, interval_s * 10)


@dataclass(slots=True)
class MeterSlots:
    """One meter's slots: which is next, which are open, which are gaps."""

    interval_s: int
    next_slot_s: int  # the first slot without a first answer
    last: Known | None = None
    gaps: dict[int, int] = field(default_factory=dict)  # slot → seq of its gap record
    why: Why = "timeout"  # of the last failure

    def accept(self, known: Known, nearest_slot_s: int) -> tuple[list[SlotReading], list[int]]:
        """Takes an accepted look; gives the slots that now have a value, oldest first, and those that never will.

        The latter (nothing was known before them) need a gap record each, told back through `gapped`.
        """
        answered: list[SlotReading] = []
        tolerance = tolerance_ms(self.interval_s)
        off_ms = abs(known.at_ms - nearest_slot_s * 1000) + known.error_ms
        exact = off_ms <= tolerance and self._is_open(nearest_slot_s)
        last = self.last
        if last is not None and last.at_ms < known.at_ms:
            for slot_s in self._open_between(last.at_ms, known.at_ms):
                if not (exact and slot_s == nearest_slot_s):
                    answered.append(self._between(last, known, slot_s, tolerance))
        if exact:
            answered.append(self._live(known, nearest_slot_s))
        filled = {reading.slot_s for reading in answered}
        lost = [slot_s for slot_s in self._pending(max(filled, default=0)) if slot_s not in filled]
        for slot_s in filled:
            if self.gaps.pop(slot_s, None) is None:
                self.next_slot_s = max(self.next_slot_s, slot_s + self.interval_s)
        # nothing lies before an older gap that could be joined to what comes
        self.gaps = {slot_s: seq for slot_s, seq in self.gaps.items() if slot_s * 1000 >= known.at_ms}
        self.last = known
        return sorted(answered, key=lambda reading: reading.slot_s), lost

    def overdue(self, now_ms: int) -> list[int]:
        """Slots that will not wait longer for a reading; `gapped` must be told of each gap that is written."""
        return self._pending((now_ms - self.interval_s * 1500) // 1000 + 1)

    def gapped(self, slot_s: int, seq: int) -> None:
        if self.last is not None:
            self.gaps[slot_s] = seq
        self.next_slot_s = max(self.next_slot_s, slot_s + self.interval_s)

    def forget(self) -> None:
        """What was known no longer connects to what comes: open gaps stay gaps for good."""
        self.last = None
        self.gaps.clear()

    def _is_open(self, slot_s: int) -> bool:
        return slot_s >= self.next_slot_s or slot_s in self.gaps

    def _open_between(self, from_ms: int, to_ms: int) -> list[int]:
        """Open slots at or after one instant and before another."""
        pending = self._pending(-(-to_ms // 1000))
        return [slot_s for slot_s in [*self.gaps, *pending] if from_ms <= slot_s * 1000 < to_ms]

    def _pending(self, before_s: int) -> list[int]:
        """Slots without any first answer, before an instant in UTC seconds."""
        return list(range(self.next_slot_s, before_s, self.interval_s))

    def _live(self, known: Known, slot_s: int) -> SlotReading:
        return SlotReading(
            slot_s,
            "live",
            "measured",
            None,
            known.registers,
            [known.source],
            known.checks,
            known.attempts,
            self.gaps.get(slot_s),
        )

    def _between(self, before: Known, after: Known, slot_s: int, tolerance: int) -> SlotReading:
        near = after.at_ms - before.at_ms <= self.interval_s * 1000 + 2 * tolerance
        names = [name for name in before.registers if name in after.registers]

        def value(name: str) -> Decimal:
            first, second = before.registers[name], after.registers[name]
            return interpolate((before.at_ms, first), (after.at_ms, second), slot_s * 1000)

        return SlotReading(
            slot_s,
            "interpolated",
            "interpolated" if near else "estimated",
            None if near else "linear",
            {name: value(name) for name in names},
            [before.source, after.source],
            [check for check in before.checks if check in after.checks],
            after.attempts,
            self.gaps.get(slot_s),
        )
