"""A gateway switched off for three days: what its meters remember is exact afterwards, of the others the total is."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from played import START, demo_config

from agent.app import Agent
from agent.evidence.store import Reader
from contract.records import Gap, Reading, decode, parse_instant, parse_slot
from drivers.clock import VirtualClock
from drivers.ports.serial import SerialPort
from simulators.dlt645_meter import Dlt645Meter
from simulators.held import HeldPort
from simulators.site import Site

pytestmark = pytest.mark.timeout(600)  # 15 s on an idle machine
OFF_S = 3 * 86400
NO_PROFILE = "m-104"  # keeps hourly freezes only
NO_MEMORY = "m-105"  # keeps nothing
LATE_CLOCK = "m-101"  # seven seconds slow: its records still are those of the slot


KEPT = ("m-101", "m-103", "m-104", "m-105", "m-204", "m-201", "m-301")


def _only(config: dict[str, Any], meters: tuple[str, ...]) -> dict[str, Any]:
    """The part of a park that these meters and their points are."""
    config["meters"] = [meter for meter in config["meters"] if meter["id"] in meters]
    config["points"] = [point for point in config["points"] if all(seat["meter"] in meters for seat in point["meters"])]
    points = {point["id"] for point in config["points"]}
    config["tenancies"] = [tenancy for tenancy in config["tenancies"] if tenancy["point"] in points]
    return config


def _forget(meter: Dlt645Meter, prefixes: tuple[str, ...]) -> None:
    """The meter has no such items."""
    item, records = meter.memory.item_2007, meter.memory.load_records
    meter.memory.item_2007 = lambda di, at: None if di.startswith(prefixes) else item(di, at)  # type: ignore[method-assign]
    meter.memory.load_records = lambda di, extra, at: None if di.startswith(prefixes) else records(di, extra, at)  # type: ignore[method-assign]


class Outage:
    """An hour of the agent, three days of nothing, an hour and a half of another agent on the same store."""

    def __init__(self, data: Path) -> None:
        self.config = _only(demo_config(data), KEPT)
        self.data = data
        self.clock = VirtualClock(parse_instant(START))
        self.site = Site(self.config, now_ms=self.clock.wall_ms, seed=5)
        for bus in self.site.buses.values():
            for meter in bus.meters:
                if isinstance(meter, Dlt645Meter):
                    meter.memory.clock_ms = -7000 if meter.id == LATE_CLOCK else 0
                    if meter.id == NO_PROFILE:
                        _forget(meter, ("06",))
                    if meter.id == NO_MEMORY:
                        _forget(meter, ("06", "05", "04000B", "000100", "0001FF"))
                        _restore(meter, ("00010000", "0001FF00"))
        self.off = (0, 0)
        self.clock.run(self._live())
        self.newest = dict(self._newest())

    async def _live(self) -> None:
        await self.site.open(lambda _url: None)
        await self._agent(3900)
        gone_s = self.clock.wall_ms() // 1000
        await self.clock.sleep(OFF_S)
        self.off = (gone_s, self.clock.wall_ms() // 1000)
        await self._agent(5400)
        await self.site.close()

    async def _agent(self, seconds: float) -> None:
        ports, wires = self.site.ports, self.site.wires
        agent = Agent(
            self.config,
            self.clock,
            open_port=lambda line: HeldPort(SerialPort(ports[line["id"]]), self.clock, wires[line["id"]]),
        )
        await agent.open()
        stop = asyncio.Event()
        running = asyncio.create_task(agent.run(stop))
        await self.clock.sleep(seconds)
        stop.set()
        await running

    def _newest(self) -> Iterator[tuple[tuple[str, int], Reading | Gap]]:
        reader = Reader(self.data)
        for _, record, _ in reader.records(reader.epochs[-1], 0):
            assert record is not None
            body = decode(record)[1]
            if isinstance(body, Reading) and body.slot is not None:
                yield (body.meter, parse_slot(body.slot)), body
            elif isinstance(body, Gap):
                for slot_s in range(parse_slot(body.from_slot), parse_slot(body.to_slot) + 1, 900):
                    yield (body.meter, slot_s), body
        reader.close()

    @property
    def slots(self) -> range:
        """Those that went by while the gateway was off."""
        return range(-(-self.off[0] // 900) * 900, self.off[1], 900)

    def meters(self, protocol: str) -> list[dict[str, Any]]:
        return [meter for meter in self.config["meters"] if meter["protocol"] == protocol]


def _restore(meter: Dlt645Meter, items: tuple[str, ...]) -> None:
    forgetful, truth = meter.memory.item_2007, type(meter.memory).item_2007
    meter.memory.item_2007 = lambda di, at: truth(meter.memory, di, at) if di in items else forgetful(di, at)  # type: ignore[method-assign]


@pytest.fixture(scope="module")
def outage(tmp_path_factory: pytest.TempPathFactory) -> Outage:
    return Outage(tmp_path_factory.mktemp("outage"))


def test_every_slot_of_a_load_profile_meter_equals_the_truth_to_the_last_digit(outage: Outage) -> None:
    assert len(outage.slots) == OFF_S // 900
    checked = 0
    for meter in outage.meters("dlt645-2007"):
        if meter["id"] in (NO_PROFILE, NO_MEMORY):
            continue
        own_clock_ms = 7000 if meter["id"] == LATE_CLOCK else 0
        for slot_s in outage.slots:
            reading = outage.newest[meter["id"], slot_s]
            assert isinstance(reading, Reading), (meter["id"], slot_s)
            assert (reading.method, reading.quality) == ("load_profile", "measured"), (meter["id"], slot_s)
            truth = outage.site.truth.registers(meter["id"], slot_s * 1000 + own_clock_ms)
            assert reading.registers["import"] == truth["import"]
            assert "confirmed" in reading.checks
            assert reading.sources[0].confirm
            checked += 1
    assert checked == 3 * OFF_S // 900


def test_a_meter_with_hourly_freezes_has_every_whole_hour_exact_and_the_rest_estimated_between(outage: Outage) -> None:
    for slot_s in outage.slots:
        reading = outage.newest[NO_PROFILE, slot_s]
        assert isinstance(reading, Reading)
        truth = outage.site.truth.registers(NO_PROFILE, slot_s * 1000)["import"]
        if slot_s % 3600 == 0:
            assert (reading.method, reading.quality) == ("freeze", "measured")
            assert reading.registers["import"] == truth
        else:
            assert (reading.method, reading.quality) == ("interpolated", "estimated")


def test_what_remembers_nothing_is_estimated_and_its_total_is_exact(outage: Outage) -> None:
    ids = [NO_MEMORY] + [meter["id"] for meter in outage.config["meters"] if meter["protocol"] != "dlt645-2007"]
    assert len(ids) == 3
    for name in ids:
        values: list[Decimal] = []
        for slot_s in outage.slots:
            reading = outage.newest[name, slot_s]
            assert isinstance(reading, Reading), (name, slot_s)
            assert reading.quality == "estimated"
            values.append(reading.registers["import"])
        before, after = outage.newest[name, outage.slots[0] - 900], outage.newest[name, outage.slots[-1] + 900]
        assert isinstance(before, Reading)
        assert isinstance(after, Reading)
        assert before.quality == after.quality == "measured"
        assert [before.registers["import"], *values, after.registers["import"]] == sorted(
            [before.registers["import"], *values, after.registers["import"]]
        )
