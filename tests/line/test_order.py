"""Who stands in the middle of a sweep that is longer than its slot's window."""

from __future__ import annotations

import pytest
from slotwise import by_slot, skew_ms, slots

from agent.polling.order import centred
from agent.reading import Observation
from bench.paced import Wire

METERS = list(range(10))


def middles(bills: set[int], fit: int, turns: int) -> list[set[int]]:
    found = []
    for turn in range(turns):
        order = centred(METERS, lambda one: one in bills, fit, turn)
        assert sorted(order) == METERS, "nobody is left out, nobody is asked twice"
        first = (len(METERS) - fit) // 2
        found.append(set(order[first : first + fit]))
    return found


def test_who_fits_keeps_the_order() -> None:
    assert centred(METERS, lambda one: one == 7, 10, 3) == METERS


@pytest.mark.parametrize("fit", [1, 3, 4, 9])
def test_each_meter_comes_into_the_middle_as_often_as_any_other(fit: int) -> None:
    seen = [one for group in middles(set(METERS), fit, 10) for one in group]
    assert {one: seen.count(one) for one in METERS} == dict.fromkeys(METERS, fit)


def test_what_bills_has_the_middle_before_what_does_not() -> None:
    groups = middles({2, 5}, 4, 4)
    assert all({2, 5} <= group for group in groups)
    assert set().union(*groups) == set(METERS), "the rest takes turns"
    assert all(group <= {1, 2, 3, 4, 5, 6} for group in middles({1, 2, 3, 4, 5, 6}, 4, 3))


def test_on_a_line_too_long_for_the_window_every_meter_is_measured_in_its_turn() -> None:
    """64 meters at 2400 baud: the looks alone take 29 s, and 18 s is the window."""
    found, _ = slots(Wire("dlt645", 2400, "8E1", 64, delay_s=0.2, tick_ms=10**9), 1.1)
    hit = [
        {one.meter for one in sweep if isinstance(one, Observation) and abs(skew_ms(one)) <= 9_000}
        for sweep in by_slot(found).values()
    ]
    assert all(len(slot) >= 36 for slot in hit)
    assert len(set().union(*hit)) == 64
