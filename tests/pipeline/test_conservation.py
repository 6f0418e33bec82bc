"""Energy is conserved over random parks and over a small simulated month; `bench` runs the same by the thousand."""

import pytest

from bench import conservation, month


@pytest.mark.parametrize("seed", range(1, 25))
def test_intervals_are_register_differences_and_billed_plus_missing_is_the_truth(seed: int):
    assert conservation.run(seed).failures == []


@pytest.mark.parametrize("memory", [None, "load_profile", "freeze"])
def test_every_tenants_statement_of_three_days_is_the_truth_within_a_count_a_segment(memory: month.Memory | None):
    _, _, outcome = month.play(meters=12, days=3, memory=memory)
    assert outcome.failures == []
    assert outcome.statements == outcome.tenants == 11
    assert outcome.errors.keys() & {"load_profile", "freeze"} == ({memory} - {None})
