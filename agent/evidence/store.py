"""The log's home on disk: one writer on a thread of its own.

DIR/hubiao.db (SQLite, WAL, synchronous FULL: a record that was published survives a power cut), DIR/lock (held while
an agent runs), DIR/ballast (see `ring`). What a commit returns from is durable; what a failed one did is read back
from the database, never inferred. Knows nothing of meters or MQTT.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import sqlite3
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from agent.evidence import condition, ring
from agent.evidence.condition import CONDEMNED as CONDEMNED
from agent.evidence.lock import lock
from agent.evidence.reader import DATABASE as DATABASE
from agent.evidence.reader import Epoch as Epoch
from agent.evidence.reader import Reader as Reader
from agent.evidence.reader import StoreDamaged as StoreDamaged
from agent.evidence.reader import StoreError as StoreError
from agent.evidence.reader import frontier_at, id_range, read_rows, unpack
from agent.evidence.schema import EPOCH_SHIFT, migrate
from contract.tree import Frontier

T = TypeVar("T")
MOST_EPOCHS = 1 << 20  # a number beyond that was damaged: so many starts anew no box survives
_DAMAGE = ("SQLITE_CORRUPT", "SQLITE_NOTADB")
_FULL = "SQLITE_FULL"
# what the surroundings do to a store; any other fault while it is opened means that its content is broken
_SURROUNDINGS = ("SQLITE_IOERR", "SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_NOMEM")


class StoreFull(StoreError):
    """No room: in the ring, or on the disk."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What one sweep adds: records with their leaf hashes, from index `first`, and the frontier after them.

    A record may be empty: its body was given up before it could be stored.
    """

    first: int
    at_ms: int
    records: list[bytes]
    hashes: list[bytes]
    frontier: bytes


class Receipt(NamedTuple):
    """An accepted receipt, for the table of that name."""

    auditor: str
    size: int
    note: str


class Aside(NamedTuple):
    """A record that the broker refused."""

    seq: int
    reason: str
    tried_ms: int


class Store:
    """The one writer. `hold` is the clock's: virtual time stands still during a commit."""

    def __init__(self, directory: Path, hold: Callable[[], AbstractContextManager[None]]) -> None:
        self.directory = directory
        self.path = directory / DATABASE
        self._hold = hold
        self._lock = lock(directory)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._db: sqlite3.Connection | None = None
        self._reserved: ring.Reserved | None = None
        self._tight = False  # the disk itself is full: the file must not grow

    async def open(self) -> list[Epoch]:
        """Migrates, opens and checks; gives the epochs so far, oldest first. StoreDamaged: see `set_aside_damaged`."""
        return await self._do(self._open_checked)

    async def set_aside_damaged(self) -> tuple[list[Epoch], Path]:
        """Moves a damaged database aside, never deletes it; gives what epochs could still be read, and where it is."""
        return await self._do(self._move_aside)

    async def epochs(self) -> list[Epoch]:
        """As they stand now, oldest first."""
        return await self._do(self._epochs)

    async def begin_epoch(self, id: str, cause: str, vkey: str, frontier: bytes, *, number: int = 0) -> Epoch:
        """number: its place among the epochs, 0: behind all of them."""
        return await self._do(self._begin_epoch, id, cause, vkey, frontier, number)

    async def append(
        self,
        epoch: Epoch,
        batches: Sequence[Batch],
        delivered: int,
        note: tuple[int, str] | None,
        receipts: Sequence[Receipt] = (),
        evictions: Sequence[ring.Eviction] = (),
    ) -> None:
        """One transaction: bodies given up, batches, frontier, delivery mark, receipts, and the last signed checkpoint.

        Not undone by cancellation: once it began, it ends. Batches that are there already (an earlier try went
        through after all) are left out. Raises StoreError; StoreFull and StoreDamaged are two of its kind.
        """
        await self._do(self._append, epoch, batches, delivered, note, receipts, evictions)

    async def conclude(self, epoch: Epoch, delivered: int, note: tuple[int, str] | None) -> None:
        """At the end: the delivery mark and the newest checkpoint, which otherwise ride with the next commit."""
        await self._do(self._conclude, epoch, delivered, note)

    async def set_aside(self, epoch: Epoch, seq: int, reason: str, tried_ms: int) -> None:
        """Remembers a record that the broker refused, to be tried again."""
        await self._do(self._set_aside, epoch, seq, reason, tried_ms)

    async def taken_after_all(self, epoch: Epoch, seq: int) -> None:
        """The broker took a record that was set aside."""
        await self._do(self._run, "DELETE FROM set_aside WHERE id = ?", (epoch.number << EPOCH_SHIFT) + seq)

    async def aside(self, epoch: Epoch, tried_before_ms: int) -> list[Aside]:
        """Records set aside and not tried since an instant."""
        return await self._do(self._aside, epoch, tried_before_ms)

    async def records(self, epoch: Epoch, first: int, count: int) -> list[tuple[int, bytes | None, bytes]]:
        """Up to `count` (or a batch more) rows (index, record or None where it was given up, leaf hash)."""
        return await self._do(self._records, epoch, first, count)

    async def frontier_at(self, epoch: Epoch, size: int) -> Frontier:
        """The tree as it was at an earlier size, from the stored hashes."""
        return await self._do(self._frontier_at, epoch, size)

    async def last_of(self, epoch: Epoch) -> bytes | None:
        """The newest record whose bytes are still there, None where there is none."""
        return await self._do(self._last_of, epoch)

    async def receipts(self, epoch: Epoch) -> list[Receipt]:
        """Accepted receipts, oldest first."""
        return await self._do(self._receipts, epoch)

    async def newest_checkpoint(self, epoch: Epoch) -> str | None:
        """The signed note of greatest size, None where there is none."""
        return await self._do(self._newest_checkpoint, epoch)

    async def evictions(self, epoch: Epoch, witnessed: int, bounds: ring.Bounds) -> list[ring.Eviction]:
        """What to give up to make room, where the newest epoch is witnessed up to a size: see `ring`."""
        return await self._do(self._evictions, epoch, witnessed, bounds)

    async def make_room(self) -> None:
        """After StoreFull: reuses the WAL, gives the ballast back to the disk if it is the disk that is full."""
        await self._do(self._make_room)

    async def close(self) -> None:
        await self._do(self._close)
        self._thread.shutdown()
        os.close(self._lock)

    async def _do(self, action: Callable[..., T], *arguments: Any) -> T:
        loop = asyncio.get_running_loop()
        with self._hold():
            return await asyncio.shield(loop.run_in_executor(self._thread, self._translated, action, *arguments))

    def _translated(self, action: Callable[..., T], *arguments: Any) -> T:
        try:
            return action(*arguments)
        except sqlite3.Error as error:
            name = _name(error)
            text = f"{self.path}: {error}"
            if name.startswith(_DAMAGE):
                raise StoreDamaged(text) from error
            if name == _FULL:
                raise StoreFull(text) from error
            self._drop()  # after an I/O error SQLite wants a new connection
            raise StoreError(text) from error
        except OSError as error:
            raise StoreError(f"{error.filename or self.path}: {error.strerror}") from error

    def _open_checked(self) -> list[Epoch]:
        if (self.directory / CONDEMNED).exists():
            raise StoreDamaged(f"{self.path}: was found damaged while in use")
        ring.take_ballast(self.directory)
        try:
            try:
                migrate(self.path)
            except sqlite3.OperationalError as error:
                if _name(error) != _FULL:
                    raise
                ring.release_ballast(self.directory)
                migrate(self.path)
            epochs = self._epochs()
            condition.check(self._connected(), self.path, epochs)
        except sqlite3.Error as error:
            if _name(error) == _FULL or _name(error).startswith(_SURROUNDINGS):
                raise
            raise StoreDamaged(f"{self.path}: {error}") from error
        except (UnicodeDecodeError, TypeError) as error:  # text or blobs that are none
            raise StoreDamaged(f"{self.path}: {error}") from error
        return epochs

    def _move_aside(self) -> tuple[list[Epoch], Path]:
        epochs: list[Epoch] = []
        try:
            epochs = [epoch for epoch in self._epochs() if 0 < epoch.number < MOST_EPOCHS]
        except (sqlite3.Error, UnicodeDecodeError):
            pass  # then nobody knows what epoch it was
        self._drop()
        try:
            return epochs, condition.move_aside(self.directory)
        except OSError as error:
            if error.errno != errno.ENOSPC or not ring.has_ballast(self.directory):
                raise
        ring.release_ballast(self.directory)
        return epochs, condition.move_aside(self.directory)

    def condemn(self) -> None:
        """Leaves word that the database is damaged, for the next start."""
        (self.directory / CONDEMNED).touch()

    def _connected(self) -> sqlite3.Connection:
        if self._db is None:
            self._reserved = ring.Reserved(self.path)
            self._db = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
            for pragma in ring.PRAGMAS:
                self._db.execute(pragma)
            ring.limit(self._db, tight=self._tight)
        return self._db

    def _drop(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None
        if self._reserved is not None:
            self._reserved.close()
            self._reserved = None

    def _epochs(self) -> list[Epoch]:
        sql = "SELECT number, id, cause, vkey, frontier, delivered FROM epoch ORDER BY number"
        return [Epoch(*row) for row in self._connected().execute(sql)]

    def _begin_epoch(self, id: str, cause: str, vkey: str, frontier: bytes, number: int) -> Epoch:
        number = number or self._one("SELECT coalesce(max(number), 0) + 1 FROM epoch")
        self._run("INSERT INTO epoch VALUES (?, ?, ?, ?, ?, 0)", number, id, cause, vkey, frontier)
        return Epoch(number, id, cause, vkey, frontier, 0)

    def _append(
        self,
        epoch: Epoch,
        batches: Sequence[Batch],
        delivered: int,
        note: tuple[int, str] | None,
        receipts: Sequence[Receipt],
        evictions: Sequence[ring.Eviction],
    ) -> None:
        db = self._connected()
        self._loosen(db)
        db.execute("BEGIN IMMEDIATE")
        try:
            batches = self._missing(epoch, batches)
            ring.evict(db, evictions)
            for batch in batches:
                self._insert(epoch, batch)
            if batches:
                self._run("UPDATE epoch SET frontier = ? WHERE number = ?", batches[-1].frontier, epoch.number)
            for receipt in receipts:
                sql = (
                    "INSERT INTO receipt (auditor, size, epoch, note) SELECT ?1, ?2, ?3, ?4 WHERE NOT EXISTS"
                    " (SELECT 1 FROM receipt WHERE auditor = ?1 AND epoch = ?3 AND size >= ?2)"
                )
                self._run(sql, receipt.auditor, receipt.size, epoch.number, receipt.note)
            self._conclude(epoch, delivered, note)
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:  # SQLite itself rolls back after some errors
                db.execute("ROLLBACK")
            raise
        if self._reserved is not None:
            self._reserved.again()

    def _loosen(self, db: sqlite3.Connection) -> None:
        """Takes the ballast back as soon as the disk has room; the file may grow again then."""
        ring.take_ballast(self.directory)
        if self._tight and ring.has_ballast(self.directory):
            self._tight = False
            ring.limit(db, tight=False)

    def _missing(self, epoch: Epoch, batches: Sequence[Batch]) -> Sequence[Batch]:
        """Those not in the database yet. Raises StoreDamaged where it holds another log."""
        stored = self._one("SELECT frontier FROM epoch WHERE number = ?", epoch.number)
        size = int.from_bytes(stored[:8], "big")
        for n, batch in enumerate(batches):
            if size == batch.first:
                return batches[n:]
            if size == batch.first + len(batch.hashes) and stored != batch.frontier:
                raise StoreDamaged(f"{self.path}: holds another log of {size} records")
        if batches and size != batches[-1].first + len(batches[-1].hashes):
            raise StoreDamaged(f"{self.path}: holds {size} records, not {batches[0].first}")
        return ()

    def _insert(self, epoch: Epoch, batch: Batch) -> None:
        body = zlib.compress(b"\n".join(batch.records), 6)
        row = (
            (epoch.number << EPOCH_SHIFT) + batch.first,
            len(batch.hashes),
            batch.at_ms,
            b"".join(batch.hashes),
            body,
        )
        self._run("INSERT INTO batch VALUES (?, ?, ?, ?, ?)", *row)

    def _conclude(self, epoch: Epoch, delivered: int, note: tuple[int, str] | None) -> None:
        self._run("UPDATE epoch SET delivered = ? WHERE number = ?", delivered, epoch.number)
        if note is not None:
            key = (epoch.number << EPOCH_SHIFT) + note[0]
            self._run("INSERT OR REPLACE INTO checkpoint VALUES (?, ?)", key, note[1])

    def _set_aside(self, epoch: Epoch, seq: int, reason: str, tried_ms: int) -> None:
        key = (epoch.number << EPOCH_SHIFT) + seq
        self._run("INSERT OR REPLACE INTO set_aside VALUES (?, ?, ?)", key, reason, tried_ms)

    def _aside(self, epoch: Epoch, tried_before_ms: int) -> list[Aside]:
        base = epoch.number << EPOCH_SHIFT
        sql = "SELECT id, reason, tried_ms FROM set_aside WHERE id >= ? AND id < ? AND tried_ms < ? ORDER BY id"
        rows = self._connected().execute(sql, (base, base + (1 << EPOCH_SHIFT), tried_before_ms))
        return [Aside(id_ - base, reason, tried_ms) for id_, reason, tried_ms in rows]

    def _records(self, epoch: Epoch, first: int, count: int) -> list[tuple[int, bytes | None, bytes]]:
        found: list[tuple[int, bytes | None, bytes]] = []
        for row in read_rows(self._connected(), epoch.number, first):
            found.append(row)
            if len(found) >= count:
                break
        return found

    def _frontier_at(self, epoch: Epoch, size: int) -> Frontier:
        return frontier_at(self._connected(), epoch, size)

    def _last_of(self, epoch: Epoch) -> bytes | None:
        base = epoch.number << EPOCH_SHIFT
        sql = "SELECT id, count, hashes, body FROM batch WHERE id >= ? AND id < ? AND body IS NOT NULL ORDER BY id DESC"
        for row in self._connected().execute(sql, (base, base + (1 << EPOCH_SHIFT))):
            kept = [record for _, record, _ in unpack(base, *row) if record is not None]
            if kept:
                return kept[-1]
        return None

    def _receipts(self, epoch: Epoch) -> list[Receipt]:
        sql = "SELECT auditor, size, note FROM receipt WHERE epoch = ? ORDER BY id"
        return [Receipt(*row) for row in self._connected().execute(sql, (epoch.number,))]

    def _newest_checkpoint(self, epoch: Epoch) -> str | None:
        sql = "SELECT note FROM checkpoint WHERE id >= ? AND id < ? ORDER BY id DESC LIMIT 1"
        row = self._connected().execute(sql, id_range(epoch)).fetchone()
        return None if row is None else str(row[0])

    def _evictions(self, epoch: Epoch, witnessed: int, bounds: ring.Bounds) -> list[ring.Eviction]:
        older = [one for one in self._epochs() if one.number < epoch.number]
        return ring.choose(self._connected(), [*older, replace(epoch, delivered=witnessed)], bounds)

    def _make_room(self) -> None:
        db = self._connected()
        with contextlib.suppress(sqlite3.Error):  # on a full disk it may need room itself
            db.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
        if not ring.is_at_limit(db):
            ring.release_ballast(self.directory)
            self._tight = True
            ring.limit(db, tight=True)

    def _run(self, sql: str, *arguments: Any) -> None:
        self._connected().execute(sql, arguments)

    def _one(self, sql: str, *arguments: Any) -> Any:
        return self._connected().execute(sql, arguments).fetchone()[0]

    def _close(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None
        if self._reserved is not None:
            self._reserved.again()
        self._drop()


def _name(error: sqlite3.Error) -> str:
    """SQLite's own name of what went wrong, "" where the fault is not SQLite's."""
    return str(getattr(error, "sqlite_errorname", ""))
