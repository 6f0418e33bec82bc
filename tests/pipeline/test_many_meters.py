"""Thousands of meters on a hundred lines: twice as many cost twice as much, counted in steps of the interpreter."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from agent.app import Agent
from agent.ledger.periods import closed
from agent.ledger.recorder import TOGETHER
from agent.reading import SweepDone
from agent.schedule import predict_sweep
from bench.fed import Fed, MemoryLog, configuration
from bench.parks import text
from config.compose import compose
from config.faults import Findings
from config.load import load_data
from contract.plan import Plan, Subject
from contract.records import Balance, Interval, Statement, parse_slot
from contract.tariff import period_finder
from drivers.clock import RealClock

METERS = 4  # of a line
LINES = 24
AT_MOST = 2.2  # times as many steps for twice the lines: what is quadratic makes it three and more
START = "2026-07-01T00:00:00Z"


def steps(work: Callable[[], object]) -> int:
    """How many bytecodes of this thread some work took."""
    taken = 0

    def trace(frame: FrameType, event: str, _arg: Any) -> Any:
        nonlocal taken
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        taken += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return taken


def yaml(lines: int, *, with_master: bool = False) -> str:
    found = text([f"/dev/ttyB{n}" for n in range(lines)], METERS, "modbus")
    if with_master:
        master = "  - {id: feed, line: l0, max_a: 60, phases: 3, digits: 6, protocol: modbus, unit: 99, role: master, "
        found = found.replace("meters:\n", f"meters:\n{master}model: acrel-dtsd1352}}\n")
    return found


def shown(_meter: str, at_ms: int) -> dict[str, Decimal]:
    return {"import": Decimal(at_ms // 60_000 % 100_000).scaleb(-2), "export": Decimal(0)}


def sweep(park: Fed, slot_s: int) -> None:
    """Line by line, each written by itself: the worst that can be."""
    park.clock.to(slot_s * 1000 + 500)
    for n, meter in enumerate(park.recorder.meters, 1):
        park.take(park.look(meter))
        if n % METERS == 0:
            park.settle()
    park.settle()


def of_loading(lines: int) -> int:
    findings = Findings("park.yaml")
    data = compose(yaml(lines), findings)
    assert data is not None
    return steps(lambda: load_data(data, Path.cwd(), findings))


def of_planning(lines: int) -> int:
    config = configuration(yaml(lines))
    return steps(lambda: Plan.from_config(config, period_finder(config)).holdings(parse_slot(START)))


def of_a_slot(lines: int) -> int:
    park = Fed(configuration(yaml(lines, with_master=True)), shown, START)
    for n in range(1, 4):
        sweep(park, parse_slot(START) + n * 900)
    taken = steps(lambda: sweep(park, parse_slot(START) + 4 * 900))
    assert len(park.bodies(Interval)) == 3 * (lines * METERS + 1)
    assert len(park.bodies(Balance)) == 3
    return taken


@pytest.mark.parametrize("of", [of_loading, of_planning, of_a_slot])
def test_twice_the_lines_cost_twice_as_much(of: Callable[[int], int]) -> None:
    once, twice = of(LINES), of(2 * LINES)
    assert twice < AT_MOST * once


def test_who_held_something_on_a_day_is_not_asked_for_each_tenant(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first statements: of the days before the agent's start no day was written, each tenant's are looked at."""
    asked: list[tuple[int, int]] = []
    subjects = Plan.subjects

    def counted(plan: Plan, from_s: int, to_s: int) -> list[Subject]:
        asked.append((from_s, to_s))
        return subjects(plan, from_s, to_s)

    park = Fed(configuration(yaml(2)), shown, "2026-07-30T12:00:00Z")
    park.run("2026-07-30T18:00:00Z")
    now_s = parse_slot("2026-07-31T16:00:00Z") + 1800
    park.books.derive(now_s, park.log.add)
    monkeypatch.setattr(Plan, "subjects", counted)
    statements = [body for body in closed(park.plan, park.log.since, park.books.ripe()) if isinstance(body, Statement)]
    assert len(statements) == 2 * METERS
    assert len(asked) == 1 + 31, "once for the month and once for each day"


def test_the_meters_are_not_gone_through_for_each_line() -> None:
    class Counted(list[Any]):
        times = 0

        def __iter__(self) -> Iterator[Any]:
            self.times += 1
            return super().__iter__()

    config = configuration(yaml(LINES))
    config["meters"] = Counted(config["meters"])
    assert len(predict_sweep(config)) == LINES
    assert config["meters"].times == 1


def test_an_agent_of_twice_the_lines_opens_in_twice_the_steps(tmp_path: Path) -> None:
    async def opened(config: dict[str, Any]) -> None:
        agent = Agent(config, RealClock(trusted=True))
        await agent.open()
        await agent.log.close()
        await agent._store.close()

    def of_opening(lines: int) -> int:
        config = configuration(yaml(lines).replace("data: data", f"data: {tmp_path / str(lines)}"))
        return steps(lambda: asyncio.run(opened(config)))

    once, twice = of_opening(LINES), of_opening(2 * LINES)
    assert twice < AT_MOST * once


async def test_sweeps_that_end_while_another_is_written_are_written_together() -> None:
    """A hundred lines end their sweeps within seconds: a commit each would be a hundred times the disk's wait."""
    commits: list[int] = []

    class Counted(MemoryLog):
        async def commit(self) -> None:
            commits.append(len(self.records))
            both.set() if len(commits) == 2 else None

    both = asyncio.Event()
    park = Fed(configuration(yaml(LINES)), shown, START, log=Counted)
    for n in range(TOGETHER + LINES):
        await park.recorder.put(SweepDone(f"l{n}", parse_slot(START)))
    writing = asyncio.create_task(park.recorder.run())
    async with asyncio.timeout(10):
        await both.wait()
    await asyncio.sleep(0.01)
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    assert len(commits) == 2, "no more than so many sweeps in one, and the rest in another"
