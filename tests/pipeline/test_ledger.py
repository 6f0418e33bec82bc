"""Intervals, days and statements by hand; tests named after the edge cases of settlement reference §7."""

from decimal import Context, Decimal

import pytest
from ledger_park import DAY, HOUR, Values, fitting, local, plan, point, tenancy

from contract import ledger
from contract.plan import Plan, Subject
from contract.records import Day, Interval, Statement, slot_instant
from contract.totals import coverage

ACME, BOLT = Subject("acme", None, "tenant"), Subject("bolt", None, "tenant")
NOON = local("2026-07-10 12:00")
QUARTER = 900


def intervals(park: Plan, subject: Subject, value: Values, from_s: int, to_s: int, **rolled) -> dict[int, Interval]:
    made = {}
    for step_s in range(from_s, to_s, park.interval_s):
        held = park.holdings(step_s).get(subject)
        if held is not None:
            made[step_s] = ledger.interval(park, subject, held, step_s, value, **rolled)
    return {step_s: interval for step_s, interval in made.items() if interval is not None}


def test_an_interval_is_the_register_difference_times_multiplier():
    park = plan([point("p", meters=[fitting("m", multiplier="40")])], [tenancy("p", "acme")])
    value = Values()
    value.run("m", NOON, QUARTER, ["100.25", "100.50"])
    made = ledger.interval(park, ACME, park.holdings(NOON)[ACME], NOON, value)
    assert (made.kwh, made.period, made.schedule, made.role) == (Decimal(10), "valley", "zj-2026@1", "tenant")
    assert (made.start, made.end) == ("2026-07-10T04:00:00Z", "2026-07-10T04:15:00Z")
    (segment,) = made.segments
    assert (segment.start, segment.end, segment.start_seq, segment.end_seq) == (
        Decimal("100.25"),
        Decimal("100.50"),
        0,
        1,
    )


def test_a_kwh_is_never_rounded():
    meters = [fitting("m", multiplier="1234.56789012345")]
    park = plan([point("p", meters=meters)], [tenancy("p", "acme", "0.333333333333333")])
    value = Values()
    value.run("m", NOON, QUARTER, ["0.00000001", "999999.99999999"])
    made = ledger.interval(park, ACME, park.holdings(NOON)[ACME], NOON, value)
    # 99999999999998 × 123456789012345 × 333333333333333 as integers, 8 + 11 + 15 decimals
    assert made.kwh == Decimal(99999999999998 * 123456789012345 * 333333333333333).scaleb(-34, Context(prec=100))


def test_an_interval_waits_for_every_point_and_register_held():
    park = plan([point("p"), point("q", register="export")], [tenancy("p", "acme"), tenancy("q", "acme")])
    held = park.holdings(NOON)[ACME]
    value = Values()
    value.run("p", NOON, QUARTER, ["1", "2"])
    assert ledger.interval(park, ACME, held, NOON, value) is None
    value.run("q", NOON, QUARTER, ["1", "2"])  # import only, export is asked for
    assert ledger.interval(park, ACME, held, NOON, value) is None
    for i, register in enumerate(["5", "7.5"]):
        value.set("q", NOON + i * QUARTER, **{"import": "1", "export": register})
    made = ledger.interval(park, ACME, held, NOON, value)
    assert made.kwh == Decimal("3.5")
    assert [segment.register for segment in made.segments] == ["import", "export"]


def test_the_quality_is_the_worst_of_all_ends():
    park = plan([point("p"), point("q")], [tenancy("p", "acme"), tenancy("q", "acme")])
    value = Values()
    value.run("p", NOON, QUARTER, ["1", "2"])
    value.set("q", NOON, "interpolated", **{"import": "1"})
    value.set("q", NOON + QUARTER, "estimated", **{"import": "2"})
    made = ledger.interval(park, ACME, park.holdings(NOON)[ACME], NOON, value)
    assert made.quality == "estimated"
    assert [segment.quality for segment in made.segments] == ["measured", "estimated"]


