"""Manipulations of the store on the gateway by whoever has the disk: `hubiao verify` or the next start finds them."""

from __future__ import annotations

import re
import shutil
import zlib

from nacl.signing import SigningKey

from agent.evidence.log import Log
from agent.evidence.schema import EPOCH_SHIFT
from agent.evidence.store import DATABASE
from bench.evidence_auditor import KEY
from bench.manipulated import STRANGER, Case, Found, Scene, by_itself, by_store, last_good, lived, point, scenes
from contract.tree import HASH_BYTES, leaf_hash

BASE = 1 << EPOCH_SHIFT
SCENES: list[Scene] = []
store = scenes("store", by_store, SCENES)
start = scenes("store, next start", by_itself, SCENES)


def _batch(case: Case, seq: int) -> tuple[int, list[bytes], list[bytes]]:
    """Row id, records and hashes of the batch that holds an index."""
    with case.sql() as db:
        sql = "SELECT id, hashes, body FROM batch WHERE id <= ? ORDER BY id DESC LIMIT 1"
        id_, hashes, body = db.execute(sql, (BASE + seq,)).fetchone()
    leaves = [hashes[at : at + HASH_BYTES] for at in range(0, len(hashes), HASH_BYTES)]
    return id_, zlib.decompress(body).split(b"\n"), leaves


def _write(case: Case, id_: int, records: list[bytes], leaves: list[bytes]) -> None:
    with case.sql() as db:
        row = (zlib.compress(b"\n".join(records)), b"".join(leaves), id_)
        db.execute("UPDATE batch SET body = ?, hashes = ? WHERE id = ?", row)


def _digit(record: bytes) -> bytes:
    """The record with the last digit of its first register changed."""
    return re.sub(rb'("import":"[0-9.]*)([0-9])"', lambda m: m[1] + b"%d" % (9 - int(m[2])) + b'"', record, count=1)


def _reading(case: Case) -> int:
    return case.find("reading", 500)


@store("one digit of a register in a record", "hash")
def _(case: Case) -> int:
    seq = _reading(case)
    id_, records, leaves = _batch(case, seq)
    records[seq + BASE - id_] = _digit(records[seq + BASE - id_])
    _write(case, id_, records, leaves)
    return seq


@store("a record and its hash", "root")
def _(case: Case) -> int:
    seq = _reading(case)
    id_, records, leaves = _batch(case, seq)
    at = seq + BASE - id_
    records[at] = _digit(records[at])
    leaves[at] = leaf_hash(records[at])
    _write(case, id_, records, leaves)
    return last_good(case.sizes, seq)


@store("one record blanked", "hole")
def _(case: Case) -> int:
    seq = _reading(case)
    id_, records, leaves = _batch(case, seq)
    records[seq + BASE - id_] = b""
    _write(case, id_, records, leaves)
    return seq


@store("a sweep's bodies set to null", "hole")
def _(case: Case) -> int:
    id_, _, _ = _batch(case, _reading(case))
    case.execute("UPDATE batch SET body = NULL WHERE id = ?", id_)
    return id_ - BASE


@store("a sweep's bodies replaced by bytes that unpack to nothing", "hole")
def _(case: Case) -> int:
    id_, _, _ = _batch(case, _reading(case))
    case.execute("UPDATE batch SET body = ? WHERE id = ?", bytes(100), id_)
    return id_ - BASE


@store("two records of a sweep exchanged", "order")
def _(case: Case) -> int:
    seq = _reading(case)
    id_, records, leaves = _batch(case, seq)
    at = seq + BASE - id_
    records[at], records[at + 1] = records[at + 1], records[at]
    _write(case, id_, records, leaves)
    return seq


@store("a record repeated in the place of the next one", "hole")
def _(case: Case) -> int:
    seq = _reading(case)
    id_, records, leaves = _batch(case, seq)
    at = seq + BASE - id_
    records[at + 1] = records[at]
    _write(case, id_, records, leaves)
    return seq


