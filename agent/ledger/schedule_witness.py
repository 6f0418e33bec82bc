"""Times that the configuration puts in no tariff period: no schedule is valid, or a year has no holiday list (pure).

Their energy is recorded as `unclassified` or `unclassified_holiday`, which nobody can price; somebody has to be told,
once for each cause, not for each of its intervals.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

from contract.plan import Plan


class Unclassified(NamedTuple):
    """`point`: the one whose own `schedule` says nothing, None where it is the park's schedules."""

    point: str | None
    schedule: str | None
    period: str


@dataclass(slots=True)
class ScheduleWitness:
    """What was told already: point, period and local year."""

    _told: set[tuple[str | None, str, int]] = field(default_factory=set)

    def take(self, plan: Plan, step_s: int) -> list[Unclassified]:
        """What is new of the step that starts here (UTC seconds)."""
        year = datetime.fromtimestamp(step_s + plan.utc_offset_s, UTC).year
        schedules = {None if point.schedule is None else point.id: point.schedule for point in plan.points.values()}
        found = []
        for point, schedule in schedules.items():
            period, _ = plan.period_at(step_s, schedule)
            if period.startswith("unclassified") and (point, period, year) not in self._told:
                self._told.add((point, period, year))
                found.append(Unclassified(point, schedule, period))
        return found
