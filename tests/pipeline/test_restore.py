"""What the log remembers, read back for the books: the right records, and no more decoded than need be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.evidence.log import Log
from agent.ledger import restore
from agent.ledger.restore import recent, remember_meters
from bench.evidence_auditor import make_log, reading
from contract.records import Supersedes, parse_slot
from drivers.clock import VirtualClock

DAY_S = 86_400
START_S = parse_slot("2026-07-10T00:00:00Z")


async def five_days(data: Path, clock: VirtualClock) -> Log:
    """A reading an hour; on the last day one of the second is revised."""
    store, log = await make_log(data, clock, audited=False)
    for hour in range(5 * 24):
        clock.move(3600)
        log.add(reading(1, START_S + 3600 * hour))
        await log.commit()
    late = reading(1, START_S + DAY_S + 3600)
    log.add(replace(late, revision=1, supersedes=Supersedes(27, "backfill")))
    await log.commit()
    await log.close()
    await store.close()
    return log


def test_a_day_is_recalled_with_its_late_revisions_and_nothing_of_other_days_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = VirtualClock(START_S * 1000)
    log = clock.run(five_days(tmp_path, clock))
    decoded = []
    original = restore.decode

    def counting(record: bytes) -> Any:
        decoded.append(record)
        return original(record)

    monkeypatch.setattr(restore, "decode", counting)
    found: Iterator[tuple[int, Any]] = recent(tmp_path, log.epoch, START_S + DAY_S, START_S + 2 * DAY_S)
    bodies = [body for _, body in found]
    assert [body.slot[:13] for body in bodies] == [f"2026-07-11T{h:02d}" for h in range(24)] + ["2026-07-11T01"]
    assert bodies[-1].revision == 1
    assert len(decoded) <= 26


def test_where_meters_stand_is_told_by_readings_and_gaps_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of what a log holds is derived: a start of thousands of meters must not decode it twice."""
    clock = VirtualClock(START_S * 1000)
    log = clock.run(five_days(tmp_path, clock))

    async def another_start() -> None:
        store, again = await make_log(tmp_path, clock, audited=False)
        await again.commit()
        await store.close()

    clock.run(another_start())
    kinds = []
    original = restore.decode

    def counting(record: bytes) -> Any:
        kinds.append(original(record)[0].kind)
        return original(record)

    monkeypatch.setattr(restore, "decode", counting)
    remember_meters(tmp_path, log.epoch, clock.wall_ms(), {}, 900)
    assert set(kinds) == {"reading"}, "the boot of the second start stands behind them"
