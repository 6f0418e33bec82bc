"""Who is asked when on a line with silent meters: allowance, pauses, return."""

from __future__ import annotations

import random

import pytest

from agent.polling.turns import ALLOWANCE, LONGEST_PAUSE_S, SAVED_S, Turns

PROBE_S = 0.15


def probed(turns: Turns, now_s: float, until_s: float, dead: set[str]) -> tuple[float, list[str]]:
    """Probes whenever allowed; gives the time spent and who answered."""
    spent, back = 0.0, []
    while now_s < until_s:
        id_ = turns.probe(now_s)
        if id_ is None:
            now_s += max(0.01, turns.next_probe_in(now_s) or 1.0)
            continue
        now_s += PROBE_S
        spent += PROBE_S
        if id_ in dead:
            turns.fell_silent(id_, now_s, PROBE_S)
        else:
            turns.answered(id_, now_s)
            back.append(id_)
    return spent, back


def silenced(ids: list[str], dead: set[str]) -> Turns:
    turns = Turns(ids, 0.0)
    for id_ in sorted(dead):
        turns.fell_silent(id_, 1.0, 0.1)
    return turns


@pytest.mark.parametrize("count", [1, 3, 10, 32])
def test_probing_never_takes_more_than_its_allowance(count: int) -> None:
    ids = [f"m{n}" for n in range(32)]
    dead = set(random.Random(count).sample(ids, count))
    spent, _ = probed(silenced(ids, dead), 1.0, 3601.0, dead)
    assert spent <= ALLOWANCE * 3600 + SAVED_S + PROBE_S


@pytest.mark.parametrize(("count", "within_s"), [(3, 20.0), (10, 60.0)])
def test_a_meter_that_comes_back_is_found_soon(count: int, within_s: float) -> None:
    ids = [f"m{n}" for n in range(32)]
    dead = set(ids[:count])
    turns = silenced(ids, dead)
    probed(turns, 1.0, 1000.0, dead)
    _, back = probed(turns, 1000.0, 1000.0 + within_s, dead - {"m1"})
    assert "m1" in back


def test_meters_that_fell_silent_together_come_back_together() -> None:
    ids = [f"m{n}" for n in range(32)]
    turns = silenced(ids, set(ids))
    probed(turns, 1.0, 1000.0, set(ids))
    _, back = probed(turns, 1000.0, 1030.0, set())
    assert sorted(back) == sorted(ids)


def test_a_meter_that_answers_is_never_probed() -> None:
    turns = Turns(["a", "b"], 0.0)
    assert turns.probe(10.0) is None
    assert turns.next_probe_in(10.0) is None
    turns.fell_silent("a", 10.0, 0.1)
    turns.answered("a", 11.0)
    assert turns.probe(100.0) is None


def test_pauses_grow_to_the_longest() -> None:
    turns = Turns(["a"], 0.0)
    now_s, pauses = 0.0, []
    for _ in range(6):
        turns.fell_silent("a", now_s, 0.01)
        pause_s = turns.next_probe_in(now_s)
        assert pause_s is not None
        pauses.append(pause_s)
        now_s += pause_s
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_PAUSE_S


def test_a_flapping_meter_costs_the_others_nothing() -> None:
    ids = [f"m{n}" for n in range(32)]
    turns = silenced(ids, {"m1", "m2"})
    spent = 0.0
    for turn in range(1, 60):
        now_s = 200.0 * turn
        turns.fell_silent("m7", now_s, 0.1)  # asked in its turn: that is no probing
        used, _ = probed(turns, now_s, now_s + 200.0, {"m1", "m2"})
        spent += used
    assert spent <= 60 * (ALLOWANCE * 200 + PROBE_S)
