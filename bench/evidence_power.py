"""`python -m bench.evidence_power [--images N] [--seed S] [--jobs J]`: power cuts, as images of recorded runs.

    a run under strace ─▶ every write, truncate and sync of the store's files, and every publish ─▶ cut anywhere
    ─▶ image: what was synced is there; of what was not, each write is whole, missing, or torn at a sector
    ─▶ open, compare

Every thousand images have a run of their own, with sweeps of other sizes. Runs and images live in memory where there is
a tmpfs: what a sync promises is modelled here, so a disk would only make it slow. A worker per core; results depend on
the seed alone.

What is modelled: loss, reordering and tearing (512-byte sectors) of unsynced writes, file by file; lengths follow the
writes that survive. Not modelled: a flash that loses what it said it had synced, or damages its neighbours; directory
entries (the files are there before the first record). Needs strace.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from agent.evidence.store import DATABASE, Reader, Store, StoreError
from bench.evidence_auditor import make_log, reading
from contract.tree import leaf_hash
from drivers.clock import RealClock

MEMORY = Path("/dev/shm")
PART = 1000  # images of one recorded run
SECTOR = 512
START_S = 1_783_641_600
SWEEPS = 60  # enough for the WAL to be checkpointed and begun again
CALLS = "openat,close,pwrite64,write,ftruncate,fsync,fdatasync,dup,fcntl"
MARK = "PUBLISHED"
_CALL = re.compile(r"^(?:\[pid +)?(\d+)\]? +(\w+)\((.*)\) += (-?\d+)")


@dataclass(slots=True)
class Step:
    """One thing that happened: `write` (at, data), `size` (at), `sync`, or `publish` (size of the log by then)."""

    what: str
    file: str = ""
    at: int = 0
    data: bytes = b""


@dataclass(slots=True)
class Disk:
    """Synced content, and what was written since."""

    synced: dict[str, bytearray] = field(default_factory=dict)
    pending: dict[str, list[Step]] = field(default_factory=dict)
    published: int = 0

    def play(self, step: Step) -> None:
        if step.what == "publish":
            self.published = step.at
        elif step.what == "sync":
            for waiting in self.pending.pop(step.file, []):
                _apply(self.synced.setdefault(step.file, bytearray()), waiting, None)
        else:
            self.pending.setdefault(step.file, []).append(step)

    def image(self, random: Random) -> dict[str, bytes]:
        """The files as a power cut now may leave them."""
        files = {}
        for name in {*self.synced, *self.pending}:
            content = bytearray(self.synced.get(name, b""))
            for step in self.pending.get(name, []):
                fate = random.random()
                if fate < 0.45:
                    _apply(content, step, None)
                elif fate < 0.75 and step.what == "write":
                    _apply(content, step, random)
            files[name] = bytes(content)
        return files


def record(directory: Path, seed: int) -> list[Step]:
    """A run of the log in a child, as its system calls."""
    trace = directory / "trace"
    command = ["strace", "-f", "-y", "-xx", "-s", "1000000", "-e", f"trace={CALLS}", "-o", str(trace)]
    data = directory / "data"
    command += [sys.executable, "-m", "bench.evidence_power", "--run", str(data), "--seed", str(seed)]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    return list(_steps(trace, data))


def run(data: Path, seed: int) -> None:
    """The recorded run: sweeps of any size; a size is published after its commit, never before."""

    async def main() -> None:
        clock = RealClock(trusted=True)
        store, log = await make_log(data, clock, audited=False)
        random = Random(seed)
        for n in range(SWEEPS):
            for meter in range(random.randint(1, 30)):
                log.add(reading(meter, START_S + 900 * n))
            await log.commit()
            os.write(2, f"{MARK} {log.size}\n".encode())
        await log.close()
        await store.close()

    asyncio.run(main())


def _steps(trace: Path, data: Path) -> Iterator[Step]:
    """strace -y names each descriptor's file; strings are all in hex."""
    begun: dict[str, str] = {}
    with trace.open() as lines:
        for line in lines:
            pid = line.split(None, 1)[0]
            if "<unfinished ...>" in line:
                begun[pid] = line.split("<unfinished", 1)[0].rstrip()
                continue
            if " resumed>" in line:
                line = begun.pop(pid, "") + line.split(" resumed>", 1)[1]
            found = _CALL.match(line)
            if found and int(found[4]) >= 0:
                step = _step(found[2], found[3], data)
                if step is not None:
                    yield step


