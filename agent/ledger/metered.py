"""One meter as the recorder knows it: its configuration and everything that is remembered of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from agent.ledger.profile import Profile
from agent.ledger.shape import ParkLoad, Shape
from agent.ledger.slots import MeterSlots
from agent.ledger.tariff_witness import TariffWitness
from agent.reading import Observation
from agent.validation import Limits, Validator
from contract.plan import Plan

SERIAL_DIGITS = 12  # what a DL/T 645 meter can state; printed numbers may be longer


@dataclass(slots=True)
class Metered:
    """`polled`: it answers on a line; others are read by people. `stranger`: the foreign serial that answers now.

    `at`: line, protocol and address or unit; a meter and its successor may have the same, one after the other.
    """

    id: str
    line: str | None
    serial: str | None
    validator: Validator
    slots: MeterSlots
    tariffs: TariffWitness
    polled: bool = True
    at: tuple[str | None, ...] = ()
    ratios: dict[str, Decimal] = field(default_factory=dict)  # `ct`, `pt` as configured
    told: dict[str, Decimal] = field(default_factory=dict)  # ratios of the meter that an event named already
    stranger: str | None = None
    silent: int = 0
    gone_since_ms: int | None = None
    latest: Observation | None = None
    refused: str = ""


def metered_of(meter: dict[str, Any], limits: Limits, plan: Plan, next_slot_s: int, park: ParkLoad) -> Metered:
    """A meter of the effective configuration, nothing remembered yet."""
    shape = Shape(meter["id"], Profile(plan.interval_s, plan.utc_offset_s), park)
    slots = MeterSlots(plan.interval_s, next_slot_s, modulus=limits.modulus, shape=shape)
    ratios = {}
    for name in ("ct", "pt"):
        if meter.get(name):
            primary, secondary = meter[name].split("/")
            ratios[name] = Decimal(primary) / Decimal(secondary)
    polled = meter["protocol"] != "manual"
    tariffs = TariffWitness(plan.interval_s, plan.utc_offset_s)
    at = meter["line"], meter["protocol"], str(meter.get("address") or meter.get("unit") or "")
    validator = Validator(limits)
    return Metered(meter["id"], meter["line"], meter.get("serial"), validator, slots, tariffs, polled, at, ratios)


def states_another(known: str | None, stated: str) -> bool:
    """Whether a meter's own number contradicts the one known; a printed number counts by its last twelve digits."""
    return known is not None and _core(known) != _core(stated)


def point_at(plan: Plan, meter: str, slot_s: int) -> str | None:
    """The point that a meter's value at a slot belongs to: where it measures from there on, or did until there."""
    return plan.point_of(meter, slot_s) or plan.point_of(meter, slot_s - plan.interval_s)


def _core(serial: str) -> str:
    return serial[-SERIAL_DIGITS:].lstrip("0")
