"""The log of one epoch: gives records their place, their bytes and hashes, commits a sweep at once, then signs.

    add … add ── commit ──▶ queue ──▶ store (one transaction) ──▶ sign ──▶ committed ──▶ outbox

Order is always commit, sign, publish: `committed` is set after the signature, and the outbox reads only what lies
below it. One task writes; nothing else appends. While the disk refuses, batches wait in memory, the oldest bodies are
given up beyond a bound, and every commit tries again.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from nacl.signing import SigningKey

from agent.evidence import ring, salvage
from agent.evidence.ended import Ended, undelivered
from agent.evidence.store import Aside, Batch, Epoch, Receipt, Store, StoreDamaged, StoreError, StoreFull
from contract.note import Checkpoint, VerifierKey, origin, sign_checkpoint
from contract.records import Body as RecordBody
from contract.records import Config, Event, Head, Pruned, Witness, encode, instant, new_salt
from contract.tree import Frontier, TreeError, leaf_hash
from drivers.clock import Clock

logger = logging.getLogger(__name__)
WAITING_BYTES = 16 << 20  # of bodies kept in memory while the disk refuses: hours of a large park
ROOTS_KEPT = 512  # sizes signed lately whose roots are at hand; older ones are computed from the stored hashes
NAMED_LOOK_S = 1.0  # between looks whether what was salvaged is named by a commit
ATTEMPTS = 4  # at making room for one commit: each grade of what can be given up


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose log it is: ids of park and gateway, and the program's version."""

    park: str
    gateway: str
    version: str