def test_the_first_points_own_schedule_decides_a_tenants_period():
    points = [point("p", schedule="own"), point("q")]
    park = plan(points, [tenancy("p", "acme"), tenancy("q", "acme")])
    value = Values()
    value.run("p", NOON, QUARTER, ["1", "2"])
    value.run("q", NOON, QUARTER, ["1", "2"])
    assert ledger.interval(park, ACME, park.holdings(NOON)[ACME], NOON, value).schedule == "own@1"


def test_meter_replaced_mid_period_gives_two_segments():
    park = plan([point("p", meters=[fitting("old"), fitting("new", NOON)])], [tenancy("p", "acme")])
    value = Values()
    value.run("old", NOON - HOUR, QUARTER, ["900", "901", "902", "903", "904.5"])
    value.run("new", NOON, QUARTER, ["0.1", "1.1", "2.1", "3.1", "5.1"])
    made = intervals(park, ACME, value, NOON - HOUR, NOON + HOUR)
    whole = ledger.total(park, ACME, NOON - HOUR, NOON + HOUR, made, kind=Statement)
    assert whole.total == Decimal("9.5")
    assert [(s.meter, s.start, s.end, s.kwh) for s in whole.segments] == [
        ("old", 900, Decimal("904.5"), Decimal("4.5")),
        ("new", Decimal("0.1"), Decimal("5.1"), 5),
    ]
    assert (whole.segments[0].to, whole.segments[1].from_) == (slot_instant(NOON), slot_instant(NOON))
    assert (whole.complete, whole.own_meter) == (True, True)


def test_ct_ratio_changed_splits_at_the_slot_of_the_change():
    park = plan(
        [point("p", meters=[fitting("m", multiplier="30"), fitting("m", NOON, multiplier="40")])],
        [tenancy("p", "acme")],
    )
    value = Values()
    value.run("m", NOON - QUARTER, QUARTER, ["10", "11", "13"])
    whole = ledger.total(
        park,
        ACME,
        NOON - QUARTER,
        NOON + QUARTER,
        intervals(park, ACME, value, NOON - QUARTER, NOON + QUARTER),
        kind=Day,
    )
    assert [(s.multiplier, s.start, s.end, s.kwh) for s in whole.segments] == [(30, 10, 11, 30), (40, 11, 13, 80)]
    assert whole.total == 110


def test_tenant_moves_out_and_in_each_pays_for_its_side_of_the_hand_over_reading():
    terms = [tenancy("p", "acme", to_s=NOON), tenancy("p", "bolt", from_s=NOON + QUARTER)]
    park = plan([point("p")], terms)
    value = Values()
    value.run("p", NOON - QUARTER, QUARTER, ["10", "11", "13", "17"])
    bounds = (NOON - QUARTER, NOON + 2 * QUARTER)
    totals = {
        subject: ledger.total(park, subject, *bounds, intervals(park, subject, value, *bounds), kind=Statement)
        for subject in park.subjects(*bounds)
    }
    vacant = Subject(None, "p", "operator")
    assert {subject: whole.total for subject, whole in totals.items()} == {ACME: 1, vacant: 2, BOLT: 4}
    assert all(whole.complete for whole in totals.values())


def test_rollover_with_a_known_modulus_adds_it_once():
    park = plan([point("p")], [tenancy("p", "acme")])
    value = Values()
    value.run("p", NOON, QUARTER, ["999998.50", "999999.50", "1.50", "2.50"])
    rolled = {("p", NOON + QUARTER): Decimal(10**6)}
    made = intervals(
        park, ACME, value, NOON, NOON + 3 * QUARTER, rollovers=lambda meter, step_s: rolled.get((meter, step_s))
    )
    whole = ledger.total(park, ACME, NOON, NOON + 3 * QUARTER, made, kind=Day)
    assert [interval.kwh for interval in made.values()] == [1, 2, 1]
    (span,) = whole.segments
    assert (span.start, span.end, span.rollover, span.kwh) == (Decimal("999998.5"), Decimal("2.5"), 10**6, 4)
    assert (span.end - span.start + span.rollover) * span.multiplier * span.share == span.kwh


