from __future__ import annotations

import asyncio
import shutil
import struct
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from miniport import MiniPort
from parks import NOON, meter, park, point
from pymodbus.client import AsyncModbusSerialClient

from config.meter_models import SHIPPED, read_model
from drivers.clock import VirtualClock
from drivers.dlt645.frame import Frame, encode
from drivers.modbus.adu import crc16, encode_rtu
from drivers.modbus.model import MeterModel, parse
from drivers.modbus.registers import decode
from drivers.ports import Settings
from simulators.bus import Bus
from simulators.dlt645_meter import Dlt645Meter
from simulators.faults import Fault
from simulators.held import HeldPort
from simulators.modbus_meter import ModbusMeter
from simulators.park import Truth
from simulators.wires import Pty, Tcp

SEED = 5
LINE = Settings(9600)


def model_of(name: str) -> MeterModel:
    path = SHIPPED / f"{name}.yaml"
    return parse(read_model(path.read_text(encoding="utf-8"), path.name))


def make(name: str, unit: int = 12, **changes: Any) -> ModbusMeter:
    changes = {"ct": "200/5"} | changes
    entry = meter("m", protocol="modbus", address=None, unit=unit, model=name, baud=9600, framing="8N1", **changes)
    truth = Truth(park([entry], [point("m", multiplier="40")]), SEED)
    return ModbusMeter(truth, entry, model_of(name))


def ask(made: ModbusMeter, function: int, address: int, count: int, *, unit: int = 12) -> bytes | None:
    reply = made.hear(encode_rtu(unit, struct.pack(">BHH", function, address, count)), NOON)
    return None if reply is None else reply.data


def test_an_acrel_meter_answers_scaled_integers_high_word_first() -> None:
    made = make("acrel-dtsd1352")
    reply = ask(made, 3, 0x000A, 2)
    assert reply is not None
    shown = made.truth.registers("m", NOON)["import"]
    body = bytes((12, 3, 4)) + struct.pack(">I", int(shown * 100))
    assert reply == body + struct.pack("<H", crc16(body))


def test_an_eastron_meter_answers_floats_to_the_request_of_its_manual() -> None:
    made = make("eastron-sdm120", unit=1, phases=1)
    # the request of Eastron's protocol description: unit 1, function 4, two registers from 0
    reply = made.hear(bytes.fromhex("01 04 00 00 00 02 71 CB"), NOON)
    assert reply is not None
    shown = made.truth.live("m", NOON)["voltage_a"]
    assert reply.data[:3] == bytes((1, 4, 4))
    assert struct.unpack(">f", reply.data[3:7])[0] == pytest.approx(float(shown), rel=1e-6)


def test_half_a_value_may_be_read_and_is_half_the_bytes() -> None:
    made = make("acrel-dtsd1352")
    whole, low = ask(made, 3, 0x000A, 2), ask(made, 3, 0x000B, 1)
    assert whole is not None
    assert low is not None
    assert low[3:5] == whole[5:7]


def test_tariffs_add_up_to_the_total_as_a_meter_cuts_them() -> None:
    reply = ask(make("acrel-dtsd1352"), 3, 0x000A, 10)
    assert reply is not None
    total, *tariffs = struct.unpack(">5I", reply[3:23])
    assert 0 <= total - sum(tariffs) < 4


@pytest.mark.parametrize(
    ("function", "address", "count", "code"),
    [
        (4, 0x000A, 2, 1),
        (6, 0x000A, 2, 1),
        (3, 0x0200, 2, 2),
        (3, 0xFFFF, 2, 2),
        (3, 0x000A, 0, 3),
        (3, 0x000A, 126, 3),
    ],
)
def test_what_the_meter_does_not_do_is_an_exception(function: int, address: int, count: int, code: int) -> None:
    reply = ask(make("acrel-dtsd1352"), function, address, count)
    assert reply is not None
    assert reply[:3] == bytes((12, function | 0x80, code))


def test_another_unit_a_broadcast_and_a_wrong_crc_are_not_answered() -> None:
    made = make("acrel-dtsd1352")
    assert ask(made, 3, 0x000A, 2, unit=13) is None
    assert ask(made, 3, 0x000A, 2, unit=0) is None
    assert made.hear(bytes.fromhex("0C 03 00 0A 00 02 00 00"), NOON) is None


def test_the_serial_number_is_the_configured_one_until_the_meter_is_swapped() -> None:
    made = make("abb-b23", serial="B23-0012345")
    register = made.model.serial
    assert register is not None
    for said in (230012345, 230012346):
        reply = ask(made, 3, register.address, register.form.words)
        assert reply is not None
        assert struct.unpack(">I", reply[3:7])[0] == said
        made.truth.faults.add(Fault("other_serial", "m", NOON))


def test_ratio_registers_say_the_configured_transformers() -> None:
    reply = ask(make("chint-dtsu666", ct="250/5", pt="10000/100"), 3, 0x0006, 2)
    assert reply is not None
    # manual ZTY0.464.1448, table 11: 0006H IrAt, 0007H UrAt in tenths
    assert struct.unpack(">2H", reply[3:7]) == (50, 1000)


