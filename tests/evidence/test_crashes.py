"""The small sisters of the crash campaigns: kill -9 forked warm, and power cuts from a recorded run."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from bench import evidence_power

needs_strace = pytest.mark.skipif(not shutil.which("strace"), reason="no strace")
pytestmark = pytest.mark.slow


def test_kill_9_of_writer_and_outbox_loses_nothing_published_and_forks_nothing() -> None:
    command = [sys.executable, "-m", "bench.evidence_crash", "--cycles", "40", "--seed", "7"]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=100).stdout  # it forks
    counts = dict(part.rsplit(" ", 1) for part in said.splitlines()[0].partition(": ")[2].split(", "))
    assert int(counts["cycles"]) == 40
    assert int(counts["published"]) > 40
    assert {name: counts[name] for name in ("wrong", "forks", "alarms", "epochs")} == dict.fromkeys(
        ("wrong", "forks", "alarms", "epochs"), "0"
    )


@needs_strace
def test_power_cuts_lose_nothing_that_was_published() -> None:
    sums = evidence_power.campaign(150, 3)
    assert sums["records"] > 500
    assert (sums["lost"], sums["corrupt"], sums["other"]) == (0, 0, 0)


@needs_strace
def test_a_disk_that_lies_about_syncing_is_seen_by_this_experiment() -> None:
    sums = evidence_power.campaign(60, 3, lying=True)
    assert sums["lost"] > 0
