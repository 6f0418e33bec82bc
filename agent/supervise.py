"""Telling systemd how we are: ready, stopping, and alive only while every line and the writer move (sd_notify(3))."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable

from drivers.clock import Clock

STUCK_MS = 150_000  # without a sign of life; a waiting poller and the recorder give one at least every minute


def notify(state: str) -> None:
    """Sends one state to systemd; nothing without NOTIFY_SOCKET."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):  # an abstract socket
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.connect(address)
        sender.sendall(state.encode())


async def watch(clock: Clock, alive_ms: Callable[[], Iterable[int]]) -> None:
    """Feeds the watchdog, if systemd set one, as long as the oldest sign of life is young enough."""
    period_us = int(os.environ.get("WATCHDOG_USEC") or 0)
    while period_us:
        if clock.boot_ms() - min(alive_ms(), default=0) < STUCK_MS:
            notify("WATCHDOG=1")
        await clock.sleep(period_us / 1e6 / 3)
