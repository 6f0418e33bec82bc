"""`python -m bench.evidence_agent [--cycles N] [--seed S]`: kill -9 of the whole agent, with meters, broker, auditor.

`hubiao simulate` plays the meters on ptys, mosquitto carries, an auditor collects and cosigns; `hubiao run` is killed
and started again at random moments of its life. In the end one clean life; then the auditor must hold every record of
the store, each as it stands there, in one epoch, and the receipts must cover all that was delivered.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

from agent.evidence.store import Reader
from bench.evidence_auditor import AUDITOR_VKEY, GATEWAY, PARK, Auditor, free_port, mosquitto
from contract.tree import leaf_hash

HUBIAO = str(Path(sys.executable).with_name("hubiao"))
LIFE_S = 6.0  # longer than the interval, so that sweeps, commits and publishing are hit
CONFIG = """\
park: {{id: {park}, name: 试验, schedules: [zj-2024, zj-2026], interval: 2s}}
gateway: {{id: {gateway}, data: "{data}", clock: trusted}}
mqtt: {{url: "mqtt://127.0.0.1:{port}", auditors: ["{auditor}"]}}
lines: [{{id: east, port: "{links}/east", baud: 9600, framing: 8N1}}]
meters:
  - {{id: m-1, line: east, protocol: dlt645-2007, address: "202208310001", role: master, max_a: 60}}
  - {{id: m-2, line: east, protocol: dlt645-2007, address: "202208310002", tenant: acme, max_a: 60}}
  - {{id: m-3, line: east, protocol: modbus, unit: 3, model: eastron-sdm630, tenant: bolt, max_a: 60}}
tenants: [{{id: acme, name: 甲}}, {{id: bolt, name: 乙}}]
"""


@contextmanager
def process(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    quiet = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    with subprocess.Popen([HUBIAO, *arguments], env={**os.environ, "PYTHONUNBUFFERED": "1"}, **quiet) as child:
        try:
            yield child
        finally:
            if child.poll() is None:
                child.kill()


def campaign(cycles: int, seed: int) -> dict[str, int]:
    """So many killed lives and a clean one; counts, and what is wrong."""
    random = Random(seed)
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="hubiao-agent-") as name:
        place = Path(name)
        os.chmod(place, 0o755)
        config = place / "park.yaml"
        fields = {"park": PARK, "gateway": GATEWAY, "data": place / "data", "port": port, "links": place}
        config.write_text(CONFIG.format(auditor=AUDITOR_VKEY, **fields), encoding="utf-8")
        with (
            mosquitto(place / "broker", port, "max_queued_messages 0\n"),
            Auditor("127.0.0.1", port) as auditor,
            process("simulate", "--config", str(config)) as simulator,
        ):
            assert simulator.stdout is not None
            assert simulator.stdout.readline().strip() == "ready"
            for _ in range(cycles):
                with process("run", "--config", str(config)) as agent:
                    time.sleep(random.uniform(0, LIFE_S))
                    agent.kill()
            with process("run", "--config", str(config)) as agent:
                held = len(auditor.ledger.cosigned)
                auditor.until(lambda ledger: ledger.again > 0 and len(ledger.cosigned) >= held, 20)
                time.sleep(2 * LIFE_S)
                agent.terminate()
                agent.wait(20)
            auditor.until(lambda _ledger: False, 2)
            return compare(place / "data", auditor, cycles)


def compare(data: Path, auditor: Auditor, cycles: int) -> dict[str, int]:
    """Every record of the store against what the auditor holds."""
    ledger = auditor.ledger
    reader = Reader(data)
    sums = Counter({"cycles": cycles, "epochs": len(reader.epochs)})
    sums.update(dict.fromkeys(("records", "given_up", "lost", "other", "double_seq"), 0))
    for epoch in reader.epochs:
        held = ledger.hashes.get(epoch.id, {})
        for seq, record, leaf in reader.records(epoch):
            sums["records"] += 1
            sums["lost"] += seq not in held
            sums["given_up"] += record is None
            sums["other"] += held.get(seq, leaf) != leaf or (record is not None and leaf_hash(record) != leaf)
        sums["double_seq"] += len([seq for seq in held if seq >= reader.size(epoch)])
    reader.close()
    return {**sums, "again": ledger.again, "forks": len(ledger.forks), "faults": len(ledger.faults)} | {
        "receipts": auditor.receipts,
        "readings": ledger.kinds["reading"],
        "intervals": ledger.kinds["interval"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cycles", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    began = time.monotonic()
    sums = campaign(options.cycles, options.seed)
    print(f"seed {options.seed}: " + ", ".join(f"{name} {n}" for name, n in sums.items()))
    print(f"{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
