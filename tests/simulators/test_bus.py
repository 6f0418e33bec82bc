from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from itertools import product
from pathlib import Path

import pytest
from miniport import MiniPort
from parks import NOON, small_park

from drivers.clock import VirtualClock
from drivers.dlt645.frame import Frame, decode, encode
from drivers.modbus.adu import encode_rtu
from drivers.ports import Settings
from simulators.bus import Bus
from simulators.dlt645_meter import Dlt645Meter
from simulators.faults import METER_FAULTS, Fault, Faults, spoil
from simulators.held import HeldPort
from simulators.park import Truth
from simulators.wires import LinkRefused, Pty, place_link

SEED = 3
ENERGY = bytes((0, 0, 1, 0))
SLOW = Settings(2400, 8, "E", 1)
TD = 0.1  # every meter here answers after 100 ms


class Bench:
    """Two meters (2400 baud) on a pty, a port on the other end, virtual time between them."""

    def __init__(self, clock: VirtualClock, faults: list[Fault]) -> None:
        self.clock = clock
        self.faults = Faults(faults)
        self.truth = Truth(small_park(), SEED, faults=self.faults)
        self.meters = [
            Dlt645Meter(self.truth, self.truth.meters[name], delay_s=(TD, TD), wake=4) for name in ("m0", "m1")
        ]
        started = clock.boot_ms()
        self.bus = Bus("east", self.meters, SLOW, now_ms=lambda: NOON + clock.boot_ms() - started, faults=self.faults)
        self.wire = Pty(self.bus)
        self.port = HeldPort(MiniPort(self.wire.open()), clock, self.wire)

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    async def ask(self, address: str, data: bytes = ENERGY, *, function: int = 0x11, limit_s: float = 1.0) -> bytes:
        """Everything that came within the limit."""
        await self.port.write(b"\xfe" * 4 + encode(Frame(address, function, data)))
        return await self.listen(limit_s)

    async def listen(self, limit_s: float) -> bytes:
        heard = b""
        try:
            async with asyncio.timeout(limit_s):
                while True:
                    heard += (await self.port.read()).data
        except TimeoutError:
            return heard


def played(scene: Callable[[Bench], Awaitable[None]], *faults: Fault, settings: Settings = SLOW) -> None:
    clock = VirtualClock(NOON)

    async def main() -> None:
        bench = Bench(clock, list(faults))
        await bench.port.open(settings)
        await scene(bench)
        await bench.port.close()
        bench.wire.close()

    clock.run(main())


def test_thousands_of_exchanges_keep_the_time_of_the_wire_to_the_microsecond() -> None:
    async def scene(bench: Bench) -> None:
        request = b"\xfe" * 4 + encode(Frame("202208310003", 0x11, ENERGY))
        for _ in range(2000):
            began = bench.now()
            await bench.port.write(request)
            heard = b""
            while len(heard) < 24:
                heard += (await bench.port.read()).data
            assert bench.now() - began == pytest.approx(SLOW.seconds(20) + TD + SLOW.seconds(24), abs=1e-6)
            await asyncio.sleep(900)

    played(scene)


def test_a_register_is_sampled_when_the_request_is_complete() -> None:
    async def scene(bench: Bench) -> None:
        started = bench.now()
        await asyncio.sleep(3600.0)
        sampled_ms = NOON + round((bench.now() - started + SLOW.seconds(20)) * 1000)
        heard = await bench.ask("202208310003")
        shown = bench.truth.registers("m1", sampled_ms)["import"]
        assert decode(heard.lstrip(b"\xfe")).data == ENERGY + bytes.fromhex(f"{int(shown * 100):08d}")[::-1]

    played(scene)


def test_a_silent_meter_lets_time_pass() -> None:
    async def scene(bench: Bench) -> None:
        began = bench.now()
        assert await bench.ask("000000000099", limit_s=3.5) == b""
        assert bench.now() - began == pytest.approx(3.5)

    played(scene)


def test_an_answer_that_nobody_fetches_does_not_stop_time() -> None:
    async def scene(bench: Bench) -> None:
        await bench.port.write(encode(Frame("202208310003", 0x11, ENERGY)))
        began = bench.now()
        await asyncio.sleep(60)
        assert bench.now() - began == pytest.approx(60)
        assert bench.port.discard() == 24
        assert await bench.listen(1) == b""

    played(scene)


def test_closing_the_port_in_the_middle_of_a_request_does_not_stop_time() -> None:
    async def scene(bench: Bench) -> None:
        await bench.port.write(encode(Frame("202208310003", 0x11, ENERGY))[:7])
        await bench.port.close()
        await asyncio.sleep(5)
        await bench.port.open(SLOW)
        assert await bench.ask("202208310003")

    played(scene)


