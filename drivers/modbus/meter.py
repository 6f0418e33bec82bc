"""One Modbus meter on a bus: which requests to make for what, and what the answers are worth.

    look            [import t1 t2 t3 t4 | export]    one block, tariffs along with their total where they adjoin
    second look     [import]                         the same registers in requests of other lengths

A reply on a serial line does not say which registers it carries: a late answer to another question passes every check
of the frame. It has the length of *its* question though, so a second look asks in lengths that the first did not use,
and after a failed request another one of the same length is avoided. Waiting for a quiet line is the line's part.
What a meter refuses as illegal address or count is asked in smaller blocks from then on.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from drivers.errors import Refused, Unexpected
from drivers.exchange import Answer, Exchange
from drivers.meter import Bus, Look
from drivers.modbus import adu
from drivers.modbus.model import MeterModel, Register
from drivers.modbus.plan import Block, plan
from drivers.modbus.registers import ORDERS, WORDS, Form, decode, decode_text
from drivers.modbus.replies import RtuReply, TcpReply
from drivers.quantities import RegisterValue

ILLEGAL_ADDRESS, ILLEGAL_VALUE = 2, 3  # a block that holds a missing register, a block that is too long
SILENT_CHARACTERS = 3.5  # between frames; MODBUS over Serial Line V1.02, 2.5.1.1
SILENCE_ABOVE_19200_S = 0.00175  # a fixed value at higher speeds; same clause
SLOW_CHARACTER_S = 0.0004  # 9 bits at 19200 take 0.47 ms, 12 bits at 38400 take 0.31 ms
MOST_PLANS = 256  # of a model: a handful, unless its meters refuse one thing after another, each another one
NEIGHBOURS = 4  # so many listed registers to each side are looked at for another shape


def quiet_before_s(char_s: float, min_gap_ms: int = 0) -> float:
    """Silence before a request on a serial line. char_s: time of one character, in seconds."""
    silence_s = SILENT_CHARACTERS * char_s if char_s > SLOW_CHARACTER_S else SILENCE_ABOVE_19200_S
    return max(silence_s, min_gap_ms / 1000)


class ModbusMeter:
    """A `drivers.meter.Meter`. Raises ValueError if the model has no such settlement register.

    unit: 1…247. wanted: names of settlement registers. transport: `rtu` or `tcp`. char_s: time of a character.
    """

    def __init__(
        self,
        id: str,
        unit: int,
        model: MeterModel,
        bus: Bus,
        wanted: frozenset[str],
        *,
        transport: str = "rtu",
        char_s: float = 10 / 9600,
    ) -> None:
        missing = sorted(wanted - model.settlement.keys())
        if missing:
            raise ValueError(f"model {model.id} has no register to settle on named {', '.join(missing)}")
        self.id = id
        self.model = model
        self._unit = unit
        self._bus = bus
        self._wanted = wanted
        self._tcp = transport == "tcp"
        self._quiet_before_s = model.min_gap_ms / 1000 if self._tcp else quiet_before_s(char_s, model.min_gap_ms)
        self._transaction = 0
        self._refused: set[Block] = set()  # single values that the meter does not have
        self._cuts: set[int] = set()  # addresses that no block may reach across: learnt from refusals
        self._failed: Block | None = None  # asked last and not answered: its answer may still come
        self._asked_sizes: frozenset[int] = frozenset()  # of the last first look

    async def look(self, *, second: bool = False) -> Look:
        """Reads the settlement registers that were asked for at construction.

        `second`: in requests of other lengths than the last first look's, where the model allows any. Tariff registers
        that this meter lacks or leaves empty are left out; the totals never are.
        """
        registers, answers = await self._read_settlement(second)
        exchanges = [(answer.request, answer.reply) for answer in answers]
        values: dict[str, Decimal] = {}
        for register in registers:
            try:
                values |= self.model.settlement_values(exchanges, [register.name])
            except Unexpected:
                if not _is_tariff(register.name):
                    raise
        checks = {"address", "length", "identifier" if self._tcp else "checksum"}
        if all(register.form.type.startswith("bcd") for register in registers):
            checks.add("bcd")
        check = self.model.sum_check
        if check and check.total in self._wanted and any(self.model.sum_holds(*exchange) for exchange in exchanges):
            checks.add("tariff_sum")
        return Look(values, answers, frozenset(checks))

    async def telemetry(self) -> list[RegisterValue]:
        """Voltages, currents, powers. What the meter refuses or has no value for is left out."""
        found: dict[str, RegisterValue] = {}
        registers = [register for register in self.model.telemetry.values() if register.block not in self._refused]
        while registers:
            try:
                answers = await self._read(registers)
            except Refused:
                left = [register for register in registers if register.block not in self._refused]
                if len(left) == len(registers):
                    raise  # not for what was asked: busy, failed
                registers = left
                continue
            for register in registers:
                value = _value(register, _words(register.block, answers))
                if value.value is not None:
                    found[register.name] = value
            break
        return [found[name] for name in self.model.telemetry if name in found]

    async def clock(self) -> str | None:
        """The meter's own date and time, None where the model has none."""
        return await self._text(self.model.clock)

    async def serial(self) -> str | None:
        """The serial number that the meter states, None where the model knows no register of it."""
        return await self._text(self.model.serial)

    async def identity(self) -> str | None:
        """What the model's identity register says, as text; None where the model knows none."""
        return await self._text(self.model.identity)

    async def ratios(self) -> dict[str, Decimal]:
        """`ct` and `pt` as the meter has them set, to be compared with the configuration; never applied."""
        registers = list(self.model.ratios.values())
        if not registers:
            return {}
        answers = await self._read(registers)
        values = {register.name: decode(_words(register.block, answers), register.form) for register in registers}
        for kind in ("ct", "pt"):
            primary, secondary = values.pop(f"{kind}_primary", None), values.pop(f"{kind}_secondary", None)
            if primary and secondary:
                values[kind] = primary / secondary
        return values

    async def read_item(self, item: str) -> tuple[list[RegisterValue], Answer]:
        """A register as a person names it: `0x0048` as the model has it, or `0x0048:f32`, `0x0048:u32:little`.

        Without type and unknown to the model it is one unsigned register. Raises Unexpected for another text.
        """
        address, _, rest = item.partition(":")
        type_name, _, order = rest.partition(":")
        try:
            number = int(address, 16 if address.lower().startswith("0x") else 10)
        except ValueError as error:
            raise Unexpected(f"{item!r} is not a register such as 0x0048 or 0x0048:f32") from error
        named = [register for register in self.model.listed if register.address == number and not type_name]
        if not named:
            form = Form(type_name or "u16", order or "big")
            if form.type not in WORDS or form.order not in ORDERS or not 0 <= number <= 0x10000 - form.words:
                raise Unexpected(f"{item!r} is not a register such as 0x0048 or 0x0048:f32")
            named = [Register(f"register_{number}", number, form, "no", "", "one-source")]
        block = max((register.block for register in named), key=lambda block: block.size)
        answer = await self._ask(block)
        return [_value(register, _words(register.block, [answer])) for register in named], answer

    async def _read_settlement(self, second: bool) -> tuple[list[Register], list[Answer]]:
        check = self.model.sum_check
        confirmed = frozenset(check.parts if second and check else ())  # by their sum, with the total that is asked
        wanted = [self.model.settlement[name] for name in sorted(self._wanted - confirmed)]
        while True:
            registers = [one for one in wanted if not _is_tariff(one.name) or one.block not in self._refused]
            known = len(self._refused)
            try:
                return registers, await self._read(registers, second=second)
            except Refused:
                if len(self._refused) == known or any(
                    one.block in self._refused for one in registers if not _is_tariff(one.name)
                ):
                    raise

    async def _text(self, register: Register | None) -> str | None:
        if register is None:
            return None
        return decode_text(_words(register.block, [await self._ask(register.block)]), register.form)

    async def _read(self, registers: list[Register], *, second: bool = False) -> list[Answer]:
        """Reads them all in as few bytes as the meter allows; a refused block is cut and remembered.

        Raises Refused once a single value is refused, or for another reason than its address or length.
        """
        while True:
            blocks = self._planned(registers, second=second)
            answers: list[Answer] = []
            for block in blocks:
                try:
                    answers.append(await self._ask(block))
                except Refused as refused:
                    if refused.code not in (ILLEGAL_ADDRESS, ILLEGAL_VALUE) or not self._learn(block, registers):
                        raise
                    break
            else:
                if not second:
                    self._asked_sizes = frozenset(_asked(answer).size for answer in answers)
                return answers

    def _planned(self, registers: list[Register], *, second: bool) -> list[Block]:
        """The requests for these registers; worked out once for all meters of the model that refused the same."""
        sizes = self._asked_sizes if second else frozenset[int]()
        names = tuple(register.name for register in registers)
        key = (names, second, sizes, frozenset(self._refused), frozenset(self._cuts))
        plans = self.model.plans
        if key not in plans:
            if len(plans) >= MOST_PLANS:
                plans.clear()
            plans[key] = self._other_shapes(registers) if second else self._plan(registers)
        return plans[key]

    def _plan(self, registers: list[Register]) -> list[Block]:
        wanted = [register.block for register in registers]
        check = self.model.sum_check
        if check and check.total in {register.name for register in registers}:
            whole = [self.model.registers[name].block for name in (check.total, *check.parts)]
            if len(self._cheapest(whole)) == 1:
                return self._cheapest([*wanted, *whole])
        return self._cheapest(wanted)

    def _cheapest(self, wanted: list[Block]) -> list[Block]:
        singles = set(wanted)
        return plan(wanted, lambda block: block in singles or self._may_read(block))

    def _other_shapes(self, registers: list[Register]) -> list[Block]:
        """Blocks for the same registers, of sizes that neither the last first look nor each other have if possible."""
        used = set(self._asked_sizes)
        shapes = []
        for block in self._cheapest([register.block for register in registers]):
            alone = [register.block for register in registers if block.holds(register.block)]
            for part in [block] if self._wider(block, used) else alone:
                shape = self._wider(part, used) or part
                used.add(shape.size)
                shapes.append(shape)
        return shapes

    def _wider(self, block: Block, used: set[int]) -> Block | None:
        """The smallest block around this one, from one listed register's start to another's end, of an unused size."""
        listed = [register.block for register in self.model.listed]
        starts = sorted({one.start for one in listed if one.start <= block.start} | {block.start})[-NEIGHBOURS:]
        ends = sorted({one.end for one in listed if one.end >= block.end} | {block.end})[:NEIGHBOURS]
        shapes = sorted((Block(start, end - start) for start in starts for end in ends), key=lambda one: one.size)
        fits = (one for one in shapes if one.size not in used and (one == block or self._may_read(one)))
        return next(fits, None)

    def _may_read(self, block: Block) -> bool:
        return (
            self.model.may_read(block)
            and not any(block.start < cut < block.end for cut in self._cuts)
            and not any(block.holds(refused) for refused in self._refused)
        )

    def _learn(self, block: Block, registers: list[Register]) -> bool:
        """Remembers that the meter refused a block; False if there is nothing smaller to ask for."""
        if any(register.block.holds(block) for register in registers):
            self._refused.add(block)
            return False
        inside = sorted({register.address for register in self.model.listed if block.holds(register.block)})
        if len(inside) > 1:
            # in the middle, so that one missing register among many is found in few questions
            self._cuts.add(inside[len(inside) // 2])
        else:
            self._refused.add(block)
        return True

    async def _ask(self, block: Block) -> Answer:
        """One request. Raises LineError, Refused, Unexpected."""
        failed = self._failed
        if failed is not None and failed != block and failed.size == block.size:
            other = self._wider(block, {block.size})
            if other is not None:
                try:
                    return await self._send(other)
                except Refused:
                    pass  # the meter has answered, so nothing late is on its way any more
        return await self._send(block)

    async def _send(self, block: Block) -> Answer:
        exchange = self._exchange(block)
        self._failed = block
        answer = await self._bus.exchange(exchange)
        self._failed = None
        adu.registers_in(answer.request, answer.reply)
        return answer

    def _exchange(self, block: Block) -> Exchange:
        pdu = adu.read_request(self.model.function, block.start, block.size)
        timeout_s = self.model.reply_timeout_ms / 1000
        if self._tcp:
            self._transaction = (self._transaction + 1) & 0xFFFF
            request = adu.encode_tcp(self._transaction, self._unit, pdu)
            return Exchange(
                "modbus-tcp",
                request,
                lambda: TcpReply(request),
                reply_bytes=9 + 2 * block.size,
                reply_timeout_s=timeout_s,
                quiet_before_s=self._quiet_before_s,
            )
        request = adu.encode_rtu(self._unit, pdu)
        return Exchange(
            "modbus-rtu",
            request,
            lambda: RtuReply(request),
            reply_bytes=adu.RTU_REPLY_BYTES + 2 * block.size,
            reply_timeout_s=timeout_s,
            quiet_before_s=self._quiet_before_s,
        )


def _is_tariff(name: str) -> bool:
    return "_t" in name


def _asked(answer: Answer) -> Block:
    _, start, words = adu.registers_in(answer.request, answer.reply)
    return Block(start, len(words))


def _words(block: Block, answers: Iterable[Answer]) -> tuple[int, ...]:
    """The registers of one value, from the answer that holds it whole."""
    for answer in answers:
        _, start, words = adu.registers_in(answer.request, answer.reply)
        if Block(start, len(words)).holds(block):
            return words[block.start - start : block.end - start]
    raise Unexpected(f"no answer holds registers {block.start} to {block.end - 1}")


def _value(register: Register, words: tuple[int, ...]) -> RegisterValue:
    """As for people: what cannot be a value stands there as hex."""
    form = register.form
    try:
        value = decode_text(words, form) if form.is_text else decode(words, form)
    except Unexpected:
        sent = b"".join(word.to_bytes(2, "big") for word in words)
        return RegisterValue(register.name, None, form.our_unit, register.item, sent.hex())
    return RegisterValue(register.name, value, form.our_unit, register.item)
