"""The report from papers alone, its reason codes, and its HTML."""

from __future__ import annotations

import json
import re
import zipfile
from fractions import Fraction
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from click.testing import CliRunner

from agent.cli import cli
from audit.markup import REASONS, ParkFacts, TenantFacts, Thresholds, Verdict, park_verdict, tenant_verdict

LIMITS = Thresholds()
BILL = """账期起,账期止,类别,项目,时段,数量,单位,单价,金额,含税
2026-07-01,2026-07-31,购电,电度电费,平段,1000,kWh,0.70,700.00,是
2026-07-01,2026-07-31,容量,容量电费,,10,kVA,30.00,300.00,是
2026-07-01,2026-07-31,违约金,违约金,,,,,50.00,是
合计,,,,,,,,1050.00,
"""
CHARGES = """租户,起,止,电量,电费,服务费,水费,含税
甲<b>,2026-07-01,2026-07-31,400,500.00,,30.00,是
乙,2026-07-01,2026-07-31,500,490.00,,,是
"""


def report(tmp_path: Path, charges: str = CHARGES, *arguments: str) -> tuple[dict[str, Any], str]:
    bill, paper, out = tmp_path / "b.csv", tmp_path / "c.csv", tmp_path / "r.html"
    bill.write_text(BILL, encoding="utf-8")
    paper.write_text(charges, encoding="gb18030")
    words = ["--park", "p-1", "--bill", str(bill), "--charges", str(paper), "--out", str(out), "--json", *arguments]
    result = CliRunner().invoke(cli, ["--lang", "zh", "audit", "report", *words])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout), out.read_text(encoding="utf-8")


def test_documents_alone_are_never_green_and_name_what_was_not_checked(tmp_path: Path) -> None:
    made, _ = report(tmp_path)
    assert (made["verdict"]["colour"], made["verdict"]["reasons"]) == ("grey", ["POINTS_MISSING"])
    assert made["official"] is False
    codes = [entry["code"] for entry in made["unchecked"]]
    assert {"no_evidence", "no_energy_check", "no_losses", "common_unknown", "fees_elsewhere", "draft_rule"} <= set(
        codes
    )
    assert made["figures"]["passable_yuan"] == "1000.00"


def test_a_sum_above_the_passable_bill_is_red_without_any_meter(tmp_path: Path) -> None:
    made, _ = report(tmp_path, CHARGES.replace("490.00", "502.01"))
    assert (made["verdict"]["colour"], made["verdict"]["reasons"]) == ("red", ["CAP_EXCEEDED_LITERAL"])
    assert made["figures"]["over_bill_yuan"] == "2.01"


def test_a_fee_on_the_slip_is_red_and_water_is_only_shown(tmp_path: Path) -> None:
    made, _ = report(tmp_path, CHARGES.replace("500.00,,", "400.00,12.00,"))
    assert (made["verdict"]["colour"], made["verdict"]["reasons"]) == ("red", ["EXTRA_FEE"])
    fees = [(fee["label"], fee["in_bill"], fee["extra"]) for fee in made["tenants"][0]["fees"]]
    assert fees == [("服务费", True, True), ("水费", False, False)]
    assert made["figures"]["charged_yuan"] == "902.00"


def test_water_that_stands_in_the_electricity_bill_counts_once_confirmed(tmp_path: Path) -> None:
    notes = tmp_path / "n.json"
    notes.write_text(json.dumps({"fees": {"水费": True}, "common": "shared"}), encoding="utf-8")
    made, _ = report(tmp_path, CHARGES, "--notes", str(notes))
    assert made["verdict"]["reasons"][0] == "EXTRA_FEE"
    assert made["figures"]["common_stated"] is True


def test_charges_of_other_days_are_grey_and_never_red_on_the_total(tmp_path: Path) -> None:
    shifted = CHARGES.replace("2026-07-01,2026-07-31", "2026-06-25,2026-07-25").replace("490.00", "900.00")
    made, _ = report(tmp_path, shifted)
    assert made["verdict"]["colour"] == "grey"
    assert "PERIOD_MISMATCH" in made["verdict"]["reasons"]


def test_every_file_with_faults_is_named_at_once(tmp_path: Path) -> None:
    (tmp_path / "b.csv").write_text(BILL.replace("700.00", "7x"), encoding="utf-8")
    (tmp_path / "c.csv").write_text(CHARGES.replace("490.00", "#REF!"), encoding="utf-8")
    words = ["--park", "p-1", "--bill", str(tmp_path / "b.csv"), "--charges", str(tmp_path / "c.csv")]
    result = CliRunner().invoke(cli, ["audit", "report", *words])
    assert result.exit_code == 78
    assert "b.csv: 2: " in result.output
    assert "c.csv: 3: " in result.output


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_page_stands_alone_and_trusts_no_name(tmp_path: Path, language: str) -> None:
    report(tmp_path)
    words = ["--bill", str(tmp_path / "b.csv"), "--charges", str(tmp_path / "c.csv"), "--out", str(tmp_path / "p.html")]
    assert CliRunner().invoke(cli, ["--lang", language, "audit", "report", "--park", "p-1", *words]).exit_code == 0
    page = (tmp_path / "p.html").read_text(encoding="utf-8")
    assert "征求意见稿" in page
    assert "转供电费码" in page
    assert not re.search(r"<script|<link|<img|https?://|@import|url\(", page)
    assert "甲<b>" not in page
    assert "甲&lt;b&gt;" in page


