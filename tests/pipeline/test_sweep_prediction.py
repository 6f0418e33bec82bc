"""Predicted sweeps against arithmetic by hand, and `hubiao check` from outside."""

from __future__ import annotations

import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from agent.cli import cli
from agent.schedule import Questions, predict_sweep
from agent.uplink import PING_BYTES, predict_uplink
from config.load import load


def site(tmp_path: Path, meters: int, *, interval: str = "15min", line: str = "baud: 2400, framing: 8E1") -> Path:
    rows = "".join(
        f"  - {{id: m-{n}, line: east, protocol: dlt645-2007, address: {n + 1:012}}}\n" for n in range(meters)
    )
    file = tmp_path / "site.yaml"
    file.write_text(
        f"park: {{id: p, interval: {interval}}}\ngateway: {{id: g}}\n"
        f"lines: [{{id: east, port: /dev/x, {line}}}]\nmeters:\n{rows}",
        encoding="utf-8",
    )
    return file


def config(file: Path) -> dict[str, Any]:
    found = load(file)
    assert found.config is not None, found.fault_texts()
    return found.config


def check(file: Path, *more: str) -> Result:
    return CliRunner().invoke(cli, ["--lang", "en", "check", "--config", str(file), *more])


def test_a_dlt645_meter_takes_what_its_frames_take(tmp_path: Path) -> None:
    """Requests of 16 bytes, replies of 16 + 5 × 4 and 16 + 4, four FE before each, 11 bits a character, 0.22 s."""
    [line] = predict_sweep(config(site(tmp_path, 1)))
    characters = (4 + 16 + 4 + 36) + (4 + 16 + 4 + 20)
    assert line["sweep_s"] == pytest.approx(characters * 11 / 2400 + 2 * 0.22, abs=0.01)


def test_a_modbus_meter_takes_what_its_frames_take(tmp_path: Path) -> None:
    """schneider-iem3155: every exchange is 8 + 5 + 2 bytes a register, 3.5 characters of silence, 0.05 s of delay."""
    file = tmp_path / "site.yaml"
    file.write_text(
        "park: {id: p}\ngateway: {id: g}\nlines: [{id: a, port: /dev/x, baud: 9600, framing: 8N1}]\n"
        "meters: [{id: m, line: a, protocol: modbus, unit: 1, model: schneider-iem3155}]\n"
    )
    found = config(file)
    look, confirmation = Questions(found).of(found["meters"][0])
    parts = look + confirmation
    [line] = predict_sweep(found)
    characters = sum(part.request + part.reply + 3.5 for part in parts)
    gaps = sum(part.quiet_s + part.delay_s for part in parts)
    assert len(parts) >= 2, "a look and its confirmation"
    assert all(part.request == 8 and part.reply > 5 and part.reply % 2 for part in parts)
    assert gaps >= 0.05 * len(parts)
    assert line["sweep_s"] == pytest.approx(characters * 10 / 9600 + gaps, abs=0.01)


def test_a_delay_that_was_measured_takes_the_place_of_the_usual_one(tmp_path: Path) -> None:
    found = config(site(tmp_path, 10))
    [usual], [measured] = predict_sweep(found), predict_sweep(found, {found["meters"][0]["id"]: 0.45})
    assert measured["sweep_s"] - usual["sweep_s"] == pytest.approx(2 * (0.45 - 0.2), abs=0.01)


def test_a_sweep_grows_with_meters_and_shrinks_with_speed(tmp_path: Path) -> None:
    [one] = predict_sweep(config(site(tmp_path, 1)))
    [ten] = predict_sweep(config(site(tmp_path, 10)))
    [fast] = predict_sweep(config(site(tmp_path, 10, line="baud: 9600, framing: 8E1")))
    assert ten["sweep_s"] == pytest.approx(10 * one["sweep_s"], abs=0.06)
    assert fast["sweep_s"] < ten["sweep_s"]
    assert ten["at_baud"]["9600"] == fast["sweep_s"]


