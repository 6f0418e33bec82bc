"""Evidence over MQTT 5 into the store: several listeners share the work, and nothing is acknowledged before it is safe.

    $share/audit/hubiao/v1/#                        records, hashes: each message to one listener of the group
    hubiao/v1/+/gateway/+/checkpoint                to every listener, retained ones included
    hubiao/v1/{park}/gateway/{gateway}/receipt/…    what a listener with a key publishes, retained

The session outlives the process (a week): what came while a listener was down, or was not acknowledged when it was
killed, comes again. The file that imports paho for the auditor.
"""

from __future__ import annotations

import hashlib
import json
import queue
import ssl
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from audit.cosign import AuditorKey, Cosigner
from audit.store import LogId, StoreFault, Writer, alarm
from contract import note, topics

GROUP = "audit"
SESSION_S = 7 * 86_400
WINDOW = 500  # messages unacknowledged at once
BATCH = 200  # messages made safe together
PATIENCE_S = 10.0
_REFUSED = 0x80  # reason codes from here on are failures
_DEFAULT_PORT = {"mqtt": 1883, "mqtts": 8883}


class BrokerFault(Exception):
    """The broker cannot be reached, or refused us."""


@dataclass(frozen=True, slots=True)
class Where:
    """A broker, and as whom to go there."""

    url: str
    username: str | None = None
    password: str | None = None
    ca_file: str | None = None


class _Message(NamedTuple):
    topic: str
    payload: bytes
    mid: int
    qos: int


@dataclass(slots=True)
class Counts:
    """What came in."""

    new: int = 0
    again: int = 0
    forks: int = 0
    refused: int = 0
    receipts: int = 0


