"""`python -m bench.evidence_clock [--steps N] [--seed S]`: steps of the wall clock, boots in 1970.

The recorder, its slots and timekeeping are the gateway's own; readings are handed over at instants of a wall clock that
is stepped at random by up to a day either way, between sweeps and within them. What meters show follows the boot clock.
"""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from random import Random
from typing import Any

from agent.ledger.slots import tolerance_ms
from bench.fed import Fed, configuration
from contract.records import Body, Gap, Head, Reading, parse_instant, parse_slot

CONFIG = """
park: {id: clock, name: 钟, schedules: [zj-2024, zj-2026], interval: 15min}
gateway: {id: gw-1, data: data, clock: kernel}
lines: [{id: east, port: /dev/ttyRS485-1, baud: 9600, framing: 8N1}]
meters:
  - {id: m-1, line: east, protocol: dlt645-2007, address: "202208310001", role: master, max_a: 60}
  - {id: m-2, line: east, protocol: dlt645-2007, address: "202208310002", tenant: acme, max_a: 60}
tenants: [{id: acme, name: 埃克米}]
"""
INTERVAL_S = 900
START = "2026-07-10T00:00:10.000Z"
SIZES_MS = (1_500, 10_000, 120_000, 900_000, 3_600_000, 86_400_000)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a log says after its clock was played with."""

    log: list[tuple[int, Body]]
    twice: list[tuple[str, int]]  # (meter, slot) with two first answers
    lost: list[tuple[str, int]]  # (meter, slot) without any
    out_of_window: list[int]  # seqs of `measured` readings outside their window
    steps: int

    @property
    def bodies(self) -> list[Body]:
        return [body for _, body in self.log]

    @property
    def problems(self) -> list[Any]:
        return [*self.twice, *self.lost, *self.out_of_window]


def steps(random: Random, count: int) -> Outcome:
    """So many steps, up to four slots between one and the next."""
    fed = _park()
    for _ in range(count):
        for _ in range(random.randint(1, 4)):
            _sweep(fed, random, step_ms=_step(random) if random.random() < 0.2 else 0)
        fed.clock.wall += _step(random)
    for _ in range(4):
        _sweep(fed, random)
    return _outcome(fed, count)


def campaign(random: Random, *, boot_in_1970: bool) -> Outcome:
    """Hours without a time, then the right one."""
    fed = _park(1970 if boot_in_1970 else 2026)
    for _ in range(12):
        _sweep(fed, random)
    fed.clock.wall = parse_instant(START) + fed.clock.boot
    fed.clock.state = ("disciplined", 20)
    for _ in range(6):
        _sweep(fed, random)
    return _outcome(fed, 1)


def _park(year: int = 2026) -> Fed:
    fed = Fed(configuration(CONFIG), lambda _meter, _ms: _shown(fed), START)
    if year == 1970:
        fed = Fed(configuration(CONFIG), lambda _meter, _ms: _shown(fed), "1970-01-01T00:00:10.000Z")
        fed.clock.state = ("none", None)
        fed.recorder.time.trusted = False
    return fed


def _shown(fed: Fed) -> dict[str, Decimal]:
    """Half a kilowatt, by the one clock that never steps."""
    return {"import": Decimal(fed.clock.boot_ms() // 72_000) / 100}


def _step(random: Random) -> int:
    return random.choice((-1, 1)) * random.randint(1_001, random.choice(SIZES_MS))


def _sweep(fed: Fed, random: Random, *, step_ms: int = 0) -> None:
    """Waits for the next slot of the wall clock as the poller does, and asks all meters; the step comes half-way."""
    slot_s = fed.plan.slot_floor(fed.clock.wall_ms() // 1000) + INTERVAL_S
    fed.clock.to(slot_s * 1000 - 500 + random.randint(0, 2_000))
    for n, meter in enumerate(fed.recorder.meters):
        if n == 1:
            fed.clock.wall += step_ms
        fed.take(fed.look(meter))
        fed.clock.move(300)
    fed.settle()


def _outcome(fed: Fed, count: int) -> Outcome:
    answers: Counter[tuple[str, int]] = Counter()
    covered: set[tuple[str, int]] = set()
    out = []
    for head, body in fed.log.records:
        if isinstance(body, Gap):
            for slot_s in range(parse_slot(body.from_slot), parse_slot(body.to_slot) + 1, INTERVAL_S):
                answers[body.meter, slot_s] += 1
                covered.add((body.meter, slot_s))
        elif isinstance(body, Reading) and body.slot is not None:
            key = (body.meter, parse_slot(body.slot))
            answers[key] += body.revision == 0
            covered.add(key)
            if body.quality == "measured" and not _within(head, body, key[1]):
                out.append(head.seq)
    lost = []
    for meter in fed.recorder.meters:
        slots = sorted(slot_s for name, slot_s in covered if name == meter)
        every = range(slots[0], slots[-1] + 1, INTERVAL_S) if slots else ()
        lost += [(meter, slot_s) for slot_s in every if (meter, slot_s) not in covered]
    twice = [key for key, n in answers.items() if n > 1]
    return Outcome([(head.seq, body) for head, body in fed.log.records], twice, lost, out, count)


def _within(head: Head, body: Reading, slot_s: int) -> bool:
    at = body.sources[0].read_at
    if at is None or head.clock == "none":
        return False
    return abs(parse_instant(at) - slot_s * 1000) + (head.clock_error_ms or 0) <= tolerance_ms(INTERVAL_S)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    done = twice = lost = out = 0
    while done < options.steps:
        outcome = steps(Random(options.seed + done), 50)
        done += outcome.steps
        twice, lost = twice + len(outcome.twice), lost + len(outcome.lost)
        out += len(outcome.out_of_window)
    boots = [campaign(Random(options.seed + n), boot_in_1970=True) for n in range(10)]
    print(f"{done} steps: slots twice {twice}, lost {lost}, measured outside their window {out}")
    print(f"{len(boots)} boots in 1970: problems {sum(len(boot.problems) for boot in boots)}")


if __name__ == "__main__":
    main()
