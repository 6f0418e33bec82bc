"""How 16-bit registers hold a value: types, word order, scale, unit, "no value" patterns (no I/O).

    registers   [ w0 ][ w1 ]      on the wire each word high byte first
    big         w0 is the high word (ABCD)          little      w0 is the low word (CDAB)
    swap        the two bytes of each word exchanged (BADC, with little: DCBA)

Values are Decimal with the meter's own digits: scaled integers keep their decimals, a float becomes the shortest
decimal that reads back to the same float, Wh becomes kWh by moving the point three places. CT and PT ratios are never
applied here: the multiplier is configuration. Where registers are and which may be billed is `model.py`.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from drivers.errors import Unexpected

WORDS = {
    **{f"{sign}{bits}": bits // 16 for sign in "ui" for bits in (16, 32, 64)},
    "u48": 3,
    "f32": 2,
    "f64": 4,
    **{f"bcd{bits}": bits // 16 for bits in (16, 32, 48, 64)},
    "clock3": 3,  # year since 2000, month, day, hour, minute, second: a byte each
    "clock3-bcd": 3,  # the same, each byte two decimal digits
    **{f"text{words}": words for words in range(1, 17)},  # ASCII, two characters a register
}
ORDERS = ("big", "little")
UNITS = {  # unit in the meter: (ours, places that the decimal point moves)
    "kWh": ("kWh", 0),
    "Wh": ("kWh", -3),
    "MWh": ("kWh", 3),
    "kvarh": ("kvarh", 0),
    "varh": ("kvarh", -3),
    "kVAh": ("kVAh", 0),
    "VAh": ("kVAh", -3),
    "kW": ("kW", 0),
    "W": ("kW", -3),
    "kvar": ("kvar", 0),
    "var": ("kvar", -3),
    "kVA": ("kVA", 0),
    "VA": ("kVA", -3),
    "V": ("V", 0),
    "A": ("A", 0),
    "mA": ("A", -3),
    "Hz": ("Hz", 0),
    "": ("", 0),
}
INVALID_NAMES = ("ones", "signed-max", "signed-min")
_FLOATS = {"f32": ">f", "f64": ">d"}


@dataclass(frozen=True, slots=True)
class Form:
    """How one value lies in its registers.

    type: a key of WORDS. scale: what the raw number is multiplied by, in `unit` (a key of UNITS).
    invalid: what the vendor sends for "no value": `ones` (all bits set, unsigned types only), `signed-max` (7FFF…),
    `signed-min` (8000…, both signed types only), or the bytes in hex, high first, for a type of that length.
    """

    type: str
    order: str = "big"
    swap: bool = False
    scale: Decimal = Decimal(1)
    unit: str = ""
    invalid: tuple[str, ...] = ()

    @property
    def words(self) -> int:
        return WORDS[self.type]

    @property
    def our_unit(self) -> str:
        return UNITS[self.unit][0]

    @property
    def is_text(self) -> bool:
        return self.type.startswith(("text", "clock"))

    @property
    def is_float(self) -> bool:
        return self.type in _FLOATS

    @property
    def step(self) -> Decimal | None:
        """The smallest difference of two values in our unit; None for floats and texts."""
        return None if self.is_float or self.is_text else _in_our_unit(self.scale, self.unit)

    @property
    def modulus(self) -> Decimal | None:
        """Where the type itself wraps to 0, in our unit; None for floats and texts. A meter may wrap earlier."""
        step = self.step
        if step is None:
            return None
        digits = 16 * self.words
        return step * (10 ** (digits // 4) if self.type.startswith("bcd") else 1 << digits - (self.type[0] == "i"))


def decode(words: Sequence[int], form: Form) -> Decimal:
    """The value in our unit (kWh, kvarh, kW, V, A, Hz), of exactly `form.words` registers.

    Raises Unexpected: another number of registers, a "no value" pattern, BCD digits above 9, infinity, not a number.
    """
    data = _bytes(words, form)
    if form.is_text:
        raise Unexpected(f"{form.type} is no number", frame=data)
    if data in _invalid_patterns(form):
        raise Unexpected(f"the meter has no value here: {data.hex(' ')}", frame=data)
    if form.is_float:
        number = struct.unpack(_FLOATS[form.type], data)[0]
        if not math.isfinite(number):
            raise Unexpected(f"not a finite number: {data.hex(' ')}", frame=data)
        raw = shortest_f32(number) if form.type == "f32" else _plain(repr(number))
    elif form.type.startswith("bcd"):
        if not data.hex().isdecimal():
            raise Unexpected(f"not BCD: {data.hex(' ')}", frame=data)
        raw = Decimal(data.hex())
    else:
        raw = Decimal(int.from_bytes(data, "big", signed=form.type[0] == "i"))
    return _in_our_unit(raw * form.scale, form.unit)


def decode_text(words: Sequence[int], form: Form) -> str:
    """ASCII without padding; a clock as `YYYY-MM-DD hh:mm:ss`; a whole number in digits (serial numbers).

    Raises Unexpected: characters that cannot be printed, an impossible date, as `decode`.
    """
    if not form.is_text:
        return f"{decode(words, form):f}"
    data = _bytes(words, form)
    if form.type.startswith("clock"):
        return _clock(data, bcd=form.type.endswith("bcd"))
    text = data.strip(b"\0 ")
    if not text.isascii() or not text.decode("ascii").isprintable():
        raise Unexpected(f"not text: {data.hex(' ')}", frame=data)
    return text.decode("ascii")


def encode(value: Decimal, form: Form) -> tuple[int, ...]:
    """The registers for a value in our unit; a float is the nearest one.

    For the simulator. Raises ValueError: the value has more digits than the form holds, or is out of its range.
    """
    if form.is_text:
        raise ValueError(f"{form.type} is no number")
    raw = value.scaleb(-UNITS[form.unit][1]) / form.scale
    if form.is_float:
        try:
            return _words(struct.pack(_FLOATS[form.type], raw), form)
        except OverflowError as error:
            raise ValueError(f"{value} is out of range of {form.type}") from error
    if raw != raw.to_integral_value():
        raise ValueError(f"{value} {form.our_unit} has more digits than steps of {form.step}")
    if form.type.startswith("bcd"):
        digits = f"{int(raw):0{4 * form.words}d}"
        if raw < 0 or len(digits) > 4 * form.words:
            raise ValueError(f"{value} is out of range of {form.type}")
        return _words(bytes.fromhex(digits), form)
    try:
        return _words(int(raw).to_bytes(2 * form.words, "big", signed=form.type[0] == "i"), form)
    except OverflowError as error:
        raise ValueError(f"{value} is out of range of {form.type}") from error


def encode_text(text: str, form: Form) -> tuple[int, ...]:
    """The registers for `decode_text`'s text. For the simulator. Raises ValueError: too long, not ASCII, no date."""
    if form.type.startswith("text"):
        data = text.encode("ascii")
        if len(data) > 2 * form.words:
            raise ValueError(f"{text!r} is longer than {form.type}")
        return _words(data.ljust(2 * form.words, b"\0"), form)
    if form.type.startswith("clock"):
        pairs = [text[2:4], text[5:7], text[8:10], text[11:13], text[14:16], text[17:19]]
        return _words(bytes(int(pair, 16 if form.type.endswith("bcd") else 10) for pair in pairs), form)
    return encode(Decimal(text), form)


