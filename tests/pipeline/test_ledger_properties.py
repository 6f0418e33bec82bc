"""What must hold in any park: parks from hypothesis's seeds, energies by brute force in ledger_park."""

import random
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_park import DAY, HOUR, RandomPark, period_at, random_park

from contract import ledger
from contract.ledger import SlotValue
from contract.plan import Plan, Subject
from contract.records import Day, Interval, Span, Statement, parse_slot

parks = st.integers(0, 2**32).map(random_park)
several_hundred = settings(max_examples=60, deadline=None)


def all_intervals(
    park: RandomPark, value: ledger.ValueAt | None = None
) -> tuple[Plan, dict[Subject, dict[int, Interval]]]:
    plan = Plan.from_config(park.body, period_at)
    written: dict[Subject, dict[int, Interval]] = {}
    for step_s in range(park.from_s, park.to_s, HOUR):
        for subject, holdings in plan.holdings(step_s).items():
            made = ledger.interval(plan, subject, holdings, step_s, value or park.value)
            if made is not None:
                written.setdefault(subject, {})[step_s] = made
    return plan, written


@given(parks)
@several_hundred
def test_a_tenants_interval_is_its_share_of_what_its_points_took(park):
    _, written = all_intervals(park)
    for subject, intervals in written.items():
        for step_s, made in intervals.items():
            if subject.tenant is not None:
                assert made.kwh == park.tenant_kwh(subject.tenant, step_s)
            else:
                assert made.kwh == park.vacant_kwh(subject.point, step_s)


@given(parks)
@several_hundred
def test_every_kwh_of_every_point_belongs_to_somebody_once(park):
    _, written = all_intervals(park)
    for step_s in range(park.from_s, park.to_s, HOUR):
        billed: dict[str, Decimal] = {}
        for intervals in written.values():
            for segment in intervals[step_s].segments if step_s in intervals else ():
                if segment.share > 0:
                    billed[segment.point] = billed.get(segment.point, Decimal(0)) + segment.kwh
        assert billed == {p["id"]: park.gross(p["id"], step_s) for p in park.body["points"]}