class Listener:
    """Runs until told to stop. One thread of paho's brings messages, the caller's makes them safe."""

    def __init__(self, where: Where, writer: Writer, key: AuditorKey | None) -> None:
        self.counts = Counts()
        self.stopping = threading.Event()
        self._where, self._writer = where, writer
        self._cosigner = None if key is None else Cosigner(writer.store, key)
        self._queue: queue.SimpleQueue[_Message] = queue.SimpleQueue()
        self._checkpoints: dict[LogId, str] = {}  # newest seen, not yet cosigned
        self._subscribed: queue.SimpleQueue[str] = queue.SimpleQueue()  # "" or what went wrong
        self._mids: dict[int | None, str] = {}
        self._client = self._make_client()

    def run(self, for_s: float | None = None) -> None:
        """Listens for so many seconds, or until `stopping`. Raises BrokerFault, OSError."""
        url = urlsplit(self._where.url)
        try:
            self._client.connect(
                url.hostname or "127.0.0.1",
                url.port or _DEFAULT_PORT[url.scheme],
                clean_start=False,
                properties=_session(),
            )
        except (OSError, ValueError) as error:
            raise BrokerFault(f"{self._where.url}: {error}") from error
        self._client.loop_start()
        try:
            self._await_subscription()
            end = None if for_s is None else time.monotonic() + for_s
            while not self.stopping.is_set() and (end is None or time.monotonic() < end):
                self._take_batch()
        finally:
            self._client.disconnect()
            self._client.loop_stop()

    def _make_client(self) -> paho.Client:
        name = hashlib.sha256(str(self._writer.store.directory.resolve()).encode()).hexdigest()[:8]
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"hubiao-audit-{name}-{self._writer.number}",
            protocol=MQTTProtocolVersion.MQTTv5,
            manual_ack=True,
        )
        if urlsplit(self._where.url).scheme == "mqtts":
            client.tls_set(ca_certs=self._where.ca_file, cert_reqs=ssl.CERT_REQUIRED)
        if self._where.username:
            client.username_pw_set(self._where.username, self._where.password)
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_message = lambda _c, _u, m: self._queue.put(_Message(m.topic, bytes(m.payload), m.mid, m.qos))
        return client

    def _on_connect(self, client: Any, _userdata: Any, _flags: Any, code: Any, _properties: Any) -> None:
        if code.is_failure:
            self._subscribed.put(str(code))
            return
        checkpoints = f"{topics.ROOT}/+/gateway/+/checkpoint"
        for topic in (f"$share/{GROUP}/{topics.ROOT}/#", checkpoints):
            self._mids[client.subscribe(topic, qos=1)[1]] = topic

    def _on_subscribe(self, client: Any, _userdata: Any, mid: int, codes: Any, _properties: Any) -> None:
        topic = self._mids.get(mid, "")
        failed = [code for code in codes if code.value >= _REFUSED]
        if failed and topic.startswith("$share/"):  # this broker shares nothing: be the only listener
            self._mids[client.subscribe(f"{topics.ROOT}/#", qos=1)[1]] = topics.ROOT
            return
        self._subscribed.put(f"{topic}: {failed[0]}" if failed else "")

    def _await_subscription(self) -> None:
        for _ in range(2):
            try:
                fault = self._subscribed.get(timeout=PATIENCE_S)
            except queue.Empty as error:
                raise BrokerFault(f"{self._where.url}: no answer to the subscription") from error
            if fault:
                raise BrokerFault(f"{self._where.url}: {fault}")

    def _take_batch(self) -> None:
        """Messages that are there, made safe together, then acknowledged; then what can be cosigned."""
        batch: list[_Message] = []
        try:
            batch.append(self._queue.get(timeout=0.25))
            while len(batch) < BATCH:
                batch.append(self._queue.get_nowait())
        except queue.Empty:
            pass
        for message in batch:
            self._take(message)
        self._writer.commit()
        for message in batch:
            self._client.ack(message.mid, message.qos)
        self._cosign()

    def _take(self, message: _Message) -> None:
        parts = message.topic.split("/")
        last = parts[-1]
        if last in ("status", "live") or "receipt" in parts[-2:]:
            return
        try:
            if last == "checkpoint":
                self._take_checkpoint(parts, message.payload)
            elif last == "hashes":
                self._take_hashes(parts, message.payload)
            else:
                which, _, outcome = self._writer.append(message.payload)
                self.counts.new += outcome == "new"
                self.counts.again += outcome == "again"
                self.counts.forks += outcome == "fork"
                if len(parts) < 4 or which.park != parts[2]:
                    alarm(self._writer.store.directory, {"code": "topic", "topic": message.topic, **which._asdict()})
        except (StoreFault, note.NoteError, ValueError, KeyError, TypeError) as error:
            self.counts.refused += 1
            digest = hashlib.sha256(message.payload).hexdigest()
            what = {"code": "refused", "topic": message.topic, "sha256": digest, "why": str(error)[:200]}
            alarm(self._writer.store.directory, what)

    def _take_checkpoint(self, parts: list[str], payload: bytes) -> None:
        text = payload.decode()
        origin = note.parse_checkpoint(note.parse_note(text)[0]).origin.split("/")
        if len(origin) != 4 or [origin[1], origin[2]] != [parts[2], parts[4]]:
            raise ValueError(f"checkpoint of {'/'.join(origin)}")
        which = LogId(*origin[1:])
        self._writer.add_note(which, "checkpoints", text)
        self._checkpoints[which] = text

    def _take_hashes(self, parts: list[str], payload: bytes) -> None:
        message = json.loads(payload)
        which = LogId(parts[2], parts[4], message["epoch"])
        hashes = [bytes.fromhex(leaf) for leaf in message["hashes"]]
        if type(message["from"]) is not int or len(which.epoch) != 32 or any(len(leaf) != 32 for leaf in hashes):
            raise ValueError("no hashes")
        self._writer.add_hashes(which, payload.replace(b"\n", b" "))

    def _cosign(self) -> None:
        if self._cosigner is None:
            return
        now_s = int(time.time())
        for which, text in list(self._checkpoints.items()):
            log = self._writer.log(which)
            self._writer.store.refresh(log)
            receipt = self._cosigner.consider(log, text, now_s)
            if receipt is not None:
                self._publish(which, receipt)
                if self._checkpoints[which] == text:
                    del self._checkpoints[which]

    def _publish(self, which: LogId, receipt: str) -> None:
        assert self._cosigner is not None
        self._writer.add_note(which, "receipts", receipt)
        write_receipt(self._writer.store.directory, which, receipt)
        topic = topics.receipt(which.park, which.gateway, self._cosigner.key.name)
        self._client.publish(topic, receipt.encode(), qos=1, retain=True)
        self.counts.receipts += 1


def write_receipt(directory: Path, which: LogId, receipt: str) -> Path:
    """The newest receipt of a log as a file, for `hubiao receipt import` on the gateway."""
    folder = directory / "receipts"
    folder.mkdir(exist_ok=True)
    path = folder / f"{which.park}.{which.gateway}.{which.epoch}.txt"
    path.write_text(receipt, encoding="utf-8")
    return path


def _session() -> Properties:
    properties = Properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = SESSION_S
    properties.ReceiveMaximum = WINDOW
    return properties