@store("one leaf hash", "hash")
def _(case: Case) -> int:
    seq = _reading(case)
    id_, records, leaves = _batch(case, seq)
    leaves[seq + BASE - id_] = bytes(HASH_BYTES)
    _write(case, id_, records, leaves)
    return seq


@store("a sweep's row deleted", "root")
def _(case: Case) -> int:
    id_, _, _ = _batch(case, _reading(case))
    case.execute("DELETE FROM batch WHERE id = ?", id_)
    return id_ - BASE


@store("the last sweeps' rows deleted", "truncated")
def _(case: Case) -> int:
    id_, _, _ = _batch(case, case.witnessed)
    case.execute("DELETE FROM batch WHERE id >= ?", id_)
    return id_ - BASE


@store("a checkpoint's root", "checkpoint")
def _(case: Case) -> None:
    with case.sql() as db:
        id_, text = db.execute("SELECT id, note FROM checkpoint ORDER BY id LIMIT 1 OFFSET 20").fetchone()
        lines = text.split("\n")
        lines[2] = "A" * 43 + "="
        db.execute("UPDATE checkpoint SET note = ? WHERE id = ?", ("\n".join(lines), id_))


@store("an old checkpoint in the place of the newest", "rollback")
def _(case: Case) -> int:
    with case.sql() as db:
        text = db.execute("SELECT note FROM checkpoint ORDER BY id LIMIT 1 OFFSET 20").fetchone()[0]
        db.execute("INSERT INTO checkpoint SELECT max(id) + 1, ? FROM checkpoint", (text,))
    return point(text).size


@store("a receipt's cosignature", "receipt")
def _(case: Case) -> None:
    case.execute("UPDATE receipt SET note = replace(note, 'a', 'b') WHERE id = (SELECT min(id) FROM receipt)")


@store("checkpoints deleted that later ones cover", "")
def _(case: Case) -> None:
    case.execute("DELETE FROM checkpoint WHERE id IN (SELECT id FROM checkpoint ORDER BY id LIMIT 30)")


@store("receipts deleted that stand in witness records as well", "")
def _(case: Case) -> None:
    case.execute("DELETE FROM receipt")


@store("delivery marks and commit times", "")
def _(case: Case) -> None:
    with case.sql() as db:
        db.execute("UPDATE epoch SET delivered = 0")
        db.execute("UPDATE batch SET at_ms = at_ms + 3600000")


def _start(case: Case, key: SigningKey = KEY) -> None:
    """The agent's next start: the cause of the epoch that it begins; nothing if it goes on in the old one."""

    async def begin(log: Log) -> Found:
        await log.commit()
        return Found(set() if log.vkey == case.vkey else {log.epoch.cause}, None)

    lived(case, begin, key)


@start("nothing", "")
def _(case: Case) -> None:
    _start(case)


@start("rows, checkpoints and receipts of the last sweeps deleted together", "damaged")
def _(case: Case) -> None:
    id_, _, _ = _batch(case, case.witnessed)
    with case.sql() as db:
        for table in ("batch", "checkpoint"):
            db.execute(f"DELETE FROM {table} WHERE id >= ?", (id_,))
    _start(case)


@start("a copy of an earlier hour put back", "rolled_back")
def _(case: Case) -> None:
    shutil.copy(case.data / DATABASE, case.data / "copy")
    _start(case)
    assert case.found is not None
    assert not case.found.codes
    shutil.move(case.data / "copy", case.data / DATABASE)
    _start(case)


@start("the database deleted", "rebuilt")
def _(case: Case) -> None:
    for path in list(case.data.glob(DATABASE + "*")):
        path.unlink()
    _start(case)


@start("the tree's frontier changed", "damaged")
def _(case: Case) -> None:
    case.execute("UPDATE epoch SET frontier = CAST(substr(frontier, 1, 8) || zeroblob(length(frontier) - 8) AS BLOB)")
    _start(case)


@start("another key in the key file", "key_lost")
def _(case: Case) -> None:
    _start(case, STRANGER)
