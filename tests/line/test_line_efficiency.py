"""What the rules of a line cost, in virtual time: exact shares of the wire's own minimum, whatever the machine does."""

from __future__ import annotations

import pytest

from bench.line import CASES, measure


@pytest.mark.parametrize(
    ("case", "least"),
    [
        ("modbus-strict", 0.999),
        ("dlt645", 0.999),
        ("modbus-10-dead", 0.97),
        ("modbus-10-dead-first", 0.95),
        ("modbus-30-dead", 0.97),
    ],
)
def test_a_line_gives_its_meters_nearly_all_its_time(case: str, least: float) -> None:
    result = measure(case, seed=77, virtual=True)
    assert result["efficiency"] >= least
    assert result["gap_violations"] == 0
    assert result["readings"] == CASES[case].counted * (CASES[case].meters - len(result["dead"]))
    assert result.get("revived_s", 0.0) <= 15
