"""Small logs for the store's tests: boot records in canonical form, signed checkpoints, as a gateway writes them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nacl.signing import SigningKey

from contract import note
from contract.records import Boot, Head, encode, instant
from contract.tree import Frontier, leaf_hash

EPOCH = "5" * 32
START_MS = 1_784_000_000_000
KEY = SigningKey(bytes(range(32)))


@dataclass
class SmallLog:
    """`records` in order and a checkpoint over all of them."""

    records: list[bytes]

    @classmethod
    def make(cls, count: int, *, cause: str = "start") -> SmallLog:
        return cls([record(seq, cause) for seq in range(count)])

    def checkpoint(self, size: int | None = None, key: SigningKey = KEY) -> str:
        size = len(self.records) if size is None else size
        tree = Frontier()
        for data in self.records[:size]:
            tree.append(leaf_hash(data))
        return note.sign_checkpoint(key, note.Checkpoint(note.origin("p-1", "gw-1", EPOCH), size, tree.root()))

    def export(self, directory: Path) -> Path:
        directory.mkdir()
        (directory / "records.ndjson").write_bytes(b"".join(data + b"\n" for data in self.records))
        (directory / "hashes.txt").write_text("".join(leaf_hash(data).hex() + "\n" for data in self.records))
        (directory / "checkpoints.txt").write_text(note.join_notes([self.checkpoint()]), encoding="utf-8")
        origin = note.origin("p-1", "gw-1", EPOCH)
        (directory / "key.txt").write_text(note.verifier_key(origin, note.public_raw(KEY)) + "\n")
        return directory


def record(seq: int, cause: str) -> bytes:
    return encode(head("boot", seq), Boot(cause, None, "1"))


def head(kind: str, seq: int, epoch: str = EPOCH) -> Head:
    return Head(
        kind=kind,
        park="p-1",
        gateway="gw-1",
        epoch=epoch,
        seq=seq,
        boot="7" * 32,
        boot_ms=seq,
        at=instant(START_MS + seq * 1000),
        clock="held",
        clock_error_ms=1,
        config="",
        salt="3" * 32,
    )
