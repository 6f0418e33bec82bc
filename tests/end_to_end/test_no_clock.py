"""A gateway whose clock nobody vouches for: it reads and keeps, dates nothing, and what it kept verifies."""

from __future__ import annotations

import asyncio
from pathlib import Path

from played import START, demo_config

from agent.app import Agent
from agent.evidence.reader import Reader
from contract.note import parse_verifier_key
from contract.records import parse_instant
from contract.verify import Evidence, verify
from drivers.clock import VirtualClock
from drivers.ports.serial import SerialPort
from drivers.redecode import Redecoder
from simulators.held import HeldPort
from simulators.site import Site


def test_a_log_without_any_time_is_kept_and_verifies(tmp_path: Path) -> None:
    """Found by hand: with `clock: kernel` on a machine that nobody synchronises, `hubiao verify` fell over."""
    config = demo_config(tmp_path)
    clock = VirtualClock(parse_instant(START), sync=("none", None))

    async def live() -> None:
        site = Site(config, now_ms=clock.wall_ms, seed=1)
        await site.open(lambda _url: None)
        agent = Agent(
            config,
            clock,
            open_port=lambda line: HeldPort(SerialPort(site.ports[line["id"]]), clock, site.wires[line["id"]]),
        )
        await agent.open()
        stop = asyncio.Event()
        running = asyncio.create_task(agent.run(stop))
        await clock.sleep(1900)
        stop.set()
        await running
        await site.close()

    clock.run(live())
    reader = Reader(tmp_path)
    epoch = reader.epochs[-1]
    rows = list(reader.records(epoch))
    records = [record for _, record, _ in rows]
    assert all(record is not None and b'"at":null' in record for record in records)
    assert sum(record is not None and b'"kind":"reading"' in record for record in records) >= 2 * 15
    assert not any(record is not None and b'"kind":"gap"' in record for record in records)
    evidence = Evidence(records, [leaf for _, _, leaf in rows], reader.checkpoints(epoch), [])
    result = verify(evidence, parse_verifier_key(epoch.vkey).key, decode_reading=Redecoder())
    reader.close()
    assert result["findings"] == []
