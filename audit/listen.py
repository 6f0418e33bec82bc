"""Evidence over MQTT 5 into the store: several listeners share the work, and nothing is acknowledged before it is safe.

    $share/audit-{store}/hubiao/v1/#                records, hashes: each message to one listener of the group
    hubiao/v1/+/gateway/+/checkpoint                to every listener, retained ones included
    hubiao/v1/{park}/gateway/{gateway}/receipt/…    what a listener with a key publishes, retained

The session outlives the process (a week): what came while a listener was down, or was not acknowledged when it was
killed, comes again. Each listener holds the lock of a number, which makes its client id; group and client ids bear the
store's name, so that two auditors at one broker take nothing from each other. The file that imports paho for the
auditor.
"""

from __future__ import annotations

import fcntl
import hashlib
import itertools
import json
import queue
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple
from urllib.parse import urlsplit

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from audit.cosign import AuditorKey, Cosigner
from audit.fold import DAY_ROWS, fold
from audit.rows import LogId, RecordFault
from audit.safe import write_whole
from audit.writer import Writer
from contract import note, topics
from contract.tree import HASH_BYTES

SESSION_S = 7 * 86_400
WINDOW = 500  # messages unacknowledged at once
BATCH = 200  # messages made safe together
PATIENCE_S = 10.0
LOOK_S = 5.0  # between two looks at checkpoints that wait, and FOLD_S at what waits to be folded
FOLD_S = 60.0
_REFUSED = 0x80  # reason codes from here on are failures
_DEFAULT_PORT = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}


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
    """Runs until told to stop. One thread of paho's brings messages, the caller's makes them safe. Raises OSError."""

    def __init__(self, where: Where, writer: Writer, key: AuditorKey | None) -> None:
        self.counts = Counts()
        self.stopping = threading.Event()
        self._where, self._writer = where, writer
        self._cosigner = None if key is None else Cosigner(writer.store, key)
        self._shared = f"$share/audit-{writer.store.name}/{topics.ROOT}/#"
        self._queue: queue.SimpleQueue[_Message] = queue.SimpleQueue()
        self._checkpoints: dict[LogId, str] = {}  # newest seen, not yet cosigned
        self._stirred: set[LogId] = set()  # of which something came
        self._looked_s = self._folded_s = time.monotonic()
        self._number, self._lock = _lock_number(writer.store.directory / "listeners")
        self._subscribed: queue.SimpleQueue[str] = queue.SimpleQueue()  # "" or what went wrong
        self._mids: dict[int | None, str] = {}
        self._client = self._make_client()

    def run(self, for_s: float | None = None, ready: Callable[[], None] = lambda: None) -> None:
        """Listens for so many seconds, or until `stopping`; calls `ready` once the broker keeps things for us.

        Raises BrokerFault, OSError.
        """
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
            ready()
            end = None if for_s is None else time.monotonic() + for_s
            while not self.stopping.is_set() and (end is None or time.monotonic() < end):
                self._take_batch()
        finally:
            self._client.disconnect()
            self._client.loop_stop()
            self._lock.close()

    def _make_client(self) -> paho.Client:
        url = urlsplit(self._where.url)
        websocket = url.scheme in ("ws", "wss")
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"hubiao-audit-{self._writer.store.name}-{self._number}",
            protocol=MQTTProtocolVersion.MQTTv5,
            transport="websockets" if websocket else "tcp",
            manual_ack=True,
        )
        if websocket:
            client.ws_set_options(path=url.path or "/mqtt")
        if url.scheme in ("mqtts", "wss"):
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
        for topic in (self._shared, checkpoints):
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
        """Messages that are there, made safe together, then acknowledged; then what can be cosigned or folded."""
        batch: list[_Message] = []
        try:
            batch.append(self._queue.get(timeout=0.25))
            while len(batch) < BATCH:
                batch.append(self._queue.get_nowait())
        except queue.Empty:
            pass
        records = [message for message in batch if not self._take_other(message)]
        self._take_records(records)
        for message in batch:
            self._client.ack(message.mid, message.qos)
        self._cosign()
        if time.monotonic() - self._folded_s > FOLD_S:
            fold(self._writer.store, DAY_ROWS, wait=False)
            self._folded_s = time.monotonic()

    def _take_records(self, messages: list[_Message]) -> None:
        taken = self._writer.take([message.payload for message in messages]) if messages else []
        for message, outcome in zip(messages, taken, strict=True):
            if isinstance(outcome, RecordFault):
                self._refuse(message, outcome)
                continue
            which = outcome.log
            self._stirred.add(which)
            self.counts.new += outcome.outcome == "new"
            self.counts.again += outcome.outcome == "again"
            self.counts.forks += outcome.outcome == "fork"
            parts = message.topic.split("/")
            if len(parts) < 4 or which.park != parts[2]:
                self._writer.store.alarm({"code": "topic", "topic": message.topic, **which._asdict()})

    def _take_other(self, message: _Message) -> bool:
        """Whatever is no record; False for one."""
        parts = message.topic.split("/")
        last = parts[-1]
        if last in ("status", "live") or "receipt" in parts[-2:]:
            return True
        if last not in ("checkpoint", "hashes"):
            return False
        try:
            if last == "checkpoint":
                self._take_checkpoint(parts, message.payload)
            else:
                self._take_hashes(parts, message.payload)
        except (note.NoteError, ValueError, KeyError, TypeError, IndexError) as error:
            self._refuse(message, error)
        return True

    def _refuse(self, message: _Message, why: Exception) -> None:
        self.counts.refused += 1
        digest = hashlib.sha256(message.payload).hexdigest()
        self._writer.store.alarm({"code": "refused", "topic": message.topic, "sha256": digest, "why": str(why)[:200]})

    def _take_checkpoint(self, parts: list[str], payload: bytes) -> None:
        text = payload.decode()
        origin = note.parse_checkpoint(note.parse_note(text)[0]).origin.split("/")
        if len(origin) != 4 or [origin[1], origin[2]] != [parts[2], parts[4]]:
            raise ValueError(f"checkpoint of {'/'.join(origin)}")
        which = LogId(*origin[1:])
        self._writer.add_note(which, "checkpoints", text)
        self._checkpoints[which] = text
        self._stirred.add(which)

    def _take_hashes(self, parts: list[str], payload: bytes) -> None:
        message = json.loads(payload)
        which = LogId(parts[2], parts[4], message["epoch"])
        leaves = [bytes.fromhex(leaf) for leaf in message["hashes"]]
        first = message["from"]
        sizes = type(first) is int and 0 <= first < 2**62 and all(len(leaf) == HASH_BYTES for leaf in leaves)
        if not sizes or len(which.epoch) != 32:
            raise ValueError("no hashes")
        self._writer.add_hashes(which, first, leaves)

    def _cosign(self) -> None:
        """Checkpoints of logs of which something came, and every few seconds all that wait."""
        if self._cosigner is None:
            return
        everything = time.monotonic() - self._looked_s > LOOK_S
        now_s = int(time.time())
        for which in list(self._checkpoints) if everything else self._checkpoints.keys() & self._stirred:
            text = self._checkpoints[which]
            receipt = self._cosigner.consider(which, text, now_s)
            if receipt is not None:
                del self._checkpoints[which]
            if receipt:
                self._publish(which, receipt)
        self._stirred.clear()
        if everything:
            self._looked_s = time.monotonic()

    def _publish(self, which: LogId, receipt: str) -> None:
        assert self._cosigner is not None
        write_receipt(self._writer.store.directory, which, receipt)
        topic = topics.receipt(which.park, which.gateway, self._cosigner.key.name)
        self._client.publish(topic, receipt.encode(), qos=1, retain=True)
        self.counts.receipts += 1


def write_receipt(directory: Path, which: LogId, receipt: str) -> Path:
    """The newest receipt of a log as a file, for `hubiao receipt import` on the gateway."""
    folder = directory / "receipts"
    folder.mkdir(exist_ok=True)
    path = folder / f"{which.park}.{which.gateway}.{which.epoch}.txt"
    write_whole(path, lambda file: file.write(receipt.encode()))
    return path


def _lock_number(directory: Path) -> tuple[int, IO[bytes]]:
    """The lowest number that no other listener of this store holds; free again when the process is gone."""
    directory.mkdir(exist_ok=True)
    for number in itertools.count():
        lock = (directory / f"{number}.lock").open("ab")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            continue
        return number, lock
    raise AssertionError("numbers do not end")


def _session() -> Properties:
    properties = Properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = SESSION_S
    properties.ReceiveMaximum = WINDOW
    return properties
