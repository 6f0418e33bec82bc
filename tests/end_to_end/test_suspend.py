"""A host that was suspended: every slot answered, none twice, nothing measured that was not, and no false alarm."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from played import demo_config, play

from agent.app import Agent
from agent.cli.verify import open_evidence
from agent.evidence.reader import Reader
from agent.supervise import STUCK_MS
from contract.note import parse_verifier_key
from contract.records import Event, Gap, Reading, decode, parse_slot
from contract.verify import verify
from drivers.clock import VirtualClock
from drivers.redecode import Redecoder
from simulators.site import Site

SLEPT_MS = (3 * 60 + 7) * 60_000


def test_after_hours_of_sleep_the_slots_are_gaps_that_are_filled_and_the_watchdog_is_fed_within_a_minute(
    tmp_path: Path,
) -> None:
    stuck: list[bool] = []

    async def sleep_and_wake(agent: Agent, _site: Site) -> None:
        clock = agent.clock
        assert isinstance(clock, VirtualClock)
        await clock.sleep(3600 + 60)
        clock.suspend(SLEPT_MS)
        for _ in range(60):
            stuck.append(clock.boot_ms() - min(agent.signs_of_life()) >= STUCK_MS)
            await clock.sleep(2)

    play(demo_config(tmp_path), hours=6.0, during=sleep_and_wake)
    assert stuck[0]
    assert not any(stuck[31:]), "a waiting line gives a sign of life at least every minute"
    reader = Reader(tmp_path)
    epoch = reader.epochs[-1]
    bodies = [decode(record)[1] for _, record, _ in reader.records(epoch) if record is not None]
    reader.close()
    readings = Counter((b.meter, b.slot) for b in bodies if isinstance(b, Reading) and b.revision == 0)
    gaps = [body for body in bodies if isinstance(body, Gap)]
    slots = {(g.meter, s) for g in gaps for s in range(parse_slot(g.from_slot), parse_slot(g.to_slot) + 1, 900)}
    assert max(readings.values()) == 1
    assert slots
    assert not {(meter, parse_slot(slot)) for meter, slot in readings if slot} & slots
    filled = {(b.meter, parse_slot(b.slot)) for b in bodies if isinstance(b, Reading) and b.revision and b.slot}
    assert slots <= filled
    events = {b.code: b for b in bodies if isinstance(b, Event)}
    assert not events.keys() & {"clock_step", "clock_dispute", "clock_set", "clock_lost", "meter_gone", "line_gone"}
    assert events["power_off"].details == {"suspended_s": SLEPT_MS // 1000}
    assert {gap.why for gap in gaps} == {"power"}
    result = verify(open_evidence(tmp_path), parse_verifier_key(epoch.vkey).key, decode_reading=Redecoder())
    assert result["findings"] == []
