"""The store through full disks, damage, lost keys and copies put back: what goes on, and as which epoch."""

from __future__ import annotations

import asyncio
import errno
import shutil
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import pytest
from nacl.signing import SigningKey

from agent.cli.verify import open_evidence
from agent.evidence import condition, ring
from agent.evidence import log as log_module
from agent.evidence.condition import CONDEMNED
from agent.evidence.log import Identity, Log
from agent.evidence.opening import open_log
from agent.evidence.receipts import pinned
from agent.evidence.store import DATABASE, Reader, Receipt, Store, StoreError, StoreFull
from bench.evidence_auditor import AUDITOR_VKEY, GATEWAY, KEY, PARK, make_log, reading
from contract import tree
from contract.note import public_raw
from contract.records import Pruned, decode, parse_instant
from contract.verify import Evidence, verify
from drivers.clock import VirtualClock

T = TypeVar("T")
START_S = parse_instant("2026-07-10T00:00:00Z") // 1000
GOLDEN = Path(__file__).parent / "golden" / "store-0.1.db"
OTHER = SigningKey(bytes(range(64, 96)))


def with_log(data: Path, action: Callable[[Store, Log], Awaitable[T]], *, key: SigningKey = KEY) -> T:
    """One life of a log."""

    async def live() -> T:
        store = Store(data, clock.hold)
        try:
            log = await open_log(store, Identity(PARK, GATEWAY, "0.1.0"), clock, key, pinned([AUDITOR_VKEY]))
            await log.commit()
            result = await action(store, log)
            await log.close()
            return result
        finally:
            await store.close()

    clock = VirtualClock(START_S * 1000)
    return clock.run(live())


async def sweeps(log: Log, count: int, *, meters: int = 20, first: int = 0) -> None:
    for n in range(first, first + count):
        for meter in range(meters):
            log.add(reading(meter, START_S + n * 900))
        await log.commit()


def boots(data: Path) -> list[tuple[str, str, str | None]]:
    """(epoch, cause, previous epoch) of every boot record."""
    reader = Reader(data)
    found = []
    for epoch in reader.epochs:
        for _, record, _ in reader.records(epoch):
            if record is not None and b'"kind":"boot"' in record:
                body: Any = decode(record)[1]
                found.append((epoch.id, body.cause, body.previous_epoch))
    reader.close()
    return found


def problems(data: Path) -> list[tuple[str, int | None]]:
    """What a verifier finds in the newest epoch, besides the tail that no stored checkpoint covers yet."""
    reader = Reader(data)
    rows = list(reader.records(reader.epochs[-1]))
    notes = reader.checkpoints(reader.epochs[-1])
    reader.close()
    evidence = Evidence([record for _, record, _ in rows], [leaf for _, _, leaf in rows], notes, [])
    result = verify(evidence, public_raw(KEY))
    return [(f["code"], f["seq"]) for f in result["findings"] if f["code"] in ("hash", "hole", "root", "seq", "config")]


def test_a_restart_goes_on_in_the_same_epoch_under_the_same_configuration(tmp_path: Path) -> None:
    async def first() -> None:
        store, log = await make_log(tmp_path, clock)
        await sweeps(log, 2)
        await log.close()
        await store.close()

    clock = VirtualClock(START_S * 1000)
    clock.run(first())
    with_log(tmp_path, lambda _store, log: sweeps(log, 1, first=2))
    assert [cause for _, cause, _ in boots(tmp_path)] == ["new_store", "start"]
    assert problems(tmp_path) == []


def test_a_saved_store_of_version_0_1_goes_on(tmp_path: Path) -> None:
    shutil.copy(GOLDEN, tmp_path / DATABASE)
    with_log(tmp_path, lambda _store, log: sweeps(log, 1))
    reader = Reader(tmp_path)
    assert len(reader.epochs) == 1
    assert reader.size(reader.epochs[0]) == 5 + 1 + 20
    assert reader.aside(reader.epochs[0]) == 1
    reader.close()
    assert problems(tmp_path) == []


