"""A whole configuration played: truth, meters, one bus a line, and a wire for each.

Built from the effective configuration; the demo and `hubiao simulate` open it, tests take it apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from config.meter_models import read_model
from drivers.modbus.model import MeterModel, parse
from drivers.ports import Settings
from drivers.ports.serial import SerialPort
from simulators.bus import Bus, Device
from simulators.dlt645_meter import Dlt645Meter
from simulators.faults import Fault, Faults
from simulators.modbus_meter import ModbusMeter
from simulators.park import Truth
from simulators.wires import Pty, SerialWire, Tcp

LOOPBACK = ("127.0.0.1", "::1", "localhost")


class NotPlayable(ValueError):
    """A configured port that the simulator does not serve, and why."""


class NotLoopback(NotPlayable):
    """A TCP line elsewhere than on loopback, without leave."""


class Site:
    """All lines of a configuration.

    now_ms: the truth's time, UTC ms. faults: times in ms from the start. paced: answers take the time of the wire.
    """

    def __init__(
        self,
        config: dict[str, Any],
        *,
        now_ms: Callable[[], int],
        seed: int = 1,
        faults: Sequence[Fault] = (),
        paced: bool = True,
    ) -> None:
        self.config, self.now_ms = config, now_ms
        start_ms = now_ms()
        self.faults = Faults([_from(start_ms, fault) for fault in faults])
        self.truth = Truth(config, seed, faults=self.faults)
        models = {model["id"]: model["text"] for model in config["models"]}
        self._models: dict[str, MeterModel] = {}
        self.buses: dict[str, Bus] = {}
        for line in config["lines"]:
            meters = [self._meter(meter, line, models) for meter in config["meters"] if meter["line"] == line["id"]]
            settings = Settings.parse(int(line["baud"]), line["framing"])
            self.buses[line["id"]] = Bus(
                line["id"],
                meters,
                settings,
                now_ms=now_ms,
                faults=self.faults,
                seed=seed,
                paced=paced,
            )
        self.ports: dict[str, str] = {}  # line → what the agent opens
        self.wires: dict[str, Pty | Tcp | SerialWire] = {}

    async def open(
        self, link: Callable[[str], Path | None], *, anywhere: bool = False, devices: Mapping[str, str] | None = None
    ) -> None:
        """Puts every line on its wire. `link`: where a configured device file is to appear, None for nowhere.

        anywhere: TCP lines may listen on other addresses than loopback. devices: line → the serial port of this machine
        that it is played on. Raises LinkRefused, NotPlayable, PortGone, OSError.
        """
        for line in self.config["lines"]:
            name, url = line["id"], str(line["port"])
            if devices and name in devices:
                serial = SerialWire(self.buses[name], SerialPort(devices[name]))
                await serial.open()
                self.wires[name], self.ports[name] = serial, devices[name]
                continue
            if "://" not in url:
                wire = Pty(self.buses[name])
                self.wires[name] = wire
                self.ports[name] = wire.open(link(url))
                continue
            host, port = _address(url)
            if host not in LOOPBACK and not anywhere:
                raise NotLoopback(f"{url}: not a loopback address")
            server = Tcp(self.buses[name])
            self.wires[name] = server
            self.ports[name] = await server.open(host, port)

    async def close(self) -> None:
        for wire in self.wires.values():
            if isinstance(wire, Pty):
                wire.close()
            else:
                await wire.close()
        self.wires.clear()

    def _meter(self, meter: dict[str, Any], line: dict[str, Any], models: dict[str, str]) -> Device:
        if meter["protocol"] != "modbus":
            return Dlt645Meter(self.truth, meter)
        name = meter["model"]
        if name not in self._models:
            self._models[name] = parse(read_model(models[name], name))
        transport = "tcp" if str(line["port"]).startswith("tcp://") else "rtu"
        return ModbusMeter(self.truth, meter, self._models[name], transport=transport)


def _from(start_ms: int, fault: Fault) -> Fault:
    return replace(
        fault, from_ms=start_ms + fault.from_ms, to_ms=None if fault.to_ms is None else start_ms + fault.to_ms
    )


def _address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    if parts.scheme not in ("socket", "tcp") or not parts.hostname or parts.port is None:
        raise NotPlayable(f"{url}: only device files, socket:// and tcp:// are played")
    return parts.hostname, parts.port
