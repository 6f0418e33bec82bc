"""Every exercise of config/samples/exercises: doctor names its cause, and states nothing as certain that is not so.

`python tests/field/test_exercises.py --elsewhere` writes docs/exercises.md and its Chinese twin anew
(minutes; a small disk needs root).
"""

from __future__ import annotations

import asyncio
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from benches import NOON, Bench, effective

from agent.cli.check_online import made_line
from agent.field.causes import CAUSES, CERTAIN, Cause
from agent.field.diagnosis import gateway_causes, line_causes, meter_causes
from agent.field.doctoring import Examination, ExaminedLine
from agent.field.seen import LineEvidence
from agent.field.surroundings import examine_gateway
from config.faults import Findings
from drivers.clock import VirtualClock
from simulators import surroundings
from simulators.faults import Fault
from simulators.scenario import read_exercise, read_scenario
from simulators.surroundings import play_broker, play_disk

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "config" / "samples"
GATEWAY = "gw-1"
EXERCISES = sorted((SAMPLES / "exercises").glob("*.yaml"))
OF_GATEWAY = [path for path in EXERCISES if f"gateway: {GATEWAY}" in path.read_text(encoding="utf-8")]
OF_LINES = [path for path in EXERCISES if path not in OF_GATEWAY]
PAGE = ROOT / "docs" / "exercises.md"
ROUNDS = 8


def scenario_of(path: Path, config: dict[str, Any]) -> list[Fault]:
    findings = Findings(str(path))
    names = {key: [entry["id"] for entry in config[key]] for key in ("meters", "lines")}
    faults = read_scenario(path.read_text(encoding="utf-8"), findings, **names, gateway=GATEWAY)
    assert not findings.faults
    return faults


def examine(config: dict[str, Any], faults: list[Fault], line_id: str | None = None) -> list[LineEvidence]:
    found = []
    for entry in config["lines"]:
        if line_id not in (None, entry["id"]):
            continue
        clock = VirtualClock(NOON)

        async def main(entry: dict[str, Any] = entry, clock: VirtualClock = clock) -> LineEvidence:
            bench = Bench(config, clock, faults)
            await bench.open()
            port = bench.ports[entry["id"]]
            line = made_line(ExaminedLine, config, entry, port, clock)
            examination = Examination(config, entry, line, port, clock)
            await examination.run(rounds=ROUNDS)
            await bench.close()
            return examination.evidence

        found.append(clock.run(main()))
    return found


def causes_of(found: list[LineEvidence]) -> dict[str, list[Cause]]:
    """Line or meter → its causes."""
    causes = {line.id: line_causes(line) for line in found}
    causes |= {meter.id: meter_causes(meter, line) for line in found for meter in line.meters}
    return {name: said for name, said in causes.items() if said}


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    return effective(SAMPLES / "training.yaml")


def test_a_park_without_faults_gets_no_diagnosis(config: dict[str, Any]) -> None:
    assert causes_of(examine(config, [])) == {}


@contextmanager
def small_disk() -> Iterator[Path]:
    """A file system of its own; LookupError where this user may not mount one."""
    with tempfile.TemporaryDirectory(prefix="hubiao-disk-") as place:
        mount = ["mount", "-t", "tmpfs", "-o", "size=96m", "tmpfs", place]
        if subprocess.run(mount, capture_output=True, check=False).returncode:
            raise LookupError("mounting needs root")
        try:
            yield Path(place)
        finally:
            subprocess.run(["umount", "-l", place], check=True)


