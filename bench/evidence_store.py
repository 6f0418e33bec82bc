"""`python -m bench.evidence_store [--kills 20 --parks 4]`: the auditor's store under kill -9.

    publisher ─▶ a real mosquitto ─▶ two listeners of one group, one of them killed again and again, and started anew
    an export ─▶ `hubiao audit import`, killed at random moments, until it has run to its end

Listeners fold every second and cosign every five, so that kills hit folds and receipts too. After each kill every
receipt given so far is held against the store: every record below its size must be there. In the end each record stands
once, byte for byte, and everything verifies. The seed is printed.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from audit.cosign import create_key
from audit.rows import LogId
from audit.store import Store, StoreFault
from audit.verify_store import verify_store
from bench.evidence_auditor import AUDITOR_VKEY, KEY, free_port, mosquitto
from bench.province import Stamped, Template, names
from contract import note, topics

METERS, SLOTS = 20, 24
PATIENCE_S = 180.0
_LISTEN = """
import audit.cosign as cosign, audit.listen as listen
from agent.cli import main
listen.FOLD_S, listen.DAY_ROWS = 1.0, 300
state = cosign.Cosigner._state
cosign.Cosigner._state = lambda self, which: (*state(self, which)[:3], 5)  # seconds, not the park's interval
main()
"""
_IMPORT = (
    "import audit.fold as fold, audit.ingest as ingest; fold.ROWS = 500; ingest._BATCH = 50; "
    "from agent.cli import main; main()"
)


class Publisher:
    """Gateways' records, and what auditors answer."""

    def __init__(self, port: int, parks: list[Stamped]) -> None:
        self.receipts: list[str] = []
        self._parks = parks
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.on_message = lambda _c, _u, message: self.receipts.append(message.payload.decode())
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        for park in parks:
            self._client.subscribe(topics.receipt_filter(park.which.park, park.which.gateway), qos=1)

    def publish(self, first: float, last: float) -> None:
        """That part of each park's records, from one fraction to another, checkpoints where the gateway signed."""
        for park in self._parks:
            place = f"{topics.ROOT}/{park.which.park}/gateway/{park.which.gateway}"
            sizes = {note.parse_checkpoint(note.parse_note(text)[0]).size: text for text in park.checkpoints}
            for row in park.rows[int(first * len(park.rows)) : int(last * len(park.rows))]:
                self._client.publish(f"{place}/{row.kind}", row.body, qos=1)
                if row.seq + 1 in sizes:
                    self._client.publish(f"{place}/checkpoint", sizes[row.seq + 1], qos=1, retain=True)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def listeners(directory: Path, parks: list[Stamped], kills: int, chance: random.Random) -> dict[str, Any]:
    """The first half of the campaign; raises AssertionError where something is lost or twice."""
    port, store, key = free_port(), directory / "store", directory / "key"
    create_key(key, "audit.example/zj-1")
    words = ["audit", "listen", "--mqtt", f"mqtt://127.0.0.1:{port}", "--store", str(store), "--cosign-key", str(key)]
    command = [sys.executable, "-c", _LISTEN, *words]
    with mosquitto(directory / "broker", port, "max_queued_messages 0\nmax_inflight_messages 500\n"):
        publisher = Publisher(port, parks)
        running = [_start(command) for _ in range(2)]
        for process in running:  # a session that is not there yet keeps nothing
            assert process.stderr is not None
            process.stderr.readline()
        checked = 0
        try:
            for n in range(kills):
                publisher.publish(n / kills, (n + 1) / kills)
                time.sleep(chance.uniform(0.2, 1.5))
                victim = chance.randrange(2)
                _kill(running[victim])
                checked += _hold_up(store, publisher.receipts)
                running[victim] = _start(command)
            _await(lambda: all(_held(store, park.which) == len(park.rows) for park in parks), "every record")
            whole = {len(park.rows) for park in parks}
            _await(lambda: whole <= {_size(text) for text in publisher.receipts}, "receipts over everything")
            checked += _hold_up(store, publisher.receipts)
        finally:
            for process in running:
                process.terminate()
            for process in running:
                process.wait(30)
            publisher.close()
    _compare(store, parks)
    sizes = [(_origin(text), _size(text)) for text in publisher.receipts]
    assert len(sizes) == len(set(sizes)), "two receipts for one size"
    opened = Store(store)
    return {"kills": kills, "receipts": len(sizes), "receipts_checked": checked, "parts": len(opened.part_paths())}


