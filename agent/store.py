"""The log's home on disk: one writer on a thread of its own, and readers that only read.

DIR/hubiao.db (SQLite, WAL, synchronous FULL: a record that was published survives a power cut), DIR/lock (held while
an agent runs). What a commit returns from is durable. Knows nothing of meters or MQTT.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from agent.schema import EPOCH_SHIFT, migrate
from contract.tree import HASH_BYTES

T = TypeVar("T")
DATABASE = "hubiao.db"


class StoreError(Exception):
    """The disk refused, or another agent holds the store."""


@dataclass(frozen=True, slots=True)
class Epoch:
    """One life of the store: `number` counts them here, `id` names it everywhere."""

    number: int
    id: str
    cause: str
    vkey: str
    frontier: bytes
    delivered: int


@dataclass(frozen=True, slots=True)
class Batch:
    """What one commit adds: records with their leaf hashes, from index `first`, and the frontier after them."""

    first: int
    at_ms: int
    records: list[bytes]
    hashes: list[bytes]
    frontier: bytes


class Store:
    """The one writer. `hold` is the clock's: virtual time stands still during a commit."""

    def __init__(self, directory: Path, hold: Callable[[], AbstractContextManager[None]]) -> None:
        self.path = directory / DATABASE
        self._hold = hold
        self._lock = _lock(directory)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._db: sqlite3.Connection | None = None

    async def open(self) -> list[Epoch]:
        """Migrates and opens; gives the epochs so far, oldest first."""
        return await self._do(self._open)

    async def begin_epoch(self, id: str, cause: str, vkey: str, frontier: bytes) -> Epoch:
        return await self._do(self._begin_epoch, id, cause, vkey, frontier)

    async def append(self, epoch: Epoch, batch: Batch, delivered: int, note: tuple[int, str] | None) -> None:
        """One transaction: the batch, the frontier, the delivery mark, and the checkpoint signed after the last one.

        Not undone by cancellation: once it began, it ends.
        """
        await self._do(self._append, epoch, batch, delivered, note)

    async def conclude(self, epoch: Epoch, delivered: int, note: tuple[int, str] | None) -> None:
        """At the end: the delivery mark and the newest checkpoint, which otherwise ride with the next commit."""
        await self._do(self._conclude, epoch, delivered, note)

    async def set_aside(self, epoch: Epoch, seq: int, reason: str, tried_ms: int) -> None:
        """Remembers a record that the broker refused, to be tried again."""
        await self._do(self._set_aside, epoch, seq, reason, tried_ms)

    async def records(self, epoch: Epoch, first: int, count: int) -> list[tuple[int, bytes]]:
        """Up to `count` (or a batch more) records from index `first` on, with their indexes."""
        return await self._do(self._records, epoch, first, count)

    async def close(self) -> None:
        await self._do(self._close)
        self._thread.shutdown()
        os.close(self._lock)

    async def _do(self, action: Callable[..., T], *arguments: Any) -> T:
        loop = asyncio.get_running_loop()
        with self._hold():
            try:
                return await asyncio.shield(loop.run_in_executor(self._thread, action, *arguments))
            except sqlite3.Error as error:
                raise StoreError(f"{self.path}: {error}") from error

    def _open(self) -> list[Epoch]:
        migrate(self.path)
        db = self._db = sqlite3.connect(self.path, isolation_level=None)
        db.execute("PRAGMA synchronous=FULL")
        db.execute("PRAGMA wal_autocheckpoint=256")
        db.execute("PRAGMA journal_size_limit=-1")  # a WAL never shrunk works on a full disk
        rows = db.execute("SELECT number, id, cause, vkey, frontier, delivered FROM epoch ORDER BY number")
        return [Epoch(*row) for row in rows]

    def _begin_epoch(self, id: str, cause: str, vkey: str, frontier: bytes) -> Epoch:
        number = self._one("SELECT coalesce(max(number), 0) + 1 FROM epoch")
        self._run("INSERT INTO epoch VALUES (?, ?, ?, ?, ?, 0)", number, id, cause, vkey, frontier)
        return Epoch(number, id, cause, vkey, frontier, 0)

    def _append(self, epoch: Epoch, batch: Batch, delivered: int, note: tuple[int, str] | None) -> None:
        assert self._db is not None
        body = zlib.compress(b"\n".join(batch.records), 6)
        base = epoch.number << EPOCH_SHIFT
        self._db.execute("BEGIN IMMEDIATE")
        try:
            self._run(
                "INSERT INTO batch VALUES (?, ?, ?, ?, ?)",
                base + batch.first,
                len(batch.records),
                batch.at_ms,
                b"".join(batch.hashes),
                body,
            )
            self._run(
                "UPDATE epoch SET frontier = ?, delivered = ? WHERE number = ?", batch.frontier, delivered, epoch.number
            )
            self._keep_note(epoch, note)
            self._db.execute("COMMIT")
        except BaseException:
            self._db.execute("ROLLBACK")
            raise

    def _conclude(self, epoch: Epoch, delivered: int, note: tuple[int, str] | None) -> None:
        self._run("UPDATE epoch SET delivered = ? WHERE number = ?", delivered, epoch.number)
        self._keep_note(epoch, note)

    def _keep_note(self, epoch: Epoch, note: tuple[int, str] | None) -> None:
        if note is not None:
            key = (epoch.number << EPOCH_SHIFT) + note[0]
            self._run("INSERT OR REPLACE INTO checkpoint VALUES (?, ?)", key, note[1])

    def _set_aside(self, epoch: Epoch, seq: int, reason: str, tried_ms: int) -> None:
        self._run(
            "INSERT OR REPLACE INTO set_aside VALUES (?, ?, ?)", (epoch.number << EPOCH_SHIFT) + seq, reason, tried_ms
        )

    def _records(self, epoch: Epoch, first: int, count: int) -> list[tuple[int, bytes]]:
        assert self._db is not None
        found: list[tuple[int, bytes]] = []
        for seq, record, _ in _read(self._db, epoch.number, first):
            if record is not None:
                found.append((seq, record))
            if len(found) >= count:
                break
        return found

    def _run(self, sql: str, *arguments: Any) -> None:
        assert self._db is not None
        self._db.execute(sql, arguments)

    def _one(self, sql: str, *arguments: Any) -> Any:
        assert self._db is not None
        return self._db.execute(sql, arguments).fetchone()[0]

    def _close(self) -> None:
        if self._db is not None:
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._db.close()


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
        return _read(self._db, epoch.number, first)

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
        base, end = _range(epoch)
        rows = self._db.execute(
            "SELECT id, count, hashes, body FROM batch WHERE id + count > ? AND id >= ? AND id < ? ORDER BY id DESC",
            (base + last_to, base, end),
        )
        for row in rows:
            yield from (item for item in reversed(list(_unpack(base, *row))) if item[0] >= last_to)

    def index_of(self, epoch: Epoch, leaf: bytes) -> int | None:
        """Where the newest record with a leaf hash stands; reads hashes only."""
        base, end = _range(epoch)
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
        base, end = _range(epoch)
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
        base, end = _range(epoch)
        row = self._db.execute("SELECT count(*) FROM set_aside WHERE id >= ? AND id < ?", (base, end)).fetchone()
        return int(row[0])

    def newest_checkpoint(self, epoch: Epoch) -> str | None:
        """The last checkpoint kept; that of the newest commit is kept with the commit after it."""
        base, end = _range(epoch)
        sql = "SELECT note FROM checkpoint WHERE id >= ? AND id < ? ORDER BY id DESC LIMIT 1"
        row = self._db.execute(sql, (base, end)).fetchone()
        return None if row is None else str(row[0])

    def checkpoints(self, epoch: Epoch) -> list[str]:
        return [note for _, note in self._notes("checkpoint", epoch)]

    def receipts(self, epoch: Epoch) -> list[str]:
        rows = self._db.execute("SELECT note FROM receipt WHERE epoch = ? ORDER BY id", (epoch.number,))
        return [note for (note,) in rows]

    def close(self) -> None:
        self._db.close()

    def _notes(self, table: str, epoch: Epoch) -> list[tuple[int, str]]:
        base = epoch.number << EPOCH_SHIFT
        sql = f"SELECT id, note FROM {table} WHERE id >= ? AND id < ? ORDER BY id"
        return list(self._db.execute(sql, (base, base + (1 << EPOCH_SHIFT))))


