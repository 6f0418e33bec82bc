"""The park's balance: what came in against what its points took (pure).

    import + pv + storage − export − points = loss        storage is discharge minus charge

Works from the registers themselves, so a sub-meter behind another end user's is in that one's energy already and is
not counted again. Which tenant holds a point makes no difference here. A source behind an end user's meter (a roof
that feeds a tenant's own board) cannot be balanced like this: its energy would be loss.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Context, Decimal, localcontext

from contract.energy import EXACT, RolloverAt, ValueAt, advance
from contract.plan import END_USE, Fitting, Plan, Point
from contract.records import Balance, Flow, Quality, Reading, parse_instant, parse_slot, slot_instant, worst

SkewAt = Callable[[str, int], Decimal]  # meter, slot → seconds that it was read after the slot, negative before
_RATE_STEP = Decimal("0.0001")


def balance_interval(plan: Plan, start_s: int, value: ValueAt, rollovers: RolloverAt, skew: SkewAt) -> Balance | None:
    """The balance of the step that starts at a slot, revision 0, under the park's tariff period at its start.

    None without a master, and until every point has values at both ends. A master's export, and the other direction
    of a storage, are counted where the same meter gives that register. `skew_s` is the larger spread of reading
    times over the meters at the two ends.
    """
    taken = _Taken(plan, start_s, value, rollovers)
    for point in plan.points.values():
        if point.is_between_meters(start_s):
            return None
        fitting = point.fitting_at(start_s)
        if fitting is not None and not taken.add(point, fitting):
            return None
    if not taken.has_master:
        return None
    meters = plan.meters_in_force(start_s)
    end_s = start_s + plan.interval_s
    flow = taken.flow()
    return Balance(
        from_=slot_instant(start_s),
        to=slot_instant(end_s),
        periods={plan.period_at(start_s, None)[0]: flow},
        loss_rate=_loss_rate([flow]),
        skew_s=max(_spread(meters, slot_s, skew) for slot_s in (start_s, end_s)),
        quality=worst(taken.qualities),
    )


def balance_sum(from_s: int, to_s: int, balances: Iterable[Balance]) -> Balance:
    """The balance of a day or a statement's bounds: its steps' added up, period by period; steps not there are left out
    on both sides. `skew_s` is the larger of the first and the last step's. Raises ValueError without any."""
    steps = sorted(balances, key=lambda balance: parse_slot(balance.from_))
    if not steps:
        raise ValueError("a balance needs at least one step")
    periods: dict[str, Flow] = {}
    for step in steps:
        for period, flow in step.periods.items():
            periods[period] = _sum(periods[period], flow) if period in periods else flow
    return Balance(
        from_=slot_instant(from_s),
        to=slot_instant(to_s),
        periods=periods,
        loss_rate=_loss_rate(periods.values()),
        skew_s=max(steps[0].skew_s, steps[-1].skew_s),
        quality=worst([step.quality for step in steps]),
    )


def skew_of(reading: Reading) -> Decimal:
    """Seconds that a live reading was taken after its slot; 0 for values that were computed or frozen for the slot."""
    if reading.method != "live" or reading.slot is None or not reading.sources:
        return Decimal(0)
    read_at = reading.sources[-1].read_at
    if read_at is None:
        return Decimal(0)
    return Decimal(parse_instant(read_at) - parse_slot(reading.slot) * 1000).scaleb(-3)


@dataclass(slots=True)
class _Taken:
    """The energies of a step, point by point. A meter that serves two points of one kind counts once."""

    plan: Plan
    start_s: int
    value: ValueAt
    rollovers: RolloverAt
    into: Decimal = Decimal(0)
    out: Decimal = Decimal(0)
    pv: Decimal = Decimal(0)
    storage: Decimal = Decimal(0)
    points: Decimal = Decimal(0)
    has_master: bool = False
    qualities: list[Quality] = field(default_factory=list)
    _both_ways: set[str] = field(default_factory=set)  # meters of masters and storages already counted

    def add(self, point: Point, fitting: Fitting) -> bool:
        """Counts a point; False where a value is missing."""
        if point.role in ("master", "storage"):
            if fitting.meter in self._both_ways:
                return True
            self._both_ways.add(fitting.meter)
            return self._add_both_ways(point, fitting)
        energy = self._energy(fitting, point.register)
        if energy is None:
            return False
        with localcontext(EXACT):
            if point.role == "pv":
                self.pv += energy
            elif point.role in END_USE and not self.plan.end_use_parent(point):
                self.points += energy
        return True

    def flow(self) -> Flow:
        with localcontext(EXACT):
            loss = self.into + self.pv + self.storage - self.out - self.points
        return Flow(self.into, self.out, self.pv, self.storage, self.points, loss)

    def _add_both_ways(self, point: Point, fitting: Fitting) -> bool:
        needed = "import" if point.role == "master" else point.register
        energies = dict.fromkeys(("import", "export"), Decimal(0))
        for register in energies:
            if register == needed or self._gives(fitting.meter, register):
                energy = self._energy(fitting, register)
                if energy is None:
                    return False
                energies[register] = energy
        with localcontext(EXACT):
            if point.role == "master":
                self.has_master = True
                self.into += energies["import"]
                self.out += energies["export"]
            else:
                self.storage += energies["export"] - energies["import"]
        return True

    def _gives(self, meter: str, register: str) -> bool:
        """Whether the meter had the register at either end of the step; one end alone makes no energy."""
        values = (self.value(meter, slot_s) for slot_s in (self.start_s, self.start_s + self.plan.interval_s))
        return any(known is not None and register in known.registers for known in values)

    def _energy(self, fitting: Fitting, register: str) -> Decimal | None:
        went = advance(self.plan, fitting.meter, register, self.start_s, self.value, self.rollovers)
        if went is None:
            return None
        self.qualities.append(went.quality)
        with localcontext(EXACT):
            return went.difference * fitting.multiplier


def _sum(first: Flow, second: Flow) -> Flow:
    with localcontext(EXACT):
        return Flow(
            first.import_ + second.import_,
            first.export + second.export,
            first.pv + second.pv,
            first.storage + second.storage,
            first.points + second.points,
            first.loss + second.loss,
        )


def _loss_rate(flows: Iterable[Flow]) -> Decimal | None:
    """Σ loss ÷ Σ available to four decimals, half away from zero; None where nothing was available."""
    loss, available = Decimal(0), Decimal(0)
    with localcontext(EXACT):
        for flow in flows:
            loss += flow.loss
            available += flow.loss + flow.points
    if not available:
        return None
    with localcontext(Context(prec=EXACT.prec)):
        return (loss / available).quantize(_RATE_STEP, ROUND_HALF_UP)


def _spread(meters: Sequence[str], slot_s: int, skew: SkewAt) -> Decimal:
    seconds = [skew(meter, slot_s) for meter in meters]
    return max(seconds) - min(seconds) if seconds else Decimal(0)
