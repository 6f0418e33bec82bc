"""The table of meters as spreadsheets really are: encodings, separators, damaged numbers, Chinese headers."""

from __future__ import annotations

import datetime
import random
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from config.faults import Loaded
from config.load import load
from config.model import Meter
from config.tables import HEADERS

SITE = """\
park: {{id: p, interval: 15min}}
gateway: {{id: g}}
lines: [{{id: east, port: /dev/x}}]
tenants: [{{id: acme, name: 埃克米五金}}, {{id: bolt, name: 博尔特包装}}]
meters_file: {file}
"""
CHINESE = """\
表号,线路,协议,通讯地址,租户,房号,倍率,变比,波特率,校验
m-101,east,DL/T645-2007,202208310003,埃克米五金,1-101,40,200/5,2400,偶
m-102,east,DL/T 645-1997,000000063295,bolt,一楼，东,,,1200,8E1
"""


def loaded(tmp_path: Path, raw: bytes, name: str = "meters.csv") -> Loaded:
    (tmp_path / name).write_bytes(raw)
    site = tmp_path / "site.yaml"
    site.write_text(SITE.format(file=name), encoding="utf-8")
    return load(site)


def meters(tmp_path: Path, raw: bytes, name: str = "meters.csv") -> list[dict[str, Any]]:
    found = loaded(tmp_path, raw, name)
    assert found.config is not None, found.fault_texts()
    rows: list[dict[str, Any]] = found.config["meters"]
    return rows


def places(found: Loaded) -> list[tuple[str, int, int, str]]:
    return [(Path(fault.file).name, fault.line, fault.column, fault.key) for fault in found.faults]


def xlsx(tmp_path: Path, rows: list[list[Any]]) -> bytes:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    for row in rows:
        sheet.append(row)
    book.save(tmp_path / "made.xlsx")
    return (tmp_path / "made.xlsx").read_bytes()


def test_every_meter_key_has_a_chinese_header_and_no_header_two_meanings() -> None:
    assert HEADERS.keys() == {info.alias or name for name, info in Meter.model_fields.items()}
    names = [name for names in HEADERS.values() for name in names]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16"])
def test_a_table_with_chinese_headers_reads_in_every_encoding(tmp_path: Path, encoding: str) -> None:
    one, two = meters(tmp_path, CHINESE.encode(encoding))
    assert (one["id"], one["address"], one["ct"], one["framing"]) == ("m-101", "202208310003", "200/5", "8E1")
    assert (two["protocol"], two["baud"], two["room"]) == ("dlt645-1997", 1200, "一楼，东")


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_columns_are_separated_by_comma_semicolon_or_tab(tmp_path: Path, separator: str) -> None:
    table = "id,line,protocol,address\r\nm-1,east,dlt645-2007,000000000012\r\n".replace(",", separator)
    [meter] = meters(tmp_path, table.encode())
    assert meter["address"] == "000000000012"


def test_tenants_stand_by_name_or_by_id(tmp_path: Path) -> None:
    config = loaded(tmp_path, CHINESE.encode()).config
    assert config is not None
    assert [tenancy["tenant"] for tenancy in config["tenancies"]] == ["acme", "bolt"]


def test_an_empty_cell_is_an_absent_key_and_an_empty_row_no_meter(tmp_path: Path) -> None:
    table = "id,line,protocol,address,tenant,multiplier,room\n\n,,,,,,\nm-1,east,dlt645-2007,12,,,\n"
    found = loaded(tmp_path, table.encode())
    assert found.config is not None
    assert [meter["id"] for meter in found.config["meters"]] == ["m-1"]
    assert found.config["tenancies"] == []
    assert found.config["points"][0]["meters"][0]["multiplier"] == "1"


def test_a_short_address_is_padded_with_a_notice(tmp_path: Path) -> None:
    found = loaded(tmp_path, b"id,line,protocol,address\nm-1,east,dlt645-2007,63295\n")
    assert found.config is not None
    assert found.config["meters"][0]["address"] == "000000063295"
    assert any("padded" in str(notice) for notice in found.notices)


def test_an_address_that_a_spreadsheet_damaged_is_refused_with_its_row(tmp_path: Path) -> None:
    found = loaded(
        tmp_path, b"id,line,protocol,address\nm-1,east,dlt645-2007,000000000012\n\nm-2,east,dlt645-2007,2.02208E+11\n"
    )
    assert places(found) == [("meters.csv", 4, 4, "meters.1.address")]
    assert "spreadsheet" in found.fault_texts()


