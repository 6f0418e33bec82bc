"""The twenty edge cases of the settlement reference, §7, one test each, through recorder and ledger as on a gateway."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from fed_park import START, Run, fed, meter, park

from agent.ledger.inbox import ManualReading, Note, WorkOrder, leave
from agent.reading import Stated
from bench.fed import Fed
from contract.plan import Plan
from contract.records import (
    Balance,
    Day,
    Event,
    Interval,
    Reading,
    Statement,
    parse_instant,
    parse_slot,
    slot_instant,
)
from contract.tariff import period_finder
from contract.totals import total

ACME = meter("m-1", 1, "tenant: acme")
DAY_END = "2026-07-15T16:30:00Z"  # half an hour after local midnight


def codes(played: Fed) -> list[str]:
    return [event.code for event in played.bodies(Event)]


def day_of(played: Fed, tenant: str | None, point: str | None = None) -> Day:
    return [day for day in played.bodies(Day) if (day.tenant, day.point) == (tenant, point)][-1]


def steps_of(played: Fed, tenant: str | None, point: str | None = None) -> dict[str, Interval]:
    found = played.latest(Interval)
    return {start: body for (who, where, start), body in found.items() if (who, where) == (tenant, point)}


def order(data: Path, event: Note, *readings: ManualReading) -> None:
    leave(data, WorkOrder((event,), readings))


def at(text: str) -> int:
    return parse_instant(text)


def test_01_meter_replaced_mid_period(tmp_path: Path):
    """Two segments by hand-over readings; the same serial change without a work order is an event, not a new meter."""
    old, new = Run(), Run(start="3.50")
    with fed(park(ACME), {"m-1": old, "m-2": new}, tmp_path) as played:
        played.run("2026-07-15T02:00:00Z")
        swapped = "2026-07-15T02:07:00Z"
        played.take(Stated("m-1", played.clock.wall_ms(), "000000000077", {}))
        played.take(Stated("m-1", played.clock.wall_ms(), "000000000078", {}))
        assert codes(played) == ["serial_changed"]
        final, initial = old.shown(at(swapped)), new.shown(at(swapped))
        bound_s = parse_slot("2026-07-15T02:15:00Z")
        points = """points:
  - id: m-1
    role: tenant
    meters: [{meter: m-1, to: "2026-07-15T10:15:00+08:00"}, {meter: m-2, from: "2026-07-15T10:15:00+08:00"}]
"""
        order(
            tmp_path,
            Note("point", "m-1", "meter_replaced", at(swapped), {"old": "m-1", "new": "m-2"}),
            ManualReading("m-1", at(swapped), {"import": final}, bound_s, True),
            ManualReading("m-2", at(swapped), {"import": initial}, bound_s, True),
        )
        played.run("2026-07-15T03:00:00Z", silent=lambda *_: True)
        played.configure(park(ACME + "\n" + meter("m-2", 2), points))
        played.run(DAY_END)
        assert codes(played).count("meter_replaced") == 1
        day = day_of(played, "acme")
        assert day.complete
        assert [(s.meter, s.start is not None) for s in day.segments] == [("m-1", True), ("m-2", True)]
        assert (day.segments[0].end, day.segments[1].start) == (final, initial)
        last = new.shown(at("2026-07-15T16:00:00.500Z"))
        first = old.shown(at("2026-07-14T16:00:00.500Z"))
        assert day.total == (final - first) + (last - initial)
        assert played.findings() == []


def test_02_ct_ratio_changed(tmp_path: Path):
    """The multiplier has a validity; entered afterwards, it revises every step since then."""
    before = park(meter("m-1", 1, "tenant: acme, ct: 150/5, multiplier: 30"))
    after = park(
        meter("m-1", 1, "tenant: acme, ct: 200/5"),
        """points:
  - id: m-1
    meters:
      - {meter: m-1, multiplier: 30, to: "2026-07-15T10:00:00+08:00"}
      - {meter: m-1, multiplier: 40, from: "2026-07-15T10:00:00+08:00"}
