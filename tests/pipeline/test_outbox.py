"""The outbox against real brokers that refuse, cut and die, judged by what an auditor holds in the end."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema
import paho.mqtt.client as paho
import pytest
from sent_log import START_S, Sender, needs_mosquitto, sending, sweep, until

from agent.delivery import outbox as outbox_module
from agent.delivery.mqtt import Broker, Connection, UplinkError, Will
from agent.delivery.sending import NEWEST, stretches
from agent.live import latest_values
from bench.evidence_auditor import Auditor, free_port, make_log, mosquitto, reading
from bench.evidence_clock import CONFIG
from bench.evidence_proxy import Proxy
from bench.fed import Fed, configuration
from contract.records import Event
from contract.schema_files import message_schemas
from contract.topics import CONTENT_TYPE
from drivers.clock import RealClock, VirtualClock
from simulators.broker import embedded_broker


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reconnects at once."""
    monkeypatch.setattr(outbox_module, "BACKOFF_S", (0.01,))


async def a_day_later(sender: Sender) -> None:
    """What was set aside was tried long ago, and its time has come."""
    for aside in await sender.log.aside(1 << 62):
        await sender.log._store.set_aside(sender.log.epoch, aside.seq, aside.reason, 0)
    sender.outbox._retry_ms = 0
    sender.log.committed.set()


@needs_mosquitto
async def test_a_denied_topic_is_set_aside_named_and_taken_when_it_is_allowed(tmp_path: Path, quick: None) -> None:
    port = free_port()
    acl = tmp_path / "acl"
    lines = (
        "topic read hubiao/#\ntopic write hubiao/v1/xihu-01/gateway/#\ntopic write hubiao/v1/xihu-01/meter/m-000/#\n"
    )
    acl.write_text(lines)
    acl.chmod(0o644)
    os.chmod(tmp_path, 0o755)
    with mosquitto(tmp_path / "broker", port, f"acl_file {acl}\n") as pid, Auditor("127.0.0.1", port) as auditor:
        async with sending(tmp_path / "data", port) as sender:
            await sweep(sender.log, 0, meters=3)
            await until(lambda: not sender.outbox.waiting)
            assert [seq for seq, _, _ in sender.refused] == [3, 4]
            assert {(kind, reason) for _, kind, reason in sender.refused} == {("reading", "Not authorized")}
            assert sender.log.delivered == sender.log.size == 5
            assert [aside.seq for aside in await sender.log.aside(1 << 62)] == [3, 4]
            acl.write_text("topic readwrite hubiao/#\n")
            os.kill(pid, signal.SIGHUP)
            await until(lambda: sender.log.epoch.id in auditor.ledger.hashes)
            held = auditor.ledger.hashes[sender.log.epoch.id]
            for _ in range(100):  # days go by until the broker has read its new rules
                await a_day_later(sender)
                if len(held) == 5:
                    break
                await asyncio.sleep(0.05)
            assert len(held) == 5
            await until(lambda: not sender.outbox._newest.aside)
            assert await sender.log.aside(1 << 62) == []


@needs_mosquitto
@pytest.mark.parametrize("limit", ["message_size_limit 1100\n", "max_packet_size 1300\n"])
async def test_a_record_larger_than_the_broker_takes_stops_nothing(tmp_path: Path, quick: None, limit: str) -> None:
    port = free_port()
    with mosquitto(tmp_path / "broker", port, limit), Auditor("127.0.0.1", port) as auditor:
        async with sending(tmp_path / "data", port) as sender:
            body = reading(0, START_S)
            source = replace(body.sources[0], exchanges=body.sources[0].exchanges * 20)
            sender.log.add(replace(body, sources=[source]))
            await sender.log.commit()
            for n in range(3):
                sender.log.add(replace(body, sources=[], meter=f"m-{n}"))
            await sender.log.commit()
            await until(lambda: not sender.outbox.waiting)
            held = auditor.ledger.hashes
            await until(lambda: {3, 4, 5} <= set(held.get(sender.log.epoch.id, ())))
            assert 2 not in held[sender.log.epoch.id]
            assert 2 in [seq for seq, _, _ in sender.refused]


@pytest.mark.parametrize("direction", ["up", "down"])
async def test_connections_cut_anywhere_lose_nothing_and_the_auditor_holds_each_record_once(
    tmp_path: Path, quick: None, direction: str
) -> None:
    """Upward cuts tear records, downward cuts lose acknowledgements."""
    async with embedded_broker("mosquitto") as address, Proxy(address.host, address.port) as proxy:
        step = 997 if direction == "up" else 31
        setattr(proxy, f"{direction}_limit", lambda n: 40 + n * step if n < 25 else None)
        with Auditor(address.host, address.port) as auditor:
            async with sending(tmp_path / "data", proxy.port, audited=True) as sender:
                for n in range(4):
                    await sweep(sender.log, n)
                await until(lambda: sender.log.delivered >= 42)
                assert proxy.connections > 3
                held = auditor.ledger.hashes[sender.log.epoch.id]
                assert sorted(held)[:42] == list(range(42))
                assert not auditor.ledger.forks
                assert not auditor.ledger.faults