def _step(call: str, arguments: str, data: Path) -> Step | None:
    name = re.search(r"^\d+<([^>]*)>", arguments)
    path = _unhex(name[1]).decode(errors="replace") if name else ""
    if call == "write" and (text := re.search(r'"((?:\\x[0-9a-f]{2})*)"', arguments)):
        said = _unhex(text[1])
        if said.startswith(MARK.encode()):
            return Step("publish", at=int(said.split()[1]))
    if not path.startswith(str(data / DATABASE)) or path.endswith("-shm"):
        return None
    file = path.rpartition("/")[2]
    if call == "pwrite64":
        text = re.search(r'"((?:\\x[0-9a-f]{2})*)", (\d+), (\d+)$', arguments)
        assert text, arguments[:200]
        return Step("write", file, int(text[3]), _unhex(text[1]))
    if call == "ftruncate":
        return Step("size", file, int(arguments.rpartition(",")[2]))
    return Step("sync", file) if call in ("fsync", "fdatasync") else None


def _unhex(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", "")) if text.startswith("\\x") or not text else text.encode()


def _apply(content: bytearray, step: Step, tear: Random | None) -> None:
    """Puts a write into a file; torn: only some of its sectors."""
    if step.what == "size":
        del content[step.at :]
        content.extend(bytes(step.at - len(content)))
        return
    end = step.at + len(step.data)
    content.extend(bytes(max(0, end - len(content))))
    for at in range(0, len(step.data), SECTOR):
        if tear is None or tear.random() < 0.5:
            content[step.at + at : step.at + at + SECTOR] = step.data[at : at + SECTOR]


def check(files: dict[str, bytes], published: int, leaves: list[bytes], place: Path) -> str:
    """What is wrong with an image: "" if it opens by itself with all that was published, unaltered."""
    place.mkdir(parents=True, exist_ok=True)
    for name in (DATABASE, DATABASE + "-wal", DATABASE + "-shm"):
        (place / name).unlink(missing_ok=True)
        if name in files:
            (place / name).write_bytes(files[name])
    store = Store(place, RealClock().hold)
    try:
        epochs = store._open_checked()
        if not epochs:
            return "" if not published else "empty"
        size = int.from_bytes(epochs[-1].frontier[:8], "big")
        if size < published:
            return f"{size} records, {published} were published"
        rows = store._records(epochs[-1], 0, size) if size else []
        held = [leaf_hash(record) if record is not None else None for _, record, _ in rows]
        return "" if held == leaves[:size] else "other records"
    except StoreError as error:
        return f"corrupt: {error}"
    finally:
        store._close()
        store._thread.shutdown()
        os.close(store._lock)


def campaign(images: int, seed: int, *, lying: bool = False, jobs: int = 1) -> Counter[str]:
    """So many images; what was wrong with them. See `part`."""
    parts = [(min(PART, images - at), seed * 1_000_000 + at, lying) for at in range(0, images, PART)]
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        sums = sum(pool.map(part, *zip(*parts, strict=True)), Counter[str]())
    return Counter({name: sums[name] for name in ("images", "runs", "steps", "records", "lost", "corrupt", "other")})


def part(images: int, seed: int, lying: bool) -> Counter[str]:
    """Images of one run, cut points drawn evenly over it from the first record on.

    lying: syncs of the WAL do nothing, which must show; the counter-check of this experiment.
    """
    random, sums = Random(seed), Counter[str]()
    with tempfile.TemporaryDirectory(prefix="hubiao-power-", dir=MEMORY if MEMORY.is_dir() else None) as name:
        directory = Path(name)
        steps = record(directory, seed)
        leaves = _leaves(directory / "data")
        if lying:
            steps = [step for step in steps if not (step.what == "sync" and step.file.endswith("-wal"))]
        first = next(n for n, step in enumerate(steps) if step.what == "publish")
        disk, played = Disk(), 0
        for cut in sorted(random.randrange(first + 1, len(steps) + 1) for _ in range(images)):
            for step in steps[played:cut]:
                disk.play(step)
            played = cut
            wrong = check(disk.image(random), disk.published, leaves, directory / "image")
            sums["images"] += 1
            sums["lost"] += "were published" in wrong or wrong == "empty"
            sums["corrupt"] += wrong.startswith("corrupt")
            sums["other"] += wrong == "other records"
    return sums + Counter(runs=1, steps=len(steps), records=len(leaves))


def _leaves(data: Path) -> list[bytes]:
    reader = Reader(data)
    try:
        return [leaf for _, _, leaf in reader.records(reader.epochs[-1])]
    finally:
        reader.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--lying", action="store_true", help="the counter-check: syncs of the WAL do nothing")
    parser.add_argument("--run", type=Path, help="the recorded run itself")
    options = parser.parse_args()
    if options.run:
        run(options.run, options.seed)
        return
    began = time.monotonic()
    sums = campaign(options.images, options.seed, lying=options.lying, jobs=options.jobs)
    print(f"seed {options.seed}: " + ", ".join(f"{name} {n}" for name, n in sums.items()))
    print(f"{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
