"""The auditor's cosignature: given only for records that are held, and that hash to the root (contract §5).

    PRIVATE+KEY+{name}+{hex id}+{base64(04 ‖ seed)}     the key file; its id is that of the public verifier key

At most once an interval, at once when a backlog has been caught up with, and never for nothing but `witness` and
`pruned` records. Several listeners on one store share what was cosigned through a locked file.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from audit.store import Log, LogId, Store, alarm
from contract import note
from contract.tree import Frontier

DEFAULT_INTERVAL_S = 900
_PREFIX = "PRIVATE+KEY+"
_UNSEEN = ("witness", "pruned")


class KeyFault(ValueError):
    """A key file that cannot be used; the text says why."""


@dataclass(frozen=True, slots=True)
class AuditorKey:
    """An auditor's name and private key."""

    name: str
    private: Ed25519PrivateKey

    @property
    def verifier(self) -> str:
        """What gateways pin."""
        return note.verifier_key(self.name, note.public_raw(self.private), note.COSIGNATURE)


def create_key(path: Path, name: str) -> AuditorKey:
    """Makes a key file, mode 0600; never replaces one. Raises FileExistsError, OSError, KeyFault for a bad name."""
    key = AuditorKey(name, Ed25519PrivateKey.generate())
    try:
        verifier = note.parse_verifier_key(key.verifier)
    except note.NoteError as error:
        raise KeyFault(str(error)) from error
    seed = bytes([note.COSIGNATURE]) + key.private.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
    text = f"{_PREFIX}{name}+{verifier.id.hex()}+{base64.b64encode(seed).decode()}\n"
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return key


def load_key(path: Path) -> AuditorKey:
    """Reads a key file. Raises KeyFault, OSError."""
    text = path.read_text(encoding="utf-8", errors="replace").strip()
    name, _, rest = text.removeprefix(_PREFIX).partition("+")
    hex_id, _, encoded = rest.partition("+")
    try:
        data = base64.b64decode(encoded, validate=True)
    except ValueError as error:
        raise KeyFault(f"no auditor's key: {error}") from error
    if not text.startswith(_PREFIX) or len(data) != 33 or data[0] != note.COSIGNATURE:
        raise KeyFault("no auditor's key (PRIVATE+KEY+name+id+key of type 04); make one with `hubiao audit key`")
    key = AuditorKey(name, Ed25519PrivateKey.from_private_bytes(data[1:]))
    if note.parse_verifier_key(key.verifier).id.hex() != hex_id:
        raise KeyFault("the id does not belong to this name and key")
    return key


@dataclass
class Cosigner:
    """Decides and signs. `keys`: `park/gateway` → raw public key in base64, where the auditor has it."""

    store: Store
    key: AuditorKey
    backlog: set[LogId] = field(default_factory=set)  # logs that are to be cosigned as soon as they are complete
    _trees: dict[LogId, Frontier] = field(default_factory=dict)
    _roots: dict[LogId, dict[int, bytes]] = field(default_factory=dict)

    def consider(self, log: Log, text: str, now_s: int) -> str | None:
        """The receipt for a checkpoint, if one is due now; else None, and the same may be asked again later."""
        try:
            checkpoint = self._checked(log, text)
        except note.NoteError as error:
            alarm(self.store.directory, {"code": "checkpoint", **log.id._asdict(), "why": str(error)})
            return None
        root = self._root(log, checkpoint.size)
        if root is None:
            self.backlog.add(log.id)
            return None
        if root != checkpoint.root:
            alarm(self.store.directory, {"code": "root", **log.id._asdict(), "size": checkpoint.size})
            return None
        with (self.store.directory / "cosigned.lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            path = self.store.directory / "cosigned.json"
            done = json.loads(path.read_text()) if path.exists() else {}
            size, at_s = done.get(checkpoint.origin, (0, 0))
            due = not size or log.id in self.backlog or now_s - at_s >= interval_of(log)
            news = any(log.places[seq].kind not in _UNSEEN for seq in range(size, checkpoint.size))
            if not (due and news):
                return None
            done[checkpoint.origin] = checkpoint.size, now_s
            temporary = path.with_suffix(".new")
            temporary.write_text(json.dumps(done))
            temporary.replace(path)
        self.backlog.discard(log.id)
        return note.cosign(self.key.private, self.key.name, text, now_s)

    def _checked(self, log: Log, text: str) -> note.Checkpoint:
        """The checkpoint, its signature checked where the gateway's key is known. Raises NoteError."""
        checkpoint = note.parse_checkpoint(note.parse_note(text)[0])
        if checkpoint.origin != note.origin(*log.id):
            raise note.NoteError(f"origin {checkpoint.origin!r} on the topic of {note.origin(*log.id)}")
        known = self.store.key(log.id)
        if known is None:
            return checkpoint
        return note.verify_checkpoint(text, note.verifier_key(checkpoint.origin, base64.b64decode(known)))

    def _root(self, log: Log, size: int) -> bytes | None:
        """Root over the first `size` records held; None while one is missing, or where a fork leaves it open."""
        if any(seq < size for seq in log.forks):
            return None
        tree = self._trees.setdefault(log.id, Frontier())
        roots = self._roots.setdefault(log.id, {})
        if size < tree.size and size not in roots:
            tree = self._trees[log.id] = Frontier()
        while tree.size < size:
            place = log.places.get(tree.size)
            if place is None:
                return None
            tree.append(place.leaf)
        if tree.size == size:
            roots[size] = tree.root()
        return roots.get(size)


def interval_of(log: Log) -> int:
    """Seconds of the grid that the log's newest configuration names."""
    configs = [seq for seq, place in log.places.items() if place.kind == "config"]
    if not configs:
        return DEFAULT_INTERVAL_S
    record = log.record(max(configs))
    assert record is not None
    return int(json.loads(record)["settings"]["interval_s"])