""",
    )
    with fed(before, {"m-1": Run()}, tmp_path) as played:
        played.run("2026-07-15T04:00:00Z")
        order(tmp_path, Note("point", "m-1", "ratio_changed", at("2026-07-15T02:00:00Z"), {"from": "30", "to": "40"}))
        played.configure(after)
        played.run(DAY_END)
        steps = steps_of(played, "acme")
        assert steps["2026-07-15T01:45:00Z"].revision == 0
        changed = steps["2026-07-15T02:00:00Z"]
        assert (changed.revision, changed.supersedes.reason) == (1, "config_changed")
        assert {s.multiplier for i in steps.values() for s in i.segments} == {Decimal(30), Decimal(40)}
        day = day_of(played, "acme")
        assert [(s.multiplier, s.kwh) for s in day.segments] == [
            (m, (s.end - s.start) * m) for m, s in zip((Decimal(30), Decimal(40)), day.segments, strict=True)
        ]
        assert day.segments[0].end == day.segments[1].start
        assert "ratio_changed" in codes(played)


def test_03_tenant_moves_out_and_in(tmp_path: Path):
    """Each pays for its side of the hand-over, entered two hours late; the vacancy between is the operator's."""
    moved = park(
        meter("m-1", 1),
        """tenancies:
  - {point: m-1, tenant: acme, to: "2026-07-15T08:00:00+08:00"}
  - {point: m-1, tenant: bolt, from: "2026-07-15T09:00:00+08:00"}
""",
    )
    with fed(park(ACME), {"m-1": Run()}, tmp_path) as played:
        played.run("2026-07-15T03:00:00Z")
        played.configure(moved)
        played.run(DAY_END)
        out, vacant, in_ = day_of(played, "acme"), day_of(played, None, "m-1"), day_of(played, "bolt")
        assert (out.segments[-1].to, vacant.role) == ("2026-07-15T00:00:00Z", "operator")
        assert (in_.segments[0].from_, vacant.segments[0].to) == ("2026-07-15T01:00:00Z", "2026-07-15T01:00:00Z")
        assert (out.segments[-1].end, vacant.segments[-1].end) == (vacant.segments[0].start, in_.segments[0].start)
        ended = played.latest(Interval)["acme", None, "2026-07-15T01:00:00Z"]
        assert (ended.kwh, ended.segments, ended.revision) == (0, [], 1)
        run = played.latest(Reading)
        span = run["m-1", "2026-07-15T16:00:00Z"].registers["import"] - run["m-1", START_SLOT].registers["import"]
        assert out.total + vacant.total + in_.total == span
        assert played.findings() == []


START_SLOT = "2026-07-14T16:00:00Z"


def test_04_rollover():
    """Known modulus: added once. Unknown: the register fell, nothing is consumption."""
    run = Run(start="999995.00", kw="12")
    for known in (True, False):
        config = park(ACME if known else ACME.replace(", digits: 6", ""))
        with fed(config, {"m-1": run}) as played:
            played.run("2026-07-14T20:00:00Z")
            assert codes(played) == (["rollover"] if known else ["register_fell"])
            kwh = sum(step.kwh for step in steps_of(played, "acme").values())
            assert abs(kwh - 48) <= Decimal("0.02") if known else kwh < 48
            assert all(step.kwh >= 0 for step in steps_of(played, "acme").values())
            assert played.findings() == []


def test_05_missing_readings():
    """The energy of the gap is exact and only its distribution estimated; never zero, never an old value again."""
    with fed(park(ACME), {"m-1": Run()}) as played:
        gap = range(parse_slot("2026-07-15T01:00:00Z"), parse_slot("2026-07-15T09:00:00Z"))
        played.run("2026-07-15T08:45:00Z", silent=lambda _m, slot_s: slot_s in gap)
        assert not any(gap.start <= parse_slot(start) < gap.stop for start in steps_of(played, "acme"))
        played.run(DAY_END)
        day = day_of(played, "acme")
        assert (day.complete, day.missing) == (True, [])
        assert day.total == day.segments[0].end - day.segments[0].start
        # hours 09 to 17 lie in flat, valley and peak: whose energy it was is uncertain, the total is not
        assert day.uncertain_kwh == day.quality_kwh["estimated"] > 0
        assert min(step.kwh for step in steps_of(played, "acme").values()) > 0


