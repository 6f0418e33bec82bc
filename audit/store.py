"""The auditor's store: record bytes as received, by park and month, append-only, found again by (gateway, epoch, seq).

    DIR/parks/{park}/{month}/{gateway}.{epoch}.{writer}.ndjson      the bytes, one record a line
    DIR/parks/{park}/{month}/{gateway}.{epoch}.{writer}.index       53 bytes a record, see _ENTRY
    DIR/notes/{park}/{gateway}.{epoch}.{source}.{checkpoints.txt, receipts.txt, hashes.txt, hashes.ndjson}
    DIR/writers/{n}.lock     one a process, so that each has files of its own      DIR/alarms.ndjson, DIR/keys.json

The same (seq, hash) is kept once by each writer and counted once by readers; another hash at the same seq is a fork:
both stay. The index is written after the bytes are safe, so whoever reads it finds them. Judges nothing: `verify` does.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

from contract import note
from contract.records import KINDS, canonical, parse_instant
from contract.tree import leaf_hash

_ENTRY = struct.Struct(">QQIB32s")  # seq, offset, length, kind (its place in KINDS), leaf hash
_KINDS = tuple(KINDS)
_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_EPOCH = re.compile(r"[0-9a-f]{32}")
_LOCAL = timedelta(hours=8)  # months are park-local; every park of the contract's home keeps UTC+8
UNDATED = "undated"
MAX_RECORD_BYTES = 16 * 2**20

Outcome = Literal["new", "again", "fork"]


class StoreFault(ValueError):
    """A store that cannot be used, or bytes that are no record; the text says why."""


class LogId(NamedTuple):
    """One log: what `seq` counts in."""

    park: str
    gateway: str
    epoch: str

    @property
    def stem(self) -> str:
        return f"{self.gateway}.{self.epoch}"


class Place(NamedTuple):
    """Where a record's bytes are."""

    leaf: bytes
    kind: str
    path: Path
    offset: int
    length: int


