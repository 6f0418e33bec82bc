"""What a store that was set aside still holds, proved by its signed checkpoints and taken over as an older epoch.

    damaged-N/hubiao.db ── rows, in order ──▶ tree ── a signed checkpoint fits ──▶ the store's epoch of the same number

Rows are taken over only up to the last checkpoint whose root they make up, and only bodies that hash to their leaves:
so nothing that was damaged, and nothing that was not signed, can come back. Bodies that were delivered stay behind. The
damaged file is only read. Runs while the agent works; an interrupted run goes on at the next start.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from agent.evidence import ring
from agent.evidence.reader import Reader, unpack
from agent.evidence.store import Batch, Epoch, Receipt, Store, StoreDamaged, StoreError
from contract.note import NoteError, VerifierKey, parse_verifier_key, verify_checkpoint, verify_cosignature
from contract.records import Pruned
from contract.tree import HASH_BYTES, Frontier, leaf_hash

logger = logging.getLogger(__name__)
SALVAGED = "salvaged"  # in a directory of which all was taken over that can be
LAST_SIGNED = "checkpoint"  # in it: the newest checkpoint that was signed, which the database does not have yet
# what damaged pages make of a row: also values of other types than their columns', texts that are none
_UNREADABLE = (sqlite3.Error, StoreError, ValueError, TypeError, AttributeError, LookupError, ArithmeticError)


class Piece(NamedTuple):
    """Batches of an epoch up to the checkpoint that proves them.

    left: indexes of bodies that stay behind, lost: of those that were damaged.
    """

    epoch: Epoch
    batches: list[Batch]
    note: tuple[int, str]
    delivered: int
    receipts: list[Receipt]
    left: list[int]
    lost: list[int]


async def salvage(store: Store, before: Epoch, auditors: Sequence[VerifierKey], bounds: ring.Bounds) -> list[Pruned]:
    """Takes over what stores that were set aside hold of epochs before this one; what is to be named for it.

    Call `finish` once that is committed. Raises StoreError where the present store does not take it.
    """
    named: list[Pruned] = []
    for folder in _waiting(store.directory):
        named += await _take_over(store, folder, before, auditors, bounds)
    return named


def keep_last_signed(folder: Path, note: str) -> None:
    """Puts the newest checkpoint beside a database that was just set aside; a disk that refuses is left alone."""
    with contextlib.suppress(OSError):
        (folder / LAST_SIGNED).write_text(note, encoding="utf-8")


def finish(directory: Path) -> None:
    """Marks what was set aside as done with, so that no later start looks at it again."""
    for folder in _waiting(directory):
        with contextlib.suppress(OSError):
            (folder / SALVAGED).touch()


def _waiting(directory: Path) -> list[Path]:
    return sorted(folder for folder in directory.glob("damaged-*") if not (folder / SALVAGED).exists())


async def _take_over(
    store: Store, folder: Path, before: Epoch, auditors: Sequence[VerifierKey], bounds: ring.Bounds
) -> list[Pruned]:
    loop = asyncio.get_running_loop()
    gone: dict[tuple[str, str], list[int]] = {}
    taken: set[str] = set()
    with ThreadPoolExecutor(1, thread_name_prefix="salvage") as thread:  # SQLite's connections stay on theirs
        pieces = proven(folder, before.number, auditors, bounds)
        try:
            while (piece := await loop.run_in_executor(thread, next, pieces, None)) is not None:
                epoch = await _same(store, piece.epoch)
                if epoch is None:
                    break
                if piece.note[0] > epoch.size:  # else an earlier run got so far
                    await store.append(epoch, piece.batches, piece.delivered, piece.note, piece.receipts)
                taken.add(epoch.id)
                gone.setdefault((epoch.id, "witnessed"), []).extend(piece.left)
                gone.setdefault((epoch.id, "damaged"), []).extend(piece.lost)
        except StoreDamaged as error:  # what stands under this number is another log, or longer
            logger.warning("not taken over from %s: %s", folder.name, error)
        finally:
            await loop.run_in_executor(thread, pieces.close)
    logger.warning("taken over from %s: epochs=%s", folder.name, ",".join(sorted(taken)) or "none")
    return [Pruned(ring.ranges(seqs), why, epoch) for (epoch, why), seqs in gone.items() if seqs]


async def _same(store: Store, epoch: Epoch) -> Epoch | None:
    """The store's own epoch of that number, begun if there is none; None where that is another."""
    for known in await store.epochs():
        if epoch.number == known.number or epoch.id == known.id:
            return known if (epoch.number, epoch.id) == (known.number, known.id) else None
    return await store.begin_epoch(epoch.id, epoch.cause, epoch.vkey, Frontier().to_bytes(), number=epoch.number)


