"""What came back from a line: a meter's registers at an instant, or why there are none (pure)."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from contract.records import Check, Exchanged, Method, Scope, Source, Why, instant
from drivers.exchange import Answer
from drivers.meter import Look


@dataclass(frozen=True, slots=True)
class Observation:
    """A meter's answer to a settlement question, decoded and checked by its driver.

    wall_ms is the host's UTC of what the registers show, boot_ms the same instant: at mid-read of a live look, earlier
    of what the meter kept. clock and clock_error_ms say what that is worth. `second` is the separate look that confirms
    the first; None where the first confirms itself (tariff sum).
    """

    meter: str
    wall_ms: int
    boot_ms: int
    clock: str
    clock_error_ms: int | None
    first: Look
    second: Look | None
    attempts: int
    meter_clock: str | None = None
    method: Method = "live"

    @property
    def registers(self) -> dict[str, Decimal]:
        return self.first.registers

    @property
    def heard_ms(self) -> int:
        """When the meter answered, the host's UTC."""
        return self.first.answers[0].wall_ms

    def source(self) -> Source:
        """The form in which a `reading` record keeps this look."""
        return Source(
            read_at=None if self.clock == "none" else instant(self.wall_ms),
            boot_ms=self.boot_ms if self.method == "live" else self.first.answers[0].boot_ms,
            registers=self.first.registers,
            meter_clock=self.meter_clock,
            exchanges=[exchanged(answer) for answer in self.first.answers],
            confirm=[] if self.second is None else [exchanged(answer) for answer in self.second.answers],
        )


@dataclass(frozen=True, slots=True)
class Missed:
    """A meter that was asked and gave nothing usable."""

    meter: str
    wall_ms: int
    why: Why
    detail: str


@dataclass(frozen=True, slots=True)
class SweepDone:
    """A line has asked everything that is due at a slot (UTC seconds); what it found belongs in one commit."""

    line: str
    slot_s: int


@dataclass(frozen=True, slots=True)
class LineState:
    """A line's port was lost or came back."""

    line: str
    wall_ms: int
    up: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Stated:
    """What a meter says of itself: its serial number (None where it has none), and `ct`, `pt` as set in it."""

    meter: str
    wall_ms: int
    serial: str | None
    ratios: dict[str, Decimal]


@dataclass(frozen=True, slots=True)
class ClockMoved:
    """How far a meter's clock moved against ours since the look before, in seconds."""

    meter: str
    wall_ms: int
    moved_s: int


@dataclass(frozen=True, slots=True)
class Witness:
    """Registers at an instant in the past, from the meter's own memory (freeze, load_profile) or a person (manual).

    at_ms: the instant that the registers are of, UTC; `source.read_at` is the same instant, `source.meter_clock` the
    meter's own stamp of it. slot_s: the slot that it is the value of, where that is not the nearest within 1 % (a work
    order: the old meter stands still from then on, the new one had not begun). binding: stands whatever else is known.
    """

    at_ms: int
    registers: dict[str, Decimal]
    method: Method
    source: Source
    checks: tuple[Check, ...] = ()
    attempts: int = 1
    slot_s: int | None = None
    binding: bool = False


@dataclass(frozen=True, slots=True)
class Backfilled:
    """Better values of slots gone by: they replace worse ones, and what was estimated between is estimated anew."""

    meter: str
    witnesses: tuple[Witness, ...]


@dataclass(frozen=True, slots=True)
class Happened:
    """Something that befell a meter, as its memory or its values tell it, or a line: becomes an event of that code."""

    id: str
    code: str
    from_ms: int
    to_ms: int
    details: dict[str, str | int]
    scope: Scope = "meter"


@dataclass(frozen=True, slots=True)
class Settled:
    """The import register that a meter kept of its own settlement day, which fell on the park's closing at `at_ms`."""

    meter: str
    at_ms: int
    value: Decimal


Finding = Observation | Missed | SweepDone | LineState | Stated | ClockMoved | Backfilled | Happened | Settled


def exchanged(answer: Answer) -> Exchanged:
    """The form in which records keep an exchange."""
    return Exchanged(answer.request.hex(), answer.reply.hex(), answer.boot_ms)
