"""How the energy of a gap is split over its slots: like the meter's own like day, else like the park's load (pure).

    own like day known          → `profile`
    else every feed was read    → `master`: step by step as the park's feeds took energy from the grid
    else                        → nothing here: by time, `linear`

Only shapes come from here: how much energy a gap holds is what the registers on its two sides say. Order of methods:
reference/settlement.md §7, case 5.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from agent.ledger.profile import Profile
from contract.plan import Plan
from contract.records import Estimate

Parts = list[tuple[int, int]]  # (end of the piece in UTC ms, weight up to there)
SCALE = 4  # decimals of a kWh that count as weight
UNKNOWN = -1  # no weight: a register that fell gives none
KEPT_STEPS = 4000  # of a feed: the forty days that a gap can be filled in, at 15 min


class _Steps:
    """Weights of a feed's newest steps by their number, eight bytes each."""

    __slots__ = ("_newest", "_weights")

    def __init__(self) -> None:
        self._weights = array("q", [UNKNOWN]) * KEPT_STEPS
        self._newest = 0

    def put(self, step: int, weight: int) -> None:
        """Takes a weight; what lies between the newest and this one is not known."""
        for passed in range(max(self._newest + 1, step - KEPT_STEPS + 1), step):
            self._weights[passed % KEPT_STEPS] = UNKNOWN
        if step > self._newest - KEPT_STEPS:
            self._weights[step % KEPT_STEPS] = weight
            self._newest = max(self._newest, step)

    def get(self, step: int) -> int | None:
        """None where it is not known any more, or never was."""
        weight = self._weights[step % KEPT_STEPS] if self._newest - KEPT_STEPS < step <= self._newest else UNKNOWN
        return None if weight == UNKNOWN else weight


@dataclass(slots=True)
class ParkLoad:
    """What the park took from the grid, step by step. `feeds`: master meter → its multiplier."""

    interval_s: int
    feeds: Mapping[str, Decimal]
    _steps: dict[str, _Steps] = field(default_factory=dict)  # feed → weights
    _last: dict[str, tuple[int, Decimal]] = field(default_factory=dict)

    @classmethod
    def of(cls, plan: Plan) -> ParkLoad:
        """The feeds as they are connected now: a shape needs no history of ratios."""
        masters = [point for point in plan.points.values() if point.role == "master" and point.register == "import"]
        fittings = [point.fittings[-1] for point in masters if point.fittings]
        return cls(plan.interval_s, {fitting.meter: fitting.multiplier for fitting in fittings})

    def learn(self, meter: str, slot_s: int, register: Decimal) -> None:
        """Takes a feed's sure register at a slot, kWh before the multiplier."""
        last = self._last.get(meter)
        self._last[meter] = slot_s, register
        if last is None or last[0] + self.interval_s != slot_s or register < last[1]:
            return
        steps = self._steps.setdefault(meter, _Steps())
        steps.put(last[0] // self.interval_s, int(((register - last[1]) * self.feeds[meter]).scaleb(SCALE)))

    def parts(self, from_ms: int, to_ms: int) -> Parts | None:
        """The stretch cut at the slots; None unless every feed told of every step and any of them took something.

        The sweep that ends a gap need not have come to the feeds yet: for the step that it ends, and the one that it
        begins, the step before may stand.
        """
        step_ms = self.interval_s * 1000
        pieces: Parts = []
        weight, before = 0, None
        at_ms = from_ms
        while at_ms < to_ms:
            start_ms = at_ms - at_ms % step_ms
            end_ms = min(to_ms, start_ms + step_ms)
            taken = self._taken(start_ms // 1000)
            if taken is None and start_ms >= to_ms - 2 * step_ms:
                taken = before
            if taken is None:
                return None
            weight += taken * (end_ms - at_ms)
            pieces.append((end_ms, weight))
            at_ms, before = end_ms, taken
        return pieces if weight else None

    def _taken(self, start_s: int) -> int | None:
        steps = [self._steps[feed] for feed in self.feeds if feed in self._steps]
        told = [step.get(start_s // self.interval_s) for step in steps]
        known = [weight for weight in told if weight is not None]
        return sum(known) if known and len(known) == len(self.feeds) else None


@dataclass(slots=True)
class Shape:
    """What splits the gaps of one meter. `park` learns from this meter too, where it is one of the feeds."""

    meter: str
    own: Profile
    park: ParkLoad

    def learn(self, slot_s: int, registers: Mapping[str, Decimal]) -> None:
        """Takes a sure value at a slot."""
        self.own.learn(slot_s, registers)
        if self.meter in self.park.feeds and "import" in registers:
            self.park.learn(self.meter, slot_s, registers["import"])

    def split(self, name: str, from_ms: int, to_ms: int) -> tuple[Estimate, Parts] | None:
        """By what the register's energy between two instants (UTC ms) is split, and how; None: by time.

        The park's load says nothing of a tariff register, which stands still most of the day, nor of energy sent back.
        """
        parts = self.own.parts(name, from_ms, to_ms)
        if parts is not None:
            return "profile", parts
        if name == "import" and self.meter not in self.park.feeds:
            parts = self.park.parts(from_ms, to_ms)
        return None if parts is None else ("master", parts)