def test_a_line_fits_as_long_as_a_tenth_of_the_interval_is_left(tmp_path: Path) -> None:
    [line] = predict_sweep(config(site(tmp_path, 64)))
    assert (line["fits"], line["exact"], line["window_s"]) == (True, False, 18.0)
    [line] = predict_sweep(config(site(tmp_path, 64, interval="1min")))
    assert (line["fits"], line["lines_needed"]) == (False, 2)


def test_a_slow_line_is_exact_where_the_looks_alone_fit_into_the_window(tmp_path: Path) -> None:
    """32 looks of 60 characters at 2400 baud with 0.22 s each: 15.84 s of 18 s; look and confirmation take 29.3 s."""
    [line] = predict_sweep(config(site(tmp_path, 32)))
    assert (line["exact"], line["looks_s"], line["sweep_s"]) == (True, 15.84, pytest.approx(29.3, abs=0.05))
    [line] = predict_sweep(config(site(tmp_path, 40)))
    assert (line["exact"], line["looks_s"]) == (False, 19.8)
    [line] = predict_sweep(config(site(tmp_path, 1, interval="1min")))
    assert line["exact"] is True


def test_where_not_even_the_looks_fit_the_meters_own_records_are_foreseen(tmp_path: Path) -> None:
    """Twice 22 bytes out and 48 back, 16 and 19 for the clock, four FE before each, 0.22 s each."""
    [line] = predict_sweep(config(site(tmp_path, 64)))
    a_meter = (2 * (22 + 48 + 8) + 16 + 19 + 8) * 11 / 2400 + 3 * 0.22
    assert (line["memory_meters"], line["memory_s"]) == (64, pytest.approx(64 * a_meter, abs=0.1))
    [line] = predict_sweep(config(site(tmp_path, 32)))
    assert (line["memory_meters"], line["memory_s"]) == (0, 0)
    [line] = predict_sweep(config(site(tmp_path, 64, interval="2min")))
    assert line["memory_meters"] == int(60 / a_meter)
    [line] = predict_sweep(config(site(tmp_path, 64, interval="1min")))
    assert line["memory_meters"] == 0, "a clock that shows whole seconds dates no slot to within 0.6 s"
    said = check(site(tmp_path, 64)).stderr
    assert "up to 64 are asked behind the slot" in said
    assert "only the meters can tell" in said
    assert "own load record" not in check(site(tmp_path, 32)).stderr


def test_a_line_without_meters_takes_no_time(tmp_path: Path) -> None:
    file = tmp_path / "site.yaml"
    file.write_text("park: {id: p}\ngateway: {id: g}\nlines: [{id: a, port: /dev/x}]\n")
    assert [(line["sweep_s"], line["fits"]) for line in predict_sweep(config(file))] == [(0, True)]


def uplink(
    tmp_path: Path, meters: int, *, interval: str = "15min", metered: bool = False, scheme: str = "mqtt"
) -> Decimal:
    file = site(tmp_path, meters, interval=interval)
    file.write_text(
        f"mqtt: {{url: '{scheme}://127.0.0.1', metered: {str(metered).lower()}}}\n" + file.read_text("utf-8")
    )
    return predict_uplink(config(file))


def test_the_uplink_grows_with_meters_and_with_slots(tmp_path: Path) -> None:
    none, ten, twenty = (uplink(tmp_path, n) for n in (0, 10, 20))
    assert twenty - ten == pytest.approx(ten - none, abs=Decimal("0.3"))
    assert uplink(tmp_path, 10, interval="5min") - none > Decimal("2.5") * (ten - none)