def shortest_f32(number: float) -> Decimal:
    """The shortest decimal that reads back to this 32-bit float, of several the nearest; no exponent, no -0."""
    for digits in range(9):
        text = f"{number:.{digits}e}"
        for candidate in (text, _next_up(text, digits)) if math.frexp(number)[0] in (0.5, -0.5) else (text,):
            # below a power of two floats lie closer: a longer step up may read back where the nearer one down does not
            try:
                if struct.unpack(">f", struct.pack(">f", float(candidate)))[0] == number:
                    return _plain(candidate)
            except OverflowError:  # rounded up past the largest float
                continue
    raise ValueError(f"{number!r} is no 32-bit float")


def _next_up(text: str, digits: int) -> str:
    """The next decimal away from zero with so many digits after the point, of `1.23e+04`."""
    mantissa, exponent = text.split("e")
    step = Decimal((mantissa.startswith("-"), (1,), -digits))
    return f"{Decimal(mantissa) + step}e{exponent}"


def _plain(text: str) -> Decimal:
    """Without an exponent above 0, without needless zeros after the point."""
    number = Decimal(text).normalize()
    return Decimal(f"{number:f}") if number else Decimal(0)


def _in_our_unit(value: Decimal, unit: str) -> Decimal:
    return Decimal(f"{value.scaleb(UNITS[unit][1]):f}")


def _bytes(words: Sequence[int], form: Form) -> bytes:
    """The value's bytes, high first."""
    if len(words) != form.words:
        raise Unexpected(f"{form.type} needs {form.words} registers, not {len(words)}")
    ordered = reversed(words) if form.order == "little" else words
    return b"".join(word.to_bytes(2, "little" if form.swap else "big") for word in ordered)


def _words(data: bytes, form: Form) -> tuple[int, ...]:
    words = [int.from_bytes(data[i : i + 2], "little" if form.swap else "big") for i in range(0, len(data), 2)]
    return tuple(reversed(words) if form.order == "little" else words)


def _invalid_patterns(form: Form) -> list[bytes]:
    size, signed = 2 * form.words, form.type[0] == "i"
    patterns = []
    for name in form.invalid:
        if name == "ones":
            patterns += [] if signed or form.is_float else [b"\xff" * size]
        elif name == "signed-max":
            patterns += [b"\x7f" + b"\xff" * (size - 1)] if signed else []
        elif name == "signed-min":
            patterns += [b"\x80" + b"\0" * (size - 1)] if signed else []
        elif len(name) == 2 * size:
            patterns.append(bytes.fromhex(name))
    return patterns


def _clock(data: bytes, *, bcd: bool) -> str:
    if bcd and not data.hex().isdecimal():
        raise Unexpected(f"not BCD: {data.hex(' ')}", frame=data)
    year, month, day, hour, minute, second = (int(f"{byte:02x}") for byte in data) if bcd else data
    if not (1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and minute < 60 and second < 60 and year < 100):
        raise Unexpected(f"an impossible date: {data.hex(' ')}", frame=data)
    return f"20{year:02d}-{month:02d}-{day:02d} {hour:02d}:{minute:02d}:{second:02d}"