MODELS = sorted(path.stem for path in SHIPPED.glob("*.yaml") if "\nprotocol: modbus\n" in path.read_text("utf-8"))


@pytest.mark.parametrize("name", MODELS)
def test_every_shipped_model_shows_the_truth_in_its_own_digits(name: str) -> None:
    made = make(name)
    exact = made.truth.exact("m", NOON)
    for register in made.model.settlement.values():
        reply = ask(made, made.model.function, register.address, register.form.words)
        assert reply is not None
        words = struct.unpack(f">{register.form.words}H", reply[3:-2])
        shown, step = Fraction(decode(words, register.form)), register.form.step or Decimal("0.02")
        assert abs(exact.get(register.name, Fraction(0)) - shown) < Fraction(step), register.name


async def test_a_bus_behind_a_serial_server_answers_every_client(unused_tcp_port: int) -> None:
    bus = Bus("west", [make("acrel-dtsd1352")], LINE, now_ms=lambda: NOON, paced=False)
    server = Tcp(bus)
    assert await server.open("127.0.0.1", unused_tcp_port) == f"socket://127.0.0.1:{unused_tcp_port}"
    reader, writer = await asyncio.open_connection("127.0.0.1", unused_tcp_port)
    writer.write(encode_rtu(12, struct.pack(">BHH", 3, 0x000A, 2)))
    reply = await asyncio.wait_for(reader.readexactly(9), 5)
    assert reply == ask(make("acrel-dtsd1352"), 3, 0x000A, 2)
    writer.close()
    await server.close()


def test_a_modbus_tcp_gateway_keeps_the_transaction() -> None:
    made = make("acrel-dtsd1352")
    over_tcp = ModbusMeter(made.truth, made.meter, made.model, transport="tcp")
    reply = over_tcp.hear(bytes.fromhex("12 34 00 00 00 06 0C 03 00 0A 00 02"), NOON)
    serial = ask(made, 3, 0x000A, 2)
    assert reply is not None
    assert serial is not None
    assert reply.data == bytes.fromhex("12 34 00 00 00 07") + serial[:-2]


def test_modbus_and_dlt645_share_a_bus_in_virtual_time() -> None:
    clock = VirtualClock(NOON)

    async def main() -> None:
        modbus = make("acrel-dtsd1352")
        other = Dlt645Meter(Truth(park([meter("d", baud=9600)], [point("d")]), SEED), meter("d", baud=9600), wake=0)
        wire = Pty(Bus("east", [modbus, other], LINE, now_ms=lambda: NOON))
        port = HeldPort(MiniPort(wire.open()), clock, wire)
        await port.open(LINE)
        for request, begins in (
            (encode_rtu(12, struct.pack(">BHH", 3, 0x000A, 2)), b"\x0c\x03\x04"),
            (encode(Frame("202208310003", 0x11, bytes((0, 0, 1, 0)))), b"\x68\x03\x00\x31"),
        ):
            await port.write(request)
            async with asyncio.timeout(2):
                assert (await port.read()).data.startswith(begins)
            await asyncio.sleep(1)
            port.discard()
        await port.close()
        wire.close()

    clock.run(main())


@pytest.mark.slow
async def test_pymodbus_reads_the_meters_over_a_pty() -> None:
    acrel, eastron = make("acrel-dtsd1352"), make("eastron-sdm120", unit=5)
    wire = Pty(Bus("south", [acrel, eastron], LINE, now_ms=lambda: NOON))
    client = AsyncModbusSerialClient(wire.open(), baudrate=9600, parity="N", timeout=3, retries=0)
    assert await client.connect()
    reply = await client.read_holding_registers(0x000A, count=2, device_id=12)
    value = client.convert_from_registers(reply.registers, client.DATATYPE.UINT32)
    assert Decimal(value).scaleb(-2) == acrel.truth.registers("m", NOON)["import"]
    reply = await client.read_input_registers(0x0048, count=2, device_id=5)
    value = client.convert_from_registers(reply.registers, client.DATATYPE.FLOAT32)
    assert value == pytest.approx(float(eastron.truth.exact("m", NOON)["import"]), abs=0.02)
    refused = await client.read_input_registers(0x7000, count=2, device_id=5)
    assert refused.isError()
    assert refused.exception_code == 2
    client.close()
    wire.close()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("mbpoll") is None, reason="mbpoll is not installed")
async def test_mbpoll_reads_the_meters_over_a_pty(tmp_path: Path) -> None:
    made = make("acrel-dtsd1352")
    wire = Pty(Bus("south", [made], LINE, now_ms=lambda: NOON))
    port = wire.open(tmp_path / "ttyRS485-1")
    process = await asyncio.create_subprocess_exec(
        *("mbpoll", "-m", "rtu", "-a", "12", "-b", "9600", "-P", "none", "-t", "4:int", "-B", "-0", "-r", "10"),
        *("-c", "1", "-1", "-q", port),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, complaint = await asyncio.wait_for(process.communicate(), 20)
    shown = int(made.truth.registers("m", NOON)["import"] * 100)
    assert str(shown) in said.decode(), complaint.decode()
    wire.close()
    assert not (tmp_path / "ttyRS485-1").is_symlink()
