"""One exchange after another on a bus in memory, in virtual time: answers, faults, order, settings, silence."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

import pytest
from wires import (
    ENERGY_DI,
    ENERGY_REPLY,
    SETTINGS,
    START_MS,
    Event,
    ScriptedPort,
    byte_by_byte,
    dlt,
    read_energy,
    read_rtu,
    rtu_reply,
)

from drivers.clock import VirtualClock
from drivers.errors import ForbiddenRequest, Garbled, PortGone, Silent
from drivers.exchange import Answer, Exchange
from drivers.line import TIMER_MARGIN_S, Line
from drivers.ports import Chunk, Settings

T = TypeVar("T")
REQUEST = dlt(0x11, ENERGY_DI)
OTHER_METER = dlt(0x91, ENERGY_DI + b"\x99\x99\x99\x00", address=bytes.fromhex("030031082220"))
OTHER_ITEM = dlt(0x91, bytes.fromhex("00000200") + b"\x99\x99\x99\x00")


def on_line(
    script: Callable[[bytes], Iterable[Event]], use: Callable[[Line, ScriptedPort, VirtualClock], Awaitable[T]]
) -> T:
    """Plays `use` with an open line whose far side follows the script."""
    clock = VirtualClock(START_MS)

    async def play() -> T:
        port = ScriptedPort(script)
        line = Line("east", port, SETTINGS, clock)
        await line.open()
        return await use(line, port, clock)

    return clock.run(play())


def ask(script: Callable[[bytes], Iterable[Event]], exchange: Exchange | None = None) -> Answer:
    async def use(line: Line, port: ScriptedPort, clock: VirtualClock) -> Answer:
        return await line.exchange(exchange or read_energy())

    return on_line(script, use)


GOOD_WIRES: dict[str, list[Event]] = {
    "whole": [(0.05, ENERGY_REPLY)],
    "byte by byte": byte_by_byte(0.05, ENERGY_REPLY),
    "slow bytes": byte_by_byte(0.05, ENERGY_REPLY, 0.08),
    "bunched by a converter": [(0.05, b"\xfe\xfe" + ENERGY_REPLY[:9]), (0.3, ENERGY_REPLY[9:])],
    "with preamble and FF behind": [(0.05, b"\xfe" * 4 + ENERGY_REPLY + b"\xff\xff")],
    "echoing": [(0.0, b"\xfe" * 4 + REQUEST), (0.05, ENERGY_REPLY)],
    "noisy": [(0.01, b"\x00\xff\x68"), (0.05, b"\x68\x16" + ENERGY_REPLY)],
    "after another meter's frame": [(0.03, OTHER_METER), (0.2, ENERGY_REPLY)],
    "after another item's frame": [(0.03, OTHER_ITEM), (0.2, ENERGY_REPLY)],
    "damaged byte before it": [(0.03, Chunk(b"\x68", damaged=True)), (0.2, ENERGY_REPLY)],
    "late but in time": [(0.99, ENERGY_REPLY)],
    "begun in time": byte_by_byte(0.95, ENERGY_REPLY, 0.02),
}


@pytest.mark.parametrize("wire", GOOD_WIRES)
def test_the_answer_is_found_on_every_kind_of_wire(wire: str) -> None:
    answer = ask(lambda request: GOOD_WIRES[wire])
    assert answer.reply == ENERGY_REPLY
    assert answer.request == REQUEST


BAD_WIRES: dict[str, tuple[type[Exception], list[Event]]] = {
    "silent": (Silent, []),
    "only our echo": (Silent, [(0.0, b"\xfe" * 4 + REQUEST)]),
    "cut": (Garbled, [(0.05, ENERGY_REPLY[:15])]),
    "wrong checksum": (Garbled, [(0.05, ENERGY_REPLY[:-2] + b"\x00\x16")]),
    "only another meter": (Garbled, [(0.05, OTHER_METER)]),
    "colliding": (Garbled, [(0.05, bytes(a & b for a, b in zip(ENERGY_REPLY, OTHER_METER, strict=True)))]),
    "parity error inside": (Garbled, [(0.05, Chunk(ENERGY_REPLY[:14], damaged=True)), (0.06, ENERGY_REPLY[15:])]),
    "nothing but a damaged byte": (Garbled, [(0.05, Chunk(b"", damaged=True))]),
    "flood of 68": (Garbled, [(0.001 * index, b"\x68" * 10) for index in range(9000)]),
    "endless noise": (Garbled, [(0.02 * index, b"\x55") for index in range(900)]),
}


@pytest.mark.parametrize("wire", BAD_WIRES)
def test_a_line_without_an_answer_gives_its_fault_in_bounded_time(wire: str) -> None:
    fault, events = BAD_WIRES[wire]

    async def use(line: Line, port: ScriptedPort, clock: VirtualClock) -> float:
        loop = asyncio.get_running_loop()
        with pytest.raises(fault):
            await line.exchange(read_energy())
        return loop.time() - port.written[0][0]

    assert on_line(lambda request: events, use) < 2.5


class FloodedPort(ScriptedPort):
    """From the first request on, more bytes wait at every read."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__()
        self._clock = clock

    async def read(self) -> Chunk:
        if not self.written:
            return await super().read()
        return self._flood()

    def take(self) -> Chunk | None:
        return self._flood() if self.written else super().take()

    def _flood(self) -> Chunk:
        self._clock.move(0.01)
        return Chunk(b"\x68" * 12)


