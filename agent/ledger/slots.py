"""From what a meter said at odd instants to its value at each slot (pure).

       last known            slot               known
    ─────●─────────────────────┼──────────────────●────▶ time
         └── on the line between the two looks ───┘      `interpolated`; `estimated` over more than a step
                             ●─┼─●                       within 1 % of the interval: `measured`

Every slot gets exactly one first answer: a reading, or a gap once it is half an interval overdue (well before the end
of the second slot after it). A gap is filled by revisions as soon as the meter speaks again: its energy is exact, its
split follows the meter's own like day (`profile`), the park's load (`master`) or time (`linear`). What a later, better
value changes is `revise`'s.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal, localcontext

from agent.ledger.shape import Shape
from contract.energy import EXACT
from contract.ledger import interpolate
from contract.records import Check, Estimate, Method, Quality, Source, Why

FORGOTTEN_S = 40 * 86400  # slots older than this that nobody answered are not the agent's any more


@dataclass(frozen=True, slots=True)
class Known:
    """An accepted look: registers at `at_ms` (UTC), with an error bound, and the record form of its source."""

    at_ms: int
    error_ms: int
    registers: dict[str, Decimal]
    source: Source
    checks: list[Check]
    attempts: int
    method: Method = "live"  # what it counts as where it is near enough to a slot


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


@dataclass(frozen=True, slots=True)
class Bridge:
    """Two looks at a meter and everything between them. `modulus`: where its registers pass through zero."""

    before: Known
    after: Known
    interval_s: int
    modulus: Decimal | None = None
    shape: Shape | None = None

    @property
    def near(self) -> bool:
        """At most an interval apart, with what both may be off: as good as measured, with an error bound."""
        return self.after.at_ms - self.before.at_ms <= self.interval_s * 1000 + 2 * tolerance_ms(self.interval_s)

    def holds(self) -> bool:
        """Whether no register falls from one look to the other, except through zero where the modulus is known."""
        return self.modulus is not None or all(
            self.after.registers[name] >= value
            for name, value in self.before.registers.items()
            if name in self.after.registers
        )

    def at(self, slot_s: int, fills: int | None = None) -> SlotReading:
        """The registers that both looks have, at a slot between them."""
        names = [name for name in self.before.registers if name in self.after.registers]
        split = {name: self._split(name, slot_s * 1000) for name in names}
        # a register that stands still has no shape: how the others are split says more than its `linear`
        estimates = [estimate for estimate, _ in (*filter(None, [split.get("import")]), *split.values())]
        return SlotReading(
            slot_s,
            "interpolated",
            "interpolated" if self.near else "estimated",
            None if self.near else next((one for one in estimates if one != "linear"), "linear"),
            {name: value for name, (_, value) in split.items()},
            [self.before.source, self.after.source],
            [check for check in self.before.checks if check in self.after.checks],
            self.after.attempts,
            fills,
        )

    def _ends(self, name: str) -> tuple[Decimal, Decimal]:
        """The register at both looks; the later one beyond the modulus if it passed through zero."""
        first, last = self.before.registers[name], self.after.registers[name]
        if last < first and self.modulus is not None:
            with localcontext(EXACT):
                last += self.modulus
        return first, last

    def _split(self, name: str, at_ms: int) -> tuple[Estimate, Decimal]:
        """The register at an instant between the looks: by the weight of its shape up to there, else by time."""
        first, last = self._ends(name)
        shaped = None
        if not self.near and self.shape is not None:
            shaped = self.shape.split(name, self.before.at_ms, self.after.at_ms)
        if shaped is None:
            return "linear", self._shown(interpolate((self.before.at_ms, first), (self.after.at_ms, last), at_ms))
        estimate, parts = shaped
        weight = next((weight for end_ms, weight in reversed(parts) if end_ms <= at_ms), 0)
        return estimate, self._shown(interpolate((0, first), (parts[-1][1], last), weight))

    def _shown(self, value: Decimal) -> Decimal:
        """As the meter would show it."""
        if self.modulus is None or value < self.modulus:
            return value
        with localcontext(EXACT):
            return value - self.modulus


def waits_since_s(now_ms: int, interval_s: int) -> int:
    """Slots before this instant, in UTC seconds, do not wait longer for a reading."""
    return (now_ms - interval_s * 1500) // 1000 + 1


@dataclass(slots=True)
class MeterSlots:
    """One meter's slots: which is next, which are open, which are gaps."""

    interval_s: int
    next_slot_s: int  # the first slot without a first answer
    last: Known | None = None
    gaps: dict[int, int] = field(default_factory=dict)  # slot → seq of its gap record
    ahead: set[int] = field(default_factory=set)  # slots to come that a hand-over reading has answered already
    why: Why = "timeout"  # of the last failure
    modulus: Decimal | None = None
    shape: Shape | None = None

    def accept(self, known: Known, nearest_slot_s: int) -> tuple[list[SlotReading], list[int]]:
        """Takes an accepted look; gives the slots that now have a value, oldest first, and those that never will.

        The latter (nothing was known before them) need a gap record each, told back through `gapped`.
        """
        self._begin(min(known.at_ms // 1000, nearest_slot_s))
        answered: list[SlotReading] = []
        off_ms = abs(known.at_ms - nearest_slot_s * 1000) + known.error_ms
        exact = off_ms <= tolerance_ms(self.interval_s) and self._is_open(nearest_slot_s)
        last = self.last
        if last is not None and last.at_ms < known.at_ms:
            bridge = Bridge(last, known, self.interval_s, self.modulus, self.shape)
            for slot_s in self._open_between(last.at_ms, known.at_ms):
                if not (exact and slot_s == nearest_slot_s):
                    answered.append(bridge.at(slot_s, self.gaps.get(slot_s)))
        if exact:
            answered.append(self._measured(known, nearest_slot_s))
        filled = {reading.slot_s for reading in answered}
        lost = [slot_s for slot_s in self._pending(max(filled, default=0)) if slot_s not in filled]
        for slot_s in filled:
            if self.gaps.pop(slot_s, None) is None:
                self.next_slot_s = max(self.next_slot_s, slot_s + self.interval_s)
        # nothing lies before an older gap that could be joined to what comes
        self.gaps = {slot_s: seq for slot_s, seq in self.gaps.items() if slot_s * 1000 >= known.at_ms}
        if last is None or last.at_ms <= known.at_ms:
            self.last = known
        answered.sort(key=lambda reading: reading.slot_s)
        for reading in answered:
            self.sure(reading.slot_s, reading.quality, reading.registers)
        return answered, lost

    def sure(self, slot_s: int, quality: Quality, registers: dict[str, Decimal]) -> None:
        """A value that stands: good ones show how the meter's and the park's days run."""
        if self.shape is not None and quality in ("measured", "interpolated"):
            self.shape.learn(slot_s, registers)

    def overdue(self, now_ms: int) -> list[int]:
        """Slots that will not wait longer for a reading; `gapped` must be told of each gap that is written."""
        self._begin(now_ms // 1000)
        return self._pending(waits_since_s(now_ms, self.interval_s))

    def gapped(self, slot_s: int, seq: int) -> None:
        if self.last is not None:
            self.gaps[slot_s] = seq
        self.next_slot_s = max(self.next_slot_s, slot_s + self.interval_s)

    def answered(self, slot_s: int) -> None:
        """Somebody else than the meter answered: no gap, and no live reading any more."""
        self.gaps.pop(slot_s, None)
        if slot_s >= self.next_slot_s:
            self.ahead.add(slot_s)

    def passed(self, slot_s: int) -> None:
        """A slot at which the meter measured nothing: no answer is owed."""
        self.next_slot_s = max(self.next_slot_s, slot_s + self.interval_s)

    def forget(self) -> None:
        """What was known no longer connects to what comes: open gaps stay gaps for good."""
        self.last = None
        self.gaps.clear()

    def _begin(self, at_s: int) -> None:
        """An agent that started without a clock counted from 1970: its slots begin when there is one."""
        past_s = at_s - self.next_slot_s
        if past_s > FORGOTTEN_S:
            self.next_slot_s += past_s - past_s % self.interval_s

    def _is_open(self, slot_s: int) -> bool:
        return (slot_s >= self.next_slot_s and slot_s not in self.ahead) or slot_s in self.gaps

    def _open_between(self, from_ms: int, to_ms: int) -> list[int]:
        """Open slots at or after one instant and before another."""
        pending = self._pending(-(-to_ms // 1000))
        return [slot_s for slot_s in [*self.gaps, *pending] if from_ms <= slot_s * 1000 < to_ms]

    def _pending(self, before_s: int) -> list[int]:
        """Slots without any first answer, before an instant in UTC seconds."""
        self.ahead = {slot_s for slot_s in self.ahead if slot_s >= self.next_slot_s}
        return [s for s in range(self.next_slot_s, before_s, self.interval_s) if s not in self.ahead]

    def _measured(self, known: Known, slot_s: int) -> SlotReading:
        return SlotReading(
            slot_s,
            known.method,
            "measured",
            None,
            known.registers,
            [known.source],
            known.checks,
            known.attempts,
            self.gaps.get(slot_s),
        )
