"""Whom `hubiao read` speaks to: a meter of a configuration, or one described by options alone. Opens nothing.

Both become the same piece of an effective configuration, so that the agent's own `build_meter` makes the driver.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import click

from agent.cli.output import notice
from agent.cli.read_arguments import data_identifier, meter_address, modbus_register, split_items
from agent.cli.read_faults import Asked
from agent.cli.read_line import PersonsLine
from agent.cli.words import t
from agent.meters import METER_PROTOCOLS, build_meter
from drivers.clock import RealClock
from drivers.meter import Meter
from drivers.modbus.meter import ModbusMeter
from drivers.modbus.model import parse
from drivers.ports import Port, Settings
from drivers.ports.choose import latency_s, port_for

UNKNOWN_MODEL = "unknown"
LINE = "line"  # id of a line that options describe
DEFAULTS = {"dlt645-2007": (2400, "8E1"), "dlt645-1997": (1200, "8E1"), "modbus": (9600, "8N1")}
DLT645_START = 0x68  # as a Modbus unit it would look like the start of a DL/T 645 frame to its neighbours
OTHER_FUNCTION = {3: 4, 4: 3}


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line said; None or empty where it said nothing."""

    config: Path | None = None
    meter: str | None = None
    port: str | None = None
    protocol: str | None = None
    address: str | None = None
    unit: int | None = None
    model: str | None = None
    function: int | None = None
    baud: int | None = None
    framing: str | None = None
    items: tuple[str, ...] = ()
    type: str | None = None
    order: str | None = None


@dataclass(slots=True)
class Target:
    """entry: the meter; line: its line; config: as much of an effective configuration as `build_meter` reads.

    items: DIs or registers as the driver takes them, none for the settlement registers. may_change_function: nobody
    said by which function the registers are read.
    """

    entry: dict[str, Any]
    line: dict[str, Any]
    config: dict[str, Any]
    items: tuple[str, ...] = ()
    function: int | None = None
    may_change_function: bool = False
    settings: Settings = field(init=False)

    def __post_init__(self) -> None:
        framing = self.entry["framing"] or self.line["framing"]
        try:
            self.settings = Settings.parse(self.entry["baud"] or self.line["baud"], framing)
        except ValueError as error:
            raise click.UsageError(f"--framing {framing}: 8E1, 8N1, 7E1 …") from error
        if self.is_tcp and self.entry["protocol"] != "modbus":
            raise click.UsageError(
                t("tcp:// 是 Modbus TCP;DL/T 645 用 socket://", "tcp:// is Modbus TCP; DL/T 645 is read at socket://")
            )

    @property
    def edition(self) -> str | None:
        """`2007` or `1997`, None for Modbus."""
        protocol = str(self.entry["protocol"])
        return None if protocol == "modbus" else protocol.removeprefix("dlt645-")

    @property
    def is_tcp(self) -> bool:
        return str(self.line["port"]).startswith("tcp://")

    @property
    def wildcard(self) -> bool:
        return str(self.entry["address"] or "").startswith("AA")

    @property
    def asked(self) -> Asked:
        how = "" if self.is_tcp else f" ({self.settings.baud} {self.settings.framing})"
        return Asked(self.entry["protocol"], self.entry["id"], self.line["port"], how, self.wildcard)

    def port(self) -> Port:
        """Raises a usage error on a port that cannot be one."""
        try:
            return port_for(self.line["port"], direction=self.line["direction"])
        except ValueError as error:
            raise click.UsageError(str(error)) from error

    def person_line(self, port: Port) -> PersonsLine:
        """The line, not yet open."""
        mixed = any(m["protocol"] != "modbus" for m in self.config["meters"] if m["line"] == self.line["id"])
        return PersonsLine(
            port,
            self.settings,
            RealClock(),
            id=self.line["id"],
            wildcard=self.wildcard,
            forbid_unit=DLT645_START if mixed else None,
            latency_s=latency_s(self.line["port"]),
        )

    def driver(self, line: PersonsLine, *, address: str | None = None) -> Meter:
        """The agent's driver for this meter. address: what a wildcard turned out to be."""
        entry = self.entry | {"address": address or self.entry["address"]}
        try:
            if entry["protocol"] != "modbus" or not self.items:
                return build_meter(entry, self.config, line)
            data = self.model_data
            if self.function is not None:
                data = {**data, "function": str(self.function)}
            transport = "tcp" if self.is_tcp else "rtu"
            char_s = self.settings.seconds(1)
            return ModbusMeter(
                entry["id"], entry["unit"], parse(data), line, frozenset(), transport=transport, char_s=char_s
            )
        except ValueError as error:
            raise click.UsageError(str(error)) from error

    @property
    def read_function(self) -> int:
        """The Modbus function in use, 3 or 4."""
        return self.function or int(self.model_data.get("function", 3))

    @property
    def model_data(self) -> Mapping[str, Any]:
        named = (model["data"] for model in self.config["models"] if model["id"] == self.entry["model"])
        return next(named, {})


def target_of(options: Options) -> Target:
    """Raises a usage error, or Failure 78 with every fault of the configuration."""
    described = options.address is not None or options.unit is not None
    return _ad_hoc(options) if options.config is None or (described and options.meter is None) else _configured(options)


