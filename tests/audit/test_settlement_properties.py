"""What holds for any park: the shares add up, the order does not matter, and only proportions of energy do."""

from __future__ import annotations

import random
from fractions import Fraction
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from audit.amounts import by_largest_remainder, rounded, shown
from audit.settle import settle

PERIODS = ("sharp", "peak", "flat", "valley", "deep_valley")

cents = st.integers(0, 10**8)
energies = st.dictionaries(st.sampled_from(PERIODS), cents, max_size=5)


def text(amount: int) -> str:
    return shown(Fraction(amount, 100))


def kwh(energy: dict[str, int], scale: int = 1) -> dict[str, str]:
    return {period: text(amount * scale) for period, amount in energy.items()}


@st.composite
def parks(draw: st.DrawFn) -> dict[str, Any]:
    roles = draw(st.lists(st.sampled_from(("tenant", "tenant", "operator", "public")), min_size=1, max_size=6))
    points = [{"id": f"p{n}", "role": role, "kwh": draw(energies)} for n, role in enumerate(roles)]
    lines = draw(
        st.lists(
            st.tuples(st.none() | st.sampled_from(PERIODS), st.integers(-(10**7), 10**9), st.booleans()), min_size=1
        )
    )
    return {
        "feeds": [draw(energies) for _ in range(draw(st.integers(1, 2)))],
        "points": points,
        "lines": lines,
        "common": draw(st.sampled_from(("shared", "recovered_elsewhere"))),
        "method": draw(st.sampled_from(("by_period", "by_energy"))),
    }


def inputs(park: dict[str, Any], scale: int = 1) -> dict[str, Any]:
    return {
        "master_feeds": [{"id": f"M{n}", "import_kwh": kwh(feed, scale)} for n, feed in enumerate(park["feeds"])],
        "points": [{**point, "kwh": kwh(point["kwh"], scale)} for point in park["points"]],
        "bill_items": [
            {"code": "x", "period": period, "yuan": text(yuan), "passable": passable}
            for period, yuan, passable in park["lines"]
        ],
        "policy": {"common": park["common"], "method": park["method"]},
        "charges": [],
    }


@settings(max_examples=200, deadline=None, derandomize=True)
@given(parks())
def test_the_allowed_amounts_add_up_to_the_passable_bill_exactly(park: dict[str, Any]) -> None:
    result = settle(inputs(park))
    parts = [*(row["allowed_yuan"] for row in result["tenants"]), result["operator_share_yuan"]]
    whole = sum(map(Fraction, parts)) + Fraction(result["common_share_not_chargeable_yuan"])
    assert whole == Fraction(result["bill_passable_yuan"])
    assert whole == Fraction(sum(yuan for _, yuan, passable in park["lines"] if passable), 100)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(parks(), st.integers(2, 5000))
def test_amounts_do_not_change_when_all_energy_is_scaled(park: dict[str, Any], scale: int) -> None:
    one, other = settle(inputs(park)), settle(inputs(park, scale))
    kept = ("operator_share_yuan", "common_share_not_chargeable_yuan", "allowed_max_tenants_yuan", "loss_rate")
    assert [one[key] for key in kept] == [other[key] for key in kept]
    assert [row["allowed_yuan"] for row in one["tenants"]] == [row["allowed_yuan"] for row in other["tenants"]]


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.integers(1, 10**8), min_size=1, max_size=8), st.integers(0, 10**10), st.integers(0, 2**32))
def test_the_order_of_tenants_matters_only_where_remainders_tie(uses: list[int], bill: int, seed: int) -> None:
    order = list(range(len(uses)))
    random.Random(seed).shuffle(order)

    def allowed(numbers: list[int]) -> dict[str, Fraction]:
        park = {
            "feeds": [{"flat": sum(uses)}],
            "points": [{"id": f"p{n}", "role": "tenant", "kwh": {"flat": uses[n]}} for n in numbers],
            "lines": [("flat", bill, True)],
            "common": "shared",
            "method": "by_period",
        }
        return {row["tenant"]: Fraction(row["allowed_yuan"]) for row in settle(inputs(park))["tenants"]}

    listed, shuffled = allowed(list(range(len(uses)))), allowed(order)
    exact = [Fraction(bill * use, sum(uses)) for use in uses]
    remainders = [share % 1 for share in exact]
    assert all(abs(listed[f"p{n}"] * 100 - share) < 1 for n, share in enumerate(exact))
    if len(set(remainders)) == len(remainders):
        assert listed == shuffled
    assert sum(listed.values()) == sum(shuffled.values()) == Fraction(bill, 100)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(parks(), st.integers(0, 2**32))
def test_permuting_the_points_of_any_park_moves_cents_between_equal_remainders_only(
    park: dict[str, Any], seed: int
) -> None:
    shuffled = {**park, "points": random.Random(seed).sample(park["points"], len(park["points"]))}
    one, other = settle(inputs(park)), settle(inputs(shuffled))
    sums = ("allowed_max_tenants_yuan", "operator_share_yuan", "common_share_not_chargeable_yuan", "loss_rate")
    listed, moved = (_allowed(result) for result in (one, other))
    if len({*_remainders(park)}) == len(_remainders(park)):
        assert listed == moved
        assert [one[key] for key in sums] == [other[key] for key in sums]
    assert all(abs(listed[name] - moved[name]) <= Fraction(1, 100) for name in listed)
    assert listed.keys() == moved.keys()
    assert one["bill_passable_yuan"] == other["bill_passable_yuan"]


def _allowed(result: dict[str, Any]) -> dict[str, Fraction]:
    return {row["tenant"]: Fraction(row["allowed_yuan"]) for row in result["tenants"]}


def _remainders(park: dict[str, Any]) -> list[Fraction]:
    """What is left of each share below the cent, to nine more places: the same park with a bill so much dearer."""
    dear = 10**9
    lines = [(period, yuan * dear, passable) for period, yuan, passable in park["lines"]]
    result = settle(inputs({**park, "lines": lines}))
    shares = [*_allowed(result).values(), Fraction(result["common_share_not_chargeable_yuan"])]
    shares.append(Fraction(result["operator_share_yuan"]))
    return [share * 100 / dear % 1 for share in shares]


@given(st.lists(st.fractions(-1000, 1000, max_denominator=97), min_size=1, max_size=8))
def test_largest_remainders_are_at_most_a_step_off(exact: list[Fraction]) -> None:
    whole = rounded(sum(exact, Fraction()))
    exact = [*exact, whole - sum(exact, Fraction())]
    parts = by_largest_remainder(exact)
    assert sum(parts) == whole
    assert all(abs(part - share) < Fraction(1, 100) for part, share in zip(parts, exact, strict=True))


def test_amounts_are_rounded_half_away_from_zero() -> None:
    halves = {"0.005": "0.01", "-0.005": "-0.01", "0.0049": "0.00", "-0.0049": "0.00", "2.675": "2.68", "-7": "-7.00"}
    assert {value: shown(Fraction(value)) for value in halves} == halves
