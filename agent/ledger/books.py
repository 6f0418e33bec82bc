"""The ledger as it grows: which interval, day and balance to write or revise next (pure).

    reading ──▶ the steps beside its slot ──▶ interval, balance ──▶ day once it is over, or again ──▶ ripe periods

`derive` writes every interval and day that is now possible, each once, and a revision of those whose readings changed.
`look_back` reads the log: it can take a second and has a thread. Which billing periods are to be closed, or closed
again, `ripe` tells; `periods` does it. The arithmetic is contract.ledger's; what was written `kept` remembers.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import InitVar, dataclass, field, replace
from decimal import Decimal

from agent.ledger.kept import (
    FRESH_STEPS,
    PARK,
    Bounds,
    Derived,
    Kept,
    Key,
    Recall,
    Whose,
    Written,
    revised,
    whose,
)
from contract.ledger import balance_interval, balance_sum, interval, total
from contract.plan import Plan, Subject
from contract.records import Body, Day, Interval, Reading

logger = logging.getLogger(__name__)
Add = Callable[[Body], int]


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
    _periods: dict[Bounds, str] = field(default_factory=dict)  # billing periods to close, or to close again, and why
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

    def ripe(self) -> dict[Bounds, str]:
        """Billing periods that are over, or were and have changed, once none of their steps is still to be written.

        Whoever asks has to close them: they are told once.
        """
        if self._touched:
            return {}
        periods, self._periods = self._periods, {}
        return periods

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
                made.add(whose(subject))
                if self._write(body, ("interval", whose(subject), step_s, end_s), add):
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
            key = ("interval", whose(subject), step_s, step_s + self.plan.interval_s)
            known = self.kept.written(key)
            if key[1] in made or known is None or not isinstance(known.body, Interval):
                continue
            if self._write(replace(known.body, kwh=Decimal(0), quality="measured", segments=[]), key, add):
                self._revise_spans(step_s)

    def _write(self, body: Derived, key: Key, add: Add) -> bool:
        new = revised(self.kept.written(key), body, self._reason)
        if new is not None:
            self.kept.keep(key, Written(add(new), new))
        return new is not None

    @property
    def _reason(self) -> str:
        return "reading_revised" if self._former is None else "config_changed"

    def _revise_spans(self, step_s: int) -> None:
        """The day and period that were written and now lack this step's latest."""
        day, period = self.plan.day_of(step_s), self.plan.billing_period_of(step_s)
        if day[1] <= self._ended_s:
            self._days.add(day)
        if period[1] <= self._ended_s:
            self._periods[period] = self._reason

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
                self._periods[period] = self._reason
                period = self.plan.billing_period_of(period[0] - 1)
            self._ended_s = to_s

    def _settle(self) -> None:
        """Forgets the former plan once nothing is left to be written under the new one."""
        if not self._touched and not self._replanned:
            self._former = None

    def _day_totals(self, from_s: int, to_s: int, add: Add) -> None:
        for subject in self._subjects(from_s, to_s):
            intervals = self.kept.intervals_of(whose(subject), from_s, to_s)
            key = ("day", whose(subject), from_s, to_s)
            if intervals or self.kept.written(key) is not None:
                day = total(self.plan, subject, from_s, to_s, intervals, kind=Day, value=self.kept.value)
                self._write(day, key, add)
        balances = self.kept.balances_of(from_s, to_s)
        if balances:
            self._write(balance_sum(from_s, to_s, balances), ("balance", PARK, from_s, to_s), add)

    def _subjects(self, from_s: int, to_s: int) -> list[Subject]:
        """Everybody who holds something within the bounds, or did before the configuration changed."""
        subjects = {whose(subject): subject for subject in self.plan.subjects(from_s, to_s)}
        if self._former is not None:
            for subject in self._former.subjects(from_s, to_s):
                subjects.setdefault(whose(subject), subject)
        return list(subjects.values())


def _alike(former: Plan, plan: Plan, step_s: int) -> bool:
    """Whether two plans say the same of a step: who holds what, under which tariff period."""
    holdings = plan.holdings(step_s)
    if former.holdings(step_s) != holdings:
        return False
    schedules = {plan.points[held[0].point].schedule for held in holdings.values() if held} | {None}
    return all(former.period_at(step_s, name) == plan.period_at(step_s, name) for name in schedules)