def _configured(options: Options) -> Target:
    for name in ("protocol", "address", "unit", "model"):
        if getattr(options, name) is not None:
            raise click.UsageError(t(f"--{name} 与 --config 不能同用", f"--{name} does not go with --config"))
    if options.meter is None:
        raise click.UsageError(t("需要 --meter:读哪块表", "--meter is needed: which one to read"))
    assert options.config is not None
    from agent.cli.places import effective  # the store along with it: not for a meter described by options

    config = effective(options.config)
    found = next((meter for meter in config["meters"] if meter["id"] == options.meter), None)
    if found is None:
        near = get_close_matches(options.meter, [meter["id"] for meter in config["meters"]], 3)
        hint = t(",是不是 ", ", perhaps ") + ", ".join(near) if near else ""
        raise click.UsageError(t(f"配置中没有电表 {options.meter}", f"no meter {options.meter} in it") + hint)
    if found["protocol"] not in METER_PROTOCOLS:
        raise click.UsageError(t(f"{options.meter} 是人工抄表", f"{options.meter} is read by people"))
    line = next(line for line in config["lines"] if line["id"] == found["line"])
    line |= {"port": options.port} if options.port else {}
    found |= {"baud": options.baud or found["baud"], "framing": options.framing or found["framing"]}
    items = _items(options, found["protocol"])
    return Target(found, line, config, items, options.function)


def _ad_hoc(options: Options) -> Target:
    if options.port is None:
        raise click.UsageError(t("需要 --port,或 --config 加 --meter", "--port is needed, or --config and --meter"))
    protocol = options.protocol or ("modbus" if options.unit is not None else "dlt645-2007")
    modbus = protocol == "modbus"
    if (options.unit if modbus else options.address) is None:
        wanted = "--unit" if modbus else "--address"
        hint = "" if modbus else t("(线上只有一块表:AAAAAAAAAAAA)", " (AAAAAAAAAAAA if the meter is alone on the line)")
        raise click.UsageError(t(f"需要 {wanted}", f"{wanted} is needed") + hint)
    items = _items(options, protocol)
    name = f"unit {options.unit}" if modbus else meter_address(str(options.address))
    model = _model(options, protocol, items)
    usual = model["data"].get("line") or {}
    baud, framing = DEFAULTS[protocol]
    meter = {
        "id": name,
        "line": LINE,
        "protocol": protocol,
        "address": None if modbus else name,
        "unit": options.unit if modbus else None,
        "model": model["id"],
        "baud": options.baud or int(usual.get("baud", baud)),
        "framing": options.framing or str(usual.get("framing", framing)),
    }
    line = {"id": LINE, "port": options.port, "baud": meter["baud"], "framing": meter["framing"], "direction": "auto"}
    config = {
        "lines": [line],
        "meters": [meter],
        "models": [model],
        # a master's point wishes for both directions of energy
        "points": [{"register": "import", "role": "master", "meters": [{"meter": name}]}],
    }
    unsaid = modbus and options.model is None and options.function is None
    return Target(meter, line, config, items, options.function or (3 if unsaid else None), unsaid)


def _model(options: Options, protocol: str, items: tuple[str, ...]) -> dict[str, Any]:
    """{"id", "data"} of the model named, the protocol's own, or a makeshift for Modbus registers read by address."""
    from agent.cli.site_files import site_models  # ruamel: only for verbs that need it

    models = site_models(options.config)
    name = options.model or protocol
    if name not in models:
        if options.model is None and items:
            return {"id": UNKNOWN_MODEL, "data": _makeshift()}
        fitting = sorted(name for name, file in models.items() if file.data["protocol"] == protocol)
        near = get_close_matches(name, fitting, 3) if options.model else fitting
        text = t("需要 --model 或 --register", "--model or --register is needed")
        if options.model:
            text = t(f"没有型号 {name}", f"no model {name}")
        raise click.UsageError(f"{text}: {', '.join(near or fitting)}")
    data = models[name].data
    if data["protocol"] != protocol:
        raise click.UsageError(f"--model {name}: {data['protocol']}, --protocol {protocol}")
    caution = data.get("caution")
    if caution:
        notice(t(str(caution["zh"]), str(caution["en"])))
    return {"id": data["id"], "data": data}


def _makeshift() -> dict[str, Any]:
    """A model that knows nothing: what a register means is said with each register read."""
    nothing = {"address": "0xFFFF", "type": "u16", "source": "X", "evidence": "one-source"}
    return {
        "id": UNKNOWN_MODEL,
        "protocol": "modbus",
        "maker": {"zh": "-", "en": "-"},
        "name": {"zh": "-", "en": "-"},
        "function": "3",
        "addresses": "wire",
        "values": "as-set",
        "sources": {"X": "the person who asks"},
        "registers": {"last_register": nothing},
    }


def _items(options: Options, protocol: str) -> tuple[str, ...]:
    items = split_items(options.items)
    if protocol == "modbus":
        return tuple(modbus_register(item, options.type, options.order) for item in items)
    if options.type or options.order or options.function:
        raise click.UsageError(t("--type/--order/--function 只用于 Modbus", "--type, --order, --function: Modbus only"))
    return tuple(data_identifier(item, protocol) for item in items)