@pytest.mark.parametrize(("digits", "declared"), [(6, None), (None, Decimal(10**6))])
def test_a_register_that_falls_is_never_consumption(digits, declared):
    park = plan([point("p")], [tenancy("p", "acme")], digits=digits)
    value = Values()
    value.run("p", NOON, QUARTER, ["999999.50", "1.50"])
    assert intervals(park, ACME, value, NOON, NOON + QUARTER, rollovers=lambda _m, _s: declared) == {}


def test_missing_readings_leave_a_stretch_named_by_its_first_and_last_step():
    park = plan([point("p")], [tenancy("p", "acme")])
    value = Values()
    value.run("p", NOON, QUARTER, ["10", "11"])
    value.run("p", NOON + 3 * QUARTER, QUARTER, ["14", "15"])
    whole = ledger.total(park, ACME, NOON, NOON + HOUR, intervals(park, ACME, value, NOON, NOON + HOUR), kind=Day)
    assert not whole.complete
    assert whole.missing == [[slot_instant(NOON + QUARTER), slot_instant(NOON + 2 * QUARTER)]]
    assert [(s.start, s.end) for s in whole.segments] == [(10, 11), (14, 15)]
    assert whole.total == 2


def doubtful(at: str, qualities: list[str]) -> tuple[Plan, Values, int, int]:
    """A tenant whose slots from `at` on have the qualities given and a register that grows by 1."""
    park = plan([point("p")], [tenancy("p", "acme")])
    value, start_s = Values(), local(at)
    for i, quality in enumerate(qualities):
        value.set("p", start_s + i * QUARTER, quality, **{"import": str(i)})
    return park, value, start_s, start_s + (len(qualities) - 1) * QUARTER


@pytest.mark.parametrize(
    ("at", "qualities", "uncertain"),
    [
        ("2026-07-10 12:00", ["measured", "estimated", "estimated", "measured", "measured"], 0),  # all valley
        ("2026-07-10 13:30", ["measured", "estimated", "measured", "measured", "measured"], 0),  # up to the bound
        ("2026-07-10 13:45", ["measured", "estimated", "measured", "measured"], 2),  # valley and flat
        ("2026-07-10 13:30", ["measured", "interpolated", "interpolated", "measured"], 0),
        ("2026-07-10 12:00", ["measured", "substituted", "measured", "measured"], 2),
        ("2026-07-10 12:00", ["measured", "estimated", "substituted", "measured"], 3),
        ("2026-07-10 12:00", ["estimated", "measured", "measured"], 1),  # reaches over the bounds
        ("2026-07-10 12:00", ["measured", "measured", "estimated"], 1),
        ("2026-07-10 12:00", ["measured", "measured", "measured"], 0),
    ],
)
def test_uncertain_is_what_has_no_sure_total_or_no_sure_period(at, qualities, uncertain):
    park, value, from_s, to_s = doubtful(at, qualities)
    made = intervals(park, ACME, value, from_s, to_s)
    whole = ledger.total(park, ACME, from_s, to_s, made, kind=Day, value=value)
    assert whole.uncertain_kwh == uncertain
    assert whole.total == len(qualities) - 1


def test_without_slot_values_the_good_steps_around_a_gap_speak_for_its_ends():
    park, value, from_s, to_s = doubtful(
        "2026-07-10 12:00", ["measured", "measured", "estimated", "measured", "measured"]
    )
    made = intervals(park, ACME, value, from_s, to_s)
    assert ledger.total(park, ACME, from_s, to_s, made, kind=Day).uncertain_kwh == 0
    inside = (from_s + QUARTER, to_s - QUARTER)
    assert ledger.total(park, ACME, *inside, made, kind=Day).uncertain_kwh == 0  # steps outside the bounds are seen
    alone = {step_s: interval for step_s, interval in made.items() if inside[0] <= step_s < inside[1]}
    assert ledger.total(park, ACME, *inside, alone, kind=Day).uncertain_kwh == 2


