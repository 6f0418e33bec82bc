"""Several billing periods with refunds and a re-check; published prices, direct supply, the park's own choices."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import fed_store
import openpyxl
import pytest
from click.testing import CliRunner
from paper_park import Papers, Park

from agent.cli import cli
from audit.advice import REDUCED_FROM, direct_supply, park_advice, shift_saves
from audit.amounts import rounded, shown
from audit.bill import Bill, BillLine
from audit.price_list import load_prices, of_month
from audit.refunds import Owed, Refund, recheck, set_against

PRICES = """2026年代理购电价格表
月份,用电分类,电压等级,电度用电价格,尖峰,高峰,平段,低谷,需量电价,容量电价
2026-06,单一制,不满1千伏,0.7200,1.30,1.20,0.72,0.39,,
2026-06,单一制,1-10（20）千伏,0.7000,1.27,1.17,0.70,0.38,,
2026-06,两部制,1-10（20）千伏,0.6500,1.18,1.08,0.65,0.35,48.0,30.0
"""


@pytest.fixture(scope="module")
def park(tmp_path_factory: pytest.TempPathFactory) -> Park:
    """Six days on both sides of a month's end."""
    return fed_store.make(tmp_path_factory.mktemp("fed") / "store", date(2026, 6, 28), 6, fixed="300.00")


def files(park: Park, path: Path, *, over: str = "0") -> tuple[list[str], list[Papers]]:
    """Papers of three days in June and three in July; t-bolt pays `over` more in each."""
    both = [Papers(park, 0, 3), Papers(park, 3, 6)]
    words = []
    for n, papers in enumerate(both):
        papers.yuan["t-bolt"] += Fraction(over)
        words += papers.write(path, str(n))
    return words, both


def test_two_periods_are_settled_each_for_itself_and_refunds_set_against_them(park: Park, tmp_path: Path) -> None:
    words, _ = files(park, tmp_path, over="60.00")
    paid = tmp_path / "refunds.csv"
    paid.write_text(
        "租户,所属月份,退费金额,退费日期\nt-bolt,2026-06,60.00元,2026-09-30\nt-bolt,,20,2026/10/8\n丁,,5,2026-10-08\n合计,,85,\n"
    )
    series = park.report(
        words,
        tmp_path,
        *("--common", "shared", "--no-verify", "--refunds", str(paid), "--deadline", "2026-09-30"),
        *("--tables", str(tmp_path / "t.xlsx")),
    )["series"]
    assert [one["from"] for one in series["periods"]] == ["2026-06-28", "2026-07-01"]
    assert [one["ordered_yuan"] for one in series["periods"]] == ["60.00", "60.00"]
    bolt = next(tenant for tenant in series["tenants"] if tenant["tenant"] == "t-bolt")
    assert [one["open_yuan"] for one in bolt["periods"]] == ["0.00", "40.00"]
    assert [one["refunded_yuan"] for one in bolt["periods"]] == ["60.00", "20.00"]
    assert (bolt["recheck"], series["recheck"]) == ("open", "open")
    assert (series["ordered_yuan"], series["refunded_yuan"], series["open_yuan"]) == ("120.00", "80.00", "40.00")
    assert series["unmatched_refunds"] == [{"row": 4, "who": "丁", "yuan": "5.00"}]
    book = openpyxl.load_workbook(tmp_path / "t.xlsx")
    assert book.sheetnames == ["租户", "账单", "损耗", "各月与退费", "转改直", "未核对"]
    opened = [row[8] for row in book["各月与退费"].iter_rows(min_row=2, values_only=True) if row[0] == "t-bolt"]
    assert opened == ["0.00", "40.00"]
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    for word in ("各月与退费", "退费清单", "应退合计 120.00 元", "未退清"):
        assert word in page


