"""What the ledger remembers of its log: values at slots, and the newest of each derived record.

    log ── learn ──▶ values, skews, rollovers │ intervals, days, statements, balances ──▶ books
     ▲ forget: older than KEPT_S                                                             │
     └────────────────────────────────────────────── recall: a day that something late touches

Packed but for the newest slots. What follows from a new value, and which record to write, is `books`' matter; `periods`
has a memory of this kind of its own, of the days of one billing period.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Protocol

from agent.ledger.shelf import Shelves
from contract.balance import skew_of
from contract.grid import DAY_S
from contract.ledger import SlotValue
from contract.plan import Plan, Subject
from contract.records import (
    Balance,
    Body,
    Day,
    Event,
    Interval,
    Reading,
    Statement,
    Supersedes,
    parse_instant,
    parse_slot,
    slot_instant,
)

KEPT_S = 2 * DAY_S + 3600
FOREVER_S = 2**62
LEARNT_AT_ONCE = 128  # records of the log, before what they said is packed
FRESH_STEPS = 2  # not packed: the next sweep looks at them
TIME_OF_DAY = len("2026-07-01")  # where it begins in an instant
BILLED = ("import", "export")  # of a reading's registers, what the ledger looks at
Derived = Interval | Day | Statement | Balance
Whose = tuple[str | None, str | None]  # tenant, point; the park's balance has neither
Key = tuple[str, Whose, int, int]  # kind, whose, from, to
Bounds = tuple[int, int]  # from, to, UTC seconds
PARK: Whose = (None, None)


class Recall(Protocol):
    """Reads back what the log holds of `[from_s, to_s)` UTC seconds: of some kinds, or holding one of some texts."""

    def __call__(
        self, from_s: int, to_s: int, kinds: tuple[str, ...] = (), naming: tuple[str, ...] = ()
    ) -> Iterable[tuple[int, Body]]: ...


@dataclass(frozen=True, slots=True)
class Written:
    """A derived record in the log: where, which revision, and what it said."""

    seq: int
    body: Derived


@dataclass(slots=True)
class Kept:
    """The memory of one epoch's books; `recall` is called for old spans only."""

    plan: Plan
    recall: Recall
    values: Shelves[str, SlotValue] = field(default_factory=Shelves)  # meter, slot → value, of what can be billed
    skews: Shelves[str, Decimal] = field(default_factory=Shelves)  # meter, slot → seconds off the slot
    rolled: dict[tuple[str, int], Decimal] = field(default_factory=dict)  # (meter, step) → modulus
    intervals: Shelves[Whose, Written] = field(default_factory=Shelves)  # whose, start of the step → interval
    days: Shelves[Whose, Written] = field(default_factory=Shelves)  # whose, start of the day → day
    statements: Shelves[Whose, Written] = field(default_factory=Shelves)  # whose, start of the period → statement
    balances: Shelves[Whose, Written] = field(default_factory=Shelves)  # the park's: start of the step → balance
    park_days: Shelves[Whose, Written] = field(default_factory=Shelves)  # start of the day → balance
    park_periods: Shelves[Whose, Written] = field(default_factory=Shelves)  # start of the period → balance
    _recalled: set[tuple[int, int]] = field(default_factory=set)

    def learn_all(self, records: Iterable[tuple[int, Body]]) -> None:
        """Takes records that stand in the log, and packs as it goes: as objects two days are a hundred megabytes."""
        for n, (seq, body) in enumerate(records, 1):
            self.learn(seq, body)
            if n % LEARNT_AT_ONCE == 0:
                self._pack(FOREVER_S)
        self._pack(FOREVER_S)

    def learn(self, seq: int, body: Body) -> None:
        """Takes a record that stands in the log already."""
        if isinstance(body, Reading) and body.slot is not None:
            self.reading(seq, body)
        elif isinstance(body, (Interval, Day, Statement, Balance)):
            key = key_of(body)
            known = self.written(key)
            if known is None or known.body.revision <= body.revision:
                self.keep(key, Written(seq, body))
            if isinstance(body, Interval):
                for segment in body.segments:
                    if segment.rollover is not None:
                        self.rolled[segment.meter, key[2]] = segment.rollover
        elif isinstance(body, Event) and body.code == "rollover" and body.from_ is not None and body.to is not None:
            modulus = Decimal(body.details["modulus"])
            self.rollover(body.id, parse_instant(body.from_), parse_instant(body.to), modulus)

    def reading(self, seq: int, body: Reading) -> int:
        """Takes a dated reading unless a later one of its slot is known; gives the slot."""
        assert body.slot is not None
        slot_s = parse_slot(body.slot)
        known = self.value(body.meter, slot_s)
        if known is None or known.seq < seq:
            billed = {name: body.registers[name] for name in BILLED if name in body.registers}
            self.values.put(body.meter, slot_s, SlotValue(billed, body.quality, seq))
            self.skews.put(body.meter, slot_s, skew_of(body))
        return slot_s

    def rollover(self, meter: str, from_ms: int, to_ms: int, modulus: Decimal) -> None:
        """The meter's register passed through zero between two looks: in which step, the values at the slots tell."""
        first_s, last_s = self.plan.slot_floor(from_ms // 1000), self.plan.slot_floor(to_ms // 1000)
        for step_s in range(first_s, last_s + 1, self.plan.interval_s):
            self.rolled[meter, step_s] = modulus

    def value(self, meter: str, slot_s: int) -> SlotValue | None:
        """A meter's value at a slot, as far as it is billed."""
        return self.values.get(meter, slot_s)

    def modulus(self, meter: str, step_s: int) -> Decimal | None:
        """What a register that passed through zero in a step lacks."""
        return self.rolled.get((meter, step_s))

    def skew(self, meter: str, slot_s: int) -> Decimal:
        """Seconds between a slot and what its value rests on."""
        return self.skews.get(meter, slot_s) or Decimal(0)

    def written(self, key: Key) -> Written | None:
        """What was written last of the kind, for the same bounds."""
        known = self._shelf(key).get(key[1], key[2])
        return known if known is not None and key_of(known.body) == key else None  # not one of another grid

    def spans_of(self, from_s: int, to_s: int) -> Iterator[Day | Statement]:
        """What was written of days and periods that began within the bounds."""
        for shelf in (self.days, self.statements):
            for row in shelf.rows().values():
                for known in row.between(from_s, to_s).values():
                    if isinstance(known.body, (Day, Statement)):
                        yield known.body

    def keep(self, key: Key, written: Written) -> None:
        """In the place of what was written before."""
        self._shelf(key).put(key[1], key[2], written)

    def intervals_of(self, whose: Whose, from_s: int, to_s: int) -> dict[int, Interval]:
        """Start of the step → interval, of steps of the plan's grid within the bounds."""
        return {
            parse_slot(body.start): body
            for body in self._steps(self.intervals, whose, from_s, to_s)
            if isinstance(body, Interval)
        }

    def balances_of(self, from_s: int, to_s: int) -> list[Balance]:
        """The balances of the steps of the plan's grid within the bounds."""
        return [body for body in self._steps(self.balances, PARK, from_s, to_s) if isinstance(body, Balance)]

    def _steps(self, shelf: Shelves[Whose, Written], whose: Whose, from_s: int, to_s: int) -> Iterator[Derived]:
        for start_s, known in shelf.between(whose, from_s, to_s).items():
            bounds = key_of(known.body)[2:]
            if (start_s - from_s) % self.plan.interval_s == 0 and bounds == (start_s, start_s + self.plan.interval_s):
                yield known.body

    def is_old(self, step_s: int, now_s: int) -> bool:
        """Whether a step, or one it adds up with, may be forgotten already."""
        return step_s < now_s - KEPT_S + DAY_S

    def recall_span(self, from_s: int, to_s: int) -> None:
        """Everything of a span that may be forgotten."""
        if (from_s, to_s) not in self._recalled:
            self._recalled.add((from_s, to_s))
            self.learn_all(self.recall(from_s, to_s + 1))  # the value at the end bounds the last step

    def recall_steps(self, from_s: int, to_s: int, kinds: tuple[str, ...], naming: tuple[str, ...] = ()) -> None:
        """What is to be forgotten right after: records of some kinds, those that hold one of some texts."""
        self.learn_all(self.recall(from_s, to_s + 1, kinds, naming))

    def recall_days(self, from_s: int, to_s: int) -> None:
        """Days of a billing period, values at their midnights, and what was written of the period itself."""
        midnight = slot_instant(self.plan.day_of(from_s)[0])[TIME_OF_DAY:]  # of every day: the offset never changes
        bounds = (midnight, slot_instant(from_s), slot_instant(to_s))
        self.learn_all(
            (seq, body)
            for seq, body in self.recall(from_s, to_s + 1, ("day", "balance", "statement", "reading"), bounds)
            if not isinstance(body, Balance) or parse_slot(body.to) - parse_slot(body.from_) >= DAY_S
        )

    def forget(self, now_s: int) -> None:
        """What is older than it is kept; packs what the next sweep does not look at."""
        before_s = now_s - KEPT_S
        self._recalled = {span for span in self._recalled if span[0] >= before_s}  # of the others a part is gone
        self._pack(now_s - FRESH_STEPS * self.plan.interval_s)
        self.values.forget(before_s)
        self.skews.forget(before_s)
        for shelf in self._records():
            shelf.forget(before_s)
        for rolled in [rolled for rolled in self.rolled if rolled[1] < before_s]:
            del self.rolled[rolled]

    def forget_steps(self) -> None:
        """All that `recall_steps` gave, but the values at midnights."""
        self.values.forget(FOREVER_S, but=self._is_midnight)
        self.skews.forget(FOREVER_S)
        self.intervals.forget(FOREVER_S)

    def _is_midnight(self, slot_s: int) -> bool:
        return self.plan.day_of(slot_s)[0] == slot_s

    def _shelf(self, key: Key) -> Shelves[Whose, Written]:
        kind, _, from_s, to_s = key
        if kind == "balance":
            span_s = to_s - from_s
            return self.balances if span_s < DAY_S else self.park_days if span_s == DAY_S else self.park_periods
        return {"interval": self.intervals, "day": self.days, "statement": self.statements}[kind]

    def _records(self) -> tuple[Shelves[Whose, Written], ...]:
        return self.intervals, self.days, self.statements, self.balances, self.park_days, self.park_periods

    def _pack(self, before_s: int) -> None:
        self.values.pack(before_s)
        self.skews.pack(before_s)
        for shelf in self._records():
            shelf.pack(before_s)


def key_of(body: Derived) -> Key:
    """What a derived record is of."""
    if isinstance(body, Balance):
        return "balance", PARK, parse_slot(body.from_), parse_slot(body.to)
    if isinstance(body, Interval):
        return "interval", whose(body), parse_slot(body.start), parse_slot(body.end)
    return body.kind, whose(body), parse_slot(body.from_), parse_slot(body.to)


def whose(subject: Subject | Interval | Day | Statement) -> Whose:
    """Whom something belongs to."""
    return subject.tenant, subject.point


def revised(known: Written | None, body: Derived, reason: str) -> Derived | None:
    """A derived record as it is to be written after what is known of the same; None if that says it already."""
    if known is None:
        return body
    assert isinstance(known.body, type(body))
    if replace(body, revision=known.body.revision, supersedes=known.body.supersedes) == known.body:
        return None
    return replace(body, revision=known.body.revision + 1, supersedes=Supersedes(known.seq, reason))
