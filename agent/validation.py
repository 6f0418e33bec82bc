"""Accept, confirm or refuse what a meter said (pure).

The reference moves only by what was accepted, so one wrong high value cannot poison what follows. A register that
falls or jumps is refused; when AGREEING readings in a row tell the same new story, they become the new base, with an
event, and nothing between the old and the new base is consumption.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from agent.reading import Observation
from drivers.meter import Look

AGREEING = 3  # readings in a row that must tell the same before a step is believed (reliability: k = 3)
VOLTS = Decimal("0.25")  # kV between phase and neutral with margin: 230 V + 8 %
MARGIN = Decimal("1.2")  # meters carry their maximum current and a little more
OVERLOAD_MS = 60_000  # between two looks nearer than that, the count of a register says little of a load
DEFAULT_MAX_A = Decimal(100)  # of a direct meter, where the configuration does not say


@dataclass(frozen=True, slots=True)
class Limits:
    """What the connection can carry, in the register's own units: kW of one register, and its modulus.

    rated_kw: what the meter is made for, None where the configuration does not say.
    """

    max_kw: Decimal
    modulus: Decimal | None
    rated_kw: Decimal | None = None

    @classmethod
    def of(cls, meter: dict[str, Any], *, primary: bool) -> Limits:
        """From a meter of the effective configuration; `primary`: its register already includes the CT ratio."""
        amperes = Decimal(meter["max_a"]) if meter.get("max_a") else DEFAULT_MAX_A
        if primary and meter.get("ct"):
            first, second = meter["ct"].split("/")
            amperes = amperes * Decimal(first) / Decimal(second)
        rated_kw = amperes * VOLTS * int(meter.get("phases") or 3)
        digits = meter.get("digits")
        modulus = Decimal(10) ** int(digits) if digits else None
        return cls(rated_kw * MARGIN, modulus, rated_kw if meter.get("max_a") else None)

    def growth(self, milliseconds: int, step: Decimal) -> Decimal:
        """The most that a register of this resolution can grow in so much time."""
        return self.max_kw * max(0, milliseconds) / 3_600_000 + 2 * step


@dataclass(frozen=True, slots=True)
class Verdict:
    """accepted: use it. events: (code, details) to be recorded. broken: accepted, but nothing connects it to before."""

    accepted: bool
    events: tuple[tuple[str, dict[str, Any]], ...] = ()
    broken: bool = False
    rollover: tuple[str, ...] = ()
    why: str = ""


@dataclass(slots=True)
class Validator:
    """One meter's memory of what was accepted."""

    limits: Limits
    registers: dict[str, Decimal] = field(default_factory=dict)
    at_ms: int = 0
    boot_ms: int | None = None  # the same moment on the boot clock, which never steps; None when remembered from a log
    suspects: list[Observation] = field(default_factory=list)
    overloaded: bool = False

    def judge(self, seen: Observation) -> Verdict:
        """Decides about an observation and moves the reference if it was accepted."""
        if not confirmed(seen, self.limits):
            return Verdict(False, why="the second reading does not agree with the first")
        if not self.registers:
            return self._accept(seen, Verdict(True))
        span_ms = abs(seen.wall_ms - self.at_ms) if self.boot_ms is None else seen.boot_ms - self.boot_ms
        faults = faults_between(self.limits, self.registers, seen.registers, span_ms)
        rolled = tuple(name for name, code in faults.items() if code == "rollover")
        if len(rolled) == len(faults):
            events = tuple(("rollover", self._details(seen, name)) for name in rolled)
            if not rolled:
                events = self._overload(seen, span_ms)
            return self._accept(seen, Verdict(True, events, rollover=rolled))
        return self._suspect(seen, {name: code for name, code in faults.items() if code != "rollover"})

    def _overload(self, seen: Observation, span_ms: int) -> tuple[tuple[str, dict[str, Any]], ...]:
        """An event when a register begins to run faster than the meter is rated, though not impossibly fast."""
        rated_kw = self.limits.rated_kw
        if rated_kw is None or span_ms < OVERLOAD_MS:
            return ()
        before, self.overloaded = self.overloaded, False
        for name in self.registers.keys() & seen.registers.keys() & {"import", "export"}:
            grown, step = seen.registers[name] - self.registers[name], resolution(seen.registers[name])
            kilowatts = (grown - 2 * step) * 3_600_000 / span_ms
            if kilowatts > rated_kw:
                self.overloaded = True
                details = {**self._details(seen, name), "kw": f"{kilowatts:.2f}", "rated_kw": f"{rated_kw:.2f}"}
                return () if before else (("overload", details),)
        return ()

    def _accept(self, seen: Observation, verdict: Verdict) -> Verdict:
        self.registers, self.at_ms, self.boot_ms = dict(seen.registers), seen.wall_ms, seen.boot_ms
        self.suspects.clear()
        return verdict

    def _suspect(self, seen: Observation, faults: dict[str, str]) -> Verdict:
        last = self.suspects[-1] if self.suspects else None
        if last is not None:
            span_ms = seen.boot_ms - last.boot_ms
            if faults_between(self.limits, last.registers, seen.registers, span_ms):
                self.suspects.clear()  # they do not agree with each other
        self.suspects.append(seen)
        if len(self.suspects) < AGREEING:
            what = ", ".join(f"{name} {code}" for name, code in faults.items())
            return Verdict(False, why=f"{what}: {self._details(seen, next(iter(faults)))}")
        events = tuple((code, self._details(self.suspects[0], name)) for name, code in faults.items())
        return self._accept(seen, Verdict(True, events, broken=True))

    def _details(self, seen: Observation, name: str) -> dict[str, Any]:
        details = {"register": name, "before": str(self.registers[name]), "after": str(seen.registers[name])}
        if self.limits.modulus is not None:
            details["modulus"] = str(self.limits.modulus)
        return details


def faults_between(
    limits: Limits, before: Mapping[str, Decimal], after: Mapping[str, Decimal], span_ms: int
) -> dict[str, str]:
    """What cannot be consumption between two looks so far apart: register → event code. Empty where all fits."""
    faults = {}
    for name in before.keys() & after.keys():
        grown, step = after[name] - before[name], resolution(after[name])
        most = limits.growth(span_ms, step)
        if 0 <= grown <= most:
            continue
        if grown > most:
            faults[name] = "register_jumped"
        elif limits.modulus is not None and 0 <= grown + limits.modulus <= most:
            faults[name] = "rollover"
        else:
            faults[name] = "register_fell"
    return faults


def confirmed(seen: Observation, limits: Limits) -> bool:
    """Whether the tariff sum agreed or a second look gave the same, or what the load explains."""
    if seen.second is None:
        return "tariff_sum" in seen.first.checks
    return grows_to(seen.first, seen.second, limits)


def grows_to(first: Look, second: Look, limits: Limits) -> bool:
    """Whether both tell of the totals, and what both tell of stands still or grew as far as the load explains."""
    span = abs(_middle_ms(second) - _middle_ms(first))
    shared = first.registers.keys() & second.registers.keys()
    totals = {name for name in first.registers if name in ("import", "export")}
    return totals <= shared and all(
        0 <= second.registers[name] - first.registers[name] <= limits.growth(span, resolution(first.registers[name]))
        for name in shared
    )


def resolution(value: Decimal) -> Decimal:
    """One count of a register's last digit."""
    return Decimal(1).scaleb(int(value.as_tuple().exponent))


def _middle_ms(look: Look) -> int:
    return look.answers[0].boot_ms