def test_a_second_agent_on_the_same_store_refuses(tmp_path: Path) -> None:
    async def action(_store: Store, _log: Log) -> None:
        with pytest.raises(StoreError, match="another agent"):
            Store(tmp_path, nullcontext)

    with_log(tmp_path, action)


def test_another_key_or_name_begins_a_new_epoch_that_names_the_old(tmp_path: Path) -> None:
    first = with_log(tmp_path, _epoch)
    second = with_log(tmp_path, _epoch, key=OTHER)
    assert boots(tmp_path) == [(first, "new_store", None), (second, "key_lost", first)]
    assert with_log(tmp_path, _epoch, key=OTHER) == second


async def _epoch(_store: Store, log: Log) -> str:
    return log.epoch.id


def test_a_copy_put_back_is_found_out_and_begins_a_new_epoch(tmp_path: Path) -> None:
    first = with_log(tmp_path, _epoch)
    shutil.copy(tmp_path / DATABASE, tmp_path / "copy")
    with_log(tmp_path, lambda _store, log: sweeps(log, 1))
    shutil.copy(tmp_path / "copy", tmp_path / DATABASE)
    second = with_log(tmp_path, _epoch)
    assert boots(tmp_path)[-1] == (second, "rolled_back", first)


def test_a_lost_database_is_rebuilt_in_a_new_epoch(tmp_path: Path) -> None:
    first = with_log(tmp_path, _epoch)
    (tmp_path / DATABASE).unlink()
    second = with_log(tmp_path, _epoch)
    assert boots(tmp_path) == [(second, "rebuilt", first)]


@pytest.mark.parametrize("seed", range(8))
def test_a_damaged_store_never_stops_the_agent_and_is_never_deleted(tmp_path: Path, seed: int) -> None:
    """Up to a hundred bytes changed, or the file cut: either nothing that counts was hit, or a new epoch says so."""
    random = Random(seed)
    with_log(tmp_path, lambda _store, log: sweeps(log, 3))
    path = tmp_path / DATABASE
    data = bytearray(path.read_bytes())
    if random.random() < 0.2:
        del data[random.randrange(len(data)) :]
    for _ in range(random.randint(1, 100) if data else 0):
        data[random.randrange(len(data))] = random.randrange(256)
    path.write_bytes(data)
    with_log(tmp_path, lambda _store, log: sweeps(log, 1, first=3))
    with_log(tmp_path, lambda _store, log: sweeps(log, 1, first=4))
    last = boots(tmp_path)[-1]
    kept = list(tmp_path.glob("damaged-*"))
    assert last[1] == "start"
    assert len(kept) <= 1
    if kept:
        assert (kept[0] / DATABASE).read_bytes() == data
        assert boots(tmp_path)[0][1] == "damaged"


