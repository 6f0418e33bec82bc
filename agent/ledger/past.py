"""What the log says of one meter's slots, read back for a correction: however long ago, nothing else decoded."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from agent.evidence.store import Epoch, Reader
from agent.ledger.revise import Stood
from contract.acceptance import Acceptances
from contract.records import Config, Event, Gap, Reading, decode, parse_instant, parse_slot

LOOK_BACK_DAYS = (2, 40, 400)  # how far before a correction its meter may last have been seen
NEAR_STEPS = 2  # beyond a look: it may be that of a slot behind it or before it


def past_of(data: Path, epoch: Epoch, meter: str, first_s: int, last_s: int, interval_s: int) -> dict[int, Stood]:
    """The newest record of every slot from the last look before one instant to the first after another, UTC seconds."""
    found: dict[int, Stood] = {}
    for days in LOOK_BACK_DAYS:
        found = _since(data, epoch, meter, (first_s, last_s), first_s - days * 86400, interval_s)
        if any(slot_s <= first_s and stood.reading is not None for slot_s, stood in found.items()):
            break
    return found


def newest_config(data: Path, epoch: Epoch) -> Config | None:
    """The configuration that was in force when the log ended; None in an epoch that has none yet.

    The newest record names it, so that a log of years need not be unpacked for it.
    """
    reader = Reader(data)
    try:
        last = next((record for _, record, _ in reader.backwards(epoch) if record is not None), None)
        if last is None:
            return None
        head, body = decode(last)
        index = None if isinstance(body, Config) else reader.index_of(epoch, bytes.fromhex(head.config))
        if index is not None:
            record = next(reader.records(epoch, index))[1]
            body = body if record is None else decode(record)[1]
        return body if isinstance(body, Config) else None
    finally:
        reader.close()


def accepted_in(reader: Reader) -> Acceptances:
    """The meters that were accepted on site, as all epochs of a store tell."""
    accepted = Acceptances()
    for epoch in reader.epochs:
        for _, record, _ in reader.records(epoch):
            if record is not None and b'"kind":"event"' in record:
                body = decode(record)[1]
                if isinstance(body, Event):
                    accepted.add(body.scope, body.id, body.code, body.details)
    return accepted


def beginning(data: Path, epoch: Epoch) -> int | None:
    """UTC seconds of the epoch's first dated record; None if it has none."""
    reader = Reader(data)
    try:
        for _, record, _ in reader.records(epoch):
            if record is not None and (at := decode(record)[0].at) is not None:
                return parse_instant(at) // 1000
    finally:
        reader.close()
    return None


def _since(
    data: Path, epoch: Epoch, meter: str, bounds: tuple[int, int], since_s: int, interval_s: int
) -> dict[int, Stood]:
    """What lies beyond the looks on both sides goes as it comes: readings with their frames take ten kilobytes each."""
    found: dict[int, Stood] = {}
    first_ms, last_ms = (bound_s * 1000 for bound_s in bounds)
    before_ms, after_ms, near_ms = 0.0, math.inf, NEAR_STEPS * interval_s * 1000
    named = b'"meter":"%s"' % meter.encode()
    reader = Reader(data)
    try:
        for seq, record, _ in reader.records(epoch, reader.first_since(epoch, since_s * 1000)):
            if record is None or named not in record or b'"kind":"interval"' in record:
                continue
            body = decode(record)[1]
            _take(found, seq, body, meter, interval_s)
            for at_ms in _looks(body):
                if at_ms <= first_ms:
                    before_ms = max(before_ms, at_ms)
                if at_ms >= last_ms:
                    after_ms = min(after_ms, at_ms)
            for far_s in [s for s in found if not before_ms - near_ms <= s * 1000 <= after_ms + near_ms]:
                del found[far_s]
    finally:
        reader.close()
    return found


def _looks(body: Any) -> list[int]:
    """When the meter was looked at for a reading, UTC ms."""
    sources = body.sources if isinstance(body, Reading) else []
    return [parse_instant(source.read_at) for source in sources if source.read_at is not None]


def _take(found: dict[int, Stood], seq: int, body: Any, meter: str, interval_s: int) -> None:
    if isinstance(body, Reading) and body.meter == meter and body.slot is not None:
        found[parse_slot(body.slot)] = Stood(seq, body.revision, body)
    elif isinstance(body, Gap) and body.meter == meter:
        for slot_s in range(parse_slot(body.from_slot), parse_slot(body.to_slot) + 1, interval_s):
            found.setdefault(slot_s, Stood(seq, 0, None, body.why))
