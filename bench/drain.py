"""How fast a backlog leaves: the agent's outbox, one record a message, against paho alone with the same bytes.

    store of N readings → Log → Outbox → broker        and        N payloads in memory → paho → broker

Same broker, same window, same topics' length, one run after the other, both judged by the broker's acknowledgements.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import threading
import time
from decimal import Decimal
from pathlib import Path

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from agent.delivery.mqtt import WINDOW, Broker
from agent.delivery.outbox import Outbox
from agent.evidence.keys import load_or_create
from agent.evidence.log import Identity, Log
from agent.evidence.opening import open_log
from agent.evidence.store import Store
from contract.records import Exchanged, Reading, Source
from contract.topics import CONTENT_TYPE
from drivers.clock import RealClock
from drivers.loop import precise_loop
from simulators.broker import Address, embedded_broker

SWEEP = 256


def reading(n: int) -> Reading:
    registers = {"import": Decimal("12345.67"), **{f"import_t{k}": Decimal("3086.41") for k in range(1, 5)}}
    frame = Exchanged("00" * 16, "00" * 36, 1_234_567_890)
    source = Source("2026-07-25T02:00:00.000Z", 1_234_567_890, registers, None, [frame], [frame])
    return Reading(
        meter=f"m-{n % SWEEP}",
        serial="20220831000003",
        point=f"m-{n % SWEEP}",
        slot="2026-07-25T02:00:00Z",
        method="live",
        quality="measured",
        estimate=None,
        registers=registers,
        sources=[source],
        checks=["checksum", "address"],
        attempts=1,
    )


async def filled(directory: Path, count: int) -> tuple[Store, Log]:
    clock = RealClock(trusted=True)
    store = Store(directory, clock.hold)
    log = await open_log(store, Identity("bench", "gw-1", "0"), clock, load_or_create(directory))
    for first in range(0, count, SWEEP):
        for n in range(first, min(count, first + SWEEP)):
            log.add(reading(n))
        await log.commit()
    return store, log


async def ours(log: Log, address: Address) -> float:
    """Records a second, until the broker has acknowledged every one."""
    outbox = Outbox(log, Broker.of({"url": address.url}), RealClock(trusted=True), 900, lambda *_: None)
    count = outbox.waiting
    task = asyncio.create_task(outbox.run())
    began = time.monotonic()
    while outbox.waiting:
        await asyncio.sleep(0.01)
        if task.done():
            task.result()
    took = time.monotonic() - began
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return count / took


def alone(payloads: list[bytes], address: Address, window: int) -> float:
    """Messages a second by paho's own queue and thread."""
    up, done, answered = threading.Event(), threading.Event(), [0]
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.max_inflight_messages_set(window)
    client.max_queued_messages_set(0)

    def published(*_: object) -> None:
        answered[0] += 1
        if answered[0] == len(payloads):
            done.set()

    client.on_publish = published
    client.on_connect = lambda *_: up.set()
    client.connect(address.host, address.port)
    client.loop_start()
    assert up.wait(10), "no broker"
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.ContentType = CONTENT_TYPE
    began = time.monotonic()
    for n, payload in enumerate(payloads):
        client.publish(f"hubiao/v1/bench/meter/m-{n % SWEEP}/reading", payload, 1, False, properties)
    assert done.wait(300), "not acknowledged"
    took = time.monotonic() - began
    client.disconnect()
    client.loop_stop()
    return len(payloads) / took


async def measure(count: int, window: int) -> dict[str, float]:
    async with embedded_broker("mosquitto") as address:
        with tempfile.TemporaryDirectory() as directory:
            store, log = await filled(Path(directory), count)
            payloads = [record for _, record, _ in await log.read(0, count) if record is not None]
            while len(payloads) < count:
                more = await log.read(len(payloads), count)
                payloads += [record for _, record, _ in more if record is not None]
            agent = await ours(log, address)
            await store.close()
        peer = await asyncio.to_thread(alone, payloads[:count], address, window)
    return {"records_s": round(agent), "paho_s": round(peer), "ratio": round(agent / peer, 3)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--window", type=int, default=WINDOW)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    results = []
    for _ in range(options.runs):
        with asyncio.Runner(loop_factory=precise_loop) as runner:
            results.append(runner.run(measure(options.count, options.window)))
        sys.stdout.write(json.dumps(results[-1]) + "\n")
        sys.stdout.flush()
    median = {key: statistics.median(result[key] for result in results) for key in results[0]}
    sys.stdout.write(json.dumps({"median": median}) + "\n")


if __name__ == "__main__":
    main()
