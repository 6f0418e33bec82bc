"""Adding to the auditor's store; any number of processes may at once. What a call returned from survives kill -9.

`take` finds out what is new by the leaf hash: in the inbox by its index, in folded parts by reading them, which only
a repetition or a hole costs. Another record at an index that is taken is a fork: both stay, and an alarm says so in
the same transaction.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from audit import rekey
from audit.rows import Head, LogId, RecordFault, head_of
from audit.safe import sync_directory
from audit.store import DATABASE, SCHEMA, Store, add_alarm, connect
from contract import note
from contract.tree import HASH_BYTES, leaf_hash

Outcome = Literal["new", "again", "fork"]
_MQTT = "mqtt"  # where notes come from that no file brought
_HASHES_A_ROW = 256


class Taken(NamedTuple):
    """What became of a record."""

    log: LogId
    seq: int
    outcome: Outcome


class Writer:
    """Writes. Raises OSError where the disk does not take it."""

    def __init__(self, directory: Path) -> None:
        (directory / "records").mkdir(parents=True, exist_ok=True)
        new = not (directory / DATABASE).exists()
        db = connect(directory)
        db.executescript(SCHEMA)
        db.close()
        if new:
            sync_directory(directory)
        self.store = Store(directory)

    def close(self) -> None:
        self.store.close()

    def take(self, records: Sequence[bytes]) -> list[Taken | RecordFault]:
        """Takes records in one transaction; safe when this returns. A fault stands where bytes are no record."""
        heads = [_head(record) for record in records]
        with self.store.transaction():
            folded = self._folded([head for head in heads if isinstance(head, Head)])
            taken = [
                self._take(head, record, folded) if isinstance(head, Head) else head
                for head, record in zip(heads, records, strict=True)
            ]
        for record, one in zip(records, taken, strict=True):
            if rekey.MARK in record and isinstance(one, Taken) and one.outcome == "new":
                rekey.follow(self.store, one.log, record)
        return taken

    def append(self, record: bytes) -> Taken:
        """Takes one record. Raises RecordFault."""
        (taken,) = self.take([record])
        if isinstance(taken, RecordFault):
            raise taken
        return taken

    def add_note(self, which: LogId, what: str, text: str) -> None:
        """A checkpoint or receipt that came by itself."""
        with self.store.transaction() as db:
            db.execute(
                "INSERT OR IGNORE INTO note (log, what, source, text) VALUES (?, ?, ?, ?)",
                (self._log(which), what, _MQTT, text),
            )

    def add_notes(self, which: LogId, what: str, content: bytes) -> None:
        """Notes of an export's file, kept with the order that the file has."""
        source = hashlib.sha256(content).hexdigest()[:16]
        with self.store.transaction() as db:
            log = self._log(which)
            notes = note.split_notes(content.decode("utf-8", errors="replace"))
            db.executemany(
                "INSERT OR IGNORE INTO note (log, what, source, text) VALUES (?, ?, ?, ?)",
                [(log, what, source, text) for text in notes],
            )

    def add_hashes(self, which: LogId, first: int, leaves: Sequence[bytes]) -> None:
        """Leaf hashes from index `first` on. Those of records that wait in the inbox are not kept."""
        with self.store.transaction() as db:
            log = self._log(which)
            for at in range(0, len(leaves), _HASHES_A_ROW):
                row = (log, first + at, b"".join(leaves[at : at + _HASHES_A_ROW]))
                if not in_inbox(db, *row):
                    db.execute("INSERT OR IGNORE INTO hashes VALUES (?, ?, ?)", row)

    def _folded(self, heads: Sequence[Head]) -> dict[tuple[LogId, int], dict[bytes, int]]:
        """Of records that are in parts already: index → leaf hash → fork."""
        seqs: dict[LogId, set[int]] = {}
        for head in heads:
            seqs.setdefault(head.log, set()).add(head.seq)
        found: dict[tuple[LogId, int], dict[bytes, int]] = {}
        for which, wanted in seqs.items():
            for part in self.store.parts(which, first=min(wanted), last=max(wanted) + 1):
                inside = [seq for seq in wanted if part.first <= seq <= part.last]
                if inside:
                    from audit.parquet import bodies_at  # what was never folded needs no pyarrow

                    for seq, fork, body in bodies_at(part.path, which, inside):
                        found.setdefault((which, seq), {})[leaf_hash(body)] = fork
        return found

    def _take(self, head: Head, record: bytes, folded: Mapping[tuple[LogId, int], dict[bytes, int]]) -> Taken:
        db, seq, leaf = self.store.db, head.seq, leaf_hash(record)
        log = self._log(head.log)
        known = dict(db.execute("SELECT leaf, fork FROM inbox WHERE log = ? AND seq = ?", (log, seq)).fetchall())
        known |= folded.get((head.log, seq), {})
        if leaf in known:
            return Taken(head.log, seq, "again")
        db.execute(
            "INSERT INTO inbox (log, seq, fork, month, leaf, body) VALUES (?, ?, ?, ?, ?, ?)",
            (log, seq, len(known), head.month, leaf, record),
        )
        if known:
            db.execute("UPDATE log SET forked = min(coalesce(forked, ?1), ?1) WHERE id = ?2", (seq, log))
            add_alarm(db, {"code": "fork", **head.log._asdict(), "seq": seq, "leaf": leaf.hex()})
            return Taken(head.log, seq, "fork")
        if head.kind == "config":
            self._note_interval(log, head)
        return Taken(head.log, seq, "new")

    def _note_interval(self, log: int, head: Head) -> None:
        """How often the log may be cosigned, from its newest configuration."""
        settings = head.raw.get("settings")
        interval_s = settings.get("interval_s") if isinstance(settings, dict) else None
        if type(interval_s) is int and 0 < interval_s <= 86_400:
            self.store.db.execute(
                "UPDATE log SET interval_s = ?1, config_seq = ?2 WHERE id = ?3 AND config_seq < ?2",
                (interval_s, head.seq, log),
            )

    def _log(self, which: LogId) -> int:
        """The log's number in the database, made inside a transaction that is open."""
        db = self.store.db
        found = db.execute("SELECT id FROM log WHERE park = ? AND gateway = ? AND epoch = ?", which).fetchone()
        if found is None:
            found = (db.execute("INSERT INTO log (park, gateway, epoch) VALUES (?, ?, ?)", which).lastrowid,)
        return int(found[0])


def in_inbox(db: sqlite3.Connection, log: int, first: int, leaves: bytes) -> bool:
    """Whether the inbox has a record for each of these hashes."""
    count = len(leaves) // HASH_BYTES
    found = db.execute(
        "SELECT leaf FROM inbox WHERE log = ? AND fork = 0 AND seq >= ? AND seq < ? ORDER BY seq",
        (log, first, first + count),
    )
    return b"".join(leaf for (leaf,) in found) == leaves


def _head(record: bytes) -> Head | RecordFault:
    try:
        return head_of(record)
    except RecordFault as error:
        return error
