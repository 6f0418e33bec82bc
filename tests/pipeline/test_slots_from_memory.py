"""A whole agent on a line of 64 meters, most of which answer slots from memory: what stands in its log."""

from __future__ import annotations

import asyncio
import base64
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner

from agent.app import Agent
from agent.cli import cli
from agent.evidence.keys import load_or_create
from agent.evidence.store import Reader
from bench.paced import Accounted, Wire
from bench.parks import park
from bench.virtual import Joined
from contract.records import Gap, Interval, Reading, decode, parse_instant, parse_slot
from drivers.clock import VirtualClock

START = "2026-07-14T22:01:40Z"
ODD = {7: {"kind": ""}, 20: {"kind": "load_profile", "off_ms": 20_000}, 41: {"kind": "load_profile", "filler": True}}
SOME_S_OFF = {50: {"kind": "load_profile", "off_ms": 6_000}}


def played(tmp_path: Path, wire: Wire, hours: float) -> tuple[list[Reading | Gap | Interval], Accounted]:
    config = asyncio.run(park(1, wire.meters, "dlt645-2007", baud=2400, framing="8E1"))
    config["private"]["data"] = str(tmp_path)
    clock = VirtualClock(parse_instant(START))

    async def live() -> Accounted:
        bus = Accounted(wire, clock.wall_ms)
        agent = Agent(config, clock, open_port=lambda line: Joined(bus))
        await agent.open()
        stop = asyncio.Event()
        running = asyncio.create_task(agent.run(stop))
        await clock.sleep(hours * 3600)
        stop.set()
        await running
        return bus

    bus = clock.run(live())
    reader = Reader(tmp_path)
    bodies = [decode(record)[1] for _, record, _ in reader.records(reader.epochs[-1], 0) if record is not None]
    reader.close()
    return [body for body in bodies if isinstance(body, (Reading, Gap, Interval))], bus


@pytest.mark.parametrize("keeps", ["load_profile", "freeze"])
def test_the_first_record_of_a_slot_is_the_meters_own(tmp_path: Path, keeps: str) -> None:
    others = {number: {**keep, "kind": keep["kind"] and keeps} for number, keep in (ODD | SOME_S_OFF).items()}
    wire = Wire("dlt645", 2400, "8E1", 64, delay_s=0.2, tick_ms=5_000, keeps=keeps, others=others)
    records, bus = played(tmp_path, wire, 1.2)
    assert not [record for record in records if isinstance(record, Gap)]
    readings = [record for record in records if isinstance(record, Reading)]
    assert {reading.revision for reading in readings} == {0}, "a revision for each slot would cost as much again"
    slots = sorted({parse_slot(reading.slot) for reading in readings if reading.slot is not None})
    assert len(slots) == 4
    assert Counter(reading.slot for reading in readings).total() == 4 * 64
    for reading in readings:
        assert reading.slot is not None
        number, slot_ms = int(reading.meter.rpartition("-")[2]), parse_slot(reading.slot) * 1000
        [source] = reading.sources
        assert source.read_at is not None
        read_ms = parse_instant(source.read_at)
        assert (reading.method, reading.quality) == ("live" if number in ODD else keeps, "measured")
        assert abs(read_ms - slot_ms) <= 9_000
        assert {"plausible", "confirmed"} <= set(reading.checks)
        assert source.exchanges[0].request != source.confirm[0].request
        near = {bus.rack.counts(number, read_ms + off_ms)[0] for off_ms in (-800, 0, 800)}
        assert reading.registers["import"] * 100 in near
        if number in SOME_S_OFF:
            assert 5_000 < slot_ms - read_ms < 7_000, "its clock is fast: what it kept is of some seconds before"
    ends = {parse_slot(interval.end) for interval in records if isinstance(interval, Interval)}
    assert ends == set(slots[1:])
    key = base64.b64encode(bytes(load_or_create(tmp_path).verify_key)).decode()
    result = CliRunner().invoke(cli, ["verify", str(tmp_path), "--key", key, "--json"])
    assert result.exit_code == 0, result.output
