"""What a person may broadcast: off by default, asked first, byte for byte, noted in the log; lines stay shut."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import threading
from datetime import datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from wires import dlt, rtu

from agent.cli import broadcast as verb
from agent.cli import cli
from agent.ledger.inbox import read_order
from contract.records import parse_instant
from drivers.broadcast import freeze_frame, time_frame
from drivers.errors import ForbiddenRequest
from drivers.gate import permit, permit_broadcast
from simulators.dlt645_meter import Dlt645Meter as Simulated
from simulators.faults import Fault, Faults
from simulators.park import Truth

EVERYBODY = b"\x99" * 6
NOON = datetime(2026, 7, 6, 12, 0, 5)
PARK = """park: {id: xihu-01, schedules: [zj-2026]}
gateway: {id: gw-1, data: DATA, clock: trusted}
lines:
  - {id: east, port: /dev/ttyRS485-1, baud: 2400, framing: 8E1, broadcasts: [freeze]}
  - {id: west, port: /dev/ttyRS485-2, baud: 2400, framing: 8E1}
meters:
  - {id: m-1, line: east, protocol: dlt645-2007, address: 000000000001, tenant: acme}
  - {id: m-2, line: west, protocol: dlt645-2007, address: 000000000002, tenant: acme}
tenants: [{id: acme}]
"""


def golden(control: int, data: str) -> bytes:
    return dlt(control, bytes.fromhex(data), EVERYBODY)


def test_the_frames_are_those_of_the_standard():
    assert time_frame(NOON) == golden(0x08, "05 00 12 06 07 26")
    assert freeze_frame() == golden(0x16, "99 99 99 99")


@pytest.mark.parametrize("moment", ["00:04:59", "00:05:00", "23:55:00", "23:59:59", "00:00:00"])
def test_no_clock_is_set_around_midnight(moment: str):
    with pytest.raises(ValueError, match="midnight"):
        time_frame(datetime.fromisoformat(f"2026-07-06 {moment}"))


@pytest.mark.parametrize("commissioning", [False, True])
@pytest.mark.parametrize("frame", [time_frame(NOON), freeze_frame()])
@pytest.mark.parametrize("protocol", ["dlt645-2007", "dlt645-1997"])
def test_the_gate_of_lines_refuses_both(protocol: str, frame: bytes, commissioning: bool):
    with pytest.raises(ForbiddenRequest):
        permit(protocol, frame, commissioning=commissioning)


@pytest.mark.parametrize(
    ("kind", "frame"),
    [
        ("freeze", golden(0x16, "00 12 99 99")),  # every day at noon: that is programming, not freezing now
        ("freeze", golden(0x08, "05 00 12 06 07 26")),
        ("time", golden(0x16, "99 99 99 99")),
        ("time", golden(0x08, "05 00 12 06 07 2A")),
        ("time", dlt(0x08, bytes.fromhex("050012060726"))),  # to one meter
        ("time", golden(0x14, "05 00 12 06 07 26")),
        ("time", golden(0x08, "05 00 12 06 07 26")[:-1]),
        ("time", golden(0x08, "05 00 12 06 07 26") + golden(0x1C, "00" * 16)),
        ("time", b"\xfe" * 9 + golden(0x08, "05 00 12 06 07 26")),
        ("freeze", rtu(1, 6, 1, 1)),
    ],
)
def test_nothing_but_these_two_frames_may_be_broadcast(kind: str, frame: bytes):
    with pytest.raises(ForbiddenRequest):
        permit_broadcast(kind, frame)


def test_the_simulated_meters_obey_both():
    meter = {"id": "m1", "protocol": "dlt645-2007", "address": "000000000001", "baud": 2400,
             "framing": "8E1"}  # fmt: skip
    noon = parse_instant("2026-07-06T04:00:00Z")
    config = {"settings": {"utc_offset": "+08:00", "interval_s": 900}, "meters": [meter], "points": [], "lines": [],
              "tenancies": []}  # fmt: skip
    simulated = Simulated(Truth(config, 1, faults=Faults([Fault("clock", "m1", noon, None, 40.0)])), meter, wake=0)
    simulated.memory.clock_ms = 0
    assert simulated.hear(time_frame(NOON), noon + 5000) is None
    assert simulated.hear(freeze_frame(), noon + 60_000) is None
    assert simulated.memory.frozen == [noon + 60_000]


class Bus:
    """A pseudo-terminal whose far end keeps every byte."""

    def __init__(self) -> None:
        self.far, self.near = pty.openpty()
        self.path = os.ttyname(self.near)
        self.heard = b""
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        while True:
            try:
                self.heard += os.read(self.far, 100)
            except OSError:
                return

    def end(self) -> None:
        os.close(self.near)
        self._thread.join(5)
        os.close(self.far)


@pytest.fixture
def bus():
    bus = Bus()
    yield bus
    bus.end()


@pytest.fixture
def file(tmp_path: Path, bus: Bus) -> Path:
    path = tmp_path / "park.yaml"
    path.write_text(PARK.replace("DATA", str(tmp_path / "data")).replace("/dev/ttyRS485-1", bus.path), "utf-8")
    return path


def call(*arguments: object, code: int = 0, typed: str | None = None) -> Result:
    result = CliRunner().invoke(cli, ["--lang", "en", "broadcast", *map(str, arguments)], input=typed)
    found = getattr(result.exception, "exit_code", result.exit_code)
    assert found == code, (result.output, result.exception)
    return result


def test_a_person_freezes_a_line_and_the_log_is_told(file: Path, bus: Bus):
    result = call("freeze", "--config", file, "--line", "east", "--who", "Li", "--yes", "--json")
    said = json.loads(result.stdout)
    assert bus.heard == b"\xfe" * 4 + freeze_frame()
    assert said["frames"] == [bus.heard.hex()]
    order = read_order(Path(said["order"]))
    [note] = order.events
    assert (note.scope, note.id, note.code) == ("line", "east", "broadcast_freeze")
    assert note.details == {"frames": bus.heard.hex(), "who": "Li"}


def test_it_is_off_by_default_and_allowed_by_kind(file: Path, bus: Bus, tmp_path: Path):
    call("freeze", "--config", file, "--line", "west", "--yes", code=78)
    call("time", "--config", file, "--line", "east", "--yes", code=78)
    call("freeze", "--config", file, "--line", "north", "--yes", code=78)
    assert bus.heard == b""
    assert not (tmp_path / "data" / "inbox").exists()


def test_nothing_is_sent_unless_the_lines_name_is_typed(file: Path, bus: Bus, tmp_path: Path):
    call("freeze", "--config", file, "--line", "east", code=1, typed="yes\n")
    assert bus.heard == b""
    assert not (tmp_path / "data" / "inbox").exists()
    call("freeze", "--config", file, "--line", "east", typed="east\n")
    assert bus.heard.endswith(freeze_frame())


def test_without_the_port_nothing_is_noted(file: Path, bus: Bus, tmp_path: Path):
    text = file.read_text("utf-8").replace(bus.path, "/dev/no-such-port")
    file.write_text(text, "utf-8")
    assert "no-such-port" in call("freeze", "--config", file, "--line", "east", "--yes", code=69).output
    assert not (tmp_path / "data" / "inbox").exists()


def test_a_port_that_somebody_holds_is_left_to_him(file: Path, bus: Bus):
    holder = os.open(bus.path, os.O_RDWR | os.O_NOCTTY)
    fcntl.flock(holder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    try:
        assert "agent" in call("freeze", "--config", file, "--line", "east", "--yes", code=69).output
    finally:
        os.close(holder)
    assert bus.heard == b""


def test_a_machine_that_does_not_know_the_time_sets_no_clocks(file: Path, bus: Bus, monkeypatch: pytest.MonkeyPatch):
    file.write_text(file.read_text("utf-8").replace("[freeze]", "[time]"), "utf-8")
    monkeypatch.setattr(verb.RealClock, "sync", lambda self: ("none", None))
    call("time", "--config", file, "--line", "east", "--yes", code=1)
    assert bus.heard == b""
