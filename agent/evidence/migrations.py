"""The store's tables and their migrations, by sqlite-utils. `schema.migrate` runs this file in a short-lived child.

A row of `batch` is everything one sweep wrote: record bytes as lines, zlib-packed, and their leaf hashes beside it. A
row a record would cost five times the flash (performance reference, §3). Its id is epoch number × 2^40 + first index,
so rows lie in the order of time and no other index is needed.

A migration may be killed between any two statements and is then applied again as a whole: each statement must bear it.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from pathlib import Path

from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

migrations = Migrations("hubiao")


@migrations()
def _0001_log(db: Database) -> None:
    db.executescript(
        """
        CREATE TABLE IF NOT EXISTS epoch (
            number INTEGER PRIMARY KEY,
            id TEXT NOT NULL UNIQUE,      -- 32 hex digits
            cause TEXT NOT NULL,
            vkey TEXT NOT NULL,           -- verifier key of the epoch's checkpoints
            frontier BLOB NOT NULL,       -- compact range of the tree, contract.tree.Frontier
            delivered INTEGER NOT NULL    -- every record below this index was delivered or set aside
        ) STRICT;
        CREATE TABLE IF NOT EXISTS batch (
            id INTEGER PRIMARY KEY,       -- epoch number << 40 | index of the first record
            count INTEGER NOT NULL,
            at_ms INTEGER NOT NULL,       -- wall clock at the commit, 0 while it is not to be trusted
            hashes BLOB NOT NULL,         -- 32 bytes a record
            body BLOB                     -- zlib of the records joined by newlines; null once pruned
        ) STRICT;
        CREATE TABLE IF NOT EXISTS checkpoint (
            id INTEGER PRIMARY KEY,       -- epoch number << 40 | size
            note TEXT NOT NULL
        ) STRICT;
        CREATE TABLE IF NOT EXISTS receipt (
            id INTEGER PRIMARY KEY,
            auditor TEXT NOT NULL,
            size INTEGER NOT NULL,
            epoch INTEGER NOT NULL,
            note TEXT NOT NULL
        ) STRICT;
        CREATE TABLE IF NOT EXISTS set_aside (
            id INTEGER PRIMARY KEY,       -- epoch number << 40 | index
            reason TEXT NOT NULL,
            tried_ms INTEGER NOT NULL
        ) STRICT;
        """
    )


def apply(path: Path) -> None:
    """Brings a store to the present schema; makes it if there is none."""
    db = Database(str(path), execute_plugins=False)
    try:
        db.execute("PRAGMA journal_mode=WAL").fetchone()
        migrations.apply(db)
    finally:
        db.close()


def main() -> int:
    """For `schema.migrate`: SQLite's complaint and its own name for it on standard output."""
    try:
        apply(Path(sys.argv[1]))
    except sqlite3.Error as error:
        sys.stdout.write(json.dumps({"name": getattr(error, "sqlite_errorname", ""), "text": str(error)}))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
