"""Which record is handed over next: what is new first, the backlog behind it, each in order of the log (no network).

first ──── backlog ────▶ ┆ newest ────▶ end of the log
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

from contract.tree import leaf_hash

NEWEST = 1000  # records: about the last sweep of a large park; whoever is further behind drains the rest in parallel
READ_AHEAD = 512  # a batch is unpacked as a whole anyway


class Rows(Protocol):
    """What is read of a log that is sent."""

    @property
    def size(self) -> int: ...

    async def read(self, first: int, count: int) -> list[tuple[int, bytes | None, bytes]]:
        """(index, record or None where it was given up, leaf hash) from an index on."""
        ...


@dataclass(slots=True)
class Stretch:
    """Records from `next` up to `end` (None: as far as the log goes), and leaf hashes not yet published."""

    log: Rows
    next: int
    end: int | None = None
    leaves: list[str] = field(default_factory=list)
    _ahead: deque[tuple[int, bytes | None, bytes]] = field(default_factory=deque)

    @property
    def left(self) -> int:
        """Records still to be handed over."""
        return max(0, (self.log.size if self.end is None else self.end) - self.next)

    async def take(self) -> tuple[int, bytes | None]:
        """The next record, None for its bytes where they were given up or are damaged. Only while `left`."""
        if not self._ahead or self._ahead[0][0] != self.next:
            self._ahead = deque(await self.log.read(self.next, min(READ_AHEAD, self.left)))
        seq, record, leaf = self._ahead.popleft()
        if record is not None and leaf_hash(record) != leaf:
            record = None
        self.leaves.append(leaf.hex())
        self.next = seq + 1
        return seq, record


def stretches(log: Rows, first: int) -> list[Stretch]:
    """What a connection has to send from an index on, the most urgent first."""
    newest = log.size - NEWEST
    if first >= newest:
        return [Stretch(log, first)]
    return [Stretch(log, newest), Stretch(log, first, newest)]
