"""Room for the log: how large the store may grow, what is given up when it is full, and what keeps it working then.

A prepared store (`hubiao db prepare`) has all its blocks reserved, so that a full disk cannot stop it. SQLite gives
those behind the file's end back with every checkpoint, so they are reserved again behind every commit. The WAL is never
shrunk, because a WAL that must grow fails on a full disk. DIR/ballast, given back to a disk that is full, is the
second line, and the only one on file systems that copy on write. Bodies go, oldest first, hashes stay for good.
"""

from __future__ import annotations

import ctypes
import json
import os
import sqlite3
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from agent.evidence.reader import Epoch, unpack
from agent.evidence.schema import EPOCH_SHIFT
from contract.records import parse_slot

RING_MB = 512  # thirty days of 200 meters and what is derived from them, four times over
WAL_BYTES = 4 << 20  # the largest commit (an hour that waited in memory) and the pages it touches
BALLAST_BYTES = 8 << 20
BALLAST = "ballast"
GIVE_UP_PART = 16  # of the ring at a time: `pruned` records stay rare
LEAST_FREED = 256 << 10
PRAGMAS = (
    "PRAGMA synchronous=FULL",
    "PRAGMA wal_autocheckpoint=256",
    "PRAGMA cache_size=-512",  # KiB: a sweep of 256 meters dirties 300, and what is written is seldom read again
    "PRAGMA journal_size_limit=-1",
    "PRAGMA busy_timeout=5000",  # a reader may be finishing the WAL of an agent that was killed
)
_KEPT = ("user_version", "application_id")  # where the size of the ring stands
_KEEP_SIZE = 1  # fallocate(2): reserve blocks, leave the length alone
_LASTING = frozenset({"config", "boot", "anchor", "witness", "pruned"})

# a slot (UTC seconds) → 2 at a bound of a billing period, 1 at a bound of a day, else 0
Bounds = Callable[[int], int]


class Eviction(NamedTuple):
    """A row of `batch` to be thinned out: its new body (None: nothing is left), and the indexes of its epoch that go.

    why: `witnessed` (all auditors hold them) or `disk`.
    """

    row: int
    body: bytes | None
    epoch: str
    gone: list[int]
    why: str


class Reserved:
    """The blocks of a prepared store and of the WAL. Where they cannot be had the ballast must do.

    To be made before SQLite opens the database and closed after it: closing any other handle on it meanwhile would drop
    SQLite's locks.
    """

    def __init__(self, database: Path) -> None:
        sizes = _kept_mb(database)
        # of two that differ one is damaged, and might make us fill the disk
        self._size = sizes[0] << 20 if sizes[0] == sizes[1] else 0
        wal = _opened(database.with_name(database.name + "-wal"))
        _reserve(wal, WAL_BYTES)
        os.close(wal)
        self._handle = _opened(database)
        self.again()

    def again(self) -> None:
        """Behind a commit: what its checkpoint gave back."""
        if self._size:
            _reserve(self._handle, self._size)

    def close(self) -> None:
        os.close(self._handle)


def prepared_mb(database: Path) -> int:
    """Size of the ring that `prepare` set, 0 if none."""
    return max(_kept_mb(database))


def prepare(database: Path, megabytes: int) -> None:
    """Sets the size of the ring of a store that no agent uses."""
    db = sqlite3.connect(database)
    for kept in _KEPT:
        db.execute(f"PRAGMA {kept}={megabytes:d}")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    Reserved(database).close()


def limit(db: sqlite3.Connection, *, tight: bool) -> None:
    """Sets how large the file may grow: to the ring's size, or, on a full disk, not at all."""
    page = int(db.execute("PRAGMA page_size").fetchone()[0])
    megabytes = max(int(db.execute(f"PRAGMA {kept}").fetchone()[0]) for kept in _KEPT)
    pages = ((megabytes or RING_MB) << 20) // page
    if tight and not megabytes:
        pages = min(pages, int(db.execute("PRAGMA page_count").fetchone()[0]))
    db.execute(f"PRAGMA max_page_count={pages:d}")


def is_at_limit(db: sqlite3.Connection) -> bool:
    """Whether the ring is full, as opposed to the disk."""
    pages = int(db.execute("PRAGMA page_count").fetchone()[0])
    free = int(db.execute("PRAGMA freelist_count").fetchone()[0])
    return pages - free + (LEAST_FREED >> 12) >= int(db.execute("PRAGMA max_page_count").fetchone()[0])


def take_ballast(directory: Path) -> None:
    """Makes the ballast anew where it is gone and the disk has room for it and as much again."""
    path = directory / BALLAST
    if has_ballast(directory):
        return
    found = os.statvfs(directory)
    if found.f_bavail * found.f_frsize < 4 * BALLAST_BYTES:
        return
    try:
        with path.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, BALLAST_BYTES)
    except OSError:
        path.unlink(missing_ok=True)  # half a ballast would count as one


