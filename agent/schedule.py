"""How long each line needs to read all its meters once, and whether that leaves time to breathe (pure).

    quiet | preamble request | delay | preamble reply        one exchange; a look and its confirmation a meter

Sizes come from the requests and plans that the meters themselves use; delays are what a meter was found to take, or
else what meters of its protocol usually take. Dead meters and repetitions are not foreseen: a tenth of the interval is
left for them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from agent.meters import by_line, directions
from drivers.dlt645.frame import OVERHEAD
from drivers.dlt645.load_record import CLASSES, build
from drivers.dlt645.plan import CLOCK, REGISTERS
from drivers.dlt645.requests import ENERGY_CLASS, Manners, load_records, read
from drivers.exchange import Exchange
from drivers.modbus.model import MeterModel, parse
from drivers.modbus.plan import Block, plan
from drivers.ports import Settings

DLT645_DELAY_S = 0.2  # request's end to reply's begin; the standard allows 0.5 s, most take 0.05 to 0.25 s
MODBUS_DELAY_S = 0.05
REPLY_WAKE = 4  # FE before a reply, as most meters send them
RECORD_BYTES = 4 + len(build("2000-01-01 00:00", {ENERGY_CLASS: bytes(sum(i.format.length for i in CLASSES[4]))}))
MEMORY_PART = 0.5  # of an interval, at most, for the meters' own memories (agent.polling.own_memory)
CLOCK_SHOWS_S = 0.5  # half of the second that a meter's clock shows
PASSES_PART = 0.5  # of an interval, at most, for a sweep in passes (agent.polling.poller)
USABLE = 0.9  # of an interval; the rest is for repetitions and meters that come back
MEASURED_S, MEASURED_PART = 0.5, 0.01  # a reading counts as the slot's within this, at least, of the interval
RTU_REQUEST, RTU_REPLY = 8, 5  # bytes of a request; of a reply besides its registers
USUAL_BAUDS = (2400, 9600, 19200)  # what meters can usually be set to


@dataclass(frozen=True, slots=True)
class Traffic:
    """One exchange: bytes each way without preamble, preambles in all, the silence before it, the meter's delay."""

    request: int
    reply: int
    preamble: int
    quiet_s: float
    quiet_characters: float
    delay_s: float

    def seconds(self, settings: Settings, delay_s: float | None = None) -> float:
        """delay_s: what the meter was found to take."""
        characters = self.request + self.reply + self.preamble + self.quiet_characters
        return self.quiet_s + (self.delay_s if delay_s is None else delay_s) + settings.seconds(characters)


def predict_sweep(config: Mapping[str, Any], delays_s: Mapping[str, float] | None = None) -> list[dict[str, Any]]:
    """One object a line: {id, sweep_s, looks_s, fits, exact, window_s, meters, memory_meters, memory_s, at_baud,
    lines_needed}.

    sweep_s: each meter's look and confirmation; looks_s: the looks alone. fits: the sweep takes at most nine tenths of
    the interval. exact: the sweep takes no longer than `window_s`, or the looks do and the interval leaves time for two
    confirmations each (`passes.py`), so that every reading can count as measured at its slot; otherwise slots are
    interpolated between readings, and say so. memory_meters: where it is not exact, how many meters can be asked for
    their own record of the slot instead, if they keep one (`own_memory.py`); memory_s: how long that takes. at_baud:
    usual speeds above the line's own → sweep_s. lines_needed: over so many lines the meters would fit. delays_s: by
    meter, request's end to reply's begin as measured.
    """
    interval_s = config["settings"]["interval_s"]
    window_s = 2 * max(MEASURED_S, MEASURED_PART * interval_s)
    questions = Questions(config, delays_s)
    predictions = []
    on_line = by_line(config["meters"])
    for line in config["lines"]:
        meters = on_line[line["id"]]
        sweep_s = sum(questions.seconds(meter) for meter in meters)
        looks_s = sum(questions.seconds(meter, looks=True) for meter in meters)
        apart_s = sweep_s + (sweep_s - looks_s)  # with a confirmation before the window as well
        in_passes = looks_s <= window_s and apart_s <= PASSES_PART * interval_s
        exact = sweep_s <= window_s or in_passes
        turns_s = [] if exact else questions.memories(meters, interval_s)
        faster = [baud for baud in USUAL_BAUDS if any(baud > meter["baud"] for meter in meters)]
        at_baud = {str(baud): round(sum(questions.seconds(meter, baud) for meter in meters), 2) for baud in faster}
        predictions.append(
            {
                "id": line["id"],
                "sweep_s": round(sweep_s, 2),
                "looks_s": round(looks_s, 2),
                "fits": sweep_s <= USABLE * interval_s,
                "exact": exact,
                "window_s": window_s,
                "meters": len(meters),
                "memory_meters": len(turns_s),
                "memory_s": round(sum(turns_s), 2),
                "at_baud": at_baud,
                "lines_needed": max(1, math.ceil(sweep_s / (USABLE * interval_s))),
            }
        )
    return predictions


