"""`hubiao demo`: a simulated park on real pseudo-terminals, an embedded broker, the agent and a subscriber.

    simulator ⇄ pty ⇄ agent ─▶ store ─▶ broker ─▶ subscriber ─▶ this terminal

Loopback only, nothing else installed. What it prints was received over MQTT; only the simulator's truth is its own.
"""

from __future__ import annotations

import asyncio
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agent.app import Agent
from agent.cli import Failure
from agent.cli.demo_report import Report
from agent.cli.demo_subscriber import Subscriber
from agent.cli.durations import DURATION
from agent.cli.places import effective
from agent.cli.words import t
from agent.evidence.store import StoreError
from contract.records import parse_instant
from drivers.clock import VirtualClock
from drivers.ports.serial import SerialPort
from simulators.broker import BrokerMissing, embedded_broker
from simulators.held import HeldPort
from simulators.site import Site

if TYPE_CHECKING:
    from agent.web.serve import PageServer  # the extra `web`

SAMPLE = Path(__file__).parents[2] / "config" / "samples" / "demo.yaml"
START = "2026-07-14T21:59:30.000Z"  # half a minute before 06:00 in the park, a summer working day
SEED = 20260715
LISTENING_S = 5.0  # for the status page to start
LAST_SWEEP_S = 30.0  # so that the slot at the very end is read too


@click.command()
@click.option("--speed", type=click.FloatRange(min=1), default=600.0, show_default=True)
@click.option(
    "--for", "for_s", type=DURATION, default=60.0, help="60s, 2min; " + t("从第一个时刻起", "from the first slot")
)
@click.option(
    "--days", type=click.IntRange(min=1), default=None, help=t("模拟天数,尽快完成", "so many days, as fast as can be")
)
@click.option("--data", type=click.Path(path_type=Path), default=None, help="DIR")
@click.option("--web", type=click.IntRange(0, 65535), default=None, metavar="PORT", help=t("状态页", "status page"))
@click.option("--broker", type=click.Choice(["iotcore", "mosquitto"]), default="iotcore", show_default=True)
def demo(speed: float, for_s: float, days: int | None, data: Path | None, web: int | None, broker: str) -> None:
    """演示 / the whole chain on this machine; stops by itself, or with Ctrl-C."""
    with tempfile.TemporaryDirectory(prefix="hubiao-demo-") as temporary:
        config = effective(SAMPLE)
        config["private"]["data"] = str(data or temporary)
        virtual_s = days * 86400.0 if days else for_s * speed
        run = _Run(config, None if days else speed, virtual_s, web)
        try:
            report = asyncio.run(run.go(broker))
        except BrokerMissing as error:
            raise Failure(str(error), 69) from error
        except StoreError as error:
            raise Failure(str(error), 74) from error
        report.close()


class _Run:
    """One demo. The broker lives on the real event loop, park and agent on a virtual one in a thread of its own."""

    def __init__(self, config: dict[str, object], speed: float | None, virtual_s: float, web: int | None) -> None:
        self.config, self.virtual_s, self.web = config, virtual_s, web
        self.clock = VirtualClock(parse_instant(START), speed=speed)
        self.interrupted = threading.Event()

    async def go(self, prefer: str) -> Report:
        async with embedded_broker(prefer) as address:
            private = self.config["private"]
            assert isinstance(private, dict)
            private["mqtt"] = {"url": address.url}
            site = Site(self.config, now_ms=self.clock.wall_ms, seed=SEED)
            report = Report(self.config, site.truth)
            with Subscriber(address.host, address.port, report.receive) as subscriber:
                report.open(address)
                try:
                    agent = await asyncio.to_thread(self.clock.run, self._live(site))
                except asyncio.CancelledError:
                    self.interrupted.set()  # Ctrl-C: the thread ends its park, then we go
                    raise
                await subscriber.until(agent.log.size)
            report.verifier_key = agent.log.epoch.vkey
            return report

    async def _live(self, site: Site) -> Agent:
        await site.open(lambda _url: None)
        agent = Agent(
            self.config,
            self.clock,
            open_port=lambda line: HeldPort(SerialPort(site.ports[line["id"]]), self.clock, site.wires[line["id"]]),
        )
        await agent.open()
        page = None if self.web is None else _shown(agent, self.web)
        stop = asyncio.Event()
        running = asyncio.create_task(agent.run(stop))
        first_slot_ms = self.clock.wall_ms() // 1000 // agent.plan.interval_s * agent.plan.interval_s * 1000
        first_slot_ms += agent.plan.interval_s * 1000
        await self._pass((first_slot_ms - self.clock.wall_ms()) / 1000 + self.virtual_s + LAST_SWEEP_S, running)
        self.clock.pace(1.0)  # the farewell happens in real time
        stop.set()
        await running
        if page is not None:
            page.stop()
        await site.close()
        return agent

    async def _pass(self, seconds: float, running: asyncio.Task[None]) -> None:
        """Lets virtual time go by in steps, so that an interruption or a fault of the agent ends it."""
        while seconds > 0 and not self.interrupted.is_set() and not running.done():
            step = min(seconds, 60.0)
            await self.clock.sleep(step)
            seconds -= step


def _shown(agent: Agent, port: int) -> PageServer:
    """The agent's status page on loopback. Exit 69 where the port is taken, 1 without the extra `web`."""
    try:
        from agent.web.access import Access
        from agent.web.serve import PageServer
        from agent.web.snapshot import Looker
    except ImportError as error:
        raise Failure(t("状态页需要安装 hubiao[web]", "the status page needs hubiao[web]"), 1) from error
    page = PageServer(Looker(agent), Access("127.0.0.1", port))
    if not page.start(LISTENING_S):
        raise Failure(t(f"端口 {port} 已被占用", f"port {port} is taken"), 69)
    click.echo(t(f"  状态页 {page.address}", f"  status page {page.address}"))
    return page
