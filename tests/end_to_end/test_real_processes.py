"""`hubiao simulate` and `hubiao run` as people start them: two processes, real time, a real broker, real signals."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from played import Listener
from stranger import Stranger

from simulators.broker import embedded_broker

pytestmark = pytest.mark.slow
HUBIAO = str(Path(sys.executable).with_name("hubiao"))
CONFIG = """\
park: {{id: real, name: 实时园区, schedules: [zj-2024, zj-2026], interval: 5s}}
gateway: {{id: gw-1, data: "{data}", clock: trusted}}
mqtt: {{url: "{url}"}}
lines:
  - {{id: east, port: "{links}/east", baud: 9600, framing: 8N1}}
  - {{id: west, port: "{links}/west", baud: 9600, framing: 8N1}}
meters:
  - {{id: m-1, line: east, protocol: dlt645-2007, address: "202208310001", role: master, max_a: 60}}
  - {{id: m-2, line: east, protocol: dlt645-2007, address: "202208310002", tenant: acme, max_a: 60}}
  - {{id: m-3, line: west, protocol: modbus, unit: 3, model: eastron-sdm630, tenant: bolt, max_a: 60}}
tenants: [{{id: acme, name: 埃克米}}, {{id: bolt, name: 博尔特}}]
"""


@contextmanager
def process(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A hubiao process of our own, ended in any case."""
    environment = {**os.environ, "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1"}
    child = subprocess.Popen(
        [HUBIAO, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    try:
        yield child
    finally:
        if child.poll() is None:
            child.kill()
        child.communicate()


def wait_for(condition: Callable[[], bool], limit_s: float = 40.0) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "nothing of the kind happened"
        time.sleep(0.05)


@contextmanager
def broker() -> Iterator[tuple[str, int]]:
    """An embedded broker on an event loop that runs between our own steps."""
    loop = asyncio.new_event_loop()
    context = embedded_broker()
    address = loop.run_until_complete(context.__aenter__())
    try:
        yield address.host, address.port
    finally:
        loop.run_until_complete(context.__aexit__(None, None, None))
        loop.close()


def kinds(listener: Listener, kind: str) -> int:
    return sum(topic.endswith(kind) for topic, _ in list(listener.messages))


def test_agent_and_simulator_run_as_two_processes_through_kill_and_restart(tmp_path: Path) -> None:
    with broker() as (host, port), Listener(host, port) as listener:
        config = tmp_path / "park.yaml"
        config.write_text(CONFIG.format(data=tmp_path / "data", url=f"mqtt://{host}:{port}", links=tmp_path))
        with process("simulate", "--config", str(config)) as simulator:
            assert simulator.stdout is not None
            assert simulator.stdout.readline().strip() == "ready"
            with process("run", "--config", str(config)) as agent:
                wait_for(lambda: kinds(listener, "/interval") >= 6)
                agent.kill()  # kill -9 at no particular moment
                agent.wait()
            with process("run", "--config", str(config)) as agent:
                seen = kinds(listener, "/interval")
                wait_for(lambda: kinds(listener, "/interval") >= seen + 9)
                agent.send_signal(signal.SIGTERM)
                began = time.monotonic()
                assert agent.wait(timeout=10) == 0
                assert time.monotonic() - began < 5
            wait_for(lambda: b'"stopping"' in b"".join(m for t, m in listener.messages if t.endswith("status")))
        stranger = Stranger()
        for topic, payload in listener.messages:
            stranger.receive(topic, payload)
    assert len(stranger.epochs) == 1
    assert sorted(stranger.records) == list(range(max(stranger.records) + 1))
    assert not [fault for fault in stranger.faults if "two different records" in fault]
    assert [r["cause"] for _, r in stranger.of("boot")] == ["new_store", "start"]
    tenants = {r["tenant"] for _, r in stranger.of("interval")}
    assert {"acme", "bolt"} <= tenants


def test_a_missing_port_and_a_missing_broker_do_not_stop_the_agent(tmp_path: Path) -> None:
    """It waits for both, gaps are recorded meanwhile, and all of it arrives when they come."""
    with broker() as (host, port):
        pass  # a port that was free a moment ago and that nobody listens on now
    config = tmp_path / "park.yaml"
    config.write_text(CONFIG.format(data=tmp_path / "data", url=f"mqtt://{host}:{port}", links=tmp_path))
    with process("run", "--config", str(config)) as agent:
        time.sleep(9)
        assert agent.poll() is None
        with process("simulate", "--config", str(config)) as simulator:
            assert simulator.stdout is not None
            assert simulator.stdout.readline().strip() == "ready"
            time.sleep(12)
            assert agent.poll() is None
            agent.send_signal(signal.SIGTERM)
            assert agent.wait(timeout=10) == 0
    out = tmp_path / "evidence"
    subprocess.run([HUBIAO, "export", "--data", str(tmp_path / "data"), "--evidence", str(out)], check=True)
    records = [json.loads(line) for line in (out / "records.ndjson").read_text().splitlines()]
    assert {r["code"] for r in records if r["kind"] == "event"} >= {"line_gone", "line_back"}
    assert any(r["kind"] == "gap" and r["why"] == "port" for r in records)
    assert any(r["kind"] == "reading" for r in records)


def test_faulty_configuration_ends_with_78_and_every_fault(tmp_path: Path) -> None:
    config = tmp_path / "bad.yaml"
    config.write_text("park: {id: P!}\nlines:\n  - {id: a, port: /dev/x, baud: 12}\n")
    done = subprocess.run([HUBIAO, "run", "--config", str(config)], capture_output=True, text=True)
    assert done.returncode == 78
    assert f"{config}:1:" in done.stderr
    assert f"{config}:3:" in done.stderr


def test_a_reload_with_a_bad_file_keeps_the_old_one_running(tmp_path: Path) -> None:
    with broker() as (host, port), Listener(host, port) as listener:
        config = tmp_path / "park.yaml"
        good = CONFIG.format(data=tmp_path / "data", url=f"mqtt://{host}:{port}", links=tmp_path)
        config.write_text(good)
        with process("run", "--config", str(config)) as agent:
            wait_for(lambda: kinds(listener, "/config") == 1)
            config.write_text(good.replace("interval: 5s", "interval: 7s"))
            agent.send_signal(signal.SIGHUP)
            wait_for(lambda: any(b'"code":"config_refused"' in payload for _, payload in list(listener.messages)))
            assert agent.poll() is None
            assert kinds(listener, "/config") == 1
            config.write_text(good.replace("埃克米", "新名").replace("max_a: 60", "max_a: 80"))
            agent.send_signal(signal.SIGHUP)
            wait_for(lambda: kinds(listener, "/config") == 2)
            agent.send_signal(signal.SIGTERM)
            assert agent.wait(timeout=10) == 0
