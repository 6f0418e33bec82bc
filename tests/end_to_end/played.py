"""Plays a configured park in virtual time: simulator on ptys, agent, real broker, a subscriber keeping all."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from agent.app import Agent
from config.load import load
from contract.records import parse_instant
from drivers.clock import VirtualClock
from drivers.ports.choose import port_for
from simulators.broker import embedded_broker
from simulators.faults import Fault
from simulators.held import HeldPort
from simulators.site import Site

SAMPLES = Path(__file__).parents[2] / "config" / "samples"
START = "2026-07-14T22:00:00Z"  # 06:00 in the park


@dataclass
class Listener:
    """A subscriber of `hubiao/#` on a thread of its own."""

    host: str
    port: int
    messages: list[tuple[str, bytes]] = field(default_factory=list)

    def __enter__(self) -> Listener:
        ready = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.on_connect = lambda c, *_: c.subscribe("hubiao/#", qos=1)
        self._client.on_subscribe = lambda *_: ready.set()
        self._client.on_message = lambda _c, _u, m: self.messages.append((m.topic, m.payload))
        self._client.connect(self.host, self.port)
        self._client.loop_start()
        assert ready.wait(10), "the broker did not answer the subscription"
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def demo_config(data: Path) -> dict[str, Any]:
    loaded = load(SAMPLES / "demo.yaml")
    assert loaded.config is not None, loaded.faults
    loaded.config["private"]["data"] = str(data)
    loaded.config["private"]["mqtt"] = None
    return loaded.config


@dataclass
class Played:
    """What a played park left behind."""

    config: dict[str, Any]
    site: Site
    agent: Agent
    messages: list[tuple[str, bytes]]


def play(
    config: dict[str, Any],
    *,
    hours: float,
    broker: str | None = None,
    start: str = START,
    seed: int = 1,
    faults: list[Fault] | None = None,
    speed: float | None = None,
    during: Callable[[Agent, Site], Any] | None = None,
) -> Played:
    """Runs everything for so many virtual hours. `broker`: iotcore, mosquitto, or None for no uplink."""
    clock = VirtualClock(parse_instant(start), speed=speed)

    async def live(site: Site) -> Agent:
        await site.open(lambda _url: None)
        ports = site.ports
        agent = Agent(
            config,
            clock,
            open_port=lambda line: HeldPort(port_for(ports[line["id"]]), clock, site.wires[line["id"]]),
        )
        await agent.open()
        stop = asyncio.Event()
        running = asyncio.create_task(agent.run(stop))
        if during is not None:
            await during(agent, site)
        await clock.sleep(max(0.0, hours * 3600 - (clock.boot_ms() / 1000 - 60)))
        clock.pace(1.0)  # the farewell happens in real time
        stop.set()
        await running
        await site.close()
        return agent

    def go() -> tuple[Site, Agent]:
        site = Site(config, now_ms=clock.wall_ms, seed=seed, faults=faults or ())
        return site, clock.run(live(site))

    async def with_broker() -> Played:
        async with embedded_broker(broker or "iotcore") as address:
            config["private"]["mqtt"] = {"url": address.url}
            with Listener(address.host, address.port) as listener:
                site, agent = await asyncio.to_thread(go)
                await asyncio.sleep(0.3)
                return Played(config, site, agent, listener.messages)

    if broker is None:
        return Played(config, *go(), [])
    return asyncio.run(with_broker())
