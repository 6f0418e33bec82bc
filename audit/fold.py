"""Folds the inbox into Parquet, park by park and month by month.

    rows of the inbox ─▶ NNNNNN.parquet written and flushed ─▶ one transaction: part named, rows out of the inbox

A process killed before the transaction leaves a file that nothing names; the next fold of that park and month takes it
away. One fold runs at a time (`fold.lock`); listeners go on taking records meanwhile.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

from audit.parquet import write_part
from audit.rows import Row, row_of
from audit.safe import sync_directory
from audit.store import Store
from audit.writer import in_inbox

ROWS = 50_000  # of a part at the most: what is in memory at once
DAY_ROWS = 10_000  # of a park of 50 meters in a day; what a listener lets a park and month gather before it folds


class _Waiting(NamedTuple):
    """A row of the inbox. `id`, `log`: its numbers in store.db."""

    id: int
    log: int
    seq: int
    fork: int
    body: bytes
    park: str


def fold(store: Store, at_least: int = 1, *, wait: bool = True) -> int:
    """Folds each park and month of which so many rows wait; how many rows it folded. Raises OSError.

    wait: False returns at once where another process folds.
    """
    folded = 0
    with _alone(store, wait) as alone:
        found = store.db.execute(
            "SELECT park, month, count(*) AS waiting FROM inbox JOIN log ON log.id = log "
            "GROUP BY park, month HAVING waiting >= ? ORDER BY park, month",
            (at_least,),
        )
        for park, month, waiting in found.fetchall() if alone else ():
            _sweep(store, park, month)
            for _ in range(0, waiting, ROWS):
                folded += _fold(store, park, month)
    return folded


def _fold(store: Store, park: str, month: str) -> int:
    found = store.db.execute(
        "SELECT inbox.id, log, seq, fork, body, park FROM inbox JOIN log ON log.id = log "
        "WHERE park = ? AND month = ? ORDER BY gateway, epoch, seq, fork LIMIT ?",
        (park, month, ROWS),
    )
    waiting = [_Waiting(*row) for row in found]
    rows: list[Row] = [row_of(row.body, row.fork) for row in waiting]
    (n,) = store.db.execute(
        "SELECT coalesce(max(n), 0) + 1 FROM part JOIN log ON log.id = log WHERE park = ? AND month = ?", (park, month)
    ).fetchone()
    write_part(store.part_path(park, month, n), rows)
    with store.transaction() as db:
        for log, group in groupby(waiting, key=itemgetter(1)):
            seqs = [(row.seq, row.fork) for row in group]
            held = sum(not fork for _, fork in seqs)
            first, last = seqs[0][0], seqs[-1][0]
            db.execute("INSERT INTO part VALUES (?, ?, ?, ?, ?, ?)", (log, month, n, first, last, held))
            _drop_hashes(store, log, first, last)
        db.executemany("DELETE FROM inbox WHERE id = ?", [(row.id,) for row in waiting])
    return len(waiting)


def _drop_hashes(store: Store, log: int, first: int, last: int) -> None:
    """Published hashes that the records about to leave the inbox agree with have said all they can."""
    found = store.db.execute(
        "SELECT first, leaves FROM hashes WHERE log = ? AND first BETWEEN ? AND ?", (log, first, last)
    )
    for at, leaves in found.fetchall():
        if in_inbox(store.db, log, at, leaves):
            store.db.execute("DELETE FROM hashes WHERE log = ? AND first = ? AND leaves = ?", (log, at, leaves))


def _sweep(store: Store, park: str, month: str) -> None:
    """Takes away files that a killed fold left."""
    directory = store.part_path(park, month, 1).parent
    directory.mkdir(parents=True, exist_ok=True)
    for made in (directory, directory.parent, directory.parent.parent):
        sync_directory(made)
    found = store.db.execute("SELECT n FROM part JOIN log ON log.id = log WHERE park = ? AND month = ?", (park, month))
    named = {store.part_path(park, month, n).name for (n,) in found}
    for path in directory.iterdir():
        if path.name not in named:
            path.unlink()


@contextmanager
def _alone(store: Store, wait: bool) -> Iterator[bool]:
    with (store.directory / "fold.lock").open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        yield True
