"""The serial port on real pseudo-terminals: reopening, unplugging, a stuck peer, a second user, the kernel's marks."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator

import pytest
import wires

from drivers.clock import RealClock
from drivers.errors import PortBusy, PortGone
from drivers.line import Line
from drivers.ports import Settings
from drivers.ports import serial as serial_port
from drivers.ports.choose import latency_s, port_for
from drivers.ports.rfc2217 import Rfc2217Port
from drivers.ports.serial import SerialPort
from drivers.ports.tcp import TcpPort

pytestmark = pytest.mark.slow
EVEN = Settings(2400, 8, "E", 1)


class Pty:
    """A pseudo-terminal: `master` is the meters' side, `path` the port's."""

    def __init__(self) -> None:
        self.master, slave = os.openpty()
        self.path = os.ttyname(slave)
        os.close(slave)

    def unplug(self) -> None:
        if self.master >= 0:
            os.close(self.master)
            self.master = -1


@pytest.fixture
def pty() -> Iterator[Pty]:
    one = Pty()
    yield one
    one.unplug()


def descriptors_of(path: str) -> int:
    """How many descriptors of this process lead to the device."""
    count = 0
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            count += os.readlink(f"/proc/self/fd/{descriptor}").startswith(path)
        except OSError:  # the listing's own
            continue
    return count


async def heard(port: SerialPort, count: int) -> bytes:
    data = b""
    async with asyncio.timeout(5):
        while len(data) < count:
            chunk = await port.read()
            assert not chunk.damaged
            data += chunk.data
    return data


async def test_bytes_pass_both_ways_and_ff_is_not_taken_for_a_mark(pty: Pty) -> None:
    port = SerialPort(pty.path)
    await port.open(EVEN)
    every = bytes(range(256)) + bytes.fromhex("ff0041ffff0000")
    await port.write(every)
    assert os.read(pty.master, 1000) == every
    os.write(pty.master, every)
    assert await heard(port, len(every)) == every
    await port.close()


async def test_a_pty_can_be_opened_again_and_set_again_with_parity(pty: Pty) -> None:
    port = SerialPort(pty.path)
    for _ in range(3):
        await port.open(EVEN)
        await port.configure(Settings(9600, 8, "O", 2))
        await port.configure(Settings(1200, 7, "E", 1))
        await port.configure(EVEN)
        await port.write(b"\x68")
        assert os.read(pty.master, 10) == b"\x68"  # before the end, which drops what has not left yet
        await port.close()


async def test_unplugging_is_port_gone_and_leaves_no_descriptor(pty: Pty) -> None:
    port = SerialPort(pty.path)
    await port.open(EVEN)
    assert descriptors_of(pty.path) == 1
    waiting = asyncio.ensure_future(port.read())
    await asyncio.sleep(0)
    pty.unplug()
    with pytest.raises(PortGone, match="gone"):
        await asyncio.wait_for(waiting, 5)
    assert descriptors_of(pty.path) == 0
    with pytest.raises(PortGone):
        await port.write(b"\x68")
    with pytest.raises(PortGone):
        await port.configure(EVEN)
    await port.close()


async def test_a_port_that_comes_back_behind_its_name_is_found_again(pty: Pty, tmp_path: object) -> None:
    name = f"{tmp_path}/east"
    os.symlink(pty.path, name)
    port = SerialPort(name)
    await port.open(EVEN)
    other = Pty()
    pty.unplug()
    with pytest.raises(PortGone):
        await asyncio.wait_for(port.read(), 5)
    os.unlink(name)
    with pytest.raises(PortGone):
        await port.open(EVEN)
    os.symlink(other.path, name)
    await port.open(EVEN)
    os.write(other.master, b"\x16")
    assert await heard(port, 1) == b"\x16"
    await port.close()
    other.unplug()


async def test_a_stuck_peer_is_port_gone_and_the_loop_goes_on(pty: Pty, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serial_port, "WRITE_STALL_S", 0.2)
    port = SerialPort(pty.path)
    await port.open(Settings(4_000_000, 8, "N", 1))
    writing = asyncio.ensure_future(port.write(bytes(100_000)))
    turns = 0
    while not writing.done():
        await asyncio.sleep(0.01)
        turns += 1
    assert turns > 5
    with pytest.raises(PortGone, match="takes no bytes"):
        await writing
    assert descriptors_of(pty.path) == 0


async def test_unplugging_ends_a_write_that_waits(pty: Pty) -> None:
    port = SerialPort(pty.path)
    await port.open(Settings(1200, 8, "N", 1))
    writing = asyncio.ensure_future(port.write(bytes(100_000)))
    await asyncio.sleep(0.05)
    pty.unplug()
    with pytest.raises(PortGone):
        await asyncio.wait_for(writing, 5)
    assert descriptors_of(pty.path) == 0


async def test_a_busy_port_names_its_holder(pty: Pty) -> None:
    hold = "import serial, sys; s = serial.Serial(sys.argv[1], exclusive=True); print('held', flush=True); input()"
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", hold, pty.path, stdin=pipe, stdout=pipe)
    assert process.stdout is not None
    assert await process.stdout.readline() == b"held\n"
    with pytest.raises(PortBusy, match=rf"in use by .*\(pid {process.pid}\)"):
        await SerialPort(pty.path).open(EVEN)
    assert descriptors_of(pty.path) == 0
    await process.communicate(b"\n")
    port = SerialPort(pty.path)
    await port.open(EVEN)
    with pytest.raises(PortBusy, match="this process"):
        await SerialPort(pty.path).open(EVEN)
    await port.close()


async def test_a_device_that_is_none_is_port_gone(tmp_path: object) -> None:
    for name in (f"{tmp_path}/missing", "/dev/null"):
        before = descriptors_of(name)
        with pytest.raises(PortGone):
            await SerialPort(name).open(EVEN)
        assert descriptors_of(name) == before


async def test_a_driver_without_rs485_mode_says_so(pty: Pty) -> None:
    with pytest.raises(PortGone, match="direction kernel"):
        await SerialPort(pty.path, direction="kernel").open(EVEN)
    assert descriptors_of(pty.path) == 0


async def test_discard_drops_what_the_kernel_holds_too(pty: Pty) -> None:
    port = SerialPort(pty.path)
    await port.open(EVEN)
    os.write(pty.master, b"stale")
    assert port.discard() == 5
    await port.close()


async def test_a_line_reads_a_meter_over_a_pseudo_terminal(pty: Pty) -> None:
    line = Line("east", port_for(pty.path), EVEN, RealClock())
    await line.open()
    loop = asyncio.get_running_loop()
    request = b""

    def meter() -> None:
        nonlocal request
        request += os.read(pty.master, 1000)
        if request.endswith(b"\x16"):
            os.write(pty.master, b"\xfe" + wires.ENERGY_REPLY)

    loop.add_reader(pty.master, meter)
    answer = await line.exchange(wires.read_energy())
    assert answer.reply == wires.ENERGY_REPLY
    assert request == b"\xfe" * 4 + answer.request
    loop.remove_reader(pty.master)
    await line.close()


def test_a_url_chooses_its_port() -> None:
    assert isinstance(port_for("/dev/ttyUSB0", direction="rts"), SerialPort)
    assert isinstance(port_for("socket://10.0.0.5:4001"), TcpPort)
    assert isinstance(port_for("rfc2217://[::1]:2217"), Rfc2217Port)
    assert latency_s("/dev/ttyUSB0") == 0 < latency_s("socket://10.0.0.5:4001")
    for bad in ("socket://10.0.0.5", "socket://:4001", "http://10.0.0.5:80", "socket://h:99999"):
        with pytest.raises(ValueError, match="port"):
            port_for(bad)
    with pytest.raises(ValueError, match="direction"):
        port_for("/dev/ttyUSB0", direction="dtr")
