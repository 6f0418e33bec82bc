"""`python -m bench.evidence_storage [--rounds N] [--seed S]`: disks that fail under the whole agent (root, cc).

    hubiao simulate ── hubiao run ── mosquitto ── an auditor           DATA on a tmpfs, calls through faulty_disk.c
                          └─ DATA: I/O errors │ read-only │ no room to grow │ a hog takes every byte │ syncs of 5 s

First the agent lives through every fault, a few sweeps each: it must go on polling, lose no slot and publish all of it
when the disk is back. Then it is killed in the middle of each: a start on the faulty disk may fail, the first one after
it must write within ten seconds. In the end the store must verify and the auditor hold every record of it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from agent.evidence.reader import Reader
from bench.evidence_agent import CONFIG, HUBIAO, compare, process
from bench.evidence_auditor import AUDITOR_VKEY, GATEWAY, PARK, Auditor, Ledger, free_port, mosquitto
from bench.evidence_disk import hog, small_disk
from contract.records import parse_instant, parse_slot

INTERVAL_S = 10
FAULT_S = (2 * INTERVAL_S, 4 * INTERVAL_S)
FAULTS = ("eio", "erofs", "enospc", "slow 5", "hog")
SHIM = Path(__file__).with_name("faulty_disk.c")
AGAIN_S = 1.0  # between starts that the disk refuses, as systemd does it


class Slots(Ledger):
    """An auditor that looks at how slots were answered: the store may have given up bodies that he holds."""

    def __init__(self) -> None:
        super().__init__()
        self._found: Counter[str] = Counter()
        self._latest_ms = 0

    def told(self) -> dict[str, int]:
        """Readings by method and quality, gaps by cause, and how long after its slot the latest live look was."""
        return {**dict(sorted(self._found.items())), "latest_look_ms": self._latest_ms}

    def _record(self, payload: bytes) -> None:
        raw, again = json.loads(payload), self.again
        super()._record(payload)
        if self.again > again:
            return
        if raw["kind"] == "reading":
            self._found[f"{raw['method']} {raw['quality']}"] += 1
            for source in raw["sources"] if raw["quality"] == "measured" else ():
                off_ms = parse_instant(source["read_at"]) - parse_slot(raw["slot"]) * 1000
                self._latest_ms = max(self._latest_ms, off_ms)
        elif raw["kind"] == "gap":
            self._found[f"gap {raw['why']}"] += 1
        elif raw.get("code") == "disk_low":
            self._found["disk_low"] += 1


@dataclass
class Site:
    """Where everything is; the running agent."""

    place: Path
    data: Path
    config: Path
    log: Path
    counts: Counter[str] = field(default_factory=Counter)
    slowest_start_s: float = 0.0

    @contextmanager
    def fault(self, name: str) -> Iterator[None]:
        filled = hog(self.data.parent) if name == "hog" else None
        if filled is None:
            (self.place / "fault").write_text(name)
        try:
            yield
        finally:
            (self.place / "fault").write_text("")
            if filled is not None:
                filled.unlink()

    def start(self) -> subprocess.Popen[bytes]:
        shim = {"LD_PRELOAD": str(self.place / "faulty.so"), "FAULTY_DISK": str(self.data)}
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [HUBIAO, "run", "--config", str(self.config)],
                env={**os.environ, **shim, "FAULTY_DISK_FAULT": str(self.place / "fault")},
                stdout=subprocess.DEVNULL,
                stderr=log,
            )

    def size(self) -> int:
        """Records in the store, 0 while there is none."""
        if not (self.data / "hubiao.db").exists():
            return 0
        reader = Reader(self.data)
        try:
            return reader.size(reader.epochs[-1]) if reader.epochs else 0
        finally:
            reader.close()

    def until_it_writes(self, beyond: int, limit_s: float = 60.0) -> float:
        """Seconds until the store is larger than it was."""
        began = time.monotonic()
        while self.size() <= beyond:
            assert time.monotonic() < began + limit_s, f"the agent does not write: {self.log.read_text()[-2000:]}"
            time.sleep(0.1)
        return time.monotonic() - began


def live_through(site: Site, agent: subprocess.Popen[bytes], name: str, random: Random) -> None:
    """One fault that comes and goes."""
    site.until_it_writes(site.size())
    with site.fault(name):
        time.sleep(random.uniform(*FAULT_S))
    site.until_it_writes(site.size())
    site.counts[f"lived through {name}"] += 1
    site.counts["died"] += agent.poll() is not None


def killed_in(site: Site, agent: subprocess.Popen[bytes], name: str, random: Random) -> subprocess.Popen[bytes]:
    """Killed within the fault and started again within it, as often as it takes; gives the agent that runs then."""
    with site.fault(name):
        time.sleep(random.uniform(0.5, 1.5) * INTERVAL_S)
        agent.kill()
        agent.wait()
        size = site.size()
        end = time.monotonic() + random.uniform(1, 3) * AGAIN_S
        agent = site.start()
        while time.monotonic() < end:
            time.sleep(0.1)
            if agent.poll() is not None:
                site.counts[f"starts refused by {name}"] += 1
                time.sleep(AGAIN_S)
                agent = site.start()
    began = time.monotonic()
    while site.size() <= size:
        time.sleep(0.05)
        if agent.poll() is not None:
            agent = site.start()
    site.slowest_start_s = max(site.slowest_start_s, time.monotonic() - began)
    site.counts[f"killed in {name}"] += 1
    return agent


def campaign(rounds: int, seed: int) -> dict[str, Any]:
    random, port = Random(seed), free_port()
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hubiao-storage-")))
        os.chmod(place, 0o755)
        disk = stack.enter_context(small_disk())
        site = Site(place, disk / "data", place / "park.yaml", place / "agent.evidence.log")
        site.data.mkdir()
        (place / "fault").write_text("")
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", place / "faulty.so", SHIM, "-ldl"], check=True)
        fields = {"park": PARK, "gateway": GATEWAY, "data": site.data, "port": port, "links": place}
        text = CONFIG.format(auditor=AUDITOR_VKEY, **fields).replace("interval: 2s", f"interval: {INTERVAL_S}s")
        site.config.write_text(text, encoding="utf-8")
        stack.enter_context(mosquitto(place / "broker", port, "max_queued_messages 0\n"))
        ledger = Slots()
        auditor = stack.enter_context(Auditor("127.0.0.1", port, ledger=ledger))
        simulator = stack.enter_context(process("simulate", "--config", str(site.config)))
        assert simulator.stdout is not None
        assert simulator.stdout.readline().strip() == "ready"
        agent = site.start()
        try:
            for _ in range(rounds):
                for name in random.sample(FAULTS, len(FAULTS)):
                    live_through(site, agent, name, random)
            time.sleep(2 * INTERVAL_S)
            lived = ledger.told()
            for _ in range(rounds):
                for name in random.sample(FAULTS, len(FAULTS)):
                    agent = killed_in(site, agent, name, random)
            site.until_it_writes(site.size())
        finally:
            agent.terminate()
            agent.wait(20)
        auditor.until(lambda _ledger: False, 2)
        command = [HUBIAO, "verify", str(site.data), "--key", _key(site.data), "--json"]
        said = json.loads(subprocess.run(command, capture_output=True, text=True).stdout)
        return {
            **site.counts,
            "slowest_start_s": round(site.slowest_start_s, 1),
            **lived,
            **compare(site.data, auditor, rounds),
            "verify": [finding["text"] for finding in said["findings"]],
        }


def _key(data: Path) -> str:
    reader = Reader(data)
    try:
        return reader.epochs[-1].vkey
    finally:
        reader.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    began = time.monotonic()
    for name, n in campaign(options.rounds, options.seed).items():
        print(f"{name}: {n}")
    print(f"{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
