"""Charges as parks send them: encodings, titles, merged cells, two-line headers, totals, fees, damaged addresses."""

from __future__ import annotations

import io
import json
import pathlib
from datetime import date
from fractions import Fraction
from typing import Any

import jsonschema
import openpyxl
import pytest

from audit.bill import read_lines
from audit.charges import Charges, read_rows
from audit.names import Matcher, Notes, load_notes, save_unmatched
from audit.papers import PaperError, read_bill, read_charges
from audit.templates import SCHEMAS
from audit.written import parse_address, parse_date, parse_span, parse_written

PARK_SHEET = """2026年7月电费缴费通知单（含税）,,,,,,,,,
单位：元,,,,,,,,,
序号,租户名称,表号,上月示数,本月示数,倍率,用电量(度),单价（元/度）,服务费,应收合计
1,安砧五金,202208310101,"1,000.00",1200.5,40,8020,1.10,100.00,8922.00
2,白桦木业,31 0102,0,50,30,"1,500",1.1,,"1,650.00元"
小计,,,,,,9520,,,
3,雪松电子,202208310103,10,20,,10,1.1,-,¥11.00
合计,,,,,,9530,,100,10583.00
制表人：王,,,,,,,,,
"""


def charges(tmp_path: pathlib.Path, text: str, encoding: str = "utf-8") -> Charges:
    path = tmp_path / "c.csv"
    path.write_bytes(text.encode(encoding))
    return read_rows(read_charges(path))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_a_parks_own_sheet_is_read_in_any_encoding(tmp_path: pathlib.Path, encoding: str) -> None:
    found = charges(tmp_path, PARK_SHEET.replace("31 0102", "310102"), encoding)
    first, second, third = found.rows
    assert (first.who, first.kwh, first.yuan) == ("安砧五金", 8020, 8822)
    assert [(fee.label, fee.yuan, fee.kind, fee.in_bill) for fee in first.fees] == [("服务费", 100, "extra", True)]
    assert (second.meter, second.yuan) == ("000000310102", 1650)
    assert (third.row, third.yuan) == (7, 11)
    assert {row.tax for row in found.rows} == {True}
    assert {row.days for row in found.rows} == {(date(2026, 7, 1), date(2026, 8, 1))}
    codes = [(finding.row, finding.code) for finding in found.findings]
    assert codes == [(5, "ADDRESS_PADDED")]
    assert found.skipped == ((9, "制表人：王"),)
    assert found.unread == ()


def test_rows_that_cannot_be_read_are_all_refused_with_their_numbers(tmp_path: pathlib.Path) -> None:
    text = "租户,上期示数,本期示数,电量,单价,电费\n甲,5,x,1,1,1\n,1,2,1,1,1\n乙,9,8,,1,\n丙,,,,,#REF!\n丁,,,,,\n"
    with pytest.raises(PaperError) as raised:
        charges(tmp_path, text)
    assert [fault.split(":")[0] for fault in str(raised.value).splitlines()] == ["2", "3", "4", "5", "5", "6"]
    assert "2: end: 'x' is no number" in str(raised.value)


def test_a_damaged_address_is_refused_unless_the_row_names_its_tenant(tmp_path: pathlib.Path) -> None:
    with pytest.raises(PaperError, match=r"2: 表号: .* was damaged by a spreadsheet"):
        charges(tmp_path, "表号,电量,电费\n2.02208E+11,10,11\n")
    found = charges(tmp_path, "租户,表号,电量,电费\n甲,2.02208E+11,10,11\n")
    assert [finding.code for finding in found.findings] == ["ADDRESS_DAMAGED"]


def test_totals_are_checked_and_not_added(tmp_path: pathlib.Path) -> None:
    text = "户名,电量,电费\n甲,10,11.00\n本页小计,10,11.00\n乙,20,22.00\n小 计,20,23.00\n合  计,31.5,33.00\n"
    found = charges(tmp_path, text)
    assert sum(row.yuan for row in found.rows) == 33
    assert [(f.row, f.code, f.stated, f.computed) for f in found.findings] == [
        (5, "SUBTOTAL_MISMATCH", "23.00", "22.00"),
        (6, "TOTAL_MISMATCH", "31.50", "30.00"),
    ]


