"""What the page reads from the store: through a Reader of its own, on the page's one worker, each time within bounds.

A month of a large park is millions of records: after LIMIT_S a reading gives up with TooLong, and the page says which
verb answers instead. Between batches the worker steps back, so that the agent's thread comes first.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

from agent.evidence.reader import DATABASE, Epoch, Reader
from agent.ledger.history import History, sheet_of
from contract.energy import SlotValue
from contract.note import parse_checkpoint, parse_note
from contract.records import Balance, Day, decode, parse_slot
from contract.sheet import Row

LIMIT_S = 15.0
BREATH = 64  # records between two looks at the clock
PAUSE_S = 0.001
COSIGNATURE_BYTES = 72  # seconds and an Ed25519 signature; the gateway's own line has 64
DAY_S = 86_400
RATE_MS, LEAST_MS = (
    7 * DAY_S * 1000,
    3_600_000,
)  # the disk fills as in the last week; nothing is said of it before an hour


class TooLong(Exception):
    """There is more to read than a page may."""


class BoundedReader(Reader):
    """A Reader that steps back now and then, and gives up at its limit or when the page ends."""

    def __init__(self, path: Path, ended: Event, limit_s: float = LIMIT_S) -> None:
        super().__init__(path)
        self._until = time.monotonic() + limit_s
        self._ended = ended

    def records(self, epoch: Epoch, first: int = 0) -> Iterator[tuple[int, bytes | None, bytes]]:
        return self._bounded(super().records(epoch, first))

    def backwards(self, epoch: Epoch, last_to: int = 0) -> Iterator[tuple[int, bytes | None, bytes]]:
        return self._bounded(super().backwards(epoch, last_to))

    def _bounded(self, rows: Iterator[tuple[int, bytes | None, bytes]]) -> Iterator[tuple[int, bytes | None, bytes]]:
        for n, row in enumerate(rows):
            if n % BREATH == 0:
                if self._ended.is_set() or time.monotonic() > self._until:
                    raise TooLong
                time.sleep(PAUSE_S)
            yield row


@dataclass(frozen=True, slots=True)
class Totals:
    """A billing period so far, from the log's `day` records: energy by holder and period, and the balance's days."""

    days: dict[tuple[str | None, str | None], list[Day]] = field(default_factory=dict)  # (tenant, point) → newest first
    balances: list[Balance] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Kept:
    """What the disk holds: bytes, and the newest receipt of each auditor as (auditor, size, POSIX seconds)."""

    bytes: int
    free_bytes: int
    room_days: int | None
    aside: int
    receipts: tuple[tuple[str, int, int], ...]


def sheet_rows(data: Path, ended: Event, bounds: list[int]) -> list[Row]:
    """The reading sheet at an instant (one bound) or between two slots, as `hubiao sheet` makes it.

    Raises StoreError, LookupError where the store is empty, ValueError for bounds off the slots, TooLong.
    """
    reader = BoundedReader(data, ended)
    try:
        history = History(reader)
        return sheet_of(history, bounds)
    finally:
        reader.close()


def values_between(data: Path, ended: Event, from_s: int, to_s: int) -> dict[str, dict[int, SlotValue]]:
    """Meter → slot → value from one slot to another, both included. Raises as `sheet_rows`."""
    reader = BoundedReader(data, ended)
    try:
        history = History(reader)
        known = history.known(range(from_s, to_s + 1, history.plan.interval_s), [])
    finally:
        reader.close()
    found: dict[str, dict[int, SlotValue]] = {}
    for (meter, slot_s), value in known.values.items():
        found.setdefault(meter, {})[slot_s] = value
    return found


def totals_since(data: Path, ended: Event, from_s: int) -> Totals:
    """The latest `day` records that begin at or after an instant. Raises StoreError, LookupError, TooLong."""
    reader = BoundedReader(data, ended)
    totals = Totals()
    seen: set[tuple[str | None, str | None, str, str]] = set()
    try:
        history = History(reader)
        for record in history.newest_first(from_s, ("day", "balance")):
            if b'"kind":"day"' not in record and b'"kind":"balance"' not in record:
                continue
            body = decode(record)[1]
            if isinstance(body, Day):
                key = (body.tenant, body.point, body.from_, body.to)
            elif isinstance(body, Balance) and _seconds(body) == DAY_S:
                key = (None, None, body.from_, body.to)
            else:
                continue
            if key in seen or parse_slot(body.from_) < from_s:
                continue
            seen.add(key)
            if isinstance(body, Day):
                totals.days.setdefault((body.tenant, body.point), []).append(body)
            else:
                totals.balances.append(body)
    finally:
        reader.close()
    return totals


def kept(data: Path) -> Kept:
    """Cheap: sizes, sums and the few rows of receipts."""
    parts = [data / f"{DATABASE}{suffix}" for suffix in ("", "-wal", "-shm")]
    free = shutil.disk_usage(data).free
    reader = Reader(data)
    try:
        epoch = reader.epochs[-1]
        newest: dict[str, tuple[str, int, int]] = {}
        for note in reader.receipts(epoch):
            body, signatures = parse_note(note)
            size = parse_checkpoint(body).size
            for name, _, signature in signatures:
                if len(signature) == COSIGNATURE_BYTES:
                    newest[name] = (name, size, int.from_bytes(signature[:8], "big"))
        aside = reader.aside(epoch)
        rate = _a_day(reader)
    finally:
        reader.close()
    return Kept(
        bytes=sum(part.stat().st_size for part in parts if part.exists()),
        free_bytes=free,
        room_days=free // rate if rate else None,
        aside=aside,
        receipts=tuple(newest.values()),
    )


def _seconds(body: Balance) -> int:
    return parse_slot(body.to) - parse_slot(body.from_)


def _a_day(reader: Reader) -> int | None:
    """Bytes that the log grows by a day."""
    newest = reader.growth(1)
    grown = None if newest is None else reader.growth(newest[2] - RATE_MS)
    if grown is None or grown[2] - grown[1] < LEAST_MS:
        return None
    return grown[0] * DAY_S * 1000 // (grown[2] - grown[1])
