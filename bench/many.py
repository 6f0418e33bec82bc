"""Many lines behind TCP converters: are all slots complete, and what does the agent cost the processor?

    64 converters × 32 Modbus meters at 9600 baud = 2,048 meters ── one agent ── broker

Complete is a slot for which the log holds a reading of each meter; measured, where the sweep fits into 1 % of the
interval to each side (with 300 s and more; with 60 s most are interpolated between two readings). Processor time is the
agent's own, as part of one core over whole slots; the simulator's stands beside it. What costs c of a core with a slot
a minute costs c / 15 with one every 15 minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from bench.agent import INSTALLED, compiled, cpu_s, rss_mib
from bench.paced import Paced, Wire
from bench.parks import text
from bench.running import exported, running
from contract.records import parse_slot
from simulators.broker import embedded_broker

METERS = 32
BUNCH = 64  # characters that a converter sends together: a whole answer
SETTLE_S = 45  # after a slot: its sweep, its commit, its publishing


async def measure(lines: int, meters: int, slots: int, interval_s: int, settle_s: int, warm: int) -> dict[str, Any]:
    """meters: of each line."""
    compiled()
    child = await Paced.start([Wire("modbus", meters=meters, fifo=BUNCH, tick_ms=7_000, tcp=True)] * lines)
    async with embedded_broker("mosquitto") as broker:
        with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
            directory = Path(name)
            yaml = text(child.ports, meters, "modbus", mqtt=broker.url, interval=f"{interval_s}s", data=name)
            asked_from = time.monotonic()
            async with running(yaml, directory, env=INSTALLED) as agent:
                asked: list[float] = []
                while not asked or not all(asked):
                    await asyncio.sleep(0.5)
                    asked = [line["first_at"] for line in await child.report()]
                now_s = time.time()
                first = (int(now_s) // interval_s + 1 + warm) * interval_s
                await asyncio.sleep(first - interval_s + settle_s - now_s)
                began = time.monotonic(), cpu_s(agent.pid), cpu_s(child.pid)
                await asyncio.sleep(slots * interval_s)
                took_s = time.monotonic() - began[0]
                agent_s, simulator_s = cpu_s(agent.pid) - began[1], cpu_s(child.pid) - began[2]
                rss, peak = rss_mib(agent.pid), rss_mib(agent.pid, "VmHWM")
                await asyncio.sleep(interval_s)  # what is interpolated waits for the next slot's reading
            account = await child.report()
            qualities: dict[int, Counter[str]] = {first + n * interval_s: Counter() for n in range(slots)}
            for record in exported(directory / "park.yaml", "reading"):
                if record["slot"] and record["revision"] == 0 and parse_slot(record["slot"]) in qualities:
                    qualities[parse_slot(record["slot"])][record["quality"]] += 1
    await child.close()
    everyone = lines * meters
    return {
        "meters": everyone,
        "first_request_s": round(min(asked) - asked_from, 1),
        "every_line_asked_s": round(max(asked) - asked_from, 1),
        "slots": slots,
        "complete": [round(count.total() / everyone, 4) for count in qualities.values()],
        "measured": round(sum(count["measured"] for count in qualities.values()) / (everyone * slots), 4),
        "cpu_of_a_core": round(agent_s / took_s, 3),
        "cpu_s_a_slot": round(agent_s / slots, 2),
        "simulator_cpu_of_a_core": round(simulator_s / took_s, 3),
        "gap_violations": sum(line["gap_violations"] for line in account),
        "rss_mib": round(rss, 1),
        "rss_peak_mib": round(peak, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--lines", type=int, default=64)
    parser.add_argument("--meters", type=int, default=METERS, help="of each line")
    parser.add_argument("--slots", type=int, default=3, help="slots judged")
    parser.add_argument(
        "--warm", type=int, default=4, help="slots before them: at the start each meter is asked for all it has"
    )
    parser.add_argument("--interval", type=int, default=60, metavar="SECONDS")
    parser.add_argument("--settle", type=int, default=SETTLE_S, metavar="SECONDS")
    options = parser.parse_args()
    result = asyncio.run(
        measure(options.lines, options.meters, options.slots, options.interval, options.settle, options.warm)
    )
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