def test_bytes_that_never_end_end_the_exchange_and_block_the_next_request() -> None:
    clock = VirtualClock(START_MS)

    async def play() -> None:
        port = FloodedPort(clock)
        line = Line("east", port, SETTINGS, clock)
        await line.open()
        began = clock.boot_ms()
        with pytest.raises(Garbled, match="no answer"):
            await line.exchange(read_energy())
        assert clock.boot_ms() - began < 2500
        with pytest.raises(Garbled, match="never falls silent"):
            await line.exchange(read_energy())
        assert clock.boot_ms() - began < 6000
        assert len(port.written) == 1

    clock.run(play())


def test_silence_costs_the_timeout_and_not_more() -> None:
    async def use(line: Line, port: ScriptedPort, clock: VirtualClock) -> float:
        loop = asyncio.get_running_loop()
        with pytest.raises(Silent):
            await line.exchange(read_energy(timeout_s=0.5))
        return loop.time() - port.written[0][0] - SETTINGS.seconds(20)

    assert on_line(lambda request: [], use) == pytest.approx(0.5 + TIMER_MARGIN_S, abs=0.002)


def test_a_garbled_answer_keeps_its_bytes_and_says_what_was_noticed() -> None:
    bad = ENERGY_REPLY[:-2] + b"\x00\x16"
    with pytest.raises(Garbled, match="checksum 1") as caught:
        ask(lambda request: [(0.05, bad)])
    assert caught.value.frame == bad


def test_the_answer_is_dated_at_mid_read() -> None:
    wire_s = SETTINGS.seconds(20)

    async def use(line: Line, port: ScriptedPort, clock: VirtualClock) -> tuple[Answer, int, int]:
        await asyncio.sleep(5)
        answer = await line.exchange(read_energy())
        return answer, round(port.written[0][0] * 1000), clock.boot_ms()

    answer, began_ms, ended_ms = on_line(lambda request: byte_by_byte(0.4, ENERGY_REPLY, 0.01), use)
    assert answer.boot_ms == pytest.approx((began_ms + ended_ms) / 2, abs=1)
    assert ended_ms - began_ms == pytest.approx((wire_s + 0.6) * 1000, abs=2)
    assert answer.wall_ms - answer.boot_ms == START_MS - 60_000
    assert answer.latency_s == pytest.approx(0.41, abs=0.001)


def test_the_bus_is_silent_before_every_request() -> None:
    async def use(line: Line, port: ScriptedPort, clock: VirtualClock) -> float:
        await line.exchange(read_rtu(1, 0, quiet_s=0.05))
        heard_at = asyncio.get_running_loop().time()
        await line.exchange(read_rtu(1, 0, quiet_s=0.05))
        return port.written[1][0] - heard_at

    gap_s = on_line(lambda request: [(0.02, rtu_reply(1, 3, [1, 2]))], use)
    assert gap_s == pytest.approx(0.05, abs=0.001)


def test_input_that_nobody_asked_for_is_dropped_and_counted() -> None:
    stale = rtu_reply(1, 3, [0xDEAD, 0xBEEF])

    async def use(line: Line, port: ScriptedPort, clock: VirtualClock) -> tuple[Answer, int]:
        port.deliver(Chunk(stale))
        asyncio.get_running_loop().call_later(0.01, port.deliver, Chunk(stale))
        return await line.exchange(read_rtu(1, 0, quiet_s=0.02)), line.statistics.stale

    answer, dropped = on_line(lambda request: [(0.02, rtu_reply(1, 3, [1, 2]))], use)
    assert answer.reply == rtu_reply(1, 3, [1, 2])
    assert dropped == 2 * len(stale)


def test_a_bus_that_never_falls_silent_is_given_up_without_sending() -> None:
    async def use(line: Line, port: ScriptedPort, clock: VirtualClock) -> int:
        loop = asyncio.get_running_loop()
        for index in range(1000):
            loop.call_later(0.01 * index, port.deliver, Chunk(b"\x55"))
        with pytest.raises(Garbled, match="never falls silent"):
            await line.exchange(read_energy())
        assert loop.time() < 60 + 4
        return len(port.written)

    assert on_line(lambda request: [], use) == 0


