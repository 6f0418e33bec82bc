"""`hubiao ports`: serial ports with names that stay, who holds them, and the udev rule for a name of one's own."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import click
from serial.tools.list_ports import comports

from agent.cli.output import document, notice, table
from agent.cli.words import t
from drivers.ports.holder import holder

BY = ("/dev/serial/by-path", "/dev/serial/by-id")  # the place in the house; the adapter, which may move


@dataclass(frozen=True, slots=True)
class SerialDevice:
    """One port. stable: names that survive a reboot, the best first. rule: a line for /etc/udev/rules.d, or None."""

    device: str
    stable: tuple[str, ...]
    holder: str | None
    what: str
    rule: str | None


@click.command()
@click.option("--json", "as_json", is_flag=True)
def ports(as_json: bool) -> None:
    """串口:固定名、占用者、udev 规则 / serial ports: stable names, holders, udev rules."""
    found = serial_devices()
    if as_json:
        document(
            [
                {
                    "device": one.device,
                    "stable": list(one.stable),
                    "holder": one.holder,
                    "description": one.what,
                    "udev_rule": one.rule,
                }
                for one in found
            ]
        )
        return
    head = (t("设备", "device"), t("固定名", "stable name"), t("占用者", "held by"), t("说明", "what it is"))
    table(head, [(one.device, one.stable[0] if one.stable else None, one.holder, one.what) for one in found])
    rules = [one.rule for one in found if one.rule]
    if rules:
        notice(
            t(
                "固定名规则:写入 /etc/udev/rules.d/60-hubiao.rules,然后 udevadm control --reload && udevadm trigger",
                "names of your own: put into /etc/udev/rules.d/60-hubiao.rules, "
                "then udevadm control --reload && udevadm trigger",
            )
        )
        for rule in rules:
            click.echo(rule)
    if not found:
        notice(t("没有串口。插上转换器再试。", "no serial port. Plug the adapter in and try again."))


def serial_devices() -> list[SerialDevice]:
    """Every serial port that pyserial lists, COM3 on Windows as well as /dev/ttyUSB0."""
    names = _stable_names()
    found = []
    for number, port in enumerate(sorted(comports(), key=lambda port: port.device), 1):
        what = " ".join(str(part) for part in (port.manufacturer, port.description) if part and part != "n/a")
        found.append(
            SerialDevice(
                device=port.device,
                stable=tuple(names.get(os.path.realpath(port.device), ())),
                holder=holder(port.device) if os.path.isdir("/proc/self/fd") else None,
                what=what,
                rule=udev_rule(port.vid, port.pid, port.serial_number, port.location, number),
            )
        )
    return found


def udev_rule(vid: int | None, pid: int | None, serial: str | None, location: str | None, number: int) -> str | None:
    """The rule that names a USB adapter /dev/ttyRS485-N: by its serial number, else by the socket it sits in.

    location: as pyserial says it, `1-1.4:1.0`. None for a port that is soldered in.
    """
    if vid is None or pid is None:
        return None
    match = f'SUBSYSTEM=="tty", ATTRS{{idVendor}}=="{vid:04x}", ATTRS{{idProduct}}=="{pid:04x}"'
    if serial:
        match += f', ATTRS{{serial}}=="{serial}"'
    elif location:
        match = f'SUBSYSTEM=="tty", KERNELS=="{location if ":" in location else location + ":1.0"}"'
    return f'{match}, SYMLINK+="ttyRS485-{number}", GROUP="dialout", MODE="0660"'


def _stable_names() -> dict[str, list[str]]:
    """Real device → its links."""
    names: dict[str, list[str]] = {}
    for folder in (*BY, "/dev"):
        for link in sorted(Path(folder).glob("ttyRS485-*" if folder == "/dev" else "*")):
            if link.is_symlink():
                names.setdefault(os.path.realpath(link), []).append(str(link))
    return names
