"""Which meters may not be settled yet: their register rests on one source and nobody accepted them on site (pure).

    model      the register that a point bills by is `agreed`, `field-verified`, or known from one source alone
    accepted   by an event `accepted` of the meter (hubiao commission), or by `accepted:` in the configuration

Their energy is recorded like any other, since every slot has a reading or a gap; what settles says that it does not
bill yet. Both facts stand in the log, so a stranger finds the same meters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

ONE_SOURCE, AGREED = "one-source", "agreed"
COMMISSIONED = "commission"  # `act` of the event; a disputed register that was accepted is something else
ENDED_BY = ("serial_changed", "meter_replaced")  # another device than the one that was compared


def evidence_of(model: Mapping[str, Any], register: str = "import") -> str:
    """How well a model's register is known: its own level, else the model's, else that of its weakest register."""
    registers: Mapping[str, Mapping[str, Any]] = model.get("registers") or {}
    own = registers.get(register, model).get("evidence")
    if own is not None:
        return str(own)
    return ONE_SOURCE if ONE_SOURCE in {one.get("evidence") for one in registers.values()} else AGREED


@dataclass(slots=True)
class Acceptances:
    """The meters that were accepted on site, as the events of a log tell in its order: meter → model then in use."""

    models: dict[str, str] = field(default_factory=dict)

    def add(self, scope: str, whose: str, code: str, details: Mapping[str, Any]) -> None:
        """Takes an event; others than those about acceptance change nothing."""
        if scope != "meter":
            return
        if code == "accepted" and details.get("act") == COMMISSIONED:
            self.models[whose] = str(details.get("model", ""))
        elif code in ENDED_BY:
            self.models.pop(whose, None)

    def lacking(self, config: Mapping[str, Any]) -> set[str]:
        """Meters of a `config` record that may not be settled yet."""
        models = {meter["id"]: meter["model"] for meter in config["meters"]}
        return {meter for meter in one_source(config) if self.models.get(meter, "") != models[meter]}


def one_source(config: Mapping[str, Any]) -> set[str]:
    """Meters that a point bills by a register known from one source, and that the configuration does not accept."""
    data = {model["id"]: model["data"] for model in config["models"]}
    meters = {meter["id"]: meter for meter in config["meters"]}
    found = set()
    for point in config["points"]:
        for seat in point["meters"]:
            meter = meters[seat["meter"]]
            model = data.get(meter["model"])
            if model is None or meter.get("accepted"):  # manual meters have no model
                continue
            if evidence_of(model, point["register"]) == ONE_SOURCE:
                found.add(meter["id"])
    return found
