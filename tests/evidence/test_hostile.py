"""The small sisters of two campaigns: hostile bytes from the broker's side, and a second verifier on mutated logs."""

from __future__ import annotations

import shutil

import pytest

from bench import evidence_hostile, evidence_second

pytestmark = pytest.mark.slow


async def test_hostile_packets_end_a_connection_and_never_the_agent() -> None:
    happened = await evidence_hostile.campaign(500, 60, 3)
    assert happened["receipts"]["state_changed"] == 0
    assert happened["receipts"]["over_a_second"] == 0
    assert happened["sessions"]["hung"] == 0
    assert sum(happened["sessions"].values()) == 60


@pytest.mark.skipif(not shutil.which("node"), reason="no Node.js")
def test_a_second_verifier_agrees_on_what_is_wrong_and_where() -> None:
    result = evidence_second.campaign(120, 9)
    assert result["examples"] == []
    assert result["manipulated"] > 80
    assert (result["not_found"], result["false_alarms"], result["false_alarms_second"]) == (0, 0, 0)
