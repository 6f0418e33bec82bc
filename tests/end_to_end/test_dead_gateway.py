"""A gateway dies, another takes its place with its key and configuration, as docs/operations.md tells it."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from played import START, demo_config

from agent.app import Agent
from agent.evidence.keys import KEY_FILE
from contract.records import parse_instant
from drivers.clock import VirtualClock
from drivers.ports.serial import SerialPort
from simulators.held import HeldPort
from simulators.site import Site

pytestmark = pytest.mark.timeout(600)
HUBIAO = str(Path(sys.executable).with_name("hubiao"))
METERS = ("m-000", "m-101", "m-201")
DEAD_S = 2 * 3600 + 1234
AUDITOR = "audit.example/zj-1"


def hubiao(*arguments: object, code: int = 0) -> str:
    done = subprocess.run([HUBIAO, "--lang", "en", *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


class Boxes:
    """Meters that go on all the time, and one box after another that reads them, each with a directory of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.clock = VirtualClock(parse_instant(START))
        self.site = Site(self._config("first"), now_ms=self.clock.wall_ms, seed=5)

    def _config(self, box: str) -> dict[str, Any]:
        config = demo_config(self.root / box)
        config["meters"] = [meter for meter in config["meters"] if meter["id"] in METERS]
        config["points"] = [each for each in config["points"] if all(s["meter"] in METERS for s in each["meters"])]
        points = {point["id"] for point in config["points"]}
        config["tenancies"] = [tenancy for tenancy in config["tenancies"] if tenancy["point"] in points]
        return config

    def play(self, succession: dict[str, Any]) -> None:
        """Box → what is done, with nothing running, before it starts; two hours of nobody between them."""

        async def live() -> None:
            await self.site.open(lambda _url: None)
            for box, prepare in succession.items():
                prepare(self.root / box)
                await self._live(box)
                await self.clock.sleep(DEAD_S)
            await self.site.close()

        self.clock.run(live())

    async def _live(self, box: str) -> None:
        ports, wires = self.site.ports, self.site.wires
        agent = Agent(
            self._config(box),
            self.clock,
            open_port=lambda line: HeldPort(SerialPort(ports[line["id"]]), self.clock, wires[line["id"]]),
        )
        await agent.open()
        stop = asyncio.Event()
        running = asyncio.create_task(agent.run(stop))
        await self.clock.sleep(3900)
        stop.set()
        await running

    def collect(self, *boxes: str) -> Path:
        """The auditor's store, from the evidence that each box exported."""
        store = self.root / "store"
        if not (self.root / "auditor.key").exists():
            hubiao("audit", "key", self.root / "auditor.key", "--name", AUDITOR)
        for box in boxes:
            hubiao("export", "--data", self.root / box, "--evidence", self.root / f"stick-{box}")
            hubiao(
                *("audit", "import", self.root / f"stick-{box}", "--store", store),
                *("--cosign-key", self.root / "auditor.key"),
            )
        return store


def key_only(old: Path, new: Path) -> None:
    (new / "keys").mkdir(parents=True)
    shutil.copy2(old / KEY_FILE, new / KEY_FILE)


def nothing(_box: Path) -> None:
    pass


def follows(store: Path, code: int) -> list[dict[str, Any] | None]:
    """How each log of the gateway follows from the one before, and nothing but receipts that come late is found."""
    result = json.loads(hubiao("audit", "verify", "--store", store, "--json", code=code))
    found = {f["code"] for log in result["logs"] for f in log["findings"]}
    assert found <= {"late_witness", "epoch_unexplained", "epoch_twice"}, found
    rows = [log["follows"] for log in result["logs"]]
    return sorted(rows, key=lambda row: row is not None)


