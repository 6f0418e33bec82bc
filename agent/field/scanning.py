"""Finds the meters of a bus: asks what `search.py` says, splits collisions, settles who answered, names models.

Listens before it speaks, and stops as soon as another master is heard. All requests are commissioning reads through the
line's gate. Results are kept as they come: a search that is cut short has what it found so far. Prints nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal

from agent.field.identify import Candidate, Text, identify
from agent.field.search import DLT645_WAIT_S, MODBUS_WAIT_S, Search, Step, short_address
from agent.hearing import Dlt645Ear, Heard, RtuEar
from drivers.dlt645.frame import WILDCARD, Frame, decode
from drivers.dlt645.identifiers import decode_1997, decode_2007
from drivers.dlt645.meter import Dlt645Meter
from drivers.dlt645.plan import REGISTERS
from drivers.dlt645.requests import Manners, read, read_address
from drivers.errors import ForbiddenRequest, Garbled, LineError, MeterError, PortGone, Silent
from drivers.exchange import Answer, Exchange, ReplyReader
from drivers.line import Line
from drivers.modbus.adu import RTU_REPLY_BYTES, encode_rtu, read_request
from drivers.modbus.model import MeterModel
from drivers.ports import Port, Settings

LOOKS = 3  # at what was garbled: noise comes and goes, a collision stays
TWICE = 2
FIRST_BYTE_S = 0.02  # Td at least
PROBE = (0, 2)  # address, registers: what a unit is asked to see whether it exists
SOMEBODY_TALKS = 6  # bytes without being asked: more than a plug or a lamp makes


class OtherMaster(Exception):
    """Somebody else asks on this bus. `request`: what was heard, hex, or empty."""

    def __init__(self, request: str) -> None:
        super().__init__(request)
        self.request = request


@dataclass(slots=True)
class Found:
    """One meter that answered.

    count: 2 if at least two answer to this address or unit at this speed. register: kWh as its display shows. model: as
    configurations name it, None if nothing fits. others: models that fit as well. certain: its identity said so.
    """

    protocol: str
    address: str | None
    unit: int | None
    settings: Settings
    count: int = 1
    model: str | None = None
    certain: bool = False
    others: tuple[str, ...] = ()
    evidence: list[Text] = field(default_factory=list)
    register: Decimal | None = None
    serial: str | None = None
    room: str | None = None  # from a list of labels
    multiplier: str | None = None

    @property
    def name(self) -> str:
        return self.address or f"unit {self.unit}"


Tell = Callable[[Step | Found], None]


class _Counted:
    """A meter's bus whose exchanges count as questions of the search."""

    def __init__(self, scanner: Scanner, settings: Settings) -> None:
        self._scanner, self._settings = scanner, settings

    async def exchange(self, exchange: Exchange) -> Answer:
        scanner, settings = self._scanner, self._settings
        scanner.questions += 1
        scanner.minimum_s += settings.seconds(len(exchange.preamble) + len(exchange.request))
        try:
            answer = await scanner.line.exchange(exchange, settings)
        except LineError:
            scanner.minimum_s += exchange.reply_timeout_s
            raise
        scanner.minimum_s += FIRST_BYTE_S + settings.seconds(len(answer.reply))
        return answer


