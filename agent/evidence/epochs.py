"""Whether a store's newest epoch may go on, and why not (contract §5): key, identity, and what was signed before.

DATA/keys/known   the newest checkpoint that was signed, so that a store put back from a copy is found out at once
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.evidence.reader import Epoch
from contract.note import (
    Checkpoint,
    NoteError,
    origin,
    parse_checkpoint,
    parse_note,
    parse_verifier_key,
    verifier_key,
)
from contract.rekey import Rekey, verify_rekey

KNOWN_FILE = "keys/known"
START = "start"  # the epoch goes on
NEW_STORE = "new_store"  # there never was one
REBUILT = "rebuilt"  # there was one, and the database is gone
DAMAGED = "damaged"  # the database was set aside
ROLLED_BACK = "rolled_back"  # the store is older than what was signed or witnessed
KEY_LOST = "key_lost"  # another key than the epoch began with
REKEYED = "rekeyed"  # another key, and the old one signed it
RENAMED = "renamed"  # another park or gateway id


@dataclass(frozen=True, slots=True)
class Start:
    """How the log starts: cause, the epoch before, if known, and the note of a change of key."""

    cause: str
    previous: str | None
    rekey: str | None = None


class Known:
    """The newest checkpoint signed here, kept beside the key and outside the database.

    Not synced: after a power cut it may be older than the store, never newer.
    """

    def __init__(self, data: Path) -> None:
        self._path = data / KNOWN_FILE

    def read(self) -> Checkpoint | None:
        """None where there is none, or none that can be read."""
        try:
            return parse_checkpoint(parse_note(self.text())[0])
        except NoteError:
            return None

    def text(self) -> str:
        """The signed note, "" where there is none that can be read."""
        try:
            return self._path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return ""

    def write(self, note: str) -> None:
        """Replaces it; a disk that refuses is left alone."""
        fresh = self._path.with_suffix(".new")
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            fresh.write_text(note, encoding="utf-8")
            os.replace(fresh, self._path)
        except OSError:
            return


def judge(
    epochs: Sequence[Epoch],
    park: str,
    gateway: str,
    public: bytes,
    known: Checkpoint | None,
    *,
    damaged: bool,
    rolled_back: bool,
    rekey: str | None = None,
) -> Start:
    """How the log of a store with these epochs starts under this key, if the newest was signed as `known` says.

    rekey: the last change of the key, if there was one.
    """
    before = None if known is None else known.origin.rpartition("/")[2]
    if damaged:
        return Start(DAMAGED, epochs[-1].id if epochs else before)
    if not epochs:
        return Start(NEW_STORE if before is None else REBUILT, before)
    newest = epochs[-1]
    name = origin(park, gateway, newest.id)
    if newest.vkey.partition("+")[0] != name:
        return Start(RENAMED, newest.id)
    if newest.vkey != verifier_key(name, public):
        if rekey is not None and _leads(rekey, Rekey(park, gateway, parse_verifier_key(newest.vkey).key, public)):
            return Start(REKEYED, newest.id, rekey)
        return Start(KEY_LOST, newest.id)
    if rolled_back:
        return Start(ROLLED_BACK, newest.id)
    if known is not None and known.origin.startswith(origin(park, gateway, "")):
        size = int.from_bytes(newest.frontier[:8], "big")
        if before not in [epoch.id for epoch in epochs] or (before == newest.id and known.size > size):
            return Start(ROLLED_BACK, before)
    return Start(START, newest.id)


def _leads(note: str, wanted: Rekey) -> bool:
    """Whether a note proves just this change of key."""
    try:
        return verify_rekey(note) == wanted
    except NoteError:
        return False
