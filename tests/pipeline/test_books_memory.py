"""The books read back a log of any length in small portions, and keep what the ledger looks at."""

from __future__ import annotations

from collections.abc import Iterator

from agent.books import LEARNT_AT_ONCE, Books
from bench.evidence_auditor import reading
from contract.grid import Closing
from contract.plan import Plan
from contract.records import Body, parse_slot

START_S = parse_slot("2026-07-01T00:00:00Z")
METERS, SLOTS = 40, 96


def test_a_log_is_read_back_without_its_records_in_memory_at_once() -> None:
    plan = Plan(
        interval_s=900,
        utc_offset_s=28_800,
        closings=(Closing.parse("01 00:00"),),
        points={},
        moduli={},
        period_at=lambda _at_s, _schedule: ("flat", "none@1"),
    )
    books = Books(plan, lambda _from_s, _to_s, _kinds: ())
    most = 0

    def log() -> Iterator[tuple[int, Body]]:
        nonlocal most
        for n in range(METERS * SLOTS):
            yield n, reading(n % METERS, START_S + n // METERS * 900)
            most = max(most, sum(map(len, books.values._fresh.values())))

    books.learn_all(log())
    assert most == LEARNT_AT_ONCE - 1
    assert not books.values._fresh
    for meter in range(METERS):
        held = books.values.between(f"m-{meter:03d}", START_S, START_S + SLOTS * 900)
        assert [value.seq for value in held.values()] == [slot * METERS + meter for slot in range(SLOTS)]
        assert {name for value in held.values() for name in value.registers} == {"import"}
