"""An auditor by the contract, §5, and logs to be audited: what the evidence campaigns and their tests share.

Keeps hashes, not records. Cosigns when it holds every record below a checkpoint, they hash to its root, and something
other than `witness` and `pruned` came since; at most once an interval, but at once when it has caught up.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from decimal import Decimal
from pathlib import Path

import paho.mqtt.client as paho
from nacl.signing import SigningKey
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from agent.evidence.log import Identity, Log
from agent.evidence.opening import open_log
from agent.evidence.receipts import pinned
from agent.evidence.store import Store
from contract import note, topics, tree
from contract.records import Config, Exchanged, Reading, Source, instant, slot_instant
from drivers.clock import Clock
from simulators.broker import mosquitto_program

PARK, GATEWAY = "xihu-01", "gw-1"
KEY = SigningKey(bytes(range(32)))
AUDITOR_KEY = SigningKey(bytes(range(32, 64)))
AUDITOR_NAME = "audit.example/zj-1"
AUDITOR_VKEY = note.verifier_key(AUDITOR_NAME, note.public_raw(AUDITOR_KEY), note.COSIGNATURE)
SETTINGS = {"utc_offset": "+08:00", "schedules": [], "interval": "15min", "interval_s": 900, "closings": ["01 00:00"]}


class Ledger:
    """What an auditor holds of one gateway: by epoch, hashes by index, the newest checkpoint, what was cosigned."""

    def __init__(self, interval_s: float = 0.0) -> None:
        self.interval_s = interval_s
        self.hashes: dict[str, dict[int, bytes]] = {}
        self.kinds: Counter[str] = Counter()
        self.checkpoints: dict[str, str] = {}
        self.cosigned: dict[str, int] = {}
        self.again = 0
        self.forks: list[str] = []
        self.faults: list[str] = []
        self._telling: dict[str, int] = {}  # epoch → indexes below which something was worth cosigning
        self._frontiers: dict[str, tree.Frontier] = {}
        self._at = -1e9

    def take(self, topic: str, payload: bytes) -> str | None:
        """One message; gives a receipt if one is due."""
        last = topic.rsplit("/", 1)[-1]
        if last == "checkpoint":
            text = payload.decode()
            checkpoint = note.parse_checkpoint(note.parse_note(text)[0])
            self.checkpoints[checkpoint.origin.rpartition("/")[2]] = text
        elif last not in ("hashes", "status", "live") and "/receipt/" not in topic:
            self._record(payload)
        return next((receipt for receipt in map(self.receipt, list(self.checkpoints)) if receipt), None)

    def size(self, epoch: str) -> int:
        """Records held without a hole from the beginning."""
        frontier = self._frontiers.setdefault(epoch, tree.Frontier())
        held = self.hashes.get(epoch, {})
        while frontier.size in held and frontier.size < self._limit(epoch):
            frontier.append(held[frontier.size])
        return frontier.size

    def receipt(self, epoch: str) -> str | None:
        """A receipt for the newest checkpoint, if the contract asks for one now."""
        text = self.checkpoints[epoch]
        checkpoint = note.parse_checkpoint(note.parse_note(text)[0])
        before = self.cosigned.get(epoch, 0)
        if checkpoint.size <= before or self._telling.get(epoch, 0) <= before:
            return None
        if self.size(epoch) < checkpoint.size or time.monotonic() < self._at + self.interval_s:
            return None
        if self._frontiers[epoch].root() != checkpoint.root:
            self.faults.append(f"root at {checkpoint.size}")
            return None
        self.cosigned[epoch], self._at = checkpoint.size, time.monotonic()
        return note.cosign(AUDITOR_KEY, AUDITOR_NAME, text, int(time.time()))

    def _limit(self, epoch: str) -> int:
        """The frontier is grown up to the newest checkpoint only, so that its root can be compared."""
        text = self.checkpoints.get(epoch)
        return note.parse_checkpoint(note.parse_note(text)[0]).size if text else 0

    def _record(self, payload: bytes) -> None:
        head = json.loads(payload)
        epoch, seq = head["epoch"], head["seq"]
        leaf = tree.leaf_hash(payload)
        held = self.hashes.setdefault(epoch, {})
        if seq in held:
            self.again += 1
            if held[seq] != leaf:
                self.forks.append(f"{epoch} {seq}")
            return
        held[seq] = leaf
        self.kinds[head["kind"]] += 1
        if head["kind"] not in ("witness", "pruned"):
            self._telling[epoch] = max(self._telling.get(epoch, 0), seq + 1)


class Auditor:
    """A ledger on the line: subscribes, keeps, cosigns. Use as a context."""

    def __init__(
        self, host: str, port: int, *, cosign: bool = True, interval_s: float = 0.0, ledger: Ledger | None = None
    ) -> None:
        self.ledger = ledger or Ledger(interval_s)  # one that is given belongs to a session that the broker keeps
        self._session_s = 3600 if ledger else 0
        self.messages: Counter[str] = Counter()  # by the last word of the topic
        self.receipts = 0
        self._where, self._cosign = (host, port), cosign
        self._stirred = threading.Condition()

    def __enter__(self) -> Auditor:
        ready = threading.Event()
        name = "auditor" if self._session_s else ""
        self._client = paho.Client(CallbackAPIVersion.VERSION2, name, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.on_connect = lambda client, *_: client.subscribe("hubiao/#", qos=1)
        self._client.on_subscribe = lambda *_: ready.set()
        self._client.on_message = self._on_message
        session = Properties(PacketTypes.CONNECT)
        session.SessionExpiryInterval = self._session_s
        self._client.connect(*self._where, clean_start=not self._session_s, properties=session)
        self._client.loop_start()
        assert ready.wait(10), "the broker did not answer"
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def until(self, condition: Callable[[Ledger], bool], limit_s: float = 30.0) -> bool:
        """Waits until the ledger is as wanted."""
        with self._stirred:
            return self._stirred.wait_for(lambda: condition(self.ledger), limit_s)

    def _on_message(self, _client: object, _user: object, message: paho.MQTTMessage) -> None:
        with self._stirred:
            self.messages[message.topic.rsplit("/", 1)[-1] if "/receipt/" not in message.topic else "receipt"] += 1
            receipt = self.ledger.take(message.topic, bytes(message.payload))
            if receipt and self._cosign:
                self.receipts += 1
                topic = topics.receipt(PARK, GATEWAY, AUDITOR_NAME)
                self._client.publish(topic, receipt.encode(), qos=1, retain=True)
            self._stirred.notify_all()


async def make_log(data: Path, clock: Clock, *, audited: bool = True, key: SigningKey = KEY) -> tuple[Store, Log]:
    """A store with its log, its configuration committed."""
    store = Store(data, clock.hold)
    log = await open_log(store, Identity(PARK, GATEWAY, "0.1.0"), clock, key, pinned([AUDITOR_VKEY] if audited else []))
    log.add(Config(SETTINGS, [{"id": "east"}], [], [], [], [], [], [], "0.1.0"))
    await log.commit()
    return store, log


def reading(meter: int, slot_s: int, seed: int = 0) -> Reading:
    """A reading of usual size: one block of total and tariffs, confirmed, as the agent writes it."""
    value = Decimal(meter * 1000 + slot_s // 900 % 100_000 + seed) / 100
    registers = {"import": value, "import_t1": value, "import_t2": Decimal("0.00")}
    frame = hashlib.sha256(f"{meter}/{slot_s}".encode()).hexdigest()
    exchange = Exchanged("68030031082022681104333433337416", "68030031082022689118333433" + frame[:46] + "16", 1_000)
    source = Source(instant(slot_s * 1000), 1_000, registers, None, [exchange], [])
    checks = ["parity", "checksum", "address", "identifier", "length", "bcd", "plausible", "tariff_sum"]
    return Reading(
        meter=f"m-{meter:03d}",
        serial=None,
        point=f"p-{meter:03d}",
        slot=slot_instant(slot_s),
        method="live",
        quality="measured",
        estimate=None,
        registers=registers,
        sources=[source],
        checks=checks,  # type: ignore[arg-type]
        attempts=1,
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def mosquitto(directory: Path, port: int, extra: str = "") -> Iterator[int]:
    """A mosquitto of our own with more configuration lines; gives its process id."""
    program = mosquitto_program()
    assert program, "this needs mosquitto"
    directory.mkdir(parents=True, exist_ok=True)
    os.chmod(directory, 0o755)
    config = directory / "mosquitto.conf"
    lines = f"listener {port} 127.0.0.1\nset_tcp_nodelay true\nlog_type error\n"
    lines += "user root\n" if os.geteuid() == 0 else ""  # its files may lie where only root looks
    config.write_text(lines + ("" if "allow_anonymous" in extra else "allow_anonymous true\n") + extra)
    with subprocess.Popen(
        [program, "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            deadline = time.monotonic() + 15
            while True:
                with suppress(OSError):
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                assert process.poll() is None, "mosquitto ended at once"
                assert time.monotonic() < deadline, "mosquitto does not listen"
                time.sleep(0.02)
            yield process.pid
        finally:
            if process.poll() is None:
                process.kill()
