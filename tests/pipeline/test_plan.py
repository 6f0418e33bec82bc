"""The grid and who holds what when: cases by hand, after settlement reference §7 where it has them."""

from calendar import monthrange
from decimal import Decimal

import pytest
from ledger_park import DAY, HOUR, config, fitting, local, period_at, plan, point, tenancy

from contract.plan import Plan, Subject

ACME, BOLT = Subject("acme", None, "tenant"), Subject("bolt", None, "tenant")
NOON = local("2026-07-10 12:00")


def shares(held: list) -> list[tuple[str, str]]:
    return [(holding.point, str(holding.share)) for holding in held]


@pytest.mark.parametrize("interval_s", [1, 60, 300, 900, 1800, 3600])
def test_slots_divide_the_local_day(interval_s):
    grid = plan([point("p")], interval_s=interval_s)
    midnight = local("2026-07-10 00:00")
    assert grid.slot_floor(midnight) == midnight
    assert grid.slot_floor(midnight + interval_s - 1) == midnight
    assert grid.slot_floor(midnight - 1) == midnight - interval_s
    assert grid.day_of(midnight) == (midnight, midnight + DAY)
    assert grid.day_of(midnight - 1) == (midnight - DAY, midnight)


def test_slots_of_an_hour_follow_a_local_day_that_is_off_the_utc_hour():
    body = config([point("p")], interval_s=3600)
    body["settings"]["utc_offset"] = "+05:45"
    grid = Plan.from_config(body, period_at)
    midnight = 1_783_641_600 - (5 * 3600 + 45 * 60)  # 2026-07-10 00:00 local
    assert grid.slot_floor(midnight + 3599) == midnight
    assert grid.day_of(midnight) == (midnight, midnight + DAY)


@pytest.mark.parametrize(("year", "month", "days"), [(2026, 2, 28), (2028, 2, 29), (2026, 4, 30), (2026, 7, 31)])
def test_a_month_has_28_to_31_times_96_quarter_hours(year, month, days):
    assert monthrange(year, month)[1] == days
    park = plan([point("p")], [tenancy("p", "acme")])
    from_s, to_s = park.billing_period_of(local(f"{year}-{month:02d}-15 12:00"))
    assert from_s == local(f"{year}-{month:02d}-01 00:00")
    assert len(list(park.expected_steps(ACME, from_s, to_s))) == days * 96


@pytest.mark.parametrize(
    ("closings", "instant", "from_", "to"),
    [
        (["01 00:00"], "2026-07-01 00:00", "2026-07-01 00:00", "2026-08-01 00:00"),
        (["01 00:00"], "2026-06-30 23:59", "2026-06-01 00:00", "2026-07-01 00:00"),
        (["01 00:00"], "2026-12-31 12:00", "2026-12-01 00:00", "2027-01-01 00:00"),
        (["31 00:00"], "2026-02-28 00:00", "2026-02-28 00:00", "2026-03-31 00:00"),
        (["31 00:00"], "2026-02-27 23:45", "2026-01-31 00:00", "2026-02-28 00:00"),
        (["31 24:00"], "2026-03-01 00:00", "2026-03-01 00:00", "2026-04-01 00:00"),
        (["31 24:00"], "2026-02-28 23:45", "2026-02-01 00:00", "2026-03-01 00:00"),
        (["25 10:30"], "2026-07-25 10:29", "2026-06-25 10:30", "2026-07-25 10:30"),
        (["25 10:30"], "2026-07-31 10:29", "2026-07-25 10:30", "2026-08-25 10:30"),
        (["01 00:00", "16 00:00"], "2026-07-20 08:00", "2026-07-16 00:00", "2026-08-01 00:00"),
        (["01 00:00", "16 00:00"], "2026-07-15 23:45", "2026-07-01 00:00", "2026-07-16 00:00"),
        (["30 00:00", "31 00:00"], "2026-03-05 00:00", "2026-02-28 00:00", "2026-03-30 00:00"),
    ],
)
def test_a_billing_period_runs_from_closing_to_closing(closings, instant, from_, to):
    grid = plan([point("p")], interval_s=60, closings=closings)
    assert grid.billing_period_of(local(instant)) == (local(from_), local(to))


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"interval_s": 7}, "divide"),
        ({"interval_s": 7200}, "1 s to 1 h"),
        ({"closings": []}, "at least one"),
        ({"closings": ["32 00:00"]}, "closing '32 00:00'"),
        ({"closings": ["01 24:15"]}, "closing '01 24:15'"),
        ({"closings": ["1st"]}, "closing '1st'"),
        ({"closings": ["01 00:10"]}, "on no slot"),
    ],
)
def test_a_grid_that_cannot_be_is_refused(settings, fault):
    with pytest.raises(ValueError, match=fault):
        plan([point("p")], **settings)