def test_the_answer_comes_in_pieces_at_the_speed_of_the_line() -> None:
    async def scene(bench: Bench) -> None:
        began = bench.now()
        await bench.port.write(encode(Frame("202208310003", 0x11, ENERGY)))
        first = await bench.port.read()
        assert len(first.data) == 16
        assert bench.now() - began == pytest.approx(SLOW.seconds(16 + 16) + TD)

    played(scene)


def test_a_request_byte_by_byte_is_understood_and_a_long_pause_breaks_it() -> None:
    request = encode(Frame("202208310003", 0x11, ENERGY))

    async def scene(bench: Bench) -> None:
        for pause, answered in ((0.1, True), (0.6, False)):
            for byte in request:
                await bench.port.write(bytes((byte,)))
                await asyncio.sleep(pause)
            assert bool(await bench.listen(1)) is answered

    played(scene)


def test_a_meter_hears_nothing_at_another_speed() -> None:
    async def scene(bench: Bench) -> None:
        assert await bench.ask("202208310003") == b""
        await bench.port.configure(SLOW)
        assert await bench.ask("202208310003")

    played(scene, settings=Settings(9600, 8, "E", 1))


def test_two_meters_answering_a_wildcard_collide() -> None:
    async def scene(bench: Bench) -> None:
        heard = await bench.ask("AAAAAAAAAAAA", b"", function=0x13)
        assert heard
        with pytest.raises(ValueError):
            decode(heard.lstrip(b"\xfe"))

    played(scene)


def test_a_master_that_talks_into_an_answer_loses_both() -> None:
    async def scene(bench: Bench) -> None:
        await bench.port.write(encode(Frame("202208310003", 0x11, ENERGY)))
        await bench.port.read()
        assert await bench.ask("202208310002") == b""
        assert await bench.ask("202208310002")

    played(scene)


def heard_with(*faults: Fault) -> tuple[bytes, bytes]:
    """What the port hears of m1 without and with a fault."""
    heard: list[bytes] = []

    async def scene(bench: Bench) -> None:
        heard.append(await bench.ask("202208310003", limit_s=2))

    played(scene)
    played(scene, *faults)
    return heard[0], heard[1]


def test_a_fault_changes_the_answer_as_its_name_says() -> None:
    good, bad = heard_with(Fault("bad_checksum", "m1"))
    assert bad[:-2] == good[:-2]
    assert bad[-2] != good[-2]
    assert heard_with(Fault("silent", "m1"))[1] == b""
    assert heard_with(Fault("cut", "m1", amount=5))[1] == good[:-5]
    assert heard_with(Fault("trailing_ff", "m1", amount=3))[1] == good + b"\xff" * 3
    assert heard_with(Fault("glued", "m1"))[1] == good * 2
    assert heard_with(Fault("echo", "east"))[1] == b"\xfe" * 4 + encode(Frame("202208310003", 0x11, ENERGY)) + good
    assert heard_with(Fault("burst", "east", amount=9))[1][9:] == good
    assert heard_with(Fault("power_cut", "east"))[1] == b""
    assert heard_with(Fault("silent", "m0"))[1] == good, "another meter's fault is not ours"


def test_a_fault_keeps_the_frame_whole_where_only_its_content_lies() -> None:
    good, foreign_bytes = heard_with(Fault("wrong_address", "m1"))
    right = decode(good.lstrip(b"\xfe"))
    foreign = decode(foreign_bytes.lstrip(b"\xfe"))
    assert (foreign.address, foreign.data) == ("202208310004", right.data)
    other = decode(heard_with(Fault("wrong_item", "m1"))[1].lstrip(b"\xfe"))
    assert other.data[:4] != ENERGY
    assert other.address == right.address
    spoilt = decode(heard_with(Fault("invalid_bcd", "m1"))[1].lstrip(b"\xfe"))
    assert spoilt.data == right.data[:-1] + b"\x0e"


def test_faults_come_together_in_any_order() -> None:
    """A meter with two of them died of an error in the simulator, and seemed only silent."""
    modbus = encode_rtu(7, bytes.fromhex("030441200000"))
    dlt645 = b"\xfe" * 4 + encode(Frame("202208310003", 0x91, ENERGY + bytes(4)))
    amounts = {"cut": 40, "trailing_ff": 3}
    kinds = [kind for kind in METER_FAULTS if spoil(modbus, Fault(kind, "m1", amount=amounts.get(kind, 1))) != modbus]
    assert len(kinds) >= 6
    for chosen in product(kinds, repeat=3):
        for reply in (modbus, dlt645):
            for kind in chosen:
                reply = spoil(reply, Fault(kind, "m1", amount=amounts.get(kind, 1)))
            assert reply