def test_arithmetic_of_a_row_is_checked_where_it_is_stated(tmp_path: pathlib.Path) -> None:
    text = "租户,上期示数,本期示数,倍率,加计线损,电量,单价,电费,合计\n甲,0,10,40,8%,432,1.00,432.00,432\n"
    assert charges(tmp_path, text).findings == []
    text = "租户,上期示数,本期示数,倍率,电量,单价,电费,合计\n甲,0,10,40,432,1.00,450.00,451\n"
    codes = [finding.code for finding in charges(tmp_path, text).findings]
    assert codes == ["KWH_ARITHMETIC", "YUAN_ARITHMETIC", "ROW_TOTAL"]


def test_rent_and_water_stand_outside_the_electricity_bill_unless_confirmed(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "c.csv"
    path.write_text("租户,电费,房租,水费,税点,公摊电费\n甲,100,2000,30,6,5\n", encoding="utf-8")
    fees = read_rows(read_charges(path)).rows[0].fees
    assert [(fee.kind, fee.in_bill, fee.stated) for fee in fees] == [
        ("elsewhere", False, False),
        ("elsewhere", False, False),
        ("tax", True, False),
        ("common", True, False),
    ]
    fees = read_rows(read_charges(path), fees={"水费": True}).rows[0].fees
    assert [fee.in_bill for fee in fees] == [False, True, True, True]


def test_amounts_without_tax_are_brought_up_and_need_their_rate(tmp_path: pathlib.Path) -> None:
    found = charges(tmp_path, "租户,电费（不含税）,服务费,税率\n甲,100.00,10,13%\n")
    assert (found.rows[0].yuan, found.rows[0].fees[0].yuan, found.rows[0].tax) == (113, Fraction("11.30"), False)
    with pytest.raises(PaperError, match="2: 税率: missing"):
        charges(tmp_path, "租户,电费（不含税）\n甲,100.00\n")
    assert charges(tmp_path, "租户,电费\n甲,100.00\n").rows[0].tax is None


def test_unknown_columns_and_remarks_are_told(tmp_path: pathlib.Path) -> None:
    found = charges(tmp_path, "租户,电费,神秘\n甲,1,7\n备注：八月起执行新价,,\n")
    assert found.unread == ("神秘",)
    assert found.skipped == ((3, "备注：八月起执行新价"),)


def book(rows: list[list[Any]], merges: list[str]) -> bytes:
    made = openpyxl.Workbook()
    for row in rows:
        made.active.append(row)
    for area in merges:
        made.active.merge_cells(area)
    out = io.BytesIO()
    made.save(out)
    return out.getvalue()


def test_merged_names_fill_down_and_merged_amounts_count_once(tmp_path: pathlib.Path) -> None:
    rows = [
        ["七月电费", None, None, None, None],
        ["租户", "示数", None, "电量", "电费"],
        [None, "上期", "本期", None, None],
        ["甲", 0, 10, 10, 33.3],
        [None, 5, 25, 20, None],
        ["乙", 1, 2, 1, 1.11],
    ]
    path = tmp_path / "c.xlsx"
    path.write_bytes(book(rows, ["A1:E1", "A2:A3", "B2:C2", "D2:D3", "E2:E3", "A4:A5", "E4:E5"]))
    with pytest.raises(PaperError, match="5: 电费: missing"):
        read_rows(read_charges(path))  # one amount over two rows belongs to the first; the second says nothing
    rows[4][4] = 0
    path.write_bytes(book(rows, ["A1:E1", "A2:A3", "B2:C2", "D2:D3", "E2:E3", "A4:A5"]))
    found = read_rows(read_charges(path))
    assert [(row.row, row.who, row.start, row.end, row.kwh, row.yuan) for row in found.rows] == [
        (4, "甲", 0, 10, 10, Fraction("33.30")),
        (5, "甲", 5, 25, 20, 0),
        (6, "乙", 1, 2, 1, Fraction("1.11")),
    ]


def test_a_formula_that_was_never_computed_is_refused(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "c.xlsx"
    path.write_bytes(book([["租户", "电量", "电费"], ["甲", 10, "=B2*1.1"]], []))
    with pytest.raises(PaperError, match="2: yuan: a formula whose value was never saved"):
        read_rows(read_charges(path))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1,234.50元", Fraction("1234.50")),
        ("￥12", Fraction(12)),
        ("（3.00）", Fraction(-3)),
        ("－３", Fraction(-3)),
        ("13%", Fraction(13, 100)),
        ("—", None),
        (".5", Fraction(1, 2)),
    ],
)
def test_amounts_are_read_as_people_write_them(text: str, value: Fraction | None) -> None:
    assert parse_written(text) == value


