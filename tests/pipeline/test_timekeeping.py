"""Time that cannot be trusted: boots in 1970, steps of the clock; no slot twice, none lost, none measured by luck."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from agent.ledger.timekeeping import Timekeeper
from bench.evidence_clock import campaign, steps
from contract.records import Anchor, Reading, parse_instant
from drivers.clock import VirtualClock

START_MS = parse_instant("2026-07-10T00:00:00Z")


def test_a_boot_in_1970_dates_its_readings_once_time_comes(tmp_path: Path) -> None:
    outcome = campaign(Random(1), boot_in_1970=True)
    readings = [body for body in outcome.bodies if isinstance(body, Reading)]
    undated = [seq for seq, body in outcome.log if isinstance(body, Reading) and body.slot is None]
    dated = [body for body in readings if body.supersedes is not None and body.supersedes.reason == "dated"]
    assert undated
    assert dated
    assert {body.supersedes.seq for body in dated if body.supersedes} <= set(undated)
    assert all(body.quality != "measured" for body in dated)
    assert [body.source for body in outcome.bodies if isinstance(body, Anchor)] == ["kernel"]
    assert outcome.problems == []


@pytest.mark.parametrize("seed", range(5))
def test_two_hundred_random_steps_answer_no_slot_twice_and_lose_none(seed: int) -> None:
    outcome = steps(Random(seed), 40)
    assert outcome.twice == []
    assert outcome.lost == []
    assert outcome.out_of_window == []


def test_a_step_is_an_anchor_and_slewing_is_none() -> None:
    clock = VirtualClock(START_MS)
    keeper = Timekeeper(clock)
    clock.step(900)
    assert keeper.look().anchor is None
    clock.step(-5_000)
    turn = keeper.look()
    assert (turn.stepped_ms, turn.came) == (-5_000, False)
    assert turn.anchor is not None
    assert keeper.look().anchor is None


def test_time_that_goes_and_comes_back_says_so() -> None:
    clock = VirtualClock(START_MS)
    keeper = Timekeeper(clock)
    clock.state = ("none", None)
    assert keeper.look().went
    assert not keeper.look().went
    clock.state = ("held", 100)
    turn = keeper.look()
    assert turn.came
    assert turn.anchor is not None
    assert turn.anchor.uncertainty_ms == 100
