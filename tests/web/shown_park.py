"""The demo's park, played on pseudo-terminals in virtual time, with its status page: for tests and for a browser."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agent.app import Agent
from agent.web.access import Access
from agent.web.serve import PageServer
from agent.web.snapshot import Looker
from config.load import load
from contract.records import parse_instant
from drivers.clock import VirtualClock
from drivers.ports.serial import SerialPort
from simulators.broker import embedded_broker
from simulators.faults import Fault
from simulators.held import HeldPort
from simulators.site import Site

SAMPLE = Path(__file__).parents[2] / "config" / "samples" / "demo.yaml"
START = "2026-07-14T21:59:30Z"  # 05:59:30 in the park
HOUR_MS = 3_600_000


class Shown:
    """A park that runs until `close`: first `warm_s` virtual seconds as fast as can be, from `go` on at `speed`."""

    def __init__(self, data: Path, faults: Sequence[Fault], *, speed: float, warm_s: float) -> None:
        loaded = load(SAMPLE)
        assert loaded.config is not None, loaded.faults
        self.config: dict[str, Any] = loaded.config
        self.config["private"]["data"] = str(data)
        self.clock = VirtualClock(parse_instant(START), speed=None)
        self.page: PageServer | None = None
        self._faults, self._speed, self._warm_s = faults, speed, warm_s
        self._warm, self.go, self._over = threading.Event(), threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="park")

    def open(self, limit_s: float) -> str:
        """The page's address, once the park is warm."""
        self._thread.start()
        assert self._warm.wait(limit_s), "the park did not start"
        assert self.page is not None
        return self.page.address

    def close(self) -> None:
        self._over.set()
        self._thread.join(20)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        asyncio.run(self._with_broker())

    async def _with_broker(self) -> None:
        async with embedded_broker("iotcore") as address:
            self.config["private"]["mqtt"] = {"url": address.url}
            await asyncio.to_thread(lambda: self.clock.run(self._live()))

    async def _live(self) -> None:
        site = Site(self.config, now_ms=self.clock.wall_ms, seed=20260715, faults=self._faults)
        await site.open(lambda _url: None)
        agent = Agent(
            self.config,
            self.clock,
            open_port=lambda line: HeldPort(SerialPort(site.ports[line["id"]]), self.clock, site.wires[line["id"]]),
        )
        await agent.open()
        self.page = PageServer(Looker(agent), Access("127.0.0.1", 0))
        stop = asyncio.Event()
        running = asyncio.create_task(agent.run(stop))
        await self.clock.sleep(self._warm_s)
        self.clock.pace(1.0)
        assert self.page.start(5.0), "the page does not listen"
        self._warm.set()
        while not self.go.is_set() and not self._over.is_set():
            await self.clock.sleep(0.1)
        self.clock.pace(self._speed)
        while not self._over.is_set() and not running.done():
            await self.clock.sleep(self._speed / 10)
        self.clock.pace(1.0)
        self.page.stop()
        stop.set()
        await running
        await site.close()


@contextmanager
def shown(
    data: Path, faults: Sequence[Fault] = (), *, speed: float = 600.0, warm_s: float = 2700.0, limit_s: float = 30.0
) -> Iterator[tuple[str, Shown]]:
    """(address, park)."""
    park = Shown(data, faults, speed=speed, warm_s=warm_s)
    try:
        yield park.open(limit_s), park
    finally:
        park.close()