def test_a_damaged_store_on_a_full_disk_is_moved_aside_in_the_room_that_the_ballast_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Met in a campaign: there was no room for the directory, and the agent could not start."""
    with_log(tmp_path, _epoch)
    (tmp_path / CONDEMNED).touch()
    move_aside = condition.move_aside

    def full(directory: Path) -> Path:
        if ring.has_ballast(directory):
            raise OSError(errno.ENOSPC, "No space left on device")
        return move_aside(directory)

    monkeypatch.setattr(condition, "move_aside", full)
    with_log(tmp_path, lambda _store, log: sweeps(log, 1))
    assert boots(tmp_path)[-1][1] == "damaged"
    assert (tmp_path / "damaged-1" / DATABASE).exists()


def test_a_damaged_header_does_not_make_the_store_reserve_the_whole_disk(tmp_path: Path) -> None:
    """Met in a campaign: byte 60 on is the size of the ring, and a disk of 66 GB was full at the start."""
    with_log(tmp_path, _epoch)
    path = tmp_path / DATABASE
    data = bytearray(path.read_bytes())
    data[60:64] = (512).to_bytes(4, "big")
    path.write_bytes(data)
    with_log(tmp_path, lambda _store, log: sweeps(log, 1))
    assert path.stat().st_blocks * 512 < 64 << 20


def test_a_prepared_store_keeps_its_blocks_through_checkpoints_and_starts(tmp_path: Path) -> None:
    """SQLite cuts the file to its length at each checkpoint, and what was reserved behind it goes back to the disk."""
    path = tmp_path / DATABASE
    reserved = []

    async def fill(_store: Store, log: Log) -> None:
        for n in range(4):
            await sweeps(log, 30, meters=100, first=30 * n)
            reserved.append(path.stat().st_blocks * 512)

    with_log(tmp_path, _epoch)
    ring.prepare(path, 16)
    assert path.stat().st_blocks * 512 >= 16 << 20
    for _ in range(2):
        with_log(tmp_path, fill)
        reserved.append(path.stat().st_blocks * 512)
    assert path.stat().st_size > 1 << 20
    assert min(reserved) >= 16 << 20


@pytest.mark.parametrize("at", [60, 68])
def test_a_damaged_header_does_not_make_the_ring_smaller(tmp_path: Path, at: int) -> None:
    """Else the next commit would give up what nobody else holds."""
    with_log(tmp_path, _epoch)
    path = tmp_path / DATABASE
    ring.prepare(path, 4)
    with path.open("r+b") as file:
        file.seek(at)
        file.write((1).to_bytes(4, "big"))
    with_log(tmp_path, lambda _store, log: sweeps(log, 150, meters=100))
    assert [seq for seq, record, _ in _rows(tmp_path) if record is None] == []
    assert path.stat().st_size > 1 << 20
    ring.prepare(path, 1)
    with_log(tmp_path, lambda _store, log: sweeps(log, 10, meters=100, first=150))
    assert [seq for seq, record, _ in _rows(tmp_path) if record is None], "but a person may make it smaller"


def test_on_a_full_ring_the_oldest_bodies_go_all_hashes_stay_and_a_record_says_which(tmp_path: Path) -> None:
    async def fill(_store: Store, log: Log) -> int:
        await sweeps(log, 120, meters=100)
        return log.size

    with_log(tmp_path, _epoch)
    ring.prepare(tmp_path / DATABASE, 1)
    size = with_log(tmp_path, fill)
    assert (tmp_path / DATABASE).stat().st_size <= 1 << 20
    rows = _rows(tmp_path)
    assert [seq for seq, _, _ in rows] == list(range(size))
    gone = [seq for seq, record, _ in rows if record is None]
    pruned = {n for _, record, _ in rows if record and b'"kind":"pruned"' in record for n in _named(record)}
    assert gone
    assert set(gone) <= pruned
    assert rows[-1][1] is not None
    assert problems(tmp_path) == []


def test_what_the_auditor_holds_goes_before_what_he_does_not(tmp_path: Path) -> None:
    async def fill(store: Store, log: Log) -> tuple[int, list[int]]:
        await sweeps(log, 30, meters=50)
        log.witness(Receipt(log.auditors[0].name, 800, log.checkpoint))
        await log.commit()
        chosen = await store.evictions(log.epoch, log.witnessed_by_all, log.bounds)
        return log.witnessed_by_all, [index for eviction in chosen for index in eviction.gone]

    witnessed, gone = with_log(tmp_path, fill)
    assert witnessed == 800
    assert gone
    assert max(gone) < 800


def _rows(data: Path) -> list[tuple[int, bytes | None, bytes]]:
    reader = Reader(data)
    try:
        return list(reader.records(reader.epochs[-1]))
    finally:
        reader.close()


def _named(record: bytes) -> set[int]:
    body: Any = decode(record)[1]
    return {n for first, last in body.ranges for n in range(first, last + 1)}


@pytest.mark.parametrize("failure", ["disk I/O error", "attempt to write a readonly database", "full"])
def test_while_the_disk_refuses_records_wait_in_memory_and_are_written_when_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: str
) -> None:
    async def action(store: Store, log: Log) -> tuple[int, int]:
        original = store._append

        def refuse(*_: Any) -> None:
            if failure == "full":
                raise StoreFull(failure)
            raise sqlite3.OperationalError(failure)

        before = log.size
        monkeypatch.setattr(store, "_append", refuse)
        await sweeps(log, 5)
        assert log.size == before
        monkeypatch.setattr(store, "_append", original)
        await sweeps(log, 1, first=5)
        return before, log.size

    before, after = with_log(tmp_path, action)
    assert after == before + 6 * 20 + 1  # and the event that says so
    assert problems(tmp_path) == []


def test_a_failed_commit_that_went_through_after_all_is_not_written_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def action(store: Store, log: Log) -> int:
        original = store._append

        def forgetful(*arguments: Any) -> None:
            original(*arguments)
            raise sqlite3.OperationalError("disk I/O error")

        monkeypatch.setattr(store, "_append", forgetful)
        await sweeps(log, 1)
        monkeypatch.setattr(store, "_append", original)
        await sweeps(log, 1, first=1)
        return log.size

    assert with_log(tmp_path, action) == 1 + 20 + 1 + 20
    assert problems(tmp_path) == []


def test_memory_is_bounded_while_the_disk_refuses_and_the_newest_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_module, "WAITING_BYTES", 100_000)

    async def action(store: Store, log: Log) -> int:
        original = store._append
        monkeypatch.setattr(store, "_append", lambda *_: (_ for _ in ()).throw(sqlite3.OperationalError("disk I/O")))
        for n in range(40):
            await sweeps(log, 1, first=n)
            assert sum(len(r) for batch in log._waiting for r in batch.records) < 130_000
        monkeypatch.setattr(store, "_append", original)
        await sweeps(log, 1, first=40)
        return log.size

    size = with_log(tmp_path, action)
    rows = _rows(tmp_path)
    assert len(rows) == size
    gone = [seq for seq, record, _ in rows if record is None]
    assert gone
    assert all(record is not None for _, record, _ in rows[-60:])
    assert problems(tmp_path) == []


def test_hashes_of_given_up_bodies_still_make_up_the_signed_tree(tmp_path: Path) -> None:
    async def action(_store: Store, log: Log) -> bytes:
        await sweeps(log, 120, meters=100)
        return await log.root_at(log.size)

    with_log(tmp_path, _epoch)
    ring.prepare(tmp_path / DATABASE, 1)
    root = with_log(tmp_path, action)
    assert tree.root_of(leaf for _, _, leaf in _rows(tmp_path)) == root


async def test_the_ballast_goes_on_a_full_disk_and_comes_back(tmp_path: Path) -> None:
    ring.take_ballast(tmp_path)
    assert ring.has_ballast(tmp_path)
    ring.release_ballast(tmp_path)
    assert not ring.has_ballast(tmp_path)
    await asyncio.to_thread(ring.take_ballast, tmp_path)
    assert ring.has_ballast(tmp_path)


def test_bodies_of_older_epochs_that_are_given_up_are_named_too_and_the_verifier_knows(tmp_path: Path) -> None:
    async def fill(_store: Store, log: Log, count: int) -> str:
        await sweeps(log, count, meters=100)
        return log.epoch.id

    with_log(tmp_path, _epoch)
    ring.prepare(tmp_path / DATABASE, 1)
    old = with_log(tmp_path, lambda store, log: fill(store, log, 20))
    new = with_log(tmp_path, lambda store, log: fill(store, log, 90), key=OTHER)
    reader = Reader(tmp_path)
    gone = [seq for seq, record, _ in reader.records(reader.epochs[0]) if record is None]
    named = [decode(record)[1] for _, record, _ in _rows(tmp_path) if record and b'"kind":"pruned"' in record]
    reader.close()
    assert old != new
    assert gone
    of_old = [body for body in named if isinstance(body, Pruned) and body.of_epoch == old]
    assert set(gone) == {n for body in of_old for first, last in body.ranges for n in range(first, last + 1)}
    assert {body.why for body in of_old} == {"disk"}
    whole = open_evidence(tmp_path, old)
    assert holes(whole, KEY) == []
    assert holes(replace(whole, pruned=()), KEY) != []
    assert holes(open_evidence(tmp_path, new), OTHER) == []


def holes(evidence: Evidence, key: SigningKey) -> list[int | None]:
    return [f["seq"] for f in verify(evidence, public_raw(key))["findings"] if f["code"] == "hole"]
