"""What still has to reach the broker, and sending it: record by record, byte for byte as in the log.

The database is the queue. Only what is committed and signed is sent, at most a window of it unanswered. A record counts
as delivered when the broker's reason code is no failure and, where auditors are pinned, a receipt of each covers it. A
broker that acknowledges and drops, or was lost with all it held, is given everything since the last receipt again:
whoever listens knows a record by (gateway, epoch, seq). A connection lost in the middle of a backlog goes on where it
was, since no receipt can come before the end. Receipts are the only thing that comes down.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass

from agent.delivery.mqtt import Broker, Connection, UplinkError, Will
from agent.delivery.progress import Progress, all_stretches
from agent.delivery.sending import Stretch
from agent.evidence.log import Log
from agent.evidence.receipts import ReceiptRefused, RolledBack, receive
from agent.evidence.store import Receipt, StoreDamaged, StoreError
from contract import topics
from contract.records import canonical, instant
from drivers.clock import Clock

logger = logging.getLogger(__name__)
BACKOFF_S = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0)  # between attempts to reach a broker
ANSWER_S = 60.0  # real time without a PUBACK: half-open, or the broker lost it
RETRY_MS = 86_400_000  # a record that the broker refused is tried again daily
PACED_PER_S = 50.0  # records of the backlog on a metered uplink: about half a megabit a second
BURST = 5.0  # of a paced uplink at once: fits into the smallest queue that a broker keeps for an auditor
FRUITLESS = 3  # connections lost over the same record: then it is the record
FIRST_RECEIPTS_S = 1.0  # for retained receipts to arrive before anything is sent: they may say we were rolled back
PACKET_OVERHEAD = 200  # bytes of a PUBLISH besides topic and payload, rounded up
Refused = Callable[[int, str, str], None]  # (seq, kind, reason) of a record that the broker will not take
Take = Callable[[Receipt], None]  # what to do with an accepted receipt
Doubt = Callable[[ReceiptRefused], None]  # and with one that is not accepted
Live = Callable[[int], bytes]  # latest values for screens at an instant (UTC ms)
LIVE_EVERY_S = 1.0  # at most: nobody looks faster
LIVE_INTERVALS = 2  # then they are no longer the latest


def ignore(_what: object) -> None:
    """For a log without auditors."""


@dataclass(frozen=True, slots=True)
class _Sent:
    """A record in flight; `again`: it had been set aside."""

    of: Progress
    seq: int
    kind: str
    again: bool = False


class Outbox:
    """Publishes one log, and behind it the ends of older epochs. `run` ends only when cancelled, or with RolledBack."""

    def __init__(
        self,
        log: Log,
        broker: Broker,
        clock: Clock,
        interval_s: int,
        refused: Refused,
        *,
        take: Take = ignore,
        doubt: Doubt = ignore,
        live: Live | None = None,
        metered: bool = False,
    ) -> None:
        self.connected = False
        self._connection: Connection | None = None
        self._sent_before = 0  # bytes on earlier connections
        self._log, self._broker, self._clock = log, broker, clock
        self._interval_s, self._metered = interval_s, metered
        self._refused, self._take, self._doubt = refused, take, doubt
        self._live = None if metered else live
        self._shown: tuple[int, int] = (0, 0)  # size of the log, boot clock when live values were sent
        self._newest = Progress(log, interval_s, clock.boot_ms())
        self._older: list[Progress] = []  # of epochs that have ended
        self._sent: dict[int, _Sent] = {}  # message id → record in flight
        self._checkpoint_ms = 0  # boot clock when the newest checkpoint was published
        self._retry_ms = 0  # boot clock at which records set aside are due
        self._credit = 0.0  # records that a paced uplink may send now
        self._credit_ms = 0
        self._suspect: tuple[_Sent | None, int] = (None, 0)  # first record in flight when connections were lost; times
        self._seen_receipts = not log.auditors

    @property
    def waiting(self) -> int:
        """Committed records that the broker has not acknowledged yet, of older epochs too."""
        return sum(progress.waiting for progress in self._all)

    @property
    def _all(self) -> list[Progress]:
        return [self._newest, *self._older]

    @property
    def _left(self) -> bool:
        """Whether records are still to be handed over."""
        return any(progress.left for progress in self._all)

    @property
    def sent_bytes(self) -> int:
        """Topics and payloads sent since the start, repetitions included."""
        return self._sent_before + (0 if self._connection is None else self._connection.sent_bytes)

    @property
    def compressed(self) -> bool:
        """Whether the broker agreed to it, on the connection that stands."""
        return self._connection is not None and self._connection.compressed

    async def run(self) -> None:
        """Connects, sends, reconnects with growing pauses; the agent goes on without it."""
        attempt = 0
        while True:
            connection = Connection(self._broker, self._client_id(), self._will(), self._log.committed)
            self._connection = connection
            try:
                await connection.open()
                self.connected = True
                logger.info("broker reached broker=%s waiting=%d", self._broker, self.waiting)
                if self._metered and self._broker.path and not connection.compressed:
                    logger.warning("broker does not compress, a month costs as over mqtts:// broker=%s", self._broker)
                since_ms = self._clock.boot_ms()
                await self._drain(connection)
            except (RolledBack, StoreDamaged):
                raise
            except StoreError as error:  # a disk that fails now may be back soon, and lines are polled meanwhile
                if attempt == 0:
                    logger.warning("records cannot be read from the store: %s", error)
            except UplinkError as error:
                if attempt == 0:
                    logger.warning("broker lost broker=%s waiting=%d reason=%s", self._broker, self.waiting, error)
                if self.connected:
                    progress = any(one.acked > one.began_at for one in self._all)
                    with contextlib.suppress(StoreError):  # then the next loss names it
                        await self._suspect_first(progress=progress)
                    if progress or self._clock.boot_ms() - since_ms > ANSWER_S * 1000:
                        attempt = 0
            finally:
                self.connected = False
                with contextlib.suppress(UplinkError):
                    if connection.room > 0:
                        connection.publish(*self._status("stopping"), retain=True)
                await connection.close()
                self._connection, self._sent_before = None, self.sent_bytes
            await self._clock.sleep(BACKOFF_S[min(attempt, len(BACKOFF_S) - 1)])
            attempt += 1

    async def drained(self) -> None:
        """Returns when the broker acknowledged everything committed."""
        while self.waiting:
            await self._clock.sleep(0.05)

    async def _drain(self, connection: Connection) -> None:
        """Sends until the connection is lost. Raises UplinkError, StoreError."""
        self._sent.clear()
        for progress in self._all:
            await progress.connected()
        if self._suspect[1]:
            connection.window = 1  # to see which record it is
        connection.publish(*self._status("online"), retain=True)
        await self._subscribe(connection)
        while not connection.lost:
            self._log.committed.clear()
            await self._look_back()
            await self._take_answers(connection)
            await self._take_receipts(connection)
            self._resend_if_overdue()
            with connection.together():
                await self._send(connection)
                self._send_proofs(connection)
                self._send_live(connection)
            await self._lay_down()
            await self._retry_aside(connection)
            if connection.overdue_s() > ANSWER_S:
                raise UplinkError("no acknowledgement for a minute")
            try:
                async with asyncio.timeout(self._patience_s()):
                    await self._log.committed.wait()
            except TimeoutError:
                continue
        raise UplinkError(connection.lost)

    async def _subscribe(self, connection: Connection) -> None:
        """To receipts, and nothing else; the first time what is retained is heard before anything is sent."""
        if not self._log.auditors:
            return
        who = self._log.identity
        connection.subscribe(topics.receipt_filter(who.park, who.gateway))
        if not self._seen_receipts:
            self._seen_receipts = True
            await self._clock.sleep(FIRST_RECEIPTS_S)

    async def _look_back(self) -> None:
        """Takes up older epochs whose end is not delivered, as soon as that is known."""
        known = {progress.log for progress in self._older}
        for ended in self._log.ended:
            if ended not in known:
                logger.info("end of an older epoch goes out epoch=%s from=%d", ended.epoch.id, ended.delivered)
                self._older.append(Progress(ended, self._interval_s, self._clock.boot_ms()))
                await self._older[-1].connected()

    async def _lay_down(self) -> None:
        """Has done with older epochs that are delivered and whose proofs were handed over."""
        for progress in [one for one in self._older if one.is_complete]:
            self._older.remove(progress)
            logger.info("older epoch delivered epoch=%s", progress.log.epoch.id)
            for ended in [one for one in self._log.ended if one is progress.log]:
                await ended.keep()
                self._log.ended.remove(ended)

    async def _send(self, connection: Connection) -> None:
        """Hands over records, what is new before the backlog and older epochs last, as long as there is room."""
        for rank, progress, stretch in all_stretches(self._all):
            while connection.room > 0 and stretch.left and self._may_send(rank, progress):
                if self._send_hashes(connection, progress, stretch, full=topics.MAX_HASHES):
                    continue
                seq, record = await stretch.take()
                if record is None:
                    progress.log.incomplete()
                if record is None or seq in progress.aside or seq in progress.done:
                    progress.settle(seq)
                    continue
                raw = json.loads(record)
                topic = topics.topic_of(raw, interval_s=self._interval_s)
                sent = _Sent(progress, seq, raw["kind"])
                if connection.packet_limit and len(record) + len(topic) + PACKET_OVERHEAD > connection.packet_limit:
                    await self._set_aside(sent, "larger than the broker takes")
                else:
                    self._sent[connection.publish(topic, record)] = sent
            if not stretch.left and connection.room > 0:
                self._send_hashes(connection, progress, stretch, full=1)

    def _send_proofs(self, connection: Connection) -> None:
        """The newest checkpoint, once the newest record was handed over; again after an interval of silence.

        An older epoch's last one follows its last record, once, not retained: the newest must stay.
        """
        now_ms = self._clock.boot_ms()
        for progress in self._older:
            if not progress.left and not progress.checkpointed and connection.room > 0:
                self._publish_checkpoint(connection, progress, retain=False)
        newest = self._newest
        if newest.stretches[0].left or not self._log.checkpoint or connection.room <= 0:
            return
        if newest.checkpointed == self._log.checkpoint and now_ms < self._checkpoint_ms + self._interval_s * 1000:
            return
        self._checkpoint_ms = now_ms
        self._publish_checkpoint(connection, newest, retain=True)

    def _publish_checkpoint(self, connection: Connection, progress: Progress, *, retain: bool) -> None:
        who = self._log.identity
        progress.checkpointed = progress.log.checkpoint
        connection.publish(topics.checkpoint(who.park, who.gateway), progress.checkpointed.encode(), retain=retain)

    def _send_live(self, connection: Connection) -> None:
        """The latest values once a commit brought new ones. At most once: who misses them sees the next."""
        now_ms, size = self._clock.boot_ms(), self._log.size
        if self._live is None or size == self._shown[0] or now_ms < self._shown[1] + LIVE_EVERY_S * 1000:
            return
        self._shown = size, now_ms
        who, payload = self._log.identity, self._live(self._clock.wall_ms())
        if connection.packet_limit is None or len(payload) + PACKET_OVERHEAD < connection.packet_limit:
            topic = topics.live(who.park, who.gateway)
            connection.publish(topic, payload, qos=0, expires_s=LIVE_INTERVALS * self._interval_s)

    def _send_hashes(self, connection: Connection, progress: Progress, stretch: Stretch, *, full: int) -> bool:
        if connection.packet_limit:
            full = min(full, max(1, (connection.packet_limit - 2 * PACKET_OVERHEAD) // 67))
        if len(stretch.leaves) < full:
            return False
        who = self._log.identity
        first = stretch.next - len(stretch.leaves)
        body = {"epoch": progress.log.epoch.id, "from": first, "hashes": stretch.leaves}
        connection.publish(topics.hashes(who.park, who.gateway), canonical(body))
        stretch.leaves = []
        return True

    async def _take_answers(self, connection: Connection) -> None:
        while connection.answers:
            mid, code = connection.answers.popleft()
            sent = self._sent.pop(mid, None)
            if sent is None:
                if code.is_failure:
                    logger.warning("broker refuses what is no record reason=%s", code)
            elif code.is_failure:
                await self._set_aside(sent, str(code))
            elif sent.again:
                sent.of.aside.discard(sent.seq)
                await sent.of.log.taken_after_all(sent.seq)
                logger.info("record taken after all seq=%d", sent.seq)
            else:
                sent.of.settle(sent.seq)

    async def _take_receipts(self, connection: Connection) -> None:
        while connection.arrived:
            topic, payload = connection.arrived.popleft()
            try:
                receipt = await receive(payload, self._log)
                if receipt is None:
                    continue
                who = self._log.identity
                if topic != topics.receipt(who.park, who.gateway, receipt.auditor):
                    raise ReceiptRefused("stands on another topic")
            except RolledBack as error:
                self._log.disown(error.note)
                raise
            except ReceiptRefused as error:
                logger.debug("receipt ignored topic=%s %s", topic, error)
                self._doubt(error)
                continue
            self._take(receipt)
            self._newest.witnessed(self._clock.boot_ms())
        self._newest.mark()

    def _resend_if_overdue(self) -> None:
        for progress in self._all:
            if progress.resend(self._clock.boot_ms()):
                self._sent = {mid: sent for mid, sent in self._sent.items() if sent.of is not progress}

    async def _retry_aside(self, connection: Connection) -> None:
        """Once a day, records that were refused."""
        if self._clock.boot_ms() < self._retry_ms:
            return
        self._retry_ms = self._clock.boot_ms() + self._interval_s * 1000
        under_way = {(sent.of, sent.seq) for sent in self._sent.values()}
        for progress in self._all:
            due = await progress.log.aside(self._clock.wall_ms() - RETRY_MS)
            due = [aside for aside in due if (progress, aside.seq) not in under_way]
            for aside in due[: max(0, connection.room)]:
                for seq, record, _ in await progress.log.read(aside.seq, 1):
                    if seq == aside.seq and record is not None:
                        raw = json.loads(record)
                        topic = topics.topic_of(raw, interval_s=self._interval_s)
                        self._sent[connection.publish(topic, record)] = _Sent(progress, seq, raw["kind"], again=True)
                        self._retry_ms = 0  # there may be more

    async def _set_aside(self, sent: _Sent, reason: str) -> None:
        """Named once: where it was set aside before, that is no news."""
        sent.of.aside.add(sent.seq)
        await sent.of.log.set_aside(sent.seq, reason, self._clock.wall_ms())
        sent.of.settle(sent.seq)
        if not sent.again:
            logger.warning("record set aside seq=%d kind=%s reason=%s", sent.seq, sent.kind, reason)
            self._refused(sent.seq, sent.kind, reason)

    async def _suspect_first(self, *, progress: bool) -> None:
        """After a loss: what is in flight is forgotten; a record over which every connection is lost is set aside."""
        in_flight = [sent for sent in self._sent.values() if not sent.again]
        first = min(in_flight, key=lambda sent: (sent.of is not self._newest, sent.seq), default=None)
        if progress or first is None:
            self._suspect = (None, 0)
            return
        self._suspect = (first, self._suspect[1] + 1 if first == self._suspect[0] else 1)
        if self._suspect[1] >= FRUITLESS:
            self._suspect = (None, 0)
            await self._set_aside(first, "every connection was lost over it")

    def _may_send(self, rank: int, progress: Progress) -> bool:
        """The backlog of a metered uplink, and everything that was sent twice in vain, at PACED_PER_S."""
        if not progress.is_slow and not (self._metered and rank > 0):
            return True
        now_ms = self._clock.boot_ms()
        self._credit = min(BURST, self._credit + (now_ms - self._credit_ms) / 1000 * PACED_PER_S)
        self._credit_ms = now_ms
        if self._credit < 1:
            return False
        self._credit -= 1
        return True

    def _patience_s(self) -> float:
        """How long to wait when nothing happens."""
        if self._left and (self._metered or any(progress.is_slow for progress in self._all)):
            return BURST / PACED_PER_S
        return min(ANSWER_S / 4, self._interval_s) if self._sent else float(self._interval_s)

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
