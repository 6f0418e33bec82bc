"""`python -m bench.campaign_late --count N --seed S`: answers at 0.9–3 × the timeout, none under a wrong name.

    question A ─ timeout ─ question B ─ … answer A … answer B        the same length, every register another value

Meters of the three serial protocols share one line in virtual time. Each register's value is a number that only this
register of this meter has. A meter that is asked while it still owes an answer takes the new question up, puts it
behind the first, or forgets the first. Counted: requests, answers, and values that are not those of the register asked.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import sys
import time
import zlib
from collections import Counter
from decimal import Decimal
from random import Random

from drivers.clock import VirtualClock
from drivers.dlt645.formats import bcd
from drivers.dlt645.frame import FROM_METER, Frame, Parser, encode
from drivers.dlt645.meter import Dlt645Meter
from drivers.errors import DriverError
from drivers.line import Line
from drivers.modbus import adu
from drivers.modbus.meter import ModbusMeter
from drivers.modbus.model import parse
from drivers.ports import Chunk, Settings
from drivers.ports.memory import MemoryPort

START_MS = 1_790_000_000_000
SETTINGS = Settings(9600, 8, "N", 1)
EARLIEST, LATEST = 0.9, 3.0  # of the timeout
TIMEOUT_S = 1.0
CHUNK = 2500
ADDRESSES = ("202208310001", "202208310002")
UNITS = (1, 2)
REGISTERS = {f"0x{address:04X}:u32": address for address in range(0, 40, 2)}
DI_2007 = [f"00{kind:02X}{rate:02X}00" for kind in (1, 2) for rate in range(5)]
DI_1997 = [f"9{kind}{direction}{rate}" for kind in (0, 1) for direction in (1, 2) for rate in range(5)]
MODEL = {
    "id": "late",
    "protocol": "modbus",
    "maker": {"zh": "x", "en": "x"},
    "name": {"zh": "x", "en": "x"},
    "function": "3",
    "addresses": "wire",
    "values": "secondary",
    "reply_timeout_ms": str(round(TIMEOUT_S * 1000)),
    "sources": {"S": "made up"},
    "registers": {
        "import": {"address": "0", "type": "u32", "scale": "0.01", "unit": "kWh", "settle": "true", "source": "S",
                   "evidence": "agreed"},
        "export": {"address": "20", "type": "u32", "scale": "0.01", "unit": "kWh", "settle": "true", "source": "S",
                   "evidence": "agreed"},
    },
}  # fmt: skip


def value_of(meter: str, item: str) -> int:
    """Six digits that belong to this register of this meter."""
    return zlib.crc32(f"{meter}:{item}".encode()) % 10**6


class LateMeters(MemoryPort):
    """The bus: every meter on it answers truly, and late."""

    def __init__(self, random: Random) -> None:
        super().__init__("late")
        self._random = random
        self._under_way: dict[str, list[asyncio.TimerHandle]] = {}

    async def write(self, data: bytes) -> None:
        self._require_open()
        for frame in Parser().feed(data):
            if not frame.is_reply:
                self._owe(frame.address, self._dlt645(frame))
        for asked in adu.RequestParser().feed(data):
            if asked.unit in UNITS and len(data) == len(asked.raw):
                self._owe(str(asked.unit), self._modbus(asked))

    def _owe(self, meter: str, reply: bytes) -> None:
        loop, late = asyncio.get_running_loop(), TIMEOUT_S * self._random.uniform(EARLIEST, LATEST)
        owed = [handle for handle in self._under_way.get(meter, []) if handle.when() > loop.time()]
        at = loop.time() + late
        if owed and (choice := self._random.random()) < 0.5:
            if choice < 0.25:
                for handle in owed:
                    handle.cancel()
            else:
                at = min(max(at, owed[-1].when() + 0.05), loop.time() + LATEST * TIMEOUT_S)
        self._under_way[meter] = [*owed, loop.call_at(at, self.deliver, Chunk(reply))]

    def _dlt645(self, frame: Frame) -> bytes:
        di = frame.data[::-1].hex().upper()
        value = bcd(Decimal(value_of(frame.address, di)).scaleb(-2), 8, 2)
        return encode(Frame(frame.address, frame.control | FROM_METER, frame.data + value))

    def _modbus(self, asked: adu.Request) -> bytes:
        words: list[int] = []
        for address in range(asked.address, asked.address + asked.quantity):
            value = value_of(str(asked.unit), f"0x{address & ~1:04X}:u32")
            words.append(value >> 16 if address % 2 == 0 else value & 0xFFFF)
        return adu.reply_to(asked, words)


async def _ask(count: int, random: Random, clock: VirtualClock) -> Counter[str]:
    tally = Counter[str]()
    line = Line("late", LateMeters(random), SETTINGS, clock)
    await line.open()
    wanted, model = frozenset({"import"}), {"reply_timeout_s": str(TIMEOUT_S)}
    dlt = {
        edition: [Dlt645Meter(address, address, edition, line, wanted, model) for address in ADDRESSES]
        for edition in ("2007", "1997")
    }
    modbus = [ModbusMeter(str(unit), unit, parse(MODEL), line, frozenset({"import", "export"})) for unit in UNITS]
    while tally["requests"] < count:
        kind = random.choice(("2007", "1997", "modbus", "modbus"))
        if kind == "modbus":
            meter: Dlt645Meter | ModbusMeter = random.choice(modbus)
            item = random.choice(list(REGISTERS))
        else:
            meter = random.choice(dlt[kind])
            item = random.choice(DI_2007 if kind == "2007" else DI_1997)
        before = line.statistics.exchanges
        for _ in range(random.choice((1, 1, 3))):  # a poller asks again at once
            try:
                values, _ = await meter.read_item(item)
            except DriverError:
                tally["no answer"] += 1
                continue
            tally["answers"] += 1
            said = int(Decimal(str(values[0].value)) * (1 if kind == "modbus" else 100))
            tally["wrong"] += said != value_of(meter.id, item)
            break
        tally["requests"] += line.statistics.exchanges - before
        await clock.sleep(random.choice((0, 0, 0, 0.2, 1.0, 2.0)))
    tally["late"] = line.statistics.late
    await line.close()
    return tally


def run(count: int, seed: str) -> Counter[str]:
    """So many requests on one line. Keys: requests, answers, no answer, late (told as such by the line), wrong."""
    clock = VirtualClock(START_MS)
    return clock.run(_ask(count, Random(seed), clock))


def _work(task: tuple[int, str]) -> Counter[str]:
    return run(*task)


def main() -> int:
    parser = argparse.ArgumentParser(description="late answers")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    began, total = time.monotonic(), Counter[str]()
    tasks = [(min(CHUNK, options.count - at), f"{options.seed}:{at}") for at in range(0, options.count, CHUNK)]
    with multiprocessing.Pool(options.processes) as pool:
        for tally in pool.imap_unordered(_work, tasks):
            total += tally
    counts = ", ".join(f"{total[name]} {name}" for name in ("requests", "answers", "no answer", "late"))
    print(f"late answers, seed {options.seed}: {counts}; {time.monotonic() - began:.0f} s")
    print(f"values under a wrong name: {total['wrong']}")
    return 3 if total["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
