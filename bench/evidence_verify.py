"""`python -m bench.evidence_verify [--meters 95 --days 31 --keep DIR]`: how long `hubiao verify` takes over a real log.

A park's month through the gateway's own recorder, books and store: every reading with the frames of a DL/T 645 meter
(block and confirming total), gaps and what fills them, intervals, days, statements, balances, a checkpoint a sweep, a
receipt a day. Then `hubiao verify` in a process of its own: signatures, tree, every rule, every frame decoded again,
every interval and total recomputed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from agent.evidence.log import Log
from agent.evidence.opening import open_log
from agent.evidence.receipts import pinned
from agent.evidence.store import Receipt, Store
from agent.ledger.past import past_of
from agent.ledger.restore import recent
from agent.ledger.revise import Stood
from agent.reading import Observation
from bench.evidence_auditor import AUDITOR_KEY, AUDITOR_NAME, AUDITOR_VKEY, KEY
from bench.fed import PASSED, Fed, MemoryLog
from bench.month import BEGIN_S, LOST, STEP_S, Outages, park
from contract.note import cosign, parse_checkpoint, parse_note
from contract.records import Body, Config, slot_instant
from drivers.dlt645.frame import FROM_METER, Frame
from drivers.dlt645.requests import READ_2007, read
from drivers.exchange import Answer
from drivers.meter import Look
from simulators.park import Truth

HUBIAO = str(Path(sys.executable).with_name("hubiao"))
BLOCK, TOTAL = "0001FF00", "00010000"
IMPORTS = ("import", "import_t1", "import_t2", "import_t3", "import_t4")


class StoredLog(MemoryLog):
    """A real store behind the interface that bench.fed has; of the records it keeps the configuration alone."""

    async def open(self, data: Path) -> None:
        self.data = data
        self.store = Store(data, self.clock.hold)
        self.log: Log = await open_log(self.store, self.identity, self.clock, KEY, pinned([AUDITOR_VKEY]))

    def add(self, body: Body) -> int:
        if isinstance(body, Config):
            super().add(body)
        return self.log.add(body)

    async def commit(self) -> None:
        await self.log.commit()

    def witness(self) -> None:
        """An auditor that holds everything says so."""
        text = self.log.checkpoint
        receipt = cosign(AUDITOR_KEY, AUDITOR_NAME, text, self.clock.wall_ms() // 1000)
        self.log.witness(Receipt(AUDITOR_NAME, parse_checkpoint(parse_note(text)[0]).size, receipt))

    def since(
        self, from_s: int, to_s: int, kinds: Collection[str] = (), naming: Collection[str] = ()
    ) -> Iterator[tuple[int, Body]]:
        return recent(self.data, self.log.epoch, from_s, to_s, kinds, naming)

    def past_of(self, meter: str, first_s: int, last_s: int, interval_s: int) -> dict[int, Stood]:
        return past_of(self.data, self.log.epoch, meter, first_s, last_s, interval_s)


class Framed(Fed):
    """A park whose looks have the bytes that a DL/T 645-2007 meter would have sent."""

    def look(self, meter: str, registers: Mapping[str, Decimal] | None = None, *, attempts: int = 1) -> Observation:
        wall_ms, boot_ms = self.clock.wall_ms(), self.clock.boot_ms()
        shown = dict(self.registers(meter, wall_ms) if registers is None else registers)
        address = next(entry["address"] for entry in self.config["meters"] if entry["id"] == meter)
        block = Look(shown, [self._answer(address, BLOCK, list(shown.values()))], PASSED | {"tariff_sum"})
        total = Look({"import": shown["import"]}, [self._answer(address, TOTAL, [shown["import"]])], PASSED)
        state, error_ms = self.clock.sync()
        return Observation(meter, wall_ms, boot_ms, state, error_ms, block, total, attempts)

    def _answer(self, address: str, di: str, values: list[Decimal]) -> Answer:
        request = read("2007", address, di).request
        data = bytes.fromhex(di)[::-1] + b"".join(bytes.fromhex(f"{int(v * 100):08d}")[::-1] for v in values)
        reply = Frame(address, READ_2007 | FROM_METER, data).raw
        return Answer(request, reply, self.clock.boot_ms(), self.clock.wall_ms(), 0.0)


def make(data: Path, meters: int, days: int, seed: int, witness_every: int = 96) -> dict[str, Any]:
    """Plays the month into a store, with a receipt every so many sweeps; gives its verifier key and size."""
    config = park(meters, days)
    truth = Truth(config, seed)

    def shown(name: str, at_ms: int) -> dict[str, Decimal]:
        registers = truth.registers(name, at_ms)
        return {register: registers[register] for register in IMPORTS}

    fed = Framed(config, shown, slot_instant(BEGIN_S - 700), log=lambda clock, who: stored(data, clock, who))
    assert isinstance(fed.log, StoredLog)
    random_, outages = random.Random(seed), Outages(days)
    for n, slot_s in enumerate(range(BEGIN_S, BEGIN_S + days * 86_400 + 3 * STEP_S, STEP_S)):
        silent = [name for name in fed.recorder.meters if random_.random() < LOST or outages.meter(name, slot_s)]
        fed.sweep(slot_s, silent=silent)
        if n % witness_every == witness_every - 1:
            fed.log.witness()
    log = fed.log
    asyncio.run(log.log.commit())
    asyncio.run(log.log.close())
    asyncio.run(log.store.close())
    return {"vkey": log.log.vkey, "records": log.log.size}


def stored(data: Path, clock: Any, identity: Any) -> StoredLog:
    """A log in a new store, for `Fed`."""
    log = StoredLog(clock, identity)
    asyncio.run(log.open(data))
    return log


def check(data: Path, vkey: str) -> dict[str, Any]:
    """`hubiao verify` on the store: seconds, memory, what it said."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.monotonic()
    command = [HUBIAO, "verify", str(data), "--key", vkey, "--auditor", AUDITOR_VKEY, "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    said = json.loads(done.stdout)
    return {
        "exit": done.returncode,
        "seconds": round(time.monotonic() - began, 1),
        "cpu_s": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1),
        "peak_rss_mb": after.ru_maxrss // 1024,
        "size": said["size"],
        "findings": said["findings"][:5],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--meters", type=int, default=95)
    parser.add_argument("--days", type=int, default=31)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="where the store stays; one that is there is only verified")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hubiao-verify-") as directory:
        data = options.keep or Path(directory)
        told = data / "made.json"
        if not told.exists():
            began = time.monotonic()
            made = make(data, options.meters, options.days, options.seed)
            told.write_text(json.dumps({**made, "made_s": round(time.monotonic() - began)}))
        made = json.loads(told.read_text())
        print(json.dumps({**made, **check(data, made["vkey"])}, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
