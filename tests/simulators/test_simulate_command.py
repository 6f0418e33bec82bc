"""`hubiao simulate` as a process of its own, spoken to through the ports it made."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest
from miniport import MiniPort

from drivers.dlt645.frame import Frame, decode, encode
from drivers.ports import Settings

LIMIT_S = 30
HUBIAO = (sys.executable, "-c", "from agent.cli import main; main()", "--lang", "en")
PARK = """\
park: {{id: p, name: park, utc_offset: "+08:00", schedules: [zj-2024], interval: 15min, closings: ["01 00:00"]}}
gateway: {{id: gw-1, data: {data}, clock: kernel}}
mqtt: {{url: "mqtt://127.0.0.1:1883"}}
lines:
  - {{id: east, port: {port}, baud: 9600, framing: 8E1}}
  - {{id: west, port: "socket://127.0.0.1:{tcp}", baud: 9600, framing: 8N1}}
meters:
  - {{id: m-000, line: east, protocol: dlt645-2007, address: "202208310002", role: master}}
  - {{id: m-101, line: west, protocol: modbus, unit: 12, model: acrel-dtsd1352, tenant: acme}}
tenants:
  - {{id: acme, name: acme}}
"""


class Played:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def first_line(self) -> str:
        assert self.process.stdout is not None
        return (await asyncio.wait_for(self.process.stdout.readline(), LIMIT_S)).decode().strip()

    async def end(self, told: signal.Signals | None = None) -> tuple[int, str, str]:
        if told is not None:
            self.process.send_signal(told)
        said, complaint = await asyncio.wait_for(self.process.communicate(), LIMIT_S)
        assert self.process.returncode is not None
        return self.process.returncode, said.decode(), complaint.decode()


async def simulate(*arguments: str | Path) -> Played:
    process = await asyncio.create_subprocess_exec(
        *HUBIAO, "simulate", *map(str, arguments), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    return Played(process)


def config(where: Path, port: Path, tcp: int) -> Path:
    path = where / "park.yaml"
    path.write_text(PARK.format(data=where / "data", port=port, tcp=tcp), encoding="utf-8")
    return path


async def energy(port: Path) -> int:
    """What m-000 says at 0001 0000, in hundredths of a kWh."""
    mini = MiniPort(str(port))
    await mini.open(Settings(9600, 8, "E", 1))
    await mini.write(encode(Frame("202208310002", 0x11, bytes((0, 0, 1, 0)))))
    heard = b""
    async with asyncio.timeout(LIMIT_S):
        while not heard.endswith(b"\x16") or len(heard.lstrip(b"\xfe")) < 20:
            heard += (await mini.read()).data
    await mini.close()
    return int(decode(heard.lstrip(b"\xfe")).data[:3:-1].hex())


@pytest.mark.slow
async def test_it_answers_at_the_configured_ports_once_it_says_ready(tmp_path: Path, unused_tcp_port: int) -> None:
    port = tmp_path / "ttyRS485-1"
    played = await simulate("--config", config(tmp_path, port, unused_tcp_port), "--speed", "3600")
    assert await played.first_line() == "ready"
    first = await energy(port)
    second = await energy(port)
    assert second > first, "at this speed minutes pass between two readings"
    reader, writer = await asyncio.open_connection("127.0.0.1", unused_tcp_port)
    writer.write(bytes.fromhex("0C 03 00 0A 00 02 E5 14"))
    assert (await asyncio.wait_for(reader.readexactly(9), LIMIT_S))[:3] == bytes.fromhex("0C 03 04")
    writer.close()
    code, said, _ = await played.end(signal.SIGTERM)
    assert (code, said) == (0, "")
    assert not port.is_symlink()


@pytest.mark.slow
async def test_a_link_directory_takes_the_ports_and_ctrl_c_removes_them(tmp_path: Path, unused_tcp_port: int) -> None:
    path = config(tmp_path, Path("/dev/ttyRS485-1"), unused_tcp_port)
    played = await simulate("--config", path, "--link-dir", tmp_path / "dev")
    assert await played.first_line() == "ready"
    link = tmp_path / "dev" / "ttyRS485-1"
    assert os.readlink(link).startswith("/dev/pts/")
    assert (await played.end(signal.SIGINT))[0] == 130
    assert not link.is_symlink()


@pytest.mark.slow
async def test_a_file_in_the_way_is_left_alone_and_link_dir_is_advised(tmp_path: Path, unused_tcp_port: int) -> None:
    port = tmp_path / "precious"
    port.write_text("x")
    code, said, complaint = await (await simulate("--config", config(tmp_path, port, unused_tcp_port))).end()
    assert (code, said) == (69, "")
    assert "--link-dir" in complaint
    assert str(port) in complaint
    assert port.read_text() == "x"


@pytest.mark.slow
async def test_a_tcp_line_elsewhere_needs_leave(tmp_path: Path, unused_tcp_port: int) -> None:
    path = config(tmp_path, tmp_path / "ttyRS485-1", unused_tcp_port)
    path.write_text(path.read_text().replace("127.0.0.1:" + str(unused_tcp_port), "192.0.2.1:4001"))
    code, said, complaint = await (await simulate("--config", path)).end()
    assert (code, said) == (69, "")
    assert "--anywhere" in complaint
    assert not (tmp_path / "ttyRS485-1").is_symlink(), "what was opened before is gone again"


@pytest.mark.slow
async def test_faults_of_configuration_and_scenario_end_with_78(tmp_path: Path, unused_tcp_port: int) -> None:
    path = config(tmp_path, tmp_path / "ttyRS485-1", unused_tcp_port)
    scenario = tmp_path / "scenario.yaml"
    scenario.write_text("faults: [{meter: m-999, fault: silent}, {line: east, fault: gremlins}]\n")
    code, _, complaint = await (await simulate("--config", path, "--scenario", scenario)).end()
    assert code == 78
    assert f"{scenario}:1:18: faults.0.meter: " in complaint
    assert f"{scenario}:1:61: faults.1.fault: " in complaint
    path.write_text(path.read_text().replace("baud: 9600", "baud: 9601"))
    code, _, complaint = await (await simulate("--config", path)).end()
    assert code == 78
    assert complaint.count("9601") >= 2
