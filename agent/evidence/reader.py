"""The store opened for reading only: rows of `batch` unpacked into records, checkpoints, receipts. Changes nothing.

A row's body is the zlib of its records joined by newlines. An empty line keeps the place of a record whose body was
given up; a row without body gave up all of them. A body that no longer unpacks counts as given up too: its hashes tell.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agent.evidence.schema import EPOCH_SHIFT
from contract.tree import HASH_BYTES, Frontier

DATABASE = "hubiao.db"


class StoreError(Exception):
    """The disk refused, or another agent holds the store."""


class StoreDamaged(StoreError):
    """What is on disk is no longer what was written. The store must be made anew."""


@dataclass(frozen=True, slots=True)
class Epoch:
    """One life of the store: `number` counts them here, `id` names it everywhere."""

    number: int
    id: str
    cause: str
    vkey: str
    frontier: bytes
    delivered: int

    @property
    def size(self) -> int:
        """Records committed when it was read."""
        return int.from_bytes(self.frontier[:8], "big")


class Reader:
    """A store opened for reading only, beside a running agent or without one."""

    def __init__(self, path: Path) -> None:
        database = path / DATABASE if path.is_dir() else path
        if not database.exists():
            raise StoreError(f"{database}: there is no store")
        try:
            self._db = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
            rows = self._db.execute("SELECT number, id, cause, vkey, frontier, delivered FROM epoch ORDER BY number")
            self.epochs = [Epoch(*row) for row in rows]
        except sqlite3.Error as error:
            raise StoreError(f"{database}: {error}") from error

    def records(self, epoch: Epoch, first: int = 0) -> Iterator[tuple[int, bytes | None, bytes]]:
        """(index, record bytes or None where pruned, leaf hash), in order of the log."""
        return read_rows(self._db, epoch.number, first)

    def first_since(self, epoch: Epoch, at_ms: int) -> int:
        """Index from which on every record was committed at or after an instant (undated commits count as after)."""
        base = epoch.number << EPOCH_SHIFT
        row = self._db.execute(
            "SELECT max(id + count) FROM batch WHERE id >= ? AND id < ? AND at_ms > 0 AND at_ms < ?",
            (base, base + (1 << EPOCH_SHIFT), at_ms),
        ).fetchone()
        return 0 if row[0] is None else int(row[0]) - base

    def backwards(self, epoch: Epoch, last_to: int = 0) -> Iterator[tuple[int, bytes | None, bytes]]:
        """The same, newest first, down to the index `last_to`."""
        base, end = id_range(epoch)
        rows = self._db.execute(
            "SELECT id, count, hashes, body FROM batch WHERE id + count > ? AND id >= ? AND id < ? ORDER BY id DESC",
            (base + last_to, base, end),
        )
        for row in rows:
            yield from (item for item in reversed(list(unpack(base, *row))) if item[0] >= last_to)

    def rows(self, epoch: Epoch) -> Iterator[tuple[int, int, bytes, bytes | None]]:
        """(first index, commit's wall clock in ms, leaf hashes, packed bodies) of each commit, in order of the log."""
        base, end = id_range(epoch)
        sql = "SELECT id - ?1, at_ms, hashes, body FROM batch WHERE id >= ?1 AND id < ?2 ORDER BY id"
        yield from self._db.execute(sql, (base, end))

    def index_of(self, epoch: Epoch, leaf: bytes) -> int | None:
        """Where the newest record with a leaf hash stands; reads hashes only."""
        base, end = id_range(epoch)
        rows = self._db.execute(
            "SELECT id, hashes FROM batch WHERE id >= ? AND id < ? AND instr(hashes, ?) ORDER BY id DESC",
            (base, end, leaf),
        )
        for id_, hashes in rows:
            leaves = [hashes[at : at + HASH_BYTES] for at in range(0, len(hashes), HASH_BYTES)]
            if leaf in leaves:
                return int(id_) - base + leaves.index(leaf)
        return None

    def size(self, epoch: Epoch) -> int:
        """Records committed in the epoch."""
        base, end = id_range(epoch)
        row = self._db.execute("SELECT max(id + count) FROM batch WHERE id >= ? AND id < ?", (base, end)).fetchone()
        return 0 if row[0] is None else int(row[0]) - base

    def growth(self, since_ms: int) -> tuple[int, int, int] | None:
        """Bytes that dated commits since an instant wrote, and when (ms) the first and the last were; None of none."""
        row = self._db.execute(
            "SELECT sum(length(hashes) + ifnull(length(body), 0)), min(at_ms), max(at_ms) FROM batch WHERE at_ms >= ?",
            (max(1, since_ms),),
        ).fetchone()
        return None if row[0] is None else (int(row[0]), int(row[1]), int(row[2]))

    def aside(self, epoch: Epoch) -> int:
        """How many records the broker refused so far."""
        base, end = id_range(epoch)
        row = self._db.execute("SELECT count(*) FROM set_aside WHERE id >= ? AND id < ?", (base, end)).fetchone()
        return int(row[0])

    def newest_checkpoint(self, epoch: Epoch) -> str | None:
        """The last checkpoint kept; that of the newest commit is kept with the commit after it."""
        base, end = id_range(epoch)
        sql = "SELECT note FROM checkpoint WHERE id >= ? AND id < ? ORDER BY id DESC LIMIT 1"
        row = self._db.execute(sql, (base, end)).fetchone()
        return None if row is None else str(row[0])

    def checkpoints(self, epoch: Epoch) -> list[str]:
        return [note for _, note in self._notes("checkpoint", epoch)]

    def receipts(self, epoch: Epoch) -> list[str]:
        rows = self._db.execute("SELECT note FROM receipt WHERE epoch = ? ORDER BY id", (epoch.number,))
        return [note for (note,) in rows]

    def accepted(self, epoch: Epoch) -> list[tuple[str, int, str]]:
        """Receipts as (auditor, size, note), in the order in which they were accepted."""
        return list(
            self._db.execute("SELECT auditor, size, note FROM receipt WHERE epoch = ? ORDER BY id", (epoch.number,))
        )

    def quick_check(self) -> list[str]:
        """What SQLite finds wrong with its pages, nothing if all is well."""
        return [str(row[0]) for row in self._db.execute("PRAGMA quick_check") if row[0] != "ok"]

    def close(self) -> None:
        self._db.close()

    def _notes(self, table: str, epoch: Epoch) -> list[tuple[int, str]]:
        base = epoch.number << EPOCH_SHIFT
        sql = f"SELECT id, note FROM {table} WHERE id >= ? AND id < ? ORDER BY id"
        return list(self._db.execute(sql, (base, base + (1 << EPOCH_SHIFT))))


def id_range(epoch: Epoch) -> tuple[int, int]:
    """The ids in `batch` and `checkpoint` that belong to the epoch, half-open."""
    return epoch.number << EPOCH_SHIFT, (epoch.number + 1) << EPOCH_SHIFT


def read_rows(db: sqlite3.Connection, number: int, first: int) -> Iterator[tuple[int, bytes | None, bytes]]:
    base, end = number << EPOCH_SHIFT, (number + 1) << EPOCH_SHIFT
    # the batch that holds `first` is the last one that begins at or before it
    start = db.execute("SELECT max(id) FROM batch WHERE id >= ? AND id <= ?", (base, base + first)).fetchone()[0]
    rows = db.execute("SELECT id, count, hashes, body FROM batch WHERE id >= ? AND id < ? ORDER BY id", (start, end))
    for row in rows:
        yield from (item for item in unpack(base, *row) if item[0] >= first)


def frontier_at(db: sqlite3.Connection, epoch: Epoch, size: int) -> Frontier:
    """The tree of an epoch as it was at a size, from the stored hashes; smaller where there are not so many."""
    base, frontier = id_range(epoch)[0], Frontier()
    sql = "SELECT hashes FROM batch WHERE id >= ? AND id < ? ORDER BY id"
    for (hashes,) in db.execute(sql, (base, base + size)):
        for at in range(0, len(hashes), HASH_BYTES):
            if frontier.size == size:
                return frontier
            frontier.append(hashes[at : at + HASH_BYTES])
    return frontier


def unpack(
    base: int, id_: int, count: int, hashes: bytes, body: bytes | None
) -> Iterator[tuple[int, bytes | None, bytes]]:
    """The records of one row of `batch`: (index, bytes or None where pruned, leaf hash)."""
    for index, record in enumerate(_bodies(count, body)):
        yield id_ - base + index, record, hashes[index * HASH_BYTES : (index + 1) * HASH_BYTES]


def _bodies(count: int, body: bytes | None) -> list[bytes | None]:
    if body is not None:
        try:
            records: list[bytes | None] = [record or None for record in zlib.decompress(body).split(b"\n")]
        except zlib.error:
            records = []
        if len(records) == count:
            return records
    return [None] * count
