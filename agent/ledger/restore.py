"""What the log remembers, for a start or for the books: read back from the store, decoded, nothing changed."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from agent.evidence.store import Epoch, Reader
from agent.ledger.metered import Metered
from agent.ledger.slots import Known
from contract.grid import DAY_S
from contract.records import (
    Balance,
    Body,
    Day,
    Event,
    Gap,
    Interval,
    Reading,
    Statement,
    decode,
    instant,
    parse_instant,
    parse_slot,
)

SHORT_DAYS = 4  # a span whose dates are looked for before a record is decoded
LOOK_BACK_DAYS = (1, 4, 36)  # how far for a meter's last reading: most are found at once, none is older than a month


def recent(
    data: Path, epoch: Epoch, from_s: int, to_s: int, kinds: Collection[str] = (), naming: Collection[str] = ()
) -> Iterator[tuple[int, Body]]:
    """Readings and derived records of the epoch that begin in [from_s, to_s) UTC seconds, in order of the log.

    Of some kinds only where `kinds` names them, and of those that hold one of the texts of `naming`: the others are not
    even decoded. Nor is what names no day of the bounds: revisions may stand anywhere behind, but a day's must not cost
    the decoding of all that came since.
    """
    texts = [[text.encode() for text in naming], _days(from_s, to_s)]
    for seq, body in _since(data, epoch, from_s * 1000, kinds, texts):
        if isinstance(body, Reading) and body.slot is not None:
            start_s = parse_slot(body.slot)
        elif isinstance(body, Interval):
            start_s = parse_slot(body.start)
        elif isinstance(body, (Day, Statement, Balance)):
            start_s = parse_slot(body.from_)
        elif isinstance(body, Event) and body.code == "rollover" and body.to is not None:
            start_s = parse_instant(body.to) // 1000
        else:
            continue
        if from_s <= start_s < to_s:
            yield seq, body


def remember_meters(data: Path, epoch: Epoch, now_ms: int, meters: Mapping[str, Metered], interval_s: int) -> None:
    """Puts every meter back where the log left it: last known registers, next slot, open gaps."""
    for days in LOOK_BACK_DAYS:
        for metered in meters.values():
            metered.slots.last = None
            metered.slots.gaps.clear()
        for seq, body in _since(data, epoch, now_ms - days * DAY_S * 1000, ("reading", "gap")):
            if isinstance(body, Reading) and body.slot is not None and body.meter in meters:
                _remember_reading(meters[body.meter], body, parse_slot(body.slot), interval_s)
            elif isinstance(body, Gap) and body.meter in meters:
                _remember_gap(meters[body.meter], seq, body, interval_s)
        if all(metered.slots.last is not None for metered in meters.values()):
            return


def _remember_reading(metered: Metered, body: Reading, slot_s: int, interval_s: int) -> None:
    source = body.sources[-1]
    at_ms = slot_s * 1000 if source.read_at is None else parse_instant(source.read_at)
    slots = metered.slots
    slots.gaps.pop(slot_s, None)
    slots.sure(slot_s, body.quality, body.registers)
    if slots.last is None or slots.last.at_ms <= at_ms:
        slots.last = Known(at_ms, 0, source.registers, source, body.checks, body.attempts)
        metered.validator.registers, metered.validator.at_ms = dict(source.registers), at_ms
    if body.revision == 0:
        slots.next_slot_s = slot_s + interval_s


def _remember_gap(metered: Metered, seq: int, body: Gap, interval_s: int) -> None:
    for slot_s in range(parse_slot(body.from_slot), parse_slot(body.to_slot) + 1, interval_s):
        metered.slots.gapped(slot_s, seq)
    metered.slots.next_slot_s = parse_slot(body.to_slot) + interval_s


def _days(from_s: int, to_s: int) -> list[bytes]:
    """The UTC dates of a short span, as records write them; none for a long one."""
    days = range(from_s - from_s % DAY_S, to_s, DAY_S)
    return [instant(day_s * 1000)[:11].encode() for day_s in days] if len(days) <= SHORT_DAYS else []


def _since(
    data: Path, epoch: Epoch, at_ms: int, kinds: Collection[str] = (), texts: Collection[Collection[bytes]] = ()
) -> Iterator[tuple[int, Body]]:
    """Decoded records of the kinds that hold one text of each of `texts`; of what is empty, any."""
    asked = [choice for choice in ([b'"kind":"%s"' % kind.encode() for kind in kinds], *texts) if choice]
    reader = Reader(data)
    try:
        for seq, record, _ in reader.records(epoch, reader.first_since(epoch, at_ms)):
            if record is not None and all(any(text in record for text in choice) for choice in asked):
                yield seq, decode(record)[1]
    finally:
        reader.close()
