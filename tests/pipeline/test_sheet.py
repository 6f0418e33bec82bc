"""`hubiao sheet` on a store: at an instant, between two, as files, and against somebody else's sheet."""

from __future__ import annotations

import csv
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import ledger_park
import openpyxl
import pytest
import reading_store
from click.testing import CliRunner, Result
from reading_store import STEP, TEN, Morning, register

from agent.cli import cli
from contract.ledger import interval
from contract.records import Head, encode
from contract.sheet import Split, sheet_between, sheet_edges

SPAN = ("--from", "2026-07-10 10:00", "--to", "2026-07-10 12:00")


@pytest.fixture(scope="module")
def morning(tmp_path_factory: pytest.TempPathFactory) -> Morning:
    return Morning(tmp_path_factory.mktemp("park")).write()


def run(morning: Morning, *arguments: str | Path, lang: str = "en") -> Result:
    return CliRunner().invoke(cli, ["--lang", lang, "sheet", "--config", str(morning.path), *map(str, arguments)])


def rows_of(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.output
    rows: list[dict[str, Any]] = json.loads(result.stdout)["rows"]
    return rows


def csv_rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def write_rows(path: Path, *rows: list[str]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def test_a_sheet_at_a_slot_has_one_row_a_point_and_its_meter(morning: Morning) -> None:
    rows = rows_of(run(morning, "--at", "2026-07-10 10:30", "--json"))
    assert [(row["point"], row["meter"], row["room"]) for row in rows] == [
        ("p-101", "m-101", "1-101"),
        ("p-102", "m-102", "1-102"),
        ("p-104", "m-104", "1-104"),
        ("m-000", "m-000", None),
    ]
    acme = rows[0]
    assert acme["end"]["at"] == "2026-07-10T02:30:00Z"
    t = "250.55"
    assert acme["end"]["registers"] == {"total": "1002.20", "t1": t, "t2": t, "t3": t, "t4": t, "t5": None}
    assert (acme["multiplier"], acme["kwh"], acme["start"], acme["quality"]) == ("40", None, None, "measured")
    assert acme["holders"] == [{"tenant": "acme", "share": "1", "name": "埃克米五金"}]


def test_the_table_names_the_points_where_one_meter_has_two(
    morning: Morning, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    feeds = "".join(
        f"  - {{id: {name}, role: master, register: {name}, meters: [{{meter: m-000}}]}}\n"
        for name in ("import", "export")
    )
    monkeypatch.setattr("reading_store.YAML", reading_store.YAML.replace("points:\n", "points:\n" + feeds))
    fed = Morning(tmp_path).write()
    for sheet, points in ((fed, ["import", "export"]), (morning, [])):
        lines = run(sheet, "--at", "2026-07-10 10:30").stdout.splitlines()
        masters = [line.split("\t") for line in lines if "m-000" in line]
        assert [line[3] for line in masters if line[3] in ("import", "export")] == points


def test_between_slots_registers_lie_on_the_line_and_say_so(morning: Morning) -> None:
    rows = rows_of(run(morning, "--at", "2026-07-10 10:05", "--json"))
    by_meter = {row["meter"]: row for row in rows}
    # a third of 1.10, 2.05, 0.08 and 3.00, half up to the register's last digit
    totals = {meter: row["end"]["registers"]["total"] for meter, row in by_meter.items()}
    assert totals == {"m-101": "1000.37", "m-102": "2000.68", "m-104": "300.03", "m-000": "5001.00"}
    assert {row["quality"] for row in rows} == {"interpolated"}


def test_a_missing_reading_is_empty_and_never_zero(tmp_path: Path) -> None:
    morning = Morning(tmp_path, filled=False).write()
    result = run(morning, "--at", "2026-07-10 11:00", "--csv", tmp_path / "s.csv")
    assert result.exit_code == 0
    row = next(row for row in csv_rows(tmp_path / "s.csv") if row["表号"] == "m-104")
    assert (row["示数总"], row["电量"], row["quality"]) == ("", "", "missing")
    assert "1 rows lack" in result.stderr


def test_a_value_between_a_reading_and_a_gap_is_missing_too(tmp_path: Path) -> None:
    morning = Morning(tmp_path, filled=False).write()
    rows = rows_of(run(morning, "--at", "2026-07-10 10:50", "--json"))
    assert [row["quality"] for row in rows if row["meter"] == "m-104"] == ["missing"]


def test_the_latest_revision_is_the_reading(morning: Morning) -> None:
    row = rows_of(run(morning, "--at", "2026-07-10 11:00", "--json"))[2]
    assert (row["end"]["registers"]["total"], row["quality"]) == ("300.32", "estimated")


def test_a_sweep_that_was_over_before_its_slot_counts_for_it(tmp_path: Path) -> None:
    morning = Morning(tmp_path, late_s=-3).write()
    rows = rows_of(run(morning, "--at", "2026-07-10 10:30", "--json"))
    assert {row["quality"] for row in rows} == {"measured"}


def test_a_change_of_meter_or_multiplier_splits_rows_and_each_difference_is_exact(morning: Morning) -> None:
    rows = rows_of(run(morning, *SPAN, "--json"))
    found = [
        (
            row["meter"],
            row["multiplier"],
            row["start"]["registers"]["total"],
            row["end"]["registers"]["total"],
            row["kwh"],
        )
        for row in rows
    ]
    assert found == [
        ("m-101", "30", "1000.00", "1002.20", "66.00"),
        ("m-101", "40", "1002.20", "1008.80", "264.00"),
        ("m-102", "1", "2000.00", "2012.30", "12.30"),
        ("m-103", "1", "2.00", "2.50", "0.50"),
        ("m-104", "1", "300.00", "300.64", "0.64"),
        ("m-000", "40", "5000.00", "5024.00", "960.00"),
    ]
    assert [(row["start"]["at"][11:16], row["end"]["at"][11:16]) for row in rows[:4]] == [
        ("02:00", "02:30"),
        ("02:30", "04:00"),
        ("02:00", "03:30"),
        ("03:30", "04:00"),
    ]


def test_periods_come_from_the_intervals_whoever_holds_a_share(morning: Morning) -> None:
    rows = rows_of(run(morning, *SPAN, "--json"))
    periods = [{name: Decimal(kwh) for name, kwh in row["periods"].items()} for row in rows]
    assert periods[1] == {"flat": Decimal("88"), "valley": Decimal("176")}  # flat until 11:00, then valley
    assert periods[4] == {"flat": Decimal("0.32"), "valley": Decimal("0.32")}
    assert [row["quality"] for row in rows] == ["measured"] * 4 + ["estimated", "measured"]


def test_energy_of_steps_without_an_interval_stands_under_other(tmp_path: Path) -> None:
    morning = Morning(tmp_path, filled=False).write()
    result = run(morning, *SPAN, "--csv", tmp_path / "s.csv")
    assert result.exit_code == 0, result.output
    row = csv_rows(tmp_path / "s.csv")[4]
    assert (row["表号"], row["电量"], row["电量平"], row["电量谷"], row["电量其他"]) == (
        "m-104",
        "0.64",
        "0.24",
        "0.24",
        "0.16",
    )
    assert row["电量尖"] == ""


def test_a_revised_interval_counts_once(tmp_path: Path) -> None:
    def revise(morning: Morning) -> None:
        """m-000 is corrected at 11:00: the steps on both sides are written again."""
        morning.gap_seq = morning.values["m-000", TEN + 4 * STEP].seq
        morning.registers = lambda meter, slot: register(meter, slot) + (1 if (meter, slot) == ("m-000", 4) else 0)
        morning.reading("m-000", 4, quality="substituted", revision=1)
        for slot in (3, 4):
            morning.revise("m-000", slot)

    rows = rows_of(run(Morning(tmp_path, after={6: revise}).write(), *SPAN, "--json"))
    master = rows[-1]
    assert (master["kwh"], master["quality"]) == ("960.00", "substituted")
    assert {name: Decimal(kwh) for name, kwh in master["periods"].items()} == {
        "flat": Decimal(520),  # 13 × 40: the corrected count came before 11:00
        "valley": Decimal(440),
    }


def test_a_register_that_fell_is_no_consumption(tmp_path: Path) -> None:
    def fell(morning: Morning) -> None:
        morning.event("m-000", "register_fell", TEN + 5 * STEP + 3)

    morning = Morning(
        tmp_path,
        registers=lambda meter, slot: register(meter, slot) - (10 if meter == "m-000" and slot >= 5 else 0),
        after={5: fell},
    ).write()
    result = run(morning, *SPAN, "--json")
    master = rows_of(result)[-1]
    assert (master["kwh"], master["quality"], master["why"]) == (None, "missing", "register_fell")
    assert "m-000: register_fell" in result.stderr
    after = rows_of(run(morning, "--from", "2026-07-10 11:15", "--to", "2026-07-10 12:00", "--json"))[-1]
    assert after["kwh"] == "360.00"  # from the slot on at which the register was accepted again


def test_a_register_that_passed_through_zero_counts_on(tmp_path: Path) -> None:
    plan = ledger_park.plan([ledger_park.point("m")], digits=4)
    values = ledger_park.Values()
    values.run("m", TEN, STEP, ["9998.50", "1.25", "2.25"])
    split = Split(sheet_edges(plan, TEN, TEN + 2 * STEP))
    (subject, holdings), *_ = plan.holdings(TEN).items()
    for start_s, modulus in ((TEN + STEP, None), (TEN, Decimal(10_000))):
        body = interval(plan, subject, holdings, start_s, values, lambda _meter, _start, modulus=modulus: modulus)
        assert body is not None
        split.add(_json(body))
    (row,) = sheet_between(plan, [], TEN, TEN + 2 * STEP, values, split, {})
    assert (row.kwh, row.quality) == (Decimal("3.75"), "measured")
    assert sum(row.periods.values()) == Decimal("3.75")


def test_a_sub_meter_leaves_its_parents_row_the_whole_register(tmp_path: Path) -> None:
    places = [ledger_park.point("a"), ledger_park.point("b", parent="a")]
    plan = ledger_park.plan(places, [ledger_park.tenancy("a", "acme"), ledger_park.tenancy("b", "bolt")])
    values = ledger_park.Values()
    values.run("a", TEN, STEP, ["100.00", "107.00"])
    values.run("b", TEN, STEP, ["50.00", "52.00"])
    split = Split(sheet_edges(plan, TEN, TEN + STEP))
    for subject, holdings in plan.holdings(TEN).items():
        body = interval(plan, subject, holdings, TEN, values)
        assert body is not None
        split.add(_json(body))
    rows = sheet_between(plan, [], TEN, TEN + STEP, values, split, {})
    assert [(row.meter, row.kwh, sum(row.periods.values())) for row in rows] == [("a", 7, 7), ("b", 2, 2)]


def _json(body: Any) -> dict[str, Any]:
    head = Head("interval", "p", "g", "00", 0, "00", 0, None, "none", None, "", "00")
    found: dict[str, Any] = json.loads(encode(head, body))
    return found


def test_a_difference_below_zero_is_never_energy(tmp_path: Path) -> None:
    morning = Morning(tmp_path, registers=lambda m, slot: register(m, slot) - (900 if slot >= 5 else 0)).write()
    rows = rows_of(run(morning, *SPAN, "--json"))
    assert (rows[-1]["kwh"], rows[-1]["quality"], rows[-1]["why"]) == (None, "missing", "register_fell")


def test_the_csv_opens_in_a_spreadsheet_and_has_the_columns_of_the_field(morning: Morning, tmp_path: Path) -> None:
    assert run(morning, *SPAN, "--csv", tmp_path / "s.csv").exit_code == 0
    assert (tmp_path / "s.csv").read_bytes().startswith(b"\xef\xbb\xbf")
    rows = csv_rows(tmp_path / "s.csv")
    first = rows[0]
    assert (first["房号"], first["租户"], first["表号"], first["起"], first["止"]) == (
        *("1-101", "埃克米五金", "m-101"),
        *("2026-07-10 10:00", "2026-07-10 10:30"),
    )
    assert (first["起示数总"], first["止示数总"], first["止示数尖"], first["止示数深谷"]) == (
        "1000.00",
        "1002.20",
        "250.55",
        "",
    )
    assert (first["倍率"], first["电量"], first["电量平"], first["quality"]) == ("30", "66.00", "66.00", "measured")
    assert rows[2]["租户"] == "'=博尔特"  # no formula
    assert rows[4]["租户"] == "埃克米五金 (0.375), 科德 (0.625)"


def test_the_xlsx_holds_numbers_as_numbers_and_no_formula(morning: Morning, tmp_path: Path) -> None:
    assert run(morning, "--at", "2026-07-10 10:30", "--xlsx", tmp_path / "s.xlsx").exit_code == 0
    page = openpyxl.load_workbook(tmp_path / "s.xlsx").active
    head, acme, bolt, *_ = list(page.iter_rows())
    names = [cell.value for cell in head]
    assert names == [
        *("房号", "租户", "表号", "计量点", "抄表时间", "示数总", "示数尖", "示数峰", "示数平", "示数谷", "示数深谷"),
        *("倍率", "电量", "quality"),
    ]
    total = acme[names.index("示数总")]
    assert (total.value, total.number_format) == (1002.2, "0.00")
    assert acme[names.index("示数深谷")].value is None
    assert (bolt[1].value, bolt[1].data_type) == ("=博尔特", "s")


def test_without_a_configuration_file_tenants_are_ids(morning: Morning) -> None:
    result = CliRunner().invoke(
        cli, ["--lang", "zh", "sheet", "--data", str(morning.data), "--at", "2026-07-10T02:30:00Z"]
    )
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[0].split("\t") == [
        *("1-101", "acme", "m-101", "2026-07-10 10:30", "1002.20"),
        *("250.55", "250.55", "250.55", "250.55", "40", "实测"),
    ]


def test_our_own_sheet_does_not_differ(morning: Morning, tmp_path: Path) -> None:
    for suffix, when in (("csv", SPAN), ("xlsx", SPAN), ("csv", ("--at", "2026-07-10 10:05"))):
        path = tmp_path / f"s.{suffix}"
        assert run(morning, *when, f"--{suffix}", path).exit_code == 0
        result = run(morning, *when, "--compare", path, "--json")
        assert [row["differences"] for row in rows_of(result)] == [[]] * len(rows_of(result))


def test_rows_that_differ_are_marked_and_end_with_3(morning: Morning, tmp_path: Path) -> None:
    theirs = write_rows(
        tmp_path / "theirs.csv",
        ["2026年7月抄表记录"],
        ["序号", "房号", "表 号", "本次示数", "用电量"],
        ["1", "1-101", "202208310001", "5003.02", ""],  # the master's address; two counts too many
        ["2", "1-101", "63295", "1,002.21", "—"],  # an address that lost its zeros; one count
        ["3", "1-102", "", "2004.10", ""],
        ["", "", "合计", "", ""],
    )
    result = run(morning, "--at", "2026-07-10 10:15", "--compare", theirs, "--csv", tmp_path / "s.csv")
    assert result.exit_code == 3, result.output
    marked = {row["表号"]: row["差异"] for row in csv_rows(tmp_path / "s.csv")}
    assert marked == {
        "m-101": "示数总 1001.10 ≠ 1002.21",
        "m-102": "示数总 2002.05 ≠ 2004.10",
        "m-104": "not in the other sheet",
        "m-000": "示数总 5003.00 ≠ 5003.02",
    }
    assert f"{theirs}:6: fits no meter: 合计" in result.stderr


@pytest.mark.parametrize(
    ("total", "code"), [("1001.11", 0), ("1001.09", 0), ("1001.12", 3), ("1001", 0), ("1002", 0), ("1003", 3)]
)
def test_one_count_is_no_difference_nor_is_what_whole_kilowatt_hours_hide(
    morning: Morning, tmp_path: Path, total: str, code: int
) -> None:
    theirs = write_rows(tmp_path / "theirs.csv", ["meter", "reading"], ["m-101", total])
    assert run(morning, "--at", "2026-07-10 10:15", "--compare", theirs).exit_code == code


def test_whole_kilowatt_hours_that_are_one_off_differ(morning: Morning, tmp_path: Path) -> None:
    theirs = write_rows(tmp_path / "theirs.csv", ["表号", "示数"], ["m-101", "1001"], ["m-104", "300"])
    result = run(morning, "--at", "2026-07-10 10:00", "--compare", theirs, "--json")
    differences = [row["differences"] for row in json.loads(result.stdout)["rows"]]
    assert differences[0] == [{"name": "total", "ours": "1000.00", "theirs": "1001"}]
    assert differences[2] == []


def test_a_meter_that_stands_once_in_their_sheet_is_compared_as_a_whole(morning: Morning, tmp_path: Path) -> None:
    theirs = write_rows(
        tmp_path / "theirs.csv", ["表号", "上月示数", "本月示数", "电量"], ["m-101", "1000.00", "1008.80", "352.00"]
    )
    result = run(morning, *SPAN, "--compare", theirs, "--json")
    assert result.exit_code == 3
    differences = [row["differences"] for row in json.loads(result.stdout)["rows"]]
    # the whole at ×40, as who forgets the change reckons; 66 + 264 is right
    assert differences[:3] == [[], [{"name": "kwh", "ours": "330.00", "theirs": "352.00"}], None]


def test_a_wrong_multiplier_is_found(morning: Morning, tmp_path: Path) -> None:
    theirs = write_rows(tmp_path / "theirs.csv", ["表号", "倍率"], ["m-000", "4"], ["m-104", "1.0"])
    assert run(morning, *SPAN, "--compare", theirs).exit_code == 3
    right = write_rows(tmp_path / "right.csv", ["表号", "倍率"], ["m-000", "40"], ["m-104", "1.0"])
    assert run(morning, *SPAN, "--compare", right).exit_code == 0


def test_a_figure_where_we_have_none_differs(tmp_path: Path) -> None:
    morning = Morning(tmp_path, filled=False).write()
    theirs = write_rows(tmp_path / "theirs.csv", ["表号", "示数"], ["m-104", "300.32"])
    result = run(morning, "--at", "2026-07-10 11:00", "--compare", theirs)
    assert result.exit_code == 3
    assert "示数总 none ≠ 300.32" in result.stdout


def test_faults_of_their_sheet_are_named_by_place_all_at_once(morning: Morning, tmp_path: Path) -> None:
    theirs = write_rows(tmp_path / "t.csv", ["表号", "示数"], ["m-101", "l00"], ["m-102", "1O2"])
    result = run(morning, "--at", "2026-07-10 10:15", "--compare", theirs)
    assert result.exit_code == 78
    assert f"{theirs}:2:2: total: 'l00' is no number" in result.stderr
    assert f"{theirs}:3:2: total: '1O2' is no number" in result.stderr
    headless = write_rows(tmp_path / "h.csv", ["a", "b"], ["c", "d"])
    assert run(morning, "--at", "2026-07-10 10:15", "--compare", headless).exit_code == 78


def test_a_date_before_the_store_begins_is_said(morning: Morning) -> None:
    for when in (("--at", "2026-07-01"), ("--from", "2026-07-01", "--to", "2026-07-10 12:00")):
        result = run(morning, *when)
        assert result.exit_code == 1, when
        assert "the first reading is of 2026-07-10 10:00" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--from", "2026-07-10"),
        ("--at", "2026-07-10", *SPAN),
        ("--from", "2026-07-10 12:00", "--to", "2026-07-10 10:00"),
        ("--from", "2026-07-10 10:01", "--to", "2026-07-10 12:00"),
        ("--at", "yesterday"),
        ("--at", "0001-01-01"),
        ("--at", "9999-12-31 24:00"),
        (*SPAN, "--csv", "a.csv", "--xlsx", "b.xlsx"),
    ],
)
def test_wrong_usage_ends_with_2(morning: Morning, arguments: tuple[str, ...]) -> None:
    assert run(morning, *arguments).exit_code == 2


def test_no_store_is_74(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["sheet", "--data", str(tmp_path), "--at", "2026-07-10"])
    assert result.exit_code == 74
