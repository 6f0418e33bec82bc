"""The auditor's store: what just came in SQLite, the rest in Parquet by park and month (reading; `writer` writes).

    DIR/store.db                                       logs, inbox, parts, notes, hashes, keys, alarms
    DIR/records/park={park}/month={month}/000001.parquet   folded records; only parts that store.db names count
    DIR/receipts/{park}.{gateway}.{epoch}.txt          the newest receipt of each log, for a stick

A record is in the inbox or in one part, never in both: a part is made safe first, then one transaction names it and
takes its rows out of the inbox. Judges nothing: `verify_store` does. One SQLite connection belongs to one thread.
"""

from __future__ import annotations

import heapq
import json
import logging
import sqlite3
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from audit.rows import LogId, Row, row_of
from contract import note
from contract.records import canonical

_log = logging.getLogger(__name__)
DATABASE = "store.db"
BUSY_S = 60.0  # another listener's transaction, a fold's at the longest
SCHEMA = """
CREATE TABLE IF NOT EXISTS log (
    id INTEGER PRIMARY KEY, park TEXT NOT NULL, gateway TEXT NOT NULL, epoch TEXT NOT NULL,
    interval_s INTEGER, config_seq INTEGER NOT NULL DEFAULT -1,    -- of the newest configuration
    forked INTEGER,                                                -- lowest index with two records
    cosigned INTEGER NOT NULL DEFAULT 0, cosigned_s INTEGER NOT NULL DEFAULT 0, frontier BLOB,
    UNIQUE (park, gateway, epoch)) STRICT;
CREATE TABLE IF NOT EXISTS inbox (
    id INTEGER PRIMARY KEY, log INTEGER NOT NULL REFERENCES log, seq INTEGER NOT NULL, fork INTEGER NOT NULL,
    month TEXT NOT NULL, leaf BLOB NOT NULL, body BLOB NOT NULL, UNIQUE (log, seq, fork)) STRICT;
CREATE INDEX IF NOT EXISTS inbox_month ON inbox (log, month);
CREATE TABLE IF NOT EXISTS part (
    log INTEGER NOT NULL REFERENCES log, month TEXT NOT NULL, n INTEGER NOT NULL,
    first INTEGER NOT NULL, last INTEGER NOT NULL, held INTEGER NOT NULL,  -- held: without further sides of forks
    PRIMARY KEY (log, month, n)) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS note (
    id INTEGER PRIMARY KEY, log INTEGER NOT NULL REFERENCES log, what TEXT NOT NULL, source TEXT NOT NULL,
    text TEXT NOT NULL, UNIQUE (log, what, source, text)) STRICT;
CREATE TABLE IF NOT EXISTS hashes (
    log INTEGER NOT NULL REFERENCES log, first INTEGER NOT NULL, leaves BLOB NOT NULL,
    PRIMARY KEY (log, first, leaves)) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS key (
    park TEXT NOT NULL, gateway TEXT NOT NULL, epoch TEXT NOT NULL, key TEXT NOT NULL,  -- epoch '': all others
    PRIMARY KEY (park, gateway, epoch)) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS alarm (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE IF NOT EXISTS store (one INTEGER PRIMARY KEY CHECK (one = 1), name TEXT NOT NULL) STRICT;
INSERT OR IGNORE INTO store VALUES (1, lower(hex(randomblob(8))));
"""


class StoreFault(ValueError):
    """A store that cannot be used; the text says why."""


class Part(NamedTuple):
    """A Parquet file, as far as one log is in it: `first` and `last` index."""

    first: int
    last: int
    month: str
    path: Path


@dataclass(frozen=True, slots=True)
class Log:
    """One log as it was when asked for. held: how many indexes have a record; size: the highest one + 1."""

    id: LogId
    held: int
    size: int
    _store: Store

    def rows(
        self,
        kinds: Collection[str] | None = None,
        months: Collection[str] | None = None,
        first: int = 0,
        last: int | None = None,
    ) -> Iterator[Row]:
        """Records with their forks in order of index: of some kinds, months of writing, from `first` to below `last`.

        Reads one state of the store, whatever is written meanwhile, and holds a row group of a part or two.
        """
        with closing(connect(self._store.directory)) as db:
            db.execute("BEGIN")
            parts = self._store.parts(self.id, months, first, last, db)
            inbox = self._inbox(db, kinds, months, first, last)
            yield from _merged(self.id, parts, inbox, kinds, first, last)

    def records(self, kinds: Collection[str], months: Collection[str] | None = None) -> Iterator[tuple[int, bytes]]:
        """Records in order of index; of a fork the one that came first."""
        for row in self.rows(kinds, months):
            if not row.fork:
                yield row.seq, row.body

    def _inbox(
        self,
        db: sqlite3.Connection,
        kinds: Collection[str] | None,
        months: Collection[str] | None,
        first: int,
        last: int | None,
    ) -> Iterator[Row]:
        found = db.execute(
            "SELECT body, fork, month FROM inbox JOIN log ON log.id = inbox.log "
            "WHERE park = ? AND gateway = ? AND epoch = ? AND seq >= ? AND seq < ? ORDER BY seq, fork",
            (*self.id, first, 2**63 - 1 if last is None else last),
        )
        for body, fork, month in found:
            row = row_of(body, fork)
            if (months is None or month in months) and (kinds is None or row.kind in kinds):
                yield row


