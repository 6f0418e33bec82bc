"""`python -m bench.evidence_disk [--sweeps N]`: a small file system of our own, filled by others (needs root).

    tmpfs ─ log ─▶ a hog takes every byte ─▶ sweeps go on ─▶ the hog leaves ─▶ sweeps ─▶ hog ─▶ a start on a full disk

No commit may raise; the newest records must be there in the end, every leaf hash too; the next start must need no hand.
Read-only file systems and I/O errors are tests/evidence/test_store.py's matter: an open file keeps a remount away.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from agent.evidence.log import Log
from agent.evidence.store import Reader
from bench.evidence_auditor import make_log, reading
from contract.tree import leaf_hash, root_of
from drivers.clock import RealClock

START_S = 1_783_641_600
SIZE = "48m"


@contextmanager
def small_disk() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="hubiao-disk-") as place:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", place], check=True)
        try:
            yield Path(place)
        finally:
            subprocess.run(["umount", "-l", place], check=True)


def hog(place: Path) -> Path:
    """Takes every byte that is left."""
    path = place / "hog"
    with path.open("ab", buffering=0) as file, suppress(OSError):
        for size in (1 << 20, 4096, 1):
            with suppress(OSError):
                while True:
                    file.write(bytes(size))
    return path


async def sweeps(log: Log, first: int, count: int) -> int:
    """Commits that must not raise; gives how many records the disk took."""
    before = log.size
    for n in range(first, first + count):
        for meter in range(20):
            log.add(reading(meter, START_S + 900 * n))
        await log.commit()
    return log.size - before


async def campaign(place: Path, count: int) -> dict[str, object]:
    data = place / "data"
    clock = RealClock(trusted=True)
    store, log = await make_log(data, clock, audited=False)
    took = {"before": await sweeps(log, 0, count)}
    filled = hog(place)
    took["full"] = await sweeps(log, count, count)
    filled.unlink()
    took["room_again"] = await sweeps(log, 2 * count, count)
    filled = hog(place)
    await log.close()
    await store.close()
    began = time.monotonic()
    store, log = await make_log(data, clock, audited=False)  # starts on a full disk
    start_s = time.monotonic() - began
    took["after_start"] = await sweeps(log, 5 * count, count)
    filled.unlink()
    await sweeps(log, 6 * count, 1)
    size, root = log.size, await log.root_at(log.size)
    await log.close()
    await store.close()
    reader = Reader(data)
    rows = list(reader.records(reader.epochs[-1]))
    found = {"records": len(rows), "size": size, "epochs": len(reader.epochs), "start_s": round(start_s, 2)}
    reader.close()
    found["given_up"] = sum(record is None for _, record, _ in rows)
    found["altered"] = sum(record is not None and leaf_hash(record) != leaf for _, record, leaf in rows)
    return {**took, **found, "root_holds": root_of(leaf for _, _, leaf in rows) == root}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sweeps", type=int, default=200)
    options = parser.parse_args()
    with small_disk() as place:
        result = asyncio.run(campaign(place, options.sweeps))
    print(", ".join(f"{name} {value}" for name, value in result.items()))


if __name__ == "__main__":
    main()
