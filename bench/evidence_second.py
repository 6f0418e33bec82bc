"""`python -m bench.evidence_second [--logs N] [--seed S]`: the second verifier (bench/verify.mjs) on mutated logs.

Each log is an honest export with nothing or something done to it: records edited, deleted, doubled, swapped, put in,
re-hashed, re-signed; hashes, checkpoints and receipts changed, dropped, forged. Both verifiers must agree whether it is
good, and on its first bad index; the manipulation must be found wherever its scene says that it can be.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from agent.evidence.store import Receipt
from bench.evidence_auditor import AUDITOR_KEY, AUDITOR_NAME, AUDITOR_VKEY, GATEWAY, KEY, PARK, make_log, reading
from contract import note, tree
from contract.records import Pruned, canonical
from contract.verify import Evidence, verify
from drivers.clock import VirtualClock

VERIFIER = Path(__file__).with_name("verify.mjs")
START_MS = 1_783_641_600_000
# what only the first verifier looks at, or what made-up readings have no claim to
FIRST_ONLY = frozenset(
    {"late", "late_witness", "not_measured", "missing", "frames", "duplicate", "revision", "unconfirmed"}
)
CHUNK = 100


@dataclass
class Export:
    """The files of an export in memory."""

    records: list[bytes] = field(default_factory=list)
    hashes: list[bytes] = field(default_factory=list)
    checkpoints: list[str] = field(default_factory=list)
    receipts: list[str] = field(default_factory=list)

    def copy(self) -> Export:
        return Export(list(self.records), list(self.hashes), list(self.checkpoints), list(self.receipts))

    def write(self, directory: Path, key: str) -> None:
        directory.mkdir(parents=True)
        (directory / "records.ndjson").write_bytes(b"".join(record + b"\n" for record in self.records))
        (directory / "hashes.txt").write_text("".join(leaf.hex() + "\n" for leaf in self.hashes))
        (directory / "checkpoints.txt").write_text(note.join_notes(self.checkpoints), encoding="utf-8")
        (directory / "receipts.txt").write_text(note.join_notes(self.receipts), encoding="utf-8")
        (directory / "key.txt").write_text(key + "\n")


def honest(sweeps: int = 8, meters: int = 5) -> tuple[Export, str]:
    """A log with a witness, and its verifier key."""
    export = Export()

    async def main(data: Path) -> str:
        store, log = await make_log(data, clock)
        export.checkpoints.append(log.checkpoint)
        for n in range(sweeps):
            for meter in range(meters):
                log.add(reading(meter, START_MS // 1000 + 900 * n))
            if n == sweeps // 4:
                log.add(Pruned([[1, 9]], "disk", "0" * 32))  # of an older epoch: excuses no hole in this one
            if n == sweeps // 2:
                receipt = note.cosign(AUDITOR_KEY, AUDITOR_NAME, log.checkpoint, START_MS // 1000)
                log.witness(Receipt(AUDITOR_NAME, log.size, receipt))
                export.receipts.append(receipt)
            await log.commit()
            export.checkpoints.append(log.checkpoint)
        rows = await store.records(log.epoch, 0, 10_000)
        export.records = [record for _, record, _ in rows if record is not None]
        export.hashes = [leaf for _, _, leaf in rows]
        vkey = log.epoch.vkey
        await log.close()
        await store.close()
        return vkey

    clock = VirtualClock(START_MS)
    with tempfile.TemporaryDirectory() as directory:
        return export, clock.run(main(Path(directory)))


Scene = Callable[[Random, Export], None]


def _edit(random: Random, export: Export, below: int | None = None) -> None:
    n = random.randrange(2, below or len(export.records))
    raw = json.loads(export.records[n])
    name, value = random.choice([("salt", "0" * 32), ("boot_ms", 7), ("at", "2026-07-11T00:00:00.000Z")])
    raw[name] = value
    export.records[n] = canonical(raw)


def _bit(random: Random, export: Export) -> None:
    n = random.randrange(len(export.records))
    data = bytearray(export.records[n])
    data[random.randrange(len(data))] ^= 1 << random.randrange(8)
    export.records[n] = bytes(data)


def _rehashed(random: Random, export: Export) -> None:
    _edit(random, export)
    export.hashes = [tree.leaf_hash(record) for record in export.records]


def _resigned(random: Random, export: Export) -> None:
    """Witnessed records written anew with the gateway's key after the fact: only the receipt tells.

    What no auditor witnessed yet can be written anew by whoever holds the key, and nobody can tell: no scene of it.
    """
    _edit(random, export, below=note.parse_checkpoint(note.parse_note(export.receipts[0])[0]).size)
    export.hashes = [tree.leaf_hash(record) for record in export.records]
    resigned = []
    for text in export.checkpoints:
        point = note.parse_checkpoint(note.parse_note(text)[0])
        root = tree.root_of(export.hashes[: point.size])
        resigned.append(note.sign_checkpoint(KEY, note.Checkpoint(point.origin, point.size, root)))
    export.checkpoints = resigned


def _delete(random: Random, export: Export) -> None:
    del export.records[random.randrange(len(export.records))]


def _delete_both(random: Random, export: Export) -> None:
    n = random.randrange(len(export.records))
    del export.records[n], export.hashes[n]


def _truncate(random: Random, export: Export) -> None:
    n = random.randrange(1, len(export.records))
    del export.records[n:], export.hashes[n:]


def _swap(random: Random, export: Export) -> None:
    a, b = random.sample(range(len(export.records)), 2)
    export.records[a], export.records[b] = export.records[b], export.records[a]


def _swap_both(random: Random, export: Export) -> None:
    a, b = random.sample(range(len(export.records)), 2)
    for rows in (export.records, export.hashes):
        rows[a], rows[b] = rows[b], rows[a]


def _double(random: Random, export: Export) -> None:
    n = random.randrange(len(export.records))
    export.records.insert(random.randrange(n, len(export.records)) + 1, export.records[n])


def _insert(random: Random, export: Export) -> None:
    n = random.randrange(2, len(export.records))
    raw = json.loads(export.records[n])
    export.records.insert(n, canonical({**raw, "salt": f"{random.randrange(16**32):032x}"}))
    if random.random() < 0.5:
        export.hashes.insert(n, tree.leaf_hash(export.records[n]))


def _hash(random: Random, export: Export) -> None:
    export.hashes[random.randrange(len(export.hashes))] = random.randbytes(32)


def _note_bit(random: Random, export: Export) -> None:
    notes = random.choice([export.checkpoints, export.receipts])
    n = random.randrange(len(notes))
    at = random.randrange(len(notes[n]))
    notes[n] = notes[n][:at] + random.choice("0aZ+/=\n ") + notes[n][at + 1 :]


def _note_swap(random: Random, export: Export) -> None:
    a, b = random.sample(range(len(export.checkpoints)), 2)
    export.checkpoints[a], export.checkpoints[b] = export.checkpoints[b], export.checkpoints[a]


def _fork(random: Random, export: Export) -> None:
    point = note.parse_checkpoint(note.parse_note(random.choice(export.checkpoints))[0])
    export.checkpoints.append(
        note.sign_checkpoint(KEY, note.Checkpoint(point.origin, point.size, random.randbytes(32)))
    )


def _forged(random: Random, export: Export) -> None:
    n = random.randrange(len(export.checkpoints))
    point = note.parse_checkpoint(note.parse_note(export.checkpoints[n])[0])
    export.checkpoints[n] = note.sign_checkpoint(AUDITOR_KEY, point)


def _last_notes(_random: Random, export: Export) -> None:
    del export.checkpoints[-1]


def _no_change(_random: Random, _export: Export) -> None:
    """An honest log: nobody may complain."""


SCENES: tuple[Scene, ...] = (
    *(_no_change, _edit, _bit, _rehashed, _resigned, _delete, _delete_both, _truncate, _swap, _swap_both, _double),
    *(_insert, _hash, _note_bit, _note_swap, _fork, _forged, _last_notes),
)


def ours(export: Export) -> dict[str, Any]:
    """What our own verifier says of what the second one looks at."""
    evidence = Evidence(list(export.records), list(export.hashes), list(export.checkpoints), list(export.receipts))
    result = verify(evidence, note.public_raw(KEY), auditors=[AUDITOR_VKEY])
    findings = [f for f in result["findings"] if f["code"] not in FIRST_ONLY]
    seqs = [f["seq"] for f in findings if f["seq"] is not None]
    return {"ok": not findings, "first_bad": min(seqs, default=None), "codes": sorted({f["code"] for f in findings})}


def campaign(logs: int, seed: int) -> dict[str, Any]:
    """Counts of logs, disagreements (with their scenes), manipulations not found, false alarms."""
    random = Random(seed)
    base, vkey = honest()
    sums: Counter[str] = Counter()
    examples: list[Any] = []
    while sums["logs"] < logs:
        with tempfile.TemporaryDirectory() as place:
            batch = []
            for n in range(min(CHUNK, logs - sums["logs"])):
                scene = random.choice(SCENES)
                export = base.copy()
                scene(random, export)
                export.write(Path(place) / str(n), vkey)
                batch.append((scene, export))
                sums["logs"] += 1
            command = [
                "node",
                str(VERIFIER),
                "--auditor",
                AUDITOR_VKEY,
                *(str(Path(place) / str(n)) for n in range(len(batch))),
            ]
            lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
            for (scene, export), line in zip(batch, lines, strict=True):
                _compare(scene, base, export, json.loads(line), sums, examples)
    return {**sums, "examples": examples[:5]}


def _compare(
    scene: Scene, base: Export, export: Export, theirs: dict[str, Any], sums: Counter[str], examples: list[Any]
) -> None:
    first = ours(export)
    if scene is _no_change or export == base:
        sums["honest"] += 1
        sums["false_alarms"] += not first["ok"]
        sums["false_alarms_second"] += not theirs["ok"]
    else:
        sums["manipulated"] += 1
        sums["not_found"] += first["ok"]
        if first["ok"]:
            examples.append((scene.__name__, "not found"))
    if (first["ok"], first["first_bad"]) != (theirs["ok"], theirs["first_bad"]):
        sums["disagree"] += 1
        examples.append((scene.__name__, first, {name: theirs[name] for name in ("ok", "first_bad", "codes")}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--logs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    assert shutil.which("node"), "this needs Node.js"
    began = time.monotonic()
    result = campaign(options.logs, options.seed)
    for example in result.pop("examples"):
        print("disagreement:", example)
    print(f"seed {options.seed}, park {PARK}/{GATEWAY}: " + ", ".join(f"{name} {n}" for name, n in result.items()))
    print(f"{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
