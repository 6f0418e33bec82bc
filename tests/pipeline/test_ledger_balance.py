"""The park's balance by hand; tests named after the edge cases of settlement reference §7."""

from decimal import Decimal

import pytest
from ledger_park import Values, fitting, local, plan, point, tenancy

from contract import ledger
from contract.plan import Plan
from contract.records import Balance, Flow, Reading, Source, slot_instant

NOON = local("2026-07-10 12:00")
QUARTER = 900


def balance(park: Plan, value: Values, start_s: int = NOON, **skews: str) -> Balance | None:
    return ledger.balance_interval(
        park, start_s, value, ledger.no_rollover, lambda meter, _slot: Decimal(skews.get(meter, "0"))
    )


def flow(made: Balance) -> list[Decimal]:
    ((_, energies),) = made.periods.items()
    return [getattr(energies, name) for name in ("import_", "export", "pv", "storage", "points", "loss")]


def test_what_came_in_less_what_the_points_took_is_the_loss():
    park = plan(
        [
            point("grid", "master", [fitting("grid", multiplier="100")]),
            point("a"),
            point("b", "operator"),
            point("c", "public"),
        ],
        [tenancy("a", "acme", "0.5")],
    )
    value = Values()
    value.run("grid", NOON, QUARTER, ["10.0", "10.5"])
    for meter, end in (("a", "30"), ("b", "10"), ("c", "8")):
        value.run(meter, NOON, QUARTER, ["0", end])
    made = balance(park, value, grid="0.8", a="-1.2", b="0.1")
    assert flow(made) == [50, 0, 0, 0, 48, 2]
    assert list(made.periods) == ["valley"]
    assert (made.loss_rate, made.skew_s, made.quality) == (Decimal("0.04"), Decimal("2.0"), "measured")
    assert (made.from_, made.to) == (slot_instant(NOON), slot_instant(NOON + QUARTER))


def test_a_park_with_its_own_pv_and_storage_counts_both_directions():
    park = plan(
        [
            point("grid", "master"),
            point("roof", "pv", register="export"),
            point("cells", "storage"),
            point("a"),
        ]
    )
    value = Values()
    for i in (0, 1):
        slot_s = NOON + i * QUARTER
        value.set("grid", slot_s, **{"import": str(20 * i), "export": str(5 * i)})
        value.set("roof", slot_s, **{"import": str(i), "export": str(30 * i)})  # its own night use is not generation
        value.set("cells", slot_s, **{"import": str(7 * i), "export": str(3 * i)})
        value.set("a", slot_s, **{"import": str(40 * i)})
    made = balance(park, value)
    assert flow(made) == [20, 5, 30, -4, 40, 1]
    assert made.loss_rate == Decimal("0.0244")  # 1 of 41


def test_several_feeds_are_summed_and_both_must_be_read():
    park = plan([point("f1", "master"), point("f2", "master"), point("a")])
    value = Values()
    value.run("f1", NOON, QUARTER, ["0", "20"])
    value.run("a", NOON, QUARTER, ["0", "25"])
    assert balance(park, value) is None
    value.run("f2", NOON, QUARTER, ["0", "6"])
    assert flow(balance(park, value)) == [26, 0, 0, 0, 25, 1]


def test_a_master_with_a_point_for_each_direction_is_counted_once():
    park = plan(
        [
            point("in", "master", [fitting("m")]),
            point("out", "master", [fitting("m")], register="export"),
            point("a"),
        ]
    )
    value = Values()
    for i in (0, 1):
        value.set("m", NOON + i * QUARTER, **{"import": str(10 * i), "export": str(2 * i)})
    value.run("a", NOON, QUARTER, ["0", "8"])
    assert flow(balance(park, value)) == [10, 2, 0, 0, 8, 0]


def test_a_register_that_one_end_lacks_makes_no_balance():
    park = plan([point("m", "master")])
    value = Values()
    value.set("m", NOON, **{"import": "0", "export": "0"})
    value.set("m", NOON + QUARTER, **{"import": "5"})
    assert balance(park, value) is None


