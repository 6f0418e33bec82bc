"""Receipts of auditors: whether one is worth a `witness` record (contract §5), and the directory for those on a stick.

    checkpoint signed by us + cosignature of a pinned auditor + size above its last + our own root at that size

Everything else is ignored and changes nothing, with one exception that needs both signatures as well: a receipt for
more than we have, or for another root, proves that this store was put back from a copy. Publishes nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from agent.evidence.log import Log
from agent.evidence.store import Receipt, StoreError
from contract.note import (
    COSIGNATURE,
    NoteError,
    VerifierKey,
    parse_checkpoint,
    parse_note,
    parse_verifier_key,
    verify_checkpoint,
    verify_cosignature,
)

MAX_BYTES = 16 * 1024  # a note with a hundred signatures is not as long
DIRECTORY = "receipts"  # in DATA: `hubiao receipt import` leaves notes here, a running or later agent takes them
SUFFIX = ".note"


class ReceiptRefused(Exception):
    """Nothing that changes any state; the text says why."""


class Unverifiable(ReceiptRefused):
    """A pinned auditor signed a tree of this epoch that is not ours and that we never signed."""

    def __init__(self, text: str, auditor: str) -> None:
        super().__init__(text)
        self.auditor = auditor


class RolledBack(StoreError):
    """We signed and an auditor witnessed what this store does not hold. `note` is the proof."""

    def __init__(self, text: str, note: str) -> None:
        super().__init__(text)
        self.note = note


def pinned(auditors: list[str]) -> tuple[VerifierKey, ...]:
    """The auditors of the configuration. Raises NoteError for a key that is none of an auditor."""
    keys = tuple(parse_verifier_key(text) for text in auditors)
    for key in keys:
        if key.algorithm != COSIGNATURE:
            raise NoteError(f"{key.name} is no auditor's key: its type is {key.algorithm:02x}, not 04")
    return keys


class Against(Protocol):
    """What a receipt is checked against: a log's newest epoch."""

    @property
    def size(self) -> int: ...

    @property
    def vkey(self) -> str: ...

    def last(self, auditor: str) -> int:
        """Size of the last receipt accepted from an auditor."""
        ...

    async def root_at(self, size: int) -> bytes: ...


async def judge(payload: bytes, log: Log) -> Receipt:
    """The receipt in a message or file. Raises ReceiptRefused, RolledBack; changes nothing."""
    return await check(payload, log.auditors, log)


async def receive(payload: bytes, log: Log) -> Receipt | None:
    """The receipt in a message or file; None if it is for an older epoch that is still being sent, which keeps it.

    Raises ReceiptRefused, RolledBack, StoreError; changes nothing of the newest epoch.
    """
    try:
        return await judge(payload, log)
    except ReceiptRefused:
        for ended in log.ended:
            with contextlib.suppress(ReceiptRefused, RolledBack):
                await ended.witness(await check(payload, log.auditors, ended))
                return None
        raise


async def check(payload: bytes, auditors: Sequence[VerifierKey], log: Against) -> Receipt:
    """The same against anything that has the size and roots of a log."""
    note, auditor = _parsed(payload, auditors)
    unsigned = ""
    try:
        checkpoint, _ = verify_cosignature(note, str(auditor))
        if checkpoint.origin != parse_verifier_key(log.vkey).name:
            raise ReceiptRefused(f"is for {checkpoint.origin}")
        if checkpoint.size <= log.last(auditor.name):
            raise ReceiptRefused(f"size {checkpoint.size} is not above {log.last(auditor.name)}")
    except NoteError as error:
        raise ReceiptRefused(str(error)) from error
    try:
        verify_checkpoint(note, log.vkey)
    except NoteError as error:
        unsigned = str(error)
    trouble = ""
    if checkpoint.size > log.size:
        trouble = f"{auditor.name} holds {checkpoint.size} records, the store {log.size}"
    elif await log.root_at(checkpoint.size) != checkpoint.root:
        trouble = f"{auditor.name} holds other records below {checkpoint.size}"
    if trouble and unsigned:
        raise Unverifiable(f"{trouble}; {unsigned}", auditor.name)
    if trouble:
        raise RolledBack(trouble, note)
    if unsigned:  # anybody could have cut our signature off
        raise ReceiptRefused(unsigned)
    return Receipt(auditor.name, checkpoint.size, note)


def _parsed(payload: bytes, auditors: Sequence[VerifierKey]) -> tuple[str, VerifierKey]:
    """The note and the pinned auditor that seems to have signed it; nothing is checked that costs much."""
    if len(payload) > MAX_BYTES:
        raise ReceiptRefused(f"{len(payload)} bytes")
    try:
        note = payload.decode()
        body, signatures = parse_note(note)
        parse_checkpoint(body)
    except (UnicodeDecodeError, NoteError) as error:
        raise ReceiptRefused(str(error)) from error
    for auditor in auditors:
        if any(signature.name == auditor.name and signature.id == auditor.id for signature in signatures):
            return note, auditor
    raise ReceiptRefused("no pinned auditor signed it")


class Stick:
    """DATA/receipts: notes that came by other ways than MQTT."""

    def __init__(self, data: Path) -> None:
        self._directory = data / DIRECTORY

    def waiting(self) -> list[tuple[Path, bytes]]:
        """Files and what they hold, oldest name first; one too long is read only as far as it takes to refuse it."""
        found = []
        for path in sorted(self._directory.glob("*" + SUFFIX)) if self._directory.is_dir() else ():
            try:
                with path.open("rb") as file:
                    found.append((path, file.read(MAX_BYTES + 1)))
            except OSError:
                continue  # not for us to read: the importer hears of it in the agent's log only if it is taken
        return found

    def leave(self, name: str, note: str) -> Path:
        """Puts a note there, whole or not at all. Raises OSError."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._directory / (name + SUFFIX)
        fresh = path.with_suffix(".new")
        fresh.write_text(note, encoding="utf-8")
        fresh.rename(path)
        return path
