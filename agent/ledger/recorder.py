"""The one place where findings become records: validates, answers slots, keeps the books, commits once a sweep.

pollers ──Finding──▶ queue ──▶ validator ──▶ slots ──▶ reading | gap | event ──▶ books ──▶ log.commit
backfill, people ──▶ corrections ──────────────────▶ revisions ───────────────────┘
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Iterable
from typing import TypeVar, get_args

from agent.evidence.log import Log
from agent.evidence.receipts import ReceiptRefused, Unverifiable
from agent.evidence.ring import ranges
from agent.evidence.store import Receipt
from agent.ledger.books import Books
from agent.ledger.closings import Closed, Closings
from agent.ledger.corrections import Corrections, PastOf, no_past
from agent.ledger.inbox import Inbox
from agent.ledger.journal import Journal
from agent.ledger.metered import Metered
from agent.ledger.presence import Presence
from agent.ledger.second_witnesses import SecondWitnesses
from agent.ledger.slots import Known, SlotReading, waits_since_s
from agent.ledger.timekeeping import Timekeeper, Undated
from agent.reading import (
    Backfilled,
    ClockMoved,
    Finding,
    Happened,
    LineState,
    Missed,
    Observation,
    Settled,
    Stated,
    SweepDone,
)
from agent.validation import Verdict
from contract.plan import Plan
from contract.records import Check, Gap, Reading, Supersedes, Why, slot_instant
from drivers.clock import Clock

logger = logging.getLogger(__name__)
QUEUE = 10_000  # findings that may wait for the writer: an hour of a large park; pollers wait beyond that
TOGETHER = 32  # sweeps that ended while another was written, at most, in one commit: a thousand meters
GAP_CHAIN_S = 3600  # the longest stretch that one gap record covers
REMEMBERED = {"max_demand"}  # what a meter keeps of every month: no trouble, and a dozen of them at the first start
MOST_DOUBTED = 20  # events about receipts that do not verify, in one life: an auditor gone mad costs no more
T = TypeVar("T")
CHECKS: tuple[Check, ...] = get_args(Check)  # in the order of the contract


class Recorder:
    """Consumes findings until cancelled. Only `run` touches the log."""

    def __init__(
        self,
        plan: Plan,
        meters: Iterable[Metered],
        log: Log,
        books: Books,
        clock: Clock,
        closings: Closings,
        *,
        inbox: Inbox | None = None,
        past: PastOf = no_past,
    ) -> None:
        self.meters = {metered.id: metered for metered in meters}
        places = Counter(metered.at for metered in self.meters.values() if metered.polled)
        self._succeeded = {metered.id for metered in self.meters.values() if places[metered.at] > 1}
        self.former: Plan | None = None  # the plan before this one, for slots that it still owes answers to
        self._began_s = clock.wall_ms() // 1000
        self._given_up_s: int | None = None  # newest slot for which nobody waits any more
        self._plan, self._log, self._books, self._clock = plan, log, books, clock
        self._queue: asyncio.Queue[Finding | Receipt | Closed] = asyncio.Queue(QUEUE)
        self._closings = closings
        self._refusals: list[tuple[int, str, str]] = []
        self._doubted: dict[tuple[str, str], bool] = {}  # auditor, why → whether an event says so
        self.time = Timekeeper(clock)
        self.journal = Journal(plan, log, books, clock)
        self.presence = Presence(self.meters, self.journal)
        self._witnesses = SecondWitnesses(plan, books, self.journal)
        self.corrections = Corrections(plan, self.meters, log, self.journal, books, clock, inbox=inbox, past=past)
        self.remember: Callable[[], None] = lambda: None  # reads the books back once there is a time to read them by
        self.alive_ms = clock.boot_ms()

    async def finish(self) -> None:
        """At the end: what still waits is taken and committed."""
        await self._closings.stop()
        await self._take_all()
        await self._closings.stop()

    async def close(self) -> None:
        """Until no billing period is worked on: for whoever settles without `run`."""
        while await self._closings.worked():
            await self._take_all()

    async def _take_all(self) -> None:
        while not self._queue.empty():
            self.take(self._queue.get_nowait())
        await self.settle()

    async def put(self, finding: Finding | Closed) -> None:
        """Hands over what a line found; waits when the writer is far behind."""
        await self._queue.put(finding)

    def receipt(self, receipt: Receipt) -> None:
        """An accepted receipt, for its `witness` record. With a full queue it is dropped: it stays at the broker."""
        with contextlib.suppress(asyncio.QueueFull):
            self._queue.put_nowait(receipt)

    def receipt_refused(self, error: ReceiptRefused) -> None:
        """A receipt that was not accepted. Said once where an auditor signed another tree; all else is no news."""
        if isinstance(error, Unverifiable):
            self._doubted.setdefault((error.auditor, str(error)), False)

    def undeliverable(self, seq: int, kind: str, reason: str) -> None:
        """A record that the broker will not take; events about events are not made."""
        if kind != "event":
            self._refusals.append((seq, kind, reason))

    async def run(self) -> None:
        """Until cancelled: takes findings as they come, and the time for what is overdue."""
        tick_s = min(60.0, self._plan.interval_s / 4)
        ended = 0  # sweeps that are to be written
        while True:
            self.alive_ms = self._clock.boot_ms()
            try:
                async with asyncio.timeout(tick_s):
                    finding = await self._queue.get()
            except TimeoutError:
                await self.settle()
                continue
            self.take(finding)
            ended += isinstance(finding, (SweepDone, Receipt, Closed))
            if ended and (self._queue.empty() or ended >= TOGETHER):
                ended = 0
                await self.settle()
            else:
                await asyncio.sleep(0)  # the queue gives what waits without a pause, and lines wait meanwhile

    def take(self, finding: Finding | Receipt | Closed) -> None:
        """Turns one finding into readings and events of the commit to come."""
        if isinstance(finding, Observation):
            self._watch_clock()
            self._observed(self.meters[finding.meter], finding)
        elif isinstance(finding, Missed):
            self.presence.missed(self.meters[finding.meter], finding)
        elif isinstance(finding, LineState):
            self.presence.line(finding)
        elif isinstance(finding, Stated):
            self.presence.stated(self.meters[finding.meter], finding)
        elif isinstance(finding, ClockMoved):
            self._witnesses.clock(finding)
        elif isinstance(finding, Backfilled):
            self.corrections.put(finding)
        elif isinstance(finding, Happened):
            level = logging.INFO if finding.code in REMEMBERED else logging.WARNING
            scope, id_, code, details = finding.scope, finding.id, finding.code, dict(finding.details)
            logger.log(level, "%s %s=%s %s", code, scope, id_, details)
            self.journal.event(scope, id_, code, details, at_ms=finding.from_ms, to_ms=finding.to_ms)
        elif isinstance(finding, Settled):
            self._witnesses.settled(finding)
        elif isinstance(finding, Receipt):
            self._log.witness(finding)
        elif isinstance(finding, Closed):
            for body in finding.bodies:
                self._log.add(body)
            self._closings.taken()

    async def settle(self) -> None:
        """Gaps for what is overdue, then everything that follows from the new readings, then the commit."""
        self._name_refusals()
        self._watch_clock()
        state, _ = self._clock.sync()
        if state != "none":
            now_ms = self._clock.wall_ms()
            self._witnesses.schedules(self._plan.slot_floor(now_ms // 1000))
            self._overdue(now_ms)
            await self.corrections.apply(now_ms)
            await self._derive(now_ms // 1000)
        self._closings.note()
        await self._log.commit()
        self.corrections.committed()
        if self._log.is_durable:
            self._closings.committed(self.put)

    async def _derive(self, now_s: int) -> None:
        """What the books make of it. Reading the log back takes a thread: the lines go on meanwhile."""
        books = self._books
        with self._clock.hold():
            if books.reaches_back(now_s):
                await to_its_end(books.look_back)
            books.derive(now_s, self._log.add)
        self._closings.want(books.ripe())

    def _overdue(self, now_ms: int) -> None:
        """Gaps for slots that wait no longer: looked for once for each, not whenever one of many lines was read."""
        newest_s = self._plan.slot_floor(waits_since_s(now_ms, self._plan.interval_s) - 1)
        if newest_s == self._given_up_s:
            return
        self._given_up_s = newest_s
        for metered in self.meters.values():
            self._gaps(metered, metered.slots.overdue(now_ms), None)

    def _name_refusals(self) -> None:
        """One event for all records of a kind that were refused for one reason, one for each false receipt."""
        refusals, self._refusals = self._refusals, []
        alike: dict[tuple[str, str], list[int]] = {}
        for seq, kind, reason in refusals:
            alike.setdefault((kind, reason), []).append(seq)
        for (kind, reason), seqs in alike.items():
            details = {"kind": kind, "reason": reason, "seq": min(seqs), "ranges": ranges(sorted(seqs))}
            self.journal.gateway_event("undeliverable", details)
        for (auditor, why), said in list(self._doubted.items())[:MOST_DOUBTED]:
            if not said:
                self.journal.gateway_event("receipt_refused", {"auditor": auditor, "reason": why})
                self._doubted[auditor, why] = True

    def outage(self, why: Why) -> None:
        """At the start: slots that went by while nobody was here."""
        now_ms = self._clock.wall_ms()
        for metered in self.meters.values():
            self._gaps(metered, metered.slots.overdue(now_ms), why)

    def _observed(self, metered: Metered, seen: Observation) -> None:
        if metered.id in self._succeeded:
            slot_s = self._plan.slot_floor(seen.wall_ms // 1000 + self._plan.interval_s // 2)
            if self._plan.point_of(metered.id, slot_s) is None:
                return  # it was the other meter at this address that answered
        self.presence.answered(metered, seen.heard_ms)
        if metered.stranger is not None:
            metered.slots.why = "refused"  # whatever it counts, it is not this meter
            return
        before_ms = metered.validator.at_ms
        verdict = metered.validator.judge(seen)
        if not verdict.accepted:
            if metered.refused != verdict.why:
                logger.warning("reading refused line=%s meter=%s %s", metered.line, metered.id, verdict.why)
            metered.refused, metered.slots.why = verdict.why, "refused"
            return
        metered.refused, metered.latest = "", seen
        checks = _checks(seen)
        if seen.clock == "none":
            self._undated(metered, seen, checks)
            return
        self._events_of(metered, verdict, seen, before_ms)
        source, error_ms = seen.source(), seen.clock_error_ms or 0
        known = Known(seen.wall_ms, error_ms, seen.registers, source, checks, seen.attempts, seen.method)
        nearest_s = self._plan.slot_floor(seen.wall_ms // 1000 + self._plan.interval_s // 2)
        if verdict.broken:
            metered.slots.forget()
            before_s = nearest_s - self._plan.interval_s
            if nearest_s == metered.slots.next_slot_s and self._books.kept.value(metered.id, before_s) is not None:
                self._gaps(metered, [nearest_s], "refused")  # a step from the old base to the new is no consumption
        readings, lost = metered.slots.accept(known, nearest_s)
        self._gaps(metered, lost, None)
        for reading in readings:
            self._reading(metered, reading)

    def _events_of(self, metered: Metered, verdict: Verdict, seen: Observation, before_ms: int) -> None:
        """What the verdict tells of, from the last accepted look to this one."""
        for code, details in verdict.events:
            logger.warning("%s line=%s meter=%s %s", code, metered.line, metered.id, details)
            since_ms = min(before_ms, seen.wall_ms) if code == "rollover" else seen.wall_ms
            self.journal.event("meter", metered.id, code, details, at_ms=since_ms, to_ms=seen.wall_ms)
        modulus = metered.validator.limits.modulus
        if verdict.rollover and modulus is not None:
            self._books.kept.rollover(metered.id, before_ms, seen.wall_ms, modulus)

    def _reading(self, metered: Metered, reading: SlotReading, dated: int | None = None) -> None:
        """dated: index of the undated reading that this one dates."""
        supersedes = None if dated is None else Supersedes(dated, "dated")
        if reading.fills is not None:
            supersedes = Supersedes(reading.fills, "meter_back")
        self.journal.reading(metered, reading, 0 if supersedes is None else 1, supersedes)
        if reading.quality == "measured":
            self._witnesses.tariffs(metered, reading)

    def _undated(self, metered: Metered, seen: Observation, checks: list[Check]) -> None:
        body = Reading(
            meter=metered.id,
            serial=metered.serial,
            point=None,
            slot=None,
            method="live",
            quality="measured",
            estimate=None,
            registers=seen.registers,
            sources=[seen.source()],
            checks=checks,
            attempts=seen.attempts,
        )
        self.time.undated.append(Undated(self._log.add(body), body))

    def _gaps(self, metered: Metered, slots: list[int], why: Why | None) -> None:
        """One record for each stretch of at most an hour, of slots that the meter has to answer for."""
        for slot_s in slots:
            if not self._owes(metered, slot_s):
                metered.slots.passed(slot_s)
        slots = [slot_s for slot_s in slots if self._owes(metered, slot_s)]
        step_s = self._plan.interval_s
        longest = max(1, GAP_CHAIN_S // step_s)
        while slots:
            run = 1
            while run < min(longest, len(slots)) and slots[run] == slots[run - 1] + step_s:
                run += 1
            chain, slots = slots[:run], slots[run:]
            reason: Why = why or metered.slots.why
            seq = self._log.add(Gap(metered.id, slot_instant(chain[0]), slot_instant(chain[-1]), reason))
            for slot_s in chain:
                metered.slots.gapped(slot_s, seq)

    def _owes(self, metered: Metered, slot_s: int) -> bool:
        if not metered.polled:
            return False
        before = self.former is not None and slot_s <= self._began_s and self.former.is_due(metered.id, slot_s)
        return before or self._plan.is_due(metered.id, slot_s)

    def _watch_clock(self) -> None:
        """The wall clock against the boot clock, which never steps; readings that waited for a date get it."""
        turn = self.time.look()
        if turn.anchor is not None:
            self._log.add(turn.anchor)
        if turn.suspended_ms:
            logger.warning("host was suspended seconds=%d", turn.suspended_ms // 1000)
            details = {"suspended_s": turn.suspended_ms // 1000}
            self.journal.gateway_event("power_off", details, at_ms=turn.since_ms, to_ms=self._clock.wall_ms())
            if self.time.trusted:
                self.outage("power")
        if turn.stepped_ms:
            self.journal.gateway_event("clock_step", {"ms": turn.stepped_ms})
            for metered in self.meters.values():  # slots that the step leapt over: nobody could read at them
                self._gaps(metered, metered.slots.overdue(self._clock.wall_ms()), "clock")
        if turn.went:
            self.journal.gateway_event("clock_lost", {})
        if turn.came:
            self.journal.gateway_event("clock_back", {})
            self._date()

    def _date(self) -> None:
        """Time has come to be trusted: what went by before this start is a gap, what was read since gets its date."""
        began_ms = self.time.began_ms()
        self._given_up_s = None
        self.remember()
        for metered in self.meters.values():
            if metered.slots.last is None:
                metered.slots.next_slot_s = self._plan.slot_floor(began_ms // 1000) + self._plan.interval_s
            self._gaps(metered, metered.slots.overdue(began_ms), "power")
        undated, self.time.undated = self.time.undated, []
        for one in undated:
            found = self.meters.get(one.reading.meter)
            if found is None:
                continue
            known = self.time.dated(one, self._plan.interval_s)
            nearest_s = self._plan.slot_floor(known.at_ms // 1000 + self._plan.interval_s // 2)
            readings, lost = found.slots.accept(known, nearest_s)
            self._gaps(found, lost, "clock")
            for reading in readings:
                self._reading(found, reading, dated=one.seq)


async def to_its_end(work: Callable[[], T]) -> T:
    """Does something in a thread. Cancelled, it still waits for the thread: the books are nobody else's until then."""
    running = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise


def _checks(seen: Observation) -> list[Check]:
    """What an accepted observation passed, in the order of the contract."""
    passed = set(seen.first.checks) | {"plausible"}
    if seen.second is not None:
        passed.add("confirmed")
    return [check for check in CHECKS if check in passed]
