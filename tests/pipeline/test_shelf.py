"""Shelves of the books: what is packed is what was put there, and it is small."""

from __future__ import annotations

import random
import tracemalloc
from decimal import Decimal

from agent.ledger.shelf import GROUP, OPEN, Row, Shelves
from contract.ledger import SlotValue

STEP_S = 900
START_S = 1_784_044_800
SLOTS = 24
METERS = [f"m-{n}" for n in range(2 * GROUP + 3)]


def value(n: int) -> SlotValue:
    return SlotValue({"import": Decimal(4_700_000 + 37 * n) / 100}, "measured", 1000 + 512 * n)


def at(n: int) -> int:
    return START_S + n * STEP_S


def filled(slots: int) -> Shelves[str, SlotValue]:
    shelves: Shelves[str, SlotValue] = Shelves()
    for n in range(slots):
        for m, meter in enumerate(METERS):
            shelves.put(meter, at(n), value(100 * m + n))
        shelves.pack(at(n))
    return shelves


def test_packed_shelves_answer_like_a_dictionary() -> None:
    draw = random.Random(4)
    shelves: Shelves[str, SlotValue] = Shelves()
    plain: dict[str, dict[int, SlotValue]] = {meter: {} for meter in METERS}
    for turn in range(2_000):
        meter, slot_s, entry = draw.choice(METERS), at(draw.randrange(100)), value(turn)
        shelves.put(meter, slot_s, entry)
        plain[meter][slot_s] = entry
        if turn % 70 == 0:
            shelves.pack(at(draw.randrange(100)))
    rows = shelves.rows()
    assert {meter: dict(row) for meter, row in rows.items()} == {meter: own for meter, own in plain.items() if own}
    for meter, own in plain.items():
        assert list(Row(shelves, meter)) == sorted(own)
        assert Row(shelves, meter).newest() == max(own, default=None)
        within = {slot_s: own[slot_s] for slot_s in sorted(own) if at(20) <= slot_s < at(55)}
        assert list(shelves.between(meter, at(20), at(55)).items()) == list(within.items())
    assert shelves.get("m-0", at(-1)) is None
    assert shelves.get("nobody", at(3)) is None


def test_a_late_value_takes_the_place_of_the_packed_one_and_leaves_its_neighbours() -> None:
    shelves = filled(SLOTS)
    shelves.put("m-40", at(5), value(9_999))
    assert shelves.get("m-40", at(5)) == value(9_999)
    shelves.pack(at(99))
    assert shelves.get("m-40", at(5)) == value(9_999)
    assert shelves.get("m-41", at(5)) == value(4_105)
    assert shelves.get("m-40", at(6)) == value(4_006)
    assert len(Row(shelves, "m-40")) == SLOTS


def test_what_is_old_is_forgotten_packed_or_not() -> None:
    shelves = filled(SLOTS)
    shelves.put("m-1", at(1), value(7))
    shelves.forget(at(10))
    assert shelves.slots() == [at(n) for n in range(10, SLOTS)]
    assert shelves.get("m-1", at(1)) is None


def test_a_copy_keeps_what_its_origin_forgets() -> None:
    shelves = filled(SLOTS)
    copy = shelves.copy()
    shelves.put("m-0", at(0), value(77))
    shelves.pack(at(999))
    shelves.forget(at(999))
    assert shelves.slots() == []
    assert copy.get("m-0", at(0)) == value(0)
    assert Row(copy, "m-0").newest() == at(SLOTS - 1)


def test_no_more_pages_are_kept_open_than_a_day_of_a_group_has() -> None:
    shelves = filled(2 * OPEN)
    for meter in METERS:
        assert len(shelves.between(meter, at(0), at(2 * OPEN))) == 2 * OPEN
    assert len(shelves._open) == OPEN
    shelves.pack(at(999))
    assert not shelves._open


def test_packed_entries_take_a_tenth_of_what_objects_take() -> None:
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        plain = {(meter, at(n)): value(100 * m + n) for n in range(SLOTS) for m, meter in enumerate(METERS)}
        as_objects = tracemalloc.get_traced_memory()[0] - before
        shelves = filled(SLOTS)
        shelves.pack(at(SLOTS))
        packed = tracemalloc.get_traced_memory()[0] - before - as_objects
    finally:
        tracemalloc.stop()
    assert all(shelves.get(meter, slot_s) == entry for (meter, slot_s), entry in plain.items())
    assert packed < as_objects / 10
