"""Listening on a bus of others: what is found, and that nothing is ever sent."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import tty
from collections.abc import Iterable

import pytest
from click.testing import CliRunner
from wires import ENERGY_REPLY, dlt, rtu, rtu_reply

from agent.cli.listen import listen
from agent.field.listening import Listener, report
from drivers.clock import VirtualClock
from drivers.errors import PortGone
from drivers.overheard import Overheard
from drivers.ports import Chunk, Settings
from drivers.ports.inbox import Inbox
from drivers.ports.tap import Tap

START_MS = 1_790_000_000_000
REQUEST = dlt(0x11, bytes.fromhex("00000100"))
# the question for its address that DL/T 698.45 terminals send, as printed in many places
DLT698 = bytes.fromhex("68170043 45AAAAAAAAAAAA 00 5B4F 0501004001020000 ED03 16".replace(" ", ""))


def cjt188() -> bytes:
    body = b"\x68\x10" + bytes.fromhex("44332211001111") + b"\x01\x03" + b"\x1f\x90\x00"
    return body + bytes((sum(body) & 0xFF, 0x16))


class Bus:
    """An ear on a made-up bus that speaks at one setting; at all others it is rubbish. It has no `write`."""

    def __init__(self, settings: Settings, said: Iterable[bytes], every_s: float = 0.4) -> None:
        self.tried: list[Settings] = []
        self._settings, self._said, self._every_s = settings, list(said), every_s
        self._inbox = Inbox("bus")
        self._inbox.begin()

    async def configure(self, settings: Settings) -> None:
        self.tried.append(settings)

    async def read(self) -> Chunk:
        return await self._inbox.get()

    async def speak(self) -> None:
        while True:
            for frame in self._said:
                await asyncio.sleep(self._every_s)
                right = self.tried and self.tried[-1] == self._settings
                self._inbox.put(Chunk(frame if right else bytes(byte ^ 0x5B for byte in frame[::2])))


def heard(settings: Settings, said: Iterable[bytes], seconds: float = 60) -> tuple[Listener, dict]:
    clock, bus = VirtualClock(START_MS), Bus(settings, said)

    async def play() -> Listener:
        speaking = asyncio.create_task(bus.speak())
        listener = Listener(bus, clock)
        await listener.listen(seconds)
        speaking.cancel()
        return listener

    listener = clock.run(play())
    return listener, report("bus", seconds, listener)


@pytest.mark.parametrize(
    ("baud", "framing"), [(9600, "8E1"), (2400, "8E1"), (1200, "8E1"), (9600, "8N1"), (19200, "8N1")]
)
def test_speed_framing_and_meters_of_a_bus_in_use_are_found(baud: int, framing: str):
    settings = Settings.parse(baud, framing)
    _, found = heard(settings, [b"\xfe" * 4 + REQUEST, b"\xfe\xfe" + ENERGY_REPLY])
    assert [(one["baud"], one["framing"]) for one in found["settings"]] == [(baud, framing)]
    assert found["other_master"] is True
    assert found["protocols"].keys() == {"dlt645"}
    assert [meter["address"] for meter in found["meters"]] == ["202208310002"]
    assert found["meters"][0]["asked"] >= 5
    assert "1234.56" in json.dumps(found["frames"])


def test_modbus_requests_and_their_replies_are_told_apart():
    said = [rtu(5, 3, 0, 2), rtu_reply(5, 3, [1, 2]), rtu(6, 4, 9, 1), rtu_reply(6, 4, [7])]
    _, found = heard(Settings.parse(9600, "8N1"), said)
    assert found["protocols"].keys() == {"modbus-rtu"}
    meters = {(meter["address"], meter["asked"] > 0, meter["answered"] > 0) for meter in found["meters"]}
    assert meters == {("5", True, True), ("6", True, True)}


def test_frames_of_other_protocols_are_recognised_and_named():
    _, found = heard(Settings.parse(9600, "8E1"), [DLT698, cjt188()])
    assert found["protocols"].keys() == {"dlt698.45", "cjt188"}


def test_noise_is_no_protocol():
    listener, found = heard(Settings.parse(300, "7E1"), [bytes(range(7, 250, 3))])
    assert found["settings"] == []
    assert found["protocols"] == {}
    assert found["characters"] > 0
    assert not listener.found


def test_frames_are_found_behind_noise_and_glued_together():
    overheard = Overheard()
    overheard.feed(b"\x00\x68\x01" + REQUEST + ENERGY_REPLY + b"\xff")
    frames = overheard.pause()
    assert [frame.request for frame in frames] == [True, False]
    assert overheard.noise == 4


def test_a_damaged_byte_parts_what_was_before_it():
    overheard = Overheard()
    overheard.feed(REQUEST[:9], damaged=True)
    overheard.feed(REQUEST[9:])
    assert overheard.pause() == []
    assert overheard.damaged == 1


async def test_a_tap_cannot_write_whatever_happens():
    master, slave = pty.openpty()
    tty.setraw(slave)
    tap = Tap(os.ttyname(slave))
    await tap.open(Settings.parse(9600, "8E1"))
    try:
        assert not hasattr(tap, "write")
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.write(tap._fd, b"\x68")  # the kernel refuses
        os.write(master, REQUEST)
        chunk = await asyncio.wait_for(tap.read(), 5)
        assert chunk.data == REQUEST
    finally:
        await tap.close()
        os.close(slave)
        os.close(master)


def test_a_port_that_is_none_is_said_with_code_69(tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b"")
    for name in (str(file), str(tmp_path / "nothing")):
        result = CliRunner().invoke(listen, ["--port", name, "--for", "1s"])
        assert result.exit_code == 69, result.output


def test_the_verb_hears_a_bus_on_a_pseudo_terminal_and_sends_nothing():
    master, slave = pty.openpty()
    tty.setraw(slave)
    os.set_blocking(master, False)
    sent = bytearray()

    async def play() -> dict:
        from agent.cli.listen import _listen, _settings

        hearing = asyncio.create_task(_listen(os.ttyname(slave), 2.0, _settings(2400, "8E1"), False))
        for _ in range(3):
            await asyncio.sleep(0.3)
            os.write(master, REQUEST)
            await asyncio.sleep(0.15)
            os.write(master, ENERGY_REPLY)
        found = await hearing
        try:
            sent.extend(os.read(master, 4096))
        except BlockingIOError:
            pass
        return found

    found = asyncio.run(play())
    os.close(slave)
    os.close(master)
    assert found["protocols"] == {"dlt645": 6}
    assert found["other_master"] is True
    assert bytes(sent) == b""


async def test_a_closed_tap_says_so():
    tap = Tap("/dev/null")
    with pytest.raises(PortGone):
        await tap.open(Settings())
    with pytest.raises(PortGone):
        await tap.configure(Settings())
