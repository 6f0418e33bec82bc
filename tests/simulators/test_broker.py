from __future__ import annotations

import asyncio
import socket
import threading

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from simulators import broker
from simulators.broker import Address, BrokerMissing, available, embedded_broker

LARGE = bytes(range(256)) * 4 * 1024  # 1 MiB
LIMIT_S = 20


def carried_by(address: Address, payload: bytes) -> tuple[bytes, str, int]:
    """Sends a message through the broker by MQTT 5 and QoS 1; gives payload, content type and reason code."""
    got = threading.Event()
    acknowledged = threading.Event()
    result: list[object] = []
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)

    def on_publish(_client, _data, _mid, reason, _properties) -> None:
        result.append(reason.value)
        acknowledged.set()

    def on_message(_client, _data, message) -> None:
        result.append((message.payload, message.properties.ContentType))
        got.set()

    def on_connect(_client, _data, _flags, reason, _properties) -> None:
        assert not reason.is_failure
        client.subscribe("hubiao/v1/#", qos=1)

    def on_subscribe(_client, _data, _mid, _reasons, _properties) -> None:
        properties = mqtt.Properties(mqtt.PacketTypes.PUBLISH)
        properties.ContentType = "application/vnd.hubiao.v1+json"
        client.publish("hubiao/v1/p/x", payload, qos=1, properties=properties)

    client.on_connect, client.on_subscribe = on_connect, on_subscribe
    client.on_message, client.on_publish = on_message, on_publish
    client.connect(address.host, address.port)
    client.loop_start()
    assert got.wait(LIMIT_S)
    assert acknowledged.wait(LIMIT_S)
    client.disconnect()
    client.loop_stop()
    code = next(item for item in result if isinstance(item, int))
    received, content_type = next(item for item in result if isinstance(item, tuple))
    return received, content_type, code


@pytest.mark.slow
@pytest.mark.parametrize("software", ["iotcore", "mosquitto"])
async def test_the_broker_speaks_mqtt_5_on_loopback_with_large_payloads_and_goes(software: str) -> None:
    if software not in available():
        pytest.skip(f"{software} is not installed")
    async with embedded_broker(software) as address:
        assert address.software == software
        assert (address.host, address.url) == ("127.0.0.1", f"mqtt://127.0.0.1:{address.port}")
        payload, content_type, code = await asyncio.to_thread(carried_by, address, LARGE)
        assert payload == LARGE
        assert content_type == "application/vnd.hubiao.v1+json"
        assert code < 0x80
        assert not listens_elsewhere(address.port)
    with pytest.raises(OSError), socket.create_connection((address.host, address.port), 1):
        pass


def listens_elsewhere(port: int) -> bool:
    """Whether any listening socket of this machine has the port on another address than loopback (proc(5), tcp)."""
    with open("/proc/net/tcp") as table:
        rows = [line.split() for line in table][1:]
    listening = [row[1].split(":") for row in rows if row[3] == "0A"]
    at_port = [address for address, number in listening if int(number, 16) == port]
    assert at_port, "the broker itself must be in the table"
    return any(address != "0100007F" for address in at_port)


async def test_without_any_broker_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker, "available", list)
    with pytest.raises(BrokerMissing, match="mosquitto"):
        async with embedded_broker():
            pass


@pytest.mark.slow
async def test_the_other_broker_steps_in_where_the_preferred_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker, "available", lambda: ["mosquitto"])
    async with embedded_broker("iotcore") as address:
        assert address.software == "mosquitto"
