"""Evidence from a stick into the store: directories of `hubiao export --evidence`, or bare files of records.

Any order, any repetition. A line that is no record is refused with its file and number; the rest is taken.
"""

from __future__ import annotations

import base64
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from audit.store import LogId, StoreFault, Writer
from contract import note

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

    def document(self, writer: Writer) -> dict[str, Any]:
        logs = [
            {**which._asdict(), "size": (log := writer.log(which)).size, "held": len(log.places)} for which in self.logs
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
    writer.commit()
    return result


def _record_files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(path.rglob(RECORDS)) or sorted(path.rglob("*.ndjson"))
    path.stat()
    return [path]


def _import_file(file: Path, writer: Writer, result: Imported) -> None:
    logs: dict[LogId, None] = {}
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            record = line.rstrip(b"\r\n")
            if not record:
                continue
            try:
                which, _, outcome = writer.append(record)
            except StoreFault as error:
                result.refused.append((str(file), number, str(error)))
                continue
            logs[which] = None
            result.new += outcome == "new"
            result.again += outcome == "again"
            result.forks += outcome == "fork"
            if number % _BATCH == 0:
                writer.commit()
    result.logs |= logs
    if len(logs) == 1:
        _import_beside(file.parent, next(iter(logs)), writer, result)


def _import_beside(directory: Path, which: LogId, writer: Writer, result: Imported) -> None:
    """Notes, hashes and key that lie beside the records of one log."""
    for name in _BESIDE:
        path = directory / name
        if path.exists():
            content = path.read_bytes()
            if name == "hashes.txt" and not all(_is_hash(line) for line in content.split()):
                result.refused.append((str(path), 1, "lines that are no hashes"))
                continue
            writer.add_file(which, name, content)
    key = directory / "key.txt"
    if key.exists():
        try:
            raw = base64.b64encode(note.parse_verifier_key(key.read_text().strip()).key).decode()
        except (note.NoteError, UnicodeDecodeError) as error:
            result.refused.append((str(key), 1, str(error)))
            return
        if not writer.store.pin_key(which.park, which.gateway, raw, which.epoch):
            result.refused.append((str(key), 1, "another key than the one that is pinned"))


def _is_hash(line: bytes) -> bool:
    try:
        return len(bytes.fromhex(line.decode())) == 32
    except ValueError:
        return False
