"""Days and statements: a subject's intervals added up between two slots, exactly (pure).

    intervals  │ kwh │ kwh │ kwh │     │ kwh │ kwh │      Σ by period, by quality
    spans      ├── start … end ──┤     ├─ s … e ───┤      one register difference each
    missing                       ├───┤                   first and last step without an interval

Takes the latest revision of each interval and makes no new energy of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_UP, Context, Decimal, localcontext
from typing import NamedTuple, TypeVar

from contract.energy import EXACT, SlotValue, ValueAt
from contract.plan import Plan, Subject
from contract.records import PERIODS, QUALITIES, Day, Interval, Segment, Span, Statement, parse_slot, slot_instant

Kind = TypeVar("Kind", bound=Day | Statement)
_KW_STEP = Decimal("0.000001")  # only where a demand window is no whole part of an hour
_SURE = ("measured", "interpolated")


def no_value(_meter: str, _slot_s: int) -> SlotValue | None:
    """Nothing is known beyond the intervals."""
    return None


def is_sure(value: SlotValue | None) -> bool:
    """Whether a register at a slot was read there or lies on the line between two looks around it."""
    return value is not None and value.quality in _SURE


def total(
    plan: Plan,
    subject: Subject,
    from_s: int,
    to_s: int,
    intervals: Mapping[int, Interval],
    *,
    kind: type[Kind],
    value: ValueAt = no_value,
) -> Kind:
    """The subject's energy in `[from_s, to_s)`, revision 0. Raises ValueError unless both are slots.

    `intervals`: start of the step → latest revision; one without segments was withdrawn, and what lies outside the
    bounds is not added. `periods` and
    `quality_kwh` name what occurs. `missing` holds the first and last step, by their starts, of each stretch without
    the interval that the plan owes. `value` says how good a slot is where a stretch of estimates meets the bounds or a
    change of meters: without it such energy counts as uncertain.
    """
    owed = set(plan.expected_steps(subject, from_s, to_s))
    steps = {s: intervals[s] for s in range(from_s, to_s, plan.interval_s) if s in intervals and intervals[s].segments}
    demand = _max_demand(plan, from_s, to_s, steps)
    with localcontext(EXACT):
        return kind(
            tenant=subject.tenant,
            point=subject.point,
            role=subject.role,
            from_=slot_instant(from_s),
            to=slot_instant(to_s),
            periods=_sums(((i.period, i.kwh) for i in steps.values()), _PERIOD_ORDER),
            total=sum((i.kwh for i in steps.values()), Decimal(0)),
            quality_kwh=_sums(((i.quality, i.kwh) for i in steps.values()), QUALITIES),
            uncertain_kwh=_uncertain_kwh(plan, steps, intervals, value),
            segments=_joined(_spans(plan, steps)),
            complete=owed <= steps.keys(),
            missing=[
                [slot_instant(first), slot_instant(last)] for first, last in _stretches(plan, owed - steps.keys())
            ],
            max_demand_kw=None if demand is None else demand[0],
            max_demand_at=None if demand is None else slot_instant(demand[1]),
            own_meter=_own_meter(plan, subject, from_s, to_s),
        )


def join(
    plan: Plan, subject: Subject, from_s: int, to_s: int, parts: Sequence[Day | Statement], *, kind: type[Kind]
) -> Kind:
    """Totals that follow one another, made one: what `total` gives of all their intervals together.

    `parts` in order of time, within the bounds, leaving out what the subject holds nothing of; no stretch of estimates
    may cross from one into the next, and they meet at local midnights. Raises ValueError unless the bounds are slots.
    """
    plan.require_slot(from_s, "from")
    plan.require_slot(to_s, "to")
    demands = [(p.max_demand_kw, p.max_demand_at) for p in parts if p.max_demand_kw is not None]
    highest = max(demands, key=lambda demand: demand[0], default=(None, None))
    with localcontext(EXACT):
        return kind(
            tenant=subject.tenant,
            point=subject.point,
            role=subject.role,
            from_=slot_instant(from_s),
            to=slot_instant(to_s),
            periods=_sums((item for p in parts for item in p.periods.items()), _PERIOD_ORDER),
            total=sum((p.total for p in parts), Decimal(0)),
            quality_kwh=_sums((item for p in parts for item in p.quality_kwh.items()), QUALITIES),
            uncertain_kwh=sum((p.uncertain_kwh for p in parts), Decimal(0)),
            segments=_joined(span for part in parts for span in part.segments),
            complete=all(p.complete for p in parts),
            missing=_joined_stretches(plan, parts),
            max_demand_kw=highest[0],
            max_demand_at=highest[1],
            own_meter=_own_meter(plan, subject, from_s, to_s),
        )


def _joined_stretches(plan: Plan, parts: Sequence[Day | Statement]) -> list[list[str]]:
    runs: list[list[str]] = []
    for first, last in (stretch for part in parts for stretch in part.missing):
        if runs and parse_slot(runs[-1][1]) + plan.interval_s == parse_slot(first):
            runs[-1] = [runs[-1][0], last]
        else:
            runs.append([first, last])
    return runs


_PERIOD_ORDER = (*PERIODS, "unclassified", "unclassified_holiday")


def _sums(parts: Iterable[tuple[str, Decimal]], order: tuple[str, ...]) -> dict[str, Decimal]:
    sums: dict[str, Decimal] = {}
    for name, kwh in parts:
        sums[name] = sums.get(name, Decimal(0)) + kwh
    return {name: sums[name] for name in order if name in sums}


def _stretches(plan: Plan, steps: set[int]) -> list[tuple[int, int]]:
    """First and last of each run of neighbouring steps."""
    runs: list[tuple[int, int]] = []
    for step_s in sorted(steps):
        if runs and runs[-1][1] + plan.interval_s == step_s:
            runs[-1] = (runs[-1][0], step_s)
        else:
            runs.append((step_s, step_s))
    return runs


@dataclass(frozen=True, slots=True)
class _Part:
    """What must stay the same for neighbouring segments to be one span."""

    point: str
    meter: str
    register: str
    multiplier: Decimal
    share: Decimal


def _part(segment: Segment | Span) -> _Part:
    return _Part(segment.point, segment.meter, segment.register, segment.multiplier, segment.share)


def _joined(spans: Iterable[Span]) -> list[Span]:
    """Neighbours in time made one while they share the value at the slot between them, so that they telescope."""
    joined: dict[_Part, list[Span]] = {}
    for span in spans:
        known = joined.setdefault(_part(span), [])
        if known and known[-1].to == span.from_ and _meets(known[-1], span):
            known[-1] = _longer(known[-1], span)
        else:
            known.append(span)
    return [span for known in joined.values() for span in known]


def _meets(before: Span, after: Span) -> bool:
    """One value at the slot between; hidden registers are known by their readings."""
    return before.end_seq == after.start_seq if before.end is None else before.end == after.start


def _longer(before: Span, after: Span) -> Span:
    moduli = [modulus for modulus in (before.rollover, after.rollover) if modulus is not None]
    return replace(
        before,
        to=after.to,
        end=after.end,
        kwh=before.kwh + after.kwh,
        end_seq=after.end_seq,
        rollover=sum(moduli, Decimal(0)) if moduli else None,
    )


def _spans(plan: Plan, steps: Mapping[int, Interval]) -> Iterator[Span]:
    """Every segment of every step by itself."""
    for step_s, interval in steps.items():
        start, end = slot_instant(step_s), slot_instant(step_s + plan.interval_s)
        yield from (_span(segment, start, end) for segment in interval.segments)


def _span(segment: Segment, from_: str, to: str) -> Span:
    return Span(
        point=segment.point,
        meter=segment.meter,
        register=segment.register,
        multiplier=segment.multiplier,
        share=segment.share,
        from_=from_,
        to=to,
        start=segment.start,
        end=segment.end,
        kwh=segment.kwh,
        start_seq=segment.start_seq,
        end_seq=segment.end_seq,
        rollover=segment.rollover,
    )


def _uncertain_kwh(
    plan: Plan, steps: Mapping[int, Interval], intervals: Mapping[int, Interval], value: ValueAt
) -> Decimal:
    """Energy of the steps whose total, or whose split between differently priced periods, nobody measured.

    A stretch of estimated steps between two good slots has a sure total, and a sure split if all of it lies in one
    period of one schedule. A substituted value makes its stretch uncertain in any case.
    """
    uncertain = Decimal(0)
    for stretch in _doubtful(plan, steps):
        parts = [steps[step_s] for step_s in stretch]
        sure = (
            all(part.quality == "estimated" for part in parts)
            and len({(part.period, part.schedule) for part in parts}) == 1
            and _is_good(parts[0], intervals.get(stretch[0] - plan.interval_s), stretch[0], value)
            and _is_good(parts[-1], intervals.get(stretch[-1] + plan.interval_s), stretch[-1] + plan.interval_s, value)
        )
        if not sure:
            uncertain += sum((part.kwh for part in parts), Decimal(0))
    return uncertain


def _doubtful(plan: Plan, steps: Mapping[int, Interval]) -> list[list[int]]:
    """Stretches of estimated or substituted steps; a change of meter, multiplier or share ends one."""
    stretches: list[list[int]] = []
    for step_s, interval in steps.items():
        if interval.quality in _SURE:
            continue
        before = stretches[-1][-1] if stretches else None
        if before == step_s - plan.interval_s and _parts(steps[before]) == _parts(interval):
            stretches[-1].append(step_s)
        else:
            stretches.append([step_s])
    return stretches


def _is_good(part: Interval, neighbour: Interval | None, slot_s: int, value: ValueAt) -> bool:
    """Whether the values at a slot where a stretch ends were measured: the good step beyond it shows it, or `value`."""
    if neighbour is not None and neighbour.quality in _SURE and _parts(neighbour) == _parts(part):
        return True
    values = [value(segment.meter, slot_s) for segment in part.segments]
    return all(map(is_sure, values))


def _parts(interval: Interval) -> set[_Part]:
    return {_part(segment) for segment in interval.segments}


def _max_demand(plan: Plan, from_s: int, to_s: int, steps: Mapping[int, Interval]) -> tuple[Decimal, int] | None:
    """The highest average power over a demand window of the local day, kW, and that window's start.

    Only windows wholly within the bounds whose steps are all there; of equals the first.
    """
    window_s = plan.demand_window_s()
    day_s = plan.day_of(from_s)[0]
    first = from_s + -(from_s - day_s) % window_s
    highest: tuple[Decimal, int] | None = None
    for start_s in range(first, to_s - window_s + 1, window_s):
        parts = [steps.get(s) for s in range(start_s, start_s + window_s, plan.interval_s)]
        present = [part.kwh for part in parts if part is not None]
        if len(present) == len(parts):
            with localcontext(EXACT):
                kwh = sum(present, Decimal(0))
            if highest is None or kwh > highest[0]:
                highest = (kwh, start_s)
    return None if highest is None else (_kw(highest[0], window_s), highest[1])


def _kw(kwh: Decimal, window_s: int) -> Decimal:
    """Exact where it has an end (all windows of 15, 20, 30 and 60 minutes), else six decimals, half up."""
    with localcontext(Context(prec=EXACT.prec)):
        power = kwh * 3600 / window_s
        return power if power * window_s == kwh * 3600 else power.quantize(_KW_STEP, ROUND_HALF_UP)


class Coverage(NamedTuple):
    """One meter per customer (一户一表): how many of the tenants, and how much of their energy, it holds for."""

    tenants: int
    own: int
    kwh: Decimal
    own_kwh: Decimal


def coverage(statements: Iterable[Statement]) -> Coverage:
    """The park's coverage over the bounds that its tenants' statements have."""
    tenants = [one for one in statements if one.tenant is not None]
    own = [one for one in tenants if one.own_meter]
    return Coverage(len(tenants), len(own), _energy(tenants), _energy(own))


def _energy(statements: Iterable[Statement]) -> Decimal:
    with localcontext(EXACT):
        return sum((one.total for one in statements), Decimal(0))


def _own_meter(plan: Plan, subject: Subject, from_s: int, to_s: int) -> bool:
    """Whether every meter counted for the subject alone: no share, no neighbour's sub-meter taken off.

    A sub-meter of the subject's own behind its own point comes off and on again, and changes nothing.
    """
    for _, _, held in plan.eras(from_s, to_s):
        shares: dict[str, Decimal] = {}
        for holding in held.get(subject, []):
            shares[holding.point] = shares.get(holding.point, Decimal(0)) + holding.share
        if any(share not in (0, 1) for share in shares.values()):
            return False
    return True
