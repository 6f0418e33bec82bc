"""Slots and revisions: gaps that are filled, values that are bettered, registers that do what they should not."""

from __future__ import annotations

from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from fed_park import Run, fed, meter, park, witness

from agent.ledger.profile import Profile
from agent.ledger.ratios import ratio_changes
from agent.ledger.shape import ParkLoad, Parts, Shape
from agent.ledger.slots import Bridge, Known
from agent.reading import Backfilled, Happened, Settled, Stated
from bench.fed import Fed
from contract.records import Day, Estimate, Event, Gap, Interval, Reading, Source, parse_slot

ONE = meter("m-1", 1, "tenant: acme")
SLOT, LATER = "2026-07-15T02:00:00Z", "2026-07-15T03:00:00Z"
DIRECT = {"m-1": Run()}


def silent_between(first: str, last: str, name: str = "m-1") -> Any:
    return lambda meter_id, slot_s: meter_id == name and parse_slot(first) <= slot_s <= parse_slot(last)


def codes(played: Fed) -> list[str]:
    return [event.code for event in played.bodies(Event)]


def test_a_meter_that_is_back_fills_its_gaps_with_revisions_and_loses_no_energy():
    with fed(park(ONE), DIRECT) as played:
        played.run("2026-07-15T04:00:00Z", silent=silent_between("2026-07-15T01:00:00Z", "2026-07-15T02:30:00Z"))
        gaps = played.bodies(Gap)
        assert [gap.why for gap in gaps] == ["timeout"] * len(gaps)
        filled = [r for r in played.bodies(Reading) if r.revision == 1]
        assert [filled[0].slot, filled[-1].slot] == ["2026-07-15T01:00:00Z", "2026-07-15T02:00:00Z"]
        assert {(r.quality, r.estimate, r.supersedes.reason) for r in filled} == {("estimated", "linear", "meter_back")}
        intervals = [i for i in played.latest(Interval).values() if i.tenant == "acme"]
        first, last = intervals[0].segments[0].start, intervals[-1].segments[-1].end
        assert sum(i.kwh for i in intervals) == last - first
        assert len(intervals) == 48
        assert played.findings() == []


def test_a_gap_is_split_by_the_same_meters_like_day():
    hours = ((1, "30"), (2, "2"))
    powers = [(f"2026-07-{day}T0{hour}:00:00Z", kw) for day in (15, 16) for hour, kw in hours]
    hot = Run(kw="2", powers=powers)
    with fed(park(ONE), {"m-1": hot}) as played:
        played.run("2026-07-16T06:00:00Z", silent=silent_between("2026-07-16T00:30:00Z", "2026-07-16T03:00:00Z"))
        filled = [r for r in played.bodies(Reading) if r.revision == 1]
        assert {r.estimate for r in filled} == {"profile"}
        for reading in filled:
            truth = hot.shown(parse_slot(reading.slot) * 1000)
            assert abs(reading.registers["import"] - truth) <= Decimal("0.05")
        assert played.findings() == []