@pytest.mark.parametrize("offset", ["8", "+8:00", "+08:60", "Asia/Shanghai", "+15:00"])
def test_an_offset_that_is_none_is_refused(offset):
    body = config([point("p")])
    body["settings"]["utc_offset"] = offset
    with pytest.raises(ValueError, match="utc_offset"):
        Plan.from_config(body, period_at)


@pytest.mark.parametrize(
    ("interval_s", "window_s"), [(1, 900), (60, 900), (900, 900), (480, 960), (864, 1728), (1200, 1200), (3600, 3600)]
)
def test_demand_is_averaged_over_a_quarter_hour_or_the_next_longer_stretch_of_steps(interval_s, window_s):
    assert plan([point("p")], interval_s=interval_s).demand_window_s() == window_s


def test_a_tenant_holds_all_its_points_in_order_of_configuration():
    park = plan([point("p-1"), point("p-2")], [tenancy("p-2", "acme"), tenancy("p-1", "acme")])
    assert list(park.holdings(NOON)) == [ACME]
    assert shares(park.holdings(NOON)[ACME]) == [("p-1", "1"), ("p-2", "1")]


@pytest.mark.parametrize("role", ["operator", "public", "master", "pv", "storage"])
def test_a_point_without_tenants_holds_itself_under_its_role(role):
    assert list(plan([point("p", role)]).holdings(NOON)) == [Subject(None, "p", role)]


def test_a_vacant_point_of_a_tenant_belongs_to_the_operator():
    assert list(plan([point("p")]).holdings(NOON)) == [Subject(None, "p", "operator")]


def test_one_meter_of_several_tenants_leaves_the_rest_to_the_operator_and_hides_the_registers():
    park = plan([point("p")], [tenancy("p", "acme", "0.375"), tenancy("p", "bolt", "0.5")])
    held = park.holdings(NOON)
    vacant = Subject(None, "p", "operator")
    assert [(subject, shares(held[subject])) for subject in held] == [
        (ACME, [("p", "0.375")]),
        (BOLT, [("p", "0.5")]),
        (vacant, [("p", "0.125")]),
    ]
    assert not any(holding.own for holdings in held.values() for holding in holdings)


def test_shares_above_one_are_refused():
    park = plan([point("p")], [tenancy("p", "acme", "0.6"), tenancy("p", "bolt", "0.5")])
    with pytest.raises(ValueError, match=r"point p: shares add up to 1\.1"):
        park.holdings(NOON)


def test_a_tenant_moves_out_at_the_slot_where_the_next_moves_in():
    park = plan([point("p")], [tenancy("p", "acme", to_s=NOON), tenancy("p", "bolt", from_s=NOON)])
    assert list(park.holdings(NOON - 900)) == [ACME]
    assert list(park.holdings(NOON)) == [BOLT]
    assert park.subjects(NOON - HOUR, NOON + HOUR) == [ACME, BOLT]
    assert list(park.expected_steps(BOLT, NOON - HOUR, NOON + HOUR)) == list(range(NOON, NOON + HOUR, 900))


