"""`python -m bench.evidence_power [--images N] [--seed S]`: power cuts, as disk images rebuilt from a recorded run.

    a run under strace ─▶ every write, truncate and sync of the store's files, and every publish ─▶ cut anywhere
    ─▶ image: what was synced is there; of what was not, each write is whole, missing, or torn at a sector
    ─▶ open, compare

What is modelled: loss, reordering and tearing (512-byte sectors) of unsynced writes, file by file; lengths follow the
writes that survive. Not modelled: a flash that loses what it said it had synced, or damages its neighbours; directory
entries (the files are there before the first record). Needs strace.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from agent.store import DATABASE, Store, StoreError
from bench.evidence_auditor import make_log, reading
from contract.tree import leaf_hash
from drivers.clock import RealClock

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


def record(directory: Path) -> list[Step]:
    """A run of the log in a child, as its system calls."""
    trace = directory / "trace"
    command = ["strace", "-f", "-y", "-xx", "-s", "1000000", "-e", f"trace={CALLS}", "-o", str(trace)]
    data = directory / "data"
    subprocess.run([*command, sys.executable, "-m", "bench.evidence_power", "--run", str(data)], check=True)
    return list(_steps(trace, data))


def run(data: Path) -> None:
    """The recorded run: sweeps of growing size; a size is published after its commit, never before."""

    async def main() -> None:
        clock = RealClock(trusted=True)
        store, log = await make_log(data, clock, audited=False)
        random = Random(1)
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


def campaign(images: int, seed: int, *, lying: bool = False) -> dict[str, int]:
    """So many images, cut points drawn evenly over the run from the first record on.

    lying: syncs of the WAL do nothing, which must show; the counter-check of this experiment.
    """
    random = Random(seed)
    directory = Path(tempfile.mkdtemp(prefix="hubiao-power-"))
    steps = [step for step in record(directory) if not (lying and step.what == "sync" and step.file.endswith("-wal"))]
    whole = Disk()
    for step in steps:
        whole.play(step)
    store = Store(directory / "data", RealClock().hold)
    epoch = store._open_checked()[-1]
    leaves = [leaf for _, _, leaf in store._records(epoch, 0, 1 << 30)]
    store._close()
    os.close(store._lock)
    sums = {
        "images": 0,
        "steps": len(steps),
        "published": whole.published,
        "lost": 0,
        "corrupt": 0,
        "other": 0,
        "beyond": 0,
    }
    first = next(n for n, step in enumerate(steps) if step.what == "publish")
    cuts = sorted(random.randrange(first, len(steps) + 1) for _ in range(images))
    disk, played = Disk(), 0
    for cut in cuts:
        while played < cut:
            disk.play(steps[played])
            played += 1
        wrong = check(disk.image(random), disk.published, leaves, directory / "image")
        sums["images"] += 1
        sums["lost"] += "were published" in wrong or wrong == "empty"
        sums["corrupt"] += wrong.startswith("corrupt")
        sums["other"] += wrong == "other records"
    shutil.rmtree(directory)
    return sums


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--lying", action="store_true", help="the counter-check: syncs of the WAL do nothing")
    parser.add_argument("--run", type=Path)
    options = parser.parse_args()
    if options.run:
        run(options.run)
        return
    began = time.monotonic()
    sums = campaign(options.images, options.seed, lying=options.lying)
    print(f"seed {options.seed}: " + ", ".join(f"{name} {n}" for name, n in sums.items()))
    print(f"{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
