"""What `hubiao read` says of each fault, heard on a wire in memory."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from typing import Any

import click
import pytest

from agent.cli.read_faults import Asked, exit_code, explain
from agent.cli.read_line import ATTEMPTS, PersonsLine, TraceWriter
from agent.cli.read_rows import Reading, read_meter
from agent.cli.read_target import Options, Target, target_of
from agent.cli.words import set_language
from drivers.clock import VirtualClock
from drivers.dlt645.frame import Frame, encode
from drivers.errors import DriverError, ForbiddenRequest, PortBusy, PortGone
from drivers.exchange import Noticed
from drivers.modbus.adu import encode_rtu
from drivers.ports import Chunk
from drivers.ports.memory import MemoryPort, pair

START_MS = 1_790_000_000_000
ADDRESS = "202208310002"
ENERGY = bytes.fromhex("00000100")
DLT = Options(port="/dev/ttyX", address=ADDRESS, items=("00010000",))
MODBUS = Options(port="/dev/ttyX", unit=12, items=("0x0048",), function=3)
WILD = Options(port="/dev/ttyX", address="AAAAAAAAAAAA", items=("00010000",))

Answering = Callable[[bytes], list[bytes | Chunk]]


@pytest.fixture(autouse=True)
def _language() -> None:
    set_language("en")


def dlt_reply(data: bytes, *, control: int = 0x91, address: str = ADDRESS) -> bytes:
    return encode(Frame(address, control, data))


class Wire:
    """A line to one far end that answers as told; `asked` are the transmissions it heard."""

    def __init__(self, options: Options, answering: Answering, stream: io.StringIO | None = None) -> None:
        self.clock = VirtualClock(START_MS)
        self.target: Target = target_of(options)
        self.near, self.far = pair()
        self.line = PersonsLine(self.near, self.target.settings, self.clock, wildcard=self.target.wildcard)
        self.line.trace = TraceWriter(stream) if stream else None
        self.answering = answering
        self.asked: list[bytes] = []

    async def _serve(self, far: MemoryPort) -> None:
        while True:
            heard = (await far.read()).data
            self.asked.append(heard)
            for what in self.answering(heard):
                self.near.deliver(what if isinstance(what, Chunk) else Chunk(what))

    async def _read(self, **how: Any) -> Reading:
        await self.far.open(self.target.settings)
        server = asyncio.create_task(self._serve(self.far))
        try:
            await self.line.open()
            return await read_meter(self.target, self.line, **how)
        finally:
            server.cancel()
            await self.line.close()

    def read(self, **how: Any) -> Reading:
        return self.clock.run(self._read(**how))

    def fault(self) -> tuple[DriverError, str, str]:
        """(error, zh, en) of a reading that must fail."""
        with pytest.raises(DriverError) as failed:
            self.read()
        zh, en = explain(failed.value, self.line.noticed, self.target.asked)
        assert "\n  " in zh, "what happened, then what to try"
        assert "\n  " in en
        assert any("\u4e00" <= character <= "\u9fff" for character in zh)
        assert not any("\u4e00" <= character <= "\u9fff" for character in en)
        return failed.value, zh, en


def test_silence_is_asked_twice_and_names_speed_address_and_wiring() -> None:
    wire = Wire(DLT, lambda heard: [])
    error, zh, en = wire.fault()
    assert len(wire.asked) == ATTEMPTS == 2
    assert exit_code(error) == 1
    assert f"no answer from {ADDRESS} (2400 8E1)" in en
    assert "AAAAAAAAAAAA" in en
    assert "A/B" in en
    assert "没有应答" in zh


def test_one_lost_answer_is_no_fault() -> None:
    answers = iter([[], [dlt_reply(ENERGY + bytes.fromhex("78563412"))]])
    wire = Wire(DLT, lambda heard: next(answers, []))
    [row] = wire.read().rows
    assert str(row.value) == "123456.78"


def test_our_own_echo_alone_blames_the_wiring_not_the_port() -> None:
    _, zh, en = Wire(DLT, lambda heard: [heard]).fault()
    assert "only our own echo" in en
    assert "A/B swapped" in en
    assert "回声" in zh


def test_damaged_bytes_blame_speed_and_parity() -> None:
    _, zh, en = Wire(DLT, lambda heard: [Chunk(b"", damaged=True)] * 3).fault()
    assert "6 bytes with parity or framing errors (2400 8E1)" in en, "three in each of two attempts"
    assert "--framing" in en
    assert "奇偶" in zh


def test_a_wrong_checksum_blames_noise_and_with_a_wildcard_a_second_meter() -> None:
    def spoilt(heard: bytes) -> list[bytes | Chunk]:
        reply = bytearray(dlt_reply(ENERGY + bytes(4)))
        reply[-2] ^= 1
        return [bytes(reply)]

    _, zh, en = Wire(DLT, spoilt).fault()
    assert "wrong checksum (2)" in en
    assert "termination" in en
    assert "校验和" in zh
    _, _, alone = Wire(WILD, spoilt).fault()
    assert "more than one meter answers" in alone


def test_a_frame_of_another_meter_is_called_foreign() -> None:
    _, zh, en = Wire(DLT, lambda heard: [dlt_reply(ENERGY + bytes(4), address="202208310003")]).fault()
    assert f"2 whole frames, none an answer of {ADDRESS}" in en
    assert "another master" in en
    assert "另有主站" in zh


def test_bytes_that_form_no_frame_blame_speed_or_protocol() -> None:
    _, zh, en = Wire(DLT, lambda heard: [bytes.fromhex("00 F8 80 78")]).fault()
    assert "8 bytes that form no frame (2400 8E1)" in en
    assert "--baud" in en
    assert "凑不成报文" in zh


def test_half_an_answer_is_called_cut_off() -> None:
    _, zh, en = Wire(DLT, lambda heard: [dlt_reply(ENERGY + bytes(4))[:-3]]).fault()
    assert "17 bytes" in en
    assert "cut off" in en
    assert "不完整" in zh


def test_a_line_that_never_falls_silent_has_another_master() -> None:
    async def main(wire: Wire) -> None:
        async def babble() -> None:
            while True:
                await wire.clock.sleep(0.01)
                wire.near.deliver(Chunk(b"\x55"))

        await wire.line.open()
        babbling = asyncio.create_task(babble())
        try:
            await read_meter(wire.target, wire.line)
        finally:
            babbling.cancel()
            await wire.line.close()

    wire = Wire(DLT, lambda heard: [])
    with pytest.raises(DriverError) as failed:
        wire.clock.run(main(wire))
    assert wire.asked == [], "nothing was sent into it"
    zh, en = explain(failed.value, wire.line.noticed, wire.target.asked)
    assert "never falls silent" in en
    assert "主站" in zh


@pytest.mark.parametrize(
    ("err", "en", "zh"),
    [(0x02, "ERR 02 no such data", "无请求数据"), (0x04, "ERR 04 wrong password or not authorised", "密码")],
)
def test_an_error_answer_says_its_bits(err: int, en: str, zh: str) -> None:
    error, said_zh, said_en = Wire(DLT, lambda heard: [dlt_reply(bytes((err,)), control=0xD1)]).fault()
    assert exit_code(error) == 1
    assert f"{ADDRESS} refused 00010000: {en}" in said_en
    assert zh in said_zh


@pytest.mark.parametrize(
    ("code", "en"), [(1, "--function 4"), (2, "addresses count from 0"), (6, "again"), (11, "behind the gateway")]
)
def test_a_modbus_exception_says_what_to_try(code: int, en: str) -> None:
    _, zh, said = Wire(MODBUS, lambda heard: [encode_rtu(12, bytes((0x83, code)))]).fault()
    assert f"unit 12 refused: exception {code:02X}" in said
    assert en in said
    assert "异常码" in zh


def test_function_4_is_tried_only_where_nobody_named_one() -> None:
    def input_only(heard: bytes) -> list[bytes | Chunk]:
        pdu = bytes((4, 2, 0x12, 0x34)) if heard[1] == 4 else bytes((heard[1] | 0x80, 1))
        return [encode_rtu(12, pdu)]

    free = Wire(Options(port="/dev/ttyX", unit=12, items=("0x0048",)), input_only)
    reading = free.read()
    assert str(reading.rows[0].value) == str(0x1234)
    assert [heard[1] for heard in free.asked] == [3, 4]
    assert reading.notes[0][1] == "function 3 was refused, function 4 answered"
    bound = Wire(MODBUS, input_only)
    bound.fault()
    assert [heard[1] for heard in bound.asked] == [3]


def test_a_wildcard_asks_for_the_address_first_and_goes_on_with_it() -> None:
    def meter(heard: bytes) -> list[bytes | Chunk]:
        if heard.endswith(bytes.fromhex("68 AA AA AA AA AA AA 68 13 00 DF 16")):
            return [dlt_reply(bytes.fromhex("020031082220"), control=0x93)]
        return [dlt_reply(ENERGY + bytes.fromhex("78563412"))]

    wire = Wire(WILD, meter)
    reading = wire.read()
    assert str(reading.rows[0].value) == "123456.78"
    assert reading.notes == [(f"电表地址 {ADDRESS}", f"the meter's address is {ADDRESS}")]
    assert bytes.fromhex("020031082220") in wire.asked[1]


def test_what_is_optional_may_be_missing() -> None:
    """A meter that answers energy and nothing else: the reading stands, the clock is named as missing."""

    def meter(heard: bytes) -> list[bytes | Chunk]:
        if bytes(byte + 0x33 for byte in ENERGY) in heard:
            return [dlt_reply(ENERGY + bytes.fromhex("78563412"))]
        return []

    reading = Wire(DLT, meter).read()
    assert str(reading.rows[0].value) == "123456.78"
    assert reading.meter_clock is None
    assert [item for item, _ in reading.missed] == ["clock"]


def test_the_trace_shows_damaged_bytes_too() -> None:
    stream = io.StringIO()
    Wire(DLT, lambda heard: [Chunk(b"\x12\x34", damaged=True)], stream).fault()
    first, second, third, *_ = stream.getvalue().splitlines()
    assert first.split()[2:8] == ["TX", "FE", "FE", "FE", "FE", "68"]
    assert second.split()[2:] == ["RX", "12", "34"]
    assert third.split()[2:] == ["RX!", "--"]


def test_a_broadcast_is_never_sent() -> None:
    wire = Wire(Options(port="/dev/ttyX", address="9" * 12, items=("00010000",)), lambda heard: [])
    error, _, en = wire.fault()
    assert isinstance(error, ForbiddenRequest)
    assert exit_code(error) == 2
    assert "nothing was sent" in en
    assert wire.asked == []


def test_ports_have_their_own_exit_code_and_advice() -> None:
    asked = Asked("modbus", "unit 12", "/dev/ttyX", " (9600 8N1)")
    busy = PortBusy("/dev/ttyX is in use by minicom (pid 812)")
    assert exit_code(busy) == exit_code(PortGone("x")) == 69
    assert "minicom (pid 812)" in explain(busy, Noticed(), asked)[0]
    assert "by-path" in explain(PortGone("/dev/ttyX: gone"), Noticed(), asked)[1]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"address": "12345678901x"}, "--address"),
        ({"address": "1234567890123"}, "--address"),
        ({"items": ("0001000",)}, "8 hex digits"),
        ({"framing": "9E1"}, "--framing"),
        ({"port": "tcp://10.0.0.5:502"}, "Modbus TCP"),
        ({"model": "acrel-dtsd1352"}, "--model"),
        ({"type": "f32"}, "Modbus only"),
        ({"protocol": "modbus"}, "--unit"),
        ({"unit": 12, "items": ("0x10000",)}, "--register"),
        ({"unit": 12, "items": ("0x48:f33",)}, "--type"),
        ({"unit": 12, "items": ("0x48",), "order": "little"}, "--order"),
        ({"unit": 12, "items": (), "model": "acrel-dtsd1353"}, "acrel-dtsd1352"),
    ],
)
def test_wrong_options_are_named(changes: dict[str, Any], text: str) -> None:
    given: dict[str, Any] = {"port": "/dev/ttyX", "address": ADDRESS, "items": ("00010000",)} | changes
    with pytest.raises(click.UsageError, match=text):
        target_of(Options(**given))


@pytest.mark.parametrize(
    ("options", "settings"),
    [
        (DLT, (2400, "8E1")),
        (Options(port="p", protocol="dlt645-1997", address="1"), (1200, "8E1")),
        (MODBUS, (9600, "8N1")),
        (Options(port="p", unit=1, model="eastron-sdm630"), (9600, "8N1")),
        (Options(port="p", address="1", baud=4800, framing="8N1"), (4800, "8N1")),
    ],
)
def test_speed_and_framing_follow_the_protocol_unless_told(options: Options, settings: tuple[int, str]) -> None:
    found = target_of(options).settings
    assert (found.baud, found.framing) == settings
