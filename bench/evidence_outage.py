"""`python -m bench.evidence_outage [--days 30 --meters 200 --keep DIR]`: a month without a broker, then all at once.

    readings of every slot into the log, a commit a sweep, restarts in between ─▶ a real mosquitto ─▶ an auditor in a
    process of its own that counts, compares and cosigns

One of the restarts is a boot in 1970. While the backlog drains, a live sweep is committed every few seconds and its way
to the auditor is timed. Reports time, memory (peak RSS of the agent's side) and what the auditor holds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any

from agent.delivery.mqtt import Broker
from agent.delivery.outbox import Outbox
from agent.evidence.log import Log
from agent.evidence.store import Receipt
from bench.evidence_auditor import Auditor, free_port, make_log, mosquitto, reading
from contract.records import parse_instant
from drivers.clock import VirtualClock

START = "2026-07-01T00:00:00Z"
INTERVAL_S = 900
RESTARTS = 3
LIVE_EVERY_S = 5.0


def audit(port: int, pipe: Pipe) -> None:
    """The auditor's process: answers «held so far» for (epoch, index) until told to stop."""
    with Auditor("127.0.0.1", port) as auditor:
        pipe.send("ready")
        while (asked := pipe.recv()) is not None:
            ledger = auditor.ledger
            epoch, seq = asked
            held = ledger.hashes.get(epoch, {})
            pipe.send((len(held), seq in held, ledger.again, len(ledger.forks), len(ledger.faults), auditor.receipts))


class Uplink:
    """Log and outbox; receipts become witness records as the recorder does it."""

    def __init__(self, log: Log, port: int, clock: VirtualClock) -> None:
        self.log = log
        self.outbox = Outbox(log, Broker("127.0.0.1", port, False), clock, INTERVAL_S, lambda *_: None, take=self._take)
        self._tasks: set[asyncio.Task[None]] = set()

    def _take(self, receipt: Receipt) -> None:
        if self.log.witness(receipt):
            task = asyncio.create_task(self.log.commit())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)


async def fill(data: Path, days: int, meters: int) -> int:
    """The month without a broker. Gives the number of readings."""
    slots = days * 86_400 // INTERVAL_S
    start_s = parse_instant(START) // 1000
    first = 0
    for life in range(RESTARTS + 1):
        last = slots * (life + 1) // (RESTARTS + 1)
        clock = VirtualClock((start_s + first * INTERVAL_S) * 1000, boot_id=f"{life:032x}")
        if life == 2:  # nobody knew the time for the first hours of this life
            clock.state = ("none", None)
        store, log = await make_log(data, clock)
        for n in range(first, last):
            clock.move(INTERVAL_S)
            if n == first + 12:
                clock.state = ("disciplined", 20)
            for meter in range(meters):
                log.add(reading(meter, start_s + n * INTERVAL_S))
            await log.commit()
        first = last
        await log.close()
        await store.close()
    return slots * meters


async def _until(condition: Callable[[], bool]) -> None:
    for _ in range(1_000_000):
        if await asyncio.to_thread(condition):
            return
        await asyncio.sleep(0.05)


async def drain(data: Path, port: int, meters: int, ask: Callable[[str, int], tuple[Any, ...]]) -> dict[str, Any]:
    """The broker is back: until the auditor holds everything and has said so."""
    clock = VirtualClock(parse_instant(START) + 31 * 86_400_000, boot_id="f" * 32)
    store, log = await make_log(data, clock)
    uplink = Uplink(log, port, clock)
    backlog, epoch = log.size, log.epoch.id
    sending = asyncio.create_task(uplink.outbox.run())
    began = time.monotonic()
    delays: list[float] = []
    caught_up = 0.0
    n = 0
    while log.delivered < backlog or not delays:
        for meter in range(meters):
            log.add(reading(meter, parse_instant(START) // 1000 + (40 * 96 + n) * INTERVAL_S))
        n += 1
        await log.commit()
        committed, newest = time.monotonic(), log.size - 1
        await _until(lambda seq=newest: ask(epoch, seq)[1])
        delays.append(time.monotonic() - committed)
        await _until(lambda until=committed + LIVE_EVERY_S: log.delivered >= backlog or time.monotonic() >= until)
        if not caught_up and log.delivered >= backlog:
            caught_up = time.monotonic() - began
    held, _, again, forks, faults, receipts = await asyncio.to_thread(ask, epoch, 0)
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    result = {"backlog": backlog, "held": held, "size": log.size, "again": again, "forks": forks, "faults": faults}
    result |= {"receipts": receipts, "catch_up_s": round(caught_up), "live_sweeps": len(delays)}
    await log.close()
    await store.close()
    return {**result, "live_delay_s": round(max(delays), 2)}


def campaign(days: int, meters: int, data: Path) -> dict[str, Any]:
    """Fills in this process, drains in a fresh one whose memory is measured."""
    began = time.monotonic()
    readings = asyncio.run(fill(data, days, meters))
    filled_s = time.monotonic() - began
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    child = spawn.Process(target=_drain_measured, args=(data, meters, theirs))
    child.start()
    result: dict[str, Any] = ours.recv()
    child.join()
    size = sum(file.stat().st_size for file in data.glob("hubiao.db*"))
    return {"readings": readings, "filled_s": round(filled_s), "store_mb": size >> 20, **result}


def _drain_measured(data: Path, meters: int, report: Pipe) -> None:
    port = free_port()
    spawn = multiprocessing.get_context("spawn")
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        os.chmod(directory, 0o755)
        stack.enter_context(mosquitto(directory, port, "max_queued_messages 0\n"))
        ours, theirs = spawn.Pipe()
        auditor = spawn.Process(target=audit, args=(port, theirs), daemon=True)
        auditor.start()
        ours.recv()

        def ask(epoch: str, seq: int) -> tuple[Any, ...]:
            ours.send((epoch, seq))
            answer: tuple[Any, ...] = ours.recv()
            return answer

        result = asyncio.run(drain(data, port, meters, ask))
        ours.send(None)
        auditor.join(10)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    report.send({**result, "peak_rss_mb": peak_mb})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--meters", type=int, default=200)
    parser.add_argument("--keep", type=Path, help="leave the store there, for bench.evidence_verify")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hubiao-outage-") as directory:
        data = options.keep or Path(directory)
        print(json.dumps(campaign(options.days, options.meters, data), indent=1))


if __name__ == "__main__":
    main()
