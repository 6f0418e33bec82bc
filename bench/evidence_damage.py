"""`python -m bench.evidence_damage [--stores N] [--seed S]`: stores with bytes changed or cut short.

Each is started as an agent starts it. It must open by itself within ten seconds, take a sweep, and go on as the same
epoch at the next start; a file that was set aside must be there unchanged. No body that was altered may be given out,
and what is taken over from a file set aside must be the records that were written.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import shutil
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random

from agent.evidence.store import DATABASE, Reader
from bench.evidence_auditor import make_log, reading
from drivers.clock import RealClock

START_S = 1_783_641_600


async def life(data: Path, sweeps: int, meters: int = 20) -> tuple[str, float]:
    """A start and some sweeps; gives the epoch and how long the start took."""
    began = time.monotonic()
    store, log = await make_log(data, RealClock(trusted=True), audited=False)
    started_s = time.monotonic() - began
    for n in range(sweeps):
        for meter in range(meters):
            log.add(reading(meter, START_S + 900 * n))
        await log.commit()
    looking = asyncio.create_task(log.look_back())
    while not looking.done():
        await log.commit()  # names what salvaging found
        await asyncio.sleep(0)
    await looking
    epoch = log.epoch.id
    await log.close()
    await store.close()
    return epoch, started_s


def damage(random: Random, path: Path) -> bytes:
    """Changes up to a hundred bytes, in half the files up to three, sometimes cuts one short; gives what it left."""
    data = bytearray(path.read_bytes())
    if random.random() < 0.2:
        del data[random.randrange(len(data)) :]
    for _ in range(random.randint(1, random.choice((3, 100))) if data else 0):
        data[random.randrange(len(data))] = random.randrange(256)
    path.write_bytes(data)
    return bytes(data)


def bodies(data: Path) -> dict[tuple[str, int], bytes]:
    """Epoch and index → record, as far as there are bodies."""
    reader = Reader(data)
    try:
        rows = [(epoch.id, *row) for epoch in reader.epochs for row in reader.records(epoch)]
    finally:
        reader.close()
    return {(epoch, seq): record for epoch, seq, record, _ in rows if record is not None}


def one(random: Random, base: Path, place: Path, counts: Counter[str]) -> float:
    """One damaged copy through two starts."""
    written = bodies(base)
    shutil.copytree(base, place)
    left = damage(random, place / DATABASE)
    first, started_s = asyncio.run(life(place, 1))
    second, _ = asyncio.run(life(place, 1))
    kept = list(place.glob("damaged-*"))
    reader = Reader(place)
    causes = [epoch.cause for epoch in reader.epochs]
    reader.close()
    counts["stores"] += 1
    counts["set_aside"] += bool(kept)
    counts["went_on"] += not kept and len(causes) == 1
    counts["other_new_epoch"] += not kept and len(causes) > 1
    counts["not_settled"] += first != second
    counts["aside_changed"] += bool(kept) and (kept[0] / DATABASE).read_bytes() != left
    counts["over_10_s"] += started_s > 10
    if kept:
        back = {key: record for key, record in bodies(place).items() if key in written}
        counts["taken_over"] += len(back)
        counts["taken_over_changed"] += sum(record != written[key] for key, record in back.items())
    return started_s


def campaign(stores: int, seed: int) -> dict[str, float]:
    """Counts, and the slowest start in seconds. An exception is a failure of the campaign."""
    random, counts, slowest = Random(seed), Counter[str](), 0.0
    with tempfile.TemporaryDirectory(prefix="hubiao-damage-") as directory:
        base = Path(directory) / "base"
        asyncio.run(life(base, 3))
        for n in range(stores):
            place = Path(directory) / str(n)
            slowest = max(slowest, one(random, base, place, counts))
            shutil.rmtree(place)
    return {**counts, "slowest_start_s": round(slowest, 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stores", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    logging.disable(logging.ERROR)
    began = time.monotonic()
    result = campaign(options.stores, options.seed)
    print(f"seed {options.seed}: " + ", ".join(f"{name} {n}" for name, n in result.items()))
    print(f"{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
