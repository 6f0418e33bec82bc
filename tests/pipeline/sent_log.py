"""A log with an outbox on it, for tests against real brokers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import pytest
from nacl.signing import SigningKey

from agent.delivery.mqtt import Broker
from agent.delivery.outbox import Outbox
from agent.evidence.log import Log
from agent.evidence.store import Receipt
from bench.evidence_auditor import KEY, make_log, reading
from contract.records import parse_instant
from drivers.clock import RealClock
from simulators.broker import mosquitto_program

START_S = parse_instant("2026-07-10T00:00:00Z") // 1000
needs_mosquitto = pytest.mark.skipif(mosquitto_program() is None, reason="no mosquitto")


_turns: WeakKeyDictionary[Log, asyncio.Lock] = WeakKeyDictionary()


async def commit(log: Log) -> None:
    """One at a time, as the recorder's one task does it."""
    async with _turns.setdefault(log, asyncio.Lock()):
        await log.commit()


class Sender:
    """A log with an outbox on it; receipts become witness records at once, as the recorder does it."""

    def __init__(self, log: Log, port: int, **options: Any) -> None:
        self.log = log
        self.refused: list[tuple[int, str, str]] = []
        self._commits: set[asyncio.Task[None]] = set()
        self.outbox = Outbox(
            log,
            Broker("127.0.0.1", port, False, path=options.pop("path", None)),
            options.pop("clock", RealClock(trusted=True)),
            options.pop("interval_s", 900),
            lambda *what: self.refused.append(what),
            take=self._take,
            **options,
        )

    def _take(self, receipt: Receipt) -> None:
        if self.log.witness(receipt):
            task = asyncio.create_task(commit(self.log))
            self._commits.add(task)
            task.add_done_callback(self._commits.discard)


@asynccontextmanager
async def sending(
    data: Path, port: int, *, audited: bool = False, key: SigningKey = KEY, **options: Any
) -> AsyncIterator[Sender]:
    store, log = await make_log(data, RealClock(trusted=True), audited=audited, key=key)
    sender = Sender(log, port, **options)
    running = asyncio.create_task(sender.outbox.run())
    try:
        yield sender
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await log.close()
        await store.close()


async def sweep(log: Log, n: int, meters: int = 10) -> None:
    for meter in range(meters):
        log.add(reading(meter, START_S + 900 * n))
    await commit(log)


async def until(condition: Callable[[], bool], limit_s: float = 20.0) -> None:
    for _ in range(round(limit_s / 0.02)):
        if condition():
            return
        await asyncio.sleep(0.02)
    pytest.fail("it did not happen in time")