async def examine_beside(config: dict[str, Any], faults: list[Fault], data: Path) -> list[Cause]:
    """The gateway's causes while its surroundings are played, in real time."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = {
        **config,
        "private": {**config["private"], "data": str(data), "mqtt": {"url": f"mqtt://127.0.0.1:{port}"}},
    }
    amounts = {fault.kind: fault.amount for fault in faults}
    ready = asyncio.Event()
    played = [asyncio.create_task(play_broker(port, amounts.get, ready))]
    if "disk_full" in amounts:
        played.append(asyncio.create_task(play_disk(data, amounts.get)))
    try:
        await asyncio.wait_for(ready.wait(), 30)
        return gateway_causes(await examine_gateway(config, answer_s=2.0 if "broker_silent" in amounts else 20.0))
    finally:
        for task in played:
            task.cancel()
        await asyncio.gather(*played, return_exceptions=True)


def beside(path: Path, config: dict[str, Any]) -> list[Cause]:
    with small_disk() as data:
        return asyncio.run(examine_beside(config, scenario_of(path, config), data))


@pytest.mark.slow
@pytest.mark.parametrize("path", OF_GATEWAY, ids=lambda path: path.stem)
def test_what_is_wrong_beside_the_lines_is_named(path: Path, config: dict[str, Any]) -> None:
    try:
        causes = beside(path, config)
    except LookupError as error:
        pytest.skip(str(error))
    cause = read_exercise(path.read_text(encoding="utf-8"))["cause"]
    assert [(said.code, said.certainty) for said in causes] == [(cause, CERTAIN)]
    for page in (PAGE, PAGE.with_suffix(".zh.md")):
        assert f"| {path.stem} |" in page.read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_well_broker_and_a_disk_with_room_get_no_diagnosis(config: dict[str, Any], tmp_path: Path) -> None:
    assert asyncio.run(examine_beside(config, [], tmp_path)) == []


def test_no_large_disk_is_ever_filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surroundings, "LARGEST_DISK", 1)
    with pytest.raises(surroundings.NotFilled):
        asyncio.run(play_disk(tmp_path, lambda kind: 64.0))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", OF_LINES, ids=lambda path: path.stem)
def test_the_cause_is_named_and_nothing_wrong_is_stated_as_certain(path: Path, config: dict[str, Any]) -> None:
    faults = scenario_of(path, config)
    cause = read_exercise(path.read_text(encoding="utf-8"))["cause"]
    target = faults[0].target
    on = next((meter["line"] for meter in config["meters"] if meter["id"] == target), target)
    causes = causes_of(examine(config, faults, on))
    assert cause in [said.code for said in causes.get(target, [])], causes
    certain = {(name, said.code) for name, said_of in causes.items() for said in said_of if said.certainty == CERTAIN}
    assert certain <= {(target, cause)}, causes
    for page in (PAGE, PAGE.with_suffix(".zh.md")):
        assert f"| {path.stem} |" in page.read_text(encoding="utf-8")


def row(path: Path, config: dict[str, Any]) -> str:
    faults = scenario_of(path, config)
    exercise = read_exercise(path.read_text(encoding="utf-8"))
    causes = {GATEWAY: beside(path, config)} if path in OF_GATEWAY else causes_of(examine(config, faults))
    said = _said(causes)
    injected = ", ".join(f"{fault.kind} {fault.amount or ''}".strip() + f" at {fault.target}" for fault in faults)
    return f"| {path.stem} | {injected} | {exercise['cause']} | {said} |"


NOT_THERE = {  # why an exercise changes nothing that doctor could see where it is played elsewhere
    "changed-ct-modbus": "its model has no ratio register that matters",
    "exchanged-meter": "no serial is configured to compare with",
    "reset-register": "eight rounds of this quick line are over before it happens",
    "rollover": "eight rounds of this quick line are over before it happens",
    "wrong-speed": "its line has that speed",
}


def elsewhere(config: dict[str, Any]) -> str:
    """The exercises of single meters played at every other meter of the park: what can be said of all of them."""
    cases, named, wrong = 0, [], []
    for path in OF_LINES:
        faults = scenario_of(path, config)
        cause = read_exercise(path.read_text(encoding="utf-8"))["cause"]
        home = next((one for one in config["meters"] if one["id"] == faults[0].target), None)
        for meter in config["meters"]:
            if home is None or meter["id"] == home["id"] or meter["protocol"] != home["protocol"]:
                continue
            moved = [replace(fault, target=meter["id"]) for fault in faults]
            causes = causes_of(examine(config, moved, meter["line"]))
            cases += 1
            if cause not in [said.code for said in causes.get(meter["id"], [])]:
                named.append(f"{path.stem} at {meter['id']}: {_said(causes) or NOT_THERE.get(path.stem, 'nothing')}")
            wrong += [
                f"{path.stem} at {meter['id']}: {name} {said.code}"
                for name, all_of in causes.items()
                for said in all_of
                if said.certainty == CERTAIN and (name, said.code) != (meter["id"], cause)
            ]
    told = "".join(f"- not named: {one}\n" for one in named) + "".join(f"- certain and wrong: {one}\n" for one in wrong)
    return (
        f"\nThe exercises of one meter, played at every other meter of its protocol: {cases} cases, the cause named in "
        f"{cases - len(named)}, certain and wrong in {len(wrong)}.\n{told}"
    )


def _said(causes: dict[str, list[Cause]]) -> str:
    return "; ".join(
        f"{name}: " + ", ".join(f"{cause.code} ({cause.certainty})" for cause in found)
        for name, found in causes.items()
    )


def in_chinese(rows: str) -> str:
    """Rows whose causes are told in Chinese."""
    sure = {"certain": "确定", "likely": "很可能", "possible": "可能"}
    return re.sub(
        r"(\w+) \((certain|likely|possible)\)", lambda said: f"{CAUSES[said[1]][0][0]}({sure[said[2]]})", rows
    )


def write_pages() -> None:
    config = effective(SAMPLES / "training.yaml")
    head = (
        "# Exercises: what is injected, and what `hubiao doctor` says\n\n[中文](exercises.zh.md)\n\n"
        "Written by `python tests/field/test_exercises.py --elsewhere`, in virtual time, on wires that carry parity;\n"
        "the test beside it holds that every cause is named and that nothing wrong is stated as certain. Play one:\n"
        "`hubiao simulate --config training.yaml --link-dir ports --scenario NAME`, then `hubiao doctor --config\n"
        "training.yaml --link-dir ports`; with faults of the gateway `hubiao doctor --gateway`, also while the agent\n"
        "runs. Files: `config/samples/`.\n\n"
        "| exercise | injected | cause | doctor |\n|---|---|---|---|\n"
    )
    head_zh = (
        "# 练习:注入什么故障,`hubiao doctor` 怎么说\n\n[English](exercises.md)\n\n"
        "由 `python tests/field/test_exercises.py --elsewhere` 写成,虚拟时间,线路带校验位;旁边的测试保证\n"
        "每个原因都点到名,没有把错的说成确定。玩一个:`hubiao simulate --config training.yaml --link-dir ports\n"
        "--scenario NAME`,再 `hubiao doctor --config training.yaml --link-dir ports`;网关自身的故障用\n"
        "`hubiao doctor --gateway`,代理可以在跑。文件在 `config/samples/`。\n\n"
        "| 练习 | 注入 | 原因 | doctor |\n|---|---|---|---|\n"
    )
    rows = "".join(row(path, config) + "\n" for path in EXERCISES)
    PAGE.write_text(head + rows + (elsewhere(config) if "--elsewhere" in sys.argv else ""), encoding="utf-8")
    PAGE.with_suffix(".zh.md").write_text(head_zh + in_chinese(rows), encoding="utf-8")


if __name__ == "__main__":
    write_pages()
