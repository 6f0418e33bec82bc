"""A Modbus meter model: which registers mean what, how they are read, and how well that is known (no I/O).

`parse` turns the data of a `config/meters/*.yaml` file (every scalar text) into a `MeterModel`, or says which key is
wrong. A register that can be reset, clears when read, or adds import and export together is never one to settle on:
`parse` refuses it under a billing name. CT and PT registers are read and compared, never applied.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

from drivers.errors import Unexpected
from drivers.modbus import adu
from drivers.modbus.plan import Block
from drivers.modbus.registers import INVALID_NAMES, ORDERS, UNITS, WORDS, Form, decode
from drivers.quantities import is_billing

SETTLEMENT_NAME = re.compile(r"(import|export)(_t([1-9]|[1-5]\d|6[0-3]))?|reactive_(import|export|q[1-4])")
NAME = re.compile(r"[a-z][a-z0-9_]*")
ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
SETTLE = ("true", "check", "resettable", "combined", "clear-on-read", "no")
EVIDENCE = ("one-source", "agreed", "field-verified")  # weakest first
VALUES = ("primary", "secondary", "as-set")
RATIOS = ("ct", "pt", "ct_primary", "ct_secondary", "pt_primary", "pt_secondary")


class ModelError(ValueError):
    """A model file says something impossible; the message begins with the key."""


@dataclass(frozen=True, slots=True)
class Register:
    """One value of a meter. `address` as on the wire, from 0.

    settle: `true` may be billed; `check` energy to compare with; `resettable`, `combined`, `clear-on-read` energy that
    never is; `no` everything else. modulus: where the register wraps to 0, in our unit, None where it never does.
    """

    name: str
    address: int
    form: Form
    settle: str
    source: str
    evidence: str
    modulus: Decimal | None = None

    @property
    def block(self) -> Block:
        return Block(self.address, self.form.words)

    @property
    def item(self) -> str:
        return f"0x{self.address:04X}"


@dataclass(frozen=True, slots=True)
class SumCheck:
    """The tariff registers `parts` add up to `total`, but for `tolerance` (each is cut to its last digit)."""

    total: str
    parts: tuple[str, ...]
    tolerance: Decimal


@dataclass(frozen=True, slots=True)
class MeterModel:
    """values: `primary` kWh as consumed, `secondary` to be multiplied by CT × PT, `as-set` depends on a setting.

    max_gap: so many registers that the model does not list may be read along between two that it lists. holes: ranges
    that must not be touched. caution: what a person must check before settling, or empty.
    """

    id: str
    also: tuple[str, ...]
    maker: Mapping[str, str]
    name: Mapping[str, str]
    function: int
    max_registers: int
    max_gap: int
    holes: tuple[Block, ...]
    min_gap_ms: int
    reply_timeout_ms: int
    values: str
    registers: Mapping[str, Register]
    ratios: Mapping[str, Register]
    identity: Register | None
    identity_expect: tuple[str, ...]
    serial: Register | None
    clock: Register | None
    sum_check: SumCheck | None
    sources: Mapping[str, str]
    caution: Mapping[str, str]
    # what follows from the above, worked out once: all meters of a model ask it again and again
    settlement: Mapping[str, Register] = field(init=False, compare=False, repr=False)  # those that may be billed
    telemetry: Mapping[str, Register] = field(init=False, compare=False, repr=False)
    listed: Sequence[Register] = field(init=False, compare=False, repr=False)  # all that the model names, by address
    plans: dict[Hashable, list[Block]] = field(init=False, compare=False, repr=False, default_factory=dict)
    _readable: dict[Block, bool] = field(init=False, compare=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        extra = [register for register in (self.identity, self.serial, self.clock) if register]
        everything = [*self.registers.values(), *self.ratios.values(), *extra]
        everything.sort(key=lambda register: (register.address, register.name))
        object.__setattr__(self, "listed", everything)
        for name, settle in (("settlement", "true"), ("telemetry", "no")):
            chosen = {name: register for name, register in self.registers.items() if register.settle == settle}
            object.__setattr__(self, name, chosen)

    def may_read(self, block: Block) -> bool:
        """Whether one request may ask for this block: short enough, no hole, no wide unlisted gap, nothing cleared."""
        readable = self._readable.get(block)
        if readable is None:
            readable = self._readable[block] = self._is_readable(block)
        return readable

    def _is_readable(self, block: Block) -> bool:
        if block.size > self.max_registers or any(_overlap(block, hole) for hole in self.holes):
            return False
        reached = block.start
        for register in self.listed:
            if not _overlap(register.block, block):
                continue
            if register.settle == "clear-on-read" or register.address - reached > self.max_gap:
                return False
            reached = max(reached, register.block.end)
        return block.end - reached <= self.max_gap

    def settlement_values(self, exchanges: Iterable[tuple[bytes, bytes]], names: Collection[str]) -> dict[str, Decimal]:
        """Those of the named settlement registers that lie whole in these recorded (request, reply) frames.

        Raises DriverError as `adu.registers_in` and `registers.decode` do.
        """
        values = {}
        settlement = self.settlement
        for request, reply in exchanges:
            function, start, words = adu.registers_in(request, reply)
            if function != self.function:
                raise Unexpected(f"function {function} does not read the registers of {self.id}", frame=request)
            asked = Block(start, len(words))
            for name in names:
                register = settlement.get(name)
                if register and asked.holds(register.block):
                    offset = register.address - start
                    values[name] = decode(words[offset : offset + register.form.words], register.form)
        return values

    def sum_holds(self, request: bytes, reply: bytes) -> bool:
        """Whether this one exchange has the total and all its tariffs, and they agree.

        One exchange only: over several, instants would be compared that differ.
        """
        check = self.sum_check
        if check is None:
            return False
        names = (check.total, *check.parts)
        try:
            values = self.settlement_values([(request, reply)], names)
        except Unexpected:  # a tariff without a value: nothing to add up
            return False
        if len(values) < len(names):
            return False
        return abs(values[check.total] - sum(values[part] for part in check.parts)) <= check.tolerance


def _overlap(one: Block, other: Block) -> bool:
    return one.start < other.end and other.start < one.end


def parse(data: Mapping[str, Any]) -> MeterModel:
    """The model of one file's data. Raises ModelError, the key first (`registers.import.type: …`)."""
    return _Reader(data).model()


