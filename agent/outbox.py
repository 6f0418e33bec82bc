"""What still has to reach the broker, and sending it: record by record, byte for byte as in the log.

The database is the queue. Only what is committed and signed is sent, at most a window of it unanswered; a record counts
as delivered when the broker's reason code is no failure. A lost connection forgets what was in flight and begins again
at the mark: whoever listens knows a record by (gateway, epoch, seq).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any

from agent.log import Log
from agent.mqtt import Broker, Connection, UplinkError, Will
from contract import topics
from contract.records import canonical, decode, instant
from contract.tree import leaf_hash
from drivers.clock import Clock

logger = logging.getLogger(__name__)
BACKOFF_S = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0)  # between attempts to reach a broker
Refused = Callable[[int, str, str], None]  # (seq, kind, reason) of a record that the broker will not take


class Outbox:
    """Publishes one log. `run` ends only when cancelled; `stop` says goodbye first."""

    def __init__(self, log: Log, broker: Broker, clock: Clock, interval_s: int, refused: Refused) -> None:
        self.connected = False
        self._log, self._broker, self._clock = log, broker, clock
        self._interval_s = interval_s
        self._refused = refused
        self._next = log.delivered  # the first record not yet handed to the present connection
        self._leaves: list[str] = []  # hex leaf hashes of records handed over, not yet published themselves
        self._checkpointed = ""
        self._done: set[int] = set()  # delivered or set aside, above the mark
        self._flight: dict[asyncio.Future[Any], int] = {}

    @property
    def waiting(self) -> int:
        """Committed records not yet delivered."""
        return self._log.size - self._log.delivered - len(self._done)

    async def run(self) -> None:
        """Connects, sends, reconnects with growing pauses; the agent goes on without it."""
        attempt = 0
        while True:
            connection = Connection(self._broker, self._client_id(), self._will(), _ignore)
            try:
                await connection.open()
                attempt = 0
                self.connected = True
                logger.info("broker reached broker=%s waiting=%d", self._broker, self.waiting)
                await self._drain(connection)
            except UplinkError as error:
                if attempt == 0:
                    logger.warning("broker lost broker=%s waiting=%d reason=%s", self._broker, self.waiting, error)
            finally:
                self.connected = False
                with contextlib.suppress(UplinkError):
                    connection.publish(*self._status("stopping"), retain=True)
                await connection.close()
                self._forget_flight()
            await self._clock.sleep(BACKOFF_S[min(attempt, len(BACKOFF_S) - 1)])
            attempt += 1

    async def drained(self) -> None:
        """Returns when everything committed was delivered."""
        while self.waiting:
            await self._clock.sleep(0.05)

    async def _drain(self, connection: Connection) -> None:
        connection.publish(*self._status("online"), retain=True)
        while not connection.lost.done():
            self._log.committed.clear()
            await self._send(connection)
            self._send_proofs(connection)
            await self._wait(connection)
        raise UplinkError(connection.lost.result())

    async def _send(self, connection: Connection) -> None:
        room = connection.window - len(self._flight)
        if room <= 0 or self._next >= self._log.size:
            return
        for seq, record in await self._log.read(self._next, room):
            head, body = decode(record)
            topic = topics.topic(head, body, interval_s=self._interval_s)
            if connection.packet_limit and len(record) + len(topic) + 200 > connection.packet_limit:
                await self._set_aside(seq, head.kind, "larger than the broker takes")
            else:
                self._flight[connection.publish(topic, record)] = seq
            self._leaves.append(leaf_hash(record).hex())
            self._next = seq + 1
            if len(self._leaves) == topics.MAX_HASHES:
                self._send_hashes(connection)

    def _send_proofs(self, connection: Connection) -> None:
        """The newest checkpoint, once every record and hash under it was handed over."""
        if self._next < self._log.size or self._checkpointed == self._log.checkpoint:
            return
        self._send_hashes(connection)
        self._checkpointed = self._log.checkpoint
        who = self._log.identity
        connection.publish(topics.checkpoint(who.park, who.gateway), self._checkpointed.encode(), retain=True)

    def _send_hashes(self, connection: Connection) -> None:
        if not self._leaves:
            return
        who = self._log.identity
        body = {"epoch": self._log.epoch.id, "from": self._next - len(self._leaves), "hashes": self._leaves}
        connection.publish(topics.hashes(who.park, who.gateway), canonical(body))
        self._leaves = []

    async def _wait(self, connection: Connection) -> None:
        """Until an answer, a commit, or the end of the connection."""
        committed = asyncio.ensure_future(self._log.committed.wait())
        try:
            await asyncio.wait([*self._flight, committed, connection.lost], return_when=asyncio.FIRST_COMPLETED)
        finally:
            committed.cancel()
        for future in [future for future in self._flight if future.done()]:
            seq = self._flight.pop(future)
            if future.cancelled():
                continue
            code = future.result()
            if code.is_failure:
                await self._set_aside(seq, "record", str(code))
            self._deliver(seq)

    def _deliver(self, seq: int) -> None:
        self._done.add(seq)
        while self._log.delivered in self._done:
            self._done.remove(self._log.delivered)
            self._log.delivered += 1

    async def _set_aside(self, seq: int, kind: str, reason: str) -> None:
        logger.warning("record set aside seq=%d kind=%s reason=%s", seq, kind, reason)
        await self._log.set_aside(seq, reason)
        self._deliver(seq)
        self._refused(seq, kind, reason)

    def _forget_flight(self) -> None:
        self._flight.clear()
        self._done.clear()
        self._leaves.clear()
        self._next = self._log.delivered
        self._checkpointed = ""

    def _client_id(self) -> str:
        return f"hubiao-{self._log.identity.park}-{self._log.identity.gateway}"

    def _will(self) -> Will:
        topic, payload = self._status("offline")
        return Will(topic, payload)

    def _status(self, state: str) -> tuple[str, bytes]:
        who, (clock, _) = self._log.identity, self._clock.sync()
        return topics.status(who.park, who.gateway), canonical(
            {
                "state": state,
                "at": None if clock == "none" else instant(self._clock.wall_ms()),
                "epoch": self._log.epoch.id,
                "size": self._log.size,
                "version": who.version,
            }
        )


def _ignore(_topic: str, _payload: bytes) -> None:
    """Nothing that arrives changes any state."""
