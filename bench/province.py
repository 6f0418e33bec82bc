"""Parks for the auditor's campaigns: one played through the gateway's own recorder, then stamped as many.

    bench.evidence_verify.Framed ─▶ records of one park ─▶ park, epoch, salts, hash of the configuration replaced in the
    bytes ─▶ leaves, tree and a checkpoint a sweep under the park's own epoch ─▶ store

So every park has evidence that is whole and verifies, with real frames; what its meters measured is the same in all.
"""

from __future__ import annotations

import base64
import hashlib
import random
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import pyarrow as pa

from audit.fold import ROWS
from audit.parquet import table_of, write_part, write_table
from audit.rows import LogId, Row, head_of, row_of
from audit.writer import Writer
from bench.evidence_auditor import AUDITOR_KEY, AUDITOR_NAME, KEY
from bench.evidence_verify import IMPORTS, Framed
from bench.fed import MemoryLog
from bench.month import BEGIN_S, LOST, STEP_S, park
from contract import note
from contract.records import encode, slot_instant
from contract.tree import Frontier, leaf_hash
from simulators.park import Truth

PARK, GATEWAY = "month", "gw-1"  # of bench.month
_EPOCH, _SALT = b"e" * 32, b"0" * 32  # of bench.fed
_DAY = 96
MONTH = "2026-07"
REVISED = 250  # of a month's rows one in so many is written again at the end of its day


class NotedLog(MemoryLog):
    """Remembers after how many records the gateway would have signed."""

    async def commit(self) -> None:
        self.__dict__.setdefault("sizes", []).append(len(self.records))


