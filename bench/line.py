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

from agent.meters import Drivers
from agent.polling.poller import Polled, Poller
from agent.reading import Finding, Observation
from agent.validation import Limits
from bench.paced import Paced, Wire
from bench.parks import park
from bench.virtual import Played, played_line
from drivers.clock import Clock, RealClock, VirtualClock
from drivers.line import Line
from drivers.loop import precise_loop
from drivers.modbus.adu import encode_rtu, read_request
from drivers.ports import Settings
from drivers.ports.serial import SerialPort

START_MS = 1_790_000_000_000
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
    def __init__(self, case: Case, seed: int, config: dict[str, Any], clock: Clock) -> None:
        self.case, self.config, self.clock = case, config, clock
        self.dead = set(random.Random(f"{seed}:{case}").sample(range(1, case.meters + 1), case.dead))
        self.found: list[Finding] = []
        self.sent_at: list[float] = []  # loop time of each request

    async def run(self) -> dict[str, Any]:
        case = self.case
        kind = case.protocol.partition("-")[0]
        wire = Wire(kind, case.baud, case.framing, case.meters, silent=sorted(self.dead), strict=case.strict)
        line = await self._line(wire)
        drivers = Drivers(self.config)
        polled = [Polled(drivers.build(meter, line), LIMITS) for meter in self.config["meters"]]
        self.poller = Poller(line, polled, self.clock, lambda t_s: t_s + 900, self._put)
        line.trace = self._trace
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

    async def _line(self, wire: Wire) -> Line:
        self.child: Paced | Played
        if isinstance(self.clock, VirtualClock):
            line, bus = played_line(wire, self.clock)
            self.child = Played(bus)
            return line
        self.child = paced = await Paced.start([wire])
        return Line("l0", SerialPort(paced.ports[0]), Settings.parse(wire.baud, wire.framing), self.clock)

    def _trace(self, kind: str, _data: bytes, _boot_ms: int) -> None:
        if kind == "tx":
            self.sent_at.append(self._now_s())

    async def _put(self, finding: Finding) -> None:
        self.found.append(finding)

    async def _counted(self) -> dict[str, Any]:
        began, cpu = self._now_s(), _cpu_s()
        for n in range(self.case.counted):
            await self.poller._sweep(0, first=not self.case.warm and not n)
        took, cpu = self._now_s() - began, _cpu_s() - cpu
        [account] = await self.child.report()
        for violation in account["violations"]:
            asked_at = violation.pop("asked_at")
            sent_at = max(at for at in self.sent_at if at <= asked_at)
            violation["request_late_ms"] = round(1000 * (asked_at - sent_at), 1)
        return {
            "efficiency": round(account["wire_min"] / took, 4),
            "gap_violations": account["gap_violations"],
            "violations": account["violations"],
            "lag_ms": account["lag_ms"],
            "exchanges": account["exchanges"],
            "unanswered": account["unanswered"],
            "readings": sum(isinstance(finding, Observation) for finding in self.found),
            "wall_s": round(took, 2),
            "cpu_s_1000": round(1000 * cpu / max(1, account["exchanges"]), 2),
            "dead": sorted(self.dead),
        }

    async def _revived(self) -> float:
        """Seconds until the meter that returned last is read again: the worst of all that were dead."""
        await self.child.silence(0, set())
        began = self._now_s()
        awaited = {f"m-0-{number}" for number in self.dead}
        while awaited and self._now_s() - began < 120:
            self.found.clear()
            await self.poller._sweep(0)
            awaited -= {finding.meter for finding in self.found if isinstance(finding, Observation)}
        return round(self._now_s() - began, 1)

    def _now_s(self) -> float:
        return asyncio.get_running_loop().time()


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def measure(name: str, seed: int, *, virtual: bool) -> dict[str, Any]:
    """One case, or `raw`, as `main` prints it; in virtual time if asked."""
    if name == "raw":
        with asyncio.Runner(loop_factory=precise_loop) as runner:
            return runner.run(raw(4))
    case = CASES[name]
    config = asyncio.run(park(1, case.meters, case.protocol, baud=case.baud, framing=case.framing))
    if virtual:
        clock = VirtualClock(START_MS)
        return clock.run(_Bench(case, seed, config, clock).run())
    with asyncio.Runner(loop_factory=precise_loop) as runner:
        return runner.run(_Bench(case, seed, config, RealClock()).run())


def main() -> None:
    names = ("raw", *CASES)
    parser = argparse.ArgumentParser(description=f"How much of a line's time carries readings: {', '.join(names)}")
    parser.add_argument("cases", nargs="*", metavar="CASE", help="all if none is named")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--virtual", action="store_true", help="in virtual time: what the rules cost, processors nothing"
    )
    options = parser.parse_args()
    if unknown := [name for name in options.cases if name not in names]:
        parser.error(f"no such case: {', '.join(unknown)}; there are {', '.join(names)}")
    for name in options.cases or (CASES if options.virtual else names):
        result = measure(name, options.seed, virtual=options.virtual)
        sys.stdout.write(json.dumps({"case": name, **result}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
