"""Papers as parks send them, saved by LibreOffice or damaged by hand: read right or refused with the row, none lost."""

from __future__ import annotations

import pathlib
import random
import re
from fractions import Fraction

import openpyxl
import pytest

from audit.bill import read_lines
from audit.bill_check import check_bill
from audit.charges import Charges, read_rows
from audit.papers import PaperError, read_bill, read_charges

PAPERS = pathlib.Path(__file__).parent / "papers"
ENCODINGS = ("utf-8", "utf-8-sig", "gb18030", "utf-16")

SHEET = """西湖小微园 2026年7月电费,,,,,,,
租户,房号,表号,上期示数,本期示数,倍率,电量,电费(元)
安砧,1-101,202208310101,100.00,150.00,40,2000.00,1500.00
白桦,1-102,202208310102,10.00,20.00,30,300.00,225.00
雪松,1-103,,1000.0,1100.0,1,100.00,75.00
合计,,,,,,2400.00,1800.00
备注：以上含税,,,,,,,
"""


@pytest.mark.parametrize("name", ["charges.xlsx", "charges-utf8.csv", "charges-gb18030.csv"])
def test_charges_saved_by_libreoffice_are_read_to_the_cent(name: str) -> None:
    paper = read_charges(PAPERS / f"libreoffice-{name}")
    charges = read_rows(paper)
    assert [(row.who, row.kwh, row.yuan) for row in charges.rows] == [
        ("安砧五金加工", Fraction("23490.00"), Fraction("20988.32")),
        ("白桦木业", Fraction("16364.70"), Fraction("14621.86")),
        ("雪松电子", Fraction("3853.63"), Fraction("3443.22")),  # the hidden row
        ("小余便利店", Fraction("1288.76"), Fraction("1151.51")),
    ]
    assert [(fee.label, fee.yuan) for row in charges.rows for fee in row.fees] == [("服务费", 35)]
    assert charges.rows[0].days is not None
    assert [row.tax for row in charges.rows] == [True] * 4
    assert [(found.row, found.code) for found in charges.findings] == [(7, "ADDRESS_PADDED")]
    assert paper.skipped[0] == (11, "备注：请于8月10日前缴清，逾期按日加收。")
    assert paper.unread == ()
    if name.endswith("xlsx"):
        assert paper.skipped[1] == (0, "工作表 说明")


@pytest.mark.parametrize("name", ["bill.xlsx", "bill-utf8.csv", "bill-gb18030.csv"])
def test_a_bill_saved_by_libreoffice_is_read_to_the_cent(name: str) -> None:
    paper = read_bill(PAPERS / f"libreoffice-{name}")
    bill = read_lines(paper)
    assert bill.kwh() == {"sharp": 9600, "peak": 7200, "flat": 21400, "valley": 19800}
    assert sum(line.yuan for line in bill.lines if line.passable) == Fraction("53725.40")
    assert bill.total == Fraction("53845.90")
    assert not check_bill(paper.rows).findings


def written(tmp_path: pathlib.Path, text: str, encoding: str) -> pathlib.Path:
    path = tmp_path / "c.csv"
    path.write_bytes(text.encode(encoding))
    return path


def read(path: pathlib.Path) -> Charges:
    return read_rows(read_charges(path))


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_sheet_is_the_same_in_every_encoding(tmp_path: pathlib.Path, encoding: str) -> None:
    charges = read(written(tmp_path, SHEET, encoding))
    assert [row.yuan for row in charges.rows] == [1500, 225, 75]
    assert charges.findings == []


@pytest.mark.parametrize("encoding", ENCODINGS[:3])
@pytest.mark.parametrize(
    ("was", "becomes", "fault"),
    [
        ("1500.00", "#REF!", "3: yuan"),
        ("225.00", "二百二十五", "4: yuan"),
        ("225.00", '"2,25.00"', "4: yuan"),
        ("75.00", "", "5: 电费: missing"),
        ("150.00,40", "50.00,40", "3: 本期示数: 50.00 is below 上期示数 100.00"),
        (",40,", ",4O,", "3: multiplier"),
        ("雪松,1-103,", ",,", "5: 租户"),
        ("雪松,1-103,", ",,6.32E+11", "5: 表号"),
        ("100.00,75.00", "1OO.00,75.00", "5: kwh"),
        ("1800.00", "#NAME?", "6: yuan"),
    ],
)
def test_a_damaged_cell_is_refused_with_its_row(
    tmp_path: pathlib.Path, encoding: str, was: str, becomes: str, fault: str
) -> None:
    assert was in SHEET
    with pytest.raises(PaperError, match=f"^{re.escape(fault)}"):
        read(written(tmp_path, SHEET.replace(was, becomes, 1), encoding))


