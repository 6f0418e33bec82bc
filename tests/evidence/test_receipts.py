"""Receipts: which one is worth a witness record, and that nothing else changes anything."""

from __future__ import annotations

import asyncio
import time
from decimal import Decimal
from pathlib import Path
from random import Random

import pytest
from nacl.signing import SigningKey

from agent.delivery.mqtt import Broker
from agent.delivery.outbox import Outbox
from agent.evidence.receipts import MAX_BYTES, ReceiptRefused, RolledBack, Stick, Unverifiable, judge, pinned
from bench.evidence_auditor import AUDITOR_KEY, AUDITOR_NAME, AUDITOR_VKEY, KEY, Auditor, make_log, reading
from bench.evidence_clock import CONFIG
from bench.fed import Fed, configuration
from contract import note
from contract.records import Event, parse_instant
from drivers.clock import RealClock, VirtualClock
from simulators.broker import embedded_broker

START_MS = parse_instant("2026-07-10T00:00:00Z")
STRANGER = SigningKey(bytes(range(64, 96)))


def clock() -> VirtualClock:
    return VirtualClock(START_MS)


def run_with_log(tmp_path: Path, action):  # type: ignore[no-untyped-def]
    async def main():  # type: ignore[no-untyped-def]
        store, log = await make_log(tmp_path, virtual)
        try:
            return await action(log)
        finally:
            await log.close()
            await store.close()

    virtual = clock()
    return virtual.run(main())


def cosigned(text: str, key=AUDITOR_KEY, name: str = AUDITOR_NAME) -> bytes:  # type: ignore[no-untyped-def]
    return note.cosign(key, name, text, 1_752_105_600).encode()


