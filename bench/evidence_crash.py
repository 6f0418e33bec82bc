"""`python -m bench.evidence_crash [--cycles N] [--seed S]`: kill -9 of writer and outbox, forked warm, at any moment.

    fork ─▶ open the store, commit sweeps, publish into a pipe ─▶ SIGKILL ─▶ what the auditor read against the store

Store, log and outbox are the gateway's own; only the connection is a pipe that acknowledges at once. After every kill
the ledger of the auditor must have no fork, and in the end the store must hold every record that was ever published.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import signal
import struct
import tempfile
import time
from collections import deque
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from random import Random
from typing import Any

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from agent.delivery import outbox as outbox_module
from agent.delivery.mqtt import Broker
from agent.delivery.outbox import Outbox
from agent.evidence.store import DATABASE, Reader
from bench.evidence_auditor import KEY, Ledger, make_log, reading
from contract.note import public_raw
from contract.tree import leaf_hash
from contract.verify import Evidence, verify
from drivers.clock import RealClock

SUCCESS = ReasonCode(PacketTypes.PUBACK, "Success")
FRAME = struct.Struct("!HI")
START_S = 1_783_641_600
MOST_S = 0.05  # of a life after its store is open, or before
# the readings are made up at one go, not at their slots, for meters that no configuration names
NOT_ASKED = ("late", "not_measured", "missing", "frames", "duplicate", "unknown_meter", "grid", "revision")
EARLY = 0.15  # of all lives end while they open the store


class PipeConnection:
    """The outbox's side of a connection, into a pipe."""

    pipe = -1

    def __init__(self, _broker: Broker, _client: str, _will: Any, wake: asyncio.Event) -> None:
        self.window, self.packet_limit, self.lost, self.sent_bytes = 20, None, "", 0
        self.answers: deque[tuple[int, ReasonCode]] = deque()
        self.arrived: deque[tuple[str, bytes]] = deque()
        self._wake, self._mid = wake, 0

    @property
    def room(self) -> int:
        return self.window - len(self.answers)

    async def open(self) -> None:
        """The pipe is open."""

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> int:
        self._mid += 1
        name = topic.encode()
        data = FRAME.pack(len(name), len(payload)) + name + payload
        while data:
            data = data[os.write(self.pipe, data) :]
        self.answers.append((self._mid, SUCCESS))
        self._wake.set()
        return self._mid

    def together(self) -> AbstractContextManager[None]:
        return nullcontext()

    def overdue_s(self) -> float:
        return 0.0

    async def close(self) -> None:
        """Never reached."""


def live(data: Path, pipe: int) -> None:
    """The child: appends and publishes until it is killed."""

    async def main() -> None:
        clock = RealClock(trusted=True)
        _, log = await make_log(data, clock, audited=False)
        outbox = Outbox(log, Broker("pipe", 0, False), clock, 900, lambda *_: None)
        sending = asyncio.create_task(outbox.run())
        n = 0
        while not sending.done():
            for meter in range(4):
                log.add(reading(meter, START_S + 900 * n))
            await log.commit()
            n += 1
            await asyncio.sleep(0)

    PipeConnection.pipe = pipe
    outbox_module.Connection = PipeConnection  # type: ignore[assignment,misc]
    asyncio.run(main())


def cycle(data: Path, random: Random, ledger: Ledger) -> None:
    """One life and its sudden end."""
    reading_end, writing_end = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading_end)
        try:
            live(data, writing_end)
        finally:
            os._exit(1)
    os.close(writing_end)
    first = not (data / DATABASE).exists()
    early = not first and random.random() < EARLY
    deadline = time.monotonic() + random.uniform(0, MOST_S) if early else float("inf")
    buffer = bytearray()
    os.set_blocking(reading_end, False)
    killed = False
    while True:
        try:
            part = os.read(reading_end, 1 << 16)
            if not part:
                break
            if not buffer and not early:  # it is open and has said so
                deadline = time.monotonic() + random.uniform(0, MOST_S)
            buffer += part
        except BlockingIOError:
            time.sleep(0.001)
        if not killed and time.monotonic() >= deadline:
            os.kill(child, signal.SIGKILL)
            killed = True
    os.waitpid(child, 0)
    os.close(reading_end)
    _take(buffer, ledger)


def _take(buffer: bytearray, ledger: Ledger) -> None:
    """Whole messages; what was cut off never arrived."""
    at = 0
    while at + FRAME.size <= len(buffer):
        name, size = FRAME.unpack_from(buffer, at)
        end = at + FRAME.size + name + size
        if end > len(buffer):
            return
        ledger.take(bytes(buffer[at + FRAME.size : end - size]).decode(), bytes(buffer[end - size : end]))
        at = end


def lost_or_other(data: Path, ledger: Ledger) -> tuple[int, int]:
    """Published records that the store has not, or has otherwise; and what it holds in all."""
    reader = Reader(data)
    wrong = size = 0
    for epoch in reader.epochs:
        held = ledger.hashes.get(epoch.id, {})
        rows = {seq: leaf_hash(record) for seq, record, _ in reader.records(epoch) if record is not None}
        size += len(rows)
        wrong += sum(rows.get(seq) != leaf for seq, leaf in held.items())
    wrong += sum(len(held) for name, held in ledger.hashes.items() if name not in [e.id for e in reader.epochs])
    reader.close()
    return wrong, size


def false_alarms(data: Path) -> list[dict[str, Any]]:
    """What a verifier finds in the honest log that is left; its tail may lack a stored checkpoint."""
    reader = Reader(data)
    rows = list(reader.records(reader.epochs[-1]))
    notes = reader.checkpoints(reader.epochs[-1])
    reader.close()
    evidence = Evidence([record for _, record, _ in rows], [leaf for _, _, leaf in rows], notes, [])
    found = verify(evidence, public_raw(KEY))["findings"]
    ours = (
        "hash",
        "hole",
        "root",
        "seq",
        "order",
        "fork",
        "rollback",
        "truncated",
        "config",
        "malformed",
        "checkpoint",
    )
    return [finding for finding in found if finding["code"] in ours]


def campaign(cycles: int, seed: int, *, renew: int = 250) -> dict[str, int]:
    """So many cycles, a new store every `renew` of them; the sums of what went wrong."""
    random = Random(seed)
    sums = {"cycles": 0, "published": 0, "again": 0, "wrong": 0, "forks": 0, "alarms": 0, "epochs": 0, "records": 0}
    while sums["cycles"] < cycles:
        data = Path(tempfile.mkdtemp(prefix="hubiao-crash-"))
        ledger = Ledger()
        for _ in range(min(renew, cycles - sums["cycles"])):
            cycle(data, random, ledger)
            sums["cycles"] += 1
        wrong, size = lost_or_other(data, ledger)
        sums["published"] += sum(map(len, ledger.hashes.values()))
        sums["again"] += ledger.again
        sums["wrong"] += wrong
        sums["forks"] += len(ledger.forks)
        sums["alarms"] += len(false_alarms(data))
        sums["epochs"] += len(ledger.hashes) - 1
        sums["records"] += size
        shutil.rmtree(data)
    return sums


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cycles", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    began = time.monotonic()
    sums = campaign(options.cycles, options.seed)
    print(f"seed {options.seed}: " + ", ".join(f"{name} {n}" for name, n in sums.items()))
    print(
        f"{time.monotonic() - began:.0f} s; published and lost or altered {sums['wrong']}, forks {sums['forks']}, ",
        end="",
    )
    print(f"new epochs {sums['epochs']}, false alarms {sums['alarms']}")


if __name__ == "__main__":
    main()