_KEYS = [
    *("id", "also", "protocol", "maker", "name", "function", "addresses", "order", "swap", "max_registers", "max_gap"),
    *("holes", "min_gap_ms", "reply_timeout_ms", "invalid", "values", "line", "registers", "ratios", "identity"),
    *("serial", "clock", "sum_check", "sources", "caution", "seen_on_display"),
]
_REGISTER_KEYS = [
    *("address", "type", "scale", "unit", "order", "swap", "invalid"),
    *("settle", "source", "evidence", "modulus", "note"),
]


class _Reader:
    """Reads keys with their path. `order`, `swap`, `invalid` of the model are the defaults of its registers."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self._data = data

    def model(self) -> MeterModel:
        data = self._data
        _known(data, _KEYS, "")
        if _text(data, "protocol") != "modbus":
            raise ModelError(f"protocol: {data['protocol']!r} is not modbus")
        base = _choice(data, "addresses", ("wire", "manual-1"))
        self._first = 1 if base == "manual-1" else 0
        self._sources = {letter: str(text) for letter, text in _mapping(data, "sources").items()}
        entries = _mapping(data, "registers")
        if not entries:
            raise ModelError("registers: a model needs at least one")
        registers = {name: self._register(f"registers.{name}", name, entry) for name, entry in entries.items()}
        for name, register in registers.items():
            self._check_settlement(f"registers.{name}.settle", register)
        ratios = {
            name: self._register(f"ratios.{name}", name, entry) for name, entry in _mapping(data, "ratios", {}).items()
        }
        for name in ratios:
            if name not in RATIOS:
                raise ModelError(f"ratios.{name}: not one of {', '.join(RATIOS)}")
        identity = self._lone("identity", ("expect",))
        expect = tuple(str(value) for value in data.get("identity", {}).get("expect", ()))
        serial, clock = self._lone("serial"), self._lone("clock")
        if clock and not clock.form.type.startswith("clock"):
            raise ModelError("clock.type: a clock is clock3 or clock3-bcd")
        model_id = _text(data, "id")
        if not ID.fullmatch(model_id):
            raise ModelError(f"id: {model_id!r} is not like chint-dtsu666")
        return MeterModel(
            id=model_id,
            also=tuple(str(one) for one in data.get("also", ())),
            maker=_two_languages(data, "maker"),
            name=_two_languages(data, "name"),
            function=int(_choice(data, "function", ("3", "4"))),
            max_registers=_number(data, "max_registers", "60", 1, adu.MAX_COUNT),
            max_gap=_number(data, "max_gap", "0", 0, adu.MAX_COUNT),
            holes=tuple(self._hole(hole) for hole in data.get("holes", ())),
            min_gap_ms=_number(data, "min_gap_ms", "0", 0, 60_000),
            reply_timeout_ms=_number(data, "reply_timeout_ms", "1000", 1, 60_000),
            values=_choice(data, "values", VALUES),
            registers=registers,
            ratios=ratios,
            identity=identity,
            identity_expect=expect,
            serial=serial,
            clock=clock,
            sum_check=self._sum_check(registers),
            sources=self._sources,
            caution=_two_languages(data, "caution") if "caution" in data else {},
        )

    def _lone(self, key: str, more: tuple[str, ...] = ()) -> Register | None:
        if key not in self._data:
            return None
        return self._register(key, key, {k: v for k, v in _mapping(self._data, key).items() if k not in more})

    def _register(self, key: str, name: str, entry: object) -> Register:
        if not isinstance(entry, Mapping):
            raise ModelError(f"{key}: not a mapping of {', '.join(_REGISTER_KEYS)}")
        _known(entry, _REGISTER_KEYS, f"{key}.")
        if not NAME.fullmatch(name):
            raise ModelError(f"{key}: a name has small letters, digits and _")
        form = self._form(key, entry)
        address = _number(entry, "address", None, self._first, 0xFFFF + self._first, key) - self._first
        if address + form.words > 0x10000:
            raise ModelError(f"{key}.address: {form.type} at {address} ends past the last register")
        source = _text(entry, "source", key)
        for letter in source.split():
            if letter not in self._sources:
                raise ModelError(f"{key}.source: {letter} is not under sources")
        modulus = _decimal(entry, "modulus", key) if "modulus" in entry else form.modulus
        settle = "no" if "settle" not in entry else _choice(entry, "settle", SETTLE, key)
        evidence = _choice(entry, "evidence", EVIDENCE, key)
        return Register(name, address, form, settle, source, evidence, modulus)

    def _form(self, key: str, entry: Mapping[str, Any]) -> Form:
        defaults = {name: self._data[name] for name in ("order", "swap", "invalid") if name in self._data}
        entry = {"order": "big", "swap": "false", "invalid": (), "scale": "1", "unit": "", **defaults, **entry}
        scale = _decimal(entry, "scale", key)
        if scale <= 0:
            raise ModelError(f"{key}.scale: {scale} is not above 0")
        invalid = tuple(str(pattern) for pattern in entry["invalid"])
        for pattern in invalid:
            if pattern not in INVALID_NAMES and not re.fullmatch(r"([0-9A-Fa-f]{4})+", pattern):
                raise ModelError(
                    f"{key}.invalid: {pattern!r} is not one of {', '.join(INVALID_NAMES)} or whole words in hex"
                )
        return Form(
            type=_choice(entry, "type", tuple(WORDS), key),
            order=_choice(entry, "order", ORDERS, key),
            swap=_choice(entry, "swap", ("true", "false"), key) == "true",
            scale=scale,
            unit=_choice(entry, "unit", tuple(UNITS), key),
            invalid=invalid,
        )

    def _check_settlement(self, key: str, register: Register) -> None:
        name, settle = register.name, register.settle
        if is_billing(name) and settle not in ("true", "check"):
            why = "is not marked as energy" if settle == "no" else f"is {settle} and can never be settled on"
            raise ModelError(f"{key}: {name} is a billing name, but the register {why}")
        if settle == "true":
            if not SETTLEMENT_NAME.fullmatch(name):
                raise ModelError(f"{key}: {name} is no settlement register (import, export_t2, reactive_q1, …)")
            unit = "kvarh" if name.startswith("reactive") else "kWh"
            if register.form.our_unit != unit or register.form.is_text:
                raise ModelError(
                    f"{key}: {name} must be a number in {unit}, not {register.form.type} in {register.form.unit!r}"
                )

    def _hole(self, hole: object) -> Block:
        if not isinstance(hole, list) or len(hole) != 2:
            raise ModelError(f"holes: {hole!r} is not a list of first and last address")
        first, last = (_number({"holes": address}, "holes", None, 0, 0x10000) - self._first for address in hole)
        return Block(first, last - first + 1)

    def _sum_check(self, registers: Mapping[str, Register]) -> SumCheck | None:
        if "sum_check" not in self._data:
            return None
        entry = _mapping(self._data, "sum_check")
        _known(entry, ["total", "parts", "tolerance"], "sum_check.")
        total, parts = _text(entry, "total", "sum_check"), tuple(str(part) for part in entry.get("parts", ()))
        for name in (total, *parts):
            if name not in registers or registers[name].settle != "true":
                raise ModelError(f"sum_check: {name} is no settlement register of this model")
        if len(parts) < 2:
            raise ModelError("sum_check.parts: two tariffs at least")
        step = registers[total].form.step
        if "tolerance" in entry:
            tolerance = _decimal(entry, "tolerance", "sum_check")
        elif step is not None:
            tolerance = step * len(parts)
        else:
            raise ModelError("sum_check.tolerance: floats have no last digit, so it must be given")
        return SumCheck(total, parts, tolerance)


def _known(data: Mapping[str, Any], keys: list[str], path: str) -> None:
    for key in data:
        if key not in keys:
            from difflib import get_close_matches  # a person's slip; the agent reads what was checked

            near = get_close_matches(str(key), keys, 1)
            raise ModelError(f"{path}{key}: unknown key" + (f", did you mean {near[0]}?" if near else ""))


def _text(data: Mapping[str, Any], key: str, path: str = "") -> str:
    value = data.get(key)
    if value is None or isinstance(value, list | Mapping) or not str(value).strip():
        raise ModelError(f"{_path(path, key)}: missing")
    return str(value).strip().lower() if isinstance(value, bool) else str(value).strip()


def _choice(data: Mapping[str, Any], key: str, allowed: tuple[str, ...], path: str = "") -> str:
    value = data.get(key)
    if value == "" and "" in allowed:
        return ""
    if isinstance(value, list):
        raise ModelError(f"{_path(path, key)}: {value!r} is not one of {', '.join(allowed)}")
    text = _text(data, key, path)
    if text not in allowed:
        raise ModelError(f"{_path(path, key)}: {text!r} is not one of {', '.join(allowed)}")
    return text


def _number(data: Mapping[str, Any], key: str, default: str | None, low: int, high: int, path: str = "") -> int:
    text = _text(data, key, path) if default is None or key in data else default
    try:
        number = int(text, 16 if text.lower().startswith("0x") else 10)
    except ValueError as error:
        raise ModelError(f"{_path(path, key)}: {text!r} is not a whole number such as 72 or 0x0048") from error
    if not low <= number <= high:
        raise ModelError(f"{_path(path, key)}: {number} is outside {low}…{high}")
    return number


def _decimal(data: Mapping[str, Any], key: str, path: str) -> Decimal:
    text = _text(data, key, path)
    try:
        number = Decimal(text)
    except InvalidOperation as error:
        raise ModelError(f"{_path(path, key)}: {text!r} is not a decimal number") from error
    if not number.is_finite() or len(number.as_tuple().digits) > 8:
        raise ModelError(f"{_path(path, key)}: {text!r} has more than 8 digits or is not finite")
    return number


def _mapping(data: Mapping[str, Any], key: str, default: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
    value = data.get(key, default)
    if not isinstance(value, Mapping):
        raise ModelError(f"{key}: missing or not a mapping")
    return value


def _two_languages(data: Mapping[str, Any], key: str) -> dict[str, str]:
    value = _mapping(data, key)
    _known(value, ["zh", "en"], f"{key}.")
    return {language: _text(value, language, key) for language in ("zh", "en")}


def _path(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