class LateSun(Shape):
    """The last quarter of any stretch is where all that was sent back flowed; nothing is known of the rest."""

    def split(self, name: str, from_ms: int, to_ms: int) -> tuple[Estimate, Parts] | None:
        return ("profile", [((from_ms + 3 * to_ms) // 4, 0), (to_ms, 1)]) if name == "export" else None


@pytest.mark.parametrize("imported", ["7.00", "8.00"])
@pytest.mark.parametrize("names", [("import", "export"), ("export", "import")])
def test_how_a_register_that_moved_was_split_is_told_not_that_of_one_that_stood_still(names, imported):
    """A solar meter's import stands still all day: `linear` would send auditors to a line its export is not on."""
    ends = {"import": (Decimal("7.00"), Decimal(imported)), "export": (Decimal("1.00"), Decimal("9.00"))}
    looks = []
    for n, at_ms in enumerate((0, 7_200_000)):
        registers = {name: ends[name][n] for name in names}
        looks.append(Known(at_ms, 0, registers, Source(None, 0, registers, None, [], []), [], 1))
    shape = LateSun("m", Profile(900, 28_800), ParkLoad(900, {}))
    at = Bridge(looks[0], looks[1], 900, shape=shape).at(3600)
    assert (at.estimate, at.registers["export"]) == ("profile", Decimal("1.00"))


MASTER = meter("m-0", 9, "role: master")
BUSY = [("2026-07-15T01:00:00Z", "30"), ("2026-07-15T02:00:00Z", "2")]


@pytest.mark.parametrize("meters", [f"{MASTER}\n{ONE}", f"{ONE}\n{MASTER}"])
def test_a_gap_without_a_like_day_is_split_as_the_parks_feed_ran(meters: str):
    feed, hot = Run(kw="2.4", powers=[(at, str(Decimal("1.2") * int(kw))) for at, kw in BUSY]), Run(kw="2", powers=BUSY)
    with fed(park(meters), {"m-0": feed, "m-1": hot}) as played:
        played.run("2026-07-15T06:00:00Z", silent=silent_between("2026-07-15T00:30:00Z", "2026-07-15T03:00:00Z"))
        filled = [r for r in played.bodies(Reading) if r.revision == 1]
        assert {(r.estimate, r.quality, r.meter) for r in filled} == {("master", "estimated", "m-1")}
        for reading in filled:
            truth = hot.shown(parse_slot(reading.slot) * 1000)
            assert abs(reading.registers["import"] - truth) <= Decimal("0.05")
        assert played.findings() == []


def test_a_gap_in_which_the_feed_was_silent_too_is_split_by_time():
    feed, hot = Run(kw="4", powers=BUSY), Run(kw="2", powers=BUSY)

    def both(name: str, slot_s: int) -> bool:
        return parse_slot("2026-07-15T00:30:00Z") <= slot_s <= parse_slot("2026-07-15T03:00:00Z")

    with fed(park(f"{MASTER}\n{ONE}"), {"m-0": feed, "m-1": hot}) as played:
        played.run("2026-07-15T06:00:00Z", silent=both)
        filled = [r for r in played.bodies(Reading) if r.revision == 1 and r.meter == "m-1"]
        assert {r.estimate for r in filled} == {"linear"}
        assert played.findings() == []


def test_a_load_record_betters_an_estimate_and_everything_that_rests_on_it():
    run = Run(kw="2", powers=[("2026-07-15T01:00:00Z", "30"), ("2026-07-15T02:00:00Z", "2")])
    with fed(park(ONE), {"m-1": run}) as played:
        played.run("2026-07-15T16:30:00Z", silent=silent_between("2026-07-15T00:30:00Z", "2026-07-15T03:00:00Z"))
        before = played.latest(Interval)["acme", None, "2026-07-15T01:00:00Z"]
        assert before.quality == "estimated"
        (day,) = played.bodies(Day)
        at = [f"2026-07-15T{hour:02d}:{minute:02d}:00Z" for hour in (1, 2) for minute in (0, 15, 30, 45)]
        found = [witness(slot, str(run.shown(parse_slot(slot) * 1000))) for slot in at[:5]]
        played.take(Backfilled("m-1", tuple(found)))
        played.settle()
        readings = played.latest(Reading)
        for slot in at[:5]:
            value = readings["m-1", slot]
            assert (value.method, value.quality, value.revision) == ("load_profile", "measured", 2)
        assert readings["m-1", at[5]].quality == "estimated"
        assert readings["m-1", at[5]].revision == 2
        after = played.latest(Interval)["acme", None, "2026-07-15T01:00:00Z"]
        assert (after.quality, after.revision) == ("measured", before.revision + 1)
        assert abs(after.kwh - Decimal("7.5")) <= Decimal("0.01")
        revised = played.bodies(Day)[-1]
        assert (revised.revision, revised.total) == (day.revision + 1, day.total)
        assert revised.quality_kwh["estimated"] < day.quality_kwh["estimated"]
        assert played.findings() == []


def test_the_same_witness_twice_changes_nothing_the_second_time():
    with fed(park(ONE), DIRECT) as played:
        played.run("2026-07-15T04:00:00Z", silent=silent_between("2026-07-15T01:00:00Z", "2026-07-15T02:30:00Z"))
        slot = "2026-07-15T01:30:00Z"
        for _ in range(2):
            played.take(Backfilled("m-1", (witness(slot, str(DIRECT["m-1"].shown(parse_slot(slot) * 1000))),)))
            played.settle()
            size = len(played.log.records)
        assert played.latest(Reading)["m-1", slot].revision == 2
        assert len(played.log.records) == size


@pytest.mark.parametrize("kwh", ["900.00", "5000.00"])
def test_a_witness_that_cannot_lie_between_its_neighbours_is_refused_with_an_event(kwh):
    with fed(park(ONE), DIRECT) as played:
        played.run("2026-07-15T04:00:00Z", silent=silent_between("2026-07-15T01:00:00Z", "2026-07-15T02:30:00Z"))
        played.take(Backfilled("m-1", (witness("2026-07-15T01:30:00Z", kwh, "manual"),)))
        played.settle()
        assert codes(played)[-1] in ("register_fell", "register_jumped")
        assert played.latest(Reading)["m-1", "2026-07-15T01:30:00Z"].method == "interpolated"


def test_a_manual_reading_yields_to_what_the_agent_read_itself():
    with fed(park(ONE), DIRECT) as played:
        played.run("2026-07-15T04:00:00Z")
        slot = "2026-07-15T01:30:00Z"
        played.take(Backfilled("m-1", (witness(slot, str(DIRECT["m-1"].shown(parse_slot(slot) * 1000)), "manual"),)))
        played.settle()
        assert played.latest(Reading)["m-1", slot].method == "live"


def test_a_rollover_inside_an_interpolation_passes_through_zero():
    run = Run(start="999990.00", kw="40")
    with fed(park(ONE), {"m-1": run}) as played:
        played.run("2026-07-14T23:00:00Z", silent=silent_between("2026-07-14T16:15:00Z", "2026-07-14T17:30:00Z"))
        assert codes(played).count("rollover") == 1
        intervals = [i for i in played.latest(Interval).values() if i.tenant == "acme"]
        assert len(intervals) == 28
        rolled = [s for i in intervals for s in i.segments if s.rollover is not None]
        assert [s.rollover for s in rolled] == [Decimal(10**6)]
        assert all(abs(i.kwh - 10) <= Decimal("0.05") for i in intervals)
        assert played.findings() == []


def test_a_rollover_right_behind_a_slot_that_was_read_late_is_found_in_its_own_step():
    run = Run(start="999983.23", kw="40")
    with fed(park(ONE), {"m-1": run}) as played:
        played.run("2026-07-14T19:00:00Z", late_ms=20_000)
        intervals = [i for i in played.latest(Interval).values() if i.tenant == "acme"]
        assert len(intervals) == 11
        assert sum(s.rollover is not None for i in intervals for s in i.segments) == 1
        assert played.findings() == []


def test_a_register_that_falls_by_a_hair_and_catches_up_costs_nothing():
    run = Run(steps=[("2026-07-15T01:01:00Z", "-0.03")], kw="0.08")
    with fed(park(ONE), {"m-1": run}) as played:
        played.run("2026-07-15T04:00:00Z")
        assert codes(played) == []
        intervals = [i for i in played.latest(Interval).values() if i.tenant == "acme"]
        assert len(intervals) == 48
        assert sum(i.kwh for i in intervals) == intervals[-1].segments[0].end - intervals[0].segments[0].start


@pytest.mark.parametrize(("kwh", "code"), [("-900", "register_fell"), ("700", "register_jumped")])
def test_a_register_that_breaks_is_a_new_base_after_three_looks_and_never_consumption(kwh, code):
    run = Run(steps=[("2026-07-15T01:01:00Z", kwh)])
    with fed(park(ONE), {"m-1": run}) as played:
        played.run("2026-07-15T04:00:00Z")
        assert codes(played) == [code]
        assert [(g.from_slot, g.to_slot, g.why) for g in played.bodies(Gap)] == [
            ("2026-07-15T01:15:00Z", "2026-07-15T01:30:00Z", "refused"),
        ]
        starts = [i.start for i in played.latest(Interval).values() if i.tenant == "acme"]
        lost = ["2026-07-15T01:00:00Z", "2026-07-15T01:15:00Z", "2026-07-15T01:30:00Z"]
        assert not set(lost) & set(starts)
        assert len(starts) == 45
        assert all(abs(i.kwh - 3) <= Decimal("0.05") for i in played.latest(Interval).values())
        assert played.findings() == []


def test_another_serial_is_an_event_and_nothing_it_counts_is_used_until_the_first_one_answers_again():
    config = park(meter("m-1", 1, "tenant: acme, serial: 2022000000000001"))
    with fed(config, DIRECT) as played:
        played.run("2026-07-15T01:00:00Z")
        played.take(Stated("m-1", played.clock.wall_ms(), "000000000001", {}))
        assert codes(played) == []
        for _ in range(2):
            played.take(Stated("m-1", played.clock.wall_ms(), "000000000099", {}))
        played.run("2026-07-15T03:00:00Z")
        assert codes(played) == ["serial_changed"]
        assert {gap.why for gap in played.bodies(Gap)} == {"refused"}
        played.take(Stated("m-1", played.clock.wall_ms(), "000000000001", {}))
        played.run("2026-07-15T04:00:00Z")
        assert ("m-1", "2026-07-15T02:00:00Z") not in {
            key for key, r in played.latest(Reading).items() if r.revision == 0
        }


def test_a_ratio_that_the_meter_has_set_otherwise_is_told_once():
    config = park(meter("m-1", 1, "tenant: acme, ct: 200/5, multiplier: 40"))
    with fed(config, DIRECT) as played:
        for ct in ("40", "30", "30"):
            played.take(Stated("m-1", played.clock.wall_ms(), None, {"ct": Decimal(ct), "pt": Decimal(1)}))
        (event,) = played.bodies(Event)
        assert (event.code, event.details["configured"], event.details["meter"]) == ("ratio_mismatch", "40", "30")


def test_an_agent_that_starts_without_time_owes_no_slot_of_the_years_before():
    with fed(park(ONE), DIRECT) as played:
        for metered in played.recorder.meters.values():
            metered.slots.next_slot_s = 900  # as an agent sees it that was started in 1970
        played.run("2026-07-14T17:00:00Z")
        assert len(played.bodies(Gap)) <= 1
        assert len(played.bodies(Interval)) >= 2


def test_the_register_of_a_settlement_day_is_checked_against_the_closing():
    with fed(park(ONE), DIRECT) as played:
        played.run("2026-07-15T04:00:00Z")
        slot_ms = parse_slot("2026-07-15T02:00:00Z") * 1000
        ours = next(r for r in played.bodies(Reading) if r.slot == "2026-07-15T02:00:00Z").registers["import"]
        later = next(r for r in played.bodies(Reading) if r.slot == "2026-07-15T02:15:00Z").registers["import"]
        for value in (ours, later):  # a clock a quarter of an hour off explains as much
            played.take(Settled("m-1", slot_ms, value))
        assert codes(played) == []
        played.take(Settled("m-1", slot_ms, later + 1))
        played.take(Settled("m-1", parse_slot("2026-07-01T16:00:00Z") * 1000, later))  # before the log began
        [event] = played.bodies(Event)
        assert (event.code, event.from_) == ("settlement_mismatch", "2026-07-15T02:00:00.000Z")
        assert event.details == {"meter": str(later + 1), "slot": str(ours)}


def test_a_load_beyond_what_the_meter_is_rated_for_is_an_event_when_it_begins():
    # 60 A, three phases: 45 kW rated, 54 kW possible
    powers = [("2026-07-15T01:00:00Z", "50"), ("2026-07-15T02:00:00Z", "12"), ("2026-07-15T03:00:00Z", "46")]
    with fed(park(ONE), {"m-1": Run(powers=powers)}) as played:
        played.run("2026-07-15T04:00:00Z")
        events = played.bodies(Event)
        assert [(event.code, event.from_[:16]) for event in events] == [
            ("overload", "2026-07-15T01:15"),
            ("overload", "2026-07-15T03:15"),
        ]
        assert events[0].details["rated_kw"] == "45.00"
        assert Decimal(49) < Decimal(events[0].details["kw"]) <= 50
        assert played.findings() == []


def test_without_a_rated_current_nothing_is_called_an_overload():
    unrated = meter("m-1", 1, "tenant: acme").replace("max_a: 60, ", "")
    with fed(park(unrated), {"m-1": Run(kw="85")}) as played:
        played.run("2026-07-15T01:00:00Z")
        assert codes(played) == []


@pytest.mark.parametrize(
    ("before", "after", "changes"),
    [
        ([(None, "30")], [(None, "30")], []),
        ([(None, "30")], [(None, "30"), (SLOT, "40")], [(SLOT, "30", "40")]),
        ([(None, "30"), (SLOT, "40")], [(None, "30"), (SLOT, "40")], []),
        ([(None, "30"), (SLOT, "40")], [(None, "30"), (LATER, "40")], [(LATER, "30", "40")]),
        ([(None, "30")], [(None, "50")], [(None, "30", "50")]),
    ],
)
def test_a_multiplier_that_the_configuration_changes_is_told_once(before, after, changes):
    def config(stretches: list[tuple[str | None, str]], name: str = "m-1") -> Any:
        meters = [{"meter": name, "from": since, "multiplier": multiplier} for since, multiplier in stretches]
        return SimpleNamespace(points=[{"id": "p", "meters": meters}])

    told = list(ratio_changes(config(after), config(before)))
    assert [(change.at_s, change.details["before"], change.details["after"]) for change in told] == [
        (None if since is None else parse_slot(since), old, new) for since, old, new in changes
    ]
    assert list(ratio_changes(config(after), None)) == []
    assert list(ratio_changes(config(after, "m-2"), config(before))) == []  # another meter


def test_what_a_meter_remembers_of_its_months_is_an_event_and_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    with fed(park(ONE), DIRECT) as played, caplog.at_level("INFO", "agent.ledger.recorder"):
        now_ms = played.clock.wall_ms()
        for code in ("max_demand", "cover_open"):
            played.take(Happened("m-1", code, now_ms, now_ms, {}))
        assert codes(played)[-2:] == ["max_demand", "cover_open"]
        assert [record.levelname for record in caplog.records[-2:]] == ["INFO", "WARNING"]