def has_ballast(directory: Path) -> bool:
    path = directory / BALLAST
    return path.exists() and path.stat().st_size == BALLAST_BYTES


def release_ballast(directory: Path) -> None:
    """Gives the ballast's blocks back to the disk."""
    (directory / BALLAST).unlink(missing_ok=True)


def choose(db: sqlite3.Connection, epochs: Sequence[Epoch], bounds: Bounds) -> list[Eviction]:
    """What to give up, oldest first: what was delivered; else interval values, then days, then all but bounds.

    epochs: all of the store, oldest first; what each has below `delivered` is held by every pinned auditor.
    """
    wanted = max(LEAST_FREED, int(db.execute("PRAGMA page_count").fetchone()[0]) * 4096 // GIVE_UP_PART)
    found: dict[int, Eviction] = {}
    freed = 0
    for eviction, saved in _candidates(db, epochs, bounds):
        if eviction.row in found:
            break  # the next round begins where this one would not get further
        found[eviction.row] = eviction
        freed += saved
        if freed >= wanted:
            break
    return list(found.values())


def evict(db: sqlite3.Connection, evictions: Iterable[Eviction]) -> None:
    """Gives up what `choose` chose, within the caller's transaction."""
    db.executemany("UPDATE batch SET body = ? WHERE id = ?", [(e.body, e.row) for e in evictions])


def ranges(indexes: Iterable[int]) -> list[list[int]]:
    """Ascending indexes as ranges, both ends included."""
    found: list[list[int]] = []
    for index in indexes:
        if found and found[-1][1] + 1 == index:
            found[-1][1] = index
        else:
            found.append([index, index])
    return found


def worth(record: bytes, bounds: Bounds) -> int:
    """How long a record is kept: 0 interval values and telemetry, 1 days, 2 bounds of billing periods, 3 always."""
    raw = json.loads(record)
    kind = raw["kind"]
    if kind in _LASTING:
        return 3
    if kind == "reading" and raw["slot"] is not None:
        return bounds(parse_slot(raw["slot"]))
    return {"statement": 2, "day": 1, "event": 1}.get(kind, 0)


def thinned(records: Sequence[bytes | None], least: int, bounds: Bounds) -> tuple[list[bytes], list[int]]:
    """Records of a row without those worth less than `least` (empty instead), and the places of what went."""
    kept = [b"" if record is None or worth(record, bounds) < least else record for record in records]
    return kept, [n for n, record in enumerate(records) if record is not None and not kept[n]]


def _candidates(db: sqlite3.Connection, epochs: Sequence[Epoch], bounds: Bounds) -> Iterator[tuple[Eviction, int]]:
    """Evictions with the bytes they save: what each epoch delivered, then each grade of the rest, oldest first."""
    bases = {epoch.number: epoch.number << EPOCH_SHIFT for epoch in epochs}
    delivered = [(bases[e.number], bases[e.number] + e.delivered, 3, "witnessed") for e in epochs]
    rest = [(0, bases[epochs[-1].number] + (1 << EPOCH_SHIFT), least, "disk") for least in (1, 2, 3)]
    names = {epoch.number: epoch.id for epoch in epochs}
    sql = "SELECT id, count, hashes, body FROM batch WHERE id >= ? AND id < ? AND body IS NOT NULL ORDER BY id"
    for first, last, least, why in (*delivered, *rest):
        for id_, count, hashes, body in db.execute(sql, (first, last)):
            if id_ + count > last:
                break  # its end is not witnessed yet
            number = id_ >> EPOCH_SHIFT
            kept, places = thinned([record for _, record, _ in unpack(0, id_, count, hashes, body)], least, bounds)
            if places:
                packed = zlib.compress(b"\n".join(kept), 6) if any(kept) else None
                gone = [id_ - bases[number] + n for n in places]
                yield Eviction(id_, packed, names[number], gone, why), len(body) - len(packed or b"")


def _kept_mb(database: Path) -> tuple[int, int]:
    """SQLite keeps the size for us twice, as `user_version` and `application_id`, bytes 60 and 68 of the file.

    Of a header that was damaged the greater counts: a smaller ring would give up at once what nobody else holds.
    """
    try:
        with database.open("rb") as file:
            header = file.read(72)
    except FileNotFoundError:
        return 0, 0
    return int.from_bytes(header[60:64], "big"), int.from_bytes(header[68:72], "big")


def _opened(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _reserve(handle: int, size: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.fallocate(handle, ctypes.c_int(_KEEP_SIZE), ctypes.c_long(0), ctypes.c_long(size))
