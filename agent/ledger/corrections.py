"""Better values of slots gone by, from meters' memories and from people, as revisions in the log.

    Backfilled ─┐
    inbox ──────┴▶ what the log says of the meter ──▶ revise ──▶ readings of the next revision ──▶ books

Belongs to the recorder, which is the only writer: `apply` runs inside its settling, `committed` after its commit.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from agent.evidence.log import Log
from agent.ledger.books import Books
from agent.ledger.inbox import Inbox, ManualReading, WorkOrder
from agent.ledger.journal import Journal
from agent.ledger.metered import Metered
from agent.ledger.revise import Meter, Refused, Stood, revise
from agent.ledger.slots import Known
from agent.reading import Backfilled, Witness
from contract.plan import Plan
from contract.records import Supersedes, plain
from drivers.clock import Clock

logger = logging.getLogger(__name__)
PastOf = Callable[[str, int, int], Mapping[int, Stood]]  # meter, from, to UTC seconds → its slots from look to look


def no_past(_meter: str, _first_s: int, _last_s: int) -> Mapping[int, Stood]:
    """A log that holds nothing yet."""
    return {}


class Corrections:
    """Collects what came late and writes what it changes."""

    def __init__(
        self,
        plan: Plan,
        meters: Mapping[str, Metered],
        log: Log,
        journal: Journal,
        books: Books,
        clock: Clock,
        *,
        inbox: Inbox | None,
        past: PastOf,
    ) -> None:
        self._plan, self._meters, self._books, self._clock = plan, meters, books, clock
        self._log, self._journal = log, journal
        self._inbox, self._past = inbox, past
        self._backfills: list[Backfilled] = []
        self._taken: list[WorkOrder] = []

    def put(self, backfilled: Backfilled) -> None:
        """Waits for the next settling."""
        self._backfills.append(backfilled)

    async def apply(self, now_ms: int) -> None:
        """Writes revisions for everything that waits; what cannot be made durable now waits on.

        The log is committed before each: the past is read from the store, and two orders may be about one meter.
        """
        orders = [] if self._inbox is None else self._inbox.waiting(set(self._meters), now_ms)
        orders = [order for order in orders if order.name not in {taken.name for taken in self._taken}]
        if self._backfills and await self._is_durable():
            backfills, self._backfills = self._backfills, []
            for meter, witnesses in _by_meter(backfills).items():
                await self._revise(self._meters[meter], witnesses, "backfill")
        for order in orders:
            if not await self._is_durable():
                return
            await self._order(order)

    async def _is_durable(self) -> bool:
        """Whether the store holds everything that was written so far."""
        await self._log.commit()
        return self._log.is_durable

    def committed(self) -> None:
        """After a commit: what was taken from the inbox goes, once it is durable."""
        if not self._log.is_durable:
            return
        if self._inbox is not None:
            for order in self._taken:
                self._inbox.done(order)
        self._taken.clear()

    async def _order(self, order: WorkOrder) -> None:
        for note in order.events:
            details = {**note.details, "order": order.name}
            self._journal.event(note.scope, note.id, note.code, details, at_ms=note.at_ms)  # type: ignore[arg-type]
        readings: dict[str, list[ManualReading]] = {}
        for reading in order.readings:
            readings.setdefault(reading.meter, []).append(reading)
        for meter, found in readings.items():
            await self._revise(self._meters[meter], [reading.witness() for reading in found], "manual")
        self._taken.append(order)

    async def _revise(self, metered: Metered, witnesses: list[Witness], reason: str) -> None:
        first_s = min(witness.at_ms for witness in witnesses) // 1000
        last_s = -(-max(witness.at_ms for witness in witnesses) // 1000)
        with self._clock.hold():
            past = await asyncio.to_thread(self._past, metered.id, first_s, last_s)
        meter = Meter(
            self._plan.interval_s,
            self._plan.slot_floor,
            lambda slot_s: self._plan.is_due(metered.id, slot_s),
            metered.validator.limits,
            metered.slots.shape,
        )
        revision = revise(meter, past, witnesses)
        for refused in revision.refused:
            self._refuse(metered, refused)
        modulus = metered.validator.limits.modulus
        for from_ms, to_ms in revision.rolled:
            if modulus is not None:
                self._books.kept.rollover(metered.id, from_ms, to_ms, modulus)
        for value, instead in revision.values:
            if instead is None:
                self._journal.reading(metered, value, 0, None)
            else:
                self._journal.reading(metered, value, instead.revision + 1, Supersedes(instead.seq, reason))
        used = [w for w in witnesses if all(w is not refused.witness for refused in revision.refused)]
        self._newest(metered, used, {revised.value.slot_s for revised in revision.values})
        logger.info("meter=%s %d slots revised by %s", metered.id, len(revision.values), reason)

    def _newest(self, metered: Metered, used: list[Witness], revised: set[int]) -> None:
        """What the live readings to come connect to, where nothing newer is known."""
        slots = metered.slots
        for slot_s in revised:
            slots.answered(slot_s)
        for witness in used:
            if slots.last is None or slots.last.at_ms < witness.at_ms:
                known = Known(witness.at_ms, 0, witness.registers, witness.source, list(witness.checks), 1)
                slots.last = known
                metered.validator.registers = dict(witness.registers)
                metered.validator.at_ms, metered.validator.boot_ms = witness.at_ms, None

    def _refuse(self, metered: Metered, refused: Refused) -> None:
        witness = refused.witness
        for name, code in refused.faults.items():
            details = {"register": name, "value": plain(witness.registers[name]), "method": witness.method}
            logger.warning("%s meter=%s %s", code, metered.id, details)
            self._journal.event("meter", metered.id, code, details, at_ms=witness.at_ms)


def _by_meter(backfills: list[Backfilled]) -> dict[str, list[Witness]]:
    found: dict[str, list[Witness]] = {}
    for backfilled in backfills:
        found.setdefault(backfilled.meter, []).extend(backfilled.witnesses)
    return found