def _range(epoch: Epoch) -> tuple[int, int]:
    """The ids in `batch` and `checkpoint` that belong to the epoch, half-open."""
    return epoch.number << EPOCH_SHIFT, (epoch.number + 1) << EPOCH_SHIFT


def _read(db: sqlite3.Connection, number: int, first: int) -> Iterator[tuple[int, bytes | None, bytes]]:
    base, end = number << EPOCH_SHIFT, (number + 1) << EPOCH_SHIFT
    # the batch that holds `first` is the last one that begins at or before it
    start = db.execute("SELECT max(id) FROM batch WHERE id >= ? AND id <= ?", (base, base + first)).fetchone()[0]
    rows = db.execute("SELECT id, count, hashes, body FROM batch WHERE id >= ? AND id < ? ORDER BY id", (start, end))
    for row in rows:
        yield from (item for item in _unpack(base, *row) if item[0] >= first)


def _unpack(
    base: int, id_: int, count: int, hashes: bytes, body: bytes | None
) -> Iterator[tuple[int, bytes | None, bytes]]:
    """The records of one row of `batch`: (index, bytes or None where pruned, leaf hash)."""
    records: list[bytes | None] = [None] * count if body is None else list(zlib.decompress(body).split(b"\n"))
    for index, record in enumerate(records):
        yield id_ - base + index, record, hashes[index * HASH_BYTES : (index + 1) * HASH_BYTES]


def _lock(directory: Path) -> int:
    """The lock that keeps a second agent from the same store. Raises StoreError."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        handle = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(f"{directory}: {error.strerror}") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        raise StoreError(f"{directory}: another agent holds this store") from error
    return handle