@dataclass(slots=True)
class Log:
    """What the store holds of one log. `forks`: seq → further places with other bytes."""

    id: LogId
    places: dict[int, Place] = field(default_factory=dict)
    forks: dict[int, list[Place]] = field(default_factory=dict)
    _read: dict[Path, int] = field(default_factory=dict)  # index file → bytes taken

    @property
    def size(self) -> int:
        return max(self.places, default=-1) + 1

    def add(self, seq: int, place: Place) -> Outcome:
        known = self.places.setdefault(seq, place)
        if known is place:
            return "new"
        if any(other.leaf == place.leaf for other in (known, *self.forks.get(seq, ()))):
            return "again"
        self.forks.setdefault(seq, []).append(place)
        return "fork"

    def take_index(self, path: Path) -> None:
        """What an index file says beyond what was taken before."""
        with path.open("rb") as file:
            file.seek(self._read.get(path, 0))
            data = file.read()
        data = data[: len(data) - len(data) % _ENTRY.size]
        self._read[path] = self._read.get(path, 0) + len(data)
        body = path.with_suffix(".ndjson")
        for seq, offset, length, kind, leaf in _ENTRY.iter_unpack(data):
            self.add(seq, Place(leaf, _KINDS[kind], body, offset, length))

    def record(self, seq: int) -> bytes | None:
        """The bytes at an index, the first ones that came where there is a fork."""
        place = self.places.get(seq)
        return None if place is None else self.read(place)

    def read(self, place: Place) -> bytes:
        handle = os.open(place.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.pread(handle, place.length, place.offset)
        finally:
            os.close(handle)

    def records(self, kinds: Collection[str], months: Collection[str] | None = None) -> Iterator[tuple[int, bytes]]:
        """Records of some kinds in order of index; of some months of writing only, if said."""
        for seq in sorted(self.places):
            place = self.places[seq]
            if place.kind in kinds and (months is None or place.path.parent.name in months):
                yield seq, self.read(place)


class Store:
    """Reading. Raises StoreFault for a directory that is no store."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        if not (directory / "parks").is_dir():
            raise StoreFault(f"{directory}: no store (there is no directory parks)")

    def parks(self) -> list[str]:
        return sorted(path.name for path in (self.directory / "parks").iterdir() if path.is_dir())

    def months(self, park: str) -> list[str]:
        return sorted(path.name for path in (self.directory / "parks" / park).iterdir())

    def logs(self, park: str | None = None) -> list[LogId]:
        """All logs, or those of a park."""
        found = set()
        for path in (self.directory / "parks").glob(f"{park or '*'}/*/*.index"):
            gateway, epoch, _ = path.stem.rsplit(".", 2)
            found.add(LogId(path.parent.parent.name, gateway, epoch))
        return sorted(found)

    def log(self, which: LogId) -> Log:
        log = Log(which)
        self.refresh(log)
        return log

    def refresh(self, log: Log) -> None:
        """Takes what any writer has added since."""
        for path in sorted((self.directory / "parks" / log.id.park).glob(f"*/{log.id.stem}.*.index")):
            log.take_index(path)

    def notes(self, which: LogId, what: str) -> list[str]:
        """Checkpoints or receipts, in order of size; of a source that had checkpoints out of order, as it had them."""
        sources = []
        for path in sorted((self.directory / "notes" / which.park).glob(f"{which.stem}.*.{what}.txt")):
            sources.append(note.split_notes(path.read_text(encoding="utf-8", errors="replace")))
        for notes in sources:
            sizes = [_size(text) for text in notes]
            if what == "checkpoints" and sizes != sorted(sizes):
                return notes
        return sorted(dict.fromkeys(text for notes in sources for text in notes), key=_size)

    def hashes(self, which: LogId) -> dict[int, bytes]:
        """Leaf hashes that came beside the records."""
        found: dict[int, bytes] = {}
        directory = self.directory / "notes" / which.park
        for path in sorted(directory.glob(f"{which.stem}.*.hashes.txt")):
            found |= dict(enumerate(map(bytes.fromhex, path.read_text().split())))
        for path in sorted(directory.glob(f"{which.stem}.*.hashes.ndjson")):
            for line in path.read_bytes().splitlines():
                message = json.loads(line)
                found |= {message["from"] + n: bytes.fromhex(leaf) for n, leaf in enumerate(message["hashes"])}
        return found

    def keys(self) -> dict[str, str]:
        """`park/gateway` → raw public key in base64, and `park/gateway/epoch` → that of an epoch before a re-keying."""
        path = self.directory / "keys.json"
        return dict(json.loads(path.read_text())) if path.exists() else {}

    def key(self, which: LogId) -> str | None:
        """The key under which a log was signed, if it is known."""
        keys = self.keys()
        return keys.get("/".join(which), keys.get(f"{which.park}/{which.gateway}"))

    def pin_key(self, park: str, gateway: str, key: str, epoch: str = "") -> bool:
        """Keeps a gateway's key; False, and an alarm, where another one is pinned, for this epoch or for all."""
        keys = self.keys()
        known = keys.get(f"{park}/{gateway}/{epoch}") or keys.setdefault(f"{park}/{gateway}", key)
        if known != key:
            alarm(self.directory, {"code": "key_changed", "park": park, "gateway": gateway, "key": key})
            return False
        self._write_keys(keys)
        return True

    def accept_key(self, which: LogId, key: str) -> str | None:
        """From the epoch of `which` on the gateway has another key; its older logs keep theirs. The key before, if any.

        For a person's decision only, after the new key came by another way than the log did.
        """
        keys = self.keys()
        name = f"{which.park}/{which.gateway}"
        before = keys.get(name)
        if before is not None:
            for log in self.logs(which.park):
                if log.gateway == which.gateway and log.epoch != which.epoch:
                    keys.setdefault("/".join(log), before)
        keys[name] = key
        self._write_keys(keys)
        return before

    def alarms(self) -> list[dict[str, Any]]:
        """What must not happen and did; a key that changed no longer where somebody accepted it."""
        path = self.directory / "alarms.ndjson"
        found = [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []
        accepted = set(self.keys().values())
        return [each for each in found if each.get("code") != "key_changed" or each["key"] not in accepted]

    def _write_keys(self, keys: dict[str, str]) -> None:
        _replace(self.directory / "keys.json", json.dumps(keys, indent=1).encode())


def alarm(directory: Path, what: dict[str, Any]) -> None:
    """Something that must not happen, kept in alarms.ndjson, once."""
    path = directory / "alarms.ndjson"
    line = canonical(what) + b"\n"
    if not path.exists() or line not in path.read_bytes():
        _append(path, line)


class Writer:
    """Adds to a store; as many processes as like may do so at once. Raises OSError."""

    def __init__(self, directory: Path) -> None:
        for name in ("parks", "notes", "writers"):
            (directory / name).mkdir(parents=True, exist_ok=True)
        self.store = Store(directory)
        self.number, self._lock = _lock_number(directory / "writers")
        self.logs: dict[LogId, Log] = {}
        self._open: dict[Path, tuple[IO[bytes], IO[bytes]]] = {}
        self._pending: dict[Path, list[bytes]] = {}

    def append(self, record: bytes) -> tuple[LogId, int, Outcome]:
        """Takes a record; safe after the next `commit`. Raises StoreFault for bytes that are no record of a log."""
        which, seq, kind, month = _head(record)
        log = self.log(which)
        path = self.store.directory / "parks" / which.park / month / f"{which.stem}.w{self.number}.ndjson"
        leaf = leaf_hash(record)
        known = log.places.get(seq)
        if known is not None and known.leaf == leaf:
            return which, seq, "again"
        data, _ = self._files(path)
        outcome = log.add(seq, Place(leaf, kind, path, data.tell(), len(record)))
        if outcome == "again":
            return which, seq, outcome
        if outcome == "fork":
            alarm(self.store.directory, {"code": "fork", **which._asdict(), "seq": seq, "leaf": leaf.hex()})
        entry = _ENTRY.pack(seq, data.tell(), len(record), _KINDS.index(kind), leaf)
        self._pending.setdefault(path, []).append(entry)
        data.write(record + b"\n")
        return which, seq, outcome

    def commit(self) -> None:
        """Makes everything safe: the bytes first, then their index."""
        for path in self._pending:
            data, _ = self._open[path]
            data.flush()
            os.fsync(data.fileno())
        for path, entries in self._pending.items():
            _, index = self._open[path]
            index.write(b"".join(entries))
            index.flush()
            os.fsync(index.fileno())
        self._pending.clear()

    def log(self, which: LogId) -> Log:
        log = self.logs.get(which)
        if log is None:
            log = self.logs[which] = self.store.log(which)
        return log

    def add_note(self, which: LogId, what: str, text: str) -> bool:
        """A checkpoint or receipt that came by itself; False if it is there already."""
        path = self._note_path(which, f"w{self.number}", f"{what}.txt")
        if path.exists() and text in note.split_notes(path.read_text(encoding="utf-8")):
            return False
        _append(path, note.join_notes([text]).encode())
        return True

    def add_file(self, which: LogId, what: str, content: bytes) -> None:
        """Notes or hashes of an export, kept as the file they came in, so that their order can be told."""
        path = self._note_path(which, "i" + hashlib.sha256(content).hexdigest()[:16], what)
        if not path.exists():
            _replace(path, content)

    def add_hashes(self, which: LogId, payload: bytes) -> None:
        _append(self._note_path(which, f"w{self.number}", "hashes.ndjson"), payload + b"\n")

    def close(self) -> None:
        self.commit()
        for data, index in self._open.values():
            data.close()
            index.close()
        self._lock.close()

    def _note_path(self, which: LogId, source: str, what: str) -> Path:
        directory = self.store.directory / "notes" / which.park
        directory.mkdir(exist_ok=True)
        return directory / f"{which.stem}.{source}.{what}"

    def _files(self, path: Path) -> tuple[IO[bytes], IO[bytes]]:
        files = self._open.get(path)
        if files is None:
            path.parent.mkdir(parents=True, exist_ok=True)
            _mend(path)
            files = self._open[path] = path.open("ab"), path.with_suffix(".index").open("ab")
            _sync_directory(path.parent)
        return files


def _mend(path: Path) -> None:
    """Cuts off what a killed process left behind the last index entry: it was never acknowledged, so it comes again."""
    index = path.with_suffix(".index")
    if not path.exists() or not index.exists():
        path.unlink(missing_ok=True)
        return
    entries = index.stat().st_size // _ENTRY.size
    end = 0
    if entries:
        with index.open("rb") as file:
            file.seek((entries - 1) * _ENTRY.size)
            _, offset, length, _, _ = _ENTRY.unpack(file.read(_ENTRY.size))
        end = offset + length + 1
    os.truncate(index, entries * _ENTRY.size)
    os.truncate(path, end)


def _head(record: bytes) -> tuple[LogId, int, str, str]:
    """Which log and index, kind, and month of writing."""
    if len(record) > MAX_RECORD_BYTES or b"\n" in record:
        raise StoreFault("no record: too long, or more than one line")
    try:
        raw = json.loads(record)
        which = LogId(raw["park"], raw["gateway"], raw["epoch"])
        seq, kind, at = raw["seq"], raw["kind"], raw["at"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise StoreFault(f"no record: {type(error).__name__}: {error}") from error
    texts = isinstance(which.park, str) and isinstance(which.gateway, str) and isinstance(which.epoch, str)
    if not texts or not (_ID.fullmatch(which.park) and _ID.fullmatch(which.gateway) and _EPOCH.fullmatch(which.epoch)):
        raise StoreFault("no record: park, gateway or epoch is no name")
    if raw.get("v") != 1 or type(seq) is not int or not 0 <= seq < 2**63 or kind not in _KINDS:
        raise StoreFault(f"no record of version 1: kind {kind!r}, seq {seq!r}")
    return which, seq, kind, _month(at)


def _month(at: Any) -> str:
    try:
        return (datetime.fromtimestamp(parse_instant(at) / 1000, UTC) + _LOCAL).strftime("%Y-%m")
    except (ValueError, AttributeError, OverflowError):
        return UNDATED


def _size(text: str) -> int:
    """How many records a note says it covers; 0 if it says nothing."""
    try:
        return note.parse_checkpoint(note.parse_note(text)[0]).size
    except note.NoteError:
        return 0


def _lock_number(directory: Path) -> tuple[int, IO[bytes]]:
    """The lowest number that no running process has: so one that comes back goes on with its own files."""
    number = 0
    while True:
        file = (directory / f"{number}.lock").open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            number += 1
        else:
            return number, file


def _append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _replace(path: Path, data: bytes) -> None:
    temporary = path.with_name(path.name + ".new")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    _sync_directory(path.parent)


def _sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
