"""A simulated bus on a wire in memory that carries speed and parity, in virtual time; and the park of sixty meters."""

from __future__ import annotations

import asyncio
from typing import Any

from config.load import load
from drivers.clock import VirtualClock
from drivers.ports import Chunk
from drivers.ports.memory import MemoryPort, pair
from simulators.bus import Bus
from simulators.faults import Fault
from simulators.site import Site

NOON = 1_783_310_400_000  # 2026-07-06T04:00:00Z, a Monday, 12:00 in the park


class Bench:
    """A site whose lines are joined to memory ports: `ports[line]` is what an agent opens."""

    def __init__(self, config: dict[str, Any], clock: VirtualClock, faults: list[Fault] | None = None) -> None:
        self.site = Site(config, now_ms=clock.wall_ms, faults=faults or [])
        self.ports: dict[str, MemoryPort] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        for name, bus in self.site.buses.items():
            near, far = pair(name)
            self.ports[name] = near
            await far.open(bus.settings)
            bus.end = lambda data, near=near: near.deliver(Chunk(data))
            bus.speed = lambda near=near: near.settings.baud if near.settings else None
            bus.framing = lambda near=near: near.settings.framing if near.settings else None
            self._tasks.append(asyncio.get_running_loop().create_task(_carry(far, bus)))
            bus.start()

    async def close(self) -> None:
        for bus in self.site.buses.values():
            bus.stop()
        for task in self._tasks:
            task.cancel()


async def _carry(far: MemoryPort, bus: Bus) -> None:
    while True:
        bus.receive((await far.read()).data)


def effective(path: Any) -> dict[str, Any]:
    loaded = load(path)
    assert loaded.config is not None, loaded.fault_texts("en")
    return loaded.config


HEAD = """\
park: {id: sixty, schedules: [zj-2024, zj-2026]}
gateway: {id: gw-1}
mqtt: {url: "mqtt://127.0.0.1:1883"}
lines:
  - {id: east, port: /dev/ttyS-east, baud: 2400, framing: 8E1}
  - {id: west, port: /dev/ttyS-west, baud: 9600, framing: 8N1}
meters:
"""
SILENT = 3  # every third meter is silent: 20 of 60


def sixty(folder: Any) -> tuple[dict[str, Any], list[Fault]]:
    """30 meters on each of two lines: both editions and Modbus, 1200, 2400 and 9600 Bd, 8E1 and 8N1; every third is
    silent, m-004 has a twin with its address."""
    rows = []
    models = ["acrel-dtsd1352", "eastron-sdm630", "chint-dtsu666", "abb-b23", "orno-we516"]
    for number in range(60):
        line = "east" if number < 30 else "west"
        place = number % 30
        common = f"id: m-{number:03d}, line: {line}, tenant: t{number}"
        if line == "east" and place < 20:
            low = 20220831 * 10_000 + (place * 37) % 1000 + (100 if place % 7 == 0 else 0)
            rows.append(f'{{{common}, protocol: dlt645-2007, address: "{low:012d}"}}')
        elif line == "east":
            rows.append(f'{{{common}, protocol: dlt645-1997, address: "{63000 + place * 11:012d}", baud: 1200}}')
        elif place < 14:
            rows.append(
                f'{{{common}, protocol: dlt645-2007, address: "{330200 + place * 9:012d}", baud: 9600, framing: 8E1}}'
            )
        else:
            model = models[place % 5]
            framing = "8E1" if model == "orno-we516" else "8N1"
            unit = place - 13 if place < 24 else place * 4 + 1
            rows.append(f"{{{common}, protocol: modbus, unit: {unit}, model: {model}, framing: {framing}}}")
    path = folder / "sixty.yaml"
    tenants = "tenants:\n" + "".join(f"  - {{id: t{number}}}\n" for number in range(60))
    path.write_text(HEAD + "".join(f"  - {row}\n" for row in rows) + tenants)
    faults = [Fault("silent", f"m-{number:03d}") for number in range(2, 60, SILENT)]
    return effective(path), [*faults, Fault("duplicate", "m-004", amount=0.012)]
