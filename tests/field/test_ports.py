"""hubiao ports: udev rules, and a listing that works where there is no port at all."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from serial.tools.list_ports_common import ListPortInfo

from agent.cli import cli, ports
from agent.cli.ports import udev_rule


def test_an_adapter_with_a_serial_number_is_known_by_it() -> None:
    rule = udev_rule(0x0403, 0x6001, "A50285BI", "1-1.4", 1)
    assert rule == (
        'SUBSYSTEM=="tty", ATTRS{idVendor}=="0403", ATTRS{idProduct}=="6001", ATTRS{serial}=="A50285BI", '
        'SYMLINK+="ttyRS485-1", GROUP="dialout", MODE="0660"'
    )


def test_an_adapter_without_one_is_known_by_its_socket() -> None:
    rule = udev_rule(0x1A86, 0x7523, None, "1-1.4", 2)
    assert rule == 'SUBSYSTEM=="tty", KERNELS=="1-1.4:1.0", SYMLINK+="ttyRS485-2", GROUP="dialout", MODE="0660"'
    assert udev_rule(None, None, None, None, 1) is None


def test_ports_are_listed_with_what_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    one = ListPortInfo("/dev/ttyUSB7", skip_link_detection=True)
    one.vid, one.pid, one.serial_number, one.location = 0x0403, 0x6001, "X1", "1-2"
    one.manufacturer, one.description = "FTDI", "USB-RS485 Cable"
    monkeypatch.setattr(ports, "comports", lambda: [one])
    result = CliRunner().invoke(cli, ["--lang", "en", "ports", "--json"])
    [listed] = json.loads(result.stdout)
    assert (listed["device"], listed["holder"], listed["description"]) == ("/dev/ttyUSB7", None, "FTDI USB-RS485 Cable")
    assert 'SYMLINK+="ttyRS485-1"' in listed["udev_rule"]


def test_no_port_is_said_and_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "comports", list)
    result = CliRunner().invoke(cli, ["--lang", "en", "ports"])
    assert result.exit_code == 0
    assert "no serial port" in result.stderr
