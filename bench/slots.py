"""Whether every slot of a slow line is hit: the real agent on paced pseudo-terminals, in real time, slot after slot.

    even     meters that answer after 200 ms each, 2400 baud
    mixed    20 to 200 ms, drawn by the seed
    sick     the same with three dead meters and one that takes 450 ms, drawn by the seed: the others' slots count

With --memory the meters keep load records or freezes of every slot, for a line on which not even the looks fit:

    odd      20 to 200 ms; one meter keeps nothing, one's clock is 20 s off, one answers filler: their slots count too

A reading counts if it stands in the log as measured and confirmed, read within 1 % of the interval (9 s of 15 min).
The first slot after the start is left out: the agent has just met its meters. Judged is what `hubiao export` shows.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.paced import Paced, Wire
from bench.parks import text
from bench.running import exported, running
from contract.records import parse_instant, parse_slot

LONGEST_DELAY_S, SICK_DELAY_S = 0.2, 0.45
DEAD = 3
SWEEP_S = {"": 60, "load_profile": 240, "freeze": 300}  # behind a slot until its sweep is over and committed, at most
TICK_MS = 20_000  # a count of each register: most meters tick at some slot between look and confirmation


@dataclass(slots=True)
class Played:
    """One line. delays: seconds of each meter. dead, slow: those whose own slots are not judged."""

    name: str
    delays: dict[int, float]
    dead: set[int] = field(default_factory=set)
    slow: set[int] = field(default_factory=set)
    others: dict[int, dict[str, Any]] = field(default_factory=dict)  # what these keep instead


def lines(meters: int, seed: int, memory: str) -> list[Played]:
    numbers = range(1, meters + 1)
    draw = random.Random(seed)

    def mixed() -> dict[int, float]:
        return {number: round(draw.uniform(0.02, LONGEST_DELAY_S), 3) for number in numbers}

    sick = draw.sample(numbers, DEAD + 1)
    slow = sick.pop()
    if memory:
        odd = ({"kind": ""}, {"kind": memory, "off_ms": 20_000}, {"kind": memory, "filler": True})
        others = dict(zip(draw.sample(numbers, len(odd)), odd, strict=True))
        return [Played("even", dict.fromkeys(numbers, LONGEST_DELAY_S)), Played("odd", mixed(), others=others)]
    return [
        Played("even", dict.fromkeys(numbers, LONGEST_DELAY_S)),
        Played("mixed", mixed()),
        Played("sick", mixed() | {slow: SICK_DELAY_S}, set(sick), {slow}),
    ]


async def measure(meters: int, slots: int, interval_s: int, seed: int, memory: str) -> list[dict[str, Any]]:
    """One object a line: slots and meters judged, hits, how many of each method, the worst distance from a slot in
    seconds."""
    played = lines(meters, seed, memory)
    usual = {"baud": 2400, "framing": "8E1", "meters": meters, "tick_ms": TICK_MS, "keeps": memory}
    child = await Paced.start(
        [Wire("dlt645", silent=sorted(line.dead), others=line.others, **usual) for line in played]  # type: ignore[arg-type]
    )
    for number, line in enumerate(played):
        await child.slow(number, line.delays)
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        directory = Path(name)
        yaml = text(child.ports, meters, "dlt645-2007", baud=2400, framing="8E1", interval=f"{interval_s}s", data=name)
        async with running(yaml, directory):
            now_s = time.time()
            first = (int(now_s) // interval_s + 2) * interval_s
            last = first + (slots - 1) * interval_s
            await asyncio.sleep(last + SWEEP_S[memory] - now_s)
        readings = [record for record in exported(directory / "park.yaml", "reading") if record["slot"]]
    await child.close()
    judged = range(first, last + 1, interval_s)
    return [_row(n, line, judged, readings, interval_s) for n, line in enumerate(played)]


def _row(n: int, line: Played, judged: range, readings: list[dict[str, Any]], interval_s: int) -> dict[str, Any]:
    owed = {(f"m-{n}-{number}", slot_s) for number in line.delays for slot_s in judged if number not in line.dead}
    owed -= {(f"m-{n}-{number}", slot_s) for number in line.slow for slot_s in judged}
    hits, off_s, methods = set(), [0.0], Counter[str]()
    for record in readings:
        slot_s = parse_slot(record["slot"])
        key = record["meter"], slot_s
        if key not in owed or record["quality"] != "measured" or "confirmed" not in record["checks"]:
            continue
        away_s = abs(parse_instant(record["sources"][0]["read_at"]) / 1000 - slot_s)
        if away_s <= max(0.5, interval_s / 100):
            hits.add(key)
            methods[record["method"]] += 1
            off_s.append(away_s)
    return {
        "line": line.name,
        "slots": len(judged),
        "owed": len(owed),
        "hit": len(hits),
        "methods": dict(methods),
        "part": round(len(hits) / len(owed), 4),
        "farthest_s": round(max(off_s), 2),
        "missed": sorted(f"{meter} {slot_s}" for meter, slot_s in owed - hits)[:10],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--meters", type=int, default=32)
    parser.add_argument("--slots", type=int, default=1, help="slots judged, besides the first after the start")
    parser.add_argument("--interval", type=int, default=900, metavar="SECONDS")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--memory", choices=["load_profile", "freeze"], default="", help="what the meters keep")
    options = parser.parse_args()
    measured = measure(options.meters, options.slots, options.interval, options.seed, options.memory)
    for row in asyncio.run(measured):
        sys.stdout.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
