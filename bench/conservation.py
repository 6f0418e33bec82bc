"""Conservation of energy over random parks: what the ledger wrote against the registers and against the truth.

    python -m bench.conservation [--cases 1000] [--seed 1]

A case is a day of a random park: multipliers, a meter replaced, a ratio or tenancy changed (sometimes entered late), a
register that rolls over, outages of meters and of the gateway, values bettered afterwards. It must hold, exactly:

    Σ intervals of a point          = Σ register differences × multipliers
    billed + what is missing        = what the simulator's registers ran
    days                            = Σ intervals, period by period
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from agent.reading import Backfilled, Witness
from bench.fed import Fed, configuration
from contract.records import Day, Event, Interval, Reading, Source, instant, parse_slot, slot_instant

HOUR = 3600
BEGIN_S = parse_slot("2026-07-14T16:00:00Z")
END_S = BEGIN_S + 24 * HOUR
MODULUS = 10**6


@dataclass
class Case:
    """A random park: its configuration, the one that replaces it later, registers by the hour, what goes wrong."""

    first: dict[str, Any]
    second: dict[str, Any]
    entered_s: int  # when the second configuration comes into force
    counts: dict[str, list[int]]  # meter → register at each hour in counts of 0.01 kWh, never wrapped
    silent: set[tuple[str, int]]
    asleep: set[int]
    bettered: list[tuple[int, str, int]]  # hour of the backfill, meter, slot
    failures: list[str] = field(default_factory=list)

    def count(self, meter: str, slot_s: int) -> int:
        hours = self.counts[meter]
        return hours[min(max(0, (slot_s - BEGIN_S) // HOUR + 1), len(hours) - 1)]

    def registers(self, meter: str, ms: int) -> Mapping[str, Decimal]:
        return {"import": Decimal(self.count(meter, ms // 1000) % (MODULUS * 100)).scaleb(-2)}


def random_case(seed: int) -> Case:
    rng = random.Random(seed)
    names = [f"m-{n}" for n in range(rng.randint(1, 4))]
    bound_s = BEGIN_S + rng.randint(2, 22) * HOUR
    late_s = bound_s + rng.choice([-HOUR, HOUR, 3 * HOUR])
    change = rng.choice(["meter", "ratio", "tenant", "none"])
    second = _configuration(random.Random(seed), names, None if change == "none" else (change, bound_s))
    first = _configuration(random.Random(seed), names, None)
    meters = [*names, "m-new"]
    counts = {}
    for name in meters:
        run = rng.choice([0, rng.randint(0, 10**7), MODULUS * 100 - rng.randint(1, 20_000)])
        counts[name] = [run]
        for _ in range(28):
            run += rng.choice([0, rng.randint(0, 30), rng.randint(0, 3000)])
            counts[name].append(run)
    slots = range(BEGIN_S, END_S + HOUR, HOUR)
    silent: set[tuple[str, int]] = set()
    for name in names:
        for _ in range(rng.randint(0, 2)):
            start_s = rng.choice(slots[1:])
            silent |= {(name, start_s + n * HOUR) for n in range(rng.randint(1, 6))}
    asleep: set[int] = set()
    if rng.random() < 0.3:
        start_s = rng.choice(slots[1:-3])
        asleep = {start_s + n * HOUR for n in range(rng.randint(1, 5))}
    # the slots of the change itself are read by people or the meters: what happens there is known
    known = {bound_s, BEGIN_S, END_S}
    silent = {(name, slot_s) for name, slot_s in silent if slot_s not in known}
    gone = [key for key in sorted(silent) if key[1] < END_S]
    bettered = [(rng.randint(1, 4), *rng.choice(gone)) for _ in range(rng.randint(0, 3))] if gone else []
    later = END_S if change == "none" else min(late_s, END_S - HOUR)
    return Case(configuration(first), configuration(second), later, counts, silent, asleep - known, bettered)


def _configuration(rng: random.Random, names: list[str], change: tuple[str, int] | None) -> str:
    entries, points, held = [], [], []
    for n, name in enumerate(names):
        multiplier = rng.choice(["1", "40", "0.5", "133.3333"])
        share = rng.choice(["1", "1", "0.375"])
        entries.append(_meter(name, n))
        seats, tenants = (
            f"{{meter: {name}, multiplier: {multiplier}}}",
            f"{{point: p-{n}, tenant: t-{n}, share: {share}}}",
        )
        if n == 0 and change is not None:
            kind, at = change[0], f'"{slot_instant(change[1])}"'
            if kind == "meter":
                seats = f"{{meter: {name}, multiplier: {multiplier}, to: {at}}}, {{meter: m-new, from: {at}}}"
            elif kind == "ratio":
                seats = f"{{meter: {name}, multiplier: {multiplier}, to: {at}}}"
                seats += f", {{meter: {name}, multiplier: 60, from: {at}}}"
            else:
                tenants = (
                    f"{{point: p-0, tenant: t-0, share: {share}, to: {at}}}, {{point: p-0, tenant: t-9, from: {at}}}"
                )
        points.append(f"  - {{id: p-{n}, role: tenant, meters: [{seats}]}}")
        held.append(tenants)
    if change is not None and change[0] == "meter":
        entries.append(_meter("m-new", 90))
    tenants_ = ", ".join(f"{{id: t-{n}}}" for n in range(10))
    return (
        "park: {id: park, schedules: [zj-2026], interval: 1h}\ngateway: {id: gw}\n"
        "lines: [{id: l, port: /dev/ttyRS485-1}]\nmeters:\n"
        + "\n".join(entries)
        + "\npoints:\n"
        + "\n".join(points)
        + f"\ntenancies: [{', '.join(held)}]\ntenants: [{tenants_}]\n"
    )


def _meter(name: str, number: int) -> str:
    return f'  - {{id: {name}, line: l, protocol: dlt645-2007, address: "{number + 1:012d}", digits: 6, max_a: 100}}'


def run(seed: int) -> Case:
    """Plays a case and checks it; `failures` says what does not add up."""
    case = random_case(seed)
    fed = Fed(case.first, case.registers, slot_instant(BEGIN_S - 10 * 60))
    entered = slept = False
    for slot_s in range(BEGIN_S, END_S + 3 * HOUR, HOUR):
        if slot_s in case.asleep:
            slept = True
            continue
        if slept:
            slept = False
            fed.restart(slot_s * 1000 - 60_000)
        if not entered and slot_s > case.entered_s:
            fed.clock.to(slot_s * 1000 - 50_000)
            fed.configure(case.second)
            entered = True
        fed.sweep(slot_s, silent=[name for name in case.counts if (name, slot_s) in case.silent])
        for after, name, better_s in case.bettered:
            if slot_s == better_s + after * HOUR and (name, slot_s) not in case.silent:
                fed.take(Backfilled(name, (_witness(case, name, better_s),)))
                fed.settle()
    _check(case, fed)
    return case


def _witness(case: Case, meter: str, slot_s: int) -> Witness:
    registers = dict(case.registers(meter, slot_s * 1000))
    source = Source(instant(slot_s * 1000), 0, registers, None, [], [])
    return Witness(slot_s * 1000, registers, "load_profile", source)


def _check(case: Case, fed: Fed) -> None:
    latest = fed.latest(Interval)
    spans: dict[tuple[str, str, Decimal, Decimal], list[tuple[int, int, Decimal]]] = {}
    for interval in latest.values():
        for segment in interval.segments:
            key = (segment.point, segment.meter, segment.multiplier, segment.share)
            start_s = parse_slot(interval.start)
            spans.setdefault(key, []).append((start_s, start_s + HOUR, segment.kwh))
    for (point, meter, multiplier, share), steps in spans.items():
        for first_s, last_s, kwh in _runs(sorted(steps)):
            ends = [_value(fed, meter, slot_s) for slot_s in (first_s, last_s)]
            wrapped = ends[1] - ends[0] + (MODULUS if ends[1] < ends[0] else 0)
            if kwh != wrapped * multiplier * share:
                case.failures.append(f"{point} {meter}: {kwh} kWh, registers give {wrapped * multiplier * share}")
    _against_truth(case, fed, latest)
    for day in fed.latest(Day).values():
        inside = [
            i
            for (tenant, point, start), i in latest.items()
            if (tenant, point) == (day.tenant, day.point) and day.from_ <= start < day.to
        ]
        for period in {i.period for i in inside} | day.periods.keys():
            if day.periods.get(period, 0) != sum(i.kwh for i in inside if i.period == period):
                case.failures.append(f"day of {day.tenant or day.point}: {period} is not that of its intervals")
    case.failures += fed.findings()
    if any(event.code in ("register_fell", "register_jumped") for event in fed.bodies(Event)):
        case.failures.append("a register that ran on was taken for one that broke")


def _against_truth(case: Case, fed: Fed, latest: Mapping[tuple[Any, ...], Interval]) -> None:
    """Point by point: what was billed between two good slots is what the meter counted between them; what is not
    billed is missing at the log's edges only."""
    for point in fed.plan.points.values():
        billed: dict[int, Decimal] = {}
        for interval in latest.values():
            for segment in interval.segments:
                if segment.point == point.id:
                    start_s = parse_slot(interval.start)
                    billed[start_s] = billed.get(start_s, Decimal(0)) + segment.kwh
        for fitting in point.fittings:
            from_s, to_s = max(fitting.from_s, BEGIN_S), min(fitting.to_s, END_S)
            if from_s >= to_s:
                continue
            ran = Decimal(case.count(fitting.meter, to_s) - case.count(fitting.meter, from_s)).scaleb(-2)
            steps = range(from_s, to_s, HOUR)
            missing = [s for s in steps if s not in billed]
            kwh = sum((billed[s] for s in steps if s in billed), Decimal(0))
            lost = sum((_missing(case, fitting.meter, s) for s in missing), Decimal(0))
            if kwh + lost * fitting.multiplier != ran * fitting.multiplier:
                case.failures.append(f"{point.id}: billed {kwh}, missing {lost}, ran {ran} × {fitting.multiplier}")


def _missing(case: Case, meter: str, step_s: int) -> Decimal:
    return Decimal(case.count(meter, step_s + HOUR) - case.count(meter, step_s)).scaleb(-2)


def _runs(steps: list[tuple[int, int, Decimal]]) -> list[tuple[int, int, Decimal]]:
    runs: list[tuple[int, int, Decimal]] = []
    for first_s, last_s, kwh in steps:
        if runs and runs[-1][1] == first_s:
            runs[-1] = (runs[-1][0], last_s, runs[-1][2] + kwh)
        else:
            runs.append((first_s, last_s, kwh))
    return runs


def _value(fed: Fed, meter: str, slot_s: int) -> Decimal:
    reading = fed.latest(Reading)[meter, slot_instant(slot_s)]
    assert isinstance(reading, Reading)
    return reading.registers["import"]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    started, failed = time.monotonic(), 0
    for number in range(options.seed, options.seed + options.cases):
        case = run(number)
        failed += bool(case.failures)
        if case.failures:
            print(f"seed {number}: " + "; ".join(case.failures[:3]), flush=True)
    print(f"{options.cases} cases from seed {options.seed}: {failed} failed, {time.monotonic() - started:.0f} s")
    sys.exit(bool(failed))
