"""The watchdog is fed only as long as every line and the writer move."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from agent.supervise import STUCK_MS, watch
from drivers.clock import VirtualClock


def fed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stuck_after_s: float) -> int:
    """Meals in ten minutes with WatchdogSec=180, where one of three stops moving."""
    clock = VirtualClock(1_790_000_000_000)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(0)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "180000000")

        def alive_ms() -> list[int]:
            now_ms = clock.boot_ms()
            return [now_ms, min(now_ms, 60_000 + round(stuck_after_s * 1000)), now_ms]

        async def main() -> None:
            watching = asyncio.create_task(watch(clock, alive_ms))
            await clock.sleep(600)
            watching.cancel()

        clock.run(main())
        meals = 0
        try:
            while systemd.recv(100) == b"WATCHDOG=1":
                meals += 1
        except BlockingIOError:
            return meals
    raise AssertionError("something else than the watchdog was told")


def test_it_is_fed_every_minute_while_all_move(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert fed(tmp_path, monkeypatch, stuck_after_s=600) == 10


def test_it_starves_when_one_line_stands_still(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert fed(tmp_path, monkeypatch, stuck_after_s=100) == 1 + (100_000 + STUCK_MS) // 60_000
