"""What people enter beside a running agent: DATA/inbox/*.json, written by commands, taken up by the one writer.

    hubiao reading add ──▶ DATA/inbox/20260725T020000Z-4f….json ──▶ recorder ──▶ events, readings ──▶ commit ──▶ removed

A file is one act of a person (a work order): it appears whole (written aside, then renamed), is taken up when every
meter it names is in the running configuration, and goes when the commit that holds it is durable. After a crash in
between it is taken up again: its readings change nothing then, and its events are known by the file's name.

    {"v": 1,
     "events": [{"scope": "point", "id": "p-101", "code": "meter_replaced", "at_ms": …, "details": {…}}],
     "readings": [{"meter": "m-101", "at_ms": …, "slot_s": …, "binding": false, "registers": {"import": "1234.56"}}]}
"""

from __future__ import annotations

import json
import logging
import os
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from agent.reading import Witness
from contract.records import Source, instant

logger = logging.getLogger(__name__)
DIRECTORY = "inbox"


@dataclass(frozen=True, slots=True)
class Note:
    """An event that a person caused. at_ms: UTC."""

    scope: str
    id: str
    code: str
    at_ms: int
    details: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ManualReading:
    """Registers that a person read off a meter at an instant, in kWh before the multiplier."""

    meter: str
    at_ms: int
    registers: dict[str, Decimal]
    slot_s: int | None = None  # the slot that it stands for, where it is not the nearest within 1 %
    binding: bool = False  # a hand-over reading

    def witness(self) -> Witness:
        """As the recorder takes it. No bytes back it: the person and the photo stand in the event beside it."""
        source = Source(instant(self.at_ms), 0, dict(self.registers), None, [], [])
        return Witness(self.at_ms, dict(self.registers), "manual", source, slot_s=self.slot_s, binding=self.binding)


@dataclass(frozen=True, slots=True)
class WorkOrder:
    """One act of a person. `name` is its file's, kept in its events as `order`."""

    events: tuple[Note, ...]
    readings: tuple[ManualReading, ...]
    name: str = ""

    def meters(self) -> set[str]:
        return {reading.meter for reading in self.readings}

    def newest_ms(self) -> int:
        """When the last of it happened."""
        return max([*(note.at_ms for note in self.events), *(reading.at_ms for reading in self.readings)], default=0)


class OrderFault(ValueError):
    """A file in the inbox that is no work order."""


def leave(data: Path, order: WorkOrder) -> Path:
    """Puts a work order where the agent finds it, whole or not at all. Raises OSError."""
    directory = data / DIRECTORY
    directory.mkdir(parents=True, exist_ok=True)
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    path = directory / f"{stamp}-{secrets.token_hex(4)}.json"
    aside = path.with_suffix(".tmp")
    with aside.open("w", encoding="utf-8") as file:
        json.dump(_plain(order), file, ensure_ascii=False, indent=1)
        file.flush()
        os.fsync(file.fileno())
    aside.rename(path)
    return path


@dataclass(slots=True)
class Inbox:
    """The directory as the agent sees it. Files that are no work order are named once and left alone."""

    data: Path
    _complained: set[str] = field(default_factory=set)

    def waiting(self, meters: set[str], now_ms: int) -> list[WorkOrder]:
        """Work orders whose meters are all known and whose time has come, oldest first."""
        try:
            paths = sorted((self.data / DIRECTORY).glob("*.json"))
        except OSError:
            return []
        orders = []
        for path in paths:
            try:
                order = read_order(path)
            except (OSError, OrderFault) as error:
                self._complain(path.name, f"no work order: {error}")
                continue
            unknown = order.meters() - meters
            if unknown:
                self._complain(path.name, f"waits for a configuration that knows {', '.join(sorted(unknown))}")
            elif order.newest_ms() <= now_ms:
                orders.append(order)
        return orders

    def done(self, order: WorkOrder) -> None:
        """Its records are durable. Where the disk keeps the file it is taken up again, which changes nothing."""
        try:
            (self.data / DIRECTORY / order.name).unlink(missing_ok=True)
        except OSError as error:
            self._complain(order.name, f"cannot be removed: {error.strerror}")

    def _complain(self, name: str, text: str) -> None:
        if name not in self._complained:
            self._complained.add(name)
            logger.warning("inbox: %s %s", name, text)


def read_order(path: Path) -> WorkOrder:
    """Raises OrderFault and OSError."""
    try:
        raw = json.loads(path.read_text("utf-8"), parse_float=str)
        if raw["v"] != 1:
            raise OrderFault(f"version {raw['v']!r}")
        events = [Note(e["scope"], e["id"], e["code"], int(e["at_ms"]), dict(e["details"])) for e in raw["events"]]
        return WorkOrder(tuple(events), tuple(map(_reading, raw["readings"])), path.name)
    except (KeyError, TypeError, AttributeError, ValueError, InvalidOperation) as error:
        raise OrderFault(f"{type(error).__name__}: {error}") from error


def _reading(raw: dict[str, Any]) -> ManualReading:
    registers = {name: Decimal(value) for name, value in raw["registers"].items()}
    if not all(value.is_finite() and value >= 0 for value in registers.values()):
        raise OrderFault("a register that is no number")
    slot_s = None if raw["slot_s"] is None else int(raw["slot_s"])
    return ManualReading(str(raw["meter"]), int(raw["at_ms"]), registers, slot_s, bool(raw["binding"]))


def _plain(order: WorkOrder) -> dict[str, Any]:
    return {
        "v": 1,
        "events": [
            {"scope": n.scope, "id": n.id, "code": n.code, "at_ms": n.at_ms, "details": n.details} for n in order.events
        ],
        "readings": [
            {
                "meter": r.meter,
                "at_ms": r.at_ms,
                "slot_s": r.slot_s,
                "binding": r.binding,
                "registers": {name: format(value, "f") for name, value in r.registers.items()},
            }
            for r in order.readings
        ],
    }
