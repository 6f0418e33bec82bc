"""Evidence from a stick into the store: directories of `hubiao export --evidence`, or bare files of records.

Any order, any repetition. A line that is no record is refused with its file and number; the rest is taken.
"""

from __future__ import annotations

import base64
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from audit.fold import fold
from audit.rows import LogId, RecordFault
from audit.store import StoreFault
from audit.writer import Outcome, Writer
from contract import note
from contract.tree import HASH_BYTES

RECORDS = "records.ndjson"
_BATCH = 5000
_BESIDE = ("checkpoints.txt", "receipts.txt", "hashes.txt")


@dataclass(slots=True)
class Imported:
    """What an import did; `refused`: (file, line, why)."""

    new: int = 0
    again: int = 0
    forks: int = 0
    refused: list[tuple[str, int, str]] = field(default_factory=list)
    logs: dict[LogId, None] = field(default_factory=dict)

    def count(self, outcome: Outcome) -> None:
        self.new += outcome == "new"
        self.again += outcome == "again"
        self.forks += outcome == "fork"

    def document(self, writer: Writer) -> dict[str, Any]:
        logs = [
            {**which._asdict(), "size": (log := writer.store.log(which)).size, "held": log.held} for which in self.logs
        ]
        counts = {"records": self.new + self.again + self.forks, **asdict(self)}
        refused = [{"file": file, "line": line, "why": why} for file, line, why in self.refused]
        return {**counts, "refused": refused, "logs": logs}


def import_paths(paths: list[Path], writer: Writer) -> Imported:
    """Takes everything; durable when this returns. Raises OSError; StoreFault for a path with nothing to import."""
    result = Imported()
    for path in paths:
        files = _record_files(path)
        if not files:
            raise StoreFault(f"{path}: neither {RECORDS} nor a file of records")
        for file in files:
            _import_file(file, writer, result)
    fold(writer.store)
    return result


def _record_files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(path.rglob(RECORDS)) or sorted(path.rglob("*.ndjson"))
    path.stat()
    return [path]


def _import_file(file: Path, writer: Writer, result: Imported) -> None:
    logs: dict[LogId, None] = {}
    with file.open("rb") as lines:
        numbered = ((number, record) for number, line in enumerate(lines, 1) if (record := line.rstrip(b"\r\n")))
        while batch := list(islice(numbered, _BATCH)):
            taken = writer.take([record for _, record in batch])
            for (number, _), outcome in zip(batch, taken, strict=True):
                if isinstance(outcome, RecordFault):
                    result.refused.append((str(file), number, str(outcome)))
                else:
                    logs[outcome.log] = None
                    result.count(outcome.outcome)
    result.logs |= logs
    if len(logs) == 1:
        _import_beside(file.parent, next(iter(logs)), writer, result)


def _import_beside(directory: Path, which: LogId, writer: Writer, result: Imported) -> None:
    """Notes, hashes and key that lie beside the records of one log."""
    for name in _BESIDE:
        path = directory / name
        if not path.exists():
            continue
        content = path.read_bytes()
        if name != "hashes.txt":
            writer.add_notes(which, name.removesuffix(".txt"), content)
            continue
        try:
            writer.add_hashes(which, 0, [_hash(line) for line in content.split()])
        except ValueError:
            result.refused.append((str(path), 1, "lines that are no hashes"))
    key = directory / "key.txt"
    if key.exists():
        try:
            raw = base64.b64encode(note.parse_verifier_key(key.read_text().strip()).key).decode()
        except (note.NoteError, UnicodeDecodeError) as error:
            result.refused.append((str(key), 1, str(error)))
            return
        if not writer.store.pin_key(which.park, which.gateway, raw, which.epoch):
            result.refused.append((str(key), 1, "another key than the one that is pinned"))


def _hash(line: bytes) -> bytes:
    leaf = bytes.fromhex(line.decode())
    if len(leaf) != HASH_BYTES:
        raise ValueError(f"{len(leaf)} bytes are no hash")
    return leaf