@pytest.mark.parametrize("encoding", ENCODINGS[:3])
@pytest.mark.parametrize(
    ("was", "becomes", "found"),
    [
        ("1500.00", '"1,500.00元"', None),
        ("1500.00", "￥1500", None),
        ("雪松,", "雪 松,", None),
        ("225.00", "２２５．００", None),
        ("2000.00,", "2100.00,", (3, "KWH_ARITHMETIC")),
        ("2400.00,1800.00", "2400.00,1900.00", (6, "TOTAL_MISMATCH")),
        ("202208310102", "8310102", (4, "ADDRESS_PADDED")),
        ("202208310102", "2.02E+11", (4, "ADDRESS_DAMAGED")),
    ],
)
def test_what_people_write_otherwise_is_read_and_what_disagrees_is_found(
    tmp_path: pathlib.Path, encoding: str, was: str, becomes: str, found: tuple[int, str] | None
) -> None:
    charges = read(written(tmp_path, SHEET.replace(was, becomes, 1), encoding))
    assert [row.yuan for row in charges.rows] == [1500, 225, 75]
    findings = [(one.row, one.code) for one in charges.findings]
    assert (found in findings) if found else findings == []


def test_bytes_that_are_no_text_are_refused(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "c.csv"
    for raw in (b"\x80\xff\xff" * 9, SHEET.encode("utf-16-le"), SHEET.encode("gb18030")[:41]):
        path.write_bytes(raw)
        with pytest.raises(PaperError):
            read(path)


def test_other_spreadsheets_are_refused_with_the_way_out(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "c.xls"
    path.write_bytes(bytes.fromhex("d0cf11e0a1b11ae1") + bytes(600))
    with pytest.raises(PaperError, match=r"\.xls workbook: open it and save it as \.xlsx"):
        read(path)
    path = tmp_path / "c.ods"
    path.write_bytes(b"PK\3\4" + bytes(26) + b"mimetypeapplication/vnd.oasis.opendocument.spreadsheet")
    with pytest.raises(PaperError, match=r"OpenDocument sheet: open it and save it as \.xlsx"):
        read(path)


def test_two_tables_in_a_workbook_are_refused_and_other_sheets_told(tmp_path: pathlib.Path) -> None:
    book = openpyxl.Workbook()
    for name, sheet in (("东区", book.active), ("西区", book.create_sheet())):
        assert sheet is not None
        sheet.title = name
        for line in SHEET.splitlines():
            sheet.append(line.split(","))
    book.create_sheet("说明").append(["随便写的"])
    path = tmp_path / "c.xlsx"
    book.save(path)
    with pytest.raises(PaperError, match="东区, 西区"):
        read(path)
    del book["西区"]
    book["东区"].sheet_state = "visible"
    book.save(path)
    charges = read(path)
    assert [row.yuan for row in charges.rows] == [1500, 225, 75]
    assert charges.skipped[-1] == (0, "工作表 说明")


def test_top_ups_are_energy_at_the_programmed_price(tmp_path: pathlib.Path) -> None:
    text = (
        "租户,月份,充值电量,充值单价,充值金额\n甲,2026-07,100,1.20,120.00\n甲,2026-07,50,1.20,\n乙,2026-07,10,1.2,13\n"
    )
    charges = read(written(tmp_path, text, "gb18030"))
    assert [(row.who, row.kwh, row.yuan) for row in charges.rows] == [("甲", 100, 120), ("甲", 50, 60), ("乙", 10, 13)]
    assert [(one.row, one.code) for one in charges.findings] == [(3, "YUAN_COMPUTED"), (4, "YUAN_ARITHMETIC")]


JUNK = ("", "x", "-", "#REF!", "1e9", "合计", "小计", "备注", "12", "3,4", "2026-07-31", "无", "（3.00）", "１２", "￥")


@pytest.mark.parametrize("encoding", ENCODINGS[:3])
@pytest.mark.parametrize("seed", range(60))
def test_no_row_is_ever_lost_whatever_stands_in_its_cells(tmp_path: pathlib.Path, encoding: str, seed: int) -> None:
    """Every filled line below the header is a row, a total, a text that was passed over and told, or a fault."""
    chance = random.Random(seed)
    lines = [line.split(",") for line in SHEET.splitlines()]
    for _ in range(chance.randint(1, 4)):
        row = chance.choice(lines[2:])
        row[chance.randrange(8)] = chance.choice(JUNK)
    text = "\n".join(",".join(f'"{cell}"' if "," in cell else cell for cell in line) for line in lines)
    filled = {n for n, line in enumerate(lines, 1) if n > 2 and any(line)}
    path = written(tmp_path, text, encoding)
    paper = read_charges(path)
    told = {row.number for row in paper.rows} | {number for number, _ in paper.skipped}
    assert told == filled, (seed, text)
    totals = {row.number for row in paper.rows if row.kind != "line"}
    try:
        charges = read_rows(paper)
    except PaperError as error:
        faults = str(error).splitlines()
    else:
        faults = []
        assert {row.row for row in charges.rows} | totals | {number for number, _ in charges.skipped} == filled
    assert {int(fault.split(":")[0]) for fault in faults} <= filled | {0}
