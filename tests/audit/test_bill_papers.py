"""The spreadsheets a park fills in, and whether a bill agrees with itself."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import openpyxl
import pytest
from click.testing import CliRunner

from agent.cli import cli
from audit.paper_columns import BILL_COLUMNS
from audit.papers import PaperError, read_bill, read_charges
from audit.templates import BILL_NAME, CHARGES_NAME, PRICES_NAME, REFUNDS_NAME, SCHEMA_NAMES

# The energy lines of the worked example (settlement.md §5.1); 100 kVA·month of it made up
LINES = [
    ("尖峰", "9600.00", "1.23155", "11822.88"),
    ("高峰", "7200.00", "1.12655", "8111.16"),
    ("平段", "21400.00", "0.68030", "14558.42"),
    ("低谷", "19800.00", "0.36530", "7232.94"),
    ("容量电费", "400", "30.00", "12000.00"),
    ("力调电费", "", "", "520.26"),
]


def audit(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(cli, ["--lang", "en", "audit", *arguments], standalone_mode=True)
    return result.exit_code, result.stdout, result.stderr


def sheet(path: pathlib.Path, rows: list[tuple[str, str, str, str]], encoding: str = "utf-8-sig") -> pathlib.Path:
    text = "".join(",".join(f'"{cell}"' for cell in row) + "\r\n" for row in [("项目", "数量", "单价", "金额"), *rows])
    path.write_bytes(text.encode(encoding))
    return path


def check(path: pathlib.Path) -> tuple[int, Any]:
    code, out, _ = audit("check-bill", "--json", str(path))
    return code, json.loads(out)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_a_bill_that_agrees_is_ok_in_any_encoding(tmp_path: pathlib.Path, encoding: str) -> None:
    code, result = check(sheet(tmp_path / "b.csv", [*LINES, ("合计", "", "", "¥54,245.66")], encoding))
    assert code == 0
    assert result == {
        "ok": True,
        "lines": 6,
        "checked": 5,
        "sum_yuan": "54245.66",
        "total_yuan": "54245.66",
        "findings": [],
    }


def test_a_line_a_subtotal_and_a_total_that_disagree_are_found_with_their_rows(tmp_path: pathlib.Path) -> None:
    rows = [*LINES[:3], ("低谷", "19800.00", "0.36530", "7232.95"), ("小计", "", "", "41725.40"), *LINES[4:]]
    code, result = check(sheet(tmp_path / "b.csv", [*rows, ("合计", "", "", "54245.66")]))
    assert code == 3
    assert result["findings"] == [
        {"row": 5, "code": "LINE_MISMATCH", "stated": "7232.95", "computed": "7232.94"},
        {"row": 6, "code": "SUBTOTAL_MISMATCH", "stated": "41725.40", "computed": "41725.41"},
        {"row": 9, "code": "TOTAL_MISMATCH", "stated": "54245.66", "computed": "54245.67"},
    ]


def test_a_bill_without_a_total_is_not_ok(tmp_path: pathlib.Path) -> None:
    code, result = check(sheet(tmp_path / "b.csv", LINES))
    assert (code, result["total_yuan"], result["findings"][0]["code"]) == (3, None, "TOTAL_MISSING")


def test_refunds_and_half_cents_are_recomputed(tmp_path: pathlib.Path) -> None:
    rows = [("退补", "-10", "0.6803", "-6.80"), ("补", "1", "0.005", "0.01"), ("合计", "", "", "-6.79")]
    assert check(sheet(tmp_path / "b.csv", rows))[0] == 0


def test_cells_that_are_no_numbers_are_all_named(tmp_path: pathlib.Path) -> None:
    rows = [("a", "1", "x", "1.00"), ("b", "", "", "1,00"), ("c", "", "", "")]
    code, out, err = audit("check-bill", "--json", str(sheet(tmp_path / "b.csv", rows)))
    assert (code, out) == (78, "")
    assert "b.csv: 2: rate: 'x' is no number" in err
    assert "b.csv: 3: yuan: '1,00' is no number" in err
    assert "b.csv: 4: 金额: missing" in err


def test_the_templates_are_empty_and_can_be_filled_and_read(tmp_path: pathlib.Path) -> None:
    code, out, _ = audit("template", str(tmp_path / "papers"))
    names = (BILL_NAME, CHARGES_NAME, PRICES_NAME, REFUNDS_NAME, *SCHEMA_NAMES)
    assert (code, out.splitlines()) == (0, [str(tmp_path / "papers" / name) for name in names])
    bill, charges = tmp_path / "papers" / BILL_NAME, tmp_path / "papers" / CHARGES_NAME
    assert read_charges(charges).rows == ()
    assert read_bill(bill).rows == ()
    book = openpyxl.load_workbook(bill)
    fields = list(BILL_COLUMNS)
    for row, (name, quantity, rate, yuan) in enumerate([*LINES, ("合计", "", "", "54245.66")], 2):
        for field, value in (("name", name), ("quantity", quantity), ("rate", rate), ("yuan", yuan)):
            cell: Any = value if field == "name" or not value else float(value)
            book.worksheets[0].cell(row, fields.index(field) + 1, cell or None)
    book.save(bill)
    code, result = check(bill)
    assert (code, result["checked"], result["total_yuan"]) == (0, 5, "54245.66")


def test_a_filled_paper_is_never_replaced(tmp_path: pathlib.Path) -> None:
    (tmp_path / CHARGES_NAME).write_text("mine")
    code, _, err = audit("template", str(tmp_path))
    assert (code, (tmp_path / CHARGES_NAME).read_text()) == (2, "mine")
    assert CHARGES_NAME in err
    assert not (tmp_path / BILL_NAME).exists()


def test_the_bill_of_a_case_can_be_checked(tmp_path: pathlib.Path) -> None:
    items = [{"code": "energy", "qty_kwh": "5000.00", "rate": "1.12655", "yuan": "5632.75", "passable": True}]
    file = tmp_path / "case.json"
    file.write_text(json.dumps({"inputs": {"bill_items": items, "total_yuan": "5632.75"}}))
    assert check(file)[0] == 0
    file.write_text(json.dumps({"bill_items": [{**items[0], "qty_kwh": "5001.00"}], "total_yuan": "5632.75"}))
    assert check(file)[1]["findings"][0]["computed"] == "5633.88"


@pytest.mark.parametrize(
    ("name", "content"),
    [("b.xlsx", b"PK no"), ("b.csv", b"\xff\xff\xff"), ("b.csv", b"a,b\n1,2\n"), ("b.json", b"{"), ("b.json", b"[]")],
)
def test_a_file_that_is_no_bill_is_78(tmp_path: pathlib.Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    code, out, err = audit("check-bill", "--json", str(tmp_path / name))
    assert (code, out) == (78, "")
    assert name in err


def test_a_column_that_is_there_twice_is_refused(tmp_path: pathlib.Path) -> None:
    (tmp_path / "b.csv").write_text("项目,金额,金额\na,1,2\n", encoding="utf-8")
    with pytest.raises(PaperError, match="1: there twice: yuan"):
        read_bill(tmp_path / "b.csv")
