"""Examines a line: listens, asks every meter some rounds, tries silent ones otherwise, reads what meters tell.

    listen | round 1: m-1 m-2 … | round 2 … | trials for those that never answered | content of those that did

Gathers what was seen (`seen.py`) for `diagnosis.py` and concludes nothing. Requests beyond a configured meter's own
are commissioning reads; the agent must be stopped, since a line has one owner.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

from agent.field.search import BAUDS, FRAMINGS, short_address
from agent.field.seen import LineEvidence, MeterEvidence
from agent.hearing import Dlt645Ear, Heard, RtuEar
from agent.meters import METER_PROTOCOLS, build_meter
from contract.grid import parse_utc_offset
from drivers.clock import Clock
from drivers.dlt645.frame import Frame, decode
from drivers.dlt645.plan import REGISTERS
from drivers.dlt645.requests import Manners, read
from drivers.errors import DriverError, Garbled, LineError, MeterError, PortGone, Refused, Silent, Unexpected
from drivers.exchange import Answer, Exchange, Noticed, ReplyReader
from drivers.line import Line
from drivers.meter import Look, Meter
from drivers.modbus.adu import RTU_REPLY_BYTES, encode_rtu, read_request
from drivers.modbus.meter import ModbusMeter
from drivers.ports import Port, Settings
from drivers.quantities import RegisterValue

ROUNDS = 5
PREAMBLE = b"\xfe" * 4
LISTEN_S = 3.0
QUIET_S = 3.0  # after this a late answer to an earlier question has come
TRIAL_WAIT_S = 0.5
MODBUS_TRIAL_WAIT_S = 0.3
WINDOW_S = 4.0  # long enough for two meters that answer one after the other, and for one that is late
HEARD_OUT = 3
TAILS = (8, 6)  # digits by which a meter is looked for whose address has other high digits
SECOND_MODBUS_PROBE = (0, 1)
EVENT_COUNTS = {"03300D00": "cover_open", "03300E00": "terminal_open"}
RATIO_DI = {"ct": "04000306", "pt": "04000307"}
NO_RATIO = "1/1"
RATIO_TOLERANCE = Decimal("0.005")

Tell = Callable[[str, str], None]  # what is being done (a word), for which meter or line


class ExaminedLine(Line):
    """A line that writes down what became of each exchange of its `patient`, and asks it as if new to it:
    whole wait, whole preamble, or what the agent learnt to shorten would be taken for a fault."""

    patient: MeterEvidence | None = None
    timeout_s: float = 0.0

    async def exchange(self, exchange: Exchange, settings: Settings | None = None) -> Answer:
        before = replace(self.statistics.noticed)
        if self.patient is not None:
            exchange = replace(exchange, reply_timeout_s=max(exchange.reply_timeout_s, self.timeout_s))
            if exchange.protocol.startswith("dlt645"):
                exchange = replace(exchange, preamble=PREAMBLE)
        try:
            answer = await super().exchange(exchange, settings)
        finally:
            if self.patient is not None:
                for name, count in _since(before, self.statistics.noticed).items():
                    setattr(self.patient, name, getattr(self.patient, name) + count)
        if self.patient is not None:
            self.patient.latencies.append(answer.latency_s)
        return answer


class _Timed:
    """A reader that says when its first byte comes."""

    def __init__(self, reader: Dlt645Ear | RtuEar, first: Callable[[], None]) -> None:
        self.noticed = reader.noticed
        self._reader, self._first = reader, first

    def feed(self, data: bytes) -> bytes | None:
        self._first()
        return self._reader.feed(data)

    def damage(self) -> None:
        self._first()
        self._reader.damage()


class Examination:
    """One line of a configuration. `port` is opened twice: to listen, then by the line."""

    def __init__(
        self, config: dict[str, Any], entry: dict[str, Any], line: ExaminedLine, port: Port, clock: Clock
    ) -> None:
        self._config, self._line, self._port, self._clock = config, line, port, clock
        self.evidence = LineEvidence(entry["id"])
        self._configured = [
            m for m in config["meters"] if m["line"] == entry["id"] and m["protocol"] in METER_PROTOCOLS
        ]
        self._settings = {
            meter["id"]: Settings.parse(meter["baud"] or entry["baud"], meter["framing"] or entry["framing"])
            for meter in self._configured
        }
        self._meters: dict[str, Meter] = {}
        self._last: dict[str, dict[str, Decimal]] = {}
        self._sent_at = self._first_byte_s = 0.0
        for meter in self._configured:
            settings = self._settings[meter["id"]]
            found = MeterEvidence(
                meter["id"], meter["protocol"], meter["address"] or "", settings.baud, settings.framing
            )
            self.evidence.meters.append(found)

    async def run(self, *, rounds: int = ROUNDS, seconds: float = 0.0, tell: Tell = lambda what, whom: None) -> None:
        """At least so many rounds, and on until `seconds` are over. Raises PortGone."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        tell("listen", self.evidence.id)
        await self._listen()
        await self._line.open()
        try:
            self._meters = {one["id"]: build_meter(one, self._config, self._line) for one in self._configured}
            number = 0
            while number < rounds or loop.time() < until:
                number += 1
                for found in self.evidence.meters:
                    tell(f"round {number}", found.id)
                    await self._ask(found)
            for meter, found in zip(self._configured, self.evidence.meters, strict=True):
                await self._closer(meter, found, tell)
        finally:
            await self._line.close()

    async def _closer(self, meter: Mapping[str, Any], found: MeterEvidence, tell: Tell) -> None:
        if found.count("gsp") or found.foreign:
            tell("hear out", found.id)
            await self._hear_out(meter, found)
        if (
            not (found.answered or found.late or found.answered_alone)
            and not found.answering_addresses
            and "g" not in found.history
        ):
            tell("try other settings", found.id)
            await self._try_otherwise(meter, found)
        if "." in found.history:
            tell("ask what it says of itself", found.id)
            await self._content(meter, found)

    async def _listen(self) -> None:
        await self._port.open(self._line.settings)
        ear = Dlt645Ear(Frame("9" * 12, 0))
        try:
            async with asyncio.timeout(LISTEN_S):
                while True:
                    chunk = await self._port.read()
                    self.evidence.spontaneous += len(chunk.data) + chunk.damaged
                    ear.feed(chunk.data)
        except TimeoutError:
            pass
        finally:
            await self._port.close()
        self.evidence.masters = tuple(raw.hex() for raw in ear.heard().masters)

    async def _ask(self, found: MeterEvidence) -> None:
        """One settlement read with its confirmation; a letter of history each round."""
        meter, self._line.patient = self._meters[found.id], found
        self._line.timeout_s = self._timeout_s(next(one for one in self._configured if one["id"] == found.id))
        busy_s = self._line.statistics.busy_s
        first: Look | None = None
        try:
            first = await meter.look()
            second = await meter.look(second=True)
        except PortGone:
            raise
        except DriverError as error:
            letter = self._letter(found, error)
            found.history += "p" if first is not None and letter == "s" else letter
            return
        finally:
            self._line.patient = None
        found.history += "."
        found.busy_s = self._line.statistics.busy_s - busy_s
        before = self._last.get(found.id, {})
        for now in (first.registers, second.registers):
            for name in before.keys() & now.keys():
                if now[name] < before[name]:
                    found.fell = (f"{before[name]:f}", f"{now[name]:f}")
            before = now
        self._last[found.id] = before

    def _letter(self, found: MeterEvidence, error: DriverError) -> str:
        if isinstance(error, Refused):
            found.refusal = str(error)
            return "r"
        if isinstance(error, Unexpected | MeterError):
            found.invalid = str(error)
            return "u"
        if isinstance(error, Garbled) and not error.frame:
            self.evidence.never_silent += 1
        return "s" if isinstance(error, Silent) else "g"

    # what is asked beyond the meter's own questions

    async def _hear_out(self, meter: Mapping[str, Any], found: MeterEvidence) -> None:
        """The same question some times, listening to the end: one voice, two, or rubbish."""
        settings = self._settings[found.id]
        for _ in range(HEARD_OUT):
            await self._clock.sleep(QUIET_S)
            heard = await self._say(meter, settings, wait_s=WINDOW_S)
            found.heard_out += 1
            if heard.masters:  # what else came may have been meant for them
                self.evidence.masters += tuple(raw.hex() for raw in heard.masters)
                continue
            if self._first_byte_s > self._timeout_s(meter) and (heard.replies or heard.rtu):
                found.late += 1
                found.latencies.append(self._first_byte_s)
            found.collided += heard.is_dirty
            own = [frame for frame in heard.replies if frame.address == found.address]
            units = [pdu for unit, pdu in heard.rtu if unit == meter["unit"]]
            found.answered_alone += len(own) + len(units) == 1 and not heard.is_dirty
            found.replies_in_one_window = max(found.replies_in_one_window, len(own), len(units))
            found.replies_differ |= len({frame.raw for frame in own} | set(units)) > 1
            others = [frame.address for frame in heard.replies if frame.address != found.address]
            others += [f"unit {unit}" for unit, _ in heard.rtu if unit != meter["unit"]]
            found.answering_addresses = (*found.answering_addresses, *others)

    async def _try_otherwise(self, meter: Mapping[str, Any], found: MeterEvidence) -> None:
        """Other speeds, framings and editions; other high digits of the address."""
        if found.address:
            configured = {str(one["address"]) for one in self._config["meters"]}
            for tail in TAILS:
                short = short_address(found.address[-tail:])
                heard = await self._say(meter, self._settings[found.id], wait_s=TRIAL_WAIT_S, address=short)
                strangers = [frame.address for frame in heard.replies if frame.address not in configured]
                if strangers:
                    found.full_addresses = tuple(strangers)
                    return
        for protocol, settings in self._trials(found):
            heard = await self._say({**meter, "protocol": protocol}, settings, wait_s=_wait_s(protocol))
            if any(frame.address == found.address for frame in heard.replies) or any(
                unit == meter["unit"] for unit, _ in heard.rtu
            ):
                found.elsewhere = (settings.baud, settings.framing, protocol)
                return

    def _trials(self, found: MeterEvidence) -> list[tuple[str, Settings]]:
        protocols = ["modbus"] if found.protocol == "modbus" else ["dlt645-2007", "dlt645-1997"]
        protocols.sort(key=lambda protocol: protocol != found.protocol)
        return [
            (protocol, Settings.parse(baud, framing))
            for protocol in protocols
            for framing in FRAMINGS[protocol]
            for baud in BAUDS[protocol]
            if (protocol, baud, framing) != (found.protocol, found.baud, found.framing)
        ]

    async def _say(
        self, meter: Mapping[str, Any], settings: Settings, *, wait_s: float, address: str | None = None
    ) -> Heard:
        """One read of the import total (or of a register), heard out."""
        ears: list[Dlt645Ear | RtuEar] = []
        if meter["protocol"] == "modbus":
            request = encode_rtu(int(meter["unit"]), read_request(3, *SECOND_MODBUS_PROBE))
            exchange = Exchange("modbus-rtu", request, lambda: RtuEar(request), reply_bytes=RTU_REPLY_BYTES + 2)
        else:
            edition = meter["protocol"].removeprefix("dlt645-")
            di = REGISTERS[edition]["import"][1]
            exchange = read(edition, address or str(meter["address"]), di, Manners(), commissioning=address is not None)

        def ear() -> ReplyReader:
            is_modbus = meter["protocol"] == "modbus"
            ears.append(RtuEar(exchange.request) if is_modbus else Dlt645Ear(decode(exchange.request)))
            return _Timed(ears[-1], self._hear_first)

        wire_s = settings.seconds(len(exchange.preamble) + len(exchange.request))
        self._first_byte_s, self._sent_at = 0.0, asyncio.get_running_loop().time() + wire_s
        try:
            await self._line.exchange(replace(exchange, reader=ear, reply_timeout_s=wait_s), settings)
        except (Silent, Garbled):
            pass
        return ears[0].heard() if ears else Heard()

    def _hear_first(self) -> None:
        if not self._first_byte_s:
            self._first_byte_s = asyncio.get_running_loop().time() - self._sent_at

    def _timeout_s(self, meter: Mapping[str, Any]) -> float:
        """How long the agent waits for this meter, by its model."""
        data = self._model(meter)
        if meter["protocol"] == "modbus":
            return int(data.get("reply_timeout_ms", 1000)) / 1000
        return float(data.get("reply_timeout_s", Manners().reply_timeout_s))

    def _model(self, meter: Mapping[str, Any]) -> Mapping[str, Any]:
        return next((one["data"] for one in self._config["models"] if one["id"] == meter["model"]), {})

    async def _content(self, meter: Mapping[str, Any], found: MeterEvidence) -> None:
        """Clock, serial, ratios, phases, covers: each on its own, since meters lack some."""
        driver = self._meters[found.id]
        clock = await _or_none(driver.clock())
        if clock is not None:
            found.clock_off_s = self._clock_off_s(clock)
        said = await _or_none(driver.serial())
        if said and meter["serial"] and said.lstrip("0") != str(meter["serial"]).lstrip("0"):
            found.serial = (str(meter["serial"]), said)
        found.ratios = [
            (kind, meter[kind] or "", f"{ratio:f}")
            for kind, ratio in (await self._ratios(driver, found)).items()
            if (meter[kind] or self._model(meter).get("values", "secondary") == "secondary")
            and abs(ratio - _ratio(str(meter[kind] or NO_RATIO))) > RATIO_TOLERANCE
        ]
        for value in await _or_none(driver.telemetry()) or []:
            name, _, phase = value.name.rpartition("_")
            kinds = {"voltage": found.voltages, "current": found.currents, "power": found.powers}
            if phase in ("a", "b", "c") and name in kinds and isinstance(value.value, Decimal):
                kinds[name][phase] = value.value
        if found.protocol == "dlt645-2007":
            for di, name in EVENT_COUNTS.items():
                times = _whole(await _or_none(driver.read_item(di)))
                if times:
                    found.opened.append((name, times))

    async def _ratios(self, driver: Meter, found: MeterEvidence) -> dict[str, Decimal]:
        if isinstance(driver, ModbusMeter):
            return await _or_none(driver.ratios()) or {}
        if found.protocol != "dlt645-2007":
            return {}
        said = {kind: _whole(await _or_none(driver.read_item(di))) for kind, di in RATIO_DI.items()}
        return {kind: Decimal(number) for kind, number in said.items() if number}

    def _clock_off_s(self, said: str) -> int:
        zone = timezone(timedelta(seconds=parse_utc_offset(self._config["settings"]["utc_offset"])))
        shown = datetime.fromisoformat(said).replace(tzinfo=zone)
        return round(shown.timestamp() - self._clock.wall_ms() / 1000)


def _wait_s(protocol: str) -> float:
    return MODBUS_TRIAL_WAIT_S if protocol == "modbus" else TRIAL_WAIT_S


async def _or_none(question: Any) -> Any:
    """What a meter says, None where it does not."""
    try:
        return await question
    except PortGone:
        raise
    except (LineError, MeterError):
        return None


def _whole(said: tuple[list[RegisterValue], Answer] | None) -> int | None:
    """The number in an answer to one item."""
    if said is None or not said[0] or not isinstance(said[0][0].value, Decimal):
        return None
    return int(said[0][0].value)


def _ratio(text: str) -> Decimal:
    primary, secondary = text.split("/")
    return Decimal(primary) / Decimal(secondary)


def _since(before: Noticed, now: Noticed) -> dict[str, int]:
    return {one.name: getattr(now, one.name) - getattr(before, one.name) for one in fields(Noticed)}
