"""Masters that others wrote, in processes of their own, at the simulator's meters over pty, serial port and TCP."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from cable import cable
from parks import NOON, meter, park, point
from pymodbus.client import AsyncModbusTcpClient

from config.load import load
from drivers.ports import Settings
from drivers.ports.serial import SerialPort
from simulators.bus import Bus
from simulators.dlt645_meter import Dlt645Meter
from simulators.park import Truth
from simulators.site import Site
from simulators.wires import Pty, SerialWire, Tcp

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
LINE = Settings.parse(2400, "8N1")
MASTER = Path(__file__).with_name("peer_dlt645_client.py")
ADDRESS = "202208310002"


def bus() -> tuple[Bus, Truth]:
    entry = meter("m", protocol="dlt645-2007", address=ADDRESS, baud=2400, framing="8N1")
    truth = Truth(park([entry], [point("m")]))
    return Bus("east", [Dlt645Meter(truth, entry)], LINE, now_ms=lambda: NOON), truth


async def asked(*where: str) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(MASTER), *where, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    said, complaint = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, complaint.decode()
    found: dict[str, Any] = json.loads(said)
    return found


def agrees(said: dict[str, Any], truth: Truth) -> None:
    live = truth.live("m", NOON)
    assert Decimal(said["total"]) == truth.registers("m", NOON)["import"]
    assert Decimal(said["voltage_a"]) == live["voltage_a"]
    assert abs(Decimal(said["current_a"]) - live["current_a"]) <= Decimal("0.001")


async def test_a_foreign_dlt645_master_reads_a_meter_over_a_pty() -> None:
    east, truth = bus()
    wire = Pty(east)
    agrees(await asked("rtu", wire.open()), truth)
    wire.close()


async def test_a_foreign_dlt645_master_reads_a_meter_over_a_serial_port() -> None:
    east, truth = bus()
    async with cable() as (ours, theirs):
        wire = SerialWire(east, SerialPort(ours))
        await wire.open()
        agrees(await asked("rtu", theirs), truth)
        await wire.close()


async def test_a_foreign_dlt645_master_reads_a_meter_over_tcp() -> None:
    east, truth = bus()
    wire = Tcp(east)
    _, host, port = (await wire.open("127.0.0.1", 0)).replace("//", "").split(":")
    agrees(await asked("tcp", host, port), truth)
    await wire.close()


async def test_pymodbus_reads_a_modbus_tcp_line(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number = probe.getsockname()[1]
    path = tmp_path / "park.yaml"
    path.write_text(
        "park: {id: p, schedules: [zj-2026]}\ngateway: {id: g}\n"
        f'lines:\n  - {{id: west, port: "tcp://127.0.0.1:{number}"}}\n'
        "meters:\n  - {id: m, line: west, protocol: modbus, unit: 12, model: acrel-dtsd1352, role: public}\n"
    )
    loaded = load(path)
    assert loaded.config is not None, loaded.faults
    site = Site(loaded.config, now_ms=lambda: NOON)
    await site.open(lambda _: None)
    host, port = site.ports["west"].rpartition("//")[2].split(":")
    client = AsyncModbusTcpClient(host, port=int(port), timeout=5)
    assert await client.connect()
    reply = await client.read_holding_registers(0x000A, count=2, device_id=12)
    value = client.convert_from_registers(reply.registers, client.DATATYPE.UINT32)
    assert Decimal(value).scaleb(-2) == site.truth.registers("m", NOON)["import"]
    client.close()
    await site.close()
