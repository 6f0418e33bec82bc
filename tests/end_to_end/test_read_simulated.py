"""`hubiao read` against `hubiao simulate`, both as processes: by configuration and by options alone."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import pytest_asyncio

pytestmark = pytest.mark.slow

LIMIT_S = 30
HUBIAO = (sys.executable, "-c", "from agent.cli import main; main()", "--lang", "en")
PARK = """\
park: {{id: p, name: park, utc_offset: "+08:00", schedules: [zj-2024], interval: 15min, closings: ["01 00:00"]}}
gateway: {{id: gw-1, data: {data}, clock: kernel}}
mqtt: {{url: "mqtt://127.0.0.1:1883"}}
lines:
  - {{id: east, port: /dev/ttyRS485-1, baud: 9600, framing: 8E1}}
  - {{id: west, port: "socket://127.0.0.1:{tcp}", baud: 9600, framing: 8N1}}
meters:
  - {{id: m-000, line: east, protocol: dlt645-2007, address: "202208310002", role: master}}
  - {{id: m-102, line: east, protocol: dlt645-1997, address: "000000063295", tenant: acme}}
  - {{id: m-101, line: west, protocol: modbus, unit: 12, model: acrel-dtsd1352, tenant: acme}}
  - {{id: m-104, protocol: manual, tenant: acme}}
tenants:
  - {{id: acme, name: acme}}