def test_06_boundary_not_hit():
    """Read 25 s late: on the line between the neighbours, which both stand in the record; further apart: estimated."""
    with fed(park(ACME), {"m-1": Run()}) as played:
        played.run("2026-07-14T18:00:00Z", late_ms=25_000)
        reading = played.latest(Reading)["m-1", "2026-07-14T17:00:00Z"]
        assert (reading.quality, reading.method, len(reading.sources)) == ("interpolated", "interpolated", 2)
        assert abs(reading.registers["import"] - Run().shown(at("2026-07-14T17:00:00Z"))) <= Decimal("0.01")
        played.run("2026-07-14T19:00:00Z", late_ms=25_000, silent=lambda _m, s: s == parse_slot("2026-07-14T18:15:00Z"))
        assert played.latest(Reading)["m-1", "2026-07-14T18:15:00Z"].quality == "estimated"


def test_07_clock_drift_across_a_tariff_boundary():
    """The host's clock decides; a look 60 s off costs at most power × offset, and is never called measured."""
    run = Run(kw="30")
    with fed(park(ACME), {"m-1": run}) as played:
        played.run("2026-07-14T22:30:00Z")
        played.run("2026-07-15T00:00:00Z", late_ms=60_000)
        bound = played.latest(Reading)["m-1", "2026-07-14T23:00:00Z"]  # 07:00: valley ends
        assert bound.quality == "interpolated"
        assert abs(bound.registers["import"] - run.shown(at("2026-07-14T23:00:00Z"))) <= Decimal("0.01")
        played.clock.state = ("held", 60_000)
        played.run("2026-07-15T01:00:00Z")
        assert played.latest(Reading)["m-1", "2026-07-15T00:45:00Z"].quality == "interpolated"


@pytest.mark.parametrize("step_s", [-3600, -900, 3600])
def test_08_agent_clock_stepped(step_s: int):
    """No overlapping intervals, no negative energy, no false break; the step is an event."""
    base = START
    run = Run()
    with fed(park(ACME), {"m-1": run}) as played:
        offset = 0
        played.registers = lambda _m, wall_ms: {"import": run.shown(wall_ms - offset)}
        played.run("2026-07-14T20:00:00Z")
        offset = step_s * 1000
        played.clock.wall += offset
        played.settle()
        played.run("2026-07-15T00:00:00Z")
        assert codes(played) == ["clock_step"]
        intervals = played.bodies(Interval)
        assert len({i.start for i in intervals}) == len(intervals)
        assert all(i.kwh >= 0 for i in intervals)
        kwh = sum(i.kwh for i in intervals)
        assert kwh == intervals[-1].segments[0].end - intervals[0].segments[0].start
        assert base < intervals[0].start


@pytest.mark.parametrize(("year", "month", "days"), [(2026, 2, 28), (2028, 2, 29), (2026, 4, 30), (2026, 7, 31)])
def test_09_no_dst(year: int, month: int, days: int):
    """A month has 28 to 31 × 96 quarter hours and ends at 16:00 UTC of its last day."""
    config = park(ACME)
    plan = Plan.from_config(config, period_finder(config))
    from_s, to_s = plan.billing_period_of(parse_slot(f"{year}-{month:02d}-15T00:00:00Z"))
    assert slot_instant(to_s) == f"{year}-{month:02d}-{days}T16:00:00Z"
    (subject,) = plan.subjects(from_s, to_s)
    assert len(list(plan.expected_steps(subject, from_s, to_s))) == days * 96


def test_10_reverse_energy():
    """Import and export are registers of their own and never netted: what flows back is not the tenant's credit."""
    both = {"import": Run(kw="6"), "export": Run(start="5.00", kw="9")}
    with fed(park(ACME), {"m-1": both}) as played:
        played.run(DAY_END)
        day = day_of(played, "acme")
        assert day.total == day.segments[0].end - day.segments[0].start
        assert abs(day.total - 144) <= Decimal("0.02")
        assert {segment.register for segment in day.segments} == {"import"}


PV_PARK = meter("m-0", 9, "role: master") + "\n" + ACME + "\n" + meter("m-2", 2) + "\n"