def test_a_slip_without_meters_or_days_says_what_is_not_known(tmp_path: Path) -> None:
    paper = tmp_path / "c.csv"
    paper.write_text("租户,电费\n甲<b>,5.00\n", encoding="utf-8")
    words = ["--park", "p-1", "--charges", str(paper), "--slips", str(tmp_path / "out")]
    assert CliRunner().invoke(cli, ["--lang", "zh", "audit", "report", *words]).exit_code == 0
    page = (tmp_path / "out" / "slips.html").read_text(encoding="utf-8")
    assert "日期未知" in page
    assert "None" not in page
    assert "甲&lt;b&gt;" in page
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["slips.html"]


def test_no_name_becomes_a_formula_in_a_table(tmp_path: Path) -> None:
    charges = CHARGES.replace("乙,", "=HYPERLINK(1),").replace("490.00", "-4.50")
    for name in ("t.xlsx", "t.csv"):
        report(tmp_path, charges, "--tables", str(tmp_path / name))
    sheet = openpyxl.load_workbook(tmp_path / "t.xlsx").worksheets[0]
    assert [cell.data_type for cell in sheet["A"]] == ["s"] * 3
    assert sheet["H3"].value == "-4.50"
    assert "\n'=HYPERLINK(1)," in (tmp_path / "t.csv").read_text(encoding="utf-8-sig")


def test_tables_and_the_bundle_hold_the_same_figures(tmp_path: Path) -> None:
    made, page = report(tmp_path, CHARGES, "--tables", str(tmp_path / "t.xlsx"), "--zip", str(tmp_path / "z.zip"))
    sheet = openpyxl.load_workbook(tmp_path / "t.xlsx").worksheets[0]
    charged = [row[7] for row in sheet.iter_rows(min_row=2, values_only=True)]
    assert charged == [row["charged_yuan"] for row in made["tenants"]]
    with zipfile.ZipFile(tmp_path / "z.zip") as archive:
        assert archive.read("report.html").decode() == page
        assert json.loads(archive.read("report.json")) == made
        assert archive.read("papers/2-c.csv") == (tmp_path / "c.csv").read_bytes()


def tenant(**facts: Any) -> Verdict:
    usual: dict[str, Any] = {
        "extra_fee": False,
        "charged": Fraction(100),
        "allowed": Fraction(100),
        "estimated_ratio": Fraction(),
        "missing": "",
    }
    return tenant_verdict(TenantFacts(**{**usual, **facts}), LIMITS)


def park(*tenants: Verdict, **facts: Any) -> Verdict:
    usual: dict[str, Any] = {
        "charged": Fraction(100),
        "passable": Fraction(100),
        "cap": Fraction(100),
        "loss_rate": Fraction(3, 100),
        "estimated_ratio": Fraction(),
        "missing": (),
    }
    return park_verdict(ParkFacts(**{**usual, **facts}), tenants or (tenant(),), LIMITS)


def test_reasons_of_a_tenant_around_the_method() -> None:
    assert tenant() == ("green", ("OK",))
    assert tenant(hints=("KWH_MISMATCH",)) == ("yellow", ("KWH_MISMATCH",))
    assert tenant(hints=("KWH_MISMATCH",), charged=Fraction(104)) == ("yellow", ("TENANT_OVER", "KWH_MISMATCH"))
    assert tenant(doubts=("CHARGE_MISSING",), charged=Fraction()) == ("grey", ("CHARGE_MISSING",))
    assert tenant(doubts=("METER_EXCHANGED",), charged=Fraction(200)) == ("grey", ("METER_EXCHANGED",))
    assert tenant(doubts=("READINGS_MISSING",), extra_fee=True) == ("red", ("EXTRA_FEE",))