@pytest.mark.parametrize("text", ["1,00", "1.2E+5", "约12", "1.2.3", "12或13", "#VALUE!"])
def test_what_is_not_surely_one_amount_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"no number|error of the spreadsheet"):
        parse_written(text)


def test_dates_and_spans() -> None:
    july = (date(2026, 7, 1), date(2026, 8, 1))
    for text in ("2026年7月", "2026-07", "202607", "2026.7.1-2026.7.31", "2026年7月1日至7月31日"):
        assert parse_span(text) == july, text
    assert parse_span("2026.6.25-2026.7.25") == (date(2026, 6, 25), date(2026, 7, 25))
    assert parse_date("2026/7/5 00:00:00") == date(2026, 7, 5)
    for text in ("7月25日", "2026-02-30", "26.7.1"):
        with pytest.raises(ValueError, match="no date"):
            parse_date(text)
    with pytest.raises(ValueError, match="no meter address"):
        parse_address("1234567890123")


BILL = """户号,账期起,账期止,类别,项目,时段,数量,单位,单价,金额
33001,2026-07-01,2026-07-31,购电,代理购电 尖峰,,100,kWh,0.6,60.00
33001,2026-07-01,2026-07-31,购电,代理购电 低谷,,50,千瓦时,0.2,10.00
33001,2026-07-01,2026-07-31,基金附加,政府性基金,,150,kWh,0.03,4.50
33001,2026-07-01,2026-07-31,容量,容量电费,,400,kVA,30,"12,000.00"
33001,2026-07-01,2026-07-31,违约金,违约金,,,,,50
33001,,,光伏购电,屋顶光伏,,80,kWh,0.5,40
合计,,,,,,,,,12164.50
"""


def test_a_bill_tells_its_span_its_energy_and_what_may_be_passed_on(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "b.csv"
    path.write_text(BILL, encoding="gb18030")
    bill = read_lines(read_bill(path))
    assert bill.days == (date(2026, 7, 1), date(2026, 8, 1))
    assert bill.kwh() == {"sharp": 100, "valley": 50}
    assert bill.accounts == ("33001",)
    assert [line.passable for line in bill.lines] == [True, True, True, True, False, True]
    assert bill.total == Fraction("12164.50")


def test_names_are_matched_by_id_saved_name_room_or_meter_and_the_rest_is_saved_for_people(
    tmp_path: pathlib.Path,
) -> None:
    text = "租户,房号,表号,电费\n安 砧（五金）,,,1\nＴ-Birch,,,1\n,1-103,,1\n,,310104,1\n不明,,,1\n"
    rows = charges(tmp_path, text).rows
    path = tmp_path / "notes.json"
    path.write_text(json.dumps({"names": {"安砧(五金)": "t-anvil"}, "common": "shared"}), encoding="utf-8")
    matcher = Matcher(["t-birch"], {"1-103": "t-cedar", "000000310104": "t-delta"}, load_notes(path))
    assert [matcher.match(row) for row in rows] == ["t-anvil", "t-birch", "t-cedar", "t-delta", None]
    assert save_unmatched(path, ["不明"])
    assert not save_unmatched(path, ["不明"])
    assert load_notes(path) == Notes(names={"安砧(五金)": "t-anvil", "不明": None}, common="shared")


def test_both_papers_have_schemas_that_a_settlement_case_fits() -> None:
    document = {
        "bill_items": [{"code": "energy_flat", "period": "flat", "qty_kwh": "10.00", "rate": "0.68", "yuan": "6.80"}],
        "charges": [
            {"tenant": "T1", "electricity_yuan": "7.00", "extra_fees": [{"label": "服务费", "yuan": "1.00"}]},
        ],
    }
    for name in ("bill", "charges"):
        schema = json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8"))
        jsonschema.Draft202012Validator.check_schema(schema)
        jsonschema.validate(document, schema)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({}, schema)
