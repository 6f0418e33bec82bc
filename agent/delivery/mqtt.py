"""One MQTT 5 connection, by paho; the one file that imports it.

The event loop tells paho when its socket can be read or written, so there is no thread but for connecting. A
`Connection` lives from CONNECT to its loss and is then thrown away with everything paho holds: the database is the
queue, so nothing may wait inside the client and be sent again behind our back. A publish is answered by the broker's
reason code, never by `is_published()`, which is true for refusals too. What arrives waits in a short queue: a flood of
it is dropped, not stored.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import paho.mqtt.client as paho
from paho.mqtt import MQTTException
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from agent.delivery.faults import UplinkError as UplinkError
from contract.topics import CONTENT_TYPE

KEEPALIVE_S = 30  # a half-open connection is found within one and a half of these
KEEPALIVE_METERED_S = 120  # a ping and its acknowledgements are 250 bytes: 21 MB a month at 30 s
TEND_S = 5.0  # between looks at whether it is time for a ping, or too late
GOODBYE_S = 1.0  # for DISCONNECT to leave; a socket that takes nothing is then closed
GOODBYE_LOOKS = 20
WINDOW = 20  # of unanswered publishes
ARRIVED = 64  # messages that may wait to be looked at; receipts are retained, so a dropped one comes again
ARRIVED_BYTES = 64 * 1024  # of a packet: far more than a receipt
MALFORMED = (MQTTException, ValueError, IndexError, KeyError, TypeError, AttributeError, struct.error, OSError)
DEFAULT_PORT = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}
DEFAULT_PATH = "/mqtt"  # of a WebSocket: what most brokers and clients take


def keepalive_s(*, metered: bool) -> int:
    """Seconds of silence after which the connection is pinged."""
    return KEEPALIVE_METERED_S if metered else KEEPALIVE_S


@dataclass(frozen=True, slots=True)
class Broker:
    """Where and how to connect; made from `private.mqtt` of the effective configuration."""

    host: str
    port: int
    tls: bool
    username: str | None = None
    password_file: str | None = None
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    metered: bool = False  # every byte is paid for: fewer pings
    path: str | None = None  # of the WebSocket; None: plain MQTT

    @classmethod
    def of(cls, mqtt: dict[str, Any]) -> Broker:
        url = urlsplit(mqtt["url"])
        return cls(
            url.hostname or "127.0.0.1",
            url.port or DEFAULT_PORT[url.scheme],
            url.scheme in ("mqtts", "wss"),
            **{key: mqtt.get(key) for key in ("username", "password_file", "ca_file", "cert_file", "key_file")},
            metered=bool(mqtt.get("metered")),
            path=(url.path or DEFAULT_PATH) if url.scheme in ("ws", "wss") else None,
        )

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker says for us, retained, when we are lost."""

    topic: str
    payload: bytes


class _ContentType(Properties):
    """The one property of what we publish, packed once instead of once a message; of live values also their expiry."""

    def __init__(self, expires_s: int | None = None) -> None:
        super().__init__(PacketTypes.PUBLISH)
        self.ContentType = CONTENT_TYPE
        if expires_s is not None:
            self.MessageExpiryInterval = expires_s

    def pack(self) -> bytes:
        return self._packed

    @cached_property
    def _packed(self) -> bytes:
        return bytes(super().pack())