def test_a_fair_series_orders_nothing(park: Park, tmp_path: Path) -> None:
    words, both = files(park, tmp_path)
    made = park.report(words, tmp_path, "--common", "shared", "--no-verify")
    series = made["series"]
    assert {row["colour"] for row in made["tenants"]} == {"green"}
    assert (series["ordered_yuan"], series["recheck"], series["deadline"]) == ("0.00", "nothing", None)
    charged = [shown(sum(papers.fair.values(), Fraction())) for papers in both]
    assert [one["charged_yuan"] for one in series["periods"]] == charged


def test_the_series_counts_who_was_converted_to_direct_supply(park: Park, tmp_path: Path) -> None:
    words, _ = files(park, tmp_path)
    notes = tmp_path / "n.json"
    tenants = {"t-bolt": {"declared_kw": "30", "own_circuit": True, "converted_on": "2026-07-01"}}
    notes.write_text(json.dumps({"common": "shared", "tenants": tenants}), encoding="utf-8")
    series = park.report(words, tmp_path, "--no-verify", "--notes", str(notes))["series"]
    assert [(one["ready"], one["converted"]) for one in series["periods"]] == [(1, 0), (0, 1)]
    notes.write_text(notes.read_text().replace("2026-07-01", "July"), encoding="utf-8")
    result = CliRunner().invoke(cli, ["audit", "report", "--park", "p", "--notes", str(notes)])
    assert (result.exit_code, "converted_on" in result.output) == (78, True)


def test_a_charge_over_both_periods_is_put_into_neither_and_named(park: Park, tmp_path: Path) -> None:
    words, _ = files(park, tmp_path)
    both = Papers(park, 0, 6)
    words += both.write(tmp_path, "both")[2:]
    series = park.report(words, tmp_path, "--common", "shared", "--no-verify")["series"]
    assert [row["who"] for row in series["unplaced"]] == ["t-acme", "t-bolt", "t-cord"]
    assert series["ordered_yuan"] == "0.00"


def test_a_correction_belongs_to_the_users_of_its_month(park: Park, tmp_path: Path) -> None:
    words, _ = files(park, tmp_path)
    bill = Path(words[5])  # July's
    text = bill.read_text(encoding="utf-8")
    assert text.startswith("账期起")
    head, *rows = text.splitlines()
    correction = "2026-07-01,2026-07-04,退补,六月退补,,,,,-90.00,是,2026-06"
    rows = [f"{head},所属月份", *(f"{row}," for row in rows), correction]
    bill.write_text("\n".join(rows), encoding="utf-8")
    alone = park.report(words[4:], tmp_path, "--common", "shared", "--no-verify")
    assert {"code": "correction_elsewhere", "detail": "2026-06 -90.00"} in alone["unchecked"]
    assert Fraction(alone["figures"]["passable_yuan"]) == park.passable(3, 6), "not these users' money"
    assert alone["verdict"]["reasons"][0] == "CORRECTION_UNRESOLVED", "green without it, red with it"
    june, july = park.report(words, tmp_path, "--common", "shared", "--no-verify")["series"]["periods"]
    assert Fraction(june["passable_yuan"]) == park.passable(0, 3) - 90
    assert Fraction(july["passable_yuan"]) == park.passable(3, 6)
    assert june["reasons"][0] == "CAP_EXCEEDED", "the park kept what the grid gave back"
    used = {meter: sum(park.energy(meter, 0, 3).values(), Fraction()) for meter in ("m-101", "m-102", "m-103", "m-191")}
    share = 1 - used["m-191"] / sum(used.values(), Fraction())  # the rest of it is the operator's own
    assert abs(Fraction(june["ordered_yuan"]) - 90 * share) < Fraction(2, 100)
    assert july["ordered_yuan"] == "0.00"


def owed(*overs: str) -> list[Owed]:
    months = [(date(2026, 5 + n, 1), date(2026, 6 + n, 1)) for n in range(len(overs))]
    return [Owed(days, Fraction(over)) for days, over in zip(months, overs, strict=True)]


def refund(yuan: str, day: str, month: int | None = None) -> Refund:
    return Refund(1, "x", Fraction(yuan), date.fromisoformat(day), None if month is None else date(2026, month, 1))