class Store:
    """Reading, and the few things that readers may add: keys and alarms. Raises StoreFault where there is no store."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        if not (directory / DATABASE).is_file():
            raise StoreFault(f"{directory}: no store (there is no {DATABASE})")
        self.db = connect(directory)

    def close(self) -> None:
        self.db.close()

    @property
    def name(self) -> str:
        """16 hex digits, drawn when the store was made: what its listeners have in common, and no others."""
        return str(self.db.execute("SELECT name FROM store").fetchone()[0])

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing, and safe against power loss when it ends. Raises OSError where the disk does not take it."""
        try:
            self.db.execute("BEGIN IMMEDIATE")
            try:
                yield self.db
            except BaseException:
                self.db.execute("ROLLBACK")
                raise
            self.db.execute("COMMIT")
        except sqlite3.Error as error:
            if self.db.in_transaction:
                self.db.execute("ROLLBACK")
            raise OSError(None, str(error), str(self.directory / DATABASE)) from error

    def parks(self) -> list[str]:
        return [park for (park,) in self.db.execute("SELECT DISTINCT park FROM log ORDER BY park")]

    def months(self, park: str) -> list[str]:
        """Months of writing, `undated` last."""
        query = (
            "SELECT month FROM part JOIN log ON log.id = log WHERE park = ?1 "
            "UNION SELECT month FROM inbox JOIN log ON log.id = log WHERE park = ?1 ORDER BY month"
        )
        return [month for (month,) in self.db.execute(query, (park,))]

    def logs(self, park: str | None = None) -> list[LogId]:
        """All logs that hold a record, or those of a park."""
        query = (
            "SELECT park, gateway, epoch FROM log WHERE (?1 IS NULL OR park = ?1) AND (id IN (SELECT log FROM part) "
            "OR EXISTS (SELECT 1 FROM inbox WHERE inbox.log = log.id)) ORDER BY park, gateway, epoch"
        )
        return [LogId(*row) for row in self.db.execute(query, (park,))]

    def log(self, which: LogId) -> Log:
        parts = "SELECT coalesce(sum(held), 0), coalesce(max(last), -1) FROM part JOIN log ON log.id = log "
        inbox = "SELECT count(*), coalesce(max(seq), -1) FROM inbox JOIN log ON log.id = log "
        this = "WHERE park = ? AND gateway = ? AND epoch = ?"
        folded = self.db.execute(parts + this, which).fetchone()
        fresh = self.db.execute(inbox + this + " AND fork = 0", which).fetchone()
        return Log(which, folded[0] + fresh[0], max(folded[1], fresh[1]) + 1, self)

    def parts(
        self,
        which: LogId,
        months: Collection[str] | None = None,
        first: int = 0,
        last: int | None = None,
        db: sqlite3.Connection | None = None,
    ) -> list[Part]:
        """Parts that can hold records of a log, in order of their first index."""
        found = (db or self.db).execute(
            "SELECT first, last, month, n FROM part JOIN log ON log.id = log WHERE park = ? AND gateway = ? "
            "AND epoch = ? AND last >= ? AND first < ? ORDER BY first, last",
            (*which, first, 2**63 - 1 if last is None else last),
        )
        return [
            Part(low, high, month, self.part_path(which.park, month, n))
            for low, high, month, n in found
            if months is None or month in months
        ]

    def part_path(self, park: str, month: str, n: int) -> Path:
        return self.directory / "records" / f"park={park}" / f"month={month}" / f"{n:06d}.parquet"

    def part_paths(self, parks: Collection[str] | None = None) -> list[str]:
        """Every part, or those of some parks, for engines that read many."""
        these = None if parks is None else json.dumps(list(parks))
        found = self.db.execute(
            "SELECT DISTINCT park, month, n FROM part JOIN log ON log.id = log "
            "WHERE ?1 IS NULL OR park IN (SELECT value FROM json_each(?1)) ORDER BY park, month, n",
            (these,),
        )
        return [str(self.part_path(*row)) for row in found]

    def notes(self, which: LogId, what: str) -> list[str]:
        """Checkpoints or receipts, in order of size; of a source that had checkpoints out of order, as it had them."""
        sources: dict[str, list[str]] = {}
        found = self.db.execute(
            "SELECT source, text FROM note JOIN log ON log.id = log "
            "WHERE park = ? AND gateway = ? AND epoch = ? AND what = ? ORDER BY note.id",
            (*which, what),
        )
        for source, text in found:
            sources.setdefault(source, []).append(text)
        for notes in sources.values():
            sizes = [_size(text) for text in notes]
            if what == "checkpoints" and sizes != sorted(sizes):
                return notes
        return sorted(dict.fromkeys(text for notes in sources.values() for text in notes), key=_size)

    def hashes(self, which: LogId) -> dict[int, bytes]:
        """Leaf hashes that came beside the records, as far as no equal record is held for them."""
        found = self.db.execute(
            "SELECT first, leaves FROM hashes JOIN log ON log.id = log WHERE park = ? AND gateway = ? AND epoch = ? "
            "ORDER BY first",
            which,
        )
        return {first + n: leaves[32 * n : 32 * n + 32] for first, leaves in found for n in range(len(leaves) // 32)}

    def keys(self) -> dict[str, str]:
        """`park/gateway` → raw public key in base64, and `park/gateway/epoch` → that of an epoch before a re-keying."""
        found = self.db.execute("SELECT park, gateway, epoch, key FROM key ORDER BY park, gateway, epoch")
        return {"/".join(filter(None, names)): key for *names, key in found}

    def key(self, which: LogId) -> str | None:
        """The key under which a log was signed, if it is known."""
        found = self.db.execute(
            "SELECT key FROM key WHERE park = ? AND gateway = ? AND epoch IN (?, '') ORDER BY epoch DESC", which
        ).fetchone()
        return None if found is None else str(found[0])

    def pin_key(self, park: str, gateway: str, key: str, epoch: str = "") -> bool:
        """Keeps a gateway's key; False, and an alarm, where another one is pinned, for this epoch or for all.

        Raises OSError.
        """
        known = self.key(LogId(park, gateway, epoch))
        if known is None:
            with self.transaction() as db:
                db.execute("INSERT OR IGNORE INTO key VALUES (?, ?, '', ?)", (park, gateway, key))
            known = self.key(LogId(park, gateway, epoch))
        if known != key:
            self.alarm({"code": "key_changed", "park": park, "gateway": gateway, "key": key})
        return known == key

    def accept_key(self, which: LogId, key: str) -> str | None:
        """From the epoch of `which` on the gateway has another key; its older logs keep theirs. The key before, if any.

        For a person's decision only, after the new key came by another way than the log did. Raises OSError.
        """
        before = self.key(LogId(which.park, which.gateway, ""))
        older = [log for log in self.logs(which.park) if log.gateway == which.gateway and log.epoch != which.epoch]
        with self.transaction() as db:
            if before is not None:
                db.executemany("INSERT OR IGNORE INTO key VALUES (?, ?, ?, ?)", [(*log, before) for log in older])
            db.execute("INSERT OR REPLACE INTO key VALUES (?, ?, '', ?)", (which.park, which.gateway, key))
        return before

    def alarm(self, what: dict[str, Any]) -> None:
        """Something that must not happen, kept once. Raises OSError."""
        with self.transaction() as db:
            add_alarm(db, what)

    def alarms(self, park: str | None = None) -> list[dict[str, Any]]:
        """What must not happen and did, in order of coming; of a park: also those that name none.

        A key that changed is none any longer where somebody accepted it.
        """
        accepted = set(self.keys().values())
        found = [json.loads(text) for (text,) in self.db.execute("SELECT text FROM alarm ORDER BY id")]
        return [
            alarm
            for alarm in found
            if (park is None or alarm.get("park", park) == park)
            and (alarm.get("code") != "key_changed" or alarm["key"] not in accepted)
        ]


def add_alarm(db: sqlite3.Connection, what: dict[str, Any]) -> None:
    """An alarm inside a transaction that is open; said on the log the first time, for whoever watches the listeners."""
    text = canonical(what).decode()
    if db.execute("INSERT OR IGNORE INTO alarm (text) VALUES (?)", (text,)).rowcount:
        _log.warning("alarm %s", text)


def connect(directory: Path) -> sqlite3.Connection:
    """store.db, made if there is none: write-ahead log, each commit flushed to the disk."""
    db = sqlite3.connect(directory / DATABASE, timeout=BUSY_S, isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    return db


def _merged(
    which: LogId,
    parts: list[Part],
    inbox: Iterator[Row],
    kinds: Collection[str] | None,
    first: int,
    last: int | None,
) -> Iterator[Row]:
    """Rows of parts and inbox in order of index; a part is opened only when its first index is due."""
    from audit.parquet import read_part  # pyarrow takes a while to load, and only reading needs it

    heap: list[tuple[int, int, int, Row, Iterator[Row]]] = []

    def push(rows: Iterator[Row], number: int) -> None:
        row = next(rows, None)
        if row is not None:
            heapq.heappush(heap, (row.seq, row.fork, number, row, rows))

    push(inbox, -1)
    opened = 0
    while heap or opened < len(parts):
        while opened < len(parts) and (not heap or parts[opened].first <= heap[0][0]):
            push(read_part(parts[opened].path, which, kinds, first, last), opened)
            opened += 1
        if heap:
            _, _, number, row, rows = heapq.heappop(heap)
            yield row
            push(rows, number)


def _size(text: str) -> int:
    """How many records a note says it covers; 0 if it says nothing."""
    try:
        return note.parse_checkpoint(note.parse_note(text)[0]).size
    except note.NoteError:
        return 0
