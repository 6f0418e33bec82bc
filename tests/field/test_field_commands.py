"""The field verbs as commands: exit codes, what a bundle holds and what it must not."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

from benches import effective
from click.testing import CliRunner

from agent.cli import cli
from agent.cli.doctor import _pack, as_object
from agent.field.causes import CERTAIN
from agent.field.diagnosis import line_causes, meter_causes
from agent.field.seen import LineEvidence, MeterEvidence

EVERYTHING = """\
park: {id: p, schedules: [zj-2026]}
gateway: {id: g}
mqtt: {url: "mqtts://broker.example:8883", username: someone, password_file: /etc/hubiao/mqtt.password}
lines:
  - {id: east, port: /dev/ttyS-east, baud: 2400, framing: 8E1}
meters:
  - {id: m-101, line: east, protocol: dlt645-2007, address: "202208310003", tenant: acme}
tenants:
  - {id: acme, name: 埃克米五金}
"""


def run(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli, ["--lang", "en", *words], standalone_mode=False)
    code = result.return_value if isinstance(result.return_value, int) else result.exit_code
    return getattr(result.exception, "exit_code", code), f"{result.output}{result.exception or ''}"


def test_a_port_that_is_not_there_is_exit_69() -> None:
    code, said = run("scan", "--port", "/dev/no-such-port")
    assert code == 69
    assert "check the plug" in said


def test_a_port_without_a_bus_and_words_that_are_none_are_wrong_usage() -> None:
    for words in (("--port", "tcp://127.0.0.1:1"), ("--port", "/dev/x", "--framings", "9X1")):
        assert run("scan", *words)[0] == 2
    assert run("scan", "--port", "/dev/x", "--units", "0-3")[0] == 2
    assert run("scan", "--port", "/dev/x", "--protocols", "dlms")[0] == 2


def test_verbs_on_a_configuration_whose_port_is_missing_are_exit_69(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(EVERYTHING, encoding="utf-8")
    for verb in (("check", "--online"), ("doctor",), ("watch",), ("commission",)):
        code, said = run(*verb, "--config", str(path))
        assert (verb, code) == (verb, 69)
        assert "/dev/ttyS-east" in said or verb[0] == "check"
    assert run("watch", "--config", str(path), "--line", "west")[0] == 2
    assert run("commission", "--config", str(path), "--meter", "m-999")[0] == 2


def test_a_bundle_holds_report_and_lines_and_no_secret(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(EVERYTHING, encoding="utf-8")
    config = effective(path)
    meter = MeterEvidence("m-101", "dlt645-2007", "202208310003", 2400, "8E1", history="..s.", latencies=[0.1, 0.2])
    report = as_object(config, [LineEvidence("east", meters=[meter])])
    bundle = tmp_path / "d.zip"
    _pack(bundle, report, config, ["1 east tx 68"])
    with zipfile.ZipFile(bundle) as archive:
        text = "".join(archive.read(name).decode() for name in archive.namelist())
        [line] = json.loads(archive.read("report.json"))["lines"]
    assert line["meters"][0]["silent"] == 1
    assert line["meters"][0]["latency_ms"] == {"p50": 150, "p95": 200, "max": 200}
    for secret in ("password", "someone", "埃克米", "acme", "broker.example"):
        assert secret not in text


def test_two_different_answers_to_one_question_are_certain_and_equal_ones_are_not() -> None:
    meter = MeterEvidence("m", "dlt645-2007", history="pppp", replies_in_one_window=2, replies_differ=True)
    line = LineEvidence("east", meters=[meter, MeterEvidence("n", "dlt645-2007", history="....")])
    assert [(one.code, one.certainty) for one in meter_causes(meter, line)] == [("two_with_one_address", CERTAIN)]
    meter.replies_differ = False
    assert [one.certainty for one in meter_causes(meter, line)] == ["likely"]


def test_bytes_that_nobody_asked_for_are_likely_a_master_and_a_whole_request_is_one_for_sure() -> None:
    line = LineEvidence("east", spontaneous=40)
    assert [(one.code, one.certainty) for one in line_causes(line)] == [("second_master", "likely")]
    line.masters = ("68",)
    assert [(one.code, one.certainty) for one in line_causes(line)] == [("second_master", CERTAIN)]
