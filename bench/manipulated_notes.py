"""Manipulations of keys, receipts and the stream: verifier, auditor's store or the agent itself find them."""

from __future__ import annotations

import base64

from agent.evidence.log import Log
from agent.evidence.receipts import ReceiptRefused, RolledBack, judge
from audit.rows import LogId
from audit.verify_store import verify_store
from audit.writer import Writer
from bench.evidence_auditor import AUDITOR_KEY, AUDITOR_NAME, AUDITOR_VKEY, KEY
from bench.manipulated import LATER_MS, STRANGER, Case, Found, Scene, by_evidence, by_itself, lived, point, scenes
from contract import note, tree
from contract.records import canonical, parse_instant

SCENES: list[Scene] = []
keys = scenes("keys and checkpoints", by_evidence, SCENES)
receipts = scenes("receipts", by_evidence, SCENES)


def by_auditor(case: Case) -> Found:
    """`hubiao audit verify` of what was collected; `told` came besides: record bytes, ("hashes", first, leaves)."""
    writer = Writer(case.data / "audit")
    which = LogId(*case.origin.removeprefix("hubiao/").split("/"))
    writer.store.pin_key(which.park, which.gateway, base64.b64encode(case.public).decode())
    for message in [*case.records, *case.told]:
        if isinstance(message, bytes):
            writer.append(message)
        elif message[0] == "hashes":
            writer.add_hashes(which, *message[1:])
    for text in case.checkpoints:
        writer.add_note(which, "checkpoints", text)
    for text in case.receipts:
        writer.add_note(which, "receipts", text)
    result = verify_store(writer.store, auditors=[AUDITOR_VKEY])
    writer.close()
    logs = result["logs"]
    codes = {finding["code"] for log in logs for finding in log["findings"]}
    codes |= {alarm["code"] for alarm in result["alarms"]}
    return Found(codes, min((log["first_bad"] for log in logs if log["first_bad"] is not None), default=None))


stream = scenes("stream", by_auditor, SCENES)
offered = scenes("receipts, to the agent", by_itself, SCENES)


@keys("the newest checkpoint under a stranger's key", "checkpoint")
def _(case: Case) -> int:
    case.checkpoints[-1] = note.sign_checkpoint(STRANGER, point(case.checkpoints[-1]))
    return case.sizes[-2]


@keys("everything under a stranger's key", "checkpoint")
def _(case: Case) -> int:
    case.resign(STRANGER)
    return case.witnessed


@keys("another gateway's key in the auditor's hand", "checkpoint")
def _(case: Case) -> int:
    case.public = note.public_raw(STRANGER)
    return 0


@keys("a checkpoint of another origin, signed with the right key", "origin")
def _(case: Case) -> None:
    last = point(case.checkpoints[-1])
    other = note.Checkpoint(last.origin.replace("gw-1", "gw-2"), last.size, last.root)
    case.checkpoints.append(note.sign_checkpoint(KEY, other))


@keys("the verifier key of another epoch", "origin")
def _(case: Case) -> int:
    case.name = case.origin[:-4] + "beef"
    return 0


@keys("one size, two roots", "fork")
def _(case: Case) -> int:
    last = point(case.checkpoints[-1])
    case.checkpoints.append(note.sign_checkpoint(KEY, note.Checkpoint(last.origin, last.size, bytes(32))))
    return case.sizes[-3]


@keys("an older checkpoint after a newer one", "rollback")
def _(case: Case) -> int:
    case.checkpoints.append(case.checkpoints[20])
    return case.sizes[20]


@keys("the last checkpoints withheld", "unsigned")
def _(case: Case) -> int:
    del case.checkpoints[-3:]
    return case.sizes[-1]


@keys("a letter of a signature", "checkpoint")
def _(case: Case) -> None:
    text = case.checkpoints[5]
    at = len(text) - 20
    case.checkpoints[5] = text[:at] + ("B" if text[at] == "A" else "A") + text[at + 1 :]


@keys("a stranger's signature beside ours", "")
def _(case: Case) -> None:
    text = case.checkpoints[5]
    case.checkpoints[5] = text + note.sign_note(STRANGER, "stranger", note.parse_note(text)[0]).rpartition("\n\n")[2]


