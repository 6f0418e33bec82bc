"""The ledger as it grows: which interval, day, statement and balance to write or revise next (pure).

Told each meter's value at a slot as it becomes known, `derive` writes every record that is now possible, each once,
and a revision of those whose readings changed. The arithmetic is contract.ledger's; this remembers what was written.
Values and intervals of the last KEPT_S are in memory, packed but for the newest; what a late value touches further
back is recalled from the log.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TypeVar

from agent.ledger.shelf import Shelves
from contract.balance import balance_interval, balance_sum, skew_of
from contract.grid import DAY_S
from contract.ledger import SlotValue, interval, join
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
)
from contract.totals import total

logger = logging.getLogger(__name__)
KEPT_S = 2 * DAY_S + 3600
FOREVER_S = 2**62
LEARNT_AT_ONCE = 512  # records of the log, before what they said is packed
FRESH_STEPS = 2  # not packed: the next sweep looks at them
DAYS_KEPT_S = 70 * DAY_S  # days, of which statements are made: two billing periods
BILLED = ("import", "export")  # of a reading's registers, what the ledger looks at
DOUBTFUL = ("estimated", "substituted")
Derived = Interval | Day | Statement | Balance
D = TypeVar("D", Interval, Day, Statement, Balance)
T = TypeVar("T", Day, Statement)
Add = Callable[[Body], int]
Whose = tuple[str | None, str | None]  # tenant, point; the park's balance has neither
Key = tuple[str, Whose, int, int]  # kind, whose, from, to
PARK: Whose = (None, None)


@dataclass(frozen=True, slots=True)
class Written:
    """A derived record in the log: where, which revision, and what it said."""

    seq: int
    body: Derived


@dataclass(slots=True)
class Books:
    """The derived records of one epoch.

    recall: reads back what the log holds of [from, to) UTC seconds, of some kinds or all; called for old spans only.
    """

    plan: Plan
    recall: Callable[[int, int, tuple[str, ...]], Iterable[tuple[int, Body]]]
    values: Shelves[str, SlotValue] = field(default_factory=Shelves)  # meter, slot → value, of what can be billed
    skews: Shelves[str, Decimal] = field(default_factory=Shelves)  # meter, slot → seconds off the slot
    rolled: dict[tuple[str, int], Decimal] = field(default_factory=dict)  # (meter, step) → modulus
    intervals: Shelves[Whose, Written] = field(default_factory=Shelves)  # whose, start of the step → interval
    days: Shelves[Whose, Written] = field(default_factory=Shelves)  # whose, start of the day → day
    statements: Shelves[Whose, Written] = field(default_factory=Shelves)  # whose, start of the period → statement
    written: dict[Key, Written] = field(default_factory=dict)  # balances
    _touched: set[int] = field(default_factory=set)  # steps whose readings are new
    _spans: set[tuple[str, int, int]] = field(default_factory=set)  # days and statements to write again
    _closed_s: int = 0  # days and statements that ended up to here were written
    _recalled: set[tuple[int, int]] = field(default_factory=set)
    _days_since_s: int = FOREVER_S  # days that began from here on are in memory
    _former: Plan | None = None  # what was in force before, while steps are still to be written under the new plan
    _replanned: set[int] = field(default_factory=set)

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
            self._keep_value(seq, body)
        elif isinstance(body, (Interval, Day, Statement, Balance)):
            key = self._key(body)
            known = self._known(key)
            if known is None or known.body.revision <= body.revision:
                self._keep(key, Written(seq, body))
            if isinstance(body, Interval):
                for segment in body.segments:
                    if segment.rollover is not None:
                        self.rolled[segment.meter, key[2]] = segment.rollover
        elif isinstance(body, Event) and body.code == "rollover" and body.from_ is not None and body.to is not None:
            modulus = Decimal(body.details["modulus"])
            self.rollover(body.id, parse_instant(body.from_), parse_instant(body.to), modulus)

    def reading(self, seq: int, body: Reading) -> None:
        """Takes a reading just added: the steps on both sides of its slot can change."""
        if body.slot is None:
            return
        slot_s = self._keep_value(seq, body)
        self._touched |= {slot_s - self.plan.interval_s, slot_s}

    def rollover(self, meter: str, from_ms: int, to_ms: int, modulus: Decimal) -> None:
        """The meter's register passed through zero between two looks: in which step, the values at the slots tell."""
        first_s, last_s = self.plan.slot_floor(from_ms // 1000), self.plan.slot_floor(to_ms // 1000)
        for step_s in range(first_s, last_s + 1, self.plan.interval_s):
            self.rolled[meter, step_s] = modulus

    def knows(self, meter: str, slot_s: int) -> bool:
        """Whether the slot has a value."""
        return self._value(meter, slot_s) is not None

    def derive(self, now_s: int, add: Add) -> None:
        """Writes what has become possible or has changed; days and billing periods when they are over."""
        for step_s in self._due_steps(now_s):
            self._recall_if_old(step_s, now_s)
            self._step(step_s, add)
        self._close(now_s)
        unfinished = {span for span in self._spans if self._touched and span[0] == "statement"}
        spans, self._spans = self._spans - unfinished, unfinished
        for kind, from_s, to_s in sorted(spans, key=lambda span: (span[2], span[2] - span[1])):
            self._totals(kind, from_s, to_s, add)
        if not self._touched and not self._replanned:
            self._former = None
        self._forget(now_s - KEPT_S)

    def replan(self, former: Plan, since_s: int, now_s: int) -> None:
        """After a change of configuration: steps of the log that the new plan sees otherwise are written again."""
        steps = range(self.plan.slot_floor(since_s), self.plan.slot_floor(now_s), self.plan.interval_s)
        if former.interval_s != self.plan.interval_s:
            return  # another grid: what was written stands
        changed = {step_s for step_s in steps if not _alike(former, self.plan, step_s)}
        if changed:
            logger.info("the configuration changes %d steps of the past", len(changed))
            self._former, self._replanned = former, changed
            self._touched |= changed

    def resume(self, now_s: int) -> None:
        """After a restart: days and periods that ended meanwhile are still to be written."""
        days = self.days.slots()
        self._closed_s = self.plan.day_of(days[-1])[1] if days else self.plan.day_of(now_s)[0]

    def _due_steps(self, now_s: int) -> list[int]:
        """Touched steps in order; of those further back than what is in memory, one day at a time."""
        steps = sorted(self._touched)
        old = [step_s for step_s in steps if self._is_old(step_s, now_s)]
        if old:
            day_end_s = self.plan.day_of(old[0])[1]
            later = {step_s for step_s in old if step_s >= day_end_s}
            steps = [step_s for step_s in steps if step_s not in later]
            self._touched = later
        else:
            self._touched = set()
        return steps

    def _step(self, step_s: int, add: Add) -> None:
        end_s = step_s + self.plan.interval_s
        made = set()
        for subject, held in self.plan.holdings(step_s).items():
            body = interval(self.plan, subject, held, step_s, self._value, self._rollover)
            if body is not None:
                made.add(_whose(subject))
                if self._write(body, ("interval", _whose(subject), step_s, end_s), add):
                    self._revise_spans(step_s)
        if step_s in self._replanned:
            self._replanned.discard(step_s)
            self._retract(step_s, made, add)
        balance = balance_interval(self.plan, step_s, self._value, self._rollover, self._skew)
        if balance is not None:
            self._write(balance, ("balance", PARK, step_s, end_s), add)

    def _retract(self, step_s: int, made: set[Whose], add: Add) -> None:
        """What was written under the former plan and is not so under this one, or not known: an interval of nothing."""
        assert self._former is not None
        for subject in self._former.holdings(step_s):
            key = ("interval", _whose(subject), step_s, step_s + self.plan.interval_s)
            known = self._known(key)
            if key[1] in made or known is None or not isinstance(known.body, Interval):
                continue
            if self._write(replace(known.body, kwh=Decimal(0), quality="measured", segments=[]), key, add):
                self._revise_spans(step_s)

    def _write(self, body: D, key: Key, add: Add) -> bool:
        known = self._known(key)
        if known is not None:
            assert isinstance(known.body, type(body))
            same = replace(body, revision=known.body.revision, supersedes=known.body.supersedes)
            if same == known.body:
                return False
            reason = "reading_revised" if self._former is None else "config_changed"
            body = replace(body, revision=known.body.revision + 1, supersedes=Supersedes(known.seq, reason))
        self._keep(key, Written(add(body), body))
        return True

    def _revise_spans(self, step_s: int) -> None:
        """Days and statements that were written and now lack this step's latest."""
        day = self.plan.day_of(step_s)
        period = self.plan.billing_period_of(step_s)
        for kind, (from_s, to_s) in (("day", day), ("statement", period)):
            if to_s <= self._closed_s:
                self._spans.add((kind, from_s, to_s))

    def _close(self, now_s: int) -> None:
        """Days that ended long enough ago for all their slots to have a first answer."""
        ripe_s = now_s - 2 * self.plan.interval_s
        if not self._closed_s:
            self._closed_s = self.plan.day_of(now_s)[0]
        while self.plan.day_of(self._closed_s)[1] <= ripe_s:
            from_s, to_s = self.plan.day_of(self._closed_s)
            self._spans.add(("day", from_s, to_s))
            period = self.plan.billing_period_of(to_s - 1)
            while period[1] <= to_s and period[1] > from_s:
                self._spans.add(("statement", *period))
                period = self.plan.billing_period_of(period[0] - 1)
            self._closed_s = to_s

    def _totals(self, kind: str, from_s: int, to_s: int, add: Add) -> None:
        if kind == "statement":
            self._statements(from_s, to_s, add)
            return
        for subject in self._subjects(from_s, to_s):
            intervals = self._intervals(subject, from_s, to_s)
            key = ("day", _whose(subject), from_s, to_s)
            if intervals or self._known(key) is not None:
                self._write(self._total(Day, subject, from_s, to_s, intervals), key, add)
        balances = self._balances(from_s, to_s)
        if balances:
            self._write(balance_sum(from_s, to_s, balances), ("balance", PARK, from_s, to_s), add)

    def _statements(self, from_s: int, to_s: int, add: Add) -> None:
        """From the days in between, so that a month is not read back; from intervals where days do not tell enough."""
        pieces = self._pieces(from_s, to_s)
        self._recall_days(pieces)
        for subject in self._subjects(from_s, to_s):
            key = ("statement", _whose(subject), from_s, to_s)
            parts = [self._part(subject, *piece) for piece in self._grouped(subject, pieces)]
            known = [part for part in parts if part is not None]
            if any(part.segments for part in known) or self._known(key) is not None:
                self._write(join(self.plan, subject, from_s, to_s, known, kind=Statement), key, add)
        balances = [balance for piece in pieces for balance in self._balance_of(*piece)]
        if balances:
            self._write(balance_sum(from_s, to_s, balances), ("balance", PARK, from_s, to_s), add)

    def _pieces(self, from_s: int, to_s: int) -> list[tuple[int, int]]:
        """The bounds cut at local midnights."""
        pieces = []
        while from_s < to_s:
            end_s = min(to_s, self.plan.day_of(from_s)[1])
            pieces.append((from_s, end_s))
            from_s = end_s
        return pieces

    def _day(self, subject: Subject, piece: tuple[int, int]) -> Day | None:
        known = self._known(("day", _whose(subject), *piece))
        return known.body if known is not None and isinstance(known.body, Day) else None

    def _grouped(self, subject: Subject, pieces: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """Neighbouring days with estimates go together: a stretch of them may cross midnight."""
        groups: list[tuple[int, int]] = []
        doubtful = False
        for piece in pieces:
            day = self._day(subject, piece)
            before = doubtful
            if day is None:
                doubtful = _whose(subject) in {_whose(held) for held in self._subjects(*piece)}
            else:
                doubtful = any(name in day.quality_kwh for name in DOUBTFUL)
            if before and doubtful:
                groups[-1] = (groups[-1][0], piece[1])
            else:
                groups.append(piece)
        return groups

    def _part(self, subject: Subject, from_s: int, to_s: int) -> Day | Statement | None:
        """What a subject used in a piece of a period; None where it held nothing."""
        day = self._day(subject, (from_s, to_s))
        if day is not None:
            return day
        if _whose(subject) not in {_whose(held) for held in self._subjects(from_s, to_s)}:
            return None
        for day_s in {self.plan.day_of(step_s) for step_s in self._steps(from_s, to_s)}:
            self._recall_span(*day_s)
        return self._total(Statement, subject, from_s, to_s, self._intervals(subject, from_s, to_s))

    def _balance_of(self, from_s: int, to_s: int) -> list[Balance]:
        known = self.written.get(("balance", PARK, from_s, to_s))
        if known is not None and isinstance(known.body, Balance):
            return [known.body]
        return self._balances(from_s, to_s)

    def _balances(self, from_s: int, to_s: int) -> list[Balance]:
        parts = [self.written.get(("balance", PARK, s, s + self.plan.interval_s)) for s in self._steps(from_s, to_s)]
        return [part.body for part in parts if part is not None and isinstance(part.body, Balance)]

    def _total(self, kind: type[T], subject: Subject, from_s: int, to_s: int, intervals: dict[int, Interval]) -> T:
        return total(self.plan, subject, from_s, to_s, intervals, kind=kind, value=self._value)

    def _intervals(self, subject: Subject, from_s: int, to_s: int) -> dict[int, Interval]:
        steps = self._steps(from_s, to_s)
        return {
            step_s: known.body
            for step_s, known in self.intervals.between(_whose(subject), from_s, to_s).items()
            if step_s in steps
            and isinstance(known.body, Interval)
            and parse_slot(known.body.end) == step_s + self.plan.interval_s
        }

    def _steps(self, from_s: int, to_s: int) -> range:
        return range(from_s, to_s, self.plan.interval_s)

    def _keep_value(self, seq: int, body: Reading) -> int:
        assert body.slot is not None
        slot_s = parse_slot(body.slot)
        known = self._value(body.meter, slot_s)
        if known is None or known.seq < seq:
            billed = {name: body.registers[name] for name in BILLED if name in body.registers}
            self.values.put(body.meter, slot_s, SlotValue(billed, body.quality, seq))
            self.skews.put(body.meter, slot_s, skew_of(body))
        return slot_s

    def _key(self, body: Derived) -> Key:
        if isinstance(body, Balance):
            return "balance", PARK, parse_slot(body.from_), parse_slot(body.to)
        whose = (body.tenant, body.point)
        if isinstance(body, Interval):
            return "interval", whose, parse_slot(body.start), parse_slot(body.end)
        return body.kind, whose, parse_slot(body.from_), parse_slot(body.to)

    def _known(self, key: Key) -> Written | None:
        """What was written last of the kind, for the same bounds."""
        shelves = self._shelves(key[0])
        if shelves is None:
            return self.written.get(key)
        known = shelves.get(key[1], key[2])
        return known if known is not None and self._key(known.body) == key else None  # not one of another grid

    def _keep(self, key: Key, written: Written) -> None:
        shelves = self._shelves(key[0])
        if shelves is None:
            self.written[key] = written
        else:
            shelves.put(key[1], key[2], written)

    def _shelves(self, kind: str) -> Shelves[Whose, Written] | None:
        return {"interval": self.intervals, "day": self.days, "statement": self.statements}.get(kind)

    def _value(self, meter: str, slot_s: int) -> SlotValue | None:
        return self.values.get(meter, slot_s)

    def _rollover(self, meter: str, step_s: int) -> Decimal | None:
        return self.rolled.get((meter, step_s))

    def _skew(self, meter: str, slot_s: int) -> Decimal:
        return self.skews.get(meter, slot_s) or Decimal(0)

    def _subjects(self, from_s: int, to_s: int) -> list[Subject]:
        """Everybody who holds something within the bounds, or did before the configuration changed."""
        subjects = {_whose(subject): subject for subject in self.plan.subjects(from_s, to_s)}
        if self._former is not None:
            for subject in self._former.subjects(from_s, to_s):
                subjects.setdefault(_whose(subject), subject)
        return list(subjects.values())

    def _is_old(self, step_s: int, now_s: int) -> bool:
        return step_s < now_s - KEPT_S + DAY_S

    def _recall_if_old(self, step_s: int, now_s: int) -> None:
        if self._is_old(step_s, now_s):
            self._recall_span(*self.plan.day_of(step_s))

    def _recall_span(self, from_s: int, to_s: int) -> None:
        if (from_s, to_s) not in self._recalled:
            self._recalled.add((from_s, to_s))
            self.learn_all(self.recall(from_s, to_s + 1, ()))  # the value at the end bounds the last step

    def _recall_days(self, pieces: list[tuple[int, int]]) -> None:
        """Days that a start did not read back."""
        if not pieces or pieces[0][0] >= self._days_since_s:
            return
        self._days_since_s = pieces[0][0]
        known = self.recall(pieces[0][0], pieces[-1][1], ("day", "balance", "statement"))
        self.learn_all(
            (seq, body)
            for seq, body in known
            if not isinstance(body, Balance) or parse_slot(body.to) - parse_slot(body.from_) == DAY_S
        )

    def _pack(self, before_s: int) -> None:
        for shelves in (self.values, self.skews, self.intervals, self.days, self.statements):
            shelves.pack(before_s)

    def _forget(self, before_s: int) -> None:
        self._recalled = {span for span in self._recalled if span[0] >= before_s}  # of the others a part is gone
        now_s = before_s + KEPT_S
        days_before_s = now_s - DAYS_KEPT_S
        self._pack(now_s - FRESH_STEPS * self.plan.interval_s)
        for steps in (self.values, self.skews, self.intervals):
            steps.forget(before_s)
        for spans in (self.days, self.statements):
            spans.forget(days_before_s)
        for rolled in [rolled for rolled in self.rolled if rolled[1] < before_s]:
            del self.rolled[rolled]
        for name in [name for name in self.written if name[3] < (days_before_s if _is_lasting(name) else before_s)]:
            del self.written[name]


def _whose(subject: Subject) -> Whose:
    return subject.tenant, subject.point


def _is_lasting(key: Key) -> bool:
    """Balances of days and billing periods: few, and needed as long as their period may change."""
    return key[3] - key[2] >= DAY_S


def _alike(former: Plan, plan: Plan, step_s: int) -> bool:
    """Whether two plans say the same of a step: who holds what, under which tariff period."""
    holdings = plan.holdings(step_s)
    if former.holdings(step_s) != holdings:
        return False
    schedules = {plan.points[held[0].point].schedule for held in holdings.values() if held} | {None}
    return all(former.period_at(step_s, name) == plan.period_at(step_s, name) for name in schedules)
