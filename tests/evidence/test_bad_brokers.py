"""The small sister of bench.evidence_broker: one trial each of the quick kinds of bad broker."""

from __future__ import annotations

import pytest

from bench.evidence_broker import campaign
from simulators.broker import mosquitto_program

KINDS = (
    "acknowledges and drops all, for a while",
    "passes 1 of 3 on twice",
    "keeps 10 messages for an auditor who is away",
    "takes one message at a time",
)


@pytest.mark.slow
@pytest.mark.skipif(mosquitto_program() is None, reason="no mosquitto")
async def test_a_broker_that_lies_is_given_everything_until_the_auditor_is_complete() -> None:
    found = await campaign(1, 7, list(KINDS))
    for kind, counts in found.items():
        assert counts["records"] > 50, kind
        assert (counts["incomplete"], counts["forks"]) == (0, 0), kind
