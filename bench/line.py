"""How much of a line's time carries readings: the agent's own poller, sweep after sweep, on a paced line.

    efficiency = least wire time of the exchanges that were answered / time of the sweeps

`python -m bench.line CASE…` prints one JSON object a run; cases below. Dead meters are drawn by a seed, other ones for
each run, so nothing can be tuned to them. `revived` gives the seconds from a meter's return to its next answer.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import resource
import select
import sys
import time
import tty
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from agent.meters import build_meter
from agent.poller import Polled, Poller
from agent.reading import Finding, Observation
from agent.validation import Limits
from bench.paced import Paced, Wire
from bench.parks import park
from drivers.clock import RealClock
from drivers.line import Line
from drivers.loop import precise_loop
from drivers.modbus.adu import encode_rtu, read_request
from drivers.ports import Settings
from drivers.ports.serial import SerialPort

LIMITS = Limits(Decimal(100), Decimal(10) ** 6)


@dataclass(frozen=True, slots=True)
class Case:
    """warm: sweeps before the account begins. counted: sweeps in it."""

    protocol: str
    baud: int
    framing: str
    warm: int
    counted: int
    dead: int = 0
    meters: int = 32
    strict: bool = False
    revive: bool = False


CASES = {
    "modbus-strict": Case("modbus", 9600, "8N1", 1, 4, strict=True),
    "dlt645": Case("dlt645-2007", 2400, "8E1", 16, 4, meters=8),
    "modbus-10-dead": Case("modbus", 9600, "8N1", 6, 10, dead=3, strict=True, revive=True),
    "modbus-10-dead-first": Case("modbus", 9600, "8N1", 0, 24, dead=3, strict=True),
    "modbus-30-dead": Case("modbus", 9600, "8N1", 6, 10, dead=10, strict=True, revive=True),
}


async def raw(sweeps: int) -> dict[str, Any]:
    """A master that costs nothing, blocking writes and reads of fixed bytes: what the machine lets through just now."""
    child = await Paced.start([Wire("modbus", strict=True)])
    file = os.open(child.ports[0], os.O_RDWR | os.O_NOCTTY)
    tty.setraw(file)
    requests = [encode_rtu(unit, read_request(3, 10, 10)) for unit in range(1, 33)]
    gap_s = Settings.parse(9600, "8N1").seconds(3.5)
    began = time.monotonic()
    for _ in range(sweeps):
        for request in requests:
            os.write(file, request)
            missing = 25
            while missing > 0:
                assert select.select([file], [], [], 2.0)[0], "no answer"
                missing -= len(os.read(file, missing))
            select.select([], [], [], gap_s)
    took = time.monotonic() - began
    [account] = await child.report()
    os.close(file)
    await child.close()
    return {
        "efficiency": round(account["wire_min"] / took, 4),
        "gap_violations": account["gap_violations"],
        "lag_ms": account["lag_ms"],
    }


class _Bench:
    def __init__(self, case: Case, seed: int) -> None:
        self.case = case
        self.dead = set(random.Random(f"{seed}:{case}").sample(range(1, case.meters + 1), case.dead))
        self.found: list[Finding] = []

    async def run(self) -> dict[str, Any]:
        case = self.case
        kind = case.protocol.partition("-")[0]
        config = await park(1, case.meters, case.protocol, baud=case.baud, framing=case.framing)
        wire = Wire(kind, case.baud, case.framing, case.meters, silent=sorted(self.dead), strict=case.strict)
        self.child = await Paced.start([wire])
        line = Line("l0", SerialPort(self.child.ports[0]), Settings.parse(case.baud, case.framing), RealClock())
        polled = [Polled(build_meter(meter, config, line), LIMITS) for meter in config["meters"]]
        self.poller = Poller(line, polled, RealClock(), lambda t_s: t_s + 900, self._put)
        await line.open()
        for n in range(case.warm):
            await self.poller._sweep(0, first=not n)
        await self.child.reset()
        self.found.clear()
        result = await self._counted()
        if case.revive:
            result["revived_s"] = await self._revived()
        await line.close()
        await self.child.close()
        return result

    async def _put(self, finding: Finding) -> None:
        self.found.append(finding)

    async def _counted(self) -> dict[str, Any]:
        began, cpu = time.monotonic(), _cpu_s()
        for n in range(self.case.counted):
            await self.poller._sweep(0, first=not self.case.warm and not n)
        took, cpu = time.monotonic() - began, _cpu_s() - cpu
        [account] = await self.child.report()
        return {
            "efficiency": round(account["wire_min"] / took, 4),
            "gap_violations": account["gap_violations"],
            "lag_ms": account["lag_ms"],
            "exchanges": account["exchanges"],
            "unanswered": account["unanswered"],
            "readings": sum(isinstance(finding, Observation) for finding in self.found),
            "wall_s": round(took, 2),
            "cpu_s_1000": round(1000 * cpu / account["exchanges"], 2),
            "dead": sorted(self.dead),
        }

    async def _revived(self) -> float:
        """Seconds until the meter that returned last is read again: the worst of all that were dead."""
        await self.child.silence(0, set())
        began = time.monotonic()
        awaited = {f"m-0-{number}" for number in self.dead}
        while awaited and time.monotonic() - began < 120:
            self.found.clear()
            await self.poller._sweep(0)
            awaited -= {finding.meter for finding in self.found if isinstance(finding, Observation)}
        return round(time.monotonic() - began, 1)


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    names = ("raw", *CASES)
    parser = argparse.ArgumentParser(description=f"How much of a line's time carries readings: {', '.join(names)}")
    parser.add_argument("cases", nargs="*", metavar="CASE", help="all if none is named")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if unknown := [name for name in options.cases if name not in names]:
        parser.error(f"no such case: {', '.join(unknown)}; there are {', '.join(names)}")
    for name in options.cases or names:
        with asyncio.Runner(loop_factory=precise_loop) as runner:
            result = runner.run(raw(4) if name == "raw" else _Bench(CASES[name], options.seed).run())
        sys.stdout.write(json.dumps({"case": name, **result}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