@receipts("a cosignature forged under the auditor's name", "receipt")
def _(case: Case) -> None:
    case.receipts.append(note.cosign(STRANGER, AUDITOR_NAME, case.checkpoints[-1], LATER_MS // 1000))


@receipts("a receipt of somebody who is not pinned", "receipt")
def _(case: Case) -> None:
    case.receipts.append(note.cosign(STRANGER, "audit.example/other", case.checkpoints[-1], LATER_MS // 1000))


@receipts("the time of a receipt", "receipt")
def _(case: Case) -> None:
    body, _, lines = case.receipts[0].rpartition("\n\n")
    first, second, _ = lines.split("\n")
    name, _, encoded = second.rpartition(" ")
    data = bytearray(base64.b64decode(encoded))
    data[11] ^= 0xFF
    case.receipts[0] = f"{body}\n\n{first}\n{name} {base64.b64encode(data).decode()}\n"


@receipts("a receipt of another epoch", "origin")
def _(case: Case) -> None:
    last = point(case.checkpoints[-1])
    other = note.sign_checkpoint(KEY, note.Checkpoint(last.origin[:-4] + "beef", last.size, last.root))
    case.receipts.append(note.cosign(AUDITOR_KEY, AUDITOR_NAME, other, LATER_MS // 1000))


@receipts("a receipt for more records than there are", "truncated")
def _(case: Case) -> int:
    more = note.sign_checkpoint(KEY, note.Checkpoint(case.origin, len(case.records) + 9, bytes(32)))
    case.receipts.append(note.cosign(AUDITOR_KEY, AUDITOR_NAME, more, _last_s(case)))
    return len(case.records)


@receipts("a receipt for another history", "receipt")
def _(case: Case) -> int:
    witnessed = case.witnessed
    other = note.sign_checkpoint(KEY, note.Checkpoint(case.origin, case.sizes[-2], bytes(32)))
    case.receipts.append(note.cosign(AUDITOR_KEY, AUDITOR_NAME, other, _last_s(case)))
    return witnessed  # checkpoints may have been signed anew since the auditor looked


@receipts("a receipt given a month late", "late_witness")
def _(case: Case) -> int:
    case.receipts.append(note.cosign(AUDITOR_KEY, AUDITOR_NAME, case.checkpoints[-1], _last_s(case) + 30 * 86_400))
    return case.witnessed and max(point(text).size for text in case.receipts[:-1])


@receipts("receipts in another order", "")
def _(case: Case) -> None:
    case.receipts.reverse()


@receipts("a witness record for more than its receipt", "receipt")
def _(case: Case) -> int:
    seq = case.find("witness")
    case.put(seq, size=case.raw(seq)["size"] + 1)
    case.receipts = []
    case.resign()
    return seq


def _last_s(case: Case) -> int:
    return parse_instant(case.raw(len(case.records) - 1)["at"]) // 1000


@stream("a message that never came", "hole")
def _(case: Case) -> int:
    seq = case.find("reading", 500)
    del case.records[seq]
    return seq


@stream("the tail withheld, its checkpoint shown", "hole")
def _(case: Case) -> int:
    size = case.witnessed
    case.told = [("hashes", size, case.hashes[size:])]
    del case.records[size:]
    return size


@stream("everything sent a second time, backwards", "")
def _(case: Case) -> None:
    case.told = list(reversed(case.records))


@stream("another record at an index that the auditor holds", "fork")
def _(case: Case) -> int:
    seq = case.find("reading", 500)
    case.told = [canonical({**case.raw(seq), "attempts": 2})]
    return seq


@stream("other hashes told to tenants than records to the auditor", "fork")
def _(case: Case) -> int:
    seq = case.find("reading", 500)
    case.told = [("hashes", seq, [bytes(32)])]
    return seq


@stream("another history for the last hour, in checkpoint and records", "fork")
def _(case: Case) -> int:
    seq = case.find("reading", case.witnessed + 1)
    other = canonical({**case.raw(seq), "attempts": 2})
    leaves = [*case.hashes[:seq], tree.leaf_hash(other), *case.hashes[seq + 1 :]]
    last = point(case.checkpoints[-1])
    case.checkpoints.append(
        note.sign_checkpoint(KEY, note.Checkpoint(case.origin, last.size, tree.root_of(leaves[: last.size])))
    )
    case.told = [other]
    return seq


@stream("a new epoch that does not name the one before", "epoch_unexplained")
def _(case: Case) -> int:
    raw = case.raw(case.find("boot"))
    case.told = [canonical({**raw, "epoch": "beef" * 8, "cause": "new_store", "previous_epoch": None})]
    return 0


def _offer(case: Case, *payloads: bytes) -> None:
    """What the agent makes of receipts, one after the other; the last one counts. It must change nothing."""

    async def offer(log: Log) -> Found:
        return [await _judged(log, payload) for payload in payloads][-1]

    lived(case, offer)


async def _judged(log: Log, payload: bytes) -> Found:
    before = (log.size, log.next_seq, dict(log.witnessed))
    try:
        log.witness(await judge(payload, log))
        return Found(set(), None)
    except (ReceiptRefused, RolledBack) as error:
        assert before == (log.size, log.next_seq, dict(log.witnessed))
        return Found({"refused" if isinstance(error, ReceiptRefused) else "rolled_back"}, None)


def _cosigned(text: str) -> bytes:
    return note.cosign(AUDITOR_KEY, AUDITOR_NAME, text, LATER_MS // 1000).encode()


@offered("a good one", "")
def _(case: Case) -> None:
    _offer(case, _cosigned(case.checkpoints[-1]))


@offered("the same again", "refused")
def _(case: Case) -> None:
    _offer(case, _cosigned(case.checkpoints[-1]), _cosigned(case.checkpoints[-1]))


@offered("an older one after a newer one", "refused")
def _(case: Case) -> None:
    _offer(case, _cosigned(case.checkpoints[-1]), _cosigned(case.checkpoints[-2]))


@offered("of an auditor who is not pinned", "refused")
def _(case: Case) -> None:
    _offer(case, note.cosign(STRANGER, "audit.example/other", case.checkpoints[-1], LATER_MS // 1000).encode())


@offered("forged under the pinned name", "refused")
def _(case: Case) -> None:
    _offer(case, note.cosign(STRANGER, AUDITOR_NAME, case.checkpoints[-1], LATER_MS // 1000).encode())


@offered("of another epoch", "refused")
def _(case: Case) -> None:
    last = point(case.checkpoints[-1])
    _offer(case, _cosigned(note.sign_checkpoint(KEY, note.Checkpoint(last.origin[:-4] + "beef", last.size, last.root))))


@offered("over a checkpoint that we did not sign", "refused")
def _(case: Case) -> None:
    _offer(case, _cosigned(note.sign_checkpoint(STRANGER, point(case.checkpoints[-1]))))


@offered("over another history, which we did not sign", "refused")
def _(case: Case) -> None:
    other = note.Checkpoint(case.origin, case.sizes[-1], bytes(32))
    _offer(case, _cosigned(note.sign_checkpoint(STRANGER, other)))


@offered("with our signature cut out", "refused")
def _(case: Case) -> None:
    body, _, lines = _cosigned(case.checkpoints[-1]).decode().rpartition("\n\n")
    _offer(case, f"{body}\n\n{lines.split(chr(10))[1]}\n".encode())


@offered("with 17 kB behind it", "refused")
def _(case: Case) -> None:
    _offer(case, _cosigned(case.checkpoints[-1]) + b"x" * 17_000)


@offered("for more than the store has, signed by both", "rolled_back")
def _(case: Case) -> None:
    _offer(case, _cosigned(note.sign_checkpoint(KEY, note.Checkpoint(case.origin, 10**6, bytes(32)))))


@offered("for another history, signed by both", "rolled_back")
def _(case: Case) -> None:
    _offer(case, _cosigned(note.sign_checkpoint(KEY, note.Checkpoint(case.origin, case.sizes[-1], bytes(32)))))
