"""Every exercise of config/samples/exercises: doctor names its cause, and states nothing as certain that is not so.

`python tests/field/test_exercises.py` writes docs/exercises.md anew.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from benches import NOON, Bench, effective

from agent.cli.check_online import made_line
from agent.diagnosis import CERTAIN, Cause, LineEvidence, line_causes, meter_causes
from agent.doctoring import Examination, ExaminedLine
from config.faults import Findings
from drivers.clock import VirtualClock
from simulators.faults import Fault
from simulators.scenario import read_exercise, read_scenario

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "config" / "samples"
EXERCISES = sorted((SAMPLES / "exercises").glob("*.yaml"))
PAGE = ROOT / "docs" / "exercises.md"
ROUNDS = 8


def scenario_of(path: Path, config: dict[str, Any]) -> list[Fault]:
    findings = Findings(str(path))
    names = {key: [entry["id"] for entry in config[key]] for key in ("meters", "lines")}
    faults = read_scenario(path.read_text(encoding="utf-8"), findings, **names)
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


@pytest.mark.parametrize("path", EXERCISES, ids=lambda path: path.stem)
def test_the_cause_is_named_and_nothing_wrong_is_stated_as_certain(path: Path, config: dict[str, Any]) -> None:
    faults = scenario_of(path, config)
    cause = read_exercise(path.read_text(encoding="utf-8"))["cause"]
    target = faults[0].target
    on = next((meter["line"] for meter in config["meters"] if meter["id"] == target), target)
    causes = causes_of(examine(config, faults, on))
    assert cause in [said.code for said in causes.get(target, [])], causes
    certain = {(name, said.code) for name, said_of in causes.items() for said in said_of if said.certainty == CERTAIN}
    assert certain <= {(target, cause)}, causes
    assert f"| {path.stem} |" in PAGE.read_text(encoding="utf-8")


def row(path: Path, config: dict[str, Any]) -> str:
    faults = scenario_of(path, config)
    exercise = read_exercise(path.read_text(encoding="utf-8"))
    causes = causes_of(examine(config, faults))
    said = "; ".join(
        f"{name}: " + ", ".join(f"{cause.code} ({cause.certainty})" for cause in found)
        for name, found in causes.items()
    )
    injected = ", ".join(f"{fault.kind} {fault.amount or ''}".strip() + f" at {fault.target}" for fault in faults)
    return f"| {path.stem} | {injected} | {exercise['cause']} | {said} |"


def write_page() -> None:
    config = effective(SAMPLES / "training.yaml")
    head = (
        "# Exercises: what is injected, and what `hubiao doctor` says\n\n"
        "Written by `python tests/field/test_exercises.py`, in virtual time, on wires that carry parity; the test "
        "beside it holds that every\ncause is named and that nothing wrong is stated as certain. Play one: `hubiao "
        "simulate --config training.yaml --link-dir\nports --scenario exercises/NAME.yaml`, then `hubiao doctor "
        "--config training.yaml --link-dir ports`. Files: `config/samples/`.\n\n"
        "| exercise | injected | cause | doctor |\n|---|---|---|---|\n"
    )
    PAGE.write_text(head + "".join(row(path, config) + "\n" for path in EXERCISES), encoding="utf-8")


if __name__ == "__main__":
    write_page()