def proven(
    folder: Path, before: int, auditors: Sequence[VerifierKey], bounds: ring.Bounds
) -> Generator[Piece, None, None]:
    """Everything in a damaged store that a signed checkpoint proves, in order. What cannot be read ends its epoch.

    before: the number that the epochs must be below.
    """
    try:
        with closing(Reader(folder)) as reader:
            for epoch in reader.epochs:
                if not _is_sane(epoch, before):
                    continue
                try:
                    yield from _proven(reader, epoch, _last_signed(folder), auditors, bounds)
                except _UNREADABLE as error:
                    logger.warning("the rest cannot be read from %s epoch=%s: %s", folder.name, epoch.id, error)
    except _UNREADABLE as error:
        logger.warning("nothing can be read from %s: %s", folder.name, error)


def _is_sane(epoch: Epoch, before: int) -> bool:
    """Whether what names an epoch can be what was written."""
    names = isinstance(epoch.id, str) and len(epoch.id) == 32 and isinstance(epoch.cause, str)
    numbers = isinstance(epoch.number, int) and 0 < epoch.number < before and isinstance(epoch.delivered, int)
    return names and numbers and isinstance(epoch.vkey, str)


def _proven(
    reader: Reader, epoch: Epoch, last: str, auditors: Sequence[VerifierKey], bounds: ring.Bounds
) -> Iterator[Piece]:
    name = parse_verifier_key(epoch.vkey).name
    notes = _signed([*reader.checkpoints(epoch), last], epoch.vkey)
    receipts = _receipts(reader.receipts(epoch), name, auditors)
    held = {receipt.auditor: receipt.size for receipt in receipts}
    delivered = epoch.delivered if epoch.delivered <= epoch.size else 0
    if auditors:
        delivered = min(held.get(auditor.name, 0) for auditor in auditors)
    frontier = Frontier()
    batches: list[Batch] = []
    left: list[int] = []
    lost: list[int] = []
    for first, at_ms, hashes, body in reader.rows(epoch):
        if first != frontier.size or not hashes or len(hashes) % HASH_BYTES:
            raise ValueError(f"row {first} does not follow record {frontier.size}")
        leaves = [hashes[at : at + HASH_BYTES] for at in range(0, len(hashes), HASH_BYTES)]
        for leaf in leaves:
            frontier.append(leaf)
        found = [record for _, record, _ in unpack(first, first, len(leaves), hashes, body)]
        good = [r if r and leaf_hash(r) == leaf else None for r, leaf in zip(found, leaves, strict=True)]
        if body is not None:
            lost += [first + n for n, record in enumerate(good) if record is None]
        kept = [record or b"" for record in good]
        if frontier.size <= delivered:
            kept, places = ring.thinned(good, 3, bounds)
            left += [first + n for n in places]
        batches.append(Batch(first, at_ms, kept, leaves, frontier.to_bytes()))
        text, root = notes.get(frontier.size, ("", b""))
        if root == frontier.root():
            yield Piece(epoch, batches, (frontier.size, text), min(delivered, frontier.size), receipts, left, lost)
            batches, left, lost = [], [], []


def _signed(texts: Sequence[str], vkey: str) -> dict[int, tuple[str, bytes]]:
    """Size → (note, root) of the checkpoints that bear the epoch's signature."""
    found = {}
    for text in texts:
        try:
            checkpoint = verify_checkpoint(text, vkey)
        except NoteError:
            continue
        found[checkpoint.size] = (text, checkpoint.root)
    return found


def _receipts(texts: Sequence[str], name: str, auditors: Sequence[VerifierKey]) -> list[Receipt]:
    """The newest receipt of each pinned auditor, his signature checked."""
    found: dict[str, Receipt] = {}
    for text in texts:
        for auditor in auditors:
            try:
                checkpoint, _ = verify_cosignature(text, str(auditor))
            except NoteError:
                continue
            if checkpoint.origin == name and checkpoint.size > found.get(auditor.name, Receipt("", 0, "")).size:
                found[auditor.name] = Receipt(auditor.name, checkpoint.size, text)
    return list(found.values())


def _last_signed(folder: Path) -> str:
    try:
        return (folder / LAST_SIGNED).read_text(encoding="utf-8")
    except OSError:
        return ""