@dataclass(slots=True)
class Scanner:
    """One search on one open line. minimum_s: what the same questions take on an ideal line: each request's and
    answer's bytes, 20 ms before an answer, the whole wait for a silence. unsplit: collisions whose meters do not answer
    to shortened addresses: their labels must be read. unasked: addresses that the gate refused."""

    line: Line
    search: Search
    models: Iterable[MeterModel]
    tell: Tell = lambda what: None
    found: list[Found] = field(default_factory=list)
    questions: int = 0
    minimum_s: float = 0.0
    unasked: list[str] = field(default_factory=list)
    unsplit: list[Step] = field(default_factory=list)

    async def run(self) -> None:
        """Raises OtherMaster, PortGone."""
        while (step := self.search.next()) is not None:
            self.tell(step)
            if step.kind == "wildcard":
                await self._wildcard(step)
            elif step.kind == "split":
                await self._split(step)
            else:
                await self._units(step)

    # DL/T 645

    async def _wildcard(self, step: Step) -> None:
        await self._heard_at(step, "")

    async def _split(self, step: Step) -> None:
        heard = [await self._heard_at(step, pair + step.suffix) for pair in step.pairs]
        if not any(heard) and not step.suffix:
            self.unsplit.append(step)

    async def _heard_at(self, step: Step, suffix: str) -> bool:
        """Asks one short address and settles what answers; whether anything did."""
        address = short_address(suffix)
        dirty, clean = 0, 0
        names: list[str] = []
        for _ in range(LOOKS):
            heard = await self._ask(step.protocol, step.settings, address)
            names += [frame.address for frame in heard.replies if frame.address not in names]
            if heard.silent and not names:
                clean += 1
                if not dirty:
                    return False
                continue
            if not heard.is_dirty:
                clean += 1
            else:
                dirty += 1
            if clean and not dirty:
                break
            if dirty >= TWICE or clean >= TWICE:
                break
        if dirty >= TWICE and self.search.collided(step, suffix):
            return True
        if dirty >= TWICE:
            names.append(address)
        for name in dict.fromkeys(names):
            await self._settle(step, name, collided=dirty >= TWICE)
        return True

    async def _settle(self, step: Step, address: str, *, collided: bool) -> None:
        """A meter by its full address: one or two, what it reads, its serial."""
        if any(
            one.address == address and one.settings.baud == step.settings.baud
            for one in self.found
            if one.protocol == step.protocol or one.protocol == "dlt645-2007"
        ):
            return
        if address.startswith("AA"):
            own = await self._own_number(step, address)
            if own is None:
                return
            address = own
        edition = step.protocol.removeprefix("dlt645-")
        meter = Found(step.protocol, address, None, step.settings, model=step.protocol, certain=True)
        several = 0
        for _ in range(LOOKS):
            heard = await self._ask(step.protocol, step.settings, address, di=REGISTERS[edition]["import"][1])
            own_replies = [frame for frame in heard.replies if frame.address == address]
            for frame in own_replies:
                meter.register = meter.register if frame.is_error else _total(edition, frame)
            if heard.is_dirty or len(own_replies) > 1:
                several += 1
            elif own_replies:
                break
        if several >= TWICE:
            meter.count = 2
            meter.evidence.append(("同一地址有两个以上应答相撞", "two or more answers to one address collide"))
        else:
            meter.serial = await self._serial(edition, address, step.settings)
        asked = "13H" if step.protocol == "dlt645-2007" else "9010"
        how = f"{asked} {step.settings.baud} {step.settings.framing}"
        meter.evidence.insert(0, (f"应答 {how}", f"answered {how}"))
        self._keep(meter, step)

    async def _own_number(self, step: Step, address: str) -> str | None:
        """The meter number of a meter that answers AA with AA."""
        if step.protocol != "dlt645-1997":
            return None
        heard = await self._ask(step.protocol, step.settings, address, di="C032")
        numbers = {frame.data[2:8][::-1].hex() for frame in heard.replies if len(frame.data) == 8}
        return numbers.pop() if len(numbers) == 1 and all(number.isdigit() for number in numbers) else None

    async def _serial(self, edition: str, address: str, settings: Settings) -> str | None:
        meter = Dlt645Meter(address, address, edition, _Counted(self, settings), frozenset({"import"}))
        try:
            serial = await meter.serial()
        except PortGone:
            raise
        except (LineError, MeterError):
            return None
        return None if serial is None or not serial.strip("0") else serial

    async def _ask(self, protocol: str, settings: Settings, address: str, *, di: str = "") -> Heard:
        """One question heard out: 13H to AA…AA (2007), for every other address a read, of the import total if no DI."""
        manners = Manners(reply_timeout_s=DLT645_WAIT_S)
        edition = protocol.removeprefix("dlt645-")
        if not di and edition == "2007" and address == WILDCARD:
            exchange = read_address(manners)
        else:
            code = di or REGISTERS[edition]["import"][1]
            exchange = read(edition, address, code, manners, commissioning=True)
        ears: list[Dlt645Ear] = []

        def ear() -> ReplyReader:
            ears.append(Dlt645Ear(decode(exchange.request)))
            return ears[-1]

        await self._hear_out(exchange, settings, ear)
        heard = ears[0].heard()
        if heard.masters:
            raise OtherMaster(heard.masters[0].hex())
        wait_s = DLT645_WAIT_S if heard.silent else FIRST_BYTE_S + settings.seconds(heard.characters)
        self.minimum_s += settings.seconds(len(exchange.preamble) + len(exchange.request)) + wait_s
        return heard

    async def _hear_out(self, exchange: Exchange, settings: Settings, reader: Callable[[], ReplyReader]) -> None:
        self.questions += 1
        deaf = Exchange(
            exchange.protocol,
            exchange.request,
            reader,
            preamble=exchange.preamble,
            reply_bytes=exchange.reply_bytes,
            reply_timeout_s=exchange.reply_timeout_s,
            quiet_before_s=exchange.quiet_before_s,
            commissioning=True,
        )
        try:
            await self.line.exchange(deaf, settings)
        except Silent:
            return
        except Garbled as error:
            if not error.frame:
                raise OtherMaster("") from error  # the bus never fell silent
        except ForbiddenRequest:
            self.unasked.append(exchange.request.hex())
            reader()

    # Modbus

    async def _units(self, step: Step) -> None:
        for unit in step.units:
            if any(one.unit == unit and one.settings.baud == step.settings.baud for one in self.found):
                continue
            several, answered = 0, False
            for _ in range(LOOKS):
                heard = await self._probe(unit, step)
                for late in {said for said, _ in heard.rtu} - {unit}:
                    await self._name(late, step, 1)  # answered after its own question was given up
                own = [pdu for said, pdu in heard.rtu if said == unit]
                answered = answered or bool(own)
                if heard.is_dirty or len(own) > 1:
                    several += 1
                else:
                    break
            if answered or several >= TWICE:
                await self._name(unit, step, 2 if several >= TWICE else 1)

    async def _probe(self, unit: int, step: Step) -> Heard:
        request = encode_rtu(unit, read_request(step.function, *PROBE))
        ears: list[RtuEar] = []

        def ear() -> ReplyReader:
            ears.append(RtuEar(request))
            return ears[-1]

        exchange = Exchange(
            "modbus-rtu",
            request,
            ear,
            reply_bytes=RTU_REPLY_BYTES + 2 * PROBE[1],
            reply_timeout_s=MODBUS_WAIT_S,
            quiet_before_s=max(step.settings.seconds(3.5), 0.00175),
        )
        await self._hear_out(exchange, step.settings, ear)
        heard = ears[0].heard()
        if heard.masters:
            raise OtherMaster(heard.masters[0].hex())
        wait_s = MODBUS_WAIT_S if heard.silent else FIRST_BYTE_S + step.settings.seconds(heard.characters)
        self.minimum_s += step.settings.seconds(len(request)) + wait_s
        return heard

    async def _name(self, unit: int, step: Step, count: int) -> None:
        if any(one.unit == unit and one.settings.baud == step.settings.baud for one in self.found):
            return
        meter = Found("modbus", None, unit, step.settings, count=count)
        settings = step.settings
        if count > 1:
            meter.evidence.append(("同一站号有两个以上应答相撞", "two or more answers to one unit collide"))
        else:
            fitting = await identify(unit, _Counted(self, settings), self.models, char_s=settings.seconds(1))
            _name_model(meter, fitting)
        how = f"03H/04H {settings.baud} {settings.framing}"
        meter.evidence.insert(0, (f"应答 {how}", f"answered {how}"))
        self._keep(meter, step)

    def _keep(self, meter: Found, step: Step) -> None:
        self.found.append(meter)
        self.search.found(step.protocol, step.settings, meter.address or "")
        self.tell(meter)