@pytest.mark.parametrize(
    ("refunds", "left", "opened", "said"),
    [
        ([], "0", ["10", "20"], "open"),
        ([refund("30", "2026-09-01")], "0", ["0", "0"], "settled"),
        ([refund("30", "2026-10-02")], "0", ["0", "0"], "late"),
        ([refund("20", "2026-09-01", 6), refund("12", "2026-09-02", 5)], "2", ["0", "0"], "settled"),
        ([refund("15", "2026-09-01")], "0", ["0", "15"], "open"),
        ([refund("29.50", "2026-09-01")], "0", ["0", "1/2"], "settled"),
    ],
)
def test_refunds_pay_the_month_they_name_or_the_oldest(
    refunds: list[Refund], left: str, opened: list[str], said: str
) -> None:
    due = owed("10", "20")
    assert set_against(due, refunds) == Fraction(left)
    assert [one.open for one in due] == [Fraction(text) for text in opened]
    assert recheck(due, date(2026, 9, 30), Fraction(1)) == said
    assert recheck(owed("0.40", "1"), None, Fraction(1)) == "nothing"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("租户,退费金额,退费日期\n甲,x,2026-09-01\n", "2: 退费金额"),
        ("租户,退费金额,退费日期\n甲,-3,2026-09-01\n", "2: 退费金额: negative"),
        ("租户,退费金额,退费日期\n甲,3,9月1日\n", "2: 退费日期"),
        ("租户,退费金额,退费日期\n,3,2026-09-01\n", "2: 租户: missing"),
        ("租户,所属月份,退费金额,退费日期\n甲,六月,3,2026-09-01\n", "2: 所属月份"),
    ],
)
def test_a_refund_that_cannot_be_read_is_refused_with_its_row(tmp_path: Path, text: str, fault: str) -> None:
    path = tmp_path / "f.csv"
    path.write_text(text, encoding="gb18030")
    result = CliRunner().invoke(cli, ["audit", "report", "--park", "p", "--refunds", str(path)])
    assert result.exit_code == 78
    assert f"f.csv: {fault}" in result.output


def prices(tmp_path: Path, text: str = PRICES) -> list[Any]:
    path = tmp_path / "p.csv"
    path.write_text(text, encoding="utf-8-sig")
    return load_prices(path)


def test_a_published_table_is_read_and_a_month_or_class_it_lacks_gives_no_figure(tmp_path: Path) -> None:
    table = prices(tmp_path)
    low = of_month(table, date(2026, 6, 28), "single_part", None)
    assert low is not None
    assert (low.flat_rate, low.periods["sharp"], low.demand) == (Fraction("0.72"), Fraction("1.30"), None)
    assert of_month(table, date(2026, 7, 1), "single_part", None) is None
    kwh = {"peak": Fraction(100), "valley": Fraction(50)}
    assert direct_supply(table, date(2026, 6, 1), kwh) == {"tou_yuan": "139.50", "flat_yuan": "108.00"}
    assert direct_supply(table, date(2026, 6, 1), {"deep_valley": Fraction(1)}) == {
        "tou_yuan": None,
        "flat_yuan": "0.72",
    }
    assert direct_supply(table, date(2026, 7, 1), kwh) is None


def test_shifting_a_tenth_of_the_dear_energy_is_worth_the_difference_to_the_valley() -> None:
    bought = {"sharp": Fraction(12, 10), "peak": Fraction(1), "valley": Fraction(4, 10)}
    kwh = {"sharp": Fraction(100), "peak": Fraction(200), "flat": Fraction(999)}
    assert shift_saves(bought, kwh) == 10 * Fraction(8, 10) + 20 * Fraction(6, 10)
    assert shift_saves({"flat": Fraction(1)}, kwh) is None


def bill(kwh: str, kva: str) -> Bill:
    def line(name: str, quantity: str, unit: str, period: str | None) -> BillLine:
        return BillLine(2, "", name, name, period, Fraction(quantity), unit, None, Fraction(1), True, None, True)

    lines = (line("电度", kwh, "kwh", "flat"), line("容量", kva, "kva", None))
    return Bill(lines, (date(2026, 6, 1), date(2026, 7, 1)), None)


