"""What each step of a day usually takes, to split the energy of a gap over its slots (pure).

    last working day  │ 3 │ 3 │ 9 │ 8 │ …        register increments of one meter, one figure a step
    last rest day     │ 2 │ 2 │ 2 │ 3 │ …

Only shapes come from here: how much energy a gap holds is what the registers on its two sides say.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal

from contract.grid import DAY_S

SATURDAY = 5
UNKNOWN = -1
SCALE = 4  # decimals of an increment that count as weight
MOST = 2**31 - 1  # of a weight: 214 MWh a step


@dataclass(slots=True)
class Profile:
    """One meter's increments by register, kind of day and step of the local day; newer days overwrite older ones."""

    interval_s: int
    utc_offset_s: int
    _days: dict[tuple[str, bool], array[int]] = field(default_factory=dict)
    _still: dict[tuple[str, bool], int] = field(default_factory=dict)  # steps (bits) of a register that never moved yet
    _last: tuple[int, Mapping[str, Decimal]] | None = None  # the newest sure slot and its registers

    def learn(self, slot_s: int, registers: Mapping[str, Decimal]) -> None:
        """Takes a sure value at a slot; with that of the slot before it gives the step between them."""
        last, self._last = self._last, (slot_s, registers)
        if last is None or last[0] + self.interval_s != slot_s:
            return
        for name, value in registers.items():
            before = last[1].get(name)
            if before is not None and value >= before:
                day, step = self._place(last[0])
                self._note(name, day, step, min(MOST, int((value - before).scaleb(SCALE))))

    def parts(self, name: str, from_ms: int, to_ms: int) -> list[tuple[int, int]] | None:
        """The stretch between two instants (UTC ms) cut at the slots: (end of the piece in ms, weight up to there).

        None unless every step of it is known from a like day and any of them took something.
        """
        pieces = []
        weight = 0
        at_ms = from_ms
        while at_ms < to_ms:
            step_s = self._floor(at_ms // 1000)
            end_ms = min(to_ms, (step_s + self.interval_s) * 1000)
            day, step = self._place(step_s)
            known = self._days.get((name, day))
            if known is None or known[step] == UNKNOWN:
                return None
            weight += known[step] * (end_ms - at_ms)
            pieces.append((end_ms, weight))
            at_ms = end_ms
        return pieces if weight else None

    def _note(self, name: str, day: bool, step: int, weight: int) -> None:
        """Most of a meter's registers stand still: they get an array with their first increment."""
        key = name, day
        known = self._days.get(key)
        if known is None:
            if not weight:
                self._still[key] = self._still.get(key, 0) | 1 << step
                return
            still = self._still.pop(key, 0)
            steps = range(DAY_S // self.interval_s)
            known = self._days[key] = array("i", [0 if still >> n & 1 else UNKNOWN for n in steps])
        known[step] = weight

    def _floor(self, at_s: int) -> int:
        return at_s - (at_s + self.utc_offset_s) % self.interval_s

    def _place(self, step_s: int) -> tuple[bool, int]:
        """Whether the step's local day is a rest day, and which step of the day it is."""
        local_s = step_s + self.utc_offset_s
        return datetime.fromtimestamp(local_s, UTC).weekday() >= SATURDAY, local_s % DAY_S // self.interval_s
