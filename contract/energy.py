"""From register values at slots to the energy of a step, exactly (pure).

    value at start ─┐
                    ├─▶ (end − start) × multiplier × share ──▶ segment ─┐
    value at end  ──┘                                         segment ──┴─▶ interval of a subject

Nothing is rounded except a value interpolated between two looks. Which value a slot has is decided before; days and
statements are made in `totals`, the park's balance in `balance`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal, DivisionByZero, Inexact, InvalidOperation, Overflow, localcontext

from contract.plan import Holding, Plan, Subject
from contract.records import Interval, Quality, Segment, slot_instant, worst

# more digits than any product of a register, a multiplier and a share; a lost digit raises instead of being rounded
EXACT = Context(prec=120, traps=[Inexact, InvalidOperation, DivisionByZero, Overflow])


@dataclass(frozen=True, slots=True)
class SlotValue:
    """A meter at a slot: its registers, how good they are, and the log index of the reading that says so."""

    registers: Mapping[str, Decimal]
    quality: Quality
    seq: int


ValueAt = Callable[[str, int], SlotValue | None]  # meter, slot in UTC seconds
RolloverAt = Callable[[str, int], Decimal | None]  # meter, start of the step → modulus, if it passed through zero


def no_rollover(_meter: str, _start_s: int) -> Decimal | None:
    """No register passed through zero."""
    return None


def interval(
    plan: Plan,
    subject: Subject,
    holdings: Sequence[Holding],
    start_s: int,
    value: ValueAt,
    rollovers: RolloverAt = no_rollover,
) -> Interval | None:
    """The subject's energy over the step that starts at a slot, revision 0.

    `holdings` are the subject's in `plan.holdings(start_s)`. None while a point held lacks a value at an end, and
    where a register fell without a declared rollover: that is never consumption. Period and schedule are those of
    the start; where points with schedules of their own meet in one tenant, the first point held decides.
    """
    if not holdings:
        return None
    segments = []
    for holding in holdings:
        went = advance(plan, holding.meter, holding.register, start_s, value, rollovers)
        if went is None:
            return None
        segments.append(_segment(holding, went))
    period, schedule = plan.period_at(start_s, plan.points[holdings[0].point].schedule)
    with localcontext(EXACT):
        kwh = sum((segment.kwh for segment in segments), Decimal(0))
    return Interval(
        tenant=subject.tenant,
        point=subject.point,
        role=subject.role,
        start=slot_instant(start_s),
        end=slot_instant(start_s + plan.interval_s),
        period=period,
        schedule=schedule,
        kwh=kwh,
        quality=worst([segment.quality for segment in segments]),
        segments=segments,
    )


@dataclass(frozen=True, slots=True)
class Advance:
    """What a register counted over a step: both values, the modulus if it passed through zero, and their sources."""

    start: Decimal
    end: Decimal
    rollover: Decimal | None
    difference: Decimal
    quality: Quality
    start_seq: int
    end_seq: int


def advance(
    plan: Plan, meter: str, register: str, start_s: int, value: ValueAt, rollovers: RolloverAt = no_rollover
) -> Advance | None:
    """What a register counted over a step; None without both values, or if it fell without a declared rollover.

    A rollover counts only for a meter whose `digits` the configuration knows.
    """
    first, last = value(meter, start_s), value(meter, start_s + plan.interval_s)
    if first is None or last is None or register not in first.registers or register not in last.registers:
        return None
    start, end = first.registers[register], last.registers[register]
    rollover = None
    with localcontext(EXACT):
        difference = end - start
        if difference < 0 and meter in plan.moduli:
            rollover = rollovers(meter, start_s)
            difference += rollover or 0
    if difference < 0:
        return None
    return Advance(start, end, rollover, difference, worst([first.quality, last.quality]), first.seq, last.seq)


def interpolate(before: tuple[int, Decimal], after: tuple[int, Decimal], at_ms: int) -> Decimal:
    """A register between two looks (UTC ms, value): linear in time, rounded half up to the register's last digit.

    The last digit is that of the value with more decimals. Raises ValueError unless before ≤ at ≤ after and the looks
    differ in time.
    """
    (before_ms, first), (after_ms, last) = before, after
    if not before_ms <= at_ms <= after_ms or before_ms == after_ms:
        raise ValueError(f"{at_ms} ms is not between the looks at {before_ms} and {after_ms} ms")
    decimals = max(_decimals(first), _decimals(last))
    with localcontext(EXACT):
        low, high = int(first.scaleb(decimals)), int(last.scaleb(decimals))
        span = after_ms - before_ms
        product = low * span + (high - low) * (at_ms - before_ms)
        return Decimal((2 * product + span) // (2 * span)).scaleb(-decimals)


def _segment(holding: Holding, went: Advance) -> Segment:
    with localcontext(EXACT):
        kwh = went.difference * holding.multiplier * holding.share
    return Segment(
        point=holding.point,
        meter=holding.meter,
        register=holding.register,
        multiplier=holding.multiplier,
        share=holding.share,
        start=went.start if holding.own else None,
        end=went.end if holding.own else None,
        kwh=kwh,
        quality=went.quality,
        start_seq=went.start_seq,
        end_seq=went.end_seq,
        rollover=went.rollover,
    )


def _decimals(value: Decimal) -> int:
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int):
        raise ValueError(f"{value} is no register value")
    return max(0, -exponent)
