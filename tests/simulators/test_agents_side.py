"""The agent's own port, line and drivers on a simulated bus over a real pseudo-terminal, in virtual time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from fractions import Fraction
from typing import Any

import pytest
from parks import NOON, meter, park, point

from config.meter_models import SHIPPED, read_model
from drivers.clock import VirtualClock
from drivers.dlt645.meter import Dlt645Meter
from drivers.dlt645.requests import read
from drivers.errors import Garbled, Silent
from drivers.line import Line
from drivers.modbus.meter import ModbusMeter
from drivers.modbus.model import parse
from drivers.ports import Settings
from drivers.ports.choose import port_for
from simulators.faults import Fault
from simulators.held import HeldPort
from simulators.site import Site

SEED = 11
SLOW, FAST, RTU = (Settings.parse(baud, framing) for baud, framing in ((1200, "8E1"), (2400, "8E1"), (9600, "8N1")))
ACREL = SHIPPED / "acrel-dtsd1352.yaml"


def mixed_park() -> dict[str, Any]:
    """Three protocols and three speeds on one pair of wires."""
    meters = [
        meter("new"),
        meter("old", address="000000063295", protocol="dlt645-1997", model="dlt645-1997", baud=1200),
        meter("bus", address=None, unit=12, protocol="modbus", model="acrel-dtsd1352", baud=9600, framing="8N1"),
    ]
    models = [{"id": "acrel-dtsd1352", "sha256": "", "text": ACREL.read_text("utf-8")}]
    return park(meters, [point(entry["id"]) for entry in meters], models=models)


def played(
    scene: Callable[[Site, Line, VirtualClock], Awaitable[None]], *faults: Fault, port: str = "/dev/ttyRS485-1"
) -> None:
    clock = VirtualClock(NOON)

    async def main() -> None:
        config = mixed_park()
        config["lines"][0]["port"] = port
        site = Site(config, now_ms=clock.wall_ms, seed=SEED, faults=faults)
        await site.open(lambda port: None)
        real = port_for(site.ports["east"])
        line = Line("east", HeldPort(real, clock, site.wires["east"]), FAST, clock)
        await line.open()
        await scene(site, line, clock)
        await line.close()
        await site.close()

    clock.run(main())


def test_three_protocols_at_three_speeds_are_read_right_through_a_day() -> None:
    async def scene(site: Site, line: Line, clock: VirtualClock) -> None:
        wanted = frozenset({"import", "export"})
        model = parse(read_model(site.config["models"][0]["text"]))
        meters = [
            Dlt645Meter("new", "202208310003", "2007", line, wanted),
            Dlt645Meter("old", "000000063295", "1997", line.at(SLOW), wanted),
            ModbusMeter("bus", 12, model, line.at(RTU), wanted, char_s=RTU.seconds(1)),
        ]
        for _ in range(96):
            for asked in meters:
                before = site.truth.exact(asked.id, clock.wall_ms())
                look = await asked.look()
                after = site.truth.exact(asked.id, clock.wall_ms())
                for name in ("import", "import_t1", "import_t4", "export"):
                    if name in look.registers:
                        assert before[name] - Fraction(1, 100) < look.registers[name] <= after[name]
            await clock.sleep(900)
        assert line.statistics.answered == line.statistics.exchanges > 96 * 3

    played(scene)


def test_an_answer_carries_the_instants_of_the_wire() -> None:
    async def scene(site: Site, line: Line, clock: VirtualClock) -> None:
        sampled: list[int] = []
        device = site.buses["east"].meters[0]
        heard = device.hear
        device.hear = lambda data, at_ms: sampled.append(at_ms) or heard(data, at_ms)  # type: ignore[method-assign]
        for _ in range(300):
            began = clock.wall_ms()
            answer = await line.exchange(read("2007", "202208310003", "00010000"))
            ended = clock.wall_ms()
            assert abs(answer.wall_ms - (began + ended) / 2) <= 20  # the line was silent 20 ms before it began
            assert began < sampled[-1] < ended
            assert 0.02 <= answer.latency_s <= 0.06 + FAST.seconds(24)
            await clock.sleep(7)

    played(scene)


def test_a_serial_server_on_a_socket_is_read_in_virtual_time_too(unused_tcp_port: int) -> None:
    async def scene(site: Site, line: Line, clock: VirtualClock) -> None:
        for _ in range(200):
            began = clock.wall_ms()
            answer = await line.exchange(read("2007", "202208310003", "00010000"))
            took_s = (clock.wall_ms() - began) / 1000
            assert took_s == pytest.approx(FAST.seconds(20) + answer.latency_s + FAST.seconds(8), abs=0.05)
            await clock.sleep(60)

    played(scene, port=f"socket://127.0.0.1:{unused_tcp_port}")


def test_a_dead_meter_costs_its_timeout_and_no_more() -> None:
    async def scene(site: Site, line: Line, clock: VirtualClock) -> None:
        began = clock.boot_ms()
        with pytest.raises(Silent):
            await line.exchange(read("2007", "202208310003", "00010000"))
        assert 1000 < clock.boot_ms() - began < 1300

    played(scene, Fault("silent", "new"))


@pytest.mark.parametrize("kind", ["bad_checksum", "wrong_address", "wrong_item", "cut"])
def test_a_spoilt_answer_is_garbled_and_the_next_is_right(kind: str) -> None:
    async def scene(site: Site, line: Line, clock: VirtualClock) -> None:
        with pytest.raises(Garbled):
            await line.exchange(read("2007", "202208310003", "00010000"))
        await clock.sleep(60)
        assert (await line.exchange(read("2007", "202208310003", "00010000"))).reply

    played(scene, Fault(kind, "new", to_ms=30_000, amount=4))


@pytest.mark.parametrize("kind", ["echo", "burst"])
def test_what_comes_besides_an_answer_does_not_hide_it(kind: str) -> None:
    async def scene(site: Site, line: Line, clock: VirtualClock) -> None:
        for _ in range(20):
            answer = await line.exchange(read("2007", "202208310003", "00010000"))
            assert answer.noticed
            await clock.sleep(1)

    played(scene, Fault(kind, "east", amount=7))
