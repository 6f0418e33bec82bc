"""An older epoch whose end was not delivered before a newer one began: what can still be sent of it, and its receipts.

Only what its newest signed checkpoint covers is sent, and only if the stored hashes make up that checkpoint's tree:
then nothing that goes out can differ from what was signed. Nothing is ever added to it. Its receipts write no record (a
`witness` belongs to the epoch that it witnesses, and that one has ended); they stand beside the others in the store.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from itertools import pairwise

from agent.evidence.epochs import DAMAGED, KEY_LOST, REKEYED
from agent.evidence.store import Aside, Epoch, Receipt, Store
from contract.note import NoteError, VerifierKey, verify_checkpoint

logger = logging.getLogger(__name__)
# how the epoch behind it began; a store that was rolled back may hold another history than was published, and one of
# another name is not for these topics: both are left to a person and `export --evidence`
SENT_BEFORE = frozenset({DAMAGED, KEY_LOST, REKEYED})


class Ended:
    """What the outbox needs of it: the same as of the newest epoch's log."""

    def __init__(self, store: Store, epoch: Epoch, size: int, checkpoint: str, auditors: Sequence[VerifierKey]) -> None:
        self.epoch, self.size, self.checkpoint = epoch, size, checkpoint
        self.auditors = tuple(auditors)
        self.delivered = epoch.delivered
        self.testimony = size  # up to and including the last record that is neither `witness` nor `pruned`
        self.witnessed = {auditor.name: 0 for auditor in auditors}
        self._store, self._kept = store, epoch.delivered

    @property
    def vkey(self) -> str:
        return self.epoch.vkey

    @property
    def witnessed_by_all(self) -> int:
        """Size that every pinned auditor holds; all of it, where nothing that is worth a receipt lies behind."""
        held = min(self.witnessed.values(), default=self.delivered)
        return self.size if held >= self.testimony else held

    def last(self, auditor: str) -> int:
        """Size of the last receipt accepted from a pinned auditor."""
        return self.witnessed.get(auditor, 0)

    def incomplete(self) -> None:
        """A body of it is gone: no auditor can hold all of it, so the broker's acknowledgement is all there will be."""
        self.auditors, self.witnessed, self.testimony = (), {}, self.size

    async def root_at(self, size: int) -> bytes:
        return (await self._store.frontier_at(self.epoch, size)).root()

    async def read(self, first: int, count: int) -> list[tuple[int, bytes | None, bytes]]:
        return await self._store.records(self.epoch, first, count)

    async def witness(self, receipt: Receipt) -> None:
        """Keeps an accepted receipt."""
        self.witnessed[receipt.auditor] = max(self.last(receipt.auditor), receipt.size)
        self.delivered = max(self.delivered, min(self.witnessed.values()))
        await self._store.append(self.epoch, (), self.delivered, None, [receipt])
        self._kept = self.delivered

    async def keep(self) -> None:
        """Makes it durable that all was delivered; less is not worth a commit."""
        if self.delivered >= self.size and self._kept < self.size:
            await self._store.conclude(self.epoch, self.delivered, None)
            self._kept = self.delivered

    async def set_aside(self, seq: int, reason: str, tried_ms: int) -> None:
        await self._store.set_aside(self.epoch, seq, reason, tried_ms)

    async def aside(self, tried_before_ms: int) -> list[Aside]:
        return await self._store.aside(self.epoch, tried_before_ms)

    async def taken_after_all(self, seq: int) -> None:
        await self._store.taken_after_all(self.epoch, seq)


async def undelivered(store: Store, auditors: Sequence[VerifierKey]) -> list[Ended]:
    """The older epochs of a store that still have something to be sent, oldest first. Raises StoreError.

    Only where the very next epoch is known: between two others one may be lost that began as `rolled_back`.
    """
    found = [
        await _ended(store, epoch, auditors)
        for epoch, after in pairwise(await store.epochs())
        if after.number == epoch.number + 1 and after.cause in SENT_BEFORE and epoch.delivered < epoch.size
    ]
    return [ended for ended in found if ended is not None and ended.delivered < ended.size]


async def _ended(store: Store, epoch: Epoch, auditors: Sequence[VerifierKey]) -> Ended | None:
    """None where nothing of it can be proved."""
    text = await store.newest_checkpoint(epoch)
    try:
        checkpoint = None if text is None else verify_checkpoint(text, epoch.vkey)
    except NoteError:
        checkpoint = None
    if text is None or checkpoint is None or checkpoint.size > epoch.size:
        logger.warning("older epoch without a checkpoint is not sent epoch=%s", epoch.id)
        return None
    ended = Ended(store, epoch, checkpoint.size, text, auditors)
    if await ended.root_at(checkpoint.size) != checkpoint.root:
        logger.warning("older epoch is not what was signed and is not sent epoch=%s", epoch.id)
        return None
    for receipt in await store.receipts(epoch):
        if receipt.auditor in ended.witnessed:
            ended.witnessed[receipt.auditor] = max(ended.witnessed[receipt.auditor], receipt.size)
    ended.delivered = max(ended.delivered, min(ended.witnessed.values(), default=0))
    while ended.testimony > ended.delivered and await _is_no_news(store, epoch, ended.testimony - 1):
        ended.testimony -= 1
    return ended


async def _is_no_news(store: Store, epoch: Epoch, seq: int) -> bool:
    """Whether a record is one for which no auditor gives a receipt."""
    ((_, record, _),) = (await store.records(epoch, seq, 1))[:1]
    return record is not None and json.loads(record)["kind"] in ("witness", "pruned")
