"""Billing periods are closed by a child process beside everything else: through stops and failures, once each."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from played import demo_config

import agent.app
from agent.app import Agent
from agent.evidence.store import Reader
from bench.virtual import Joined
from contract.records import Balance, Body, Interval, Statement, decode, parse_instant
from drivers.clock import VirtualClock
from simulators.site import Site

BEFORE, MONTH_END, AFTER = "2026-07-31T15:00:00Z", "2026-07-31T16:00:00Z", "2026-07-31T18:00:00Z"
JUNE_END = "2026-06-30T16:00:00Z"


def live(data: Path, start: str, hours: float, stop: asyncio.Event | None = None) -> None:
    """One life of the demo's park."""
    config, clock = demo_config(data), VirtualClock(parse_instant(start))
    site = Site(config, now_ms=clock.wall_ms)
    stop = stop or asyncio.Event()

    async def go() -> None:
        for bus in site.buses.values():
            bus.start()
        one = Agent(config, clock, open_port=lambda line: Joined(site.buses[line["id"]]))
        await one.open()
        running = asyncio.create_task(one.run(stop))
        sleeping = asyncio.create_task(clock.sleep(hours * 3600))
        await asyncio.wait([running, sleeping], return_when=asyncio.FIRST_COMPLETED)
        stop.set()
        await running
        sleeping.cancel()
        for bus in site.buses.values():
            bus.stop()

    clock.run(go())


def records(data: Path) -> list[Body]:
    reader = Reader(data)
    found = [decode(record)[1] for _, record, _ in reader.records(reader.epochs[-1], 0) if record is not None]
    reader.close()
    return found


def statements(data: Path) -> list[Statement]:
    return [body for body in records(data) if isinstance(body, Statement)]


def test_the_month_is_closed_once_for_everybody(tmp_path: Path) -> None:
    live(tmp_path, BEFORE, 3)
    found = statements(tmp_path)
    assert {(body.from_, body.to, body.revision) for body in found} == {(JUNE_END, MONTH_END, 0)}
    subjects = {(body.tenant, body.point) for body in records(tmp_path) if isinstance(body, Interval)}
    assert len(found) == len(subjects)
    assert {(body.tenant, body.point) for body in found} == subjects
    [balance] = [body for body in records(tmp_path) if isinstance(body, Balance) and body.from_ == JUNE_END]
    assert (balance.to, balance.revision) == (MONTH_END, 0)
    assert (tmp_path / "closings.json").read_text() == "[]"


def test_what_a_stop_interrupts_the_next_start_closes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stop = asyncio.Event()

    async def endless(*_: Any) -> list[Any]:
        stop.set()
        await asyncio.Event().wait()
        return []

    with monkeypatch.context() as patch:
        patch.setattr(agent.app, "close_in_child", endless)
        live(tmp_path, BEFORE, 3, stop)
    assert stop.is_set()
    assert statements(tmp_path) == []
    assert MONTH_END in (tmp_path / "closings.json").read_text()
    live(tmp_path, AFTER, 0.6)
    assert {(body.from_, body.to, body.revision) for body in statements(tmp_path)} == {(JUNE_END, MONTH_END, 0)}
    assert (tmp_path / "closings.json").read_text() == "[]"


def test_a_child_that_cannot_start_stops_no_meter_and_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = 0
    real = asyncio.create_subprocess_exec

    async def at_first_not(*arguments: Any, **how: Any) -> Any:
        nonlocal tried
        tried += "agent.ledger.closing_child" in arguments
        if tried == 1:
            raise OSError(12, "Cannot allocate memory")
        return await real(*arguments, **how)

    monkeypatch.setattr(asyncio, "create_subprocess_exec", at_first_not)
    live(tmp_path, BEFORE, 3.5)
    assert tried == 2
    assert {body.revision for body in statements(tmp_path)} == {0}
    starts = {body.start for body in records(tmp_path) if isinstance(body, Interval)}
    assert len(starts) >= 13, "the lines went on"