@dataclass(slots=True)
class Stamped:
    """A park's evidence."""

    which: LogId
    rows: list[Row]
    month: str
    checkpoints: list[str] = field(default_factory=list)
    receipts: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Template:
    """One park's records in order, as columns, and the sizes at which it signed."""

    rows: list[Row]
    months: list[str]
    sizes: list[int]

    @classmethod
    def play(cls, meters: int, slots: int, seed: int = 1) -> Template:
        """A park of so many meters for so many slots from 1 July on; one reading in 250 is lost."""
        config = park(meters, 31)
        truth = Truth(config, seed)

        def shown(name: str, at_ms: int) -> dict[str, Decimal]:
            registers = truth.registers(name, at_ms)
            return {register: registers[register] for register in IMPORTS}

        fed = Framed(config, shown, slot_instant(BEGIN_S - 700), log=NotedLog)
        random_ = random.Random(seed)
        for slot_s in range(BEGIN_S, BEGIN_S + slots * STEP_S, STEP_S):
            fed.sweep(slot_s, silent=[name for name in fed.recorder.meters if random_.random() < LOST])
        records = [encode(head, body) for head, body in fed.log.records]
        sizes = sorted(set(fed.log.__dict__["sizes"]) | {len(records)})
        return cls([row_of(record, 0) for record in records], [head_of(record).month for record in records], sizes)

    def stamp(self, name: str, seed: int = 1) -> Stamped:
        """As the evidence of a park of this name, of five letters as the template's."""
        epoch = hashlib.sha256(f"{name} {seed}".encode()).hexdigest()[:32]
        which = LogId(name, GATEWAY, epoch)
        salts = random.Random(f"{name} {seed}")
        stamped = Stamped(which, [], self.months[-1])
        old, new = b"", b""  # hash of the configuration in force
        tree, sizes = Frontier(), set(self.sizes)
        for row in self.rows:
            body = row.body.replace(b'"park":"month"', b'"park":"%s"' % name.encode()).replace(_EPOCH, epoch.encode())
            body = body.replace(_SALT, b"%032x" % salts.getrandbits(128), 1)
            if old:
                body = body.replace(old, new, 1)
            leaf = leaf_hash(body)
            if row.kind == "config":
                old, new = leaf_hash(row.body).hex().encode(), leaf.hex().encode()
            tree.append(leaf)
            stamped.rows.append(row._replace(epoch=epoch, body=body))
            if tree.size in sizes:
                self._sign(stamped, tree, row.at_ms or 0)
        return stamped

    def _sign(self, stamped: Stamped, tree: Frontier, at_ms: int) -> None:
        text = note.sign_checkpoint(KEY, note.Checkpoint(note.origin(*stamped.which), tree.size, tree.root()))
        stamped.checkpoints.append(text)
        if len(stamped.checkpoints) % _DAY == 0:
            stamped.receipts.append(note.cosign(AUDITOR_KEY, AUDITOR_NAME, text, at_ms // 1000))


def put(writer: Writer, stamped: Stamped) -> None:
    """Straight into Parquet, past the inbox: what `audit import` leaves behind, without reading every record again."""
    which = stamped.which
    parts = [stamped.rows[at : at + ROWS] for at in range(0, len(stamped.rows), ROWS)]
    for n, rows in enumerate(parts, 1):
        write_part(_part_path(writer, which, stamped.month, n), rows)
    _name(writer, which, stamped.month, [(rows[0].seq, rows[-1].seq) for rows in parts])
    writer.add_notes(which, "checkpoints", note.join_notes(stamped.checkpoints).encode())
    if stamped.receipts:
        writer.add_notes(which, "receipts", note.join_notes(stamped.receipts).encode())
    writer.store.pin_key(which.park, which.gateway, base64.b64encode(note.public_raw(KEY)).decode())


def month_of(day: Template, days: int, every_s: int = STEP_S) -> pa.Table:
    """A day's columns, so many days on end, registers and indexes running on; the records' bytes are left out.

    every_s: only what begins at a multiple of it, as a park of that interval would have.
    """
    kinds = ("reading", "interval", "gap", "event", "balance")
    kept = [row for row in day.rows if row.kind in kinds and (row.slot_s or 0) % every_s == 0]
    kept += [row._replace(revision=1) for row in kept[::REVISED] if row.kind in ("reading", "interval")]
    ends: dict[str, Decimal] = {}
    for row in kept:
        if row.meter is not None and row.register is not None:
            ends.setdefault(row.meter, row.register)
    ran = {
        row.meter: row.register - ends[row.meter] for row in kept if row.meter is not None and row.register is not None
    }
    rows = []
    for n in range(days):
        for at, row in enumerate(kept):
            shift = {name: getattr(row, name) + n * 86_400 for name in ("slot_s", "until_s") if getattr(row, name)}
            register = None if row.register is None else row.register + n * ran[row.meter]
            at_ms = (row.at_ms or 0) + n * 86_400_000
            seq = n * len(kept) + at
            rows.append(row._replace(seq=seq, at_ms=at_ms, register=register, body=None, **shift))  # type: ignore[arg-type]  # left out
    return table_of(rows)


def put_months(writer: Writer, parks: Sequence[str], month: pa.Table) -> None:
    """The same columns as parks of their own: a file each, copied, since writing it anew would say no more."""
    epoch = month["epoch"][0].as_py()
    paths = [_part_path(writer, LogId(name, GATEWAY, epoch), MONTH, 1) for name in parks]
    write_table(paths[0], month)
    for name, path in zip(parks, paths, strict=True):
        if path != paths[0]:
            shutil.copyfile(paths[0], path)
        _name(writer, LogId(name, GATEWAY, epoch), MONTH, [(0, len(month) - 1)])


def _part_path(writer: Writer, which: LogId, month: str, n: int) -> Path:
    path = writer.store.part_path(which.park, month, n)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _name(writer: Writer, which: LogId, month: str, spans: Sequence[tuple[int, int]]) -> None:
    with writer.store.transaction() as db:
        log = db.execute("INSERT INTO log (park, gateway, epoch) VALUES (?, ?, ?)", which).lastrowid
        rows = [(log, month, n, first, last, last - first + 1) for n, (first, last) in enumerate(spans, 1)]
        db.executemany("INSERT INTO part VALUES (?, ?, ?, ?, ?, ?)", rows)


def names(parks: int) -> list[str]:
    """p0001, p0002 …"""
    return [f"p{n:04d}" for n in range(1, parks + 1)]
