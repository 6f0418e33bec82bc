"""A simulated month: what every tenant's statement says against what the park truly used.

    python -m bench.month [--meters 60] [--days 31] [--seed 1] [--profile | --freeze] [--clock-off 0] [--late 0]

Noise (readings lost at random, single false registers), three outages (a meter, a line, the gateway), one replaced
meter, one ratio change, one move. Readings go to the recorder directly; slots, validation, revisions, days and
statements are the gateway's own. `--profile`: the meters that fell silent answer from their load profile afterwards,
`--freeze`: from the freezes that they take at whole hours; `--clock-off`: seconds by which their clocks may be wrong.
`--late`: seconds that a sweep takes, as on a slow line, so that slots lie between two looks (not those of statements).
Exit 1 if a statement is off by more than one register count a segment, or an interval is lost.
"""

from __future__ import annotations

import argparse
import math
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Any, Literal

from agent.reading import Backfilled, Missed, SweepDone, Witness
from bench.fed import Fed, configuration
from contract.records import (
    Interval,
    Reading,
    Source,
    Span,
    Statement,
    instant,
    parse_instant,
    parse_slot,
    slot_instant,
)
from simulators.household import drawn
from simulators.park import Truth

STEP_S = 900
BEGIN_S = parse_slot("2026-06-30T16:00:00Z")  # local midnight of 1 July
COUNT = Decimal("0.01")
LOST = 0.004  # of readings that never come
FALSE = 0.0005  # of readings that are confirmed and wrong
REMEMBERED_S = {"load_profile": STEP_S, "freeze": 3600}  # what a meter keeps of itself, and how often
Memory = Literal["load_profile", "freeze"]


@dataclass
class Outcome:
    """What a month came to."""

    tenants: int = 0
    statements: int = 0
    worst_counts: Decimal = Decimal(0)  # |statement − truth| in counts of its segments' registers, over their number
    failures: list[str] = field(default_factory=list)
    billed: Decimal = Decimal(0)
    truth: Fraction = Fraction(0)
    errors: dict[str, list[Fraction]] = field(default_factory=dict)  # by method of the worse end: kWh off the truth
    records: int = 0
    seconds: float = 0.0


def park(meters: int, days: int) -> dict[str, Any]:
    """`meters` in all: a master, a public one, tenants; the first three of them change in mid-month."""
    swap, ratio, move = changes(days)
    lines = [f"  - {{id: l-{n}, port: /dev/ttyRS485-{n}, baud: 9600, framing: 8E1}}" for n in range(1, 5)]
    entries, tenants = [], []
    for n in range(meters):
        role = {0: "role: master, max_a: 6, ct: 4000/5, multiplier: 800", 1: "role: public, max_a: 60"}.get(n)
        tail = role or f"tenant: t-{n}, max_a: 60"
        if n == 3:  # its transformers change: the multiplier stands with the point
            tail = f"tenant: t-{n}, max_a: 6"
        entries.append(_meter(f"m-{n}", n, 1 + n % 4, tail))
        tenants.append(f"  - {{id: t-{n}}}")
    entries.append(_meter("m-new", 900, 3, "max_a: 60"))
    return configuration(
        "park: {id: month, schedules: [zj-2026]}\ngateway: {id: gw-1}\nlines:\n"
        + "\n".join(lines)
        + "\nmeters:\n"
        + "\n".join(entries)
        + f"""
points:
  - id: m-2
    meters: [{{meter: m-2, to: "{slot_instant(swap)}"}}, {{meter: m-new, from: "{slot_instant(swap)}"}}]
  - id: m-3
    meters:
      - {{meter: m-3, multiplier: 30, to: "{slot_instant(ratio)}"}}
      - {{meter: m-3, multiplier: 40, from: "{slot_instant(ratio)}"}}
tenancies:
  - {{point: m-4, tenant: t-4, to: "{slot_instant(move)}"}}
  - {{point: m-4, tenant: t-in, from: "{slot_instant(move)}"}}
tenants:
"""
        + "\n".join([*tenants, "  - {id: t-in}"])
        + "\n"
    )


def changes(days: int) -> tuple[int, int, int]:
    """The slots at which a meter is replaced, a multiplier changes, a tenant moves: read by people if need be."""
    middle = BEGIN_S + days // 2 * 86_400
    return middle + 10 * 3600, middle + 11 * 3600, middle + 12 * 3600


def _meter(name: str, number: int, line: int, tail: str) -> str:
    address = f'"{number + 1:012d}"'
    return (
        f"  - {{id: {name}, line: l-{line}, protocol: dlt645-2007, address: {address}, phases: 3, digits: 6, {tail}}}"
    )


