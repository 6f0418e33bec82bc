"""Listeners over a real broker: one shared group, one of them killed, nothing lost and nothing twice."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from audit_logs import EPOCH, SmallLog
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from agent.cli import cli  # the listeners run it in processes of their own
from audit.cosign import create_key
from audit.rows import LogId
from audit.store import Store, StoreFault
from bench.relay import Relay, relay
from contract import topics
from contract.note import verify_cosignature
from simulators.broker import available, embedded_broker

pytestmark = pytest.mark.slow
LOG = LogId("p-1", "gw-1", EPOCH)
TOPIC = "hubiao/v1/p-1/gateway/gw-1"
assert cli.name == "cli"


def listener(url: str, store: Path, *arguments: str) -> subprocess.Popen[bytes]:
    words = ["--lang", "en", "audit", "listen", "--mqtt", url, "--store", str(store), *arguments]
    command = [sys.executable, "-c", "from agent.cli import main; main()", *words]
    made = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert made.stderr is not None
    made.stderr.readline()
    return made


def held(store: Path) -> int:
    try:
        return Store(store).log(LOG).held
    except StoreFault:
        return 0


async def until(what: object, check: object, seconds: float = 20.0) -> None:
    assert callable(check)
    end = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end, what
        await asyncio.sleep(0.05)


async def publish(client: paho.Client, records: list[bytes]) -> None:
    for n, data in enumerate(records):
        client.publish(f"{TOPIC}/boot", data, qos=1)
        if n % 50 == 0:
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("broker", available())
async def test_a_listener_is_killed_under_load_and_nothing_is_lost_or_twice(tmp_path: Path, broker: str) -> None:
    whole = SmallLog.make(3000)
    store = tmp_path / "store"
    key = create_key(tmp_path / "key", "audit.example/zj-1")
    async with embedded_broker(broker) as address:
        client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        receipts: list[str] = []
        client.on_message = lambda _c, _u, message: receipts.append(message.payload.decode())
        client.connect(address.host, address.port)
        client.loop_start()
        client.subscribe(topics.receipt_filter("p-1", "gw-1"), qos=1)
        running = [listener(address.url, store, "--cosign-key", str(tmp_path / "key")) for _ in range(2)]
        try:
            await asyncio.sleep(1.5)
            await publish(client, whole.records[:1500])
            await until("some are stored", lambda: held(store) > 300)
            os.kill(running[1].pid, signal.SIGKILL)
            running[1].communicate()
            await publish(client, whole.records[1500:])
            running[1] = listener(address.url, store, "--cosign-key", str(tmp_path / "key"))
            client.publish(f"{TOPIC}/checkpoint", whole.checkpoint().encode(), qos=1, retain=True)
            await until("all are stored", lambda: held(store) == len(whole.records))
            await until("a receipt", lambda: receipts)
        finally:
            for process in running:
                process.terminate()
            outputs = [process.communicate(timeout=10) for process in running]
            client.disconnect()
            client.loop_stop()
    assert [row.body for row in Store(store).log(LOG).rows()] == whole.records
    assert not Store(store).alarms(), outputs
    assert verify_cosignature(receipts[0], key.verifier)[0].size == 3000
    assert len(receipts) == 1, "both listeners have the key, one signs"


async def test_what_came_while_the_listener_was_down_arrives_when_it_is_back(tmp_path: Path) -> None:
    whole = SmallLog.make(40)
    async with embedded_broker("mosquitto") as address:
        client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        client.connect(address.host, address.port)
        client.loop_start()
        for part in (whole.records[:20], whole.records[20:]):
            process = listener(address.url, tmp_path / "store", "--json")
            await asyncio.sleep(1.0)
            await publish(client, part[:10])
            await until("live ones", lambda part=part: held(tmp_path / "store") >= whole.records.index(part[0]) + 10)
            process.terminate()
            output, _ = await asyncio.to_thread(process.communicate, timeout=10)
            assert process.returncode == 0
            assert json.loads(output)["new"] >= 10
            await publish(client, part[10:])
        process = listener(address.url, tmp_path / "store", "--for", "3s")
        await until("all", lambda: held(tmp_path / "store") == 40)
        await asyncio.to_thread(process.communicate, timeout=10)
        client.disconnect()
        client.loop_stop()


async def test_a_listener_comes_over_a_websocket_too(tmp_path: Path) -> None:
    whole = SmallLog.make(20)
    async with embedded_broker("mosquitto") as address, relay(Relay(address.port)) as port:
        client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        client.connect(address.host, address.port)
        client.loop_start()
        process = await asyncio.to_thread(listener, f"ws://127.0.0.1:{port}/mqtt", tmp_path / "store")
        await publish(client, whole.records)
        await until("all are stored", lambda: held(tmp_path / "store") == 20)
        process.terminate()
        await asyncio.to_thread(process.communicate, timeout=10)
        client.disconnect()
        client.loop_stop()


async def test_no_broker_is_exit_69(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from agent.cli import main; main()", "audit", "listen"]
    process = await asyncio.create_subprocess_exec(
        *command, "--mqtt", "mqtt://127.0.0.1:1", "--store", str(tmp_path / "s"), stderr=subprocess.PIPE
    )
    await process.communicate()
    assert process.returncode == 69


async def test_two_auditors_at_one_broker_take_nothing_from_each_other(tmp_path: Path) -> None:
    whole = SmallLog.make(60)
    async with embedded_broker("mosquitto") as address:
        client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        client.connect(address.host, address.port)
        client.loop_start()
        stores = [tmp_path / "county", tmp_path / "province"]
        running = [listener(address.url, store) for store in stores]
        try:
            await publish(client, whole.records)
            await until("both hold all", lambda: [held(store) for store in stores] == [60, 60])
        finally:
            for process in running:
                process.terminate()
                await asyncio.to_thread(process.communicate, timeout=10)
            client.disconnect()
            client.loop_stop()
