"""Shelves of the books: what is packed is what was put there, and it is small."""

from __future__ import annotations

import random
import tracemalloc
from decimal import Decimal

from agent.shelf import CHUNK, Shelf
from contract.ledger import SlotValue

STEP_S = 900
START_S = 1_784_044_800
DAYS_2 = 196


def value(n: int) -> SlotValue:
    return SlotValue({"import": Decimal(4_700_000 + 37 * n) / 100}, "measured", 1000 + 512 * n)


def filled(count: int) -> Shelf[SlotValue]:
    shelf: Shelf[SlotValue] = Shelf(STEP_S)
    for n in range(count):
        shelf.put(START_S + n * STEP_S, value(n))
        shelf.tidy(START_S + n * STEP_S, 0)
    return shelf


def test_a_packed_shelf_answers_like_a_dictionary() -> None:
    draw = random.Random(4)
    shelf: Shelf[SlotValue] = Shelf(STEP_S)
    plain: dict[int, SlotValue] = {}
    for turn in range(400):
        slot_s, entry = START_S + draw.randrange(100) * STEP_S, value(turn)
        shelf.put(slot_s, entry)
        plain[slot_s] = entry
        if turn % 7 == 0:
            shelf.tidy(START_S + draw.randrange(100) * STEP_S, 0)
    first, last = START_S + 20 * STEP_S, START_S + 55 * STEP_S
    assert dict(shelf) == plain
    assert list(shelf) == sorted(plain)
    assert shelf.newest() == max(plain)
    assert shelf.between(first, last) == {slot_s: entry for slot_s, entry in plain.items() if first <= slot_s < last}
    assert START_S - STEP_S not in shelf
    assert shelf.get(START_S + 100 * STEP_S) is None


def test_a_late_value_takes_the_place_of_the_packed_one_and_leaves_its_neighbours() -> None:
    shelf = filled(3 * CHUNK)
    late_s = START_S + 5 * STEP_S
    shelf.put(late_s, value(9_999))
    assert shelf[late_s] == value(9_999)
    shelf.tidy(START_S + 99 * STEP_S, 0)
    assert shelf[late_s] == value(9_999)
    assert shelf[late_s + STEP_S] == value(6)
    assert len(shelf) == 3 * CHUNK


def test_what_ended_long_ago_is_forgotten() -> None:
    shelf = filled(4 * CHUNK)
    shelf.tidy(START_S + 99 * STEP_S, START_S + 2 * CHUNK * STEP_S)
    assert START_S not in shelf
    assert START_S + 3 * CHUNK * STEP_S in shelf


def test_a_copy_keeps_what_its_origin_forgets() -> None:
    shelf = filled(4 * CHUNK)
    copy = shelf.copy()
    shelf.put(START_S, value(77))
    shelf.tidy(START_S + 999 * STEP_S, START_S + 999 * STEP_S)
    assert len(shelf) == 0
    assert copy[START_S] == value(0)
    assert copy.newest() == START_S + (4 * CHUNK - 1) * STEP_S


def test_two_days_take_a_fifth_of_what_objects_take() -> None:
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        plain = {START_S + n * STEP_S: value(n) for n in range(DAYS_2)}
        as_objects = tracemalloc.get_traced_memory()[0] - before
        shelf = filled(DAYS_2)
        packed = tracemalloc.get_traced_memory()[0] - before - as_objects
    finally:
        tracemalloc.stop()
    assert dict(shelf) == plain
    assert packed < as_objects / 5
