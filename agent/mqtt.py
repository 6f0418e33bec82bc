"""One MQTT 5 connection, by paho; the one file that imports it.

A `Connection` lives from CONNECT to its loss and is then thrown away with everything paho holds: the database is the
queue, so nothing may wait inside the client and be sent again behind our back. A publish is answered by the broker's
reason code, never by `is_published()`, which is true for refusals too.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from contract.topics import CONTENT_TYPE

KEEPALIVE_S = 30  # a half-open connection is found within one and a half of these
DEFAULT_PORT = {"mqtt": 1883, "mqtts": 8883}


class UplinkError(Exception):
    """The broker cannot be reached, refused us, or the connection was lost."""


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

    @classmethod
    def of(cls, mqtt: dict[str, Any]) -> Broker:
        url = urlsplit(mqtt["url"])
        return cls(
            url.hostname or "127.0.0.1",
            url.port or DEFAULT_PORT[url.scheme],
            url.scheme == "mqtts",
            *(mqtt.get(key) for key in ("username", "password_file", "ca_file", "cert_file", "key_file")),
        )

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker says for us, retained, when we are lost."""

    topic: str
    payload: bytes


class Connection:
    """One connection. `lost` is done when it is no more, with the reason as its result."""

    def __init__(self, broker: Broker, client_id: str, will: Will, on_message: Callable[[str, bytes], None]) -> None:
        self.broker = broker
        self.window = 20  # of unanswered publishes; the broker's receive maximum may lower it
        self.packet_limit: int | None = None  # bytes the broker takes in one packet, None: any
        self._loop = asyncio.get_running_loop()
        self.lost: asyncio.Future[str] = self._loop.create_future()
        self._connected: asyncio.Future[None] = self._loop.create_future()
        self._waiting: dict[int, asyncio.Future[ReasonCode]] = {}
        self._on_message = on_message
        self._client = self._make(client_id, will)

    async def open(self) -> None:
        """Connects. Raises UplinkError."""
        try:
            self._secure()
            self._client.connect_async(self.broker.host, self.broker.port, KEEPALIVE_S, clean_start=True)
            self._client.loop_start()
            await self._connected
        except (OSError, ValueError) as error:
            raise UplinkError(f"{self.broker}: {error}") from error

    def publish(self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False) -> asyncio.Future[ReasonCode]:
        """Sends one message; the future gives the broker's reason code, or is cancelled if the connection is lost.

        Raises UplinkError when the connection is already lost.
        """
        properties = Properties(PacketTypes.PUBLISH)
        properties.ContentType = CONTENT_TYPE
        future: asyncio.Future[ReasonCode] = self._loop.create_future()
        if self.lost.done():
            raise UplinkError(self.lost.result())
        info = self._client.publish(topic, payload, qos, retain, properties)
        if info.rc != paho.MQTT_ERR_SUCCESS:
            raise UplinkError(paho.error_string(info.rc))
        if qos == 0:
            future.set_result(ReasonCode(PacketTypes.PUBACK, "Success"))
        else:
            self._waiting[info.mid] = future
        return future

    def subscribe(self, topic: str) -> None:
        self._client.subscribe(topic, qos=1)

    async def close(self) -> None:
        """Leaves, properly if the connection still stands; the broker then forgets the will."""
        self._client.disconnect()
        await self._loop.run_in_executor(None, self._client.loop_stop)
        self._lose("closed")

    def _make(self, client_id: str, will: Will) -> paho.Client:
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=MQTTProtocolVersion.MQTTv5,
            reconnect_on_failure=False,
        )
        client.max_inflight_messages_set(0)  # the outbox keeps the window; paho must not queue
        client.will_set(will.topic, will.payload, qos=1, retain=True)
        client.on_connect = self._on_connect
        client.on_connect_fail = lambda *_: self._call(self._fail, "cannot be reached")
        client.on_disconnect = lambda _c, _u, _f, code, _p: self._call(self._lose, str(code))
        client.on_publish = lambda _c, _u, mid, code, _p: self._call(self._answered, mid, code)
        client.on_message = lambda _c, _u, message: self._call(self._on_message, message.topic, message.payload)
        return client

    def _secure(self) -> None:
        broker = self.broker
        if broker.username:
            password = Path(broker.password_file).read_text().strip() if broker.password_file else None
            self._client.username_pw_set(broker.username, password)
        if broker.tls:
            context = ssl.create_default_context(cafile=broker.ca_file)
            if broker.cert_file:
                context.load_cert_chain(broker.cert_file, broker.key_file)
            self._client.tls_set_context(context)

    # paho's thread calls these; everything else happens on the loop

    def _call(self, action: Callable[..., None], *arguments: Any) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(action, *arguments)

    def _on_connect(self, _client: Any, _user: Any, _flags: Any, code: ReasonCode, properties: Any) -> None:
        if code.is_failure:
            self._call(self._fail, str(code))
        else:
            self._call(self._accepted, properties)

    # on the loop

    def _accepted(self, properties: Any) -> None:
        limit = getattr(properties, "ReceiveMaximum", None)
        if limit:
            self.window = min(self.window, limit)
        self.packet_limit = getattr(properties, "MaximumPacketSize", None)
        if not self._connected.done():
            self._connected.set_result(None)

    def _fail(self, reason: str) -> None:
        if not self._connected.done():
            self._connected.set_exception(UplinkError(f"{self.broker}: {reason}"))

    def _lose(self, reason: str) -> None:
        self._fail(reason)
        if not self.lost.done():
            self.lost.set_result(reason)
        for future in self._waiting.values():
            future.cancel()
        self._waiting.clear()

    def _answered(self, mid: int, code: ReasonCode) -> None:
        future = self._waiting.pop(mid, None)
        if future is not None and not future.done():
            future.set_result(code)
