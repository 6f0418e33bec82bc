"""Opens a store's log: in its newest epoch, or in a new one that says why, and which epoch it follows (contract §5).

Whatever is wrong with what is there, it ends with a log that takes records: a damaged database is moved aside, never
deleted, and an epoch that cannot go on is left as it is, its last checkpoint kept with it.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from nacl.signing import SigningKey

from agent.evidence import salvage
from agent.evidence.epochs import ROLLED_BACK, START, Known, judge
from agent.evidence.keys import read_rekey
from agent.evidence.log import Identity, Log
from agent.evidence.store import Epoch, Store, StoreDamaged
from contract.note import Checkpoint, NoteError, VerifierKey, origin, public_raw, verifier_key, verify_checkpoint
from contract.records import Boot
from contract.tree import Frontier
from drivers.clock import Clock

logger = logging.getLogger(__name__)


async def open_log(
    store: Store,
    identity: Identity,
    clock: Clock,
    key: SigningKey,
    auditors: Sequence[VerifierKey] = (),
    *,
    rolled_back: bool = False,
) -> Log:
    """Opens the newest epoch, or a new one where the old cannot go on, and records the start of the agent.

    rolled_back: an auditor showed that this store had been further. Raises StoreError.
    """
    damaged: Path | None = None
    try:
        epochs = await store.open()
    except StoreDamaged as error:
        logger.error("damaged store set aside: %s", error)
        epochs, damaged = await store.set_aside_damaged()
        await store.open()
    known = Known(store.directory)
    if damaged is not None:
        salvage.keep_last_signed(damaged, known.text())
    raw_key = public_raw(key)
    start = judge(
        epochs,
        identity.park,
        identity.gateway,
        raw_key,
        known.read(),
        damaged=damaged is not None,
        rolled_back=rolled_back,
        rekey=read_rekey(store.directory),
    )
    if start.cause == START and await _differs(store, epochs[-1], known.read()):
        start = replace(start, cause=ROLLED_BACK)
    if start.cause == START:
        epoch = epochs[-1]
    else:
        name = secrets.token_hex(16)
        vkey = verifier_key(origin(identity.park, identity.gateway, name), raw_key)
        if damaged is None and epochs and start.cause != ROLLED_BACK:
            await _keep_last_signed(store, epochs[-1], known.text())
        number = 1 + max((epoch.number for epoch in epochs), default=0)
        epoch = await store.begin_epoch(name, start.cause, vkey, Frontier().to_bytes(), number=number)
        logger.warning("new epoch=%s cause=%s previous=%s", name, start.cause, start.previous)
    log = Log(store, identity, clock, key, replace(epoch), auditors)
    log.known = known.write
    await log.resume()
    log.add(Boot(start.cause, None if start.cause == START else start.previous, identity.version, start.rekey))
    return log


async def _keep_last_signed(store: Store, epoch: Epoch, note: str) -> None:
    """The checkpoint of an epoch's last commit, which the next commit would have taken along."""
    try:
        checkpoint = verify_checkpoint(note, epoch.vkey)
    except NoteError:
        return
    if checkpoint.size <= epoch.size and (await store.frontier_at(epoch, checkpoint.size)).root() == checkpoint.root:
        await store.conclude(epoch, epoch.delivered, (checkpoint.size, note))


async def _differs(store: Store, epoch: Epoch, known: Checkpoint | None) -> bool:
    """Whether the epoch has another tree than the newest one known to have been signed."""
    if known is None or not known.origin.endswith(epoch.id):
        return False
    return (await store.frontier_at(epoch, known.size)).root() != known.root
