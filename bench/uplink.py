"""What a month costs on the uplink: the real agent, MQTT over TLS through a counting proxy, and what `check` predicts.

    20 lines × 3 meters ── agent ══ TLS ══▶ proxy ── plain ──▶ broker
                                            └ TCP_INFO of the agent's socket: bytes and segments both ways
    --compressed: the agent's URL is wss://, and the proxy is `bench.relay`, which inflates

    a month = bytes of a slot × 96 × 30 + day records (as predicted) + pings of the idle time, TCP and IP headers too

A slot comes every minute instead of every 15; three meters a line are read inside its window of 1.2 s, as all are
inside the 18 s of the real one: a slot that is interpolated keeps two readings, and more bytes, so a run with few
`measured` (an overloaded machine) says nothing. Answers of the broker
come after the delay of a mobile network, as there acknowledgements ride together.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import ssl
import struct
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.delivery.mqtt import KEEPALIVE_METERED_S
from agent.uplink import PING_BYTES, predict_uplink, slot_and_day_bytes
from bench.paced import Paced, Wire
from bench.parks import text
from bench.relay import Relay
from bench.running import exported, running
from config.load import load
from simulators.broker import embedded_broker

SLOTS_A_DAY, DAYS = 96, 30
HEADERS = 20 + 32  # IPv4, and TCP with time stamps
DELAY_S = 0.06  # of a mobile network, both ways together
PING = b"\xc0\x00"
TCP_INFO_BYTES = 144
ACKED, RECEIVED, SEGMENTS_OUT, SEGMENTS_IN = 120, 128, 136, 140  # offsets in struct tcp_info (linux/tcp.h)
WARM_SLOTS = 2
TICK_MS = 20_000  # a count of each register: three kWh an hour with a CT of 40


@dataclass(slots=True)
class Count:
    """Seen by the agent's peer: bytes of TCP both ways, segments both ways, MQTT bytes upward, pings."""

    bytes: int = 0
    segments: int = 0
    mqtt_up: int = 0
    mqtt_down: int = 0
    pings: int = 0

    @property
    def on_the_wire(self) -> int:
        return self.bytes + HEADERS * self.segments

    def since(self, before: Count) -> Count:
        return Count(*(getattr(self, name) - getattr(before, name) for name in self.__slots__))


@dataclass(slots=True)
class Proxy:
    """Takes one connection at a time."""

    broker_port: int
    held: Any = None
    up: list[bytes] = field(default_factory=list)  # MQTT as it came
    down_bytes: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.held = writer.get_extra_info("socket")
        back, onward = await asyncio.open_connection("127.0.0.1", self.broker_port)
        await asyncio.gather(self._up(reader, onward), self._down(back, writer))

    async def _up(self, reader: asyncio.StreamReader, onward: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            self.up.append(data)
            onward.write(data)
        onward.close()

    async def _down(self, back: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await back.read(65536):
            self.down_bytes += len(data)
            await _on_the_way()
            writer.write(data)
        writer.close()


async def _on_the_way() -> None:
    await asyncio.sleep(DELAY_S)


def look(proxy: Proxy | Relay) -> Count:
    info = proxy.held.getsockopt(6, 11, TCP_INFO_BYTES)  # IPPROTO_TCP, TCP_INFO
    acked, received = struct.unpack_from("=QQ", info, ACKED)
    out, into = struct.unpack_from("=II", info, SEGMENTS_OUT)
    return Count(acked + received, out + into, sum(map(len, proxy.up)), proxy.down_bytes, proxy.up.count(PING))


def certificate(directory: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate for loopback, and what a server needs to show it."""
    key, cert = directory / "key.pem", directory / "cert.pem"
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    made += ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)]
    subprocess.run(made, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return cert, context


async def measure(meters: int, slots: int, *, compressed: bool) -> dict[str, Any]:
    a_line = 3
    wires = [Wire("dlt645", 9600, "8E1", a_line, tick_ms=TICK_MS, spread=1 + n) for n in range(meters // a_line)]
    child = await Paced.start(wires)
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        directory = Path(name)
        cert, context = certificate(directory)
        async with embedded_broker("mosquitto") as broker:
            proxy = Relay(broker.port, delay=_on_the_way) if compressed else Proxy(broker.port)
            server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0, ssl=context)
            url = f"{'wss' if compressed else 'mqtts'}://127.0.0.1:{server.sockets[0].getsockname()[1]}"

            def yaml(interval: str) -> str:
                mqtt = f'{{url: "{url}", ca_file: {cert}, metered: true}}'
                return text(child.ports, a_line, "dlt645-2007", framing="8E1", mqtt=mqtt, interval=interval, data=name)

            async with running(yaml("1min"), directory):
                await asyncio.sleep((WARM_SLOTS + 1) * 60 + 45 - time.time() % 60)
                before = look(proxy)
                await asyncio.sleep(slots * 60)
                seen = look(proxy).since(before)
            server.close()
            readings = [record["quality"] for record in exported(directory / "park.yaml", "reading") if record["slot"]]
        (directory / "month.yaml").write_text(yaml("15min"), encoding="utf-8")
        loaded = load(directory / "month.yaml")
    await child.close()
    assert loaded.config is not None, loaded.fault_texts()
    return {"measured": round(readings.count("measured") / len(readings), 3), **_month(seen, slots, loaded.config)}


def _month(seen: Count, slots: int, config: dict[str, Any]) -> dict[str, Any]:
    slot = (seen.on_the_wire - seen.pings * PING_BYTES) / slots
    pings = 86_400 // KEEPALIVE_METERED_S  # a day; few of them fall into a minute with a slot
    _, day = slot_and_day_bytes(config)
    month_mb = DAYS * (SLOTS_A_DAY * slot + pings * PING_BYTES + day) / 1e6
    predicted_mb = float(predict_uplink(config))
    return {
        "meters": len(config["meters"]),
        "slot_bytes": seen.bytes // slots,
        "slot_mqtt_up": seen.mqtt_up // slots,
        "slot_mqtt_down": seen.mqtt_down // slots,
        "slot_segments": round(seen.segments / slots, 1),
        "pings": seen.pings,
        "month_mb": round(month_mb, 1),
        "predicted_mb": predicted_mb,
        "predicted_to_measured": round(predicted_mb / month_mb, 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--meters", type=int, default=60)
    parser.add_argument("--slots", type=int, default=5)
    parser.add_argument("--compressed", action="store_true", help="over wss:// to a relay that agrees to compress")
    options = parser.parse_args()
    sys.stdout.write(
        json.dumps(asyncio.run(measure(options.meters, options.slots, compressed=options.compressed))) + "\n"
    )


if __name__ == "__main__":
    main()