def test_a_metered_uplink_is_pinged_every_120_s_instead_of_30_and_has_no_live_values(tmp_path: Path) -> None:
    pings = Decimal(PING_BYTES * 30 * (2880 - 720)) / 10**6
    looks = [uplink(tmp_path, n) - uplink(tmp_path, n, metered=True) - pings for n in (0, 10)]
    assert looks[0] < 1
    a_meter = (looks[1] - looks[0]) * 10**6 / 30 / 96 / 10
    assert 100 < a_meter < 200  # bytes of an instant and five registers


def test_a_websocket_is_foreseen_compressed_and_the_same_each_time(tmp_path: Path) -> None:
    plain = uplink(tmp_path, 60, scheme="mqtts", metered=True)
    first, again = (uplink(tmp_path, 60, scheme="wss", metered=True) for _ in range(2))
    assert first == again
    assert plain / 9 < first < plain / 5
    salts_and_hashes = 96 * 30 * 121 * (16 + 32)  # of 60 readings, 60 intervals and a balance: nothing shortens these
    assert first > Decimal(salts_and_hashes) / 10**6


def test_check_says_yes_with_exit_code_0(tmp_path: Path) -> None:
    result = check(site(tmp_path, 3), "--json")
    answer = json.loads(result.stdout)
    assert result.exit_code == 0
    assert (answer["ok"], answer["faults"]) == (True, [])
    assert [(line["id"], line["fits"]) for line in answer["lines"]] == [("east", True)]
    assert answer["uplink_mb_month"] > 0


def test_check_says_on_what_a_compressed_uplink_depends(tmp_path: Path) -> None:
    file = site(tmp_path, 3)
    assert "compress" not in check(file).stdout
    file.write_text("mqtt: {url: 'wss://broker.example'}\n" + file.read_text("utf-8"))
    assert "on the uplink if the broker agrees to compress" in check(file).stdout


def test_check_ends_with_3_and_says_what_would_help_where_the_schedule_cannot_be_met(tmp_path: Path) -> None:
    file = site(tmp_path, 64, interval="1min")
    result = check(file)
    assert result.exit_code == 3
    assert "line east: a sweep takes about" in result.stderr
    assert "9600 baud" in result.stderr
    assert "over 2 lines" in result.stderr
    answer = json.loads(check(file, "--json").stdout)
    assert (answer["ok"], answer["lines"][0]["fits"]) == (False, False)


def test_check_ends_with_78_and_all_faults(tmp_path: Path) -> None:
    file = tmp_path / "site.yaml"
    file.write_text("park: {id: P}\ngateway: {id: g, clok: kernel}\n")
    result = check(file, "--json")
    answer = json.loads(result.stdout)
    assert result.exit_code == 78
    assert answer["ok"] is False
    assert [(f["file"], f["line"], f["column"], f["key"]) for f in answer["faults"]] == [
        (str(file), 1, 12, "park.id"),
        (str(file), 2, 18, "gateway.clok"),
    ]
    assert all(set(fault) == {"file", "line", "column", "key", "message"} for fault in answer["faults"])


def test_check_of_a_missing_file_ends_with_78(tmp_path: Path) -> None:
    result = check(tmp_path / "gone.yaml", "--json")
    assert result.exit_code == 78
    assert len(json.loads(result.stdout)["faults"]) == 1


def test_run_only_warns_of_a_schedule_that_cannot_be_met(tmp_path: Path) -> None:
    file = site(tmp_path, 64, interval="1min")
    file.write_text(file.read_text("utf-8").replace("{id: g}", f"{{id: g, data: {tmp_path / 'data'}}}"))
    hubiao = Path(sys.executable).with_name("hubiao")
    run = [hubiao, "--lang", "en", "run", "--config", file, "--for", "1s"]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    assert "line east: a sweep takes about" in done.stderr
    assert "over 2 lines" in done.stderr


def test_thousands_of_meters_that_are_alike_are_worked_out_once(tmp_path: Path) -> None:
    found = config(site(tmp_path, 64))
    questions = Questions(found)
    assert len({id(questions.of(meter)) for meter in found["meters"]}) == 1
