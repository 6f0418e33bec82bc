"""What a line's time goes to, by kind of work: its priorities, so that they can be seen.

slot       the reads that must be at the slot, with their confirmations
again      who was silent or garbled in its turn, behind all others
memory     slots from the meters' own memories, on a line too long for the window (own_memory.py)
probe      silent meters, from an allowance of 3 % (turns.py)
backfill   gaps from the meters' own memories          ┐
watch      event counters, clocks, phases              │ between sweeps only, broken off before the next
monthly    maximum demands and settlements             ┘
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Literal, get_args

Work = Literal["slot", "again", "memory", "probe", "backfill", "watch", "monthly"]
PRIORITIES: tuple[Work, ...] = get_args(Work)  # the first goes before all others


class Airtime:
    """Seconds of one line since it was made. now_s: of a clock that never steps."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self.spent_s: dict[Work, float] = dict.fromkeys(PRIORITIES, 0.0)
        self._now_s = now_s

    @contextlib.contextmanager
    def on(self, work: Work) -> Iterator[None]:
        began_s = self._now_s()
        try:
            yield
        finally:
            self.spent_s[work] += self._now_s() - began_s
