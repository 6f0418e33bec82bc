"""A store read as what it means: the configuration in force, records of all epochs, values at slots. Reads only."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from agent.evidence.store import Epoch, Reader
from agent.ledger.past import accepted_in
from contract.acceptance import one_source
from contract.energy import SlotValue
from contract.plan import Plan
from contract.records import Body, Config, Event, Head, Reading, decode, parse_slot, slot_instant
from contract.sheet import Row, Split, break_slot, sheet_at, sheet_between, sheet_edges, slots_beside, with_acceptance
from contract.tariff import period_finder


@dataclass(frozen=True, slots=True)
class Known:
    """What a sheet is made from: (meter, slot) → value, energies by period, and where registers broke off."""

    values: dict[tuple[str, int], SlotValue]
    split: Split
    breaks: dict[str, dict[int, str]]


class History:
    """A store under its newest configuration, which says of all times what stood where.

    Raises LookupError when it holds no configuration yet. An older epoch ends where the next one begins: together they
    are one history.
    """

    def __init__(self, reader: Reader) -> None:
        if not reader.epochs:
            raise LookupError("the store is empty")
        self.reader = reader
        self.epoch: Epoch = reader.epochs[-1]
        self.config = self._newest_config()
        self.plan = Plan.from_config(self.config, period_finder(self.config))

    def records(self, since_s: int, kinds: Collection[str] = ()) -> Iterator[tuple[bytes, Head, Body]]:
        """Records of the kinds (all if none are named) committed from an instant (UTC seconds) on, oldest first."""
        for epoch in self.reader.epochs:
            for _, record, _ in self.reader.records(epoch, self.reader.first_since(epoch, since_s * 1000)):
                if record is not None and is_of(kinds, record):
                    yield record, *decode(record)

    def newest_first(self, since_s: int, kinds: Collection[str] = ()) -> Iterator[bytes]:
        """The bytes of such records, and maybe of others, newest first; who needs them all decodes them."""
        for epoch in reversed(self.reader.epochs):
            for _, record, _ in self.reader.backwards(epoch, self.reader.first_since(epoch, since_s * 1000)):
                if record is not None and is_of(kinds, record):
                    yield record

    def known(self, slots: Collection[int], edges: list[int]) -> Known:
        """Latest values of all meters at some slots; energies and breaks between the first and the last of `edges`.

        A sweep may be over shortly before its slot, and a revision comes when its meter is back: so all records are
        looked at from an interval before the first slot to the end of the log.
        """
        found = Known({}, Split(edges), {})
        kinds = ("reading", "interval", "event") if edges else ("reading",)
        wanted = [b'"slot":"%s"' % slot_instant(slot_s).encode() for slot_s in slots]
        for record in self.newest_first(min(slots) - self.plan.interval_s, kinds):
            if is_of(("interval",), record):
                found.split.add(json.loads(record))
            elif is_of(("event",), record):
                body = decode(record)[1]
                if isinstance(body, Event) and (slot_s := break_slot(self.plan, body)) is not None:
                    found.breaks.setdefault(body.id, {})[slot_s] = body.code
            elif any(text in record for text in wanted):
                head, body = decode(record)
                if isinstance(body, Reading) and body.slot is not None:
                    value = SlotValue(body.registers, body.quality, head.seq)
                    found.values.setdefault((body.meter, parse_slot(body.slot)), value)
        return found

    def not_accepted(self) -> set[str]:
        """Meters whose energy is not to be settled yet. Reads the whole store where a model rests on one source."""
        return accepted_in(self.reader).lacking(self.config) if one_source(self.config) else set()

    def first_slot(self) -> int | None:
        """The slot of the oldest reading that still stands in the store; None if there is none."""
        for _, _, body in self.records(0, ("reading",)):
            if isinstance(body, Reading) and body.slot is not None:
                return parse_slot(body.slot)
        return None

    def _newest_config(self) -> dict[str, Any]:
        """Of the newest epoch that has one. The newest record names it, unless it stands in the same commit."""
        for epoch in reversed(self.reader.epochs):
            for seq, record, _ in self.reader.backwards(epoch):
                if record is None:
                    continue
                head, body = decode(record)
                if isinstance(body, Config):
                    return asdict(body)
                if head.config:
                    return self._config_at(epoch, bytes.fromhex(head.config))
                if seq == 0:
                    break
        raise LookupError("the store holds no configuration yet")

    def _config_at(self, epoch: Epoch, leaf: bytes) -> dict[str, Any]:
        seq = self.reader.index_of(epoch, leaf)
        if seq is not None:
            _, record, _ = next(self.reader.records(epoch, seq))
            body = None if record is None else decode(record)[1]
            if isinstance(body, Config):
                return asdict(body)
        raise LookupError(f"the store lacks its configuration {leaf.hex()}")


def sheet_of(history: History, bounds: Sequence[int]) -> list[Row]:
    """The reading sheet at an instant (one bound) or between two slots. Raises ValueError for bounds off the slots."""
    plan, meters = history.plan, history.config["meters"]
    edges = sheet_edges(plan, *bounds) if len(bounds) == 2 else []
    known = history.known(edges or slots_beside(plan, bounds[0]), edges)

    def value(meter: str, slot_s: int) -> SlotValue | None:
        return known.values.get((meter, slot_s))

    if edges:
        rows = sheet_between(plan, meters, bounds[0], bounds[1], value, known.split, known.breaks)
    else:
        rows = sheet_at(plan, meters, bounds[0], value)
    return with_acceptance(rows, history.not_accepted())


def is_of(kinds: Collection[str], record: bytes) -> bool:
    """Whether the record can be of one of the kinds: tells most others apart without reading them."""
    return not kinds or any(b'"kind":"%s"' % kind.encode() in record for kind in kinds)