async def test_a_backlog_gets_through_a_link_that_is_cut_again_and_again(tmp_path: Path, quick: None) -> None:
    """No receipt comes before the end, and nine connections do not live so long: each goes on where the last was cut.

    The last one stays: cut between the last record and its receipt, everything would rightly go out once more.
    """
    async with embedded_broker("mosquitto") as address, Proxy(address.host, address.port) as proxy:
        proxy.up_limit = lambda n: 200_000 if n < 9 else None  # some 180 records each
        with Auditor(address.host, address.port) as auditor:
            store, log = await make_log(tmp_path, RealClock(trusted=True))
            await sweep(log, 0, meters=2 * NEWEST)
            sender = Sender(log, proxy.port)
            running = asyncio.create_task(sender.outbox.run())
            await until(lambda: log.delivered >= 2 * NEWEST, 60)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await store.close()
            assert proxy.connections > 8
            assert auditor.ledger.again < proxy.connections * 25  # no more than what was in flight


@needs_mosquitto
async def test_a_broker_killed_with_all_it_acknowledged_is_given_it_again(tmp_path: Path, quick: None) -> None:
    """The auditor was away; the broker took everything and forgot it. Nothing was given up, all comes again."""
    port = free_port()
    async with _killed_after(tmp_path, port) as sender:
        assert sender.log.delivered == 0
        with mosquitto(tmp_path / "broker", port):
            await until(lambda: sender.outbox.connected)  # before the auditor is there: dropped once more
            await until(lambda: not sender.outbox.waiting)
            with Auditor("127.0.0.1", port) as auditor:
                sender.outbox._newest.progress_ms -= 10 * 900_000  # some hours without a receipt
                sender.log.committed.set()
                await until(lambda: sender.log.delivered >= 32)
                await until(lambda: set(range(32)) <= set(auditor.ledger.hashes.get(sender.log.epoch.id, ())))
                assert not auditor.ledger.forks


@asynccontextmanager
async def _killed_after(tmp_path: Path, port: int) -> AsyncIterator[Sender]:
    async with sending(tmp_path / "data", port, audited=True) as sender:
        with mosquitto(tmp_path / "broker", port) as pid:
            for n in range(3):
                await sweep(sender.log, n)
            await until(lambda: sender.outbox.connected)
            await until(lambda: not sender.outbox.waiting)
            os.kill(pid, signal.SIGKILL)
            await until(lambda: not sender.outbox.connected)
        yield sender