def test_the_successor_with_the_whole_backup_names_the_dead_epoch_and_no_energy_is_unexplained(tmp_path: Path) -> None:
    boxes = Boxes(tmp_path)
    boxes.play({"first": nothing, "second": lambda box: shutil.copytree(tmp_path / "first" / "keys", box / "keys")})
    first, then = follows(boxes.collect("first", "second"), code=3)
    dead = json.loads(hubiao("db", "info", "--data", tmp_path / "first", "--json"))["epochs"][-1]["epoch"]
    assert first is None
    assert then is not None
    assert (then["previous"], then["cause"], then["held"], then["code"]) == (dead, "rebuilt", True, None)
    assert [row["meter"] for row in then["between"]] == list(METERS)
    for row in then["between"]:
        start, end = (parse_instant(row[name].replace("Z", ".000Z")) for name in ("from", "to"))
        assert DEAD_S * 1000 <= end - start <= (DEAD_S + 3600) * 1000
        registers = [boxes.site.truth.registers(row["meter"], at)["import"] for at in (start, end)]
        assert abs(Decimal(row["kwh"]) - (registers[1] - registers[0])) <= Decimal("0.02")


def test_with_an_old_backup_the_auditors_receipt_tells_which_epoch_was_the_last(tmp_path: Path) -> None:
    def prepare(box: Path) -> None:
        key_only(tmp_path / "first", box)
        (receipt,) = (boxes.collect("first") / "receipts").iterdir()
        hubiao("key", "known", receipt, "--data", box)

    boxes = Boxes(tmp_path)
    boxes.play({"first": nothing, "second": prepare})
    _, then = follows(boxes.collect("second"), code=3)
    assert then is not None
    assert (then["held"], then["code"]) == (True, None)


def test_two_boxes_from_one_backup_and_one_that_forgot_are_asked_about(tmp_path: Path) -> None:
    def whole(box: Path) -> None:
        shutil.copytree(tmp_path / "first" / "keys", box / "keys")

    boxes = Boxes(tmp_path)
    backup = tmp_path / "backup"
    boxes.play(
        {
            "first": nothing,
            "second": lambda box: (whole(box), whole(backup)),
            "third": lambda box: shutil.copytree(backup / "keys", box / "keys"),
            "fourth": lambda box: key_only(tmp_path / "first", box),
        }
    )
    rows = follows(boxes.collect("first", "second", "third", "fourth"), code=3)
    assert sorted(str(row["code"]) for row in rows if row is not None) == ["None", "epoch_twice", "epoch_unexplained"]


def test_a_new_key_is_named_by_the_log_and_counts_once_a_person_accepted_it(tmp_path: Path) -> None:
    def new_key(box: Path) -> None:
        boxes.collect("first")
        (tmp_path / "first" / KEY_FILE).unlink()
        box.symlink_to(tmp_path / "first")

    boxes = Boxes(tmp_path)
    boxes.play({"first": nothing, "again": new_key})
    hubiao("export", "--data", tmp_path / "again", "--evidence", tmp_path / "stick")
    hubiao("audit", "import", tmp_path / "stick", "--store", tmp_path / "store", code=3)  # another key than is pinned
    result = json.loads(hubiao("audit", "verify", "--store", tmp_path / "store", "--json", code=3))
    assert [alarm["code"] for alarm in result["alarms"]] == ["key_changed"]
    vkey = json.loads(hubiao("key", "show", "--data", tmp_path / "again", "--json"))["verifier_key"]
    hubiao("audit", "rekey", vkey, "--store", tmp_path / "store")
    hubiao("audit", "import", tmp_path / "stick", "--store", tmp_path / "store")
    hubiao("audit", "import", tmp_path / "stick-first", "--store", tmp_path / "store")  # the old log keeps the old key
    _, then = follows(tmp_path / "store", code=3)
    assert then is not None
    assert (then["cause"], then["held"], then["code"]) == ("key_lost", True, None)


def test_a_receipt_is_refused_under_another_key_and_beside_a_store(tmp_path: Path) -> None:
    boxes = Boxes(tmp_path)
    boxes.play({"first": nothing})
    (receipt,) = (boxes.collect("first") / "receipts").iterdir()
    hubiao("key", "init", "--data", tmp_path / "other")
    hubiao("key", "known", receipt, "--data", tmp_path / "other", code=78)
    hubiao("key", "known", receipt, "--data", tmp_path / "first", code=78)
