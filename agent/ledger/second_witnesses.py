"""What is held against our own values and the configuration: an event where it disagrees, and nothing is changed by it.

tariff registers    the schedule's periods      `tariff_mismatch`
settlement day      our slots beside it         `settlement_mismatch`
meters' clocks      the gateway's clock         `clock_dispute`
schedules           the time that goes by       `schedule_missing`
"""

from __future__ import annotations

import logging

from agent.ledger.books import Books
from agent.ledger.clock_witness import ClockWitness
from agent.ledger.journal import Journal
from agent.ledger.metered import Metered
from agent.ledger.schedule_witness import ScheduleWitness
from agent.ledger.slots import SlotReading
from agent.reading import ClockMoved, Settled
from contract.plan import Plan
from contract.records import plain

logger = logging.getLogger(__name__)


class SecondWitnesses:
    """What each of them told already is remembered by itself."""

    def __init__(self, plan: Plan, books: Books, journal: Journal) -> None:
        self._plan, self._books, self._journal = plan, books, journal
        self._clocks = ClockWitness()
        self._schedules = ScheduleWitness()

    def tariffs(self, metered: Metered, reading: SlotReading) -> None:
        """The meter's own tariff registers against the schedule; an event when they begin to disagree."""
        step_s = reading.slot_s - self._plan.interval_s
        point = self._plan.point_of(metered.id, step_s)
        period = None if point is None else self._plan.period_at(step_s, self._plan.points[point].schedule)[0]
        ran = metered.tariffs.take(reading.slot_s, reading.registers, period)
        if ran is not None:
            at_ms = reading.slot_s * 1000
            self._journal.event("meter", metered.id, "tariff_mismatch", {"registers": ran}, at_ms=at_ms)

    def settled(self, settled: Settled) -> None:
        """What a meter kept of its settlement day lies between our slots beside it, since its clock may be off."""
        slot_s, step_s = settled.at_ms // 1000, self._plan.interval_s
        around = [self._books.kept.value(settled.meter, slot_s + n * step_s) for n in (-1, 0, 1)]
        ours = [value.registers["import"] for value in around if value is not None and "import" in value.registers]
        if len(ours) < len(around) or min(ours) <= settled.value <= max(ours):
            return
        details = {"meter": plain(settled.value), "slot": plain(ours[1])}
        self._journal.event("meter", settled.meter, "settlement_mismatch", details, at_ms=settled.at_ms)

    def clock(self, moved: ClockMoved) -> None:
        """So many meters' clocks at once: it was ours that moved."""
        moved_s = self._clocks.take(moved.meter, moved.moved_s)
        if moved_s is not None:
            self._journal.gateway_event("clock_dispute", {"meters_moved_s": moved_s})

    def schedules(self, step_s: int) -> None:
        """Whether the step that starts here is in a tariff period at all."""
        for point, schedule, period in self._schedules.take(self._plan, step_s):
            logger.warning("schedule_missing point=%s schedule=%s %s", point, schedule, period)
            if point is None:
                self._journal.gateway_event("schedule_missing", {"period": period}, at_ms=step_s * 1000)
            else:
                details = {"period": period, "schedule": schedule}
                self._journal.event("point", point, "schedule_missing", details, at_ms=step_s * 1000)
