"""The books read back a log of any length in small portions, and keep what the ledger looks at."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest
from fed_park import Run, fed, witness
from fed_park import meter as entry
from fed_park import park as ledger_of

from agent.ledger.books import Books
from agent.ledger.kept import KEPT_S, LEARNT_AT_ONCE, Kept
from agent.ledger.recorder import to_its_end
from agent.reading import Backfilled
from bench.evidence_auditor import reading
from contract.grid import Closing
from contract.plan import Plan
from contract.records import Balance, Body, Statement, parse_slot

START_S = parse_slot("2026-07-01T00:00:00Z")
METERS, SLOTS = 40, 96


def park() -> Plan:
    return Plan(
        interval_s=900,
        utc_offset_s=28_800,
        closings=(Closing.parse("01 00:00"),),
        points={},
        moduli={},
        period_at=lambda _at_s, _schedule: ("flat", "none@1"),
    )


def test_a_day_is_read_back_again_once_a_part_of_it_was_forgotten() -> None:
    """A statement revised an hour after the month's end lacked the first steps of a day recalled for it before."""
    asked: list[int] = []

    def recall(from_s: int, to_s: int, *_which: tuple[str, ...]) -> Iterator[tuple[int, Body]]:
        asked.append(from_s)
        for n, slot_s in enumerate(range(from_s, to_s, 900)):
            yield n, reading(1, slot_s)

    books = Books(park(), recall)
    span = books.plan.day_of(START_S)
    for hours in (0, 1, 2):
        books.kept.recall_span(*span)
        assert len(books.kept.values.between("m-001", *span)) == SLOTS
        books.derive(span[0] + KEPT_S + hours * 3600 + 900, lambda _body: 0)
    assert asked == [span[0]] * 3


def test_a_log_is_read_back_without_its_records_in_memory_at_once() -> None:
    books = Books(park(), lambda *_: ())
    most = 0

    def log() -> Iterator[tuple[int, Body]]:
        nonlocal most
        for n in range(METERS * SLOTS):
            yield n, reading(n % METERS, START_S + n // METERS * 900)
            most = max(most, sum(map(len, books.kept.values._fresh.values())))

    books.kept.learn_all(log())
    assert most == LEARNT_AT_ONCE - 1
    assert not books.kept.values._fresh
    for meter in range(METERS):
        held = books.kept.values.between(f"m-{meter:03d}", START_S, START_S + SLOTS * 900)
        assert [value.seq for value in held.values()] == [slot * METERS + meter for slot in range(SLOTS)]
        assert {name for value in held.values() for name in value.registers} == {"import"}


async def test_whoever_is_stopped_while_the_log_is_read_back_waits_for_it() -> None:
    """The last commit of a stop uses the same books: two at once would lose what the other forgets."""
    began, ended, go_on = threading.Event(), threading.Event(), threading.Event()

    def reads() -> None:
        began.set()
        go_on.wait(10)
        ended.set()

    task = asyncio.create_task(to_its_end(reads))
    await asyncio.to_thread(began.wait, 10)
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


def test_of_a_period_only_days_are_read_back_whose_estimates_run_into_each_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Days 15 and 16 have a gap each, but were measured at the midnight between; 17 and 18 share one."""
    gaps = [("15T01:00", "15T03:00"), ("16T01:00", "16T03:00"), ("17T15:00", "17T17:30")]
    asked: list[tuple[int, int, tuple[str, ...]]] = []

    def spied(kept: Kept, from_s: int, to_s: int, kinds: tuple[str, ...], naming: tuple[str, ...] = ()) -> None:
        asked.append((from_s, to_s, naming))
        recall(kept, from_s, to_s, kinds, naming)

    def silent(_meter: str, slot_s: int) -> bool:
        return any(parse_slot(f"2026-07-{a}:00Z") <= slot_s <= parse_slot(f"2026-07-{b}:00Z") for a, b in gaps)

    recall = Kept.recall_steps
    monkeypatch.setattr(Kept, "recall_steps", spied)
    with fed(ledger_of(entry("m-1", 1, "tenant: acme"), closings='["20 00:00"]'), {"m-1": Run()}) as played:
        played.run("2026-07-20T00:00:00Z", silent=silent)
        [statement] = [body for body in played.latest(Statement).values() if body.tenant == "acme"]
        bounds = parse_slot("2026-07-16T16:00:00Z"), parse_slot("2026-07-18T16:00:00Z")
        assert asked == [(*bounds, ('"meter":"m-1"', '"tenant":"acme"'))]
        assert statement.quality_kwh["estimated"] > 0
        assert played.findings() == []


def test_a_statement_is_revised_however_long_ago_its_period_was() -> None:
    """A value that came more than 70 days after it left its statement as it was."""
    run = Run(kw="2", powers=[("2026-07-16T01:00:00Z", "30"), ("2026-07-16T02:00:00Z", "2")])
    at = "2026-07-16T02:00:00Z"

    def silent(meter: str, slot_s: int) -> bool:
        return meter == "m-1" and parse_slot("2026-07-16T00:00:00Z") <= slot_s <= parse_slot("2026-07-16T06:00:00Z")

    meters = f"{entry('m-0', 9, 'role: master')}\n{entry('m-1', 1, 'tenant: acme')}"
    with fed(ledger_of(meters, closings='["20 00:00"]'), {"m-0": Run(kw="40"), "m-1": run}) as played:
        played.run("2026-07-28T00:00:00Z", silent=silent)
        before = [body for body in played.bodies(Statement) if body.tenant == "acme"]
        assert [body.revision for body in before] == [0]
        played.take(Backfilled("m-1", (witness(at, str(run.shown(parse_slot(at) * 1000))),)))
        played.run("2026-07-28T00:15:00Z")
        first, second = [body for body in played.bodies(Statement) if body.tenant == "acme"]
        assert (second.revision, second.from_, second.total) == (1, first.from_, first.total)
        assert second.periods != first.periods
        assert len(second.segments) == len(first.segments)
        assert played.latest(Balance)[first.from_, first.to].revision == 1
        assert played.findings() == []