async def test_a_store_that_cannot_be_read_for_a_while_ends_nothing(
    tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Met with a disk that was read-only for some seconds: the outbox ended, and with it the agent."""
    async with embedded_broker("mosquitto") as address, sending(tmp_path / "data", address.port) as sender:
        await until(lambda: not sender.outbox.waiting)
        store = sender.log._store
        answer, calls = store._aside, []

        def refuse(*arguments: Any) -> Any:
            calls.append(arguments)
            if len(calls) < 4:
                raise sqlite3.OperationalError("attempt to write a readonly database")
            return answer(*arguments)

        monkeypatch.setattr(store, "_aside", refuse)
        sender.outbox._retry_ms = 0
        await sweep(sender.log, 0)
        await until(lambda: len(calls) >= 4 and not sender.outbox.waiting)


async def test_what_is_new_goes_before_the_backlog(tmp_path: Path) -> None:
    store, log = await make_log(tmp_path, RealClock(trusted=True), audited=False)
    for n in range(3):
        await sweep(log, n, meters=NEWEST)
    first, second = stretches(log, 0)
    assert (first.next, first.end) == (log.size - NEWEST, None)
    assert (second.next, second.end) == (0, log.size - NEWEST)
    await sweep(log, 3, meters=5)
    assert first.left == NEWEST + 5
    assert second.left == 2 * NEWEST + 2
    seq, record = await second.take()
    assert seq == 0
    assert record is not None
    await log.close()
    await store.close()


async def test_a_metered_uplink_sends_new_records_at_once_and_paces_the_backlog(tmp_path: Path) -> None:
    async with embedded_broker("mosquitto") as address:
        with Auditor(address.host, address.port, cosign=False) as auditor:
            async with sending(tmp_path / "data", address.port, metered=True) as sender:
                log = sender.log
                await sweep(log, 0, meters=2 * NEWEST)
                epoch = log.epoch.id
                newest = set(range(log.size - NEWEST, log.size))
                assert await asyncio.to_thread(
                    auditor.until, lambda ledger: newest <= set(ledger.hashes.get(epoch, ()))
                )
                assert len(auditor.ledger.hashes[epoch]) < NEWEST + 600


def test_an_idle_gateway_with_an_auditor_stays_quiet(tmp_path: Path) -> None:
    """Half a virtual day: after the one receipt for its start there is a checkpoint an interval and nothing else."""
    clock = VirtualClock(START_S * 1000, speed=7200)

    async def idle(port: int) -> tuple[int, int]:
        store, log = await make_log(tmp_path, clock)
        sender = Sender(log, port, clock=clock)
        running = asyncio.create_task(sender.outbox.run())
        await clock.sleep(2 * 3600)
        settled = log.size
        await clock.sleep(12 * 3600)
        clock.pace(1.0)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await store.close()
        return settled, log.size

    async def with_broker() -> tuple[tuple[int, int], Auditor]:
        async with embedded_broker("mosquitto") as address:
            with Auditor(address.host, address.port) as auditor:
                return await asyncio.to_thread(clock.run, idle(address.port)), auditor

    sizes, auditor = asyncio.run(with_broker())
    assert sizes == (3, 3)  # boot, config, one witness
    assert auditor.receipts == 1
    assert auditor.messages["witness"] == 1
    assert auditor.messages["hashes"] <= 2
    assert 10 <= auditor.messages["checkpoint"] <= 14 * 4 + 3


def test_refused_records_of_a_kind_are_named_in_one_event() -> None:
    fed = Fed(configuration(CONFIG), lambda _meter, _ms: {"import": Decimal(1)}, "2026-07-10T00:00:10.000Z")
    for seq in (7, 8, 9, 12):
        fed.recorder.undeliverable(seq, "reading", "Not authorized")
    fed.recorder.undeliverable(13, "event", "Not authorized")  # no events about events
    fed.settle()
    (event,) = [event for event in fed.bodies(Event) if event.code == "undeliverable"]
    assert event.details["ranges"] == [[7, 9], [12, 12]]
    assert (event.details["kind"], event.details["reason"]) == ("reading", "Not authorized")


async def _keepalive_asked_for(*, metered: bool) -> int:
    """Seconds, as they stand in CONNECT."""
    came = asyncio.get_running_loop().create_future()

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.set_result(await reader.read(1024))
        writer.close()

    async with await asyncio.start_server(hear, "127.0.0.1", 0) as server:
        broker = Broker.of({"url": f"mqtt://127.0.0.1:{server.sockets[0].getsockname()[1]}", "metered": metered})
        connection = Connection(broker, "one", Will("t", b""), asyncio.Event())
        with pytest.raises(UplinkError):
            await connection.open()
        packet = await came
        await connection.close()
    name = packet.index(b"\x00\x04MQTT")
    return int.from_bytes(packet[name + 8 : name + 10], "big")


async def test_a_metered_uplink_is_pinged_seldom() -> None:
    assert await _keepalive_asked_for(metered=False) == 30
    assert await _keepalive_asked_for(metered=True) == 120


async def test_a_password_file_that_is_missing_is_named_and_nothing_else_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broker = Broker("127.0.0.1", free_port(), False, username="gw-1", password_file=str(tmp_path / "password"))
    connection = Connection(broker, "gw-1", None, asyncio.Event())
    with pytest.raises(UplinkError, match="password"):
        await connection.open()
    await connection.close()
    del connection
    gc.collect()  # a future that nobody asked would complain now
    assert caplog.records == []


@needs_mosquitto
@pytest.mark.parametrize("metered", [False, True])
async def test_live_values_follow_a_commit_expire_and_cost_a_metered_uplink_nothing(
    tmp_path: Path, metered: bool
) -> None:
    heard: list[paho.MQTTMessage] = []
    screen = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    screen.on_message = lambda _client, _user, message: heard.append(message)
    async with embedded_broker("mosquitto") as address:
        screen.connect(address.host, address.port)
        screen.subscribe("hubiao/v1/+/gateway/+/live", 1)
        screen.loop_start()
        said = b'{"at":"2026-07-10T00:00:00.000Z","meters":{}}'
        async with sending(tmp_path, address.port, live=lambda _: said, metered=metered) as sender:
            await sweep(sender.log, 0)
            await until(lambda: not sender.outbox.waiting and (metered or len(heard) == 1))
        screen.loop_stop()
        screen.disconnect()
    if metered:
        assert heard == []
        return
    [message] = heard
    assert (message.payload, message.qos, message.retain) == (said, 0, False)
    assert message.properties is not None
    assert 0 < message.properties.MessageExpiryInterval <= 1800
    assert message.properties.ContentType == CONTENT_TYPE


def test_live_values_are_the_latest_look_at_each_meter() -> None:
    config = configuration(
        "park: {id: p}\ngateway: {id: g}\nlines: [{id: l, port: /dev/ttyX}]\nmeters:\n"
        "  - {id: m-1, line: l, protocol: dlt645-2007, address: 1}\n"
        "  - {id: m-2, line: l, protocol: dlt645-2007, address: 2}\n"
    )
    fed = Fed(config, lambda _name, _ms: {"import": Decimal("12.50")}, "2026-07-10T00:00:00Z")
    fed.take(fed.look("m-1", {"import": Decimal("12.50")}))
    message = json.loads(latest_values(fed.recorder.meters.values(), fed.clock.wall_ms()))
    jsonschema.validate(message, message_schemas()["live"])
    assert message["meters"] == {"m-1": {"read_at": message["at"], "registers": {"import": "12.50"}}}
