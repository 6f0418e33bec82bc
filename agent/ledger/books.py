"""The ledger as it grows: which interval, day, statement and balance to write or revise next (pure).

    reading ──▶ the steps beside its slot ──▶ interval, balance ──▶ day, statement once they are over, and again later

`derive` writes every interval and day that is now possible, each once, and a revision of those whose readings changed;
`periods` and `close` do so for billing periods. What needs the log read back stands apart (`look_back`, `periods`): it
can take seconds and has a thread. The arithmetic is contract.ledger's; what was written `kept` remembers.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import InitVar, dataclass, field, replace
from decimal import Decimal
from typing import TypeVar

from agent.ledger.kept import FRESH_STEPS, PARK, Derived, Kept, Key, Recall, Whose, Written, key_of
from contract.ledger import balance_interval, balance_sum, interval, is_sure, join, total
from contract.plan import Plan, Subject
from contract.records import Balance, Body, Day, Interval, Reading, Statement, Supersedes

logger = logging.getLogger(__name__)
DOUBTFUL = ("estimated", "substituted")
MOST_NAMED = 64  # texts looked for in a record before it is decoded
T = TypeVar("T", Day, Statement)
Add = Callable[[Body], int]
Bounds = tuple[int, int]  # from, to, UTC seconds
Holders = Mapping[Bounds, set[Whose]]  # piece of a period → who holds anything in it


@dataclass(slots=True)
class Books:
    """The derived records of one epoch; `recall` as Kept's."""

    plan: Plan
    recall: InitVar[Recall]
    kept: Kept = field(init=False)
    _touched: dict[int, set[str]] = field(default_factory=dict)  # step → meters whose readings are new
    _lacking: dict[int, list[str]] = field(default_factory=dict)  # step → meters that lacked a value for its balance
    _has_balance: bool = field(init=False)
    _days: set[Bounds] = field(default_factory=set)  # days to write, or to write again
    _periods: set[Bounds] = field(default_factory=set)  # billing periods to write, or to write again
    _ended_s: int = 0  # days and periods that ended up to here were written
    _former: Plan | None = None  # what was in force before, while steps are still to be written under the new plan
    _replanned: set[int] = field(default_factory=set)

    def __post_init__(self, recall: Recall) -> None:
        self.kept = Kept(self.plan, recall)
        self._has_balance = any(point.role == "master" for point in self.plan.points.values())

    def reading(self, seq: int, body: Reading) -> None:
        """Takes a reading just added: the steps on both sides of its slot can change."""
        if body.slot is None:
            return
        slot_s = self.kept.reading(seq, body)
        for step_s in (slot_s - self.plan.interval_s, slot_s):
            self._touched.setdefault(step_s, set()).add(body.meter)

    def reaches_back(self, now_s: int) -> bool:
        """Whether `derive` needs a day that may be forgotten."""
        return bool(self._touched) and self.kept.is_old(min(self._touched), now_s)

    def look_back(self) -> None:
        """Recalls that day."""
        self.kept.recall_span(*self.plan.day_of(min(self._touched)))

    def derive(self, now_s: int, add: Add) -> None:
        """Writes the intervals that have become possible or have changed, and days once they are over."""
        if self.reaches_back(now_s):
            self.look_back()
        for step_s, meters in self._due_steps(now_s):
            self._step(step_s, meters, add)
        self._end(now_s)
        days, self._days = self._days, set()
        for from_s, to_s in sorted(days):
            self._day_totals(from_s, to_s, add)
        self._settle()
        self.kept.forget(now_s)
        for step_s in [step_s for step_s in self._lacking if step_s < now_s - FRESH_STEPS * self.plan.interval_s]:
            del self._lacking[step_s]

    @property
    def ripe(self) -> bool:
        """Whether a billing period is over, or was and has changed, and none of its steps is still to be written."""
        return bool(self._periods) and not self._touched

    def periods(self, now_s: int) -> list[Statement | Balance]:
        """What follows for the billing periods that are ripe, revision 0. Nobody else may use the books meanwhile."""
        return [body for bounds in sorted(self._periods) for body in self._period(*bounds, now_s)]

    def close(self, bodies: list[Statement | Balance], add: Add) -> None:
        """Writes what `periods` gave, where it is new."""
        self._periods.clear()
        for body in bodies:
            self._write(body, key_of(body), add)
        self._settle()

    def replan(self, former: Plan, since_s: int, now_s: int) -> None:
        """After a change of configuration: steps of the log that the new plan sees otherwise are written again."""
        steps = range(self.plan.slot_floor(since_s), self.plan.slot_floor(now_s), self.plan.interval_s)
        if former.interval_s != self.plan.interval_s:
            return  # another grid: what was written stands
        changed = {step_s for step_s in steps if not _alike(former, self.plan, step_s)}
        if changed:
            logger.info("the configuration changes %d steps of the past", len(changed))
            self._former, self._replanned = former, changed
            for step_s in changed:
                self._touched.setdefault(step_s, set())

    def resume(self, now_s: int) -> None:
        """After a restart: days and periods that ended meanwhile are still to be written."""
        days = self.kept.days.slots()
        self._ended_s = self.plan.day_of(days[-1])[1] if days else self.plan.day_of(now_s)[0]

    def _due_steps(self, now_s: int) -> list[tuple[int, set[str]]]:
        """Touched steps in order; of those further back than what is in memory, one day at a time."""
        steps = sorted(self._touched)
        later: dict[int, set[str]] = {}
        if steps and self.kept.is_old(steps[0], now_s):
            day_end_s = self.plan.day_of(steps[0])[1]
            later = {
                step_s: self._touched[step_s]
                for step_s in steps
                if step_s >= day_end_s and self.kept.is_old(step_s, now_s)
            }
        touched, self._touched = self._touched, later
        return [(step_s, touched[step_s]) for step_s in steps if step_s not in later]

    def _step(self, step_s: int, meters: set[str], add: Add) -> None:
        """Only what the meters have a part in can have changed, as long as the plan is the same."""
        end_s = step_s + self.plan.interval_s
        is_replanned = step_s in self._replanned
        made = set()
        holdings = self.plan.holdings(step_s) if is_replanned else self.plan.holdings_of(step_s, sorted(meters))
        for subject, held in holdings.items():
            body = interval(self.plan, subject, held, step_s, self.kept.value, self.kept.modulus)
            if body is not None:
                made.add(_whose(subject))
                if self._write(body, ("interval", _whose(subject), step_s, end_s), add):
                    self._revise_spans(step_s)
        if is_replanned:
            self._replanned.discard(step_s)
            self._retract(step_s, made, add)
        if not self._has_balance or self._lacks(step_s):
            return
        balance = balance_interval(self.plan, step_s, self.kept.value, self.kept.modulus, self.kept.skew)
        if balance is not None:
            self._write(balance, ("balance", PARK, step_s, end_s), add)

    def _lacks(self, step_s: int) -> bool:
        """Whether a meter has no value yet at an end of the step: whoever had one is not looked at again."""
        if step_s not in self._lacking:
            self._lacking[step_s] = self.plan.meters_in_force(step_s)
        lacking = self._lacking[step_s]
        ends = step_s, step_s + self.plan.interval_s
        while lacking and all(self.kept.value(lacking[-1], slot_s) is not None for slot_s in ends):
            lacking.pop()
        return bool(lacking)

    def _retract(self, step_s: int, made: set[Whose], add: Add) -> None:
        """What was written under the former plan and is not so under this one, or not known: an interval of nothing."""
        assert self._former is not None
        for subject in self._former.holdings(step_s):
            key = ("interval", _whose(subject), step_s, step_s + self.plan.interval_s)
            known = self.kept.written(key)
            if key[1] in made or known is None or not isinstance(known.body, Interval):
                continue
            if self._write(replace(known.body, kwh=Decimal(0), quality="measured", segments=[]), key, add):
                self._revise_spans(step_s)

    def _write(self, body: Derived, key: Key, add: Add) -> bool:
        known = self.kept.written(key)
        if known is not None:
            assert isinstance(known.body, type(body))
            same = replace(body, revision=known.body.revision, supersedes=known.body.supersedes)
            if same == known.body:
                return False
            reason = "reading_revised" if self._former is None else "config_changed"
            body = replace(body, revision=known.body.revision + 1, supersedes=Supersedes(known.seq, reason))
        self.kept.keep(key, Written(add(body), body))
        return True

    def _revise_spans(self, step_s: int) -> None:
        """The day and period that were written and now lack this step's latest."""
        for spans, bounds in (
            (self._days, self.plan.day_of(step_s)),
            (self._periods, self.plan.billing_period_of(step_s)),
        ):
            if bounds[1] <= self._ended_s:
                spans.add(bounds)

    def _end(self, now_s: int) -> None:
        """Days, and periods with them, that ended long enough ago for all their slots to have a first answer."""
        ripe_s = now_s - 2 * self.plan.interval_s
        if not self._ended_s:
            self._ended_s = self.plan.day_of(now_s)[0]
        while self.plan.day_of(self._ended_s)[1] <= ripe_s:
            from_s, to_s = self.plan.day_of(self._ended_s)
            self._days.add((from_s, to_s))
            period = self.plan.billing_period_of(to_s - 1)
            while period[1] <= to_s and period[1] > from_s:
                self._periods.add(period)
                period = self.plan.billing_period_of(period[0] - 1)
            self._ended_s = to_s

    def _settle(self) -> None:
        """Forgets the former plan once nothing is left to be written under the new one."""
        if not self._touched and not self._replanned and not self._periods:
            self._former = None

    def _day_totals(self, from_s: int, to_s: int, add: Add) -> None:
        for subject in self._subjects(from_s, to_s):
            intervals = self.kept.intervals_of(_whose(subject), from_s, to_s)
            key = ("day", _whose(subject), from_s, to_s)
            if intervals or self.kept.written(key) is not None:
                self._write(self._total(Day, subject, from_s, to_s, intervals), key, add)
        balances = self.kept.balances_of(from_s, to_s)
        if balances:
            self._write(balance_sum(from_s, to_s, balances), ("balance", PARK, from_s, to_s), add)

    def _period(self, from_s: int, to_s: int, now_s: int) -> list[Statement | Balance]:
        """From the days in between, so that a month is not read back; from intervals where days do not tell enough.

        Piece by piece in order of time, and what was read back for one is forgotten before the next.
        """
        self.kept.recall_days(from_s, to_s)
        pieces = self._pieces(from_s, to_s)
        subjects = self._subjects(from_s, to_s)
        unsure = {piece[0]: self._unsure(piece[0]) for piece in pieces}
        holders = {piece: {_whose(subject) for subject in self._subjects(*piece)} for piece in pieces}
        parts: dict[Whose, list[Day | Statement]] = {_whose(subject): [] for subject in subjects}
        groups = {_whose(subject): set(self._grouped(subject, pieces, unsure, holders)) for subject in subjects}
        for bounds in sorted({group for found in groups.values() for group in found}):
            concerned = [subject for subject in subjects if bounds in groups[_whose(subject)]]
            self._recall_steps(concerned, *bounds)
            for subject in concerned:
                if (part := self._part(subject, *bounds, holders)) is not None:
                    parts[_whose(subject)].append(part)
            self.kept.forget_steps(now_s)
        bodies: list[Statement | Balance] = []
        for subject in subjects:
            known = parts[_whose(subject)]
            key = ("statement", _whose(subject), from_s, to_s)
            if any(part.segments for part in known) or self.kept.written(key) is not None:
                bodies.append(join(self.plan, subject, from_s, to_s, known, kind=Statement))
        balances = [balance for piece in pieces for balance in self._balance_of(*piece)]
        self.kept.forget_steps(now_s)
        return [*bodies, *([balance_sum(from_s, to_s, balances)] if balances else [])]

    def _pieces(self, from_s: int, to_s: int) -> list[Bounds]:
        """The bounds cut at local midnights."""
        pieces = []
        while from_s < to_s:
            end_s = min(to_s, self.plan.day_of(from_s)[1])
            pieces.append((from_s, end_s))
            from_s = end_s
        return pieces

    def _day(self, subject: Subject, piece: Bounds) -> Day | None:
        known = self.kept.written(("day", _whose(subject), *piece))
        return known.body if known is not None and isinstance(known.body, Day) else None

    def _unsure(self, midnight_s: int) -> set[Whose]:
        """Whose registers nobody measured at a midnight: a stretch of estimates may cross it."""
        return {
            _whose(subject)
            for step_s in (midnight_s - self.plan.interval_s, midnight_s)
            for subject, held in self.plan.holdings(step_s).items()
            if any(not is_sure(self.kept.value(holding.meter, midnight_s)) for holding in held)
        }

    def _grouped(
        self, subject: Subject, pieces: list[Bounds], unsure: dict[int, set[Whose]], holders: Holders
    ) -> list[Bounds]:
        """Neighbouring days with estimates go together where a stretch of them may cross the midnight between."""
        groups: list[Bounds] = []
        doubtful = False
        for piece in pieces:
            day = self._day(subject, piece)
            before = doubtful
            if day is None:
                doubtful = _whose(subject) in holders[piece]
            else:
                doubtful = any(name in day.quality_kwh for name in DOUBTFUL)
            if before and doubtful and _whose(subject) in unsure[piece[0]]:
                groups[-1] = (groups[-1][0], piece[1])
            else:
                groups.append(piece)
        return groups

    def _recall_steps(self, subjects: list[Subject], from_s: int, to_s: int) -> None:
        """Intervals and values of those of whom no day says it all; of a day that was never written there are none."""
        whole = {piece: piece == self.plan.day_of(piece[0]) for piece in self._pieces(from_s, to_s)}
        lacking = [
            subject
            for subject in subjects
            if self._day(subject, (from_s, to_s)) is None
            and any(self._day(subject, piece) is not None or not is_whole for piece, is_whole in whole.items())
        ]
        if lacking:
            self.kept.recall_steps(from_s, to_s, ("interval", "reading"), self._named(lacking, from_s, to_s))

    def _named(self, subjects: list[Subject], from_s: int, to_s: int) -> tuple[str, ...]:
        """What stands in each record of the subjects; nothing if that were so much that looking for it takes longer."""
        meters = {
            holding.meter
            for _, _, held in self.plan.eras(from_s, to_s)
            for subject in subjects
            for holding in held.get(subject, ())
        }
        owners = {("tenant", subject.tenant) if subject.tenant else ("point", subject.point) for subject in subjects}
        named = owners | {("meter", meter) for meter in meters}
        return tuple(f'"{field}":"{name}"' for field, name in sorted(named)) if len(named) <= MOST_NAMED else ()

    def _part(self, subject: Subject, from_s: int, to_s: int, holders: Holders) -> Day | Statement | None:
        """What a subject used in a piece of a period; None where it held nothing."""
        day = self._day(subject, (from_s, to_s))
        if day is not None:
            return day
        if not any(_whose(subject) in holders[piece] for piece in self._pieces(from_s, to_s)):
            return None
        intervals = self.kept.intervals_of(_whose(subject), from_s, to_s)
        return self._total(Statement, subject, from_s, to_s, intervals)

    def _balance_of(self, from_s: int, to_s: int) -> list[Balance]:
        known = self.kept.written(("balance", PARK, from_s, to_s))
        if known is not None and isinstance(known.body, Balance):
            return [known.body]
        if (from_s, to_s) != self.plan.day_of(from_s):
            self.kept.recall_steps(from_s, to_s, ("balance",))
        return self.kept.balances_of(from_s, to_s)

    def _total(self, kind: type[T], subject: Subject, from_s: int, to_s: int, intervals: dict[int, Interval]) -> T:
        return total(self.plan, subject, from_s, to_s, intervals, kind=kind, value=self.kept.value)

    def _subjects(self, from_s: int, to_s: int) -> list[Subject]:
        """Everybody who holds something within the bounds, or did before the configuration changed."""
        subjects = {_whose(subject): subject for subject in self.plan.subjects(from_s, to_s)}
        if self._former is not None:
            for subject in self._former.subjects(from_s, to_s):
                subjects.setdefault(_whose(subject), subject)
        return list(subjects.values())


def _whose(subject: Subject) -> Whose:
    return subject.tenant, subject.point


def _alike(former: Plan, plan: Plan, step_s: int) -> bool:
    """Whether two plans say the same of a step: who holds what, under which tariff period."""
    holdings = plan.holdings(step_s)
    if former.holdings(step_s) != holdings:
        return False
    schedules = {plan.points[held[0].point].schedule for held in holdings.values() if held} | {None}
    return all(former.period_at(step_s, name) == plan.period_at(step_s, name) for name in schedules)