def test_reasons_of_a_park_around_the_method() -> None:
    assert park() == ("green", ("OK",))
    for gap in ("CHARGE_MISSING", "CHARGE_UNMATCHED", "TAX_UNKNOWN", "EVIDENCE_BAD"):
        assert park(gaps=(gap,)) == ("grey", (gap,)), "never green with it"
        assert park(gaps=(gap,), charged=Fraction(90), cap=Fraction(88)) == ("yellow", ("CAP_EXCEEDED", gap))
        assert park(gaps=(gap,), charged=Fraction(102)) == ("red", ("CAP_EXCEEDED_LITERAL",))
    shifted = {"comparable": False, "doubts": ("PERIOD_MISMATCH",)}
    assert park(charged=Fraction(200), **shifted) == ("grey", ("PERIOD_MISMATCH",))
    assert park(tenant(extra_fee=True), **shifted) == ("red", ("EXTRA_FEE",))
    assert park(doubts=("READINGS_MISSING",)) == ("grey", ("READINGS_MISSING",))
    exchanged = tenant(doubts=("METER_EXCHANGED",))
    assert park(exchanged) == ("yellow", ("TENANT_GREY",))
    assert park(tenant(hints=("KWH_MISMATCH",))) == ("yellow", ("KWH_MISMATCH",))
    assert all(zh and en for zh, en in REASONS.values())


def test_a_settlement_case_is_a_bill_and_charges_too(tmp_path: Path) -> None:
    inputs = {
        "bill_items": [{"code": "energy_flat", "period": "flat", "qty_kwh": "10", "rate": "0.70", "yuan": "7.00"}],
        "charges": [
            {
                "tenant": "T1",
                "electricity_yuan": "7.50",
                "extra_fees": [{"label": "服务费", "yuan": "1.00", "in_electricity_bill": True}],
            }
        ],
    }
    path = tmp_path / "case.json"
    path.write_text(json.dumps({"inputs": inputs}), encoding="utf-8")
    words = ["--park", "p-1", "--bill", str(path), "--charges", str(path), "--json"]
    result = CliRunner().invoke(cli, ["audit", "report", *words])
    assert result.exit_code == 0, result.output
    made = json.loads(result.stdout)
    assert (made["verdict"]["colour"], made["verdict"]["reasons"]) == ("red", ["EXTRA_FEE", "CAP_EXCEEDED_LITERAL"])
    assert (made["figures"]["charged_yuan"], made["figures"]["over_bill_yuan"]) == ("8.50", "1.50")


RULE = """rule:
  id: zj-2027
  title: 浙江省转供电价格管理办法
  number: 浙发改价格〔2027〕1号
  status: adopted
  valid_from: 2026-01-01
  says: 不得加收其他费用
"""


def test_an_adopted_rule_takes_the_draft_mark_off_and_its_validity_is_checked(tmp_path: Path) -> None:
    rule = tmp_path / "rule.yaml"
    rule.write_text(RULE, encoding="utf-8")
    made, page = report(tmp_path, CHARGES, "--rule", str(rule))
    assert (made["rule"]["number"], made["rule"]["status"]) == ("浙发改价格〔2027〕1号", "adopted")
    assert "征求意见稿" not in page
    assert "浙江省转供电价格管理办法" in page
    assert "不是官方“转供电费码”" in page
    codes = {entry["code"] for entry in made["unchecked"]}
    assert not codes & {"draft_rule", "rule_not_valid"}
    rule.write_text(RULE.replace("2026-01-01", "2026-07-15"), encoding="utf-8")
    made, _ = report(tmp_path, CHARGES, "--rule", str(rule))
    assert {"code": "rule_not_valid", "detail": "浙江省转供电价格管理办法"} in made["unchecked"]


@pytest.mark.parametrize(
    ("was", "becomes", "fault"),
    [
        ("status: adopted", "status: maybe", "rule.status: must be draft or adopted"),
        ("2026-01-01", "soon", "rule.valid_from"),
        ("  title: 浙江省转供电价格管理办法\n", "", "rule.title: missing"),
        ("  says", "  sais", "rule.sais: unknown"),
        ("rule:", "rules:", "rule: missing"),
        ("id: zj-2027", "id: [zj]", "rule.id: must be text"),
    ],
)
def test_a_rule_that_cannot_be_read_is_refused(tmp_path: Path, was: str, becomes: str, fault: str) -> None:
    rule = tmp_path / "rule.yaml"
    assert was in RULE
    rule.write_text(RULE.replace(was, becomes), encoding="utf-8")
    result = CliRunner().invoke(cli, ["audit", "report", "--park", "p-1", "--rule", str(rule)])
    assert result.exit_code == 78
    assert fault in result.output


def test_another_price_class_on_the_bill_is_told(tmp_path: Path) -> None:
    made, _ = report(tmp_path)
    assert "price_classes" not in {entry["code"] for entry in made["unchecked"]}
    bill = tmp_path / "b.csv"
    bill.write_text(BILL.replace("电度电费,平段", "居民电费（定比30%）,平段"), encoding="utf-8")
    words = ["--park", "p-1", "--bill", str(bill), "--charges", str(tmp_path / "c.csv"), "--json"]
    again = json.loads(CliRunner().invoke(cli, ["audit", "report", *words]).stdout)
    assert {"code": "price_classes", "detail": "居民电费（定比30%）"} in again["unchecked"]
