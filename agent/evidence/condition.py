"""The condition of a store's database: whether it is what was written, and moving it aside where it is not.

DIR/hubiao.db ── pages, tables, the newest epoch's tree ── good: used │ damaged: DIR/damaged-1/, a new one is begun
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from agent.evidence.reader import DATABASE, Epoch, StoreDamaged, frontier_at
from agent.evidence.schema import COLUMNS

CONDEMNED = "condemned"  # beside a database that turned out damaged while in use: the next start sets it aside


def check(db: sqlite3.Connection, path: Path, epochs: Sequence[Epoch]) -> None:
    """Pages, tables, and the newest epoch's frontier against its hashes. Raises StoreDamaged, sqlite3.Error."""
    said = db.execute("PRAGMA quick_check(1)").fetchone()[0]
    if said != "ok":
        raise StoreDamaged(f"{path}: {said}")
    for table, columns in COLUMNS.items():
        found = tuple(row[1] for row in db.execute(f"PRAGMA table_info({table})"))
        if found != columns:
            raise StoreDamaged(f"{path}: table {table} has columns {', '.join(found) or 'none'}")
    for epoch in epochs[-1:]:
        if frontier_at(db, epoch, epoch.size).to_bytes() != epoch.frontier:
            raise StoreDamaged(f"{path}: the hashes do not make up the tree of epoch {epoch.id}")


def move_aside(directory: Path) -> Path:
    """Moves a damaged database and what belongs to it into a directory of its own, which it gives. Raises OSError."""
    n = 1
    while (place := directory / f"damaged-{n}").exists():
        n += 1
    place.mkdir(mode=0o700)
    for name in (DATABASE, DATABASE + "-wal", DATABASE + "-shm", CONDEMNED):
        if (directory / name).exists():
            (directory / name).rename(place / name)
    return place
