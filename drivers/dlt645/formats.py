"""How DL/T 645 writes values into data bytes, both editions: BCD, dates, codes, ASCII, bits (no I/O).

    data after −33H, wire order:  low byte first; 123456.78 kWh goes 78 56 34 12

Every format has a fixed length in bytes, `decode` (None for what cannot be a value, never a number in its place) and
`encode`, its inverse, for the simulator. Which item has which format stands in identifiers.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Protocol

NEGATIVE = 0x80  # in the last byte sent of a signed item: its highest digit then ends at 7


class Format(Protocol):
    """One field of fixed length. `decode` takes exactly `length` bytes."""

    @property
    def length(self) -> int: ...

    def decode(self, data: bytes) -> Decimal | str | None: ...

    def encode(self, value: Decimal | str) -> bytes:
        """Raises ValueError when the value does not fit the field."""
        ...


def is_filler(data: bytes) -> bool:
    """All FF: the meter has no data for this item."""
    return data.count(0xFF) == len(data) > 0


def digits_of(data: bytes) -> str | None:
    """BCD, low byte first, as digits highest first; None if a nibble is above 9."""
    text = data[::-1].hex()
    return text if text.isdecimal() or not text else None


def bcd(value: Decimal, digits: int, decimals: int, signed: bool = False) -> bytes:
    """A value as BCD, low byte first: `digits` in all (even), `decimals` of them behind the point.

    A negative value sets the top bit of the last byte; then the highest digit can be 7 at most. Raises ValueError
    when the value has more digits than fit, or a sign where none can be sent.
    """
    scaled = value.scaleb(decimals)
    if scaled != scaled.to_integral_value():
        raise ValueError(f"{value} has more than {decimals} decimals")
    text = f"{abs(int(scaled)):0{digits}d}"
    if len(text) > digits or (signed and text[0] > "7") or (value < 0 and not signed):
        raise ValueError(f"{value} does not fit {digits} digits{', signed' if signed else ''}")
    data = bytearray.fromhex(text)[::-1]
    if value < 0:
        data[-1] |= NEGATIVE
    return bytes(data)


@dataclass(frozen=True, slots=True)
class Bcd:
    """A decimal number. signed: the top bit of the last byte is the sign, cleared before the digits are read."""

    length: int
    decimals: int = 0
    signed: bool = False

    def decode(self, data: bytes) -> Decimal | None:
        if is_filler(data):
            return None
        negative = self.signed and bool(data[-1] & NEGATIVE)
        if negative:
            data = data[:-1] + bytes((data[-1] & ~NEGATIVE,))
        text = digits_of(data)
        if text is None:
            return None
        number = Decimal(int(text)).scaleb(-self.decimals)
        return -number if negative else number  # −0 is 0 in Decimal

    def encode(self, value: Decimal | str) -> bytes:
        return bcd(Decimal(value), 2 * self.length, self.decimals, self.signed)


@dataclass(frozen=True, slots=True)
class Digits:
    """Digits as text, highest first: numbers of meters, and dates or times that are not a whole instant (hhmmss).

    hexadecimal: A–F are digits too (communication addresses of test meters).
    """

    length: int
    hexadecimal: bool = False

    def decode(self, data: bytes) -> str | None:
        if is_filler(data):
            return None
        return data[::-1].hex().upper() if self.hexadecimal else digits_of(data)

    def encode(self, value: Decimal | str) -> bytes:
        data = bytes.fromhex(str(value))[::-1]
        if len(data) != self.length:
            raise ValueError(f"{value} is not {2 * self.length} digits")
        return data


@dataclass(frozen=True, slots=True)
class Moment:
    """An instant of the meter's own clock, as `YYYY-MM-DD hh:mm` or `…:ss`; all 00 or all FF: it never happened.

    layout: fields from high to low, two digits each: `YYMMDDhhmm`, `YYMMDDhhmmss`, `YYMMDDWWhhmmss` (WW the weekday,
    0 Sunday, not shown). On the wire the last comes first. Years are 2000 to 2099.
    """

    layout: str

    @property
    def length(self) -> int:
        return len(self.layout) // 2

    def decode(self, data: bytes) -> str | None:
        text = digits_of(data)
        if text is None or not any(data):
            return None
        part = {self.layout[at : at + 2]: text[at : at + 2] for at in range(0, len(text), 2)}
        seconds = f":{part['ss']}" if "ss" in part else ""
        moment = f"20{part['YY']}-{part['MM']}-{part['DD']} {part['hh']}:{part['mm']}{seconds}"
        try:
            datetime.fromisoformat(moment)
        except ValueError:
            return None
        return moment

    def encode(self, value: Decimal | str) -> bytes:
        moment = datetime.fromisoformat(str(value))
        if not 2000 <= moment.year <= 2099:
            raise ValueError(f"{value}: the field has two digits of a year from 2000 to 2099")
        part = {
            "YY": moment.year % 100,
            "MM": moment.month,
            "DD": moment.day,
            "WW": moment.isoweekday() % 7,
            "hh": moment.hour,
            "mm": moment.minute,
            "ss": moment.second,
        }
        text = "".join(f"{part[self.layout[at : at + 2]]:02d}" for at in range(0, len(self.layout), 2))
        return bytes.fromhex(text)[::-1]


@dataclass(frozen=True, slots=True)
class Ascii:
    """Printable text, last character first on the wire, unused bytes 00."""

    length: int

    def decode(self, data: bytes) -> str | None:
        text = data[::-1].strip(b"\x00 ")
        return text.decode("ascii") if all(0x20 <= byte < 0x7F for byte in text) else None

    def encode(self, value: Decimal | str) -> bytes:
        text = str(value).encode("ascii")
        if len(text) > self.length:
            raise ValueError(f"{value!r} is longer than {self.length} characters")
        return text.ljust(self.length, b"\x00")[::-1]


@dataclass(frozen=True, slots=True)
class Bits:
    """Named bits, as the names of those set, lowest first, or `none`. A bit without a name is `bitN`.

    A word of FF FF is filler; a single byte may well have all its bits set.
    """

    length: int
    names: tuple[str, ...] = ()

    def decode(self, data: bytes) -> str | None:
        if self.length > 1 and is_filler(data):
            return None
        word = int.from_bytes(data, "little")
        set_bits = [self._name(bit) for bit in range(8 * self.length) if word >> bit & 1]
        return " ".join(set_bits) or "none"

    def encode(self, value: Decimal | str) -> bytes:
        bits = {self._name(bit): bit for bit in range(8 * self.length)}
        names = [] if value == "none" else str(value).split()
        if unknown := [name for name in names if name not in bits]:
            raise ValueError(f"no bit is named {unknown[0]!r}")
        return sum(1 << bits[name] for name in set(names)).to_bytes(self.length, "little")

    def _name(self, bit: int) -> str:
        return self.names[bit] if bit < len(self.names) and self.names[bit] else f"bit{bit}"


SPEEDS = {0x02: "600", 0x04: "1200", 0x08: "2400", 0x10: "4800", 0x20: "9600", 0x40: "19200"}


@dataclass(frozen=True, slots=True)
class Speed:
    """The byte Z: exactly one speed bit set (b1 600 … b6 19200), anything else is no speed."""

    length: int = 1

    def decode(self, data: bytes) -> str | None:
        return SPEEDS.get(data[0])

    def encode(self, value: Decimal | str) -> bytes:
        for bit, speed in SPEEDS.items():
            if speed == str(value):
                return bytes((bit,))
        raise ValueError(f"{value} is none of {', '.join(SPEEDS.values())}")
