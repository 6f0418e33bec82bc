"""Two device files joined like the ends of a cable: what is written into one can be read from the other."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tty
from collections.abc import AsyncIterator


@contextlib.asynccontextmanager
async def cable() -> AsyncIterator[tuple[str, str]]:
    """The paths of both ends."""
    loop = asyncio.get_running_loop()
    ends = [os.openpty() for _ in range(2)]
    for _, slave in ends:
        tty.setraw(slave)
    (one, _), (other, _) = ends
    loop.add_reader(one, lambda: os.write(other, os.read(one, 4096)))
    loop.add_reader(other, lambda: os.write(one, os.read(other, 4096)))
    try:
        yield os.ttyname(ends[0][1]), os.ttyname(ends[1][1])
    finally:
        for master, slave in ends:
            loop.remove_reader(master)
            os.close(master)
            os.close(slave)
