"""The log of one epoch: gives records their place, their bytes and hashes, commits a sweep at once, then signs.

Order is always commit, sign, publish: `committed` is set after the signature, and the outbox reads only what lies
below it. One task writes; nothing else appends.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.keys import public_raw
from agent.store import Batch, Epoch, Store
from contract.note import Checkpoint, origin, sign_checkpoint, verifier_key
from contract.records import Body as RecordBody
from contract.records import Boot, Config, Head, encode, instant, new_salt
from contract.tree import Frontier, leaf_hash
from drivers.clock import Clock


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose log it is: ids of park and gateway, and the program's version."""

    park: str
    gateway: str
    version: str


class Log:
    """Appends to the newest epoch of a store. Made by `open_log`."""

    def __init__(self, store: Store, identity: Identity, clock: Clock, key: Ed25519PrivateKey, epoch: Epoch) -> None:
        self.identity = identity
        self.epoch = epoch
        self.delivered = epoch.delivered  # kept by the outbox, made durable with the next commit
        self.checkpoint = ""  # the newest signed note
        self.committed = asyncio.Event()  # set after each signature; whoever waits clears it
        self._store, self._clock, self._key = store, clock, key
        self._frontier = Frontier.from_bytes(epoch.frontier)
        self._config = ""
        self._records: list[bytes] = []
        self._hashes: list[bytes] = []
        self._tail: list[tuple[int, bytes]] = []  # the newest commit, so that publishing reads no disk
        self._note: tuple[int, str] | None = None

    @property
    def size(self) -> int:
        """Records committed."""
        return self._frontier.size

    @property
    def next_seq(self) -> int:
        return self._frontier.size + len(self._records)

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
        return seq

    async def commit(self) -> None:
        """Makes everything added durable in one transaction, signs the tree, tells the outbox. StoreError."""
        if not self._records:
            return
        frontier = self._frontier.copy()
        for leaf in self._hashes:
            frontier.append(leaf)
        state, _ = self._clock.sync()
        at_ms = 0 if state == "none" else self._clock.wall_ms()
        first = self.size
        batch = Batch(first, at_ms, self._records, self._hashes, frontier.to_bytes())
        await self._store.append(self.epoch, batch, self.delivered, self._note)
        self._frontier = frontier
        self._tail = list(enumerate(self._records, first))
        self._records, self._hashes = [], []
        self.sign()

    def sign(self) -> None:
        """Signs the tree as it is now."""
        name = origin(self.identity.park, self.identity.gateway, self.epoch.id)
        self.checkpoint = sign_checkpoint(self._key, Checkpoint(name, self.size, self._frontier.root()))
        self._note = (self.size, self.checkpoint)
        self.committed.set()

    async def read(self, first: int, count: int) -> list[tuple[int, bytes]]:
        """Committed records from an index on."""
        if self._tail and self._tail[0][0] <= first:
            return self._tail[first - self._tail[0][0] :][:count]
        return await self._store.records(self.epoch, first, count)

    async def set_aside(self, seq: int, reason: str) -> None:
        await self._store.set_aside(self.epoch, seq, reason, self._clock.wall_ms())

    async def close(self) -> None:
        """Keeps the delivery mark; everything added and not committed is given up."""
        await self._store.conclude(self.epoch, self.delivered, self._note)


async def open_log(store: Store, identity: Identity, clock: Clock, key: Ed25519PrivateKey) -> Log:
    """Opens the newest epoch, or the first one, and records the start of the agent."""
    epochs = await store.open()
    cause, previous = "start", None
    if epochs:
        epoch = epochs[-1]
    else:
        cause = "new_store"
        name = secrets.token_hex(16)
        vkey = verifier_key(origin(identity.park, identity.gateway, name), public_raw(key))
        epoch = await store.begin_epoch(name, cause, vkey, Frontier().to_bytes())
    log = Log(store, identity, clock, key, replace(epoch))
    log.add(Boot(cause, previous, identity.version))
    return log