def _total(edition: str, frame: Frame) -> Decimal | None:
    di = REGISTERS[edition]["import"][1]
    data = frame.data[len(di) // 2 :]
    values = decode_1997(di, data) if edition == "1997" else decode_2007(di, data)
    value = values[0].value if values else None
    return value if isinstance(value, Decimal) else None


def _name_model(meter: Found, fitting: list[Candidate]) -> None:
    if not fitting:
        return
    best = fitting[0]
    meter.model, meter.certain = best.model.id, best.certain
    meter.register, meter.serial = best.total, best.serial
    meter.evidence += best.evidence
    meter.others = tuple(one.model.id for one in fitting[1:] if one.score == best.score)


async def listen_first(port: Port, settings: Settings, seconds: float) -> None:
    """Opens the port, says nothing for so long, closes it. Raises OtherMaster if somebody talks, PortGone.

    At a wrong speed traffic is rubbish, but it is traffic: one speed is enough.
    """
    await port.open(settings)
    ear = Dlt645Ear(Frame("9" * 12, 0))
    count = 0
    try:
        async with asyncio.timeout(seconds):
            while True:
                chunk = await port.read()
                count += len(chunk.data) + chunk.damaged
                ear.feed(chunk.data)
    except TimeoutError:
        pass
    finally:
        await port.close()
    heard = ear.heard()
    if count >= SOMEBODY_TALKS:
        raise OtherMaster((heard.masters[0] if heard.masters else b"").hex())
