"""Kills a migration before each of its statements in turn: `python migration_trial.py RELEASED|none DIRECTORY`.

The migrations are those of today and one more, that rewrites the largest table. Prints how many kills there were; ends
with an AssertionError where one left anything but the old store whole, or where the next start did not finish it. A
process of its own, since it forks and changes the libraries' classes.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sqlite3
import sys
from pathlib import Path

from sqlite_utils import Database

from agent.evidence import migrations

TRIAL = "_0009_trial"
EVERYTHING = 1000  # statements: more than there are
opened = Database.__init__


@migrations.migrations()
def _0009_trial(db: Database) -> None:
    db.executescript(
        """
        CREATE TABLE fresh (id INTEGER PRIMARY KEY, count INTEGER NOT NULL, at_ms INTEGER NOT NULL,
                            hashes BLOB NOT NULL, body BLOB, trial TEXT) STRICT;
        INSERT INTO fresh SELECT id, count, at_ms, hashes, body, 'x' FROM batch;
        DROP TABLE batch;
        ALTER TABLE fresh RENAME TO batch;
        """
    )


def migrate(path: Path, statements: int) -> int:
    """In a child that kills itself (-9) before one more statement than so many; how it ended."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    left = statements

    def before(_statement: str) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def traced(self: Database, *arguments: object, **options: object) -> None:
        opened(self, *arguments, **options)
        self.conn.set_trace_callback(before)

    Database.__init__ = traced
    migrations.apply(path)
    os._exit(0)


def rows(path: Path) -> list[tuple[object, ...]]:
    with contextlib.closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'batch'").fetchone():
            return []
        return db.execute("SELECT id, count, at_ms, hashes, body FROM batch ORDER BY id").fetchall()


def applied(path: Path) -> set[str]:
    with contextlib.closing(sqlite3.connect(path)) as db:
        if not db.execute("SELECT 1 FROM sqlite_master WHERE name = '_sqlite_migrations'").fetchone():
            return set()
        return {name for (name,) in db.execute("SELECT name FROM _sqlite_migrations")}


def main(released: str, directory: Path) -> int:
    old = [] if released == "none" else rows(Path(released))
    assert old or released == "none"
    for statements in range(EVERYTHING):
        path = directory / f"{statements}.db"
        if released != "none":
            shutil.copy(released, path)
        ended = migrate(path, statements)
        if ended == 0:
            return statements
        assert ended == -signal.SIGKILL, ended
        assert rows(path) == old, statements
        assert TRIAL not in applied(path), statements
        assert migrate(path, EVERYTHING) == 0, statements
        assert rows(path) == old, statements
        assert TRIAL in applied(path), statements
    raise AssertionError("never ended")


if __name__ == "__main__":
    if sys.argv[1] == "once":
        sys.exit(migrate(Path(sys.argv[2]), EVERYTHING))
    sys.stdout.write(f"{main(sys.argv[1], Path(sys.argv[2]))}\n")
