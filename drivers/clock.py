"""Wall time, boot time and sleep: one object, real or virtual, handed to everything that needs time.

Control (timeouts, schedule) uses the event loop's own time; a virtual clock therefore brings its own event loop,
whose time jumps from one timer to the next whenever nothing is left to do, at most `speed` times as fast as the
real one. `hold()` stops virtual time while something that takes no virtual time is under way: bytes inside a
pseudo-terminal, a commit on its thread. With the real clock it does nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import selectors
import time
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, Protocol, TypeVar

T = TypeVar("T")

BUILD_MS = 1_788_220_800_000  # 2026-09-01: a wall clock before this has not been set
STA_UNSYNC = 0x40  # adjtimex status bit: the kernel says nobody disciplines it
SYNC_ERROR_LIMIT_MS = 1000  # more than this estimated error is not `disciplined`
DRIFT_PPM = 100  # of an undisciplined crystal, so 8.6 s a day


class Clock(Protocol):
    """Time as the agent may know it."""

    boot_id: str  # 32 hex digits, new at every boot

    def boot_ms(self) -> int:
        """Milliseconds since boot, suspend included; never steps."""
        ...

    def awake_ms(self) -> int:
        """Milliseconds of a clock that stands still while the host is suspended, as every timer does; never steps."""
        ...

    def wall_ms(self) -> int:
        """UTC as the host believes it, ms since 1970; may step."""
        ...

    def sync(self) -> tuple[str, int | None]:
        """State of the wall clock: (`none`|`held`|`disciplined`, estimated error in ms or None)."""
        ...

    async def sleep(self, seconds: float) -> None: ...

    def hold(self) -> contextlib.AbstractContextManager[None]: ...


class RealClock:
    """The host's clocks. `trusted`: the site vouches for the wall clock (config `gateway.clock`)."""

    def __init__(self, *, trusted: bool = False) -> None:
        self.boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip().replace("-", "")
        self._trusted = trusted
        self._last_sync: tuple[int, int] | None = None  # boot_ms, error_ms when last disciplined

    def boot_ms(self) -> int:
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000

    def awake_ms(self) -> int:
        return time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1_000_000

    def wall_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def sync(self) -> tuple[str, int | None]:
        if self._trusted:
            return "held", None
        if self.wall_ms() < BUILD_MS:
            return "none", None
        kernel = _kernel_sync()
        if kernel is not None and kernel < SYNC_ERROR_LIMIT_MS:
            self._last_sync = (self.boot_ms(), kernel)
            return "disciplined", kernel
        if self._last_sync is None:
            return "none", None
        since, error = self._last_sync
        return "held", error + (self.boot_ms() - since) * DRIFT_PPM // 1_000_000 + 1

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        yield


def _kernel_sync() -> int | None:
    """Estimated error in ms as the kernel states it, None while nobody disciplines it (adjtimex(2))."""
    buffer = (ctypes.c_long * 26)()  # struct timex, 208 bytes on 64-bit; a longer buffer is harmless on 32-bit
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.adjtimex(ctypes.byref(buffer)) < 0:
        return None
    # modes(int, padded), offset, freq, maxerror, esterror, status(int)
    max_error_us, status = buffer[3], buffer[5] & 0xFFFFFFFF
    return None if status & STA_UNSYNC else int(max_error_us) // 1000


class VirtualClock:
    """A clock for simulation and tests: `run` plays a coroutine in virtual time.

    speed: virtual seconds a real second at most; None as fast as the work allows. Boot time starts at
    `boot_ms`; wall time is settable, as a host's is.
    """

    def __init__(
        self,
        start_ms: int,
        *,
        speed: float | None = None,
        boot_ms: int = 60_000,
        boot_id: str = "0" * 32,
        sync: tuple[str, int | None] = ("disciplined", 5),
    ) -> None:
        self.boot_id = boot_id
        self.speed = speed
        self.state = sync
        self._wall_offset_ms = start_ms - boot_ms
        self._suspended_ms = 0
        self._now = boot_ms / 1000.0
        self._holds = 0
        self._anchor: tuple[float, float] | None = None  # real and virtual seconds when pacing began
        self._loop: asyncio.AbstractEventLoop | None = None

    def boot_ms(self) -> int:
        return round(self._now * 1000) + self._suspended_ms

    def awake_ms(self) -> int:
        return round(self._now * 1000)

    def wall_ms(self) -> int:
        return self.boot_ms() + self._wall_offset_ms

    def suspend(self, ms: int) -> None:
        """The host sleeps and wakes: its clocks go on, the event loop's time and every timer stood still."""
        self._suspended_ms += ms

    def step(self, ms: int) -> None:
        """Steps the wall clock, as a false time source or a person does."""
        self._wall_offset_ms += ms

    def pace(self, speed: float | None) -> None:
        """Changes the speed from here on."""
        self.speed, self._anchor = speed, None

    def sync(self) -> tuple[str, int | None]:
        return self.state

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        self.acquire()
        try:
            yield
        finally:
            self.release()

    def acquire(self) -> None:
        """Stops virtual time until as many releases; must be called on the clock's own loop."""
        self._holds += 1

    def release(self) -> None:
        self._holds -= 1
        assert self._holds >= 0, "released more often than held"

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Plays `main` to its end on an event loop of this clock's time."""
        with asyncio.Runner(loop_factory=lambda: _VirtualLoop(self)) as runner:
            return runner.run(main)

    # what the selector below needs
    def wait_before(self, timeout: float | None) -> float | None:
        """Real seconds to wait for I/O before virtual time may move by `timeout`; None: until I/O comes."""
        if timeout is None or self._holds:
            return None
        if self.speed is None:
            return 0.0
        real = time.monotonic()
        if self._anchor is None:
            self._anchor = (real, self._now)
        began_real, began = self._anchor
        return max(0.0, began_real + (self._now + timeout - began) / self.speed - real)

    def move(self, timeout: float) -> None:
        self._now += timeout

    def move_with_real_time(self, limit: float) -> None:
        """I/O came before the next timer: virtual time is where the pace puts it, never past that timer."""
        if self.speed is None or self._anchor is None:
            return
        began_real, began = self._anchor
        paced = began + (time.monotonic() - began_real) * self.speed
        self._now = max(self._now, min(paced, self._now + limit))


class _PacedSelector(selectors.DefaultSelector):
    """The event loop asks it to wait only when nothing is ready: the one moment at which virtual time may move."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None and timeout <= 0:
            return super().select(0)
        ready = super().select(0)
        if ready:
            return ready
        wait = self._clock.wait_before(timeout)
        if wait != 0:  # else that was the look just taken
            ready = super().select(wait)
        if timeout is not None and not self._clock._holds:
            if ready:
                self._clock.move_with_real_time(timeout)
            else:
                self._clock.move(timeout)
        return ready


class _VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        super().__init__(_PacedSelector(clock))

    def time(self) -> float:
        return self._clock._now