def test_11_a_park_with_its_own_pv():
    """What the roof gave is a line of its own; the grid's import alone is what the bill covers."""
    points = "points: [{id: p-pv, role: pv, register: export, meters: [{meter: m-2}]}]\n"
    runs: dict[str, Any] = {
        "m-0": {"import": Run(kw="4"), "export": Run(start="0.00", kw="1")},
        "m-1": Run(kw="10"),
        "m-2": {"import": Run(kw="0"), "export": Run(start="0.00", kw="8")},
    }
    with fed(park(PV_PARK, points), runs) as played:
        played.run(DAY_END)
        pv = day_of(played, None, "p-pv")
        assert pv.role == "pv"
        balance = [b for b in played.bodies(Balance) if b.to == "2026-07-15T16:00:00Z" and b.from_ == START_SLOT][-1]
        flows = balance.periods.values()
        assert sum(f.pv for f in flows) == pv.total
        loss = sum(f.loss for f in flows)
        assert loss == sum(f.import_ + f.pv + f.storage - f.export - f.points for f in flows)
        assert abs(loss - 24) <= Decimal("0.05")


def test_12_tenant_with_several_points():
    """One interval with a segment each, nothing rounded in between, one day."""
    config = park(ACME + "\n" + meter("m-2", 2, "tenant: acme, ct: 200/5, multiplier: 40"))
    with fed(config, {"m-1": Run(kw="1"), "m-2": Run(kw="0.7")}) as played:
        played.run(DAY_END)
        steps = steps_of(played, "acme")
        assert all(len(step.segments) == 2 for step in steps.values())
        day = day_of(played, "acme")
        assert day.total == sum(step.kwh for start, step in steps.items() if start < day.to)
        assert day.total == sum((s.end - s.start) * s.multiplier for s in day.segments)


def test_13_one_meter_several_tenants():
    """Agreed shares, the rest vacant, flagged as no meter of one's own; the registers of others stay hidden."""
    shares = """tenancies:
  - {point: m-1, tenant: acme, share: "0.375"}
  - {point: m-1, tenant: bolt, share: "0.5"}
"""
    with fed(park(meter("m-1", 1), shares), {"m-1": Run()}) as played:
        played.run(DAY_END)
        days = [day_of(played, "acme"), day_of(played, "bolt"), day_of(played, None, "m-1")]
        whole = sum(day.total for day in days)
        assert [day.total / whole for day in days] == [Decimal("0.375"), Decimal("0.5"), Decimal("0.125")]
        assert [day.own_meter for day in days[:2]] == [False, False]
        assert all(segment.start is None and segment.end is None for day in days for segment in day.segments)


def test_14_several_feeds():
    """Both feeds are summed; one that is not read leaves the balance open instead of half."""
    config = park("\n".join([meter("m-a", 8, "role: master"), meter("m-b", 9, "role: master"), ACME]))
    runs = {"m-a": Run(kw="7"), "m-b": Run(kw="6"), "m-1": Run(kw="12")}
    with fed(config, runs) as played:
        played.run("2026-07-15T04:00:00Z", silent=lambda m, s: m == "m-b" and s >= parse_slot("2026-07-15T02:00:00Z"))
        steps = {b.from_: b for b in played.bodies(Balance)}
        (flow,) = steps["2026-07-15T01:00:00Z"].periods.values()
        assert abs(flow.import_ - Decimal("3.25")) <= Decimal("0.02")
        assert "2026-07-15T02:00:00Z" not in steps


def test_15_sub_meters_exceed_the_master():
    """A wrong multiplier shows as a negative loss: said as it is, not bent."""
    config = park("\n".join([meter("m-0", 9, "role: master"), meter("m-1", 1, "tenant: acme, multiplier: 2")]))
    with fed(config, {"m-0": Run(kw="12.3"), "m-1": Run(kw="12")}) as played:
        played.run("2026-07-15T04:00:00Z")
        balances = played.bodies(Balance)
        assert all(b.loss_rate < Decimal("-0.9") for b in balances)


def test_16_nested_sub_meters():
    """The parent counts what no child behind it took, period by period; a circle is refused."""
    points = """points:
  - {id: p-1, role: tenant, meters: [{meter: m-1}]}
  - {id: p-2, role: tenant, parent: p-1, meters: [{meter: m-2}]}
"""
    held = """tenancies:
  - {point: p-1, tenant: acme}
  - {point: p-2, tenant: bolt}
"""
    meters = meter("m-1", 1) + "\n" + meter("m-2", 2)
    with fed(park(meters, points + held), {"m-1": Run(kw="20"), "m-2": Run(kw="5")}) as played:
        played.run(DAY_END)
        parent, child = day_of(played, "acme"), day_of(played, "bolt")
        gross = next(s for s in parent.segments if s.share == 1)
        assert parent.total == gross.kwh - child.total
        for period, kwh in child.periods.items():
            assert parent.periods[period] + kwh == pytest.approx(gross.kwh / 24 * HOURS[period], abs=Decimal("0.1"))
        assert played.findings() == []
    with pytest.raises(ValueError, match="p-1"):
        park(meters, points.replace("{id: p-1, role: tenant,", "{id: p-1, role: tenant, parent: p-2,") + held)


