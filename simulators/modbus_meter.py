"""A Modbus meter on the bus, played by its model: the registers of config/meters/*.yaml with values of the truth.

    hear: unit | 3 or 4 | address | count | CRC  →  delay, unit | function | bytes | registers | CRC

Answers its own unit only; exception 1 to other functions, 2 to registers that the model does not list, 3 to a count
that no request may have. Registers are sampled at the instant the request was complete. Wires are the bus's business.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from random import Random
from typing import Any

from drivers.modbus.adu import MAX_COUNT, READ_FUNCTIONS, Request, RequestParser, refusal_of, reply_to
from drivers.modbus.model import MeterModel, Register
from drivers.modbus.plan import Block
from drivers.modbus.registers import encode, encode_text
from simulators.dlt645_meter import Reply
from simulators.household import drawn
from simulators.park import Truth

ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE = 1, 2, 3
ENERGY_STEP = Decimal("0.01")  # kWh that a meter with float registers counts in
SURE_DIGITS = 9  # of a serial number, in two registers
FLOAT_DECIMALS = Decimal("0.0001")
LINE_TO_LINE = Fraction(1732, 1000)


class ModbusMeter:
    """One meter. `delay_s`: bounds of the time to its answer; `transport`: rtu, or tcp behind a gateway."""

    def __init__(
        self,
        truth: Truth,
        meter: dict[str, Any],
        model: MeterModel,
        *,
        delay_s: tuple[float, float] = (0.01, 0.03),
        transport: str = "rtu",
    ) -> None:
        self.id: str = meter["id"]
        self.unit = int(meter["unit"])
        self.baud, self.framing = int(meter["baud"]), str(meter["framing"])
        self.meter, self.model, self.truth = meter, model, truth
        self.delay_s = delay_s
        self._random = Random(drawn(truth.seed, self.id, "delays"))
        self._parser = RequestParser(transport)

    def hear(self, data: bytes, at_ms: int) -> Reply | None:
        """Takes the bytes of a request, complete at `at_ms` (UTC, the truth's time); gives the answer, if any."""
        answer = None
        for request in self._parser.feed(data):
            if request.unit == self.unit:
                answer = self._answer(request, at_ms)
        if answer is None:
            return None
        low, high = self.delay_s
        return Reply(low + (high - low) * self._random.random(), answer)

    def forget(self) -> None:
        """The bus was silent for long, or the bytes were damaged: half a frame is no frame any more."""
        self._parser.damage()

    def _answer(self, request: Request, at_ms: int) -> bytes:
        if request.function not in READ_FUNCTIONS or request.function != self.model.function:
            return refusal_of(request, ILLEGAL_FUNCTION)
        block = Block(request.address, request.quantity)
        if not 1 <= block.size <= MAX_COUNT:
            return refusal_of(request, ILLEGAL_VALUE)
        if block.end > 0x10000 or not self.model.may_read(block):
            return refusal_of(request, ILLEGAL_ADDRESS)
        words = [0] * block.size
        for register, content in self._contents(block, at_ms):
            for at, word in enumerate(content, register.address - block.start):
                if 0 <= at < block.size:
                    words[at] = word
        return reply_to(request, words)

    def _contents(self, block: Block, at_ms: int) -> list[tuple[Register, tuple[int, ...]]]:
        touched = [r for r in self.model.listed if r.address < block.end and block.start < r.block.end]
        if not touched:
            return []
        exact = self.truth.exact(self.id, at_ms)
        live = self.truth.live(self.id, at_ms)
        return [(register, self._words(register, exact, live, at_ms)) for register in touched]

    def _words(
        self, register: Register, exact: dict[str, Fraction], live: dict[str, Decimal], at_ms: int
    ) -> tuple[int, ...]:
        model = self.model
        if register is model.identity and model.identity_expect:
            return encode_text(model.identity_expect[0], register.form)
        if register is model.serial:
            return self._serial(register, at_ms)
        if register is model.clock:
            wrong = self.truth.faults.find("clock", self.id, at_ms)
            shown = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at_ms + self.truth.calendar.offset_ms)
            shown += timedelta(seconds=wrong.amount if wrong else 0)
            return encode_text(shown.strftime("%Y-%m-%d %H:%M:%S"), register.form)
        if register.form.is_text:
            return encode_text("", register.form)
        if register in model.ratios.values():
            return encode(self._stepped(register, self._ratio(register.name, at_ms)), register.form)
        return encode(self._stepped(register, value_of(register.name, exact, live)), register.form)

    def _serial(self, register: Register, at_ms: int) -> tuple[int, ...]:
        """The configured serial number, its digits only where the register holds a number; the unit where none is."""
        serial = str(self.meter["serial"] or self.unit)
        digits = "".join(filter(str.isdigit, serial)) or str(self.unit)
        if self.truth.faults.find("other_serial", self.id, at_ms):
            serial = digits = f"{int(digits) + 1:0{len(digits)}d}"
        if register.form.is_text:
            return encode_text(serial[: 2 * register.form.words], register.form)
        return encode_text(str(int(digits[-SURE_DIGITS:])), register.form)

    def _ratio(self, name: str, at_ms: int) -> Fraction:
        kind, _, side = name.partition("_")
        text = self.meter[kind] or "1/1"
        other = self.truth.faults.find("ct", self.id, at_ms)
        if kind == "ct" and other:
            text = f"{Fraction(str(other.amount)) * Fraction(text.split('/')[1])}/{text.split('/')[1]}"
        primary, secondary = (Fraction(number) for number in text.split("/"))
        return {"": primary / secondary, "primary": primary, "secondary": secondary}[side]

    @staticmethod
    def _stepped(register: Register, value: Fraction) -> Decimal:
        """The value cut to what the register can show, wrapped where it wraps."""
        form = register.form
        step = form.step or (ENERGY_STEP if form.our_unit in ("kWh", "kvarh", "kVAh") else FLOAT_DECIMALS)
        if form.type[0] in "ub":
            value = abs(value)
        shown = int(value / Fraction(step)) * step
        return shown % register.modulus if register.modulus else shown


def value_of(name: str, exact: dict[str, Fraction], live: dict[str, Decimal]) -> Fraction:
    """The truth behind a register's name, in our unit; 0 for what no meter of the park measures."""
    if name in exact:
        return exact[name]
    if name in live:
        return Fraction(live[name])
    quantity, _, phase = name.rpartition("_")
    if quantity == "voltage" and len(phase) == 2 and f"voltage_{phase[0]}" in live:
        return Fraction(live[f"voltage_{phase[0]}"]) * LINE_TO_LINE
    if phase in ("a", "b", "c") and quantity in live and f"voltage_{phase}" in live:
        if quantity == "power_factor":
            return Fraction(live[quantity])
        return Fraction(live[quantity]) / sum(1 for letter in "abc" if f"voltage_{letter}" in live)
    name = {"partial_energy": "import"}.get(name, name.removeprefix("resettable_"))
    if name in exact:
        return exact[name]  # nobody has reset it yet
    base, _, tariff = name.rpartition("_t")
    if name == "total":
        return exact["import"] + exact["export"]
    if base == "total" and f"import_t{tariff}" in exact:
        return exact[f"import_t{tariff}"] + exact[f"export_t{tariff}"]
    return Fraction(0)