def test_two_meters_with_the_same_address_answer_over_each_other() -> None:
    good, bad = heard_with(Fault("duplicate", "m1", amount=SLOW.seconds(6)))
    assert len(bad) == len(good) + 6
    with pytest.raises(ValueError):
        decode(bad.lstrip(b"\xfe"))


def test_noise_spoils_some_answers_and_always_the_same_ones() -> None:
    async def scene(bench: Bench) -> None:
        runs.append([await bench.ask("202208310003") for _ in range(40)])

    runs: list[list[bytes]] = []
    for _ in range(2):
        played(scene, Fault("noise", "east", amount=0.002))
    assert runs[0] == runs[1]
    good = runs[0].count(max(runs[0], key=runs[0].count))
    assert 5 < good < 40


def test_a_late_meter_answers_late_and_only_while_the_fault_lasts() -> None:
    async def scene(bench: Bench) -> None:
        assert await bench.ask("202208310003", limit_s=2) == b""
        assert await bench.listen(2)
        await asyncio.sleep(10)
        assert await bench.ask("202208310003", limit_s=2)

    played(scene, Fault("late", "m1", to_ms=NOON + 10_000, amount=3.0))


def test_a_false_register_falls_and_comes_back() -> None:
    async def scene(bench: Bench) -> None:
        values = [decode((await bench.ask("202208310003")).lstrip(b"\xfe")).data[:3:-1].hex()]
        for _ in range(2):
            await asyncio.sleep(60)
            values.append(decode((await bench.ask("202208310003")).lstrip(b"\xfe")).data[:3:-1].hex())
        assert int(values[1]) + 9000 < int(values[0]) <= int(values[2])

    played(scene, Fault("register", "m1", NOON + 30_000, NOON + 90_000, -100.0))


def test_a_power_cut_is_counted_by_the_meter_once_it_is_over() -> None:
    async def count(bench: Bench) -> bytes:
        return decode((await bench.ask("202208310003", bytes((0, 0, 0x11, 3)))).lstrip(b"\xfe")).data[4:]

    async def scene(bench: Bench) -> None:
        assert await count(bench) == b"\0\0\0"
        await asyncio.sleep(30)
        assert await bench.ask("202208310003") == b""
        await asyncio.sleep(60)
        assert await count(bench) == b"\x01\0\0"

    played(scene, Fault("power_cut", "east", NOON + 20_000, NOON + 60_000))


def test_a_fault_may_come_while_the_bus_runs() -> None:
    async def scene(bench: Bench) -> None:
        assert await bench.ask("202208310003")
        bench.faults.add(Fault("silent", "m1"))
        assert await bench.ask("202208310003") == b""

    played(scene)


def test_an_opened_cover_is_counted_and_a_swapped_meter_says_another_serial() -> None:
    async def read(bench: Bench, di: str) -> bytes:
        return decode((await bench.ask("202208310003", bytes.fromhex(di)[::-1])).lstrip(b"\xfe")).data[4:]

    async def scene(bench: Bench) -> None:
        for cover, serial in (("000000", "202208310003"), ("000001", "202208310004")):
            assert (await read(bench, "03300D00"))[::-1].hex() == cover
            assert (await read(bench, "04000402"))[::-1].hex() == serial
            await asyncio.sleep(60)

    played(scene, Fault("cover_open", "m1", NOON + 30_000, NOON + 40_000), Fault("other_serial", "m1", NOON + 30_000))


def test_a_second_master_is_heard_with_the_answers_it_gets() -> None:
    async def scene(bench: Bench) -> None:
        heard = await bench.listen(12)
        question = encode(Frame("202208310002", 0x11, ENERGY))
        assert heard.count(question) == 2
        answer = decode(heard.partition(question)[2].lstrip(b"\xfe")[:20])
        assert (answer.address, answer.control) == ("202208310002", 0x91)

    played(scene, Fault("other_master", "east", amount=5.0))


def test_a_stale_link_is_replaced_and_a_file_or_device_is_not(tmp_path: Path) -> None:
    link = tmp_path / "ttyRS485-1"
    link.symlink_to(tmp_path / "gone")
    place_link(link, "/dev/null")
    assert os.readlink(link) == "/dev/null"
    with pytest.raises(LinkRefused, match="ttyRS485-1"):
        place_link(link, "/dev/pts/0")
    precious = tmp_path / "precious"
    precious.write_text("x")
    with pytest.raises(LinkRefused, match="precious"):
        place_link(precious, "/dev/null")
    assert precious.read_text() == "x"
    with pytest.raises(LinkRefused):
        place_link(tmp_path / "no" / "such" / "place", "/dev/null")