def test_nested_sub_meters_are_not_counted_twice():
    park = plan(
        [
            point("grid", "master"),
            point("floor", "operator", parent="grid"),
            point("room", parent="floor"),
            point("desk", parent="room"),
        ]
    )
    value = Values()
    for meter, end in (("grid", "51"), ("floor", "50"), ("room", "20"), ("desk", "5")):
        value.run(meter, NOON, QUARTER, ["0", end])
    assert flow(balance(park, value)) == [51, 0, 0, 0, 50, 1]


def test_sub_meters_that_exceed_the_master_show_a_negative_loss():
    park = plan([point("grid", "master"), point("a")])
    value = Values()
    value.run("grid", NOON, QUARTER, ["0", "40"])
    value.run("a", NOON, QUARTER, ["0", "41"])
    made = balance(park, value)
    assert (flow(made)[-1], made.loss_rate) == (-1, Decimal("-0.025"))


def test_a_period_nobody_used_has_no_loss_rate():
    park = plan([point("grid", "master"), point("a")])
    value = Values()
    for meter in ("grid", "a"):
        value.run(meter, NOON, QUARTER, ["3", "3"])
    assert balance(park, value).loss_rate is None


def test_a_park_without_a_master_has_no_balance():
    park = plan([point("a")])
    value = Values()
    value.run("a", NOON, QUARTER, ["0", "1"])
    assert balance(park, value) is None


def test_a_point_between_two_meters_leaves_the_balance_open():
    holed = [fitting("old", to_s=NOON), fitting("new", NOON + QUARTER)]
    park = plan([point("grid", "master"), point("a", meters=holed)])
    value = Values()
    value.run("grid", NOON, QUARTER, ["0", "1"])
    assert balance(park, value) is None


def test_the_quality_of_a_balance_is_the_worst_of_its_values():
    park = plan([point("grid", "master"), point("a")])
    value = Values()
    value.run("grid", NOON, QUARTER, ["0", "1"])
    value.set("a", NOON, **{"import": "0"})
    value.set("a", NOON + QUARTER, "interpolated", **{"import": "1"})
    assert balance(park, value).quality == "interpolated"


def step(start_s: int, period: str, into: str, points: str, **fields) -> Balance:
    loss = Decimal(into) - Decimal(points)
    energies = Flow(Decimal(into), Decimal(0), Decimal(0), Decimal(0), Decimal(points), loss)
    values = {"loss_rate": None, "skew_s": Decimal(0), "quality": "measured", **fields}
    return Balance(slot_instant(start_s), slot_instant(start_s + QUARTER), {period: energies}, **values)


def test_a_day_of_balances_adds_up_period_by_period():
    steps = [
        step(NOON + 2 * QUARTER, "flat", "7", "6", skew_s=Decimal("1.5"), quality="estimated"),
        step(NOON, "valley", "10", "9", skew_s=Decimal("0.5")),
        step(NOON + QUARTER, "valley", "12", "12", skew_s=Decimal(9)),
    ]
    whole = ledger.balance_sum(NOON, NOON + 3 * QUARTER, steps)
    assert {period: (f.import_, f.points, f.loss) for period, f in whole.periods.items()} == {
        "valley": (22, 21, 1),
        "flat": (7, 6, 1),
    }
    assert (whole.loss_rate, whole.skew_s, whole.quality) == (Decimal("0.0690"), Decimal("1.5"), "estimated")  # 2 of 29
    assert (whole.from_, whole.to) == (slot_instant(NOON), slot_instant(NOON + 3 * QUARTER))


def test_a_sum_of_no_balances_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        ledger.balance_sum(NOON, NOON + QUARTER, [])


@pytest.mark.parametrize(
    ("method", "read_at", "seconds"),
    [
        ("live", "2026-07-10T04:00:01.250Z", "1.250"),
        ("live", "2026-07-10T03:59:59.500Z", "-0.500"),
        ("live", None, "0"),
        ("interpolated", "2026-07-10T04:01:00.000Z", "0"),
        ("freeze", "2026-07-10T05:00:00.000Z", "0"),
    ],
)
def test_only_a_live_reading_is_off_its_slot(method, read_at, seconds):
    source = Source(read_at, 0, {}, None, [], [])
    reading = Reading("m", None, None, slot_instant(NOON), method, "measured", None, {}, [source], [], 1)
    assert ledger.skew_of(reading) == Decimal(seconds)