def test_a_gap_over_a_meter_change_without_a_final_reading_is_uncertain():
    park = plan([point("p", meters=[fitting("old"), fitting("new", NOON)])], [tenancy("p", "acme")])
    value = Values()
    value.set("old", NOON - QUARTER, **{"import": "10"})
    value.set("old", NOON, "estimated", **{"import": "11"})
    value.set("new", NOON, "estimated", **{"import": "0"})
    value.set("new", NOON + QUARTER, **{"import": "2"})
    bounds = (NOON - QUARTER, NOON + QUARTER)
    whole = ledger.total(park, ACME, *bounds, intervals(park, ACME, value, *bounds), kind=Day, value=value)
    assert whole.uncertain_kwh == whole.total == 3


def test_quality_kwh_says_how_much_of_the_total_is_how_good():
    park, value, from_s, to_s = doubtful("2026-07-10 12:00", ["measured", "measured", "estimated", "measured"])
    whole = ledger.total(park, ACME, from_s, to_s, intervals(park, ACME, value, from_s, to_s), kind=Day)
    assert whole.quality_kwh == {"measured": 1, "estimated": 2}


def test_tenant_with_several_points_has_one_interval_with_a_segment_each():
    park = plan([point("p"), point("q")], [tenancy("p", "acme"), tenancy("q", "acme")])
    value = Values()
    value.run("p", NOON, QUARTER, ["1", "2", "3"])
    value.run("q", NOON, QUARTER, ["10", "12", "13"])
    bounds = (NOON, NOON + 2 * QUARTER)
    whole = ledger.total(park, ACME, *bounds, intervals(park, ACME, value, *bounds), kind=Day)
    assert [(s.point, s.kwh) for s in whole.segments] == [("p", 2), ("q", 3)]
    assert (whole.total, whole.own_meter) == (5, True)


def test_one_meter_several_tenants_shows_no_registers_and_is_no_own_meter():
    park = plan([point("p")], [tenancy("p", "acme", "0.375"), tenancy("p", "bolt", "0.625")])
    value = Values()
    value.run("p", NOON, QUARTER, ["1", "2", "5"])
    bounds = (NOON, NOON + 2 * QUARTER)
    made = intervals(park, ACME, value, *bounds)
    whole = ledger.total(park, ACME, *bounds, made, kind=Day)
    (span,) = whole.segments
    assert (span.start, span.end, span.kwh, span.start_seq, span.end_seq) == (None, None, Decimal("1.5"), 0, 2)
    assert (made[NOON].segments[0].start, made[NOON].segments[0].end) == (None, None)
    assert (list(park.holdings(NOON)), whole.own_meter) == ([ACME, BOLT], False)


def test_one_meter_per_customer_covers_tenants_and_energy_of_those_with_a_meter_of_their_own():
    park = plan(
        [point("p"), point("q"), point("hall", role="public")],
        [tenancy("p", "acme"), tenancy("q", "bolt", "0.5")],
    )
    value = Values()
    for name, end in (("p", "4"), ("q", "7"), ("hall", "99")):
        value.run(name, NOON, QUARTER, ["1", end])
    bounds = (NOON, NOON + QUARTER)
    made = [
        ledger.total(park, who, *bounds, intervals(park, who, value, *bounds), kind=Statement)
        for who in park.holdings(NOON)
    ]
    assert coverage(made) == (2, 1, Decimal(6), Decimal(3))  # neither the hall nor the vacant half are tenants
    assert coverage([]) == (0, 0, 0, 0)


def test_nested_sub_meters_count_the_parent_minus_children_period_by_period():
    park = plan(
        [point("hall", meters=[fitting("m-hall", multiplier="10")]), point("kiosk", parent="hall")],
        [tenancy("hall", "acme"), tenancy("kiosk", "bolt")],
    )
    start_s = local("2026-07-10 13:45")  # one step of valley, one of flat
    value = Values()
    value.run("m-hall", start_s, QUARTER, ["5", "6", "8"])
    value.run("kiosk", start_s, QUARTER, ["100", "103", "104"])
    bounds = (start_s, start_s + 2 * QUARTER)
    hall = ledger.total(park, ACME, *bounds, intervals(park, ACME, value, *bounds), kind=Day)
    kiosk = ledger.total(park, BOLT, *bounds, intervals(park, BOLT, value, *bounds), kind=Day)
    assert hall.periods == {"valley": 7, "flat": 19}
    assert kiosk.periods == {"valley": 3, "flat": 1}
    assert [(s.point, s.share, s.start, s.kwh) for s in hall.segments] == [("hall", 1, 5, 30), ("kiosk", -1, None, -4)]
    assert (hall.own_meter, kiosk.own_meter) == (False, True)