class _Handshaking(ssl.SSLSocket):
    """Closed at once where the handshake fails: paho leaves it to the garbage collector."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


class _WebSocketClient(paho.Client):
    """paho with our WebSocket instead of its own, which knows no compression."""

    def __init__(self, broker: Broker, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._broker = broker

    def _create_socket(self) -> Any:
        from websockets.uri import WebSocketURI

        from agent.delivery.websocket import WebSocket  # a megabyte and a half, of this kind of uplink alone

        held: Any = super()._create_socket()
        broker = self._broker
        return WebSocket(held, WebSocketURI(broker.tls, broker.host, broker.port, broker.path or "", ""), ARRIVED_BYTES)


class Connection:
    """One connection. `lost` says why it is no more, "" while it stands; `wake` is set whenever something happened."""

    def __init__(self, broker: Broker, client_id: str, will: Will | None, wake: asyncio.Event) -> None:
        self.broker = broker
        self.window = WINDOW  # the broker's receive maximum may lower it
        self.packet_limit: int | None = None  # bytes the broker takes in one packet, None: any
        self.lost = ""
        self.answers: deque[tuple[int, ReasonCode]] = deque()  # (message id, the broker's reason code)
        self.arrived: deque[tuple[str, bytes]] = deque(maxlen=ARRIVED)  # (topic, payload), the oldest dropped first
        self.sent_bytes = 0  # of topics and payloads
        self.unanswered: dict[int, float] = {}  # message id → when it was sent, seconds of time.monotonic
        self.subscribed = False
        self.compressed = False  # whether the broker agreed to it
        self._wake = wake
        self._loop = asyncio.get_running_loop()
        self._connected: asyncio.Future[None] = self._loop.create_future()
        self._reaching: asyncio.Future[MQTTErrorCode] | None = None  # name, TCP and TLS, on a thread
        self._timer: asyncio.TimerHandle | None = None
        self._writing = False  # the loop tells when the socket takes more
        self._content_type = _ContentType()
        self._client = self._make(client_id, will)

    @property
    def room(self) -> int:
        """Publishes that may still be sent before an answer."""
        return self.window - len(self.unanswered)

    @property
    def _held(self) -> Any:
        """The socket, TLS socket or WebSocket; None: not open, or lost."""
        return self._client.socket()

    async def open(self) -> None:
        """Connects. Raises UplinkError."""
        limits = Properties(PacketTypes.CONNECT)
        limits.MaximumPacketSize = ARRIVED_BYTES
        limits.ReceiveMaximum = ARRIVED
        where = (self.broker.host, self.broker.port, keepalive_s(metered=self.broker.metered))
        try:
            self._secure()
            connect = partial(self._client.connect, *where, clean_start=True, properties=limits)
            self._reaching = self._loop.run_in_executor(None, connect)
            await asyncio.shield(self._reaching)
        except (OSError, ValueError, UplinkError) as error:
            raise UplinkError(f"{self.broker}: {error}") from error
        if self._held is None:  # TLS 1.3: a refused certificate shows only after the handshake
            raise UplinkError(f"{self.broker}: {self.lost or 'closed the connection at once'}")
        self.compressed = getattr(self._held, "compressed", False)
        self._loop.add_reader(self._held, self._do, self._read)
        self._tend()
        await self._connected

    def publish(
        self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False, expires_s: int | None = None
    ) -> int:
        """Sends one message; gives its id, under which `answers` will hold the broker's reason code (QoS 1).

        expires_s: after that the broker gives it to nobody any more. Raises UplinkError when the connection is already
        lost.
        """
        if self.lost:
            raise UplinkError(self.lost)
        told = self._content_type if expires_s is None else _ContentType(expires_s)
        info = self._client.publish(topic, payload, qos, retain, told)
        if info.rc != paho.MQTT_ERR_SUCCESS:
            raise UplinkError(paho.error_string(info.rc))
        self.sent_bytes += len(topic) + len(payload)
        if qos:
            self.unanswered[info.mid] = time.monotonic()
        self._await_room()
        return info.mid

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """What is published within leaves in as few segments as it fills: the broker wakes up once, not for each."""
        self._cork(1)
        try:
            yield
        finally:
            self._cork(0)

    def overdue_s(self) -> float:
        """How long the oldest publish waits for its answer, in real seconds."""
        return time.monotonic() - next(iter(self.unanswered.values())) if self.unanswered else 0.0

    def subscribe(self, topic: str) -> None:
        self._client.subscribe(topic, qos=1)
        self._await_room()

    async def close(self) -> None:
        """Leaves, properly if the connection still stands; the broker then forgets the will."""
        if self._reaching is not None:
            await asyncio.wait([self._reaching])  # a cancelled `open` leaves it at work: five seconds at most
        self._do(self._client.disconnect)
        for _ in range(GOODBYE_LOOKS):
            if self._held is None:
                break
            self._await_room()
            await asyncio.sleep(GOODBYE_S / GOODBYE_LOOKS)
        self._lose("closed")

    def _make(self, client_id: str, will: Will | None) -> paho.Client:
        make = paho.Client if self.broker.path is None else partial(_WebSocketClient, self.broker)
        client = make(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=MQTTProtocolVersion.MQTTv5,
            reconnect_on_failure=False,
        )
        client.max_inflight_messages_set(0)  # the outbox keeps the window; paho must not queue
        if will is not None:
            client.will_set(will.topic, will.payload, qos=1, retain=True)
        client.on_socket_open = _at_once
        client.on_socket_close = lambda _c, _u, held: self._let_go(held)
        client.on_connect = self._on_connect
        client.on_disconnect = lambda _c, _u, _f, code, _p: self._lose(str(code))
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        return client

    def _secure(self) -> None:
        broker = self.broker
        if broker.username:
            password = Path(broker.password_file).read_text().strip() if broker.password_file else None
            self._client.username_pw_set(broker.username, password)
        if broker.tls:
            context = ssl.create_default_context(cafile=broker.ca_file)
            context.sslsocket_class = _Handshaking
            if broker.cert_file:
                context.load_cert_chain(broker.cert_file, broker.key_file)
            self._client.tls_set_context(context)

    # the loop has paho do its work

    def _do(self, work: Callable[[], object]) -> None:
        """Whatever paho stumbles over ends the connection, never the loop."""
        try:
            work()
        except MALFORMED as error:
            self._lose(f"malformed packet: {error}")
        except UplinkError as error:
            self._lose(str(error))
        self._await_room()

    def _read(self) -> None:
        self._client.loop_read()
        while hasattr(self._held, "pending") and self._held.pending():  # decrypted already, so no longer readable
            self._client.loop_read()

    def _write(self) -> None:
        self._client.loop_write()
        if self._unsent:
            self._held.flush()

    @property
    def _unsent(self) -> bool:
        """Whether a WebSocket keeps something that the socket has not taken yet."""
        return getattr(self._held, "unsent", False)

    def _tend(self) -> None:
        """Keeps the connection alive and finds out when it is not."""
        self._timer = self._loop.call_later(TEND_S, self._tend)
        self._do(self._client.loop_misc)

    def _cork(self, corked: int) -> None:
        held = self._held
        with contextlib.suppress(OSError):  # lost: whoever publishes next is told
            if isinstance(held, socket.socket):
                held.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, corked)
            elif held is not None:
                held.cork(bool(corked))
                self._await_room()

    def _await_room(self) -> None:
        """While not everything could be written, has the loop tell when the socket takes more."""
        held = self._held
        if self.lost or held is None or (self._client.want_write() or self._unsent) == self._writing:
            return
        self._writing = not self._writing
        if self._writing:
            self._loop.add_writer(held, self._do, self._write)
        else:
            self._loop.remove_writer(held)

    def _let_go(self, held: Any) -> None:
        if held.fileno() >= 0:
            self._loop.remove_reader(held)
            self._loop.remove_writer(held)
        if self._timer is not None:
            self._timer.cancel()

    # what paho tells, on the loop

    def _on_connect(self, _client: Any, _user: Any, _flags: Any, code: ReasonCode, properties: Any) -> None:
        if code.is_failure:
            self._lose(str(code))
            return
        limit = getattr(properties, "ReceiveMaximum", None)
        if limit:
            self.window = min(self.window, limit)
        self.packet_limit = getattr(properties, "MaximumPacketSize", None)
        if getattr(properties, "MaximumQoS", 1) == 0:
            self._lose("the broker takes no QoS 1: nothing would be acknowledged")
        if not self._connected.done():
            self._connected.set_result(None)

    def _on_publish(self, _client: Any, _user: Any, mid: int, code: ReasonCode, _properties: Any) -> None:
        if self.unanswered.pop(mid, None) is not None:
            self.answers.append((mid, code))
        self._wake.set()

    def _on_subscribe(self, *_: object) -> None:
        self.subscribed = True
        self._wake.set()

    def _on_message(self, _client: Any, _user: Any, message: paho.MQTTMessage) -> None:
        self.arrived.append((message.topic, bytes(message.payload)))
        self._wake.set()

    def _lose(self, reason: str) -> None:
        """The first reason is the one that counts."""
        self.lost = self.lost or reason
        if not self._connected.done():
            self._connected.set_exception(UplinkError(f"{self.broker}: {reason}"))
            self._connected.exception()  # seen: `open` may have failed before it came to wait for it
        held = self._held
        if held is not None:
            self._let_go(held)
            held.close()
        self._wake.set()


def _at_once(_client: Any, _user: Any, held: Any) -> None:
    """No waiting for more to send: with a window of 20 it would cost 40 ms a window."""
    with contextlib.suppress(OSError):
        held.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
