"""MQTT inside a WebSocket: against servers that break it, and between the agent and real brokers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import struct
import tracemalloc
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sent_log import needs_mosquitto, sending, sweep, until
from websocket_server import (
    BINARY,
    CLOSE,
    CONT,
    DEFLATE,
    FIN,
    PING,
    PONG,
    RSV1,
    TEXT,
    Server,
    deflated,
    end_of,
    frame,
    listening,
    upgrade,
)

from agent.delivery import outbox as outbox_module
from agent.delivery import websocket as websocket_module
from agent.delivery.mqtt import ARRIVED_BYTES, WINDOW, Broker, Connection, UplinkError, Will
from bench.evidence_auditor import Auditor, free_port, mosquitto
from bench.evidence_proxy import Proxy
from bench.relay import Relay, relay
from simulators.broker import embedded_broker

PUBACK = bytes.fromhex("40020001")  # of message 1
ZEROS = bytes(64 * 2**20)

GREETINGS = {
    "no WebSocket there": ("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "HTTP 404"),
    "no HTTP": ("\x10\x00\x00\x04MQTT", "valid HTTP"),
    "a page": ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "HTTP 200"),
    "another's key": (upgrade("AAAAAAAAAAAAAAAAAAAAAA=="), "Sec-WebSocket-Accept"),
    "without the key": ("HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", "Sec-WebSocket-Accept"),
    "no upgrade": ("HTTP/1.1 101 x\r\nConnection: close\r\n\r\n", "Connection"),
    "headers without end": ("HTTP/1.1 101 x\r\n" + "A: b\r\n" * 1000, "valid HTTP"),
    "a line without end": ("HTTP/1.1 101 " + "x" * 100_000, "no more than 8192 bytes"),
}


@pytest.mark.parametrize("what", GREETINGS)
async def test_a_handshake_that_is_none_says_so(what: str) -> None:
    head, said = GREETINGS[what]
    async with listening(Server(head=head, stays=False)) as connection:
        with pytest.raises(UplinkError, match=said):
            await connection.open()


@pytest.mark.parametrize(
    "extension",
    [
        "permessage-bzip2",
        f"{DEFLATE}; client_max_window_bits=7",
        f"{DEFLATE}; client_max_window_bits=16",
        f"{DEFLATE}; server_max_window_bits",
        f"{DEFLATE}; made_up=1",
        f"{DEFLATE}, {DEFLATE}",
        f'{DEFLATE}; client_max_window_bits="',
    ],
)
async def test_an_extension_that_was_not_offered_is_refused(extension: str) -> None:
    async with listening(Server(extension=extension)) as connection:
        with pytest.raises(UplinkError):
            await connection.open()


@pytest.mark.parametrize("protocol", ["", "mqttv3.1", "chat"])
async def test_a_websocket_for_something_else_is_refused(protocol: str, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server()
    monkeypatch.setattr(server, "_upgrade", lambda: upgrade(server.request.split("Key: ")[1].split()[0], "", protocol))
    async with listening(server) as connection:
        with pytest.raises(UplinkError, match=r"not for MQTT|unsupported subprotocol"):
            await connection.open()


async def test_a_handshake_that_drips_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def drip(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while not writer.is_closing():
                writer.write(b"H")
                await writer.drain()
                await asyncio.sleep(0.01)
        server.left.set()

    monkeypatch.setattr(websocket_module, "HANDSHAKE_S", 0.2)
    server = Server()
    monkeypatch.setattr(server, "serve", drip)
    async with listening(server) as connection:
        with pytest.raises(UplinkError, match="no answer as a WebSocket"):
            await connection.open()


HOSTILE = {
    "masked": ([frame(BINARY, PUBACK, masked=True)], "", "masking"),
    "compressed without agreement": ([frame(BINARY | RSV1, deflated(PUBACK))], "", "reserved bits"),
    "another reserved bit": ([frame(BINARY | 0x20, PUBACK)], DEFLATE, "reserved bits"),
    "compressed control frame": ([frame(PING | RSV1, b"x")], DEFLATE, "reserved bits"),
    "compressed in the middle": (
        [frame((BINARY | RSV1) ^ FIN, deflated(PUBACK)[:3]), frame(CONT | RSV1, deflated(PUBACK)[3:])],
        DEFLATE,
        "RSV1",
    ),
    "an opcode that is none": ([frame(0x83, b"x")], "", "opcode"),
    "a ping in pieces": ([frame(PING ^ FIN, b"x")], "", "fragmented control"),
    "a long ping": ([frame(PING, b"x" * 126)], "", "too long"),
    "the rest of nothing": ([frame(CONT, PUBACK)], "", "continuation"),
    "a message within a message": ([frame(BINARY ^ FIN, PUBACK[:1]), frame(BINARY, PUBACK)], "", "continuation"),
    "no deflate": ([frame(BINARY | RSV1, b"\xff\xff\xff\xff")], DEFLATE, "decompression"),
    "text": ([frame(TEXT, b"hello")], "", "text"),
    "closed with a reason": ([frame(CLOSE, struct.pack("!H", 1008) + b"go away")], "", "1008 .*go away"),
    "closed without one": ([frame(CLOSE)], "", "closed"),
    "closed with a code that is none": ([frame(CLOSE, struct.pack("!H", 999))], "", "1002"),
    "a message without end": ([frame(BINARY, bytes(2**20 + 1))], "", "1009"),
    "a length beyond all": ([bytes((BINARY, 127)) + b"\x7f" + b"\xff" * 7], "", "1009"),
    "a packet without end": ([frame(BINARY, bytes.fromhex("30ffffff7f"))], "", "268435455 bytes"),
    "no MQTT": ([frame(BINARY, bytes(100))], "", "."),
}


@pytest.mark.parametrize("what", HOSTILE)
async def test_a_server_that_breaks_the_websocket_loses_us(what: str) -> None:
    says, extension, said = HOSTILE[what]
    async with listening(Server(says, extension)) as connection:
        with contextlib.suppress(UplinkError):  # lost so early that it never was open
            await connection.open()
        lost = await end_of(connection)
        with pytest.raises(UplinkError, match=said):
            raise UplinkError(lost)


@pytest.mark.parametrize("pieces", [1, 300], ids=["one frame", "fragments"])
async def test_zeros_without_end_take_no_memory(pieces: int) -> None:
    """64 MiB of zeros in 64 KiB: they end at a megabyte, and what MQTT makes of them ends long before."""
    bomb = deflated(ZEROS)
    size = -(-len(bomb) // pieces)
    parts = [bomb[at : at + size] for at in range(0, len(bomb), size)]
    says = [
        frame((FIN if n == len(parts) - 1 else 0) | (CONT ^ FIN if n else 0x42), part) for n, part in enumerate(parts)
    ]
    async with listening(Server(says, DEFLATE)) as connection:
        tracemalloc.start()
        with contextlib.suppress(UplinkError):
            await connection.open()
        assert await end_of(connection)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert most < 16 * 2**20


async def test_a_publish_of_endless_zeros_is_given_up_before_it_is_inflated() -> None:
    packet = bytes.fromhex("30ffffff7f") + ZEROS[:1000]
    async with listening(Server([frame(BINARY | RSV1, deflated(packet))], DEFLATE)) as connection:
        with contextlib.suppress(UplinkError):
            await connection.open()
        assert f"{ARRIVED_BYTES} are the most" in await end_of(connection)


async def test_what_waits_in_the_same_bytes_as_the_end_is_heard_first() -> None:
    disconnect = bytes.fromhex("e0018b")  # MQTT's own reason: server shutting down
    says = [frame(BINARY, disconnect) + frame(CLOSE, struct.pack("!H", 1001))]
    async with listening(Server(says)) as connection:
        with contextlib.suppress(UplinkError):
            await connection.open()
        assert "shutting down" in await end_of(connection)


@pytest.mark.parametrize("extension", ["", DEFLATE, f"{DEFLATE}; server_no_context_takeover; client_max_window_bits=9"])
async def test_fragments_and_pings_between_them_are_understood_byte_by_byte(extension: str) -> None:
    data = deflated(PUBACK) if extension else PUBACK
    first = (BINARY | RSV1 if extension else BINARY) ^ FIN
    whole = frame(PING, b"a") + frame(first, data[:2]) + frame(PING, b"b") + frame(CONT ^ FIN) + frame(CONT, data[2:])
    server = Server([whole[n : n + 1] for n in range(len(whole))], extension, after=2)
    async with listening(server) as connection:
        await connection.open()
        assert connection.compressed == bool(extension)
        assert connection.publish("topic", b"x") == 1
        await until(lambda: bool(connection.answers) and len(server.frames) >= 4)
        assert [payload for first, payload in server.frames if first == PONG] == [b"a", b"b"]
        assert not connection.lost


async def test_connect_with_the_password_stays_out_of_the_compression(tmp_path: Path) -> None:
    """What follows is inflated by a context that has not seen it."""
    secret = tmp_path / "password"
    secret.write_text("0123456789abcdef" * 4)
    server = Server(extension=DEFLATE)
    async with listening(server) as made:
        broker = Broker(made.broker.host, made.broker.port, False, "gw-1", str(secret), path="/mqtt")
        connection = Connection(broker, "one", Will("will", b""), asyncio.Event())
        await connection.open()
        connection.publish("topic", b"0123456789abcdef" * 4)
        await until(lambda: len(server.frames) == 2)
        await connection.close()
    (plain, connect), (packed, publish) = server.frames[:2]
    assert (plain, packed) == (BINARY, BINARY | RSV1)
    assert secret.read_bytes() in connect
    inflated = zlib.decompressobj(wbits=-15).decompress(publish + b"\x00\x00\xff\xff")
    assert inflated.endswith(b"0123456789abcdef" * 4)


async def test_a_window_leaves_as_one_message_and_what_repeats_costs_little() -> None:
    server = Server(extension=DEFLATE)
    async with listening(server) as connection:
        await connection.open()
        with connection.together():
            for n in range(WINDOW):
                connection.publish(f"topic/{n}", b"the same " * 100)
        await until(lambda: len(server.frames) == 2)
        assert len(server.frames) == 2
        assert len(server.frames[1][1]) < 500


async def test_a_socket_that_takes_nothing_more_is_waited_for() -> None:
    """Random bytes, more than any buffer, to a server that reads later."""
    reads = asyncio.Event()
    server = Server(extension=DEFLATE)
    hear = server._hear

    async def slowly(reader: asyncio.StreamReader) -> None:
        if server.frames:
            await reads.wait()
        await hear(reader)

    server._hear = slowly  # type: ignore[method-assign]
    payloads = [os.urandom(2**20) for _ in range(8)]
    async with listening(server) as connection:
        await connection.open()
        for payload in payloads:
            connection.publish("topic", payload)
        assert connection._unsent
        assert connection._client.want_write()  # no more than a message is taken off paho's hands
        await asyncio.sleep(0.1)
        assert not connection.lost
        reads.set()
        await until(lambda: len(server.frames) == 1 + len(payloads), 60)
        assert not connection._unsent
    context = zlib.decompressobj(wbits=-15)
    came = b"".join(context.decompress(data + b"\x00\x00\xff\xff") for _, data in server.frames[1:])
    assert [payload in came for payload in payloads] == [True] * len(payloads)


# between the agent and real brokers


@contextlib.asynccontextmanager
async def relayed(*, compress: bool = True) -> AsyncIterator[tuple[Relay, int, int]]:
    """The relay, its port, and that of the broker behind it."""
    async with embedded_broker("mosquitto") as address:
        made = Relay(address.port, compress)
        async with relay(made) as port:
            yield made, port, address.port


@pytest.mark.parametrize("compress", [True, False], ids=["compressed", "not agreed"])
async def test_an_auditor_gets_each_record_as_ever(tmp_path: Path, compress: bool) -> None:
    async with relayed(compress=compress) as (made, port, behind):
        with Auditor("127.0.0.1", behind) as auditor:
            async with sending(tmp_path / "data", port, audited=True, path="/mqtt") as sender:
                await sweep(sender.log, 0, meters=50)
                await until(lambda: sender.log.delivered >= 51)
                assert sender.outbox._connection is not None
                assert sender.outbox._connection.compressed == compress
                held = auditor.ledger.hashes[sender.log.epoch.id]
                assert sorted(held)[:51] == list(range(51))
                assert (auditor.ledger.again, auditor.ledger.forks, auditor.ledger.faults) == (0, [], [])
    assert made.targets == ["/mqtt"]


@pytest.mark.parametrize("direction", ["up", "down"])
async def test_websockets_cut_anywhere_lose_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, direction: str
) -> None:
    """Upward cuts tear a compressed window, downward cuts lose acknowledgements."""
    monkeypatch.setattr(outbox_module, "BACKOFF_S", (0.01,))
    async with relayed() as (_, port, behind), Proxy("127.0.0.1", port) as proxy:
        step = 397 if direction == "up" else 31
        setattr(proxy, f"{direction}_limit", lambda n: 40 + n * step if n < 25 else None)
        with Auditor("127.0.0.1", behind) as auditor:
            async with sending(tmp_path / "data", proxy.port, audited=True, path="/mqtt") as sender:
                for n in range(4):
                    await sweep(sender.log, n)
                await until(lambda: sender.log.delivered >= 42)
                assert proxy.connections > 3
                held = auditor.ledger.hashes[sender.log.epoch.id]
                assert sorted(held)[:42] == list(range(42))
                assert auditor.ledger.again < proxy.connections * (WINDOW + 5)  # no more than what was in flight
                assert not auditor.ledger.forks
                assert not auditor.ledger.faults


@needs_mosquitto
async def test_mosquittos_own_websocket_agrees_to_nothing_and_is_used_as_it_is(tmp_path: Path) -> None:
    port, plain = free_port(), free_port()
    os.chmod(tmp_path, 0o755)
    extra = f"protocol websockets\nlistener {plain} 127.0.0.1\n"
    with mosquitto(tmp_path / "broker", port, extra), Auditor("127.0.0.1", plain) as auditor:
        async with sending(tmp_path / "data", port, audited=True, path="/mqtt") as sender:
            await sweep(sender.log, 0, meters=30)
            await until(lambda: sender.log.delivered >= 31)
            assert sender.outbox._connection is not None
            assert not sender.outbox._connection.compressed
            assert sorted(auditor.ledger.hashes[sender.log.epoch.id])[:31] == list(range(31))


def test_a_url_says_where_the_websocket_is() -> None:
    def of(url: str) -> tuple[str, int, bool, str | None]:
        broker = Broker.of({"url": url})
        return broker.host, broker.port, broker.tls, broker.path

    assert of("wss://b.example") == ("b.example", 443, True, "/mqtt")
    assert of("wss://b.example:8084/ws/") == ("b.example", 8084, True, "/ws/")
    assert of("ws://[::1]/") == ("::1", 80, False, "/")
    assert of("mqtts://b.example") == ("b.example", 8883, True, None)
