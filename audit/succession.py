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

from audit.store import Log, LogId, Store
from contract.records import plain


@dataclass(frozen=True, slots=True)
class Life:
    """One log's beginning and end: `registers` are meter → (slot, import register), the first and the last of each."""

    which: LogId
    cause: str | None  # None: its first record is not held
    previous: str | None
    began: str
    first: Mapping[str, tuple[str, str]]
    last: Mapping[str, tuple[str, str]]


def lives(store: Store, logs: Sequence[LogId]) -> list[Life]:
    """Every log after the one it names; of those that name none that is held, the earliest first."""
    by_epoch = {which.epoch: _life(store.log(which)) for which in logs}

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


def _life(log: Log) -> Life:
    head = log.record(0)
    boot = {} if head is None else json.loads(head)
    first: dict[str, tuple[str, str]] = {}
    last: dict[str, tuple[str, str]] = {}
    for _, record in log.records(("reading",)):
        raw = json.loads(record)
        register = raw["registers"].get("import")
        if raw["slot"] is None or register is None:
            continue
        meter, slot = raw["meter"], raw["slot"]  # in order of the log, so that a slot's latest revision stands
        if meter not in first or slot <= first[meter][0]:
            first[meter] = (slot, register)
        if meter not in last or slot >= last[meter][0]:
            last[meter] = (slot, register)
    return Life(log.id, boot.get("cause"), boot.get("previous_epoch"), _began(log), first, last)


def _began(log: Log) -> str:
    """The first time that any of its records knows."""
    for seq in sorted(log.places):
        at = json.loads(log.record(seq) or b"{}").get("at")
        if at is not None:
            return str(at)
    return ""