def check_telescopes(park: RandomPark, span: Span) -> None:
    first = park.registers[span.meter, parse_slot(span.from_)]
    last = park.registers[span.meter, parse_slot(span.to)]
    assert (last - first) * span.multiplier * span.share == span.kwh
    assert (span.start, span.end) == ((first, last) if span.share == 1 else (None, None))
    assert (span.start_seq, span.end_seq) == (parse_slot(span.from_) // HOUR, parse_slot(span.to) // HOUR)


@given(parks)
@several_hundred
def test_days_are_register_differences_and_equal_their_intervals_period_by_period(park):
    plan, written = all_intervals(park)
    for subject, intervals in written.items():
        for from_s in (park.from_s, park.from_s + DAY):
            day = ledger.total(plan, subject, from_s, from_s + DAY, intervals, kind=Day)
            inside = [made for step_s, made in intervals.items() if from_s <= step_s < from_s + DAY]
            assert day.total == sum(made.kwh for made in inside) == sum(span.kwh for span in day.segments)
            for period in {made.period for made in inside}:
                assert day.periods[period] == sum(made.kwh for made in inside if made.period == period)
            assert sum(day.periods.values()) == sum(day.quality_kwh.values(), Decimal(0)) == day.total
            assert (day.complete, day.missing, day.uncertain_kwh) == (True, [], 0)
            for span in day.segments:
                check_telescopes(park, span)
            pieces = {(span.point, span.meter, span.multiplier, span.share, span.from_) for span in day.segments}
            assert len(pieces) == len(day.segments)


@given(parks)
@several_hundred
def test_a_statement_is_the_sum_of_its_days(park):
    plan, written = all_intervals(park)
    for subject, intervals in written.items():
        middle = park.from_s + DAY
        days = [
            ledger.total(plan, subject, from_s, from_s + DAY, intervals, kind=Day) for from_s in (park.from_s, middle)
        ]
        statement = ledger.total(plan, subject, park.from_s, park.to_s, intervals, kind=Statement)
        assert statement.total == sum(day.total for day in days)
        for period in statement.periods:
            assert statement.periods[period] == sum(day.periods.get(period, Decimal(0)) for day in days)
        demands = [day.max_demand_kw for day in days if day.max_demand_kw is not None]
        assert statement.max_demand_kw == max(demands) == max(made.kwh for made in intervals.values())


@given(parks, st.integers(0, 2**32))
@several_hundred
def test_what_was_billed_and_what_is_missing_is_the_truth(park, seed):
    rng = random.Random(seed)
    lost = {key for key in sorted(park.registers) if rng.random() < 0.05}
    plan, written = all_intervals(
        park, lambda meter, slot_s: None if (meter, slot_s) in lost else park.value(meter, slot_s)
    )
    _, truth = all_intervals(park)
    for subject, true_intervals in truth.items():
        billed = written.get(subject, {})
        statement = ledger.total(plan, subject, park.from_s, park.to_s, billed, kind=Statement)
        missing = [
            step_s
            for first, last in statement.missing
            for step_s in range(parse_slot(first), parse_slot(last) + 1, HOUR)
        ]
        assert sorted([*missing, *billed]) == sorted(true_intervals)
        assert statement.complete == (not missing)
        rest = sum(true_intervals[step_s].kwh for step_s in missing)
        assert statement.total + rest == sum(made.kwh for made in true_intervals.values())
        for span in statement.segments:
            check_telescopes(park, span)


@given(parks, st.integers(0, 2**32))
@several_hundred
def test_days_joined_are_the_total_of_all_their_intervals(park, seed):
    rng = random.Random(seed)
    keys = sorted(park.registers)
    lost = {key for key in keys if rng.random() < 0.05}
    poor = {key for key in keys if rng.random() < 0.2 and key[1] != park.from_s + DAY}

    def value(meter, slot_s):
        known = park.value(meter, slot_s)
        if known is None or (meter, slot_s) in lost:
            return None
        return SlotValue(known.registers, "estimated" if (meter, slot_s) in poor else known.quality, known.seq)

    plan, written = all_intervals(park, value)
    for subject, intervals in written.items():
        middle = park.from_s + DAY
        days = [
            ledger.total(
                plan,
                subject,
                from_s,
                from_s + DAY,
                {s: i for s, i in intervals.items() if from_s <= s < from_s + DAY},
                kind=Day,
                value=value,
            )
            for from_s in (park.from_s, middle)
        ]
        whole = ledger.total(plan, subject, park.from_s, park.to_s, intervals, kind=Statement, value=value)
        joined = ledger.join(plan, subject, park.from_s, park.to_s, days, kind=Statement)
        crossing = all(intervals.get(s) and intervals[s].quality == "estimated" for s in (middle - HOUR, middle))
        if not crossing:
            assert joined == whole


@given(parks)
@several_hundred
def test_the_balance_counts_what_stands_behind_an_end_user_once(park):
    plan = Plan.from_config(park.body, period_at)
    roles = {p["id"]: p["role"] for p in park.body["points"]}
    end_use = ("tenant", "operator", "public")
    steps = []
    for step_s in range(park.from_s, park.to_s, HOUR):
        made = ledger.balance_interval(plan, step_s, park.value, ledger.no_rollover, lambda _meter, _slot: Decimal(0))
        if "master" not in roles.values():
            assert made is None
            continue
        (flow,) = made.periods.values()
        # a nested point's own energy, its children's taken off, adds up over the tree to what stands at its roots
        nets = {p: park.gross(p, step_s) for p in roles if roles[p] in end_use}
        for p in park.body["points"]:
            if roles[p["id"]] in end_use and roles.get(p["parent"]) in end_use:
                nets[p["parent"]] -= park.gross(p["id"], step_s)
        assert flow.points == sum(nets.values())
        assert flow.import_ == sum(park.gross(p, step_s) for p in roles if roles[p] == "master")
        assert flow.loss == flow.import_ + flow.pv + flow.storage - flow.export - flow.points
        steps.append(made)
    if steps:
        whole = ledger.balance_sum(park.from_s, park.to_s, steps)
        for period, flow in whole.periods.items():
            parts = [step.periods[period] for step in steps if period in step.periods]
            assert flow.loss == sum(part.loss for part in parts)
            assert flow.points == sum(part.points for part in parts)


registers = st.decimals(min_value=0, max_value=999999, places=2)


@given(registers, registers, st.integers(1, 10**7), st.data())
@settings(deadline=None)
def test_an_interpolated_register_is_the_nearest_digit_on_the_line(first, last, span_ms, data):
    at_ms = data.draw(st.integers(0, span_ms))
    low, high = sorted([first, last])
    value = ledger.interpolate((1000, low), (1000 + span_ms, high), 1000 + at_ms)
    assert low <= value <= high
    assert value.as_tuple().exponent == -2
    off = (value - low) * span_ms - (high - low) * at_ms  # distance from the line, times span
    assert -Decimal("0.005") * span_ms < off <= Decimal("0.005") * span_ms
