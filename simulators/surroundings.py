"""What an agent needs beside its lines, well or not as a scenario says: a broker on loopback, room on its disk.

    broker_gone     the process ends, and starts again when the fault is over
    broker_silent   the process is stopped: connections are taken by the kernel, and nobody answers
    disk_full       a file beside the store takes what is left; only on a small file system of its own

An agent, ours or another, runs against it in a process of its own.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

from simulators.broker import embedded_broker

LOOK_S = 0.2
LARGEST_DISK = 1 << 30  # bytes of a file system that may be filled: never a machine's own
BALLAST = ".ballast"
Active = Callable[[str], float | None]  # kind of fault → its amount now, None where it is not


class NotFilled(ValueError):
    """A file system that is too large to be filled for an exercise."""


async def play_broker(port: int, active: Active, ready: asyncio.Event) -> None:
    """Until cancelled. ready: set when the broker listens, or is gone by the scenario. Raises BrokerMissing."""
    while True:
        if active("broker_gone") is not None:
            ready.set()
            await asyncio.sleep(LOOK_S)
            continue
        async with embedded_broker(port=port) as broker:
            ready.set()
            silent = False
            try:
                while active("broker_gone") is None:
                    if (active("broker_silent") is not None) != silent:
                        silent = not silent
                        os.kill(broker.pid, signal.SIGSTOP if silent else signal.SIGCONT)
                    await asyncio.sleep(LOOK_S)
            finally:
                if silent:  # or it would not hear that it is to end
                    os.kill(broker.pid, signal.SIGCONT)


async def play_disk(data: Path, active: Active) -> None:
    """Until cancelled; the ballast goes with it. Raises NotFilled, OSError."""
    os.makedirs(data, exist_ok=True)
    if shutil.disk_usage(data).total > LARGEST_DISK:
        raise NotFilled(f"{data}: a file system of more than {LARGEST_DISK >> 20} MiB is not filled")
    ballast = data / BALLAST
    try:
        while True:
            left_kib = active("disk_full")
            if left_kib is None:
                ballast.unlink(missing_ok=True)
            else:
                fill(ballast, round(left_kib * 1024))
            await asyncio.sleep(LOOK_S)
    finally:
        ballast.unlink(missing_ok=True)


def fill(ballast: Path, left: int) -> None:
    """Grows the file until about `left` bytes are free."""
    excess = shutil.disk_usage(ballast.parent).free - left
    if excess <= 0:
        return
    with ballast.open("ab") as file:
        os.posix_fallocate(file.fileno(), file.tell(), excess)
