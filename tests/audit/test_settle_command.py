"""`hubiao audit settle`: one JSON document on stdout, faults by path with 78, plain lines otherwise."""

from __future__ import annotations

import json
import pathlib

import pytest
from click.testing import CliRunner
from settlement_inputs import park, point

from agent.cli import cli

GOLDEN = pathlib.Path(__file__).parents[1] / "golden" / "settlement-cases.json"


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(cli, ["--lang", "en", "audit", "settle", *arguments])
    return result.exit_code, result.stdout, result.stderr


def test_a_file_of_cases_gives_a_list_of_ids_and_results() -> None:
    code, out, err = run(str(GOLDEN), "--json")
    expected = json.loads(GOLDEN.read_text(encoding="utf-8"))["cases"]
    assert (code, err) == (0, "")
    assert json.loads(out) == [{"id": case["id"], "result": case["expected"]} for case in expected]


def test_one_object_gives_the_result_itself(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "one.json"
    file.write_text(json.dumps({"inputs": park(), "config": {"tolerance_yuan": "0.00"}}), encoding="utf-8")
    code, out, _ = run("--json", str(file))
    assert (code, json.loads(out)["park_colour"]) == (0, "green")


def test_a_case_has_its_own_thresholds(tmp_path: pathlib.Path) -> None:
    short = park(points=[point("T1", "250.00"), point("T2", "600.00")], charges=[])
    cases = [
        {"id": "default", "inputs": short},
        {"id": "own", "inputs": short, "config": {"loss_rate_max": "0.10"}},
    ]
    file = tmp_path / "cases.json"
    file.write_text(json.dumps({"cases": cases}), encoding="utf-8")
    _, out, _ = run("--json", str(file))
    assert [item["result"]["park_colour"] for item in json.loads(out)] == ["green", "grey"]


def test_without_json_there_is_a_verdict_and_a_line_for_each_tenant(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "one.json"
    file.write_text(json.dumps({"inputs": park(weather="fine")}), encoding="utf-8")
    code, out, err = run(str(file))
    lines = out.splitlines()
    assert code == 0
    assert lines[0].startswith("green  OK")
    assert lines[2:] == [
        "T1\t400.00\t400.00\t400.00\t0.00\t0.00\tgreen\tOK",
        "T2\t600.00\t600.00\t600.00\t0.00\t0.00\tgreen\tOK",
    ]
    assert err == "not used: inputs.weather\n"


def test_all_faults_of_all_cases_are_named_and_nothing_is_printed(tmp_path: pathlib.Path) -> None:
    cases = [{"id": "a", "inputs": park(points=[point("T1", "1", "landlord")])}, {"id": "b", "inputs": park(policy={})}]
    file = tmp_path / "cases.json"
    file.write_text(json.dumps({"cases": cases}), encoding="utf-8")
    code, out, err = run("--json", str(file))
    assert (code, out) == (78, "")
    assert f"{file}: cases[0].inputs.points[0].role: " in err
    assert f"{file}: cases[1].inputs.policy.common: missing" in err


@pytest.mark.parametrize("text", [None, "not json"])
def test_a_file_that_cannot_be_read_is_78(tmp_path: pathlib.Path, text: str | None) -> None:
    file = tmp_path / "x.json"
    if text is not None:
        file.write_text(text, encoding="utf-8")
    code, out, err = run("--json", str(file))
    assert (code, out) == (78, "")
    assert "x.json" in err
