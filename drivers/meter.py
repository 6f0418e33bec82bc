"""What the agent asks of any meter, whatever its protocol. `dlt645/meter.py` and `modbus/meter.py` implement it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from drivers.exchange import Answer, Exchange
from drivers.quantities import RegisterValue


class Bus(Protocol):
    """What a meter needs of its line: one exchange, alone on the bus, from request to reply."""

    async def exchange(self, exchange: Exchange) -> Answer:
        """Raises LineError (Silent, Garbled, PortGone) or ForbiddenRequest."""
        ...


@dataclass(frozen=True, slots=True)
class Look:
    """One look at a meter's settlement registers.

    registers: names of drivers.quantities to Decimal with the meter's own digits (kWh, kvarh), before any site ratio.
    answers: the exchanges that said so, one request and reply each, in order.
    checks: words of a reading's `checks` that these answers passed by themselves.
    """

    registers: dict[str, Decimal]
    answers: list[Answer]
    checks: frozenset[str]


class Meter(Protocol):
    """A meter on a line. Every method raises DriverError and gives no value unless it was checked."""

    id: str

    async def look(self, *, second: bool = False) -> Look:
        """Reads the settlement registers that were asked for at construction.

        `second`: the separate request that confirms a first look, of another shape where the meter can.
        """
        ...

    async def clock(self) -> str | None:
        """The meter's own date and time as `YYYY-MM-DD hh:mm:ss` park-local, None where the model has none."""
        ...

    async def serial(self) -> str | None:
        """The serial or address that the device itself states, None where it cannot."""
        ...

    async def telemetry(self) -> list[RegisterValue]:
        """Voltages, currents, powers: kept for people, never billed. Items that the meter refuses are left out."""
        ...

    async def read_item(self, item: str) -> tuple[list[RegisterValue], Answer]:
        """One DI (`00010000`, `9010`) or register (`0x0048`) as asked by a person."""
        ...