class Questions:
    """What each meter of a configuration is asked for a settlement read, worked out once for meters that are alike."""

    def __init__(self, config: Mapping[str, Any], delays_s: Mapping[str, float] | None = None) -> None:
        self._delays_s = delays_s or {}
        self._directions = directions(config["points"])
        self._data = {model["id"]: model["data"] for model in config["models"]}
        self._models: dict[str, MeterModel] = {}
        self._known: dict[tuple[Any, ...], tuple[list[Traffic], list[Traffic]]] = {}

    def of(self, meter: Mapping[str, Any]) -> tuple[list[Traffic], list[Traffic]]:
        """A look and its confirmation."""
        needed, wished = self._directions[meter["id"]]
        protocol, name = meter["protocol"], meter["model"]
        alike = protocol, name, needed, wished
        if alike not in self._known:
            if protocol == "modbus":
                self._known[alike] = _modbus(self._model(name), needed, wished)
            else:
                self._known[alike] = _dlt645(meter, needed | wished, self._data.get(name) or {})
        return self._known[alike]

    def seconds(self, meter: Mapping[str, Any], baud: int | None = None, *, looks: bool = False) -> float:
        """One settlement read, with its confirmation unless `looks`, at the meter's own speed or at least at `baud`."""
        settings = Settings.parse(max(meter["baud"], baud or 0), meter["framing"])
        look, confirmation = self.of(meter)
        delay_s = self._delays_s.get(meter["id"])
        return sum(exchange.seconds(settings, delay_s) for exchange in (look if looks else look + confirmation))

    def memories(self, meters: Iterable[Mapping[str, Any]], interval_s: int) -> list[float]:
        """Seconds for each meter whose own memory can be asked for a slot, of as many as there is time for.

        None where 1 % of the interval leaves a meter's clock no more than what it does not show.
        """
        turns_s: list[float] = []
        if MEASURED_PART * interval_s <= 2 * CLOCK_SHOWS_S:
            return turns_s
        for meter in meters:
            if meter["protocol"] == "dlt645-2007":
                settings, delay_s = Settings.parse(meter["baud"], meter["framing"]), self._delays_s.get(meter["id"])
                asked = _memory(meter, self._data.get(meter["model"]) or {})
                turns_s.append(sum(exchange.seconds(settings, delay_s) for exchange in asked))
        while sum(turns_s) > MEMORY_PART * interval_s:
            turns_s.pop()
        return turns_s

    def _model(self, name: str) -> MeterModel:
        if name not in self._models:
            self._models[name] = parse(self._data.get(name) or {})
        return self._models[name]


def _dlt645(
    meter: Mapping[str, Any], wanted: frozenset[str], model: Mapping[str, Any]
) -> tuple[list[Traffic], list[Traffic]]:
    edition = meter["protocol"].removeprefix("dlt645-")
    manners = _manners(model)

    def traffic(di: str) -> Traffic:
        return _traffic(read(edition, meter["address"], di, manners))

    asked = [REGISTERS[edition][name] for name in sorted(wanted & REGISTERS[edition].keys())]
    return [traffic(block) for block, _ in asked], [traffic(single) for _, single in asked]


def _memory(meter: Mapping[str, Any], model: Mapping[str, Any]) -> list[Traffic]:
    """A load record, twice, and the clock."""
    manners = _manners(model)
    record = load_records(meter["address"], ENERGY_CLASS, since="2000-01-01 00:00", manners=manners)
    clock = read("2007", meter["address"], CLOCK["2007"][1], manners)
    return [_traffic(record, OVERHEAD + RECORD_BYTES)] * 2 + [_traffic(clock)]


def _manners(model: Mapping[str, Any]) -> Manners:
    return Manners(wake=int(model.get("wake", Manners().wake)))


def _traffic(exchange: Exchange, reply_bytes: int = 0) -> Traffic:
    preamble = len(exchange.preamble) + REPLY_WAKE
    reply = reply_bytes or exchange.reply_bytes
    return Traffic(len(exchange.request), reply, preamble, exchange.quiet_before_s, 0, DLT645_DELAY_S)


def _modbus(model: MeterModel, needed: frozenset[str], wished: frozenset[str]) -> tuple[list[Traffic], list[Traffic]]:
    offered = model.settlement
    names = (needed | wished | {name for name in offered if name.startswith("import_t")}) & offered.keys()
    blocks = [offered[name].block for name in sorted(names)]
    first = plan(blocks, lambda block: block in blocks or model.may_read(block))
    # the second look asks in other shapes: at worst one value at a time
    return [_registers(block, model) for block in first], [_registers(block, model) for block in blocks]


def _registers(block: Block, model: MeterModel) -> Traffic:
    return Traffic(RTU_REQUEST, RTU_REPLY + 2 * block.size, 0, model.min_gap_ms / 1000, 3.5, MODBUS_DELAY_S)
