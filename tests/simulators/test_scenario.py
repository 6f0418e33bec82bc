from __future__ import annotations

import pytest

from config.faults import Findings
from simulators.faults import GATEWAY_FAULTS, LINE_FAULTS, METER_FAULTS, Fault
from simulators.scenario import read_scenario

NAMES = {"meters": ["m-101", "m-102"], "lines": ["east"]}


def read(text: str) -> tuple[list[Fault], list[str]]:
    findings = Findings("s.yaml")
    faults = read_scenario(text, findings, **NAMES, gateway="gw-1")
    return faults, [str(fault) for fault in findings.result(None).faults]


def test_a_timeline_becomes_faults_in_ms_from_the_start() -> None:
    faults, wrong = read(
        """
        faults:
          - {at: 10min, for: 30s, meter: m-101, fault: silent}
          - {at: 1h, line: east, fault: noise, amount: 0.001}
          - {for: 500ms, meter: m-102, fault: late, amount: 2.5}
        """
    )
    assert wrong == []
    assert faults == [
        Fault("silent", "m-101", 600_000, 630_000),
        Fault("noise", "east", 3_600_000, None, 0.001),
        Fault("late", "m-102", 0, 500, 2.5),
    ]


def test_every_fault_of_a_scenario_is_named_at_once_with_its_place() -> None:
    faults, wrong = read(
        "faults:\n"
        "  - {at: soon, meter: m-101, fault: silent}\n"
        "  - {meter: m-103, fault: silent}\n"
        "  - {meter: m-101, fault: silnt}\n"
        "  - {meter: m-101, line: east, fault: noise}\n"
        "  - {line: east, fault: silent, amount: much}\n"
        "  - {line: east, fault: noise, ammount: 1}\n"
        "  - nonsense\n"
    )
    assert faults == []
    assert wrong == [
        "s.yaml:2:10: faults.0.at: must be like 30s, 10min or 2h",
        "s.yaml:3:13: faults.1.meter: there is no m-103, did you mean m-102?",
        "s.yaml:4:27: faults.2.fault: there is no silnt, did you mean silent?",
        "s.yaml:5:5: faults.3: needs one of meter, line, gateway",
        "s.yaml:6:25: faults.4.fault: there is no silent",
        "s.yaml:6:41: faults.4.amount: 'much' is not a number",
        "s.yaml:7:32: faults.5.ammount: unknown key, did you mean amount?",
        "s.yaml:8:5: faults.6: must be a mapping",
    ]


@pytest.mark.parametrize("text", ["", "faults: none\n", "- 1\n", "faults: [\n"])
def test_what_is_no_scenario_is_said_so(text: str) -> None:
    faults, wrong = read(text)
    assert faults == []
    assert len(wrong) == 1


@pytest.mark.parametrize(
    ("kind", "target"),
    [(k, "meter: m-101") for k in METER_FAULTS]
    + [(k, "line: east") for k in LINE_FAULTS]
    + [(k, "gateway: gw-1") for k in GATEWAY_FAULTS],
)
def test_every_kind_of_fault_can_be_written(kind: str, target: str) -> None:
    faults, wrong = read(f"faults: [{{{target}, fault: {kind}, amount: '-1.5'}}]")
    assert wrong == []
    assert [(fault.kind, fault.amount) for fault in faults] == [(kind, -1.5)]
