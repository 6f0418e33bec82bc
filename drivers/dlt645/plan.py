"""What a DL/T 645 meter is asked for, by edition, and whether its tariffs confirm its total (no I/O).

Tables of identifiers; what they mean and how they decode stands in identifiers.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

# register → (block, single total)
REGISTERS: dict[str, dict[str, tuple[str, str]]] = {
    "2007": {
        "import": ("0001FF00", "00010000"),
        "export": ("0002FF00", "00020000"),
        "reactive_import": ("0003FF00", "00030000"),
        "reactive_export": ("0004FF00", "00040000"),
        "reactive_q1": ("0005FF00", "00050000"),
        "reactive_q2": ("0006FF00", "00060000"),
        "reactive_q3": ("0007FF00", "00070000"),
        "reactive_q4": ("0008FF00", "00080000"),
    },
    "1997": {
        "import": ("901F", "9010"),
        "export": ("902F", "9020"),
        "reactive_import": ("911F", "9110"),
        "reactive_export": ("912F", "9120"),
        "reactive_q1": ("913F", "9130"),
        "reactive_q4": ("914F", "9140"),
        "reactive_q2": ("915F", "9150"),
        "reactive_q3": ("916F", "9160"),
    },
}
CLOCK = {"2007": ("04000101", "04000102"), "1997": ("C010", "C011")}
SERIAL = {"2007": "04000402", "1997": "C032"}
# each block, and what to ask of a meter that has no such block
TELEMETRY: dict[str, tuple[tuple[str, tuple[str, ...]], ...]] = {
    "2007": (
        ("0201FF00", ("02010100", "02010200", "02010300")),
        ("0202FF00", ("02020100", "02020200", "02020300")),
        ("0203FF00", ("02030000", "02030100", "02030200", "02030300")),
        ("0204FF00", ("02040000",)),
        ("0206FF00", ("02060000",)),
        ("02800002", ()),
        ("02800004", ()),
    ),
    "1997": (
        ("B61F", ("B611", "B612", "B613")),
        ("B62F", ("B621", "B622", "B623")),
        ("B63F", ("B630",)),
        ("B64F", ("B640",)),
        ("B65F", ("B650",)),
        ("B680", ("B660",)),
    ),
}

DIGIT = Decimal("0.01")  # the last digit of every energy register
MOST_TARIFFS = 5  # sharp, peak, flat, valley, deep valley: more are not in use


def tariffs_add_up(name: str, registers: Mapping[str, Decimal]) -> bool:
    """Whether a total is confirmed by its own tariffs, as far as digits cut off allow.

    Each of k tariffs and the total is cut to 0.01 on its own, so the total may exceed the sum by k − 1 digits, and by
    one more in a meter that keeps the total in a counter of its own; a captured block of four differs by 0.02. Beyond
    five tariffs the allowance stays at 0.05: more are not in use, and unused ones lose nothing. All tariffs zero
    confirm only a total of zero: many meters without tariffs send them so.
    """
    tariffs = [value for key, value in registers.items() if key.startswith(f"{name}_t")]
    total = registers.get(name)
    if total is None or not tariffs or (total and not any(tariffs)):
        return False
    return abs(sum(tariffs) - total) <= DIGIT * min(len(tariffs), MOST_TARIFFS)