def test_callers_are_served_one_at_a_time_in_their_order() -> None:
    async def use(line: Line, port: ScriptedPort, clock: VirtualClock) -> list[int]:
        await asyncio.gather(*(line.exchange(read_rtu(unit, 0)) for unit in (5, 3, 9, 1)))
        gaps = [later[0] - earlier[0] for earlier, later in zip(port.written, port.written[1:], strict=False)]
        assert min(gaps) > 0.1
        return [data[0] for _, data, _ in port.written]

    assert on_line(lambda request: [(0.1, rtu_reply(request[0], 3, [1, 2]))], use) == [5, 3, 9, 1]


def test_a_meter_with_its_own_speed_is_asked_at_it_and_the_next_one_not() -> None:
    slow = Settings(1200, 8, "E", 1)

    async def use(line: Line, port: ScriptedPort, clock: VirtualClock) -> list[Settings | None]:
        await line.at(slow).exchange(read_rtu(1, 0))
        await line.exchange(read_rtu(1, 0))
        await line.exchange(read_rtu(1, 0), slow)
        return [settings for _, _, settings in port.written]

    assert on_line(lambda request: [(0.02, rtu_reply(1, 3, [1, 2]))], use) == [slow, SETTINGS, slow]


def test_a_forbidden_request_never_reaches_the_port() -> None:
    trip = Exchange(protocol="dlt645-2007", request=dlt(0x1C, bytes(16)), reader=read_energy().reader)

    async def use(line: Line, port: ScriptedPort, clock: VirtualClock) -> tuple[int, int]:
        with pytest.raises(ForbiddenRequest):
            await line.exchange(trip)
        return len(port.written), line.statistics.forbidden

    assert on_line(lambda request: [], use) == (0, 1)


def test_a_lost_port_closes_the_line_until_it_is_opened_again() -> None:
    async def use(line: Line, port: ScriptedPort, clock: VirtualClock) -> Answer:
        asyncio.get_running_loop().call_later(0.1, port.unplug)
        with pytest.raises(PortGone, match="unplugged"):
            await line.exchange(read_energy())
        assert not line.is_open
        with pytest.raises(PortGone):
            await line.exchange(read_energy())
        with pytest.raises(PortGone):
            await line.open()
        port.plug()
        await line.open()
        port.script = lambda request: [(0.05, ENERGY_REPLY)]
        answer = await line.exchange(read_energy())
        assert line.statistics.lost == 1
        return answer

    assert on_line(lambda request: [], use).reply == ENERGY_REPLY


def test_closing_the_line_ends_an_exchange_under_way() -> None:
    async def use(line: Line, port: ScriptedPort, clock: VirtualClock) -> None:
        asyncio.get_running_loop().call_later(0.1, lambda: asyncio.ensure_future(line.close()))
        with pytest.raises(PortGone):
            await line.exchange(read_energy())
        assert line.statistics.lost == 0

    on_line(lambda request: [], use)


def test_an_answer_counts_even_if_the_gateway_wakes_too_late_to_see_it() -> None:
    async def use(line: Line, port: ScriptedPort, clock: VirtualClock) -> Answer:
        loop = asyncio.get_running_loop()
        loop.call_later(0.4, clock.move, 10)  # the loop stands still; then answer and timeout are due at once
        loop.call_later(0.5, port.deliver, Chunk(ENERGY_REPLY))
        return await line.exchange(read_energy())

    assert on_line(lambda request: [], use).reply == ENERGY_REPLY


def test_a_network_in_between_gets_its_allowance() -> None:
    clock = VirtualClock(START_MS)

    async def play() -> Answer:
        port = ScriptedPort(lambda request: [(1.4, ENERGY_REPLY)])
        line = Line("west", port, SETTINGS, clock, latency_s=0.5)
        await line.open()
        return await line.exchange(read_energy())

    assert clock.run(play()).reply == ENERGY_REPLY


def test_statistics_and_trace_tell_what_went_over_the_wire() -> None:
    traced: list[tuple[str, bytes]] = []
    replies = iter([[(0.05, b"\xfe" + ENERGY_REPLY)], [], [(0.05, ENERGY_REPLY[:-2] + b"\x00\x16")]])

    async def use(line: Line, port: ScriptedPort, clock: VirtualClock) -> Line:
        line.trace = lambda direction, data, boot_ms: traced.append((direction, data))
        await line.exchange(read_energy())
        with pytest.raises(Silent):
            await line.exchange(read_energy())
        with pytest.raises(Garbled):
            await line.exchange(read_energy())
        return line

    done = on_line(lambda request: next(replies), use).statistics
    assert (done.exchanges, done.answered, done.silent, done.garbled) == (3, 1, 1, 1)
    assert done.noticed.checksum == 1
    assert done.busy_s == pytest.approx(0.07 + 2 * (1 + TIMER_MARGIN_S), abs=0.1)
    assert "checksum" in done.last_error
    sent = ("tx", b"\xfe" * 4 + REQUEST)
    assert traced == [sent, ("rx", b"\xfe" + ENERGY_REPLY), sent, sent, ("rx", ENERGY_REPLY[:-2] + b"\x00\x16")]