def test_faults_name_row_and_column(tmp_path: Path) -> None:
    table = (
        'id,line,protocol,address,baud,tenant\nm-1,east,dlt645-2007,12,"2,400",acme\nm-1,eats,dlt645-2007,13,,acne\n'
    )
    assert places(loaded(tmp_path, table.encode())) == [
        ("meters.csv", 2, 5, "meters.0.baud"),
        ("meters.csv", 3, 1, "meters.1.id"),
        ("meters.csv", 3, 2, "meters.1.line"),
        ("meters.csv", 3, 6, "meters.1.tenant"),
    ]


def test_a_row_after_a_cell_of_two_lines_keeps_its_number(tmp_path: Path) -> None:
    table = 'id,line,protocol,address,room\nm-1,east,dlt645-2007,12,"a\n b"\nm-2,east,dlt645-2007,x,\n'
    assert places(loaded(tmp_path, table.encode())) == [
        ("meters.csv", 2, 5, "meters.0.room"),
        ("meters.csv", 4, 4, "meters.1.address"),
    ]


def test_an_unknown_or_repeated_header_is_a_fault_of_its_cell_alone(tmp_path: Path) -> None:
    found = loaded(tmp_path, "id,协议,电话,规约\nm-1,manual,1,manual\n".encode())
    assert places(found) == [
        ("meters.csv", 1, 3, "meters_file.column 3"),
        ("meters.csv", 1, 4, "meters_file.column 4"),
    ]


def test_a_cell_beyond_the_headers_is_a_fault(tmp_path: Path) -> None:
    assert places(loaded(tmp_path, b"id,protocol\nm-1,manual,x\n")) == [("meters.csv", 2, 3, "meters.0")]


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("meters.csv", b""),
        ("meters.csv", b'id,"protocol\n'),
        ("meters.csv", b"id\n\xff\xff\xff"),
        ("meters.xlsx", b"id,protocol\n"),
        ("meters.ods", b""),
        ("gone/meters.txt", None),
    ],
)
def test_a_table_that_cannot_be_read_is_one_clear_fault(tmp_path: Path, name: str, raw: bytes | None) -> None:
    if raw is not None:
        (tmp_path / name).write_bytes(raw)
    site = tmp_path / "site.yaml"
    site.write_text(SITE.format(file=name), encoding="utf-8")
    [fault] = load(site).faults
    assert fault.key == "meters_file"


def test_numbers_and_dates_of_a_workbook_become_the_text_people_see(tmp_path: Path) -> None:
    rows = [
        ["编号", "线路", "协议", "地址", "倍率", "最大电流", "检定有效期", "出厂编号", "房号"],
        ["m-1", "east", "dlt645-2007", 202208310003, 1.5, 6.0, datetime.datetime(2030, 5, 1), 20220831000003, 101],
        [None, None, None, None, None, None, None, None, None],
        ["m-2", "east", "dlt645-2007", "000000063295", None, None, None, None, "1-102"],
    ]
    one, two = meters(tmp_path, xlsx(tmp_path, rows), "meters.xlsx")
    assert (one["address"], one["max_a"], one["verified_until"]) == ("202208310003", "6", "2030-05-01")
    assert (one["serial"], one["room"], two["address"]) == ("20220831000003", "101", "000000063295")


def test_a_number_that_a_workbook_rounded_is_refused_with_row_and_column(tmp_path: Path) -> None:
    rows = [
        ["id", "line", "protocol", "address", "serial"],
        ["m-1", "east", "dlt645-2007", 12, 20220831000003123],
        ["m-2", "east", "dlt645-2007", 2.02e11 + 0.5, None],
    ]
    found = loaded(tmp_path, xlsx(tmp_path, rows), "meters.xlsx")
    assert places(found) == [("meters.xlsx", 2, 5, "meters.0.serial"), ("meters.xlsx", 3, 4, "meters.1.address")]


def test_meters_of_the_file_come_after_those_of_the_table_beside_it(tmp_path: Path) -> None:
    (tmp_path / "meters.csv").write_bytes(b"id,protocol\nm-2,manual\n")
    site = tmp_path / "site.yaml"
    site.write_text(SITE.format(file="meters.csv") + "meters: [{id: m-1, protocol: manual}]\n", encoding="utf-8")
    config = load(site).config
    assert config is not None
    assert [meter["id"] for meter in config["meters"]] == ["m-1", "m-2"]


@pytest.mark.parametrize("seed", range(4))
def test_a_damaged_workbook_gives_faults_or_meters(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    sound = xlsx(tmp_path, [["id", "protocol", "倍率"], ["m-1", "manual", 40], ["m-2", "manual", 1.5]])
    refused = 0
    for _ in range(25):
        raw = bytearray(sound)
        for _ in range(chance.randint(1, 6)):
            raw[chance.randrange(len(raw))] = chance.randrange(256)
        found = loaded(tmp_path, bytes(raw), "meters.xlsx")
        assert (found.config is None) == bool(found.faults)
        refused += found.config is None
    assert refused, "the damage damages nothing"
