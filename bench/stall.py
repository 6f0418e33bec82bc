"""How late the agent's event loop is while the disk hangs for five seconds in the middle of a sweep.

    8 lines × 56 Modbus meters, a slot every 10 s: the next sweep begins while the last is written
    fsync hangs (slow_fsync.c by LD_PRELOAD) ── the store's thread waits ── lines go on?

How late the loop is says a probe in it (`bench.probed`). Needs a C compiler.
Printed: lag over whole stalls and over the time without them, and exchanges meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.paced import Paced, Wire
from bench.parks import text
from bench.running import running
from simulators.broker import embedded_broker

LINES, METERS = 8, 56  # a sweep of 7.7 s: most of a stall after its commit falls into the next
INTERVAL_S = 10
WARM_S = 40.0
STALL_S = 5
CALM_S = 20.0  # between stalls
SOURCE = Path(__file__).with_name("slow_fsync.c")


async def measure(stalls: int) -> dict[str, Any]:
    child = await Paced.start([Wire("modbus", meters=METERS, fifo=8, tick_ms=7_000) for _ in range(LINES)])
    times: list[tuple[float, float]] = []
    asked = 0
    async with embedded_broker("mosquitto") as broker:
        with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
            directory = Path(name)
            shim, flag, probes = directory / "slow_fsync.so", directory / "hang", directory / "lags.json"
            _compile(shim)
            env = os.environ | {"LD_PRELOAD": str(shim), "STALL_FLAG": str(flag), "STALL_SECONDS": str(STALL_S)}
            env["PROBE_FILE"] = str(probes)
            yaml = text(child.ports, METERS, "modbus", mqtt=broker.url, interval=f"{INTERVAL_S}s", data=name)
            command = (sys.executable, "-m", "bench.probed")
            async with running(yaml, directory, command=command, env=env):
                await asyncio.sleep(WARM_S)
                warm = time.monotonic()
                for _ in range(stalls):
                    began = await _next_commit(flag)
                    await child.reset()
                    await asyncio.sleep(STALL_S)
                    asked += sum(line["exchanges"] for line in await child.report())
                    times.append((began, began + STALL_S))
                    await asyncio.sleep(CALM_S)
                ended = time.monotonic()
            lags = [(at, lag) for at, lag in json.loads(probes.read_text()) if warm <= at <= ended]
    await child.close()
    stalled = [lag for at, lag in lags if any(from_ <= at <= to for from_, to in times)]
    calm = [lag for at, lag in lags if not any(from_ <= at <= to for from_, to in times)]
    return {
        "stalls": stalls,
        "exchanges_in_them": asked,
        "lag_ms": _quantiles(stalled),
        "calm_lag_ms": _quantiles(calm),
    }


def _compile(shim: Path) -> None:
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(shim), str(SOURCE), "-ldl"], check=True)


def _raise(flag: Path) -> None:
    flag.touch()


def _stands(flag: Path) -> bool:
    return flag.exists()


async def _next_commit(flag: Path) -> float:
    """Lets the next fsync hang; gives the monotonic time at which it began."""
    _raise(flag)
    while _stands(flag):  # noqa: ASYNC110  # another process removes it
        await asyncio.sleep(0.005)
    return time.monotonic()


def _quantiles(lags: list[float]) -> dict[str, float]:
    lags = sorted(lags)
    parts = {"p50": 0.5, "p99": 0.99, "max": 1.0}
    return {name: round(1000 * lags[int(part * (len(lags) - 1))], 2) for name, part in parts.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--stalls", type=int, default=3)
    options = parser.parse_args()
    sys.stdout.write(json.dumps(asyncio.run(measure(options.stalls))) + "\n")


if __name__ == "__main__":
    main()
