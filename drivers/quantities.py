"""Names and values of what a meter tells.

Register names are those of records: `import`, `export`, `import_t1`…`import_t63`, `reactive_q1`… .
Telemetry uses `voltage_a`, `current_b`, `power`, `power_c`, `reactive_power`, `apparent_power`,
`power_factor`, `frequency`, `demand_import`; texts `clock`, `address`, `serial`.
Phases are a, b, c; tariff numbers are the meter's own (t1 is the meter's rate 1, whatever it means).
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

ENERGY_UNITS = frozenset({"kWh", "kvarh", "kVAh"})


@dataclass(frozen=True, slots=True)
class RegisterValue:
    """One decoded item.

    value: Decimal with the meter's own digits (trailing zeros kept), text for dates and codes, or None where
        the meter sent filler or digits that are no BCD; `invalid` then holds the data bytes as hex.
    item: where it came from: a DI ("00010000", "9010") or a register ("0x000A").
    """

    name: str
    value: Decimal | str | None
    unit: str
    item: str
    invalid: str = ""


def is_billing(name: str) -> bool:
    """Whether a register can stand in a `reading`'s registers (active and reactive energy)."""
    return name.startswith(("import", "export", "reactive_")) and not name.startswith("reactive_power")
