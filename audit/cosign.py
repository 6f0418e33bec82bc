"""The auditor's cosignature: given only for records that are held, and that hash to the root (contract §5).

    PRIVATE+KEY+{name}+{hex id}+{base64(04 ‖ seed)}     the key file; its id is that of the public verifier key

At most once an interval, at once when a backlog has been caught up with, and never for nothing but `witness` and
`pruned` records. What was cosigned stands in the store before the receipt leaves it, so listeners on one store give
one receipt between them; a receipt whose listener is killed before it is published is followed by the next interval's.
"""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass
from pathlib import Path

from nacl.signing import SigningKey

from audit.rows import LogId
from audit.store import Store
from contract import note
from contract.tree import Frontier, leaf_hash

DEFAULT_INTERVAL_S = 900
_PREFIX = "PRIVATE+KEY+"
_UNSEEN = ("witness", "pruned")


class KeyFault(ValueError):
    """A key file that cannot be used; the text says why."""


@dataclass(frozen=True, slots=True)
class AuditorKey:
    """An auditor's name and private key."""

    name: str
    private: SigningKey

    @property
    def verifier(self) -> str:
        """What gateways pin."""
        return note.verifier_key(self.name, note.public_raw(self.private), note.COSIGNATURE)


def create_key(path: Path, name: str) -> AuditorKey:
    """Makes a key file, mode 0600; never replaces one. Raises FileExistsError, OSError, KeyFault for a bad name."""
    key = AuditorKey(name, SigningKey.generate())
    try:
        verifier = note.parse_verifier_key(key.verifier)
    except note.NoteError as error:
        raise KeyFault(str(error)) from error
    seed = bytes([note.COSIGNATURE]) + bytes(key.private)
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
    key = AuditorKey(name, SigningKey(data[1:]))
    if note.parse_verifier_key(key.verifier).id.hex() != hex_id:
        raise KeyFault("the id does not belong to this name and key")
    return key


@dataclass(slots=True)
class _Grown:
    """The tree over a log's first records. `news`: above the last record worth a receipt."""

    tree: Frontier
    news: int = 0


class Cosigner:
    """Decides and signs, from what the store has committed."""

    def __init__(self, store: Store, key: AuditorKey) -> None:
        self.key = key
        self.backlog: set[LogId] = set()  # logs that are to be cosigned as soon as they are complete
        self._store = store
        self._grown: dict[LogId, _Grown] = {}

    def consider(self, which: LogId, text: str, now_s: int) -> str | None:
        """The receipt for a checkpoint, kept in the store; "" if there will be none; None: not yet, ask again."""
        try:
            checkpoint = self._checked(which, text)
        except note.NoteError as error:
            self._store.alarm({"code": "checkpoint", **which._asdict(), "why": str(error)})
            return ""
        size, at_s, forked, interval_s = self._state(which)
        if checkpoint.size <= size or (forked is not None and forked < checkpoint.size):
            return ""
        grown = self._grow(which, checkpoint.size)
        if grown is None:
            self.backlog.add(which)
            return None
        if grown.tree.root() != checkpoint.root:
            self._store.alarm({"code": "root", **which._asdict(), "size": checkpoint.size})
            return ""
        if grown.news <= size:
            return ""
        if size and which not in self.backlog and now_s - at_s < (interval_s or DEFAULT_INTERVAL_S):
            return None
        receipt = note.cosign(self.key.private, self.key.name, text, now_s)
        if not self._keep(which, size, checkpoint.size, now_s, grown.tree, receipt):
            return ""
        self.backlog.discard(which)
        return receipt

    def _checked(self, which: LogId, text: str) -> note.Checkpoint:
        """The checkpoint, its signature checked where the gateway's key is known. Raises NoteError."""
        checkpoint = note.parse_checkpoint(note.parse_note(text)[0])
        if checkpoint.origin != note.origin(*which):
            raise note.NoteError(f"origin {checkpoint.origin!r} on the topic of {note.origin(*which)}")
        known = self._store.key(which)
        if known is None:
            return checkpoint
        return note.verify_checkpoint(text, note.verifier_key(checkpoint.origin, base64.b64decode(known)))

    def _state(self, which: LogId) -> tuple[int, int, int | None, int | None]:
        """Size and time of the last receipt, lowest index with a fork, interval."""
        found = self._store.db.execute(
            "SELECT cosigned, cosigned_s, forked, interval_s FROM log WHERE park = ? AND gateway = ? AND epoch = ?",
            which,
        ).fetchone()
        return found or (0, 0, None, None)

    def _grow(self, which: LogId, size: int) -> _Grown | None:
        """The tree over the first `size` records held; None while one is missing."""
        grown = self._grown.get(which)
        if grown is None or grown.tree.size > size:
            grown = self._grown[which] = _Grown(self._cosigned_tree(which))
        if grown.tree.size < size:
            for row in self._store.log(which).rows(first=grown.tree.size, last=size):
                if row.seq != grown.tree.size:
                    return None
                grown.tree.append(leaf_hash(row.body))
                if row.kind not in _UNSEEN:
                    grown.news = row.seq + 1
        return grown if grown.tree.size == size else None

    def _cosigned_tree(self, which: LogId) -> Frontier:
        (data,) = self._store.db.execute(
            "SELECT frontier FROM log WHERE park = ? AND gateway = ? AND epoch = ?", which
        ).fetchone() or (None,)
        return Frontier() if data is None else Frontier.from_bytes(data)

    def _keep(self, which: LogId, before: int, size: int, now_s: int, tree: Frontier, receipt: str) -> bool:
        """Marks what was cosigned, with the receipt; False where another listener did, or a fork came, meanwhile."""
        with self._store.transaction() as db:
            done = db.execute(
                "UPDATE log SET cosigned = ?, cosigned_s = ?, frontier = ? WHERE park = ? AND gateway = ? "
                "AND epoch = ? AND cosigned = ? AND (forked IS NULL OR forked >= ?)",
                (size, now_s, tree.to_bytes(), *which, before, size),
            )
            if done.rowcount:
                db.execute(
                    "INSERT OR IGNORE INTO note (log, what, source, text) SELECT id, 'receipts', ?, ? FROM log "
                    "WHERE park = ? AND gateway = ? AND epoch = ?",
                    (self.key.name, receipt, *which),
                )
        return bool(done.rowcount)
