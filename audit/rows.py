"""A record as a row: the columns that Parquet, DuckDB and Spark see beside the record's bytes (no I/O).

The bytes are the evidence and stay as they came. The columns are taken from them, so that SQL has something to ask;
they prove nothing, and what cannot be read is null there, never zero. Verification reads the bytes alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

from contract.records import KINDS, parse_instant, parse_slot

MAX_RECORD_BYTES = 16 * 2**20
UNDATED = "undated"
SCALE = 12  # decimals of an energy in a column: register, multiplier and share together stay below
DIGITS = 38  # what DuckDB and Spark can hold
_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_EPOCH = re.compile(r"[0-9a-f]{32}")
_LOCAL = timedelta(hours=8)  # months are park-local; every park of the contract's home keeps UTC+8
_SLOT_KEYS = {"reading": ("slot", "slot"), "gap": ("from_slot", "to_slot"), "interval": ("start", "end")}


class RecordFault(ValueError):
    """Bytes that are no record of a log; the text says why."""


class LogId(NamedTuple):
    """One log: what `seq` counts in."""

    park: str
    gateway: str
    epoch: str

    @property
    def stem(self) -> str:
        return f"{self.gateway}.{self.epoch}"


class Head(NamedTuple):
    """Where a record belongs. `month`: of writing, park-local; `raw`: the record as parsed JSON."""

    log: LogId
    seq: int
    kind: str
    month: str
    raw: dict[str, Any]


class Row(NamedTuple):
    """One record. `fork`: 0, or 1 and up for further records with other bytes at the same index.

    slot_s, until_s: slot of a reading, both ends of a gap (included), an interval, a day or a statement, POSIX seconds.
    kwh: energy of an interval; register: `import` of a reading; both null where the column cannot hold it exactly.
    """

    gateway: str
    epoch: str
    seq: int
    fork: int
    kind: str
    at_ms: int | None
    meter: str | None
    tenant: str | None
    point: str | None
    role: str | None
    slot_s: int | None
    until_s: int | None
    revision: int | None
    quality: str | None
    period: str | None
    kwh: Decimal | None
    register: Decimal | None
    body: bytes


class Seen(NamedTuple):
    """What verification takes of a row."""

    seq: int
    fork: int
    kind: str
    at_ms: int | None
    meter: str | None
    slot_s: int | None
    until_s: int | None
    quality: str | None
    register: Decimal | None
    body: bytes


def head_of(record: bytes) -> Head:
    """Which log and index, kind, and month of writing. Raises RecordFault."""
    if len(record) > MAX_RECORD_BYTES or b"\n" in record:
        raise RecordFault("no record: too long, or more than one line")
    try:
        raw = json.loads(record)
        which = LogId(raw["park"], raw["gateway"], raw["epoch"])
        seq, kind, at = raw["seq"], raw["kind"], raw["at"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise RecordFault(f"no record: {type(error).__name__}: {error}") from error
    texts = isinstance(which.park, str) and isinstance(which.gateway, str) and isinstance(which.epoch, str)
    if not texts or not (_ID.fullmatch(which.park) and _ID.fullmatch(which.gateway) and _EPOCH.fullmatch(which.epoch)):
        raise RecordFault("no record: park, gateway or epoch is no name")
    known = isinstance(kind, str) and kind in KINDS
    if raw.get("v") != 1 or type(seq) is not int or not 0 <= seq < 2**63 or not known:
        raise RecordFault(f"no record of version 1: kind {kind!r}, seq {seq!r}")
    return Head(which, seq, kind, _month(at), raw)


def row_of(record: bytes, fork: int) -> Row:
    """The columns of a record that `head_of` accepts."""
    which, seq, kind, _, raw = head_of(record)
    first, last = _SLOT_KEYS.get(kind, ("from", "to"))
    registers = raw.get("registers")
    return Row(
        which.gateway,
        which.epoch,
        seq,
        fork,
        kind,
        _read(parse_instant, raw["at"]),
        _text(raw.get("meter")),
        _text(raw.get("tenant")),
        _text(raw.get("point")),
        _text(raw.get("role")),
        _read(parse_slot, raw.get(first)),
        _read(parse_slot, raw.get(last)),
        _whole(raw.get("revision")),
        _text(raw.get("quality")),
        _text(raw.get("period")),
        _energy(raw.get("kwh")),
        _energy(registers.get("import")) if isinstance(registers, dict) else None,
        record,
    )


def _month(at: Any) -> str:
    ms = _read(parse_instant, at)
    try:
        return UNDATED if ms is None else (datetime.fromtimestamp(ms / 1000, UTC) + _LOCAL).strftime("%Y-%m")
    except (ValueError, OverflowError):
        return UNDATED


def _read(parse: Callable[[str], int], value: Any) -> int | None:
    try:
        return parse(value) if isinstance(value, str) else None
    except (ValueError, OverflowError):
        return None


def _text(value: Any) -> str | None:
    """Text that can be written as UTF-8: a lone surrogate, which JSON lets through, cannot."""
    return value if isinstance(value, str) and value.isprintable() else None


def _whole(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value < 2**31 else None


def _energy(value: Any) -> Decimal | None:
    try:
        number = Decimal(value) if isinstance(value, str) else None
    except InvalidOperation:
        return None
    if number is None or not number.is_finite():
        return None
    _, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)
    fits = exponent >= -SCALE and len(digits) + exponent <= DIGITS - SCALE
    return number if fits else None