def test_a_sub_meter_of_ones_own_comes_off_and_on_again():
    park = plan([point("hall"), point("oven", parent="hall")], [tenancy("hall", "acme"), tenancy("oven", "acme")])
    value = Values()
    value.run("hall", NOON, QUARTER, ["5", "9"])
    value.run("oven", NOON, QUARTER, ["1", "2"])
    bounds = (NOON, NOON + QUARTER)
    whole = ledger.total(park, ACME, *bounds, intervals(park, ACME, value, *bounds), kind=Day)
    assert (whole.total, whole.own_meter) == (4, True)


def test_very_small_numbers_a_tenant_that_used_nothing_has_a_day_of_zeros():
    park = plan([point("p")], [tenancy("p", "acme")], interval_s=HOUR)
    day = park.day_of(NOON)
    value = Values()
    value.run("p", day[0], HOUR, ["7.00"] * 25)
    whole = ledger.total(park, ACME, *day, intervals(park, ACME, value, *day), kind=Day)
    assert (whole.total, whole.max_demand_kw, whole.uncertain_kwh, whole.complete) == (0, 0, 0, True)
    assert whole.max_demand_at == slot_instant(day[0])
    assert set(whole.periods) == {"sharp", "peak", "flat", "valley"}


def test_a_day_without_any_interval_is_all_missing():
    park = plan([point("p")], [tenancy("p", "acme")])
    day = park.day_of(NOON)
    whole = ledger.total(park, ACME, *day, {}, kind=Day)
    assert (whole.total, whole.periods, whole.quality_kwh, whole.segments) == (0, {}, {}, [])
    assert whole.missing == [[slot_instant(day[0]), slot_instant(day[0] + DAY - QUARTER)]]
    assert (whole.complete, whole.max_demand_kw, whole.max_demand_at) == (False, None, None)


def test_maximum_demand_is_the_highest_quarter_hour_and_the_moment_it_began():
    park = plan([point("p")], [tenancy("p", "acme")])
    value = Values()
    value.run("p", NOON, QUARTER, ["0", "1", "3.5", "6", "7"])
    whole = ledger.total(park, ACME, NOON, NOON + HOUR, intervals(park, ACME, value, NOON, NOON + HOUR), kind=Day)
    assert (whole.max_demand_kw, whole.max_demand_at) == (10, slot_instant(NOON + QUARTER))


def test_maximum_demand_of_a_finer_grid_adds_whole_quarter_hours_only():
    park = plan([point("p")], [tenancy("p", "acme")], interval_s=300)
    value = Values()
    value.run("p", NOON - 300, 300, ["0", "50", "51", "52", "53"])  # a burst before the quarter hour
    value.run("p", NOON + QUARTER, 300, ["53", "100"])  # and one in a quarter hour that is not whole
    bounds = (NOON - 300, NOON + 2 * QUARTER)
    whole = ledger.total(park, ACME, *bounds, intervals(park, ACME, value, *bounds), kind=Day)
    assert (whole.max_demand_kw, whole.max_demand_at) == (12, slot_instant(NOON))


def test_maximum_demand_of_an_hourly_grid_is_the_hours_average():
    park = plan([point("p")], [tenancy("p", "acme")], interval_s=HOUR)
    value = Values()
    value.run("p", NOON, HOUR, ["0", "7", "9"])
    bounds = (NOON, NOON + 2 * HOUR)
    whole = ledger.total(park, ACME, *bounds, intervals(park, ACME, value, *bounds), kind=Day)
    assert whole.max_demand_kw == 7


