"""The demo's auditor: a plain MQTT 5 subscriber of everything under `hubiao/v1/`, as anybody could write one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from contract.topics import ROOT
from simulators.broker import BrokerMissing

PATIENCE_S = 10.0


class Subscriber:
    """Hands every message to `receive`, on paho's thread. `records` counts those that are records of the log."""

    def __init__(self, host: str, port: int, receive: Callable[[str, bytes], bool]) -> None:
        self.records = 0
        self._address = host, port
        self._receive = receive
        self._subscribed = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.on_connect = lambda client, *_: client.subscribe(f"{ROOT}/#", qos=1)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = self._on_message

    def __enter__(self) -> Subscriber:
        self._client.connect(*self._address)
        self._client.loop_start()
        if not self._subscribed.wait(PATIENCE_S):
            raise BrokerMissing("the broker did not answer the subscription")
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    async def until(self, records: int) -> None:
        """Waits until so many records came, for a few seconds at most."""
        for _ in range(100):
            if self.records >= records:
                return
            await asyncio.sleep(0.05)

    def _on_message(self, _client: object, _user: object, message: paho.MQTTMessage) -> None:
        if self._receive(message.topic, bytes(message.payload)):
            self.records += 1
