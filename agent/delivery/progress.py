"""How far one log has come: what is handed over next, what the broker acknowledged, when to begin again (no network).

    delivered ──── acknowledged ──── handed over ──── left ────▶ end

The newest epoch's log and the ends of older ones are alike here. Without auditors an acknowledgement delivers; with
them a receipt does, and where none comes for what was acknowledged long ago, everything since the last one goes out
again.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Protocol

from agent.delivery.sending import Rows, Stretch, stretches
from agent.evidence.store import Aside, Epoch
from contract.note import VerifierKey

logger = logging.getLogger(__name__)
RESEND_INTERVALS = 3  # without a receipt for what was acknowledged: the broker may have dropped it
RESEND_NEAR = 10_000  # records that a new connection sends again: three minutes of a metered uplink
RESEND_MOST = 96  # the wait doubles up to this many intervals: an auditor on holiday costs no traffic


class Source(Rows, Protocol):
    """A log that is sent: `agent.evidence.log.Log`, or what is left of an older epoch (`agent.evidence.ended.Ended`).

    delivered: mark below which nothing is sent again. testimony: size above which nothing is worth a receipt.
    """

    epoch: Epoch
    auditors: tuple[VerifierKey, ...]
    delivered: int
    checkpoint: str

    @property
    def testimony(self) -> int: ...

    @property
    def witnessed_by_all(self) -> int: ...

    def incomplete(self) -> None: ...

    async def set_aside(self, seq: int, reason: str, tried_ms: int) -> None: ...

    async def aside(self, tried_before_ms: int) -> list[Aside]: ...

    async def taken_after_all(self, seq: int) -> None: ...


class Progress:
    """Of one log; every time in ms of the boot clock."""

    def __init__(self, log: Source, interval_s: int, now_ms: int) -> None:
        self.log = log
        self.acked = log.delivered  # every record below was acknowledged or set aside since we last went back
        self.began_at = self.acked  # when this connection began
        self.done: set[int] = set()  # acknowledged or set aside, above that
        self.aside: set[int] = set()  # refused by the broker
        self.stretches: list[Stretch] = []
        self.checkpointed = ""  # the checkpoint that was published last
        self.progress_ms = now_ms  # of the last receipt, or of the last resend
        self._interval_ms = interval_s * 1000
        self._resend_intervals = RESEND_INTERVALS

    @property
    def left(self) -> bool:
        """Whether records are still to be handed over."""
        return any(stretch.left for stretch in self.stretches)

    @property
    def is_complete(self) -> bool:
        """Whether all is delivered, and the hashes and the checkpoint that prove it are handed over."""
        unsent = any(stretch.left or stretch.leaves for stretch in self.stretches)
        return self.log.delivered >= self.log.size and bool(self.checkpointed) and not unsent

    @property
    def waiting(self) -> int:
        """Committed records that the broker has not acknowledged yet."""
        return self.log.size - self.acked - len(self.done)

    @property
    def is_slow(self) -> bool:
        """Whether sending again did not help: a broker may have dropped what did not fit into an auditor's queue."""
        return self._resend_intervals > 2 * RESEND_INTERVALS

    def settle(self, seq: int) -> None:
        """The broker has it, or will not have it."""
        if seq >= self.acked:
            self.done.add(seq)
        while self.acked in self.done:
            self.done.remove(self.acked)
            self.acked += 1
        self.mark()

    def mark(self) -> None:
        """Moves the delivery mark up to what is delivered."""
        held = min(self.acked, self.log.witnessed_by_all) if self.log.auditors else self.acked
        self.log.delivered = max(self.log.delivered, held)

    def witnessed(self, now_ms: int) -> None:
        """A receipt came."""
        self.progress_ms, self._resend_intervals = now_ms, RESEND_INTERVALS

    async def connected(self) -> None:
        """On a new connection: goes on where the last one was cut, or gives again what a lost broker may have lost."""
        self.aside = {aside.seq for aside in await self.log.aside(1 << 62)}
        if not self.left and self.acked - self.log.delivered <= RESEND_NEAR:
            self._go_back()
        else:
            self._begin_again()

    def resend(self, now_ms: int) -> bool:
        """Goes back to the last receipt when none comes for what was acknowledged long ago; whether it did.

        An auditor needs all below a checkpoint, so while records are still to be handed over none is owed.
        """
        witnessed = self.log.witnessed_by_all
        owed = self.log.auditors and witnessed < min(self.acked, self.log.testimony)
        if not owed or self.left:
            self.progress_ms = now_ms
        elif now_ms > self.progress_ms + self._resend_intervals * self._interval_ms:
            logger.warning("no receipt for what was acknowledged: sending again from=%d", witnessed)
            self._resend_intervals = min(2 * self._resend_intervals, RESEND_MOST)
            self.progress_ms = now_ms
            self._go_back()
            return True
        return False

    def _begin_again(self) -> None:
        """What was in flight is forgotten, what was acknowledged is not sent again."""
        self.began_at = self.acked
        self.stretches = stretches(self.log, self.acked)
        self.checkpointed = ""

    def _go_back(self) -> None:
        """Everything since the last receipt counts as not acknowledged."""
        self.acked = self.log.delivered
        self.done.clear()
        self._begin_again()


def all_stretches(sent: Sequence[Progress]) -> list[tuple[int, Progress, Stretch]]:
    """Everything that is handed over, the most urgent first, with its rank: 0 is what is new."""
    found = [(progress, stretch) for progress in sent for stretch in progress.stretches]
    return [(rank, progress, stretch) for rank, (progress, stretch) in enumerate(found)]