def test_a_sub_meter_is_taken_off_each_holder_of_its_parent_by_share():
    park = plan(
        [point("floor"), point("room", parent="floor")],
        [tenancy("floor", "acme", "0.75"), tenancy("room", "bolt")],
    )
    held = park.holdings(NOON)
    assert shares(held[ACME]) == [("floor", "0.75"), ("room", "-0.75")]
    assert shares(held[Subject(None, "floor", "operator")]) == [("floor", "0.25"), ("room", "-0.25")]
    assert shares(held[BOLT]) == [("room", "1")]
    assert [holding.own for holding in held[BOLT]] == [True]


def test_only_the_next_level_of_sub_meters_is_taken_off():
    park = plan([point("a", "operator"), point("b", "operator", parent="a"), point("c", "public", parent="b")])
    held = park.holdings(NOON)
    assert shares(held[Subject(None, "a", "operator")]) == [("a", "1"), ("b", "-1")]
    assert shares(held[Subject(None, "b", "operator")]) == [("b", "1"), ("c", "-1")]


def test_generation_behind_a_point_is_not_taken_off_its_use():
    park = plan([point("hall"), point("roof", "pv", parent="hall", register="export")], [tenancy("hall", "acme")])
    assert shares(park.holdings(NOON)[ACME]) == [("hall", "1")]


def test_a_tree_in_a_circle_is_refused():
    with pytest.raises(ValueError, match="circle"):
        plan([point("a", parent="b"), point("b", parent="a")])


@pytest.mark.parametrize(
    ("points", "tenancies", "fault"),
    [
        ([point("a", parent="x")], [], "parent x"),
        ([point("a")], [tenancy("x", "acme")], "no point x"),
        ([point("a", meters=[fitting("m", to_s=NOON + 1)])], [], "on no slot"),
        ([point("a")], [tenancy("a", "acme", from_s=NOON + 60)], "on no slot"),
        ([point("a", meters=[fitting("m"), fitting("n")])], [], "meters of a do not follow"),
        ([point("a", meters=[fitting("m", to_s=NOON), fitting("n", NOON - 900)])], [], "meters of a do not follow"),
    ],
)
def test_a_plan_that_cannot_be_is_refused_by_name(points, tenancies, fault):
    with pytest.raises(ValueError, match=fault):
        plan(points, tenancies)


def test_a_meter_ends_where_the_next_begins_and_both_are_due_at_that_slot():
    park = plan([point("p", meters=[fitting("old"), fitting("new", NOON)])])
    assert park.meters_in_force(NOON - 900) == ["old"]
    assert park.meters_in_force(NOON) == ["new"]
    assert park.meters_due(NOON) == ["old", "new"]
    assert park.meters_due(NOON + 900) == ["new"]
    assert (park.point_of("old", NOON - 900), park.point_of("old", NOON), park.point_of("new", NOON)) == (
        "p",
        None,
        "p",
    )


def test_a_new_ct_ratio_holds_from_its_slot_on():
    park = plan([point("p", meters=[fitting("m", None, None, "30"), fitting("m", NOON, None, "40")])])
    subject = Subject(None, "p", "operator")
    before, after = (park.holdings(s)[subject][0].multiplier for s in (NOON - 900, NOON))
    assert (before, after) == (Decimal(30), Decimal(40))


def test_a_point_before_its_first_meter_is_nobodys():
    park = plan([point("p", meters=[fitting("m", NOON)])], [tenancy("p", "acme")])
    assert park.holdings(NOON - 900) == {}
    assert list(park.holdings(NOON)) == [ACME]


def test_energy_between_two_meters_is_owed_and_cannot_be_told():
    park = plan(
        [point("p", meters=[fitting("old", to_s=NOON), fitting("new", NOON + 900)]), point("q")],
        [tenancy("p", "acme"), tenancy("q", "acme")],
    )
    assert park.holdings(NOON) == {ACME: []}
    assert list(park.expected_steps(ACME, NOON, NOON + HOUR)) == list(range(NOON, NOON + HOUR, 900))


def test_bounds_off_the_slots_are_refused():
    with pytest.raises(ValueError, match="from: "):
        list(plan([point("p")]).eras(NOON + 1, NOON + 900))