"""
READ_AT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
CLOCK = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")


class Site(NamedTuple):
    config: str
    serial: str  # the line of DL/T 645 meters
    tcp: str


class Said(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[dict[str, Any]]:
        assert self.code == 0, self.err
        found = json.loads(self.out)
        assert isinstance(found, list)
        return found


async def read(*arguments: str) -> Said:
    process = await asyncio.create_subprocess_exec(
        *HUBIAO, "read", *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await asyncio.wait_for(process.communicate(), LIMIT_S)
    assert process.returncode is not None
    return Said(process.returncode, out.decode(), err.decode())


def change(path: str, old: str, new: str) -> None:
    Path(path).write_text(Path(path).read_text(encoding="utf-8").replace(old, new), encoding="utf-8")


@pytest_asyncio.fixture
async def site(tmp_path: Path, unused_tcp_port: int) -> AsyncIterator[Site]:
    config = tmp_path / "park.yaml"
    config.write_text(PARK.format(data=tmp_path / "data", tcp=unused_tcp_port), encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        *(*HUBIAO, "simulate", "--config", str(config), "--link-dir", str(tmp_path / "dev")),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        assert await asyncio.wait_for(process.stdout.readline(), LIMIT_S) == b"ready\n"
        yield Site(str(config), str(tmp_path / "dev" / "ttyRS485-1"), f"socket://127.0.0.1:{unused_tcp_port}")
    finally:
        process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.communicate(), LIMIT_S)


async def test_a_configured_meter_gives_its_registers_clock_and_number(site: Site) -> None:
    said = await read("--config", site.config, "--meter", "m-000", "--port", site.serial, "--json")
    rows = {row["name"]: row for row in said.rows}
    assert list(rows["import"]) == ["name", "di", "value", "unit", "read_at", "meter_clock"]
    assert {name: row["di"] for name, row in rows.items()} == {
        "import": "00010000",
        **{f"import_t{tariff}": f"00010{tariff}00" for tariff in range(1, 5)},
        "export": "00020000",
        **{f"export_t{tariff}": f"00020{tariff}00" for tariff in range(1, 5)},
        "serial": "04000402",
    }
    assert rows["serial"]["value"] == "202208310002"
    tariffs = sum(Decimal(rows[f"import_t{tariff}"]["value"]) for tariff in range(1, 5))
    assert abs(Decimal(rows["import"]["value"]) - tariffs) <= Decimal("0.04")
    assert rows["import"]["unit"] == "kWh"
    assert all(READ_AT.fullmatch(row["read_at"]) and CLOCK.fullmatch(row["meter_clock"]) for row in said.rows)


async def test_the_same_meters_are_read_without_a_configuration(site: Site) -> None:
    old = await read(
        "--port", site.serial, "--protocol", "dlt645-1997", "--address", "63295", "--baud", "9600", "--json"
    )
    assert [row["di"] for row in old.rows] == [
        "9010",
        "9011",
        "9012",
        "9013",
        "9014",
        "9020",
        "9021",
        "9022",
        "9023",
        "9024",
        "C032",
    ]
    assert "address padded to 000000063295" in old.err
    west = ("--port", site.tcp, "--protocol", "modbus", "--unit", "12", "--json")
    by_model = await read(*west, "--model", "acrel-dtsd1352", "--all")
    rows = {row["name"]: row for row in by_model.rows}
    assert rows["import"]["register"] == "0x000A"
    assert rows["voltage_a"]["unit"] == "V"
    by_register = await read(*west, "--register", "0x000A", "--type", "u32")
    raw = Decimal(by_register.rows[0]["value"])
    assert 0 <= raw / 100 - Decimal(rows["import"]["value"]) < 1, "the same register, without scale, a moment later"


async def test_plain_lines_and_the_trace_are_for_people(site: Site) -> None:
    east = ("--port", site.serial, "--address", "202208310002", "--baud", "9600")
    said = await read(*east, "--di", "00010000", "--trace")
    assert said.code == 0
    first, clock = (line.split("\t") for line in said.out.splitlines())
    assert first[:2] == ["active energy import", "00010000"]
    assert re.fullmatch(r"\d+\.\d\d", first[2])
    assert clock[0] == "meter clock"
    assert re.search(
        r"^ +0\.000000 +\+0\.000000  TX  FE FE FE FE 68 02 00 31 08 22 20 68 11 04 33 33 34 33", said.err, re.M
    )
    assert re.search(r"^ +\d\.\d{6} +\+\d\.\d{6}  RX  .*68 02 00 31 08 22 20 68 91 08", said.err, re.M)


async def test_a_silent_meter_ends_with_1_and_advice(site: Site) -> None:
    east = ("--port", site.serial, "--baud", "9600", "--json")
    said = await read(*east, "--address", "202208310009", "--di", "00010000")
    assert (said.code, said.out) == (1, "")
    assert "no answer from 202208310009 (9600 8E1)" in said.err
    assert "try --baud" in said.err


async def test_ctrl_c_ends_with_130_and_leaves_the_port_free(site: Site) -> None:
    east = ("read", "--port", site.serial, "--baud", "9600", "--trace", "--address")
    process = await asyncio.create_subprocess_exec(
        *(*HUBIAO, *east, "202208310009"),
        stderr=asyncio.subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    )
    assert process.stderr is not None
    while b"TX" not in await asyncio.wait_for(process.stderr.readline(), LIMIT_S):
        continue
    process.send_signal(signal.SIGINT)
    assert await asyncio.wait_for(process.wait(), LIMIT_S) == 130
    after = await read(*east[1:], "202208310002", "--di", "00010000")
    assert after.code == 0, after.err


async def test_ports_that_are_missing_busy_or_closed_end_with_69(site: Site, unused_tcp_port_factory: Any) -> None:
    west = ("--unit", "12", "--register", "10")
    missing = await read("--port", "/dev/ttyNOPE", *west, "--json")
    assert (missing.code, missing.out) == (69, "")
    assert "/dev/serial/by-path" in missing.err
    closed = await read("--port", f"socket://127.0.0.1:{unused_tcp_port_factory()}", *west)
    assert closed.code == 69
    assert "converter" in closed.err


async def test_wrong_usage_ends_with_2_and_says_what_is_needed(site: Site) -> None:
    for arguments, text in (
        (("--address", "1"), "--port is needed"),
        (("--port", site.serial), "--address is needed"),
        (("--port", site.serial, "--protocol", "modbus", "--unit", "12"), "--model or --register is needed"),
        (("--config", site.config), "--meter is needed"),
        (("--config", site.config, "--meter", "m-999"), "no meter m-999 in it"),
        (("--config", site.config, "--meter", "m-104"), "read by people"),
    ):
        said = await read(*arguments)
        assert (said.code, said.out) == (2, ""), arguments
        assert text in said.err, arguments


async def test_a_faulty_configuration_ends_with_78(site: Site) -> None:
    change(site.config, "baud: 9600", "baud: 9601")
    said = await read("--config", site.config, "--meter", "m-000", "--json")
    assert (said.code, said.out) == (78, "")
    assert said.err.count("9601") >= 2


async def test_a_port_that_somebody_reads_from_is_named_with_its_holder_and_not_with_its_simulator() -> None:
    master, slave = os.openpty()  # as simulators/wires.py does: both ends stay open here, under the lower number
    fcntl.flock(slave, fcntl.LOCK_EX | fcntl.LOCK_NB)
    other = await asyncio.create_subprocess_exec("sleep", "60", pass_fds=[slave])
    try:
        said = await read("--port", os.ttyname(slave), "--address", "1")
        assert said.code == 69
        assert f"sleep (pid {other.pid})" in said.err
    finally:
        other.kill()
        await other.wait()
        os.close(master)
        os.close(slave)