@pytest.mark.parametrize(
    ("kva", "kw", "kwh", "best", "saves"),
    [
        ("200", "100", "20000", "demand", 200 * 30 - 100 * 48),
        ("200", "150", "20000", "capacity", 150 * 48 - 200 * 30),
        ("200", "130", str(REDUCED_FROM * 200), "demand", rounded(200 * 30 - Fraction(130 * 48 * 9, 10))),
    ],
)
def test_capacity_or_demand_is_computed_from_what_was_metered(
    tmp_path: Path, kva: str, kw: str, kwh: str, best: str, saves: Fraction
) -> None:
    said = {"voltage": "1-10(20)千伏"}
    paper = bill(kwh, kva)
    choices = park_advice(prices(tmp_path), paper, said, {date(2026, 6, 1): Decimal(kw)}, paper.kwh())
    by_name = {one["choice"]: one for one in choices}
    assert by_name["capacity_or_demand"]["options"][0]["name"] == best
    assert Fraction(by_name["capacity_or_demand"]["saves_yuan"]) == saves
    parts = {option["name"]: Fraction(option["yuan"]) for option in by_name["one_or_two_parts"]["options"]}
    assert parts["single_part"] == Fraction(kwh) * Fraction("0.70")
    assert by_name["one_or_two_parts"]["free"] is True
    assert by_name["tou_or_flat"]["saves_yuan"] == "0.00", "all of it in the flat period"
    assert park_advice(prices(tmp_path), paper, {}, {}, paper.kwh()) == [], "no voltage, no prices"


def test_the_report_compares_with_direct_supply_and_says_what_a_choice_would_save(park: Park, tmp_path: Path) -> None:
    table, notes = tmp_path / "p.csv", tmp_path / "n.json"
    table.write_text(PRICES, encoding="gb18030")
    tenants = {
        "t-acme": {"declared_kw": "160", "own_circuit": True},
        "t-bolt": {"declared_kw": "30", "own_circuit": True},
        "t-cord": {"own_circuit": True},
    }
    said = {"common": "shared", "park": {"voltage": "1-10（20）千伏"}, "tenants": tenants}
    notes.write_text(json.dumps(said), encoding="utf-8")
    words = Papers(park, 0, 3).write(tmp_path)
    made = park.report(words, tmp_path, "--no-verify", "--prices", str(table), "--notes", str(notes))
    row = made["tenants"][1]
    energy = park.energy("m-102", 0, 3)
    rates = {"peak": "1.20", "flat": "0.72", "valley": "0.39"}
    assert Fraction(row["direct_tou_yuan"]) == rounded(
        sum((energy[p] * Fraction(rates[p]) for p in energy), Fraction())
    )
    assert {one["choice"] for one in made["advice"]} == {"capacity_or_demand", "one_or_two_parts", "tou_or_flat"}
    classes = {entry["tenant"]: (entry["class"], entry["reasons"]) for entry in made["conversion"]}
    assert classes == {
        "t-acme": ("not_ready", ["declared_160_kw"]),
        "t-bolt": ("ready", []),
        "t-cord": ("unknown", ["months_lacking"]),
    }
    assert made["conversion"][0]["demands_kw"] == {"2026-06": "40.00"}
    codes = {entry["code"] for entry in made["unchecked"]}
    assert "published_price" not in codes
    assert "twelve_demands" in codes
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    for word in ("比价与用电建议", "按需量", "可省", "直供"):
        assert word in page


def test_notes_with_a_capacity_that_is_no_number_are_refused(tmp_path: Path) -> None:
    notes = tmp_path / "n.json"
    notes.write_text('{"park": {"kva": "many"}}')
    result = CliRunner().invoke(cli, ["audit", "report", "--park", "p", "--notes", str(notes)])
    assert result.exit_code == 78
    assert "park.kva" in result.output
