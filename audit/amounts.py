"""Exact amounts: decimal text to rational numbers, rounding, cents by largest remainder (pure).

No binary floats and no rounding on the way: energies, yuan, prices and ratios are Fractions until they are shown.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from math import floor

CENT = Fraction(1, 100)  # of a yuan, and the step of billed kWh

_DECIMAL = re.compile(r"-?\d{1,24}(\.\d{1,24})?")


def parse_decimal(text: str) -> Fraction:
    """`-12.50` exactly. Raises ValueError for anything but plain decimal notation."""
    if not text.isascii() or not _DECIMAL.fullmatch(text):
        raise ValueError(f"{text!r} is no decimal in plain notation")
    return Fraction(text)


def rounded(value: Fraction, places: int = 2) -> Fraction:
    """To so many decimal places, half away from zero."""
    scale = 10**places
    units = floor(abs(value) * scale + Fraction(1, 2))
    return Fraction(units if value >= 0 else -units, scale)


def shown(value: Fraction, places: int = 2) -> str:
    """As text with so many decimal places, half away from zero; never −0."""
    scale = 10**places
    units = rounded(value, places) * scale
    whole, part = divmod(abs(int(units)), scale)
    return f"{'-' if units < 0 else ''}{whole}.{part:0{places}d}"


def ratio(part: Fraction, whole: Fraction) -> Fraction | None:
    """part ÷ whole, None where there is no whole."""
    return part / whole if whole else None


def by_largest_remainder(exact: Sequence[Fraction], step: Fraction = CENT) -> list[Fraction]:
    """Brings shares to multiples of a step so that they still add up: floors, then a step to each largest remainder.

    Ties go to the earlier. Raises ValueError if the sum of the shares is itself no multiple of the step.
    """
    floors = [floor(share / step) for share in exact]
    left = sum(exact, Fraction()) / step - sum(floors)
    if left.denominator != 1:
        raise ValueError(f"{sum(exact, Fraction())} cannot be shared in steps of {step}")
    order = sorted(range(len(exact)), key=lambda i: floors[i] - exact[i] / step)
    for i in order[: int(left)]:
        floors[i] += 1
    return [units * step for units in floors]