@dataclass(frozen=True)
class Outages:
    """A meter for 30 hours, a line for five, the gateway for nine, each across tariff periods."""

    days: int

    def meter(self, name: str, slot_s: int) -> bool:
        return name == "m-5" and self._within(slot_s, 1, 9, 30)

    def line(self, line: str, slot_s: int) -> bool:
        return line == "l-2" and self._within(slot_s, self.days // 3, 13, 5)

    def gateway(self, slot_s: int) -> bool:
        return self._within(slot_s, self.days * 2 // 3, 5, 9)

    def _within(self, slot_s: int, day: int, hour: int, hours: int) -> bool:
        first = BEGIN_S + day * 86_400 + hour * 3600
        return first <= slot_s < first + hours * 3600


def play(
    meters: int = 60,
    days: int = 31,
    seed: int = 1,
    *,
    memory: Memory | None = None,
    clock_off_s: int = 0,
    late_s: int = 0,
) -> tuple[Fed, Truth, Outcome]:
    """Plays the month; gives the park as it ended, its truth and what its statements came to."""
    started = time.monotonic()
    config = park(meters, days)
    end_s = BEGIN_S + days * 86_400
    config["settings"]["closings"] = sorted({"01 00:00", f"{1 + days % 31:02d} 00:00"})
    truth = Truth(config, seed)
    fed = Fed(config, lambda name, ms: {"import": truth.registers(name, ms)["import"]}, slot_instant(BEGIN_S - 700))
    random_ = random.Random(seed)
    outages = Outages(days)
    lines = {meter["id"]: meter["line"] for meter in config["meters"]}
    for slot_s in range(BEGIN_S, end_s + 3 * STEP_S, STEP_S):
        if outages.gateway(slot_s):
            continue
        fed.clock.to(slot_s * 1000 + 500)
        edge = slot_s in (BEGIN_S, end_s, *changes(days))
        for name, metered in fed.recorder.meters.items():
            fed.clock.move(20 if edge else 20 + late_s * 1000 // meters)
            if fed.plan.is_retired(name, slot_s - 1):
                continue
            gone = outages.meter(name, slot_s) or outages.line(lines[name], slot_s)
            if gone or (not edge and random_.random() < LOST):
                fed.take(Missed(name, fed.clock.wall_ms(), "timeout", ""))
                continue
            shown = fed.registers(name, fed.clock.wall_ms())
            if not edge and random_.random() < FALSE:
                shown = {"import": shown["import"] + random_.choice([500, -300])}
                shown = {"import": max(shown["import"], Decimal("0.00"))}
            fed.take(fed.look(metered.id, shown))
        if memory is not None:
            _backfill(fed, truth, edge, memory, clock_off_s)
        fed.take(SweepDone("l-1", slot_s))
        fed.settle()
    exactly = memory is not None and clock_off_s == 0
    return fed, truth, _judge(fed, truth, end_s, started, exactly=exactly)


def _backfill(fed: Fed, truth: Truth, edge: bool, memory: Memory, clock_off_s: int) -> None:
    """Meters remember: what the sweep just read left estimated, and slots that bound a statement, are asked again."""
    found: dict[str, list[Witness]] = {}
    for head, body in reversed(fed.log.records):
        if head.boot_ms < fed.clock.boot_ms() - 30_000:
            break
        if isinstance(body, Reading) and body.slot is not None and (edge or body.quality != "measured"):
            slot_s = parse_slot(body.slot)
            if slot_s % REMEMBERED_S[memory]:
                continue
            off_s = drawn(truth.seed, body.meter, "clock") % (2 * clock_off_s + 1) - clock_off_s
            at_ms = (slot_s - off_s) * 1000
            registers = {"import": truth.registers(body.meter, at_ms)["import"]}
            source = Source(instant(at_ms), fed.clock.boot_ms(), registers, None, [], [])
            found.setdefault(body.meter, []).append(Witness(at_ms, registers, memory, source))
    for meter, witnesses in found.items():
        fed.take(Backfilled(meter, tuple(witnesses)))


def _judge(fed: Fed, truth: Truth, end_s: int, started: float, *, exactly: bool) -> Outcome:
    """`exactly`: statements must be the registers at their bounds to the last digit, not within a count a segment."""
    outcome = Outcome()
    statements = [
        statement for (_, _, from_, to), statement in fed.latest(Statement).items() if to == slot_instant(end_s)
    ]
    tenants = {one["tenant"] for one in fed.config["tenancies"]}
    outcome.tenants, outcome.statements = len(tenants), sum(s.tenant is not None for s in statements)
    for statement in statements:
        if statement.tenant is None:
            continue
        start_s = max(parse_slot(statement.from_), BEGIN_S)
        used = truth.tenant_kwh(statement.tenant, start_s * 1000, end_s * 1000)
        # registers show whole counts, and are not of the very bounds
        allowed = sum(
            (Fraction(segment.multiplier) * Fraction(COUNT) for segment in statement.segments), Fraction(0)
        ) + _drift(fed, truth, statement)
        off = abs(Fraction(statement.total) - used)
        counts = off / Fraction(COUNT) / max(1, sum((Fraction(s.multiplier) for s in statement.segments), Fraction(0)))
        outcome.worst_counts = max(outcome.worst_counts, Decimal(math.ceil(counts * 1000)) / 1000)
        outcome.billed += statement.total
        outcome.truth += used
        shown = sum(_shown(truth, segment) for segment in statement.segments)
        if off > allowed or not statement.complete or (exactly and statement.total != shown):
            outcome.failures.append(f"{statement.tenant}: {statement.total} against {float(used):.4f}")
    if outcome.statements != len(tenants):
        outcome.failures.append(f"{outcome.statements} statements of {len(tenants)} tenants")
    outcome.errors = _interval_errors(fed, truth)
    outcome.records, outcome.seconds = len(fed.log.records), time.monotonic() - started
    return outcome


def _shown(truth: Truth, segment: Span) -> Decimal:
    """What the meter itself showed at the very bounds of a segment."""
    first, last = (
        truth.registers(segment.meter, parse_slot(slot) * 1000)["import"] for slot in (segment.from_, segment.to)
    )
    return (last - first) * segment.multiplier


def _drift(fed: Fed, truth: Truth, statement: Statement) -> Fraction:
    """What flowed between the ends of the segments and the moments at which their registers were read."""
    late = Fraction(0)
    for segment in statement.segments:
        for seq, slot in ((segment.start_seq, segment.from_), (segment.end_seq, segment.to)):
            body = fed.log.records[seq][1]
            assert isinstance(body, Reading)
            if body.quality == "measured":
                slot_ms, read_ms = parse_slot(slot) * 1000, parse_instant(str(body.sources[-1].read_at))
                late += truth.point_kwh(segment.point, min(slot_ms, read_ms), max(slot_ms, read_ms))
    return late


def _interval_errors(fed: Fed, truth: Truth) -> dict[str, list[Fraction]]:
    """Every interval of a tenant with one plain meter against the truth, by how its worse end was found."""
    errors: dict[str, list[Fraction]] = {}
    for interval in fed.latest(Interval).values():
        if interval.tenant is None or len(interval.segments) != 1:
            continue
        (segment,) = interval.segments
        start_ms, end_ms = parse_slot(interval.start) * 1000, parse_slot(interval.end) * 1000
        used = truth.point_kwh(segment.point, start_ms, end_ms)
        ends = [fed.log.records[seq][1] for seq in (segment.start_seq, segment.end_seq)]
        errors.setdefault(_method(ends), []).append(abs(Fraction(interval.kwh) - used) / Fraction(segment.multiplier))
    return errors


def _method(ends: list[Any]) -> str:
    """How the worse end was found; of two that are as good the one that was not read live."""
    qualities = ("measured", "interpolated", "estimated", "substituted")
    worst = max(ends, key=lambda end: (qualities.index(end.quality), end.method != "live"))
    return f"estimated {worst.estimate}" if worst.estimate else str(worst.method)


def table(outcome: Outcome) -> Iterator[str]:
    """The figures, a line each."""
    yield f"tenants {outcome.tenants}, statements {outcome.statements}, records {outcome.records}"
    yield f"billed {outcome.billed} kWh, truth {float(outcome.truth):.4f} kWh"
    yield f"worst statement {outcome.worst_counts} counts a segment, failures {len(outcome.failures)}"
    for method, errors in sorted(outcome.errors.items()):
        mean = float(sum(errors) / len(errors))
        worst = float(max(errors))
        yield f"{method:>20}: {len(errors):7} intervals, worst {worst:.4f}, mean {mean:.4f} kWh of register"
    yield f"{outcome.seconds:.0f} s"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--meters", type=int, default=60)
    parser.add_argument("--days", type=int, default=31)
    parser.add_argument("--seed", type=int, default=1)
    memory = parser.add_mutually_exclusive_group()
    memory.add_argument("--profile", action="store_const", const="load_profile", dest="memory")
    memory.add_argument("--freeze", action="store_const", const="freeze", dest="memory")
    parser.add_argument("--clock-off", type=int, default=0, metavar="S")
    parser.add_argument("--late", type=int, default=0, metavar="S")
    options = parser.parse_args()
    _, _, found = play(
        options.meters,
        options.days,
        options.seed,
        memory=options.memory,
        clock_off_s=options.clock_off,
        late_s=options.late,
    )
    print("\n".join([*table(found), *found.failures]))
    sys.exit(bool(found.failures))
