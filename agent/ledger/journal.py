"""How recorder, corrections and witnesses write: a slot's value as a reading, what happened as an event."""

from __future__ import annotations

from typing import Any

from agent.evidence.log import Log
from agent.ledger.books import Books
from agent.ledger.metered import Metered, point_at
from agent.ledger.slots import SlotReading
from contract.plan import Plan
from contract.records import Event, Reading, Scope, Supersedes, instant, slot_instant
from drivers.clock import Clock


class Journal:
    """The log of the running configuration; what is added becomes durable with the recorder's next commit."""

    def __init__(self, plan: Plan, log: Log, books: Books, clock: Clock) -> None:
        self._plan, self._log, self._books, self._clock = plan, log, books, clock

    def reading(self, metered: Metered, value: SlotReading, revision: int, supersedes: Supersedes | None) -> None:
        """A meter's value at a slot, which the books are told of."""
        body = Reading(
            meter=metered.id,
            serial=metered.serial,
            point=point_at(self._plan, metered.id, value.slot_s),
            slot=slot_instant(value.slot_s),
            method=value.method,
            quality=value.quality,
            estimate=value.estimate,
            registers=value.registers,
            sources=value.sources,
            checks=value.checks,
            attempts=value.attempts,
            revision=revision,
            supersedes=supersedes,
        )
        self._books.reading(self._log.add(body), body)

    def event(
        self,
        scope: Scope,
        id_: str,
        code: str,
        details: dict[str, Any],
        *,
        at_ms: int | None = None,
        to_ms: int | None = None,
    ) -> None:
        """From `at_ms`, now if not told, to `to_ms` (wall clock, ms); without times while the clock is not trusted."""
        if at_ms is None:
            at_ms = self._clock.wall_ms()
        dated = self._clock.sync()[0] != "none"
        from_ = instant(at_ms) if dated else None
        to = instant(to_ms if to_ms is not None else at_ms) if dated else None
        self._log.add(Event(scope, id_, code, from_, to, details))

    def gateway_event(
        self, code: str, details: dict[str, Any], *, at_ms: int | None = None, to_ms: int | None = None
    ) -> None:
        """What befell the gateway itself."""
        self.event("gateway", self._log.identity.gateway, code, details, at_ms=at_ms, to_ms=to_ms)
