"""Judges what a person saw at a meter against what was read from it (pure): display, growth, plate, clamp.

    register before ≤ display ≤ register after      as far as the display's last digit tells

A display that was read between two readings must lie between them; once with the load off and once with it on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from contract.acceptance import COMMISSIONED

Text = tuple[str, str]  # zh, en
CLAMP_TOLERANCE = Decimal("0.1")  # clamps are good for 2–3 %, loads move meanwhile
LEAST_AMPERES = Decimal("0.5")  # below this a clamp shows nothing one could compare
HINT_TOLERANCE = Decimal("0.01")
POWERS_OF_TEN = tuple(Decimal(10) ** n for n in (-3, -2, -1, 1, 2, 3))


@dataclass(frozen=True, slots=True)
class Sight:
    """The display as a person read it between two readings of the register, kWh."""

    before: Decimal
    display: Decimal
    after: Decimal

    @property
    def step(self) -> Decimal:
        """The display's last digit."""
        exponent = self.display.as_tuple().exponent
        return Decimal(1).scaleb(exponent if isinstance(exponent, int) else 0)

    @property
    def agrees(self) -> bool:
        return self.before - self.step <= self.display <= self.after + self.step


@dataclass(frozen=True, slots=True)
class Phase:
    """One phase: A and kW behind the CT as the meter means them, A as a clamp showed, None where not measured."""

    name: str
    amperes: Decimal | None
    kilowatts: Decimal | None
    clamp: Decimal | None = None

    @property
    def deviation(self) -> Decimal | None:
        """(meter − clamp) / clamp; None where there is nothing to compare."""
        if self.amperes is None or self.clamp is None or max(self.clamp, abs(self.amperes)) < LEAST_AMPERES:
            return None
        return (abs(self.amperes) - self.clamp) / self.clamp if self.clamp else Decimal(1)

    @property
    def agrees(self) -> bool:
        return self.deviation is None or abs(self.deviation) <= CLAMP_TOLERANCE


@dataclass(slots=True)
class Acceptance:
    """All that was seen of one meter. faults: what speaks against accepting it."""

    meter: str
    number: str = ""  # address or unit
    sights: list[Sight] = field(default_factory=list)
    plate: str = ""
    configured_ct: str | None = None
    phases: list[Phase] = field(default_factory=list)
    photos: list[str] = field(default_factory=list)
    seal: str = ""
    certificate: str = ""
    room: str = ""
    model: str = ""
    evidence: str = ""
    serial: str = ""
    remarks: str = ""
    who: str = ""
    at: str = ""
    accepted: bool = False

    @property
    def faults(self) -> list[Text]:
        found: list[Text] = []
        for number, sight in enumerate(self.sights, 1):
            if not sight.agrees:
                zh = f"第 {number} 次:屏幕 {sight.display},读到 {sight.before}"
                found.append((zh, f"look {number}: the display says {sight.display}, read was {sight.before}"))
        if len(self.sights) == 2 and self.sights[1].after <= self.sights[0].before:
            found.append(("两次之间示数没有增长:带载了吗?", "no growth between the two looks: was there load?"))
        if not same_ratio(self.plate, self.configured_ct):
            zh, en = f"互感器铭牌 {self.plate or '直通'}", f"the CT plate says {self.plate or 'direct'}"
            configured = self.configured_ct
            found.append((f"{zh},配置 {configured or '直通'}", f"{en}, configured is {configured or 'direct'}"))
        for phase in self.phases:
            if not phase.agrees:
                zh = f"{phase.name.upper()} 相:表 {phase.amperes} A,钳表 {phase.clamp} A"
                en = f"phase {phase.name.upper()}: meter {phase.amperes} A, clamp {phase.clamp} A"
                found.append((zh, en))
            if phase.kilowatts is not None and phase.kilowatts < 0:
                name = phase.name.upper()
                found.append((f"{name} 相功率为负:互感器装反?", f"phase {name} counts backwards: CT turned round?"))
        return found

    def details(self) -> dict[str, object]:
        """The event's own words: texts and lists of texts, no floats."""
        kept: dict[str, object] = {
            "act": COMMISSIONED,
            "looks": [f"{one.before:f} {one.display:f} {one.after:f}" for one in self.sights],
            "ct_plate": self.plate,
            "clamp_a": [f"{one.name} {one.clamp:f}" for one in self.phases if one.clamp is not None],
            "meter_a": [f"{one.name} {one.amperes:f}" for one in self.phases if one.amperes is not None],
            "photos": self.photos,
            "seal": self.seal,
            "certificate": self.certificate,
            "room": self.room,
            "model": self.model,
            "evidence": self.evidence,
            "serial": self.serial,
            "remarks": self.remarks,
            "against": [en for _, en in self.faults],
            "who": self.who,
        }
        return {key: value for key, value in kept.items() if value}


def ratio_of(text: str | None) -> Decimal:
    """`200/5` as 40; nothing is 1. Raises ValueError."""
    if not text:
        return Decimal(1)
    primary, slash, secondary = text.replace(" ", "").partition("/")
    try:
        ratio = Decimal(primary) / Decimal(secondary if slash else "1")
    except ArithmeticError as error:
        raise ValueError(f"{text!r} is not like 200/5") from error
    if not ratio.is_finite() or ratio <= 0:
        raise ValueError(f"{text!r} is not like 200/5")
    return ratio


def same_ratio(plate: str, configured: str | None) -> bool:
    return ratio_of(plate) == ratio_of(configured)


def hint(sight: Sight, multiplier: Decimal) -> Text | None:
    """Why a display and a register may differ: the multiplier, a moment, a power of ten."""
    if sight.agrees or not sight.before:
        return None
    quotient = sight.display / sight.before
    if multiplier != 1 and _near(quotient, multiplier):
        return ("屏幕显示的是一次侧(已乘倍率)", "the display shows primary values, multiplied already")
    if _near(quotient, Decimal(1)):
        return (
            "接近而不相等:屏幕可能翻页或滞后,再看一次",
            "close, not equal: a display lags or turns pages, look again",
        )
    for power in POWERS_OF_TEN:
        if _near(quotient, power):
            times = f"{power.normalize():f}"
            return (
                f"差 {times} 倍:型号的小数位不对",
                f"a factor of {times}: wrong scale in the model",
            )
    return ("数值无关:看的是同一块表、同一个示数吗?", "no relation: is it the same meter, and the total?")


def _near(quotient: Decimal, factor: Decimal) -> bool:
    return abs(quotient / factor - 1) <= HINT_TOLERANCE


def phases_of(telemetry: Mapping[str, Decimal], times: Decimal) -> list[Phase]:
    """The phases that a meter tells of, its values multiplied by `times` (CT where it shows secondary values)."""
    found = []
    for name in "abc":
        current, power = telemetry.get(f"current_{name}"), telemetry.get(f"power_{name}")
        if current is not None or power is not None:
            amperes = None if current is None else current * times
            found.append(Phase(name, amperes, None if power is None else power * times))
    return found