def test_a_receipt_for_our_own_tree_is_accepted_once(tmp_path: Path) -> None:
    async def action(log):  # type: ignore[no-untyped-def]
        early = log.checkpoint
        log.add(reading(1, START_MS // 1000))
        await log.commit()
        receipt = await judge(cosigned(early), log)
        assert (receipt.auditor, receipt.size) == (AUDITOR_NAME, 2)
        assert log.witness(receipt)
        assert not log.witness(receipt)
        await log.commit()
        assert log.witnessed_by_all == 2
        with pytest.raises(ReceiptRefused, match="not above"):
            await judge(cosigned(early), log)
        return log.size

    assert run_with_log(tmp_path, action) == 4


def test_a_receipt_survives_a_restart(tmp_path: Path) -> None:
    async def accept(log):  # type: ignore[no-untyped-def]
        log.witness(await judge(cosigned(log.checkpoint), log))
        await log.commit()

    async def look(log):  # type: ignore[no-untyped-def]
        return log.witnessed_by_all, log.size

    run_with_log(tmp_path, accept)
    assert run_with_log(tmp_path, look) == (2, 5)


def test_what_is_no_receipt_of_a_pinned_auditor_for_this_tree_is_refused(tmp_path: Path) -> None:
    async def action(log):  # type: ignore[no-untyped-def]
        good = log.checkpoint
        other = note.Checkpoint(good.split("\n")[0][:-4] + "beef", 2, bytes(32))
        bad = [
            good.encode(),  # nobody cosigned it
            cosigned(good, STRANGER, AUDITOR_NAME),
            cosigned(good, AUDITOR_KEY, "audit.example/other"),
            cosigned(note.sign_checkpoint(KEY, other)),  # another epoch
            cosigned(note.sign_note(STRANGER, good.split("\n")[0], note.parse_note(good)[0])),  # not signed by us
            b"",
            b"\xff" * 100,
            cosigned(good) + b"x" * MAX_BYTES,
            cosigned(good).replace("— ".encode(), b"- "),
        ]
        for payload in bad:
            with pytest.raises(ReceiptRefused):
                await judge(payload, log)
        return log.size, log.witnessed_by_all

    assert run_with_log(tmp_path, action) == (2, 0)


def test_a_receipt_for_more_or_other_records_proves_a_rollback(tmp_path: Path) -> None:
    async def action(log):  # type: ignore[no-untyped-def]
        origin = log.checkpoint.split("\n")[0]
        more = note.sign_checkpoint(KEY, note.Checkpoint(origin, 9, bytes(32)))
        other = note.sign_checkpoint(KEY, note.Checkpoint(origin, 2, bytes(32)))
        for text in (more, other):
            with pytest.raises(RolledBack):
                await judge(cosigned(text), log)

    run_with_log(tmp_path, action)


def test_an_auditor_who_signed_another_tree_is_named_once_and_nothing_else_is_news(tmp_path: Path) -> None:
    async def action(log):  # type: ignore[no-untyped-def]
        good = cosigned(log.checkpoint)
        body, signatures = log.checkpoint.rsplit("\n\n", 1)
        name = signatures.split(" ")[1]
        bare = good.decode().replace(f"— {signatures.split(' ', 1)[1]}", "").encode()  # anybody can cut ours off
        other = note.Checkpoint(body.split("\n")[0], 2, bytes(32))
        false = cosigned(note.sign_checkpoint(STRANGER, other))
        raised = []
        for payload in (bare, false, false, cosigned(note.sign_note(STRANGER, name, body + "\n"))):
            try:
                await judge(payload, log)
            except ReceiptRefused as error:
                raised.append(error)
        return raised

    raised = run_with_log(tmp_path, action)
    assert [type(error) for error in raised] == [ReceiptRefused, Unverifiable, Unverifiable, ReceiptRefused]
    fed = Fed(configuration(CONFIG), lambda _meter, _ms: {"import": Decimal(1)}, "2026-07-10T00:00:10.000Z")
    for _ in range(2):
        for error in raised:
            fed.recorder.receipt_refused(error)
        fed.settle()
    (event,) = [event for event in fed.bodies(Event) if event.code == "receipt_refused"]
    assert event.details["auditor"] == AUDITOR_NAME
    assert "other records below 2" in str(event.details["reason"])


def test_two_thousand_hostile_receipts_change_nothing(tmp_path: Path) -> None:
    random = Random(6)

    async def action(log):  # type: ignore[no-untyped-def]
        good = cosigned(log.checkpoint)
        before = (log.size, log.next_seq, dict(log.witnessed))
        for _ in range(2_000):
            payload = mutated(random, good)
            if payload == good:
                continue
            began = time.monotonic()
            with pytest.raises(ReceiptRefused):
                await judge(payload, log)
            assert time.monotonic() - began < 1
        assert (log.size, log.next_seq, dict(log.witnessed)) == before

    run_with_log(tmp_path, action)


def mutated(random: Random, good: bytes) -> bytes:
    """A receipt with bytes changed, cut out, doubled or put in; or no receipt at all."""
    data = bytearray(good)
    for _ in range(random.randint(1, 4)):
        at = random.randrange(len(data)) if data else 0
        match random.randrange(5):
            case 0:
                data[at : at + 1] = bytes([random.randrange(256)])
            case 1:
                del data[at : at + random.randint(1, 20)]
            case 2:
                data[at:at] = data[at : at + random.randint(1, 40)]
            case 3:
                data[at:at] = random.choice([b"\n", b"\n\n", b"\0", "— ".encode(), b"+", b"9" * 30])
            case _:
                data = bytearray(random.randbytes(random.randrange(200)))
    return bytes(data)


def test_only_an_auditors_key_can_be_pinned() -> None:
    assert pinned([AUDITOR_VKEY])[0].name == AUDITOR_NAME
    with pytest.raises(note.NoteError):
        pinned([note.verifier_key("gateway", note.public_raw(KEY))])


def test_a_stick_gives_what_was_left_whole(tmp_path: Path) -> None:
    stick = Stick(tmp_path)
    assert stick.waiting() == []
    stick.leave("a", "note\n")
    assert [(path.name, payload) for path, payload in stick.waiting()] == [("a.note", b"note\n")]


async def test_delivered_is_what_the_auditor_gave_a_receipt_for(tmp_path: Path) -> None:
    """Without a receipt nothing counts as delivered; with one everything below it does."""
    clock_ = RealClock(trusted=True)
    async with embedded_broker("mosquitto") as address:
        with Auditor(address.host, address.port) as auditor:
            store, log = await make_log(tmp_path, clock_)
            receipts = []

            def take(receipt):  # type: ignore[no-untyped-def]
                receipts.append(receipt)

            outbox = Outbox(log, Broker(address.host, address.port, False), clock_, 900, lambda *_: None, take=take)
            running = asyncio.create_task(outbox.run())
            epoch = log.epoch.id
            assert await asyncio.to_thread(auditor.until, lambda ledger: epoch in ledger.cosigned)
            for _ in range(200):
                if receipts and not outbox.waiting:
                    break
                await asyncio.sleep(0.02)
            assert log.delivered == 0
            assert log.witness(receipts[0])
            await log.commit()
            for _ in range(200):
                if log.delivered:
                    break
                await asyncio.sleep(0.02)
            assert log.delivered == receipts[0].size
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await store.close()
