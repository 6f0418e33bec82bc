"""An event, once for each cause, where the configuration puts the time in no tariff period."""

from __future__ import annotations

from fed_park import Run, fed, meter, park

from bench.fed import Fed
from contract.records import Event, Interval

ONE = meter("m-1", 1, "tenant: acme")
DIRECT = {"m-1": Run()}


def told(played: Fed) -> list[tuple[str, str, str | None, dict[str, str]]]:
    return [(e.scope, e.id, e.from_, e.details) for e in played.bodies(Event) if e.code == "schedule_missing"]


def test_when_the_parks_schedule_ends_one_event_says_so_and_its_energy_is_unclassified():
    with fed(park(ONE, schedules="[zj-2024]"), DIRECT, start="2026-06-30T14:50:00Z") as played:
        played.run("2026-06-30T18:00:00Z")
        assert told(played) == [("gateway", "gw-1", "2026-06-30T16:00:00.000Z", {"period": "unclassified"})]
        assert {i.period for i in played.bodies(Interval) if i.start >= "2026-06-30T16:00:00Z"} == {"unclassified"}


def test_days_that_may_be_holidays_of_a_year_without_a_list_are_told_once():
    with fed(
        park(ONE), DIRECT, start="2027-04-30T15:50:00Z"
    ) as played:  # before local midnight of 1 May; at night all is valley anyway
        played.run("2027-05-02T08:00:00Z")
        assert told(played) == [("gateway", "gw-1", "2027-04-30T23:00:00.000Z", {"period": "unclassified_holiday"})]


def test_a_point_whose_own_schedule_ended_is_named():
    own = "points: [{id: m-1, schedule: zj-2024}]\n"
    with fed(park(ONE, own), DIRECT) as played:
        played.run("2026-07-14T17:00:00Z")
        assert told(played) == [
            ("point", "m-1", "2026-07-14T16:00:00.000Z", {"period": "unclassified", "schedule": "zj-2024"})
        ]
