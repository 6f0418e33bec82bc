"""`hubiao receipt import` and `hubiao db`: receipts on a stick, what the store holds, room reserved."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from agent.cli import cli
from agent.evidence.receipts import Stick, judge
from bench.evidence_auditor import AUDITOR_KEY, AUDITOR_NAME, AUDITOR_VKEY, GATEWAY, PARK, make_log
from contract import note
from contract.records import parse_instant
from drivers.clock import VirtualClock

START_MS = parse_instant("2026-07-10T00:00:00Z")
CONFIG = """\
park: {{id: {park}, name: 园区, schedules: [zj-2026]}}
gateway: {{id: {gateway}, data: "{data}", clock: trusted}}
mqtt: {{url: "mqtt://127.0.0.1:1", auditors: ["{auditor}"]}}
lines: [{{id: east, port: /dev/ttyRS485-1, baud: 9600, framing: 8N1}}]
meters: [{{id: m-1, line: east, protocol: dlt645-2007, address: "202208310001", role: master, max_a: 60}}]
tenants: []
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "park.yaml"
    text = CONFIG.format(park=PARK, gateway=GATEWAY, data=tmp_path / "data", auditor=AUDITOR_VKEY)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def checkpoint(tmp_path: Path) -> str:
    """Of a log of two records."""
    clock = VirtualClock(START_MS)

    async def main() -> str:
        store, log = await make_log(tmp_path / "data", clock)
        await log.close()
        await store.close()
        return log.checkpoint

    return clock.run(main())


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def test_a_receipt_on_a_stick_reaches_the_agent(config: Path, checkpoint: str, tmp_path: Path) -> None:
    stick = tmp_path / "receipt.txt"
    stick.write_text(note.cosign(AUDITOR_KEY, AUDITOR_NAME, checkpoint, START_MS // 1000), encoding="utf-8")
    result = run("receipt", "import", stick, "--config", config, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == [{"file": str(stick), "auditor": AUDITOR_NAME, "size": 2, "error": ""}]
    clock = VirtualClock(START_MS)

    async def main() -> Any:
        store, log = await make_log(tmp_path / "data", clock)
        ((_, payload),) = Stick(tmp_path / "data").waiting()
        log.witness(await judge(payload, log))
        await log.commit()
        await log.close()
        await store.close()
        return log.witnessed

    assert clock.run(main()) == {AUDITOR_NAME: 2}
    info = json.loads(run("db", "info", "--config", config, "--json").stdout)
    assert info["epochs"][0]["receipts"] == {AUDITOR_NAME: 2}


def test_what_is_no_receipt_is_named_and_left_out(config: Path, checkpoint: str, tmp_path: Path) -> None:
    stick = tmp_path / "receipt.txt"
    stick.write_text(checkpoint, encoding="utf-8")
    result = run("receipt", "import", stick, "--config", config, "--json")
    assert result.exit_code == 3
    assert json.loads(result.stdout)[0]["error"]
    assert Stick(tmp_path / "data").waiting() == []


def test_a_prepared_store_has_its_blocks_and_checks_whole(config: Path, tmp_path: Path) -> None:
    assert run("db", "prepare", "--config", config, "--size", "16").exit_code == 0
    assert (tmp_path / "data" / "hubiao.db").stat().st_blocks * 512 >= 16 << 20
    found = run("db", "check", "--config", config, "--json")
    assert json.loads(found.stdout) == {"ok": True, "faults": []}
