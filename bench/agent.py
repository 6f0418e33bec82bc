"""The whole agent as a process: start, memory, processor, disk. Real `hubiao run`, paced lines, a broker on loopback.

    8 lines × 32 Modbus meters at 9600 baud, evidence on, a record a message; a slot a minute instead of 15

Beside it pymodbus polls one of the same lines with nothing else to do: processor time a thousand exchanges of both, in
one run on one machine. Bytes written are those of a slot, times the 96 slots of a day.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.paced import Paced, Wire
from bench.parks import text
from simulators.broker import embedded_broker

LINES, METERS = 8, 32
SLOTS_A_DAY = 96
PATIENCE_S = 600  # a store of two days is read back before the first request
TICK = os.sysconf("SC_CLK_TCK")
# pip compiles what it installs: a clone whose surroundings forbid bytecode would compile everything at each start
INSTALLED = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
INSTALLED["PYTHONPYCACHEPREFIX"] = str(Path(tempfile.gettempdir()) / "hubiao-bench-bytecode")
COMPILED = (
    "agent.cli.run",
    "agent.app",
    "agent.evidence.migrations",
    "config.load",
    "drivers.dlt645.meter",
    "drivers.modbus.meter",
)


def cpu_s(pid: int) -> float:
    """Processor time of a process and its ended children."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def rss_mib(pid: int, what: str = "VmRSS") -> float:
    """Resident memory now; `VmHWM`: at most so far."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition(f"{what}:")[2].split()[0]) / 1024


def written(pid: int) -> int:
    """Bytes that the process made dirty in files (write_bytes of /proc/PID/io)."""
    io = Path(f"/proc/{pid}/io").read_text()
    return int(io.partition("\nwrite_bytes: ")[2].split()[0])


def compiled() -> None:
    """Everything that a start imports has been compiled."""
    subprocess.run([sys.executable, "-c", f"import {', '.join(COMPILED)}"], env=INSTALLED, check=True)


async def whole_agent(minutes: int, protocol: str, fifo: int, lines: int = LINES) -> dict[str, Any]:
    """Starts the agent as systemd does and watches it for so many slots of a minute after the first."""
    compiled()
    kind = protocol.partition("-")[0]
    wires = [Wire(kind, meters=METERS, fifo=fifo, tick_ms=7_000) for _ in range(lines)]
    paced = await Paced.start(wires)
    async with embedded_broker("mosquitto") as broker:
        with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
            path = Path(directory) / "park.yaml"
            path.write_text(text(paced.ports, METERS, protocol, mqtt=broker.url, interval="1min", data=directory))
            began = time.monotonic()
            agent = await asyncio.create_subprocess_exec(
                *(str(Path(sys.executable).with_name("hubiao")), "run", "--config", str(path)),
                env=INSTALLED,
            )
            try:
                result = await _watch(agent.pid, paced, began, minutes)
            finally:
                agent.terminate()
                await agent.wait()
    await paced.close()
    return result


async def first_request(paced: Paced, began: float) -> float:
    """Seconds from `began` (time.monotonic) until the first request was on a wire."""
    while not (first := [line["first_at"] for line in await paced.report() if line["first_at"]]):
        await asyncio.sleep(0.05)
        assert time.monotonic() < began + PATIENCE_S, "no request"
    return round(min(first) - began, 3)


async def _watch(pid: int, paced: Paced, began: float, minutes: int) -> dict[str, Any]:
    result: dict[str, Any] = {"first_request_s": await first_request(paced, began)}
    if not minutes:
        return result
    await _until_half_past()
    await paced.reset()
    cpu, bytes_ = cpu_s(pid), written(pid)
    rss = []
    for _ in range(minutes):
        await asyncio.sleep(60)
        rss.append(round(rss_mib(pid), 1))
    account = await paced.report()
    exchanges = sum(line["exchanges"] for line in account)
    slot_bytes = (written(pid) - bytes_) / minutes
    result |= {
        "rss_mib": rss[-1],
        "rss_by_slot": rss,
        "exchanges": exchanges,
        "gap_violations": sum(line["gap_violations"] for line in account),
        "cpu_s_1000": round(1000 * (cpu_s(pid) - cpu) / exchanges, 3),
        "written_slot_kib": round(slot_bytes / 1024, 1),
        "written_day_mb": round(slot_bytes * SLOTS_A_DAY / 1e6, 1),
    }
    return result


async def _until_half_past() -> None:
    """To the middle between two slots, when the first has been committed and published."""
    await asyncio.sleep((30 - time.time() % 60) % 60 + (60 if time.time() % 60 > 30 else 0))


async def pymodbus_alone(cycles: int, fifo: int) -> dict[str, Any]:
    """Its own client on one line, ten registers a question, in a process of its own."""
    paced = await Paced.start([Wire("modbus", meters=METERS, fifo=fifo)])
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.agent", "--poll", paced.ports[0], "--cycles", str(cycles)),
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await child.communicate()
    await paced.close()
    result: dict[str, Any] = json.loads(said)
    return result


async def _poll(port: str, cycles: int) -> dict[str, Any]:
    from pymodbus.client import AsyncModbusSerialClient

    logging.getLogger("pymodbus").setLevel(logging.CRITICAL)
    client = AsyncModbusSerialClient(port, baudrate=9600, timeout=5.0)  # a machine with neighbours answers late
    await client.connect()
    cpu, answered = cpu_s(os.getpid()), 0
    for _ in range(cycles):
        for unit in range(1, METERS + 1):
            answer = await client.read_holding_registers(10, count=10, device_id=unit)
            answered += not answer.isError()
    used = cpu_s(os.getpid()) - cpu
    client.close()
    return {"exchanges": answered, "cpu_s_1000": round(1000 * used / answered, 3)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=int, default=4)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--lines", type=int, default=LINES)
    parser.add_argument("--fifo", type=int, default=1)
    parser.add_argument("--start-only", action="store_true")
    parser.add_argument("--protocol", default="modbus")
    parser.add_argument("--poll", help="for the child that polls by pymodbus: the port")
    parser.add_argument("--cycles", type=int, default=10)
    options = parser.parse_args()
    if options.poll:
        sys.stdout.write(json.dumps(asyncio.run(_poll(options.poll, options.cycles))))
        return
    results = []
    for _ in range(options.runs):
        minutes = 0 if options.start_only else options.minutes
        result = asyncio.run(whole_agent(minutes, options.protocol, options.fifo, options.lines))
        if not options.start_only:
            peer = asyncio.run(pymodbus_alone(options.cycles, options.fifo))
            result["pymodbus_cpu_s_1000"] = peer["cpu_s_1000"]
            result["cpu_ratio"] = round(result["cpu_s_1000"] / peer["cpu_s_1000"], 3)
        results.append(result)
        sys.stdout.write(json.dumps(result) + "\n")
        sys.stdout.flush()
    if len(results) > 1:
        keys = [key for key, value in results[0].items() if isinstance(value, (int, float))]
        medians = {key: statistics.median(result[key] for result in results) for key in keys}
        sys.stdout.write(json.dumps({"median": medians}) + "\n")


if __name__ == "__main__":
    main()
