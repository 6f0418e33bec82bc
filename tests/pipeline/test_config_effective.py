"""What a configuration means: text stays text, short forms are written out, the effective form is as documented."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML

from config import schema
from config.child import load_in_child
from config.load import load
from contract.grid import Closing

SAMPLES = Path(__file__).parents[2] / "config" / "samples"
GOLDEN = Path(__file__).parents[1] / "golden" / "small-effective.json"
HEAD = "park: {id: p}\ngateway: {id: g, data: store}\n"


def effective(tmp_path: Path, text: str) -> dict[str, Any]:
    file = tmp_path / "site.yaml"
    file.write_text(text, encoding="utf-8")
    found = load(file)
    assert found.config is not None, found.fault_texts()
    return found.config


def without_files(config: dict[str, Any]) -> dict[str, Any]:
    """The shipped files change with their facts and the program with time; what they are called does not."""
    shipped = {key: [entry["id"] for entry in config[key]] for key in ("schedules", "holidays", "models")}
    return config | shipped | {"version": ""}


@pytest.mark.parametrize("name", ["small", "everything", "demo"])
def test_a_sample_loads_without_faults_and_names_its_schema(name: str) -> None:
    file = SAMPLES / f"{name}.yaml"
    assert file.read_text(encoding="utf-8").splitlines()[0].startswith("# yaml-language-server: $schema=")
    assert load(file).fault_texts() == ""


@pytest.mark.parametrize("name", ["small", "everything", "demo"])
def test_an_editor_finds_nothing_wrong_in_a_sample(name: str) -> None:
    yaml = YAML(typ="safe", pure=True)
    data = yaml.load((SAMPLES / f"{name}.yaml").read_text(encoding="utf-8"))
    jsonschema.validate(json.loads(json.dumps(data, default=str)), schema.schema())


def test_an_editor_finds_an_unknown_key() -> None:
    with pytest.raises(jsonschema.ValidationError, match="adress"):
        jsonschema.validate({"park": {"id": "p"}, "gateway": {"id": "g", "adress": "x"}}, schema.schema())


def test_the_committed_schema_is_what_the_models_say() -> None:
    committed = schema.FILE.read_text(encoding="utf-8")
    assert committed == schema.schema_text(), "run `python -m config.schema`"
    jsonschema.Draft202012Validator.check_schema(json.loads(committed))
    assert json.loads(committed).keys() >= {"$schema", "$id"}


def test_the_everything_sample_has_every_key() -> None:
    used: set[str] = set()

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            used.update(value)
        for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            walk(item)

    walk(YAML(typ="safe", pure=True).load((SAMPLES / "everything.yaml").read_text(encoding="utf-8")))
    definitions = schema.schema()["$defs"].values()
    known = {key for section in definitions for key in section["properties"]} | set(schema.schema()["properties"])
    assert known - used == {"meters_file", "site_files"}


def test_the_demo_park_has_twelve_tenants_on_three_lines() -> None:
    config = load(SAMPLES / "demo.yaml").config
    assert config is not None
    assert len(config["lines"]) == 3
    assert len({tenancy["tenant"] for tenancy in config["tenancies"]}) == 12
    assert {point["role"] for point in config["points"]} == {"tenant", "public", "master", "pv"}
    assert {meter["protocol"] for meter in config["meters"]} == {"dlt645-2007", "dlt645-1997", "modbus"}


def test_the_small_sample_means_what_the_golden_file_says() -> None:
    config = load(SAMPLES / "small.yaml").config
    assert config is not None
    assert without_files(config) == json.loads(GOLDEN.read_text(encoding="utf-8"))


def test_plain_scalars_mean_what_they_say(tmp_path: Path) -> None:
    config = effective(
        tmp_path,
        HEAD + "lines: [{id: no, port: /dev/x, framing: 8E1, echo: no}]\n"
        "meters:\n  - {id: 12e3, line: no, protocol: dlt645-2007, address: 000012345678, room: 12:30, serial: 0x10,\n"
        "     seal: 1_000, certificate: 2030-05-01}\n",
    )
    [line], [meter] = config["lines"], config["meters"]
    assert (line["id"], line["framing"], line["echo"]) == ("no", "8E1", False)
    assert (meter["id"], meter["address"], meter["room"]) == ("12e3", "000012345678", "12:30")
    assert (meter["serial"], meter["seal"], meter["certificate"]) == ("0x10", "1_000", "2030-05-01")


def test_a_short_form_is_a_point_of_the_meters_id_from_the_beginning_and_whole(tmp_path: Path) -> None:
    config = effective(tmp_path, HEAD + "tenants: [{id: t}]\nmeters: [{id: m, protocol: manual, tenant: t}]\n")
    assert config["points"] == [
        {
            "id": "m",
            "role": "tenant",
            "parent": None,
            "register": "import",
            "account": None,
            "schedule": None,
            "meters": [{"meter": "m", "from": None, "to": None, "multiplier": "1"}],
        }
    ]
    assert config["tenancies"] == [{"point": "m", "tenant": "t", "share": "1", "from": None, "to": None}]


def test_what_is_written_out_wins_over_the_short_form(tmp_path: Path) -> None:
    config = effective(
        tmp_path,
        HEAD + "tenants: [{id: t}, {id: u}]\n"
        "meters: [{id: m, protocol: manual, tenant: t, role: public, multiplier: 2}]\n"
        "points: [{id: p-1, role: operator, meters: [{meter: m, multiplier: 3}]}]\n"
        'tenancies: [{point: p-1, tenant: u, share: "0.50"}]\n',
    )
    [point], [tenancy] = config["points"], config["tenancies"]
    assert (point["id"], point["role"], point["meters"][0]["multiplier"]) == ("p-1", "operator", "3")
    assert (tenancy["tenant"], tenancy["share"]) == ("u", "0.5")


def test_what_is_not_written_out_comes_from_the_short_form(tmp_path: Path) -> None:
    config = effective(
        tmp_path,
        HEAD + "tenants: [{id: t}]\nmeters: [{id: m, protocol: manual, tenant: t, role: operator, multiplier: 2.50}]\n"
        "points: [{id: m, account: 0012}]\n",
    )
    [point], [tenancy] = config["points"], config["tenancies"]
    assert (point["role"], point["account"], point["meters"][0]["multiplier"]) == ("operator", "0012", "2.5")
    assert tenancy["tenant"] == "t"


def test_instants_are_park_local_and_an_entry_ends_where_the_next_begins(tmp_path: Path) -> None:
    config = effective(
        tmp_path,
        HEAD + "meters: [{id: m, protocol: manual}]\npoints:\n  - id: p\n    meters:\n"
        "      - {meter: m, from: 2026-07-10 09:30, multiplier: 40}\n"
        "      - {meter: m, multiplier: 30}\n      - {meter: m, from: 2026-07-31 24:00, to: 2026-08-31T16:00:00Z}\n",
    )
    [point] = config["points"]
    assert [(entry["from"], entry["to"], entry["multiplier"]) for entry in point["meters"]] == [
        (None, "2026-07-10T01:30:00Z", "30"),
        ("2026-07-10T01:30:00Z", "2026-07-31T16:00:00Z", "40"),
        ("2026-07-31T16:00:00Z", "2026-08-31T16:00:00Z", "1"),
    ]


def test_a_meter_may_have_an_export_point_beside_its_import_point(tmp_path: Path) -> None:
    config = effective(
        tmp_path,
        HEAD + "meters: [{id: m, protocol: manual, role: storage}]\n"
        "points: [{id: charge, meters: [{meter: m}]}, {id: discharge, register: export, meters: [{meter: m}]}]\n",
    )
    assert [(point["role"], point["register"]) for point in config["points"]] == [
        ("storage", "import"),
        ("storage", "export"),
    ]


@pytest.mark.parametrize(
    ("written", "text", "seconds"),
    [("1s", "1s", 1), ("60 s", "1min", 60), ("15min", "15min", 900), ("900s", "15min", 900), ("60m", "1h", 3600)],
)
def test_an_interval_is_any_divisor_of_a_day_up_to_an_hour(
    tmp_path: Path, written: str, text: str, seconds: int
) -> None:
    settings = effective(tmp_path, f"park: {{id: p, interval: {written}}}\ngateway: {{id: g}}\n")["settings"]
    assert (settings["interval"], settings["interval_s"]) == (text, seconds)


@pytest.mark.parametrize(
    ("written", "means"),
    [("1 0:00", "01 00:00"), ("25 24:00", "25 24:00"), ("28 24:00", "28 24:00"), ("31 24:00",) * 2],
)
def test_a_closing_may_be_the_end_of_a_day_or_of_the_month(tmp_path: Path, written: str, means: str) -> None:
    text = HEAD.replace("{id: p}", f'{{id: p, closings: ["{written}"]}}')
    settings = effective(tmp_path, text)["settings"]
    assert settings["closings"] == [means]
    Closing.parse(means)


def test_the_multiplier_follows_what_the_model_sends(tmp_path: Path) -> None:
    """A primary meter sends what was consumed: nothing is left to multiply."""
    lines = "lines: [{id: a, port: /dev/x}]\n"
    primary = "meters: [{id: m, line: a, protocol: modbus, unit: 1, model: schneider-iem3155, ct: 200/5}]\n"
    assert effective(tmp_path, HEAD + lines + primary)["points"][0]["meters"][0]["multiplier"] == "1"
    both = "meters: [{id: m, line: a, protocol: dlt645-2007, address: 1, ct: 200/5, pt: 10000/100, multiplier: 4000}]\n"
    assert effective(tmp_path, HEAD + lines + both)["points"][0]["meters"][0]["multiplier"] == "4000"


def test_an_earlier_multiplier_may_belong_to_other_transformers(tmp_path: Path) -> None:
    config = effective(
        tmp_path,
        HEAD + "lines: [{id: a, port: /dev/x}]\n"
        "meters: [{id: m, line: a, protocol: dlt645-2007, address: 1, ct: 200/5, multiplier: 40}]\n"
        "points: [{id: p, meters: [{meter: m, multiplier: 30}, {meter: m, from: 2026-07-10}]}]\n",
    )
    assert [entry["multiplier"] for entry in config["points"][0]["meters"]] == ["30", "40"]


def test_a_line_of_dlt645_meters_has_their_standards_speed(tmp_path: Path) -> None:
    meters = (
        "meters:\n  - {id: m, line: a, protocol: dlt645-2007, address: 1}\n"
        "  - {id: n, line: b, protocol: dlt645-1997, address: 2, baud: 1200}\n"
    )
    config = effective(
        tmp_path,
        HEAD + "lines: [{id: a, port: /dev/x}, {id: b, port: /dev/y, baud: 9600}]\n" + meters,
    )
    assert [(line["baud"], line["framing"]) for line in config["lines"]] == [(2400, "8E1"), (9600, "8E1")]
    assert [(meter["baud"], meter["framing"]) for meter in config["meters"]] == [(2400, "8E1"), (1200, "8E1")]


def test_file_names_are_relative_to_the_configuration(tmp_path: Path) -> None:
    config = effective(tmp_path, HEAD + "mqtt: {url: mqtts://b, password_file: secret, ca_file: /etc/ca.pem}\n")
    assert config["private"]["data"] == str(tmp_path / "store")
    assert config["private"]["mqtt"]["password_file"] == str(tmp_path / "secret")
    assert config["private"]["mqtt"]["ca_file"] == "/etc/ca.pem"


def test_anchors_and_merge_keys_work_and_a_meters_own_keys_win(tmp_path: Path) -> None:
    config = effective(
        tmp_path,
        HEAD + "lines: [{id: a, port: /dev/x}]\nmeters:\n"
        "  - &m {id: m-1, line: a, protocol: dlt645-2007, address: 1}\n  - {<<: *m, id: m-2, address: 2}\n"
        "  - {id: m-3, address: 3, <<: *m}\n",
    )
    assert [(meter["id"], meter["address"][-1]) for meter in config["meters"]] == [
        ("m-1", "1"),
        ("m-2", "2"),
        ("m-3", "3"),
    ]


def test_a_model_known_from_one_source_is_said_aloud(tmp_path: Path) -> None:
    file = tmp_path / "site.yaml"
    file.write_text(
        HEAD + "lines: [{id: a, port: /dev/x}]\n"
        "meters: [{id: m, line: a, protocol: modbus, unit: 1, model: circutor-cem-c31}]\n"
    )
    found = load(file)
    assert found.config is not None
    assert any("CAUTION: meter m: model circutor-cem-c31" in str(notice) for notice in found.notices)


def test_a_padded_address_is_said_aloud(tmp_path: Path) -> None:
    file = tmp_path / "site.yaml"
    file.write_text(
        HEAD + "lines: [{id: a, port: /dev/x}]\nmeters: [{id: m, line: a, protocol: dlt645-2007, address: 63295}]\n"
    )
    found = load(file)
    assert found.config is not None
    assert found.config["meters"][0]["address"] == "000000063295"
    assert any("63295 is short, padded with zeros to 000000063295" in str(notice) for notice in found.notices)


async def test_the_child_gives_what_the_loader_gives(tmp_path: Path) -> None:
    assert await load_in_child(SAMPLES / "small.yaml") == load(SAMPLES / "small.yaml")
    bad = tmp_path / "bad.yaml"
    bad.write_text("park: {id: 园}\n", encoding="utf-8")
    assert await load_in_child(bad) == load(bad)


def test_common_use_that_a_tenant_holds_is_said_to_be_the_tenants_own(tmp_path: Path) -> None:
    file = tmp_path / "site.yaml"
    file.write_text(HEAD + "tenants: [{id: t}]\nmeters: [{id: m, protocol: manual, role: public, tenant: t}]\n")
    found = load(file)
    assert found.config is not None
    assert any("role public and the tenant t: its energy counts as that tenant's own" in n.en for n in found.notices)
