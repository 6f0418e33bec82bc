"""What cannot be settled is refused with every fault and its JSON path; nothing is guessed."""

from __future__ import annotations

import contextlib
import pathlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from settlement_inputs import charge, park, point

from audit.case_file import read_cases
from audit.case_values import CaseError
from audit.cases import read_inputs
from audit.settle import settle


def faults(inputs: Any, config: Any = None) -> list[str]:
    with pytest.raises(CaseError) as raised:
        settle(inputs, config, "cases[3].inputs")
    return raised.value.faults


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"points": [point("T1", "1"), point("T2", "1", "landlord")]}, "points[1].role: 'landlord' is none of"),
    ({"points": [point("T1", "1"), point("T1", "1")]}, "points[1].id: 'T1' is there twice"),
    ({"points": [{"id": "T1", "role": "tenant"}]}, "points[0]: needs kwh or segments"),
    ({"points": {}}, "points: must be a list"),
    ({"points": ["T1"]}, "points[0]: must be an object"),
    ({"points": [point("T1", {"night": "1"})]}, "points[0].kwh.night: none of sharp"),
    ({"points": [point("T1", "-1.00")]}, "points[0].kwh.flat: -1.00 is below 0"),
    ({"points": [point("T1", "1e3")]}, "points[0].kwh.flat: '1e3' is no decimal"),
    ({"points": [point("T1", "１２")]}, "points[0].kwh.flat: '１２' is no decimal"),
    ({"points": [point("T1", {"flat": 1.5})]}, 'points[0].kwh.flat: 1.5 must stand in quotes: "1.5"'),  # type: ignore[dict-item]
    ({"points": [point("T1", {"flat": True})]}, "points[0].kwh.flat: True is no decimal"),  # type: ignore[dict-item]
    ({"points": [point("T1", "1", estimated_kwh="2")]}, "points[0].estimated_kwh: more energy is estimated"),
    ({"points": [point("T1", "1", segments=[{"start": "0", "end": "1"}])]}, "points[0].kwh: stands beside segments"),
    ({"segments": [{"point": "X", "start": "0", "end": "1"}]}, "segments[0].point: no point is called 'X'"),
    ({"master_feeds": [{"id": "M1", "import_kwh": "x"}]}, "master_feeds[0].import_kwh: 'x' is no decimal"),
    ({"bill_items": [{"yuan": "1.001"}]}, "bill_items[0].yuan: 1.001 yuan is no whole number of cents"),
    ({"bill_items": [{"code": "x"}]}, "bill_items[0].yuan: missing"),
    ({"bill_items": [{"yuan": "1", "period": "noon"}]}, "bill_items[0].period: 'noon' is none of"),
    ({"bill_items": [{"yuan": "1", "passable": "no"}]}, "bill_items[0].passable: 'no' is neither true nor false"),
    ({"policy": {}}, "policy.common: missing"),
    ({"policy": None}, "policy: missing"),
    ({"policy": {"common": "shared", "method": "by_head"}}, "policy.method: 'by_head' is none of"),
    ({"charges": [charge("", "1")]}, "charges[0].tenant: '' is no name"),
    ({"charges": [{"tenant": "T1"}]}, "charges[0].electricity_yuan: missing"),
    ({"charges": [charge("T1", "1", {"label": "x"})]}, "charges[0].extra_fees[0].yuan: missing"),
    ({"pv": {"export": {"flat": "1"}, "export_kwh": {"flat": "1"}}}, "pv.export: is stated twice"),
    (
        {"shared_meters": [{"id": "S", "kwh": {"flat": "1"}, "shares": {"T1": "0.5", "T2": "0.4"}}]},
        "shared_meters[0].shares: shares do not add up to 1",
    ),
    ({"shared_meters": [{"id": "S", "kwh": {"flat": "1"}}]}, "shared_meters[0].shares: must say who has which share"),
    (
        {"shared_meters": [{"id": "S", "kwh": {"flat": "1"}, "shares": {"T1": "1", "T2": "-0.5"}}]},
        "shared_meters[0].shares.T2: -0.5 is below 0",
    ),
    (
        {"shared_meters": [{"id": "S", "kwh": "1", "shares": [{"tenant": "A", "share": "0.5"}] * 2}]},
        "shared_meters[0].shares: names somebody twice",
    ),
]

