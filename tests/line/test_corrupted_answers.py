"""A small campaign of corrupted answers over every noise model; the large ones stand in docs/campaigns."""

from collections import Counter
from random import Random

import pytest

from bench import campaign_dlt645, campaign_modbus
from bench.corrupted import judge
from bench.noise import MODELS

LINE = [noise for noise in MODELS if not noise.apart]
SHAPES = campaign_dlt645.SHAPES | campaign_modbus.SHAPES


@pytest.mark.parametrize("shape", SHAPES)
def test_no_corrupted_answer_bills(shape: str):
    tally = Counter[str]()
    for noise in LINE:
        tally += judge(SHAPES[shape], noise, 300, f"7:{noise.name}")
    assert tally["corrupted"] == 300 * len(LINE)
    assert tally["wrong"] == 0, [key for key in tally if key.startswith("example")]


def test_two_wrong_bits_do_get_past_the_checksum_so_the_campaign_can_fail():
    two_bits = next(noise for noise in MODELS if noise.name == "exactly 2 bits")
    tally = judge(campaign_dlt645.block_2007, two_bits, 3000, "1")
    assert tally["recognised"] > 10
    assert tally["agreed"] > 0  # a tariff may be wrong in what two looks agree on, never the total
    assert tally["wrong"] == 0


@pytest.mark.parametrize("noise", MODELS, ids=lambda noise: noise.name)
def test_every_model_changes_a_frame(noise):
    case = campaign_dlt645.block_2007(Random(3))
    frame = case._reply(0x91, bytes.fromhex("00FF0100"), case.registers)
    changed = 0
    for seed in range(20):
        changed += noise.make(Random(seed), case.rival)(frame) != frame
    assert changed >= 10