def imports(directory: Path, parks: list[Stamped], kills: int, chance: random.Random) -> dict[str, Any]:
    """The second half: exports taken in by a process that is killed again and again."""
    store, stick = directory / "imported", directory / "stick"
    for park in parks:
        folder = stick / park.which.park
        folder.mkdir(parents=True)
        (folder / "records.ndjson").write_bytes(b"".join(row.body + b"\n" for row in park.rows))
        (folder / "checkpoints.txt").write_text(note.join_notes(park.checkpoints), encoding="utf-8")
        vkey = note.verifier_key(note.origin(*park.which), note.public_raw(KEY))
        (folder / "key.txt").write_text(vkey + "\n")
    command = [sys.executable, "-c", _IMPORT, "audit", "import", str(stick), "--store", str(store), "--json"]
    moments: Counter[str] = Counter()
    for _ in range(kills):
        before = _progress(store)
        process = _start(command)
        while process.poll() is None and _progress(store) == before:
            time.sleep(0.01)
        time.sleep(chance.uniform(0.0, 0.3))
        moments["finished" if process.poll() is not None else "folding" if _progress(store)[1] else "taking"] += 1
        _kill(process)
    process = subprocess.run(command, capture_output=True, text=True, check=True)
    _compare(store, parks)
    result = verify_store(Store(store), auditors=[AUDITOR_VKEY])
    assert result["ok"], [log["findings"][:3] for log in result["logs"]]
    said = json.loads(process.stdout)
    return {"killed_while": moments, "again_in_the_last_run": said["again"], "new_in_the_last_run": said["new"]}


def _start(command: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def _kill(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()


def _await(check: Any, what: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while not check():
        assert time.monotonic() < end, f"no {what} in time"
        time.sleep(0.3)


def _progress(store: Path) -> tuple[int, int]:
    """Records in the inbox, parts."""
    try:
        opened = Store(store)
        (waiting,) = opened.db.execute("SELECT count(*) FROM inbox").fetchone()
        return waiting, len(opened.part_paths())
    except (StoreFault, sqlite3.OperationalError):  # no store yet, or one without its tables
        return 0, 0


def _held(store: Path, which: LogId) -> int:
    try:
        return Store(store).log(which).held
    except StoreFault:
        return 0


def _hold_up(store: Path, receipts: list[str]) -> int:
    """Every record below each receipt's size is there; how many receipts were looked at."""
    newest: dict[str, int] = {}
    for text in list(receipts):
        newest[_origin(text)] = max(newest.get(_origin(text), 0), _size(text))
    for origin, size in newest.items():
        _, *place = origin.split("/")
        held = sum(1 for _ in Store(store).log(LogId(*place)).rows(last=size))
        assert held == size, f"{origin}: a receipt of size {size}, {held} records"
    return len(newest)


def _compare(store: Path, parks: list[Stamped]) -> None:
    opened = Store(store)
    assert not opened.alarms(), opened.alarms()
    for park in parks:
        held = [row.body for row in opened.log(park.which).rows()]
        assert held == [row.body for row in park.rows], park.which


def _size(text: str) -> int:
    return note.parse_checkpoint(note.parse_note(text)[0]).size


def _origin(text: str) -> str:
    return note.parse_checkpoint(note.parse_note(text)[0]).origin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--parks", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    template = Template.play(METERS, SLOTS)
    parks = [template.stamp(name) for name in names(options.parks)]
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="hubiao-store-") as directory:
        found = {"seed": options.seed, "records": len(template.rows) * options.parks}
        found["listen"] = listeners(Path(directory), parks, options.kills, chance)
        found["import"] = imports(Path(directory), parks, options.kills, chance)
    print(json.dumps({**found, "seconds": round(time.monotonic() - began)}))


if __name__ == "__main__":
    main()
