"""The accounts of docs/operations.md at a real mosquitto: tenants read their own, nobody writes what is not his."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from sent_log import needs_mosquitto

from bench.evidence_auditor import free_port, mosquitto

DOCS = Path(__file__).parents[2] / "docs"
USERS = ("gw-1", "auditor", "acme", "bolt")
OURS = "hubiao/v1/xihu-01"
GATEWAY = f"{OURS}/gateway/gw-1"
TOPICS = [
    f"{OURS}/tenant/acme/interval",
    f"{OURS}/tenant/bolt/interval",
    f"{OURS}/point/p-1/interval",
    f"{OURS}/meter/m-101/reading",
    f"{OURS}/balance/day",
    *(f"{GATEWAY}/{name}" for name in ("checkpoint", "hashes", "status", "event", "config", "live")),
]


def rules(page: str) -> str:
    """The acl file that a page gives."""
    found = re.search(r"```text\n(# hubiao\.acl\n.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return found[1]


class Account:
    """A connected user: what it hears, and what the broker says to what it publishes."""

    def __init__(self, name: str, port: int, password: str | None = None) -> None:
        self.heard: set[str] = set()
        self.codes: dict[str, str] = {}
        self._ready, self._answered = threading.Event(), threading.Event()
        self.refused = ""
        self._mids: dict[int, str] = {}
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        self._client.username_pw_set(name, name if password is None else password)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = lambda _c, _u, message: self.heard.add(message.topic)
        self._client.on_publish = self._on_publish
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert self._ready.wait(10)

    def publish(self, topic: str) -> str:
        """The broker's reason code."""
        self._answered.clear()
        mid = self._client.publish(topic, b"x", qos=1).mid
        assert self._answered.wait(10)
        return self.codes[str(mid)]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(
        self, client: paho.Client, _user: object, _flags: object, code: object, _properties: object
    ) -> None:
        self.refused = "" if str(code) == "Success" else str(code)
        if self.refused:
            self._ready.set()
        else:
            client.subscribe([("#", 1), ("hubiao/#", 1), *((topic, 1) for topic in TOPICS)])

    def _on_publish(self, _client: object, _user: object, mid: int, code: object, _properties: object) -> None:
        self.codes[str(mid)] = str(code)
        self._answered.set()


@contextmanager
def broker(directory: Path, acl: str) -> Iterator[int]:
    os.chmod(directory, 0o755)
    passwords, path = directory / "passwd", directory / "acl"
    passwords.touch(0o644)
    program = shutil.which("mosquitto_passwd")
    assert program is not None
    for user in USERS:
        subprocess.run([program, "-b", str(passwords), user, user], check=True)
    path.write_text(acl)
    port = free_port()
    extra = f"allow_anonymous false\npassword_file {passwords}\nacl_file {path}\n"
    with mosquitto(directory / "broker", port, extra):
        yield port


@needs_mosquitto
@pytest.mark.parametrize("page", ["operations.md", "operations.zh.md"])
def test_each_account_hears_and_writes_what_the_page_says(tmp_path: Path, page: str) -> None:
    receipt = f"{GATEWAY}/receipt/audit.example_zj-1"
    with broker(tmp_path, rules(page)) as port:
        accounts = {user: Account(user, port) for user in USERS}
        gateway, auditor = accounts["gw-1"], accounts["auditor"]
        assert {gateway.publish(topic) for topic in TOPICS} == {"Success"}
        assert auditor.publish(receipt) == "Success"
        for user in ("acme", "bolt"):
            refused = {accounts[user].publish(topic) for topic in (*TOPICS, receipt)}
            assert refused == {"Not authorized"}
        assert {auditor.publish(topic) for topic in TOPICS} == {"Not authorized"}
        for account in accounts.values():
            account.publish("hubiao/v1/nowhere")  # behind everything that was published
            account.close()
    assert auditor.heard == {*TOPICS, receipt}
    assert gateway.heard == {receipt, f"{GATEWAY}/checkpoint", f"{GATEWAY}/hashes"}
    for user in ("acme", "bolt"):
        own = f"{OURS}/tenant/{user}/interval"
        assert accounts[user].heard == {own, f"{GATEWAY}/checkpoint", f"{GATEWAY}/hashes"}


@needs_mosquitto
def test_nobody_comes_in_without_his_password(tmp_path: Path) -> None:
    with broker(tmp_path, rules("operations.md")) as port:
        stranger = Account("acme", port, password="guess")
        assert stranger.refused == "Not authorized"
        stranger.close()
