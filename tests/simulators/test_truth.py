from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from parks import NOON, meter, park, point, small_park

from simulators.household import CELL_MS, DAY_MS, Calendar, consumer
from simulators.park import PROGRAM, Truth

SEED = 7
INSTANTS = [NOON + step for step in (0, 1, 999, 60_000, CELL_MS, 3_600_000, 5 * 3_600_000, DAY_MS, 40 * DAY_MS)]
WEEK = (NOON, NOON + 7 * DAY_MS)


def test_energy_never_falls_and_grows_by_what_the_power_says() -> None:
    curve = consumer(Calendar(SEED), "x", "workshop", 10_000)
    energies = [curve.energy(t) for t in INSTANTS]
    assert energies == sorted(energies)
    assert energies[-1] > energies[0]
    inside_a_cell = NOON // CELL_MS * CELL_MS + 1000
    assert curve.energy(inside_a_cell + 7) - curve.energy(inside_a_cell) == 7 * curve.rate(inside_a_cell)


def test_energy_of_years_equals_the_sum_of_its_cells() -> None:
    curve = consumer(Calendar(SEED, 8 * 3_600_000), "x", "office", 10_000)
    start = NOON // CELL_MS * CELL_MS
    cells = sum(curve.rate(start + cell * CELL_MS) * CELL_MS for cell in range(3 * 288))
    assert curve.energy(start + 3 * DAY_MS) - curve.energy(start) == cells


def test_the_same_seed_gives_the_same_truth_and_another_seed_another() -> None:
    one, same, other = (Truth(small_park(), seed) for seed in (SEED, SEED, SEED + 1))
    assert one.exact("m1", NOON) == same.exact("m1", NOON)
    assert one.exact("m1", NOON) != other.exact("m1", NOON)


def test_the_truth_does_not_depend_on_the_order_of_questions() -> None:
    forward, backward = Truth(small_park(), SEED), Truth(small_park(), SEED)
    asked = [forward.exact("m0", t) for t in INSTANTS]
    assert asked == [backward.exact("m0", t) for t in reversed(INSTANTS)][::-1]


def test_the_known_start_is_kept_by_every_later_version() -> None:
    assert Truth(small_park(), 1).registers("m1", NOON)["import"] == Decimal("32701.10")


def test_the_master_sees_the_points_and_the_loss_less_the_sun() -> None:
    truth = Truth(small_park(), SEED)
    tops = sum((truth.point_kwh(name, *WEEK, "draw") for name in ("m1", "m2", "lamp")), Fraction(0))
    net = truth.point_kwh("m0", *WEEK, "draw") - truth.point_kwh("m0", *WEEK, "feed")
    assert net == tops + truth.loss_kwh("m0", *WEEK) - truth.point_kwh("sun", *WEEK)
    assert truth.loss_kwh("m0", *WEEK) == tops * truth.loss_permille / 1000
    assert truth.point_kwh("m0", *WEEK, "feed") > 0, "the sun of this park must feed in at times"
    assert truth.point_kwh("m0", *WEEK, "draw") > 0


def test_import_and_export_of_the_master_never_grow_together() -> None:
    truth = Truth(small_park(), SEED)
    for cell in range(0, 7 * 288, 5):
        start = NOON // CELL_MS * CELL_MS + cell * CELL_MS
        before, after = truth.exact("m0", start), truth.exact("m0", start + CELL_MS)
        assert before["import"] == after["import"] or before["export"] == after["export"]


def test_a_parent_contains_its_nested_point_and_its_tenant_does_not_pay_for_it() -> None:
    truth = Truth(small_park(), SEED)
    assert truth.point_kwh("m2", *WEEK) > truth.point_kwh("m3", *WEEK) > 0
    assert truth.tenant_kwh("m2", *WEEK) == truth.point_kwh("m2", *WEEK) - truth.point_kwh("m3", *WEEK)


def test_registers_are_the_energy_over_the_multiplier_cut_to_the_digits() -> None:
    truth = Truth(small_park(), SEED)
    for name, multiplier in (("m1", 40), ("m2", 30), ("lamp", 1)):
        grown = truth.exact(name, WEEK[1])["import"] - truth.exact(name, WEEK[0])["import"]
        assert grown * multiplier == truth.point_kwh(name, *WEEK)
        shown = truth.registers(name, NOON)["import"]
        assert shown.as_tuple().exponent == -2
        assert 0 <= truth.exact(name, NOON)["import"] - Fraction(shown) < Fraction(1, 100)


def test_tariffs_add_up_to_the_total_and_grow_only_in_their_hours() -> None:
    truth = Truth(small_park(), SEED)
    exact = truth.exact("m1", NOON)
    assert exact["import"] == sum(exact[f"import_t{n}"] for n in range(1, 5))
    for first, tariff in PROGRAM:
        start = NOON - 12 * 3_600_000 + first * 60_000
        before, after = truth.exact("m1", start), truth.exact("m1", start + 60_000)
        assert [n for n in range(1, 5) if before[f"import_t{n}"] != after[f"import_t{n}"]] == [tariff]


def test_a_register_rolls_over_at_its_digits() -> None:
    truth = Truth(small_park(), SEED, starts={"lamp": Decimal("999999.99")})
    shown, exact = truth.registers("lamp", NOON)["import"], truth.exact("lamp", NOON)["import"]
    assert exact > 1_000_000
    assert 0 <= exact - 1_000_000 - Fraction(shown) < Fraction(1, 100)


def test_a_replaced_meter_stands_still_and_the_new_one_goes_on() -> None:
    change = "2026-07-08T04:00:00Z"
    seats = [
        {"meter": "old", "from": None, "to": change, "multiplier": "20"},
        {"meter": "new", "from": change, "to": None, "multiplier": "40"},
    ]
    config = park([meter("old"), meter("new", address="000000000002")], [point("p", meters=seats)])
    truth = Truth(config, SEED)
    grown = {
        name: truth.exact(name, WEEK[1])["import"] - truth.exact(name, WEEK[0])["import"] for name in ("old", "new")
    }
    assert grown["old"] * 20 + grown["new"] * 40 == truth.point_kwh("p", *WEEK)
    assert truth.exact("old", WEEK[1]) == truth.exact("old", NOON + 2 * DAY_MS)


def test_shares_split_a_point_between_its_tenants() -> None:
    tenancies = [
        {"point": "m1", "tenant": "a", "share": "0.375", "from": None, "to": None},
        {"point": "m1", "tenant": "b", "share": "0.625", "from": None, "to": "2026-07-10T00:00:00Z"},
    ]
    truth = Truth(park([meter("m1")], [point("m1")], tenancies=tenancies), SEED)
    assert truth.tenant_kwh("a", *WEEK) == truth.point_kwh("m1", *WEEK) * Fraction("0.375")
    assert truth.tenant_kwh("b", *WEEK) == truth.point_kwh("m1", NOON, 1_783_641_600_000) * Fraction("0.625")


def test_nobody_draws_more_than_the_connection_carries() -> None:
    truth = Truth(small_park(), SEED)
    for name, seat in (("m1", 40), ("m0", 60)):
        peak = max(truth.live(name, NOON + cell * CELL_MS)["power"] for cell in range(7 * 288))
        assert Decimal(0) < peak * seat < Decimal("3.96") * seat


def test_before_its_beginning_the_park_has_no_truth() -> None:
    with pytest.raises(ValueError, match="2024"):
        Truth(small_park(), SEED).exact("m1", 0)