HOURS = {"valley": 10, "flat": 7, "peak": 3, "sharp": 4}  # July 2026


def test_17_bill_period_is_not_ours():
    """The grid's own bounds are recomputed from quarter hours, never prorated."""
    with fed(park(ACME), {"m-1": Run(powers=[("2026-07-15T04:00:00Z", "3")])}) as played:
        played.run(DAY_END)
        (subject,) = played.plan.subjects(parse_slot(START_SLOT), parse_slot("2026-07-15T16:00:00Z"))
        from_s, to_s = parse_slot("2026-07-15T03:00:00Z"), parse_slot("2026-07-15T07:15:00Z")
        steps = {parse_slot(start): step for start, step in steps_of(played, "acme").items()}
        bill = total(played.plan, subject, from_s, to_s, steps, kind=Statement)
        readings = played.latest(Reading)
        first, last = (readings["m-1", slot_instant(s)].registers["import"] for s in (from_s, to_s))
        assert bill.total == last - first
        assert abs(bill.total - Decimal("21.75")) <= Decimal("0.02")


def test_18_policy_change_inside_the_month_and_a_late_holiday_list():
    """Each instant has its schedule; a list that comes late revises what was unclassified, up to the day."""
    config = park(ACME, schedules="[zj-2024, zj-2026]")
    plan = Plan.from_config(config, period_finder(config))
    assert plan.period_at(parse_slot("2026-06-30T15:45:00Z"), None)[1].startswith("zj-2024@")
    assert plan.period_at(parse_slot("2026-06-30T16:00:00Z"), None)[1].startswith("zj-2026@")
    without = {**config, "holidays": [entry for entry in config["holidays"] if "2026" not in entry["id"]]}
    with fed(without, {"m-1": Run()}, start="2026-09-30T15:50:00Z") as played:
        played.run("2026-10-01T16:30:00Z")
        first = day_of(played, "acme")
        assert first.periods["unclassified_holiday"] > 0
        played.configure(config)
        played.settle()
        second = day_of(played, "acme")
        assert (second.revision, second.supersedes.reason) == (first.revision + 1, "config_changed")
        assert second.total == first.total
        assert "unclassified_holiday" not in second.periods
        assert second.periods["deep_valley"] > 0
        assert played.findings() == []


def test_19_very_small_numbers():
    """A tenant that used nothing, alone in its park, behind a master that counted nothing: zeros, no division."""
    config = park("\n".join([meter("m-0", 9, "role: master"), ACME]))
    with fed(config, {"m-0": Run(kw="0"), "m-1": Run(kw="0")}) as played:
        played.run(DAY_END)
        day = day_of(played, "acme")
        assert (day.total, day.complete, day.max_demand_kw) == (0, True, 0)
        assert all(b.loss_rate is None for b in played.bodies(Balance))
        assert played.findings() == []


def test_20_privacy():
    """A tenant's records hold its own registers only: not a neighbour's, not those behind a share."""
    points = """points:
  - {id: p-1, role: tenant, meters: [{meter: m-1}]}
  - {id: p-2, role: tenant, parent: p-1, meters: [{meter: m-2}]}
"""
    held = """tenancies:
  - {point: p-1, tenant: acme}
  - {point: p-2, tenant: bolt}
"""
    meters = meter("m-1", 1) + "\n" + meter("m-2", 2)
    with fed(park(meters, points + held), {"m-1": Run(kw="20"), "m-2": Run(kw="5")}) as played:
        played.run(DAY_END)
        mine = [*steps_of(played, "acme").values(), day_of(played, "acme")]
        for record in mine:
            foreign = [s for s in record.segments if s.point == "p-2"]
            assert foreign
            assert all(s.start is None and s.end is None for s in foreign)
        assert all(i.tenant is None or i.point is None for i in played.bodies(Interval))
