"""An event loop whose timers keep their microseconds: the silence before a Modbus request is 3.6 ms, not 4 or 5.

epoll_wait counts in whole milliseconds, so asyncio rounds every wait up to the next one: at 9600 baud that is 1 % of an
exchange. An epoll descriptor can itself be waited for by select, which counts in microseconds; waits that are long
enough for a millisecond not to matter go the usual way.
"""

from __future__ import annotations

import asyncio
import ctypes
import select
import selectors

PRECISE_BELOW_S = 0.05
PR_SET_TIMERSLACK = 29  # linux/prctl.h


class PreciseSelector(selectors.EpollSelector):
    """epoll for any number of descriptors, select for the time."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None and 0 < timeout < PRECISE_BELOW_S:
            if not select.select([self.fileno()], [], [], timeout)[0]:
                return []
            timeout = 0
        return super().select(timeout)


def _keep_time_sharp() -> None:
    """The kernel puts off a thread's timers by up to 50 µs, to wake up for several at once; not this one's."""
    ctypes.CDLL(None).prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0)  # nanoseconds; fails nowhere that matters


def precise_loop() -> asyncio.AbstractEventLoop:
    """For `asyncio.Runner(loop_factory=…)`. select takes descriptors below 1024: make the loop before the rest."""
    _keep_time_sharp()
    return asyncio.SelectorEventLoop(PreciseSelector())