SEGMENTS: list[tuple[dict[str, Any], str]] = [
    ({"start": "10", "end": "9"}, ": end is below start and rollover is not true"),
    ({"start": "9", "end": "10", "rollover": True, "modulus": "100"}, ": says rollover, but the register did not pass"),
    ({"start": "109", "end": "10", "rollover": True, "modulus": "100"}, ": says rollover, but the register did not"),
    ({"start": "10", "end": "9", "rollover": True}, ".modulus: missing"),
    ({"start": "10", "end": "9", "rollover": True, "register_digits": "6.5"}, ".register_digits: must be a whole"),
    ({"start": "1", "end": "9", "multiplier": "0"}, ".multiplier: must be above 0"),
    ({"end": "9"}, ".start: missing"),
    ({"start": "1", "end": "9", "period": "day"}, ".period: 'day' is none of"),
]


@pytest.mark.parametrize(("changes", "text"), WRONG, ids=[text for _, text in WRONG])
def test_a_fault_is_named_with_its_path(changes: dict[str, Any], text: str) -> None:
    found = faults(park(**changes))
    assert len(found) == 1
    assert found[0].startswith(f"cases[3].inputs.{text}")


@pytest.mark.parametrize(("segment", "text"), SEGMENTS, ids=[text for _, text in SEGMENTS])
def test_a_segment_that_cannot_be_is_refused(segment: dict[str, Any], text: str) -> None:
    points = [{"id": "T1", "role": "tenant", "segments": [segment]}]
    assert faults(park(points=points))[0].startswith(f"cases[3].inputs.points[0].segments[0]{text}")


def test_charges_must_be_there_even_if_empty() -> None:
    inputs = park()
    del inputs["charges"]
    assert faults(inputs) == ["cases[3].inputs.charges: missing"]


def test_all_faults_are_named_at_once_those_of_the_config_too() -> None:
    inputs = park(points=[point("T1", "x", "landlord")], policy={"common": "?"})
    assert [fault.split(": ")[0] for fault in faults(inputs, {"tolerance": "1", "loss_rate_max": 0.2})] == [
        "cases[3].config.tolerance",
        "cases[3].config.loss_rate_max",
        "cases[3].inputs.points[0].role",
        "cases[3].inputs.points[0].kwh.flat",
        "cases[3].inputs.policy.common",
    ]


def test_keys_that_are_not_used_are_told() -> None:
    inputs = park(points=[point("T1", "400.00", rollovr=True), point("T2", "600.00")], weather="fine")
    assert read_inputs(inputs).unused == ("inputs.weather", "inputs.points[0].rollovr")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{", "1:2: not JSON"),
        ("[]", "-: must be an object with inputs, or with cases"),
        ('{"inputs": {}, "cases": []}', "-: must be an object with inputs, or with cases"),
        ('{"cases": 1}', "cases: must be a list"),
        ('{"cases": [{"inputs": {}}]}', "cases[0]: must be an object with id and inputs"),
        ('{"inputs": {"kwh": 1, "kwh": 2}}', "kwh: the key is there twice in one object"),
        ('{"inputs": {}, "config": []}', "config: must be an object"),
        ("[" * 100_000, "1:1: not JSON"),
    ],
)
def test_a_file_that_is_no_case_file_is_refused(tmp_path: pathlib.Path, text: str, fault: str) -> None:
    file = tmp_path / "case.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(CaseError) as raised:
        read_cases(file)
    assert raised.value.faults[0].startswith(fault)


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.just("1.00"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.sampled_from([*park(), "pv", "segments", "shared_meters"]), JUNK)
def test_any_junk_in_a_part_is_settled_or_refused_and_never_a_crash(part: str, junk: Any) -> None:
    with contextlib.suppress(CaseError):
        assert settle(park(**{part: junk}))["park_colour"] in ("green", "yellow", "red", "grey")
