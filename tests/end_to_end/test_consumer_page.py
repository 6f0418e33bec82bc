"""The consumer printed in docs/consumer.md and .zh.md, cut out and run: it verifies what a gateway published."""

from __future__ import annotations

import asyncio
import base64
import re
import sys
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from played import Played, demo_config, play

from simulators.broker import Address, embedded_broker

DOCS = Path(__file__).parents[2] / "docs"
PARK = "demo-park"
Message = tuple[str, bytes]


def program(page: str) -> str:
    [code] = re.findall(r"```python\n(.*?)```", (DOCS / page).read_text("utf-8"), re.DOTALL)
    return str(code)


@pytest.fixture(scope="module")
def park(tmp_path_factory: pytest.TempPathFactory) -> Played:
    return play(demo_config(tmp_path_factory.mktemp("consumed")), hours=1, broker="iotcore")


def publish(address: Address, messages: list[Message]) -> None:
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.connect(address.host, address.port)
    client.loop_start()
    for topic, payload in messages:
        client.publish(topic, payload, qos=1).wait_for_publish(10)
    client.disconnect()
    client.loop_stop()


async def consumed(code: str, key: str, messages: list[Message], enough: str) -> str:
    """What the program says until `enough` is among it."""
    said = ""
    async with embedded_broker() as address:
        command = [sys.executable, "-c", code, address.host, str(address.port), PARK, key]
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        assert process.stdout is not None
        try:
            async with asyncio.timeout(60):
                assert await process.stdout.readline() == b"listening\n"
                await asyncio.to_thread(publish, address, messages)
                while enough not in said:
                    line = await process.stdout.readline()
                    assert line, said
                    said += line.decode()
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
    return said


def told(park: Played, messages: list[Message], enough: str) -> str:
    key = base64.b64encode(base64.b64decode(park.agent.log.vkey.split("+", 2)[2])[1:]).decode()
    return asyncio.run(consumed(program("consumer.md"), key, messages, enough))


def test_both_pages_print_the_same_program() -> None:
    assert program("consumer.md") == program("consumer.zh.md")


def test_the_printed_consumer_verifies_what_a_gateway_published(park: Played) -> None:
    size = park.agent.log.size
    said = told(park, park.messages, f" {size} verified")
    assert "ALTERED" not in said
    assert "FORK" not in said


def test_the_printed_consumer_notices_one_changed_digit(park: Played) -> None:
    at = next(n for n, (topic, _) in enumerate(park.messages) if topic.endswith("/reading"))
    topic, payload = park.messages[at]
    digit = re.search(rb'"import":"(\d)', payload)
    assert digit is not None
    other = b"%d" % ((int(digit[1]) + 1) % 10)
    forged = payload[: digit.start(1)] + other + payload[digit.end(1) :]
    messages = [*park.messages[:at], (topic, forged), *park.messages[at + 1 :]]
    told(park, messages, "FORK")  # the `hashes` stream tells another hash than the record has
    without_hashes = [(topic, payload) for topic, payload in messages if not topic.endswith("/hashes")]
    assert "verified" not in told(park, without_hashes, "ALTERED").split("ALTERED")[-1]


def test_the_printed_consumer_waits_for_a_record_that_did_not_come(park: Played) -> None:
    messages = [(topic, payload) for topic, payload in park.messages if not topic.endswith(("/hashes", "/boot"))]
    assert "verified" not in told(park, messages, f" {park.agent.log.size} waits for 1")


def test_the_printed_consumer_takes_no_checkpoint_of_another_key(park: Played) -> None:
    other = base64.b64encode(bytes(range(32))).decode()
    said = asyncio.run(consumed(program("consumer.md"), other, park.messages, "InvalidSignature"))
    assert "verified" not in said
