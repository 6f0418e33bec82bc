"""All that some bytes could mean, side by side, for a person who compares with a meter's display (no I/O).

Modbus      1 to 4 registers: every type, word order big or little, bytes of each word as sent or swapped
DL/T 645    data after −33H, DI removed, low byte first: BCD with and without sign, dates, text, bits
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from drivers.dlt645.formats import Ascii, Bcd, Bits, Digits, Moment
from drivers.errors import Unexpected
from drivers.modbus.registers import ORDERS, WORDS, Form, decode, decode_text

NUMBERS = tuple(name for name in WORDS if not name.startswith(("text", "clock")))
MOST_WORDS = 4  # of the longest number
MOST_BCD = 8  # bytes; longer data is several values
MOST_DECIMALS = 4
LONGEST_TEXT = 24  # beyond it a number is written with an exponent: nobody's display shows it
MOMENTS = ("YYMMDDhhmm", "YYMMDDhhmmss", "YYMMDDWWhhmmss")


def modbus_forms(words: Sequence[int]) -> dict[str, str]:
    """Form, such as `f32 little swap`, to value; forms that need more registers or have no value are left out."""
    data = b"".join(word.to_bytes(2, "big") for word in words)
    found = {"hex": data.hex(" ", 2).upper()}
    for name in NUMBERS:
        size = WORDS[name]
        if size > len(words):
            continue
        for order in ORDERS[: 1 if size == 1 else 2]:
            for swap in (False, True):
                label = " ".join((name, *([order] if size > 1 else []), *(["swap"] if swap else [])))
                _try(found, label, words[:size], Form(name, order, swap))
    if len(words) >= WORDS["clock3"]:
        for name in ("clock3", "clock3-bcd"):
            _try(found, name, words[: WORDS[name]], Form(name))
    if len(words) <= 16:
        _try(found, "text", words, Form(f"text{len(words)}"))
    return {label: value for label, value in found.items() if value}


def _try(found: dict[str, str], label: str, words: Sequence[int], form: Form) -> None:
    try:
        found[label] = decode_text(words, form) if form.is_text else shown(decode(words, form))
    except Unexpected:
        return


def dlt645_forms(data: bytes) -> dict[str, str]:
    """Form to value for the data bytes of one value, in wire order; forms that do not fit are left out."""
    found = {"hex": data.hex(" ").upper(), "hex high first": data[::-1].hex(" ").upper()}
    if not 0 < len(data) <= MOST_BCD:
        return found
    for decimals in range(MOST_DECIMALS + 1):
        name = f"bcd /{10**decimals}" if decimals else "bcd"
        for label, signed in ((name, False), (f"{name} signed", True)):
            value = Bcd(len(data), decimals, signed).decode(data)
            if value is not None and (not signed or value < 0):
                found[label] = f"{value:f}"
    found["binary"] = str(int.from_bytes(data, "little"))
    for layout in MOMENTS:
        moment = Moment(layout)
        if moment.length == len(data):
            _add(found, layout, moment.decode(data))
    _add(found, "text", Ascii(len(data)).decode(data))
    if len(data) == 3:
        _add(found, "hhmmss", _spaced(Digits(3).decode(data), ":"))
    if len(data) == 4:
        _add(found, "YYMMDDWW", _spaced((Digits(4).decode(data) or "")[:6] or None, "-"))
    if len(data) <= 2:
        _add(found, "bits", Bits(len(data)).decode(data))
    return found


def _add(found: dict[str, str], label: str, value: Decimal | str | None) -> None:
    if value:
        found[label] = str(value)


def _spaced(digits: str | None, mark: str) -> str | None:
    """Pairs of digits, first to last; None where they cannot be a time or a date of this century."""
    if digits is None:
        return None
    pairs = [digits[at : at + 2] for at in range(0, len(digits), 2)]
    low, high = ("00", "01", "01"), ("99", "12", "31")
    if mark == ":":
        low, high = ("00", "00", "00"), ("23", "59", "59")
    if any(not a <= pair <= b for pair, a, b in zip(pairs, low, high, strict=True)):
        return None
    return ("" if mark == ":" else "20") + mark.join(pairs)


def shown(value: Decimal) -> str:
    """Plain notation as long as a person can read it."""
    plain = f"{value:f}"
    return plain if len(plain) <= LONGEST_TEXT else f"{value:.6E}"
