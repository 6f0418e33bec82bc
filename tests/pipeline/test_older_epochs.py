"""A new epoch began before the old one was delivered: its end still reaches the auditor, or is not proved and stays."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pytest
from nacl.signing import SigningKey
from sent_log import needs_mosquitto, sending, sweep, until

from agent.cli.verify import open_evidence
from agent.evidence.log import Log
from agent.evidence.salvage import SALVAGED
from agent.evidence.store import CONDEMNED, DATABASE, Reader
from bench.evidence_auditor import AUDITOR_NAME, AUDITOR_VKEY, KEY, Auditor, free_port, make_log, mosquitto
from contract.note import parse_checkpoint, parse_note, public_raw
from contract.records import Pruned, decode
from contract.tree import leaf_hash
from contract.verify import verify
from drivers.clock import RealClock

OTHER = SigningKey(bytes(range(64, 96)))
NOWHERE = 9  # a port where no broker is


async def live(
    data: Path, *, sweeps: int = 3, key: SigningKey = KEY, audited: bool = True, cleanly: bool = True
) -> str:
    """One life without a broker; its epoch."""
    store, log = await make_log(data, RealClock(trusted=True), audited=audited, key=key)
    for n in range(sweeps):
        await sweep(log, n)
    if cleanly:
        await log.close()
    await store.close()
    return log.epoch.id


async def look_back(log: Log) -> None:
    """As the agent does it, with a commit that names what is gone."""
    looking = asyncio.create_task(log.look_back())
    await until(lambda: bool(log._to_name) or looking.done())
    await sweep(log, 9)
    await looking


def records(data: Path, epoch: str) -> dict[int, bytes]:
    """The bodies that a store has of an epoch."""
    reader = Reader(data)
    try:
        (found,) = [one for one in reader.epochs if one.id == epoch]
        return {seq: record for seq, record, _ in reader.records(found) if record is not None}
    finally:
        reader.close()


def findings(data: Path, epoch: str, key: SigningKey = KEY) -> set[str]:
    """What a verifier says of bytes and tree."""
    result = verify(open_evidence(data, epoch), public_raw(key), auditors=[AUDITOR_VKEY])
    return {f["code"] for f in result["findings"]} & {"hash", "hole", "root", "receipt", "order", "seq", "truncated"}


async def deliver(
    data: Path, old: str, *, audited: bool = True, whole: bool = True, key: SigningKey = KEY
) -> dict[int, bytes]:
    """A life with broker and auditor until the old epoch is delivered; what the auditor has of it."""
    port = free_port()
    with mosquitto(data / "broker", port), Auditor("127.0.0.1", port, cosign=audited) as auditor:
        async with sending(data, port, audited=audited, key=key) as sender:
            await look_back(sender.log)
            await until(lambda: not sender.log.ended and not sender.outbox.waiting)
            assert not auditor.ledger.forks
            assert not auditor.ledger.faults
            if audited:
                await until(lambda: sender.log.witnessed[AUDITOR_NAME] > 0)
                assert (old in auditor.ledger.cosigned) == whole
        # the broker acknowledged it all; where no receipt is due, nobody waited for the auditor to hear it
        sent = records(data, old).keys()
        await until(lambda: auditor.ledger.hashes.get(old, {}).keys() >= sent)
        return dict(auditor.ledger.hashes[old])


@needs_mosquitto
@pytest.mark.parametrize("cleanly", [True, False])
@pytest.mark.parametrize("audited", [True, False])
async def test_under_a_new_key_the_end_of_the_old_epoch_goes_out_behind_what_is_new(
    tmp_path: Path, audited: bool, cleanly: bool
) -> None:
    old = await live(tmp_path, audited=audited, cleanly=cleanly)
    held = await deliver(tmp_path, old, audited=audited, key=OTHER)
    assert held == {seq: leaf_hash(record) for seq, record in records(tmp_path, old).items()}
    reader = Reader(tmp_path)
    assert reader.epochs[0].delivered == reader.epochs[0].size == len(held)
    assert [parse_checkpoint(parse_note(text)[0]).size for text in reader.receipts(reader.epochs[0])] == [
        len(held)
    ] * audited
    reader.close()
    assert findings(tmp_path, old) == set()
    store, log = await make_log(tmp_path, RealClock(trusted=True), audited=audited, key=OTHER)
    await log.look_back()
    assert log.ended == [], "once is enough"
    await store.close()


@needs_mosquitto
async def test_an_end_for_which_no_receipt_is_due_goes_out_once(tmp_path: Path) -> None:
    """The usual case: behind the last receipt there is only its own `witness` record."""
    port = free_port()
    with mosquitto(tmp_path / "broker", port), Auditor("127.0.0.1", port) as auditor:
        async with sending(tmp_path, port, audited=True) as sender:
            await sweep(sender.log, 0)
            await until(lambda: sender.log.witnessed[AUDITOR_NAME] >= 12 and sender.log.size > 12)
            old, size = sender.log.epoch.id, sender.log.size
        async with sending(tmp_path, port, audited=True, key=OTHER) as sender:
            await look_back(sender.log)
            await until(lambda: not sender.log.ended and not sender.outbox.waiting)
        await until(lambda: set(auditor.ledger.hashes[old]) >= set(range(size)))
        assert set(auditor.ledger.hashes[old]) == set(range(size))
        assert auditor.ledger.cosigned[old] < size
    reader = Reader(tmp_path)
    assert reader.epochs[0].delivered == size
    reader.close()


@needs_mosquitto
async def test_what_a_store_that_was_set_aside_still_proves_goes_out_too(tmp_path: Path) -> None:
    old = await live(tmp_path)
    before = records(tmp_path, old)
    (tmp_path / CONDEMNED).touch()
    held = await deliver(tmp_path, old)
    assert held == {seq: leaf_hash(record) for seq, record in before.items()}
    assert records(tmp_path, old) == before
    assert findings(tmp_path, old) == set()
    assert (tmp_path / "damaged-1" / SALVAGED).exists()


@needs_mosquitto
async def test_a_body_that_was_damaged_is_named_and_the_rest_goes_out(tmp_path: Path) -> None:
    old = await live(tmp_path)
    before = records(tmp_path, old)
    db = sqlite3.connect(tmp_path / DATABASE)
    (row, body) = db.execute("SELECT id, body FROM batch ORDER BY id LIMIT 1 OFFSET 1").fetchone()
    db.execute("UPDATE batch SET body = ? WHERE id = ?", (body[:-9], row))
    db.commit()
    db.close()
    (tmp_path / CONDEMNED).touch()
    held = await deliver(tmp_path, old, whole=False)
    kept = records(tmp_path, old)
    lost = sorted(set(before) - set(kept))
    assert len(lost) == 10
    assert held == {seq: leaf_hash(record) for seq, record in kept.items()}
    named = [body for body in pruned(tmp_path) if body.of_epoch == old]
    assert [(body.ranges, body.why) for body in named] == [([[lost[0], lost[-1]]], "damaged")]
    assert findings(tmp_path, old) == set()


def pruned(data: Path) -> list[Pruned]:
    reader = Reader(data)
    found: list[Any] = [decode(r)[1] for _, r, _ in reader.records(reader.epochs[-1]) if r and b'"pruned"' in r]
    reader.close()
    return found


async def test_what_was_receipted_stays_behind_but_what_explains_the_rest(tmp_path: Path) -> None:
    """Bodies below the last receipt are not taken over: their hashes are, and the configuration."""
    port = free_port()
    with mosquitto(tmp_path / "broker", port), Auditor("127.0.0.1", port):
        async with sending(tmp_path, port, audited=True) as sender:
            await sweep(sender.log, 0)
            await until(lambda: sender.log.witnessed[AUDITOR_NAME] >= 12 and sender.log.is_durable)
            await sweep(sender.log, 1)
            witnessed, old = sender.log.witnessed_by_all, sender.log.epoch.id
    (tmp_path / CONDEMNED).touch()
    store, log = await make_log(tmp_path, RealClock(trusted=True))
    await look_back(log)
    await log.close()
    await store.close()
    kept = records(tmp_path, old)
    assert {decode(kept[seq])[0].kind for seq in kept if seq < 12} == {"boot", "config"}
    assert all(seq in kept for seq in range(witnessed, max(kept)))
    assert findings(tmp_path, old) == set()


async def test_a_store_that_was_rolled_back_sends_nothing_of_it(tmp_path: Path) -> None:
    """It may hold another history than the one that was published."""
    old = await live(tmp_path, sweeps=1)
    copy = (tmp_path / DATABASE).read_bytes()
    await live(tmp_path)
    (tmp_path / DATABASE).write_bytes(copy)
    store, log = await make_log(tmp_path, RealClock(trusted=True))
    await log.look_back()
    assert log.epoch.id != old
    assert log.ended == []
    await store.close()


async def test_an_epoch_whose_successor_is_lost_sends_nothing(tmp_path: Path) -> None:
    """It may have been one that was rolled back."""
    await live(tmp_path)
    store, log = await make_log(tmp_path, RealClock(trusted=True), key=OTHER)
    await log.look_back()
    assert len(log.ended) == 1
    await store.close()
    db = sqlite3.connect(tmp_path / DATABASE)
    db.execute("UPDATE epoch SET number = 3 WHERE number = 2")
    db.execute("UPDATE batch SET id = id + (1 << 40) WHERE id >= 2 << 40")
    db.commit()
    db.close()
    store, log = await make_log(tmp_path, RealClock(trusted=True), key=OTHER)
    await log.look_back()
    assert log.ended == []
    await store.close()


async def test_no_damage_brings_back_a_record_that_was_not_signed(tmp_path: Path) -> None:
    counts: Counter[str] = Counter()
    for seed in range(12):
        counts += await salvaged_from_damage(tmp_path / str(seed), Random(seed))
    assert counts["other"] == 0
    assert counts["same"] > 100, "and much comes back"


async def salvaged_from_damage(data: Path, random: Random) -> Counter[str]:
    """Records that came back from a store with bytes changed: the same that were written, or others."""
    old = await live(data, sweeps=4, audited=False)
    before = records(data, old)
    path = data / DATABASE
    raw = bytearray(path.read_bytes())
    for _ in range(random.randint(1, random.choice((3, 60)))):
        raw[random.randrange(4096, len(raw))] = random.randrange(256)
    path.write_bytes(raw)
    (data / CONDEMNED).touch()
    store, log = await make_log(data, RealClock(trusted=True), audited=False)
    await look_back(log)
    await log.close()
    await store.close()
    assert (data / "damaged-1" / DATABASE).read_bytes() == raw
    reader = Reader(data)
    came_back = reader.epochs[0].id == old
    reader.close()
    if not came_back:
        return Counter()
    assert findings(data, old) == set()
    return Counter("same" if before[seq] == record else "other" for seq, record in records(data, old).items())


async def test_an_interrupted_salvage_goes_on_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = await live(tmp_path)
    before = records(tmp_path, old)
    (tmp_path / CONDEMNED).touch()
    store, log = await make_log(tmp_path, RealClock(trusted=True))
    append = store.append
    calls: list[Any] = []

    async def killed(*arguments: Any) -> None:
        calls.append(arguments)
        if len(calls) > 2:
            raise asyncio.CancelledError
        await append(*arguments)

    monkeypatch.setattr(store, "append", killed)
    with pytest.raises(asyncio.CancelledError):
        await log.look_back()
    await store.close()
    assert 0 < len(records(tmp_path, old)) < len(before)
    store, log = await make_log(tmp_path, RealClock(trusted=True))
    await log.look_back()
    await log.close()
    await store.close()
    kept = records(tmp_path, old)
    assert kept == {seq: record for seq, record in before.items() if seq in kept}
    assert len(kept) >= 22