def test_a_value_revised_on_one_side_only_does_not_make_a_span_that_does_not_add_up():
    park = plan([point("p")], [tenancy("p", "acme")])
    value = Values()
    value.run("p", NOON, QUARTER, ["0", "1", "2"])
    first = intervals(park, ACME, value, NOON, NOON + QUARTER)
    value.set("p", NOON + QUARTER, **{"import": "1.5"})
    second = intervals(park, ACME, value, NOON + QUARTER, NOON + 2 * QUARTER)
    whole = ledger.total(park, ACME, NOON, NOON + 2 * QUARTER, {**first, **second}, kind=Day)
    assert [(s.start, s.end, s.kwh) for s in whole.segments] == [(0, 1, 1), (Decimal("1.5"), 2, Decimal("0.5"))]


def test_bill_period_other_than_ours_is_recomputed_from_the_steps_of_its_own_bounds():
    park = plan([point("p")], [tenancy("p", "acme")], interval_s=HOUR)
    from_s = local("2026-07-09 10:00")
    value = Values()
    value.run("p", from_s, HOUR, [str(hour * hour) for hour in range(49)])
    made = intervals(park, ACME, value, from_s, from_s + 48 * HOUR)
    whole = ledger.total(park, ACME, from_s + 5 * HOUR, from_s + 40 * HOUR, made, kind=Statement)
    assert whole.total == 40 * 40 - 5 * 5


@pytest.mark.parametrize(
    ("before", "after", "at_ms", "value"),
    [
        ((0, "1.00"), (1000, "2.00"), 333, "1.33"),
        ((0, "1.00"), (1000, "1.01"), 500, "1.01"),  # half goes up
        ((0, "1.00"), (1000, "1.01"), 499, "1.00"),
        ((0, "1.5"), (1000, "2.25"), 500, "1.88"),  # the finer of the two decides: 1.875
        ((0, "0"), (3, "10"), 1, "3"),
        ((1783641540000, "123456.78"), (1783642440500, "123460.01"), 1783641600000, "123457.00"),
        ((0, "5.00"), (1000, "6.00"), 0, "5.00"),
        ((0, "5.00"), (1000, "6.00"), 1000, "6.00"),
    ],
)
def test_boundary_not_hit_is_linear_in_time_to_the_last_digit_of_the_register(before, after, at_ms, value):
    result = ledger.interpolate((before[0], Decimal(before[1])), (after[0], Decimal(after[1])), at_ms)
    assert str(result) == value


@pytest.mark.parametrize(("before_ms", "after_ms", "at_ms"), [(0, 10, 11), (0, 10, -1), (5, 5, 5), (10, 0, 5)])
def test_nothing_is_interpolated_outside_of_two_looks(before_ms, after_ms, at_ms):
    with pytest.raises(ValueError, match="not between"):
        ledger.interpolate((before_ms, Decimal(1)), (after_ms, Decimal(2)), at_ms)


def test_a_register_that_stood_still_over_missing_steps_does_not_join_the_spans_around_them():
    park = plan([point("p")], [tenancy("p", "acme")])
    value = Values()
    value.run("p", NOON, QUARTER, ["10", "11"])
    value.run("p", NOON + 3 * QUARTER, QUARTER, ["11", "12"])
    made = intervals(park, ACME, value, NOON, NOON + HOUR)
    whole = ledger.total(park, ACME, NOON, NOON + HOUR, made, kind=Day)
    assert [(s.from_, s.to) for s in whole.segments] == [
        (slot_instant(NOON), slot_instant(NOON + QUARTER)),
        (slot_instant(NOON + 3 * QUARTER), slot_instant(NOON + HOUR)),
    ]


def test_a_good_step_of_the_old_meter_says_nothing_about_the_new_ones_first_value():
    park = plan([point("p", meters=[fitting("old"), fitting("new", NOON)])], [tenancy("p", "acme")])
    value = Values()
    value.run("old", NOON - QUARTER, QUARTER, ["10", "11"])
    value.set("new", NOON, "estimated", **{"import": "0"})
    value.run("new", NOON + QUARTER, QUARTER, ["2", "3"])
    bounds = (NOON - QUARTER, NOON + 2 * QUARTER)
    whole = ledger.total(park, ACME, *bounds, intervals(park, ACME, value, *bounds), kind=Day)
    assert (whole.total, whole.uncertain_kwh) == (4, 2)
