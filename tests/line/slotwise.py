"""What a poller finds on a paced line in virtual time, slot by slot. For tests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal

from agent.meters import Drivers
from agent.polling.idle import Idle
from agent.polling.own_memory import OwnMemory
from agent.polling.poller import Polled, Poller
from agent.reading import Finding, Missed, Observation, SweepDone
from agent.validation import Limits
from bench.paced import Accounted, Wire
from bench.parks import park
from bench.virtual import played_line
from contract.grid import Closing, Grid
from drivers.clock import VirtualClock

SLOT_S = 900
START_MS = 1_790_000_100_000 // (SLOT_S * 1000) * SLOT_S * 1000 + 100_000
Spoil = Callable[[Accounted], None]
GRID = Grid(SLOT_S, 28_800, (Closing.parse("1 00:00"),))
LIMITS = Limits(Decimal(60), Decimal(10) ** 6)


def slots(wire: Wire, hours: float, spoil: Spoil = lambda bus: None) -> tuple[list[Finding], Accounted]:
    """What a poller finds on such a line; ticks of all registers as the wire says."""
    protocol = "modbus" if wire.protocol == "modbus" else "dlt645-2007"
    config = asyncio.run(park(1, wire.meters, protocol, baud=wire.baud, framing=wire.framing))
    clock = VirtualClock(START_MS)
    found: list[Finding] = []

    async def put(finding: Finding) -> None:
        found.append(finding)

    async def scene() -> Accounted:
        line, bus = played_line(wire, clock)
        spoil(bus)
        drivers = Drivers(config)
        polled = [Polled(drivers.build(meter, line), LIMITS) for meter in config["meters"]]
        kept = [(one.meter, one.limits) for one in polled]
        memory = OwnMemory(kept, grid=GRID, clock=clock)
        idle = Idle([memory])
        poller = Poller(line, polled, clock, lambda t_s: (t_s // SLOT_S + 1) * SLOT_S, put, idle, memory)
        task = asyncio.get_running_loop().create_task(poller.run())
        await clock.sleep(hours * 3600)
        task.cancel()
        return bus

    return found, clock.run(scene())


def by_slot(found: list[Finding]) -> dict[int, list[Observation | Missed]]:
    """Findings of each sweep but the one at the start."""
    sweeps: dict[int, list[Observation | Missed]] = {}
    sweep: list[Observation | Missed] = []
    for finding in found:
        if isinstance(finding, (Observation, Missed)):
            sweep.append(finding)
        elif isinstance(finding, SweepDone):
            sweeps[len(sweeps)] = sweep
            sweep = []
    del sweeps[0]
    return sweeps


def skew_ms(observation: Observation) -> int:
    """From the nearest slot, negative before it."""
    return (observation.wall_ms + SLOT_S * 500) % (SLOT_S * 1000) - SLOT_S * 500
