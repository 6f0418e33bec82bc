"""A gateway's logs one after the other: a new epoch must name the one before, or nobody knows what is missing between.

A box that died, a store that was set aside, a lost key: each begins a new epoch whose first `boot` record gives the
cause and the epoch before (contract §5). The time between two epochs is no hole in either log, so it is told here, and
the meters' registers, which ran on, say what energy it holds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from audit.rows import LogId, Seen
from contract.records import instant, plain


@dataclass(frozen=True, slots=True)
class Life:
    """One log's beginning and end: `registers` are meter → (slot, import register), the first and the last of each."""

    which: LogId
    cause: str | None  # None: its first record is not held
    previous: str | None
    began: str
    first: Mapping[str, tuple[str, str]]
    last: Mapping[str, tuple[str, str]]


class LifeReader:
    """Gathers a log's life from its rows as they go by."""

    def __init__(self) -> None:
        self._boot: dict[str, Any] = {}
        self._began_ms: int | None = None
        self._first: dict[str, tuple[int, bytes]] = {}
        self._last: dict[str, tuple[int, bytes]] = {}

    def take(self, row: Seen) -> None:
        """Records in order of index, so that a slot's latest revision stands."""
        if row.seq == 0:
            self._boot = json.loads(row.body)
        if self._began_ms is None:
            self._began_ms = row.at_ms
        if row.kind != "reading" or row.meter is None or row.slot_s is None or row.register is None:
            return
        if row.meter not in self._first or row.slot_s <= self._first[row.meter][0]:
            self._first[row.meter] = (row.slot_s, row.body)
        if row.meter not in self._last or row.slot_s >= self._last[row.meter][0]:
            self._last[row.meter] = (row.slot_s, row.body)

    def life(self, which: LogId) -> Life:
        """What was seen."""
        began = "" if self._began_ms is None else instant(self._began_ms)
        first, last = ({m: _register(body) for m, (_, body) in x.items()} for x in (self._first, self._last))
        return Life(which, self._boot.get("cause"), self._boot.get("previous_epoch"), began, first, last)


def in_order(lives: Sequence[Life]) -> list[Life]:
    """A gateway's logs, each after the one it names; of those that name none that is held, the earliest first."""
    by_epoch = {life.which.epoch: life for life in lives}

    def depth(life: Life, seen: frozenset[str] = frozenset()) -> int:
        before = by_epoch.get(life.previous or "")
        return 0 if before is None or life.which.epoch in seen else 1 + depth(before, seen | {life.which.epoch})

    return sorted(by_epoch.values(), key=lambda life: (depth(life), life.began, life.which.epoch))


def successions(lives_: Sequence[Life]) -> list[dict[str, Any]]:
    """How each of a gateway's logs but the first follows from another.

    [{epoch, cause, previous, held, code, between}]; `code` is null, or why an auditor must ask: `epoch_unexplained`
    (names no epoch although there was one), `epoch_twice` (another log names the same: two boxes from one backup).
    `between`: [{meter, from, to, kwh}], what each meter's register ran from the one log's last reading to the other's
    first, before the multiplier; null where the register fell, as after a change of meter.
    """
    named: dict[str, str] = {}
    by_epoch = {life.which.epoch: life for life in lives_}
    rows = []
    for life in lives_[1:]:
        code = None
        if life.cause is not None and life.previous is None:
            code = "epoch_unexplained"
        elif life.previous is not None and named.setdefault(life.previous, life.which.epoch) != life.which.epoch:
            code = "epoch_twice"
        before = by_epoch.get(life.previous or "")
        rows.append(
            {
                "epoch": life.which.epoch,
                "cause": life.cause,
                "previous": life.previous,
                "held": before is not None,
                "code": code,
                "between": [] if before is None else _between(before, life),
            }
        )
    return rows


def _between(before: Life, after: Life) -> list[dict[str, str | None]]:
    rows: list[dict[str, str | None]] = []
    for meter in sorted(before.last.keys() & after.first.keys()):
        (from_, start), (to, end) = before.last[meter], after.first[meter]
        ran = Decimal(end) - Decimal(start)
        rows.append({"meter": meter, "from": from_, "to": to, "kwh": plain(ran) if ran >= 0 else None})
    return rows


def _register(body: bytes) -> tuple[str, str]:
    raw = json.loads(body)
    return raw["slot"], raw["registers"]["import"]
