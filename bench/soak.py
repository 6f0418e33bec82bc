"""Polls a park in virtual time with every fault that the simulators know, for what only shows in the long run.

    faults of all kinds, on and off at random ─▶ simulated park ─▶ agent ─▶ store ─▶ hubiao verify

The park has a process of its own (`bench.apart`), so RSS is the agent's; its objects are weighed besides. Judged:
neither grows once warm, every line is still read at the end, and `hubiao verify` finds every slot answered by a reading
or a gap, every interval exact, the tree whole. `make soak` runs for ten minutes of real time; `--polls 1000000
--minutes 0` runs the million.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.app import Agent
from agent.lean import give_back, one_heap
from bench.agent import rss_mib
from bench.apart import ApartClock
from bench.weigh import weight_kib
from config.load import load
from contract.records import parse_instant
from simulators.faults import LINE_FAULTS, METER_FAULTS, Fault

SAMPLE = Path(__file__).parents[1] / "config" / "samples" / "demo.yaml"
START = "2026-07-14T22:00:00Z"
STEP_S = 3600
WARM = 0.2  # of the polls: caches fill, two days of books
AMOUNTS = {
    "dying": 0.3,
    "late": 2.0,
    "cut": 3,
    "trailing_ff": 4,
    "duplicate": 0.05,
    "clock": 30,
    "register": 40,
    "speed": 4800,
    "address": 999999,
    "ct": 100,
    "phase_missing": 2,
    "phase_reversed": 2,
    "noise": 0.001,
    "burst": 12,
    "other_master": 5.0,
}
CALM_S = 4 * 3600  # at the end of each day without faults, so that a line that is stuck can be told from one disturbed


def fault_plan(config: dict[str, Any], days: int, seed: int) -> list[Fault]:
    """Each kind of fault about once a day somewhere, for ten minutes to four hours."""
    draw, plan = random.Random(seed), []
    meters = [meter["id"] for meter in config["meters"] if meter["line"]]
    lines = [line["id"] for line in config["lines"]]
    for day in range(days):
        for kind in [*METER_FAULTS, *LINE_FAULTS]:
            length_s = draw.randrange(600, 4 * 3600)
            from_s = day * 86400 + draw.randrange(0, 86400 - CALM_S - length_s)
            target = draw.choice(meters if kind in METER_FAULTS else lines)
            plan.append(Fault(kind, target, from_s * 1000, (from_s + length_s) * 1000, AMOUNTS.get(kind, 0.0)))
    return plan


@dataclass(slots=True)
class Soak:
    """One run. memory: (polls, MiB of the process) by the hour; weights: (polls, KiB of the agent) by the day."""

    polls: int
    minutes: float
    days: int
    seed: int
    data: Path
    start: str = START
    memory: list[tuple[int, float]] = field(default_factory=list)
    weights: list[tuple[int, int]] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)  # of callbacks and tasks that nobody waited for

    def run(self) -> dict[str, Any]:
        loaded = load(SAMPLE)
        assert loaded.config is not None, loaded.faults
        config = loaded.config
        config["private"] |= {"data": str(self.data), "mqtt": None}
        faults = fault_plan(config, self.days, self.seed)
        began = time.monotonic()
        with ApartClock(parse_instant(self.start), config, seed=self.seed, faults=faults) as clock:
            agent = clock.run(self._live(config, clock))
        done = sum(poller.line.statistics.exchanges for poller in agent.pollers)
        verified = self._verified(agent.log.epoch.vkey)
        warm = next(mib for polls, mib in self.memory if polls >= WARM * done)
        warm_kib = next((kib for polls, kib in self.weights if polls >= WARM * done), 0)
        return {
            "polls": done,
            "virtual_days": round((clock.boot_ms() / 1000 - 60) / 86400, 1),
            "minutes": round((time.monotonic() - began) / 60, 1),
            "rss_warm_mib": warm,
            "rss_end_mib": self.memory[-1][1],
            "rss_growth_mib": round(self.memory[-1][1] - warm, 1),
            "rss_by_tenth": [mib for _, mib in self.memory[:: max(1, len(self.memory) // 10)]],
            "agent_growth_kib": self.weights[-1][1] - warm_kib if self.weights else None,
            "agent_kib_by_tenth": [kib for _, kib in self.weights[:: max(1, len(self.weights) // 10)]],
            "stuck_lines": self.stuck,
            "errors": self.errors[:5],
            "records": verified["size"],
            "verified": verified["ok"],
            "findings": verified["findings"][:5],
        }

    async def _live(self, config: dict[str, Any], clock: ApartClock) -> Agent:
        asyncio.get_running_loop().set_exception_handler(lambda _loop, said: self.errors.append(str(said)))
        agent = Agent(config, clock, open_port=lambda line: clock.port(line["id"]))
        await agent.open()
        stop, until = asyncio.Event(), time.monotonic() + (self.minutes * 60 or float("inf"))
        running = asyncio.create_task(agent.run(stop))
        done = hours = 0
        while done < self.polls and hours < self.days * 24 and not running.done():
            before = [poller.line.statistics.answered for poller in agent.pollers]
            await clock.sleep(STEP_S)
            hours += 1
            give_back()  # as `hubiao run` does every minute
            done = sum(poller.line.statistics.exchanges for poller in agent.pollers)
            self.memory.append((done, round(rss_mib(os.getpid()), 1)))
            if hours % 24 == 0:  # the last hour of the calm
                self.weights.append((done, weight_kib(agent)))
                sys.stderr.write(
                    f"day {hours // 24}: {done} polls, {self.memory[-1][1]} MiB, {self.weights[-1][1]} KiB\n"
                )
                for poller, answered in zip(agent.pollers, before, strict=True):
                    if poller.line.statistics.answered == answered:
                        self.stuck.append(f"{poller.line.id} after {hours} h")
                if time.monotonic() > until:
                    break
        clock.pace(1.0)
        stop.set()
        await running
        return agent

    def _verified(self, vkey: str) -> dict[str, Any]:
        command = [str(Path(sys.executable).with_name("hubiao")), "verify", str(self.data), "--key", vkey, "--json"]
        said = subprocess.run(command, capture_output=True, text=True)
        result: dict[str, Any] = json.loads(said.stdout)
        return result


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--polls", type=int, default=1_000_000)
    parser.add_argument("--minutes", type=float, default=10.0, help="real time after which no new day begins; 0: none")
    parser.add_argument("--days", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--start", default=START, help="virtual time, UTC")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    one_heap()  # as `hubiao run` does
    with tempfile.TemporaryDirectory(prefix="hubiao-soak-") as directory:
        soak = Soak(options.polls, options.minutes, options.days, options.seed, Path(directory), options.start)
        result = soak.run()
    sys.stdout.write(json.dumps(result) + "\n")
    return 0 if result["verified"] and not result["stuck_lines"] and not result["errors"] else 1


if __name__ == "__main__":
    sys.exit(main())
