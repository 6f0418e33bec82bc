"""A site's own meter models, schedules and holidays, beside or instead of the shipped ones."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from agent.cli import cli
from agent.cli.read_target import Options, target_of
from config.load import load
from config.meter_models import SHIPPED
from config.schedule_files import DIRECTORY

SITE = """\
park: {id: p, schedules: [park-2027]}
gateway: {id: g}
site_files: ours
lines: [{id: east, port: /dev/ttyRS485-1, baud: 9600, framing: 8N1}]
meters: [{id: m-1, line: east, protocol: modbus, unit: 1, model: no-name-3000, tenant: acme}]
tenants: [{id: acme}]
"""
MODEL = (SHIPPED / "generic-modbus.yaml").read_text(encoding="utf-8").replace("id: generic-modbus", "id: no-name-3000")
SCHEDULE = (DIRECTORY / "zj-2026.yaml").read_text(encoding="utf-8")
SCHEDULE = SCHEDULE.replace("id: zj-2026", "id: park-2027").replace("valid_from: 2026-07-01", "valid_from: 2027-01-01")
HOLIDAYS = (DIRECTORY / "holidays-2026.yaml").read_text(encoding="utf-8").replace("2026", "2027")


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "ours" / "meters").mkdir(parents=True)
    (tmp_path / "ours" / "schedules").mkdir()
    (tmp_path / "ours" / "meters" / "no-name.yaml").write_text(MODEL, encoding="utf-8")
    (tmp_path / "ours" / "schedules" / "park-2027.yaml").write_text(SCHEDULE, encoding="utf-8")
    (tmp_path / "ours" / "schedules" / "holidays-2027.yaml").write_text(HOLIDAYS, encoding="utf-8")
    (tmp_path / "site.yaml").write_text(SITE, encoding="utf-8")
    return tmp_path


def test_a_meter_described_by_options_may_be_of_a_model_of_the_site(site: Path) -> None:
    described = Options(config=site / "site.yaml", port="/dev/ttyUSB0", unit=7, model="no-name-3000")
    assert target_of(described).model_data["id"] == "no-name-3000"
    assert target_of(described).line["port"] == "/dev/ttyUSB0"
    with pytest.raises(click.UsageError, match="no model no-name-3000"):
        target_of(replace(described, config=None))


def faults(site: Path) -> list[str]:
    return load(site / "site.yaml").fault_texts().replace(f"{site}/", "").splitlines()


def tariff(site: Path, *instants: str) -> tuple[int, list[Any]]:
    arguments = ["tariff", "--config", str(site / "site.yaml"), "--schedule", "park-2027", "--json", *instants]
    ran = CliRunner().invoke(cli, arguments)
    return ran.exit_code, [one["period"] for one in json.loads(ran.stdout or "[]")]


def test_a_site_s_own_files_are_used_and_stand_in_the_effective_configuration(site: Path) -> None:
    config = load(site / "site.yaml").config
    assert config is not None, faults(site)
    assert [model["id"] for model in config["models"]] == ["no-name-3000"]
    assert [schedule["id"] for schedule in config["schedules"]] == ["park-2027"]
    assert {holidays["id"] for holidays in config["holidays"]} == {"cn-2025", "cn-2026", "cn-2027"}
    assert tariff(site, "2027-10-02 12:00", "2026-12-31 23:59:59") == (0, ["deep_valley", "unclassified"])


def test_a_file_with_the_id_of_a_shipped_one_stands_in_its_place(site: Path) -> None:
    (site / "site.yaml").write_text(SITE.replace("no-name-3000", "eastron-sdm630"), encoding="utf-8")
    own = MODEL.replace("no-name-3000", "eastron-sdm630").replace("one-source", "field-verified")
    (site / "ours" / "meters" / "no-name.yaml").write_text(own, encoding="utf-8")
    config = load(site / "site.yaml").config
    assert config is not None, faults(site)
    assert config["models"][0]["data"]["registers"]["import"]["evidence"] == "field-verified"


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("meters/no-name.yaml", "type: u32", "type: u33", "no-name-3000: registers.import.type: 'u33'"),
        ("meters/no-name.yaml", "registers:", "registers: [", "no-name.yaml: "),
        ("schedules/park-2027.yaml", 'to: "24:00"', 'to: "23:30"', "park-2027.yaml: "),
        ("schedules/holidays-2027.yaml", "first: 2027-10-01", "first: 2027-10-99", "holidays-2027.yaml: "),
    ],
)
def test_what_is_wrong_with_a_site_s_file_is_a_fault_of_the_configuration(
    site: Path, file: str, old: str, new: str, said: str
) -> None:
    path = site / "ours" / file
    path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    assert faults(site)[0].startswith(f"site.yaml:3:13: site_files: {said}")
    assert tariff(site, "2027-10-02 12:00")[0] == 78


def test_a_directory_that_is_not_there_is_a_fault(site: Path) -> None:
    (site / "site.yaml").write_text(SITE.replace("ours", "theirs"), encoding="utf-8")
    assert faults(site)[0] == "site.yaml:3:13: site_files: there is no directory theirs"
