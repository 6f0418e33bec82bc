"""A real agent with a password and a key: neither is anywhere but in its file; killed, it leaves its will."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import zipfile
from pathlib import Path

import pytest
from played import Listener
from test_real_processes import CONFIG, HUBIAO, broker, kinds, process, wait_for

from agent.evidence.keys import load_key

pytestmark = pytest.mark.slow
PASSWORD = "correct-horse-battery-7431"


def test_no_secret_leaves_its_file_and_a_killed_agent_is_offline(tmp_path: Path) -> None:
    data, config = tmp_path / "data", tmp_path / "park.yaml"
    (tmp_path / "password").write_text(PASSWORD + "\n")
    with broker() as (host, port), Listener(host, port) as listener:
        uplink = f'mqtt://{host}:{port}", username: gw-1, password_file: "{tmp_path}/password'
        config.write_text(CONFIG.format(data=data, url=uplink, links=tmp_path), encoding="utf-8")
        with process("simulate", "--config", str(config)) as simulator:
            assert simulator.stdout is not None
            assert simulator.stdout.readline().strip() == "ready"
            with process("run", "--verbose", "--config", str(config)) as agent:
                wait_for(lambda: kinds(listener, "/interval") >= 2)
                place = Path(f"/proc/{agent.pid}")
                said = (place / "cmdline").read_bytes() + (place / "environ").read_bytes()
                agent.kill()
                said += b"".join(text.encode() for text in agent.communicate())
            states = [json.loads(message) for topic, message in listener.messages if topic.endswith("/status")]
            wait_for(lambda: b'"state":"offline"' in [m for t, m in listener.messages if t.endswith("/status")][-1])
            out = tmp_path / "out"
            out.mkdir()
            for verb in (
                ("export", "--evidence", str(out / "evidence"), "--config", str(config)),
                ("doctor", "--config", str(config), "--bundle", str(out / "bundle.zip")),
                ("check", "--config", str(config), "--json"),
                ("status", "--config", str(config), "--json"),
            ):
                done = subprocess.run([HUBIAO, *verb], capture_output=True, env={**os.environ, "LANG": "C.UTF-8"})
                assert done.returncode in (0, 3), done.stderr
                said += done.stdout + done.stderr
    assert states[0]["state"] == "online"
    key = load_key(data)
    hidden = {PASSWORD.encode(), bytes(key), bytes(key).hex().encode(), base64.b64encode(bytes(key))}
    files = [path for path in (*data.rglob("*"), *out.rglob("*")) if path.is_file()]
    assert {"bundle.zip", "records.ndjson", "hubiao.db"} <= {path.name for path in files}
    said += b"".join(path.read_bytes() for path in files if path.name != "gateway.key")
    said += b"".join(topic.encode() + message for topic, message in listener.messages)
    with zipfile.ZipFile(out / "bundle.zip") as bundle:
        said += b"".join(bundle.read(name) for name in bundle.namelist())
    assert [secret for secret in hidden if secret in said] == []
    assert [path.name for path in data.rglob("gateway.key") if path.stat().st_mode & 0o77] == []