class Log:
    """Appends to the newest epoch of a store. Made by `opening.open_log`."""

    def __init__(
        self,
        store: Store,
        identity: Identity,
        clock: Clock,
        key: SigningKey,
        epoch: Epoch,
        auditors: Sequence[VerifierKey] = (),
    ) -> None:
        self.identity = identity
        self.epoch = epoch
        self.auditors = tuple(auditors)
        self.delivered = epoch.delivered  # kept by the outbox, made durable with the next commit
        self.witnessed = {auditor.name: 0 for auditor in auditors}  # size of the last receipt accepted
        self.testimony = 0  # size up to and including the newest record that is neither `witness` nor `pruned`
        self.checkpoint = ""  # the newest signed note
        self.committed = asyncio.Event()  # set after each signature; whoever waits clears it
        self.ended: list[Ended] = []  # older epochs whose end is not delivered
        self.bounds: ring.Bounds = lambda _slot_s: 1  # which slots bound a day or a billing period
        self.known: Callable[[str], None] = lambda _note: None  # told each checkpoint, for rollback detection
        self._store, self._clock, self._key = store, clock, key
        self._frontier = Frontier.from_bytes(epoch.frontier)  # of what is committed
        self._ahead = self._frontier.copy()  # of what waits, too
        self._config = ""
        self._records: list[bytes] = []
        self._hashes: list[bytes] = []
        self._waiting: list[Batch] = []  # tried and not committed
        self._receipts: list[Receipt] = []
        self._tail: list[tuple[int, bytes | None, bytes]] = []  # the newest commit, so that publishing reads no disk
        self._note: tuple[int, str] | None = None
        self._roots: dict[int, bytes] = {}
        self._evictions: list[ring.Eviction] = []  # chosen, to go with the commit that names them
        self._to_name: list[Pruned] = []  # what is gone from older epochs
        self._trouble = ""

    @property
    def size(self) -> int:
        """Records committed."""
        return self._frontier.size

    @property
    def next_seq(self) -> int:
        return self._ahead.size + len(self._records)

    @property
    def is_durable(self) -> bool:
        """Whether everything added is committed: nothing waits in memory for a disk that refuses."""
        return self.next_seq == self.size

    @property
    def vkey(self) -> str:
        """Verifier key of this epoch's checkpoints."""
        return self.epoch.vkey

    def last(self, auditor: str) -> int:
        """Size of the last receipt accepted from a pinned auditor."""
        return self.witnessed[auditor]

    @property
    def witnessed_by_all(self) -> int:
        """Size that every pinned auditor holds; what was delivered, where none is pinned."""
        return min(self.witnessed.values()) if self.witnessed else self.delivered

    async def resume(self) -> None:
        """After a start: the configuration in force and the receipts of this epoch, as the store has them."""
        for receipt in await self._store.receipts(self.epoch):
            if receipt.auditor in self.witnessed:
                self.witnessed[receipt.auditor] = max(self.witnessed[receipt.auditor], receipt.size)
        self.testimony = self.size
        last = await self._store.last_of(self.epoch)
        if last is not None:
            self._config = _config_after(last)

    def add(self, body: RecordBody) -> int:
        """Gives a record its place in the commit to come; returns its index."""
        state, error_ms = self._clock.sync()
        seq = self.next_seq
        head = Head(
            kind=body.kind,
            park=self.identity.park,
            gateway=self.identity.gateway,
            epoch=self.epoch.id,
            seq=seq,
            boot=self._clock.boot_id,
            boot_ms=self._clock.boot_ms(),
            at=None if state == "none" else instant(self._clock.wall_ms()),
            clock=state,  # type: ignore[arg-type]  # the clock's words are the record's
            clock_error_ms=error_ms,
            config=self._config,
            salt=new_salt(),
        )
        record = encode(head, body)
        self._records.append(record)
        self._hashes.append(leaf_hash(record))
        if isinstance(body, Config):
            self._config = self._hashes[-1].hex()
        if not isinstance(body, (Witness, Pruned)):
            self.testimony = seq + 1
        return seq

    def witness(self, receipt: Receipt) -> bool:
        """Writes the `witness` record of an accepted receipt; False if the auditor's last one covers as much."""
        if receipt.size <= self.witnessed.get(receipt.auditor, receipt.size):
            return False
        self.witnessed[receipt.auditor] = receipt.size
        self.add(Witness(receipt.auditor, receipt.size, receipt.note))
        self._receipts.append(receipt)
        return True

    async def commit(self) -> None:
        """Makes everything added durable in one transaction, signs the tree, tells the outbox.

        A disk that refuses is no error here: what was added waits in memory for the next commit. StoreDamaged is.
        """
        named, self._to_name = self._to_name, []
        for pruned in named:
            self.add(pruned)
        if self._records:
            self._gather()
        if not self._waiting:
            return
        try:
            await self._write()
        except StoreDamaged:
            self._store.condemn()
            raise
        except StoreError as error:
            self._refused(error)
            return
        if self._trouble:
            logger.info("disk takes records again waiting=%d", len(self._waiting))
            self._trouble = ""
        first = self.size
        self._frontier = self._ahead.copy()
        last = self._waiting[-1]
        rows = zip(last.records, last.hashes, strict=True)
        self._tail = [(last.first + n, record or None, leaf) for n, (record, leaf) in enumerate(rows)]
        logger.debug("committed first=%d size=%d", first, self.size)
        self._waiting, self._receipts = [], []
        self.sign()

    def sign(self) -> None:
        """Signs the tree as it is now."""
        name = origin(self.identity.park, self.identity.gateway, self.epoch.id)
        root = self._frontier.root()
        self.checkpoint = sign_checkpoint(self._key, Checkpoint(name, self.size, root))
        self._note = (self.size, self.checkpoint)
        self._roots[self.size] = root
        while len(self._roots) > ROOTS_KEPT:
            del self._roots[next(iter(self._roots))]
        self.known(self.checkpoint)
        self.committed.set()

    async def root_at(self, size: int) -> bytes:
        """The root of the first `size` committed records. Raises TreeError beyond them."""
        if size > self.size:
            raise TreeError(f"{size} is beyond {self.size} records")
        if size not in self._roots:
            return (await self._store.frontier_at(self.epoch, size)).root()
        return self._roots[size]

    async def read(self, first: int, count: int) -> list[tuple[int, bytes | None, bytes]]:
        """Committed (index, record or None where it was given up, leaf hash) from an index on."""
        if self._tail and self._tail[0][0] <= first:
            found = self._tail[first - self._tail[0][0] :][:count]
            if found and found[-1][0] == self._tail[-1][0]:
                self._tail = []  # handed over: a megabyte at 256 meters
            return found
        return await self._store.records(self.epoch, first, count)

    def incomplete(self) -> None:
        """A body is gone before it was delivered: no receipt will cover it, those for less still count."""

    async def look_back(self) -> None:
        """Takes over what a store that was set aside still holds, and finds what older epochs have to be sent.

        For a task of its own, once `resume` is done: it takes as long as the older epochs are large. StoreError.
        """
        named = await salvage.salvage(self._store, self.epoch, self.auditors, self.bounds)
        self._to_name += named
        self.ended = await undelivered(self._store, self.auditors)
        self.committed.set()  # the outbox looks what there is
        while named and (self._to_name or not self.is_durable):
            await self._clock.sleep(NAMED_LOOK_S)
        salvage.finish(self._store.directory)

    async def set_aside(self, seq: int, reason: str, tried_ms: int) -> None:
        await self._store.set_aside(self.epoch, seq, reason, tried_ms)

    async def aside(self, tried_before_ms: int) -> list[Aside]:
        return await self._store.aside(self.epoch, tried_before_ms)

    async def taken_after_all(self, seq: int) -> None:
        await self._store.taken_after_all(self.epoch, seq)

    def disown(self, note: str) -> None:
        """A witness holds what this store does not: the next start will begin a new epoch, whatever is signed here."""
        self.known(note)
        self.known = lambda _note: None

    async def close(self) -> None:
        """Keeps the delivery mark, if the disk takes it; everything added and not committed is given up."""
        try:
            await self._store.conclude(self.epoch, self.delivered, self._note)
        except StoreError as error:
            logger.warning("delivery mark not kept, records will be sent again: %s", error)

    def _gather(self) -> None:
        """Makes a batch of what was added. A batch never changes again, but for bodies that are given up."""
        first = self._ahead.size
        for leaf in self._hashes:
            self._ahead.append(leaf)
        state, _ = self._clock.sync()
        at_ms = 0 if state == "none" else self._clock.wall_ms()
        self._waiting.append(Batch(first, at_ms, self._records, self._hashes, self._ahead.to_bytes()))
        self._records, self._hashes = [], []

    async def _write(self) -> None:
        """Appends what waits, making room as often as it takes."""
        for attempt in range(ATTEMPTS):
            try:
                await self._store.append(
                    self.epoch, self._waiting, self.delivered, self._note, self._receipts, self._evictions
                )
                self._evictions = []
                return
            except StoreFull:
                if attempt + 1 == ATTEMPTS:
                    raise
            await self._store.make_room()
            if self._evictions:
                continue
            self._evictions = await self._store.evictions(self.epoch, self.witnessed_by_all, self.bounds)
            gone: dict[tuple[str, str], list[int]] = {}
            for eviction in self._evictions:
                gone.setdefault((eviction.epoch, eviction.why), []).extend(eviction.gone)
            for (epoch, why), indexes in gone.items():
                logger.warning("bodies given up epoch=%s records=%d oldest=%d", epoch, len(indexes), indexes[0])
                self.add(Pruned(ring.ranges(sorted(indexes)), why, None if epoch == self.epoch.id else epoch))
            if gone:
                self._gather()

    def _refused(self, error: StoreError) -> None:
        """The disk took nothing: says so once, in the log of the program and in this one, and bounds what waits."""
        if not self._trouble:
            logger.error("disk refuses, records wait in memory: %s", error)
            self._trouble = str(error)
            details = {"error": str(error).rpartition(": ")[2]}
            self.add(Event("gateway", self.identity.gateway, "disk_low", *self._now(), details))
            self._gather()
        kept = sum(len(record) for batch in self._waiting for record in batch.records)
        if kept > WAITING_BYTES:
            gone = list(self._give_up(kept - WAITING_BYTES * 3 // 4))
            logger.warning("bodies given up in memory records=%d oldest=%d", len(gone), gone[0])
            self.add(Pruned(ring.ranges(gone), "disk"))
            self._gather()

    def _give_up(self, enough: int) -> Iterator[int]:
        """Empties the oldest waiting bodies, the least worth first; gives their indexes."""
        gone: list[int] = []
        for least in (1, 2, 3):
            for n, batch in enumerate(self._waiting):
                if enough <= 0:
                    break
                kept, places = ring.thinned([record or None for record in batch.records], least, self.bounds)
                enough -= sum(len(batch.records[place]) for place in places)
                gone += [batch.first + place for place in places]
                self._waiting[n] = replace(batch, records=kept)
        yield from sorted(gone)

    def _now(self) -> tuple[str | None, str | None]:
        if self._clock.sync()[0] == "none":
            return None, None
        now = instant(self._clock.wall_ms())
        return now, now


def _config_after(last: bytes) -> str:
    """The configuration in force behind the newest record."""
    raw = json.loads(last)
    return leaf_hash(last).hex() if raw["kind"] == "config" else str(raw["config"])
