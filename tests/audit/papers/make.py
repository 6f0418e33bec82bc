"""Makes the papers of this directory: workbooks as an accountant builds them, saved by LibreOffice (here 7.4.7.2).

    python tests/audit/papers/make.py        needs soffice; the files are committed, so the tests do not

Two header lines, merged cells, formulas, thousands apart, a hidden row, a filter, subtotal and total, remarks, a second
sheet. LibreOffice computes the formulas and writes .xlsx, and CSV as shown in UTF-8 and GB18030.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import openpyxl
from openpyxl.worksheet.worksheet import Worksheet

HERE = Path(__file__).parent
CSV = "csv:Text - txt - csv (StarCalc):44,34,{},1"
ENCODINGS = {"utf8": 76, "gb18030": 85}  # LibreOffice's numbers
CHARGES = (
    (1, "安砧五金加工", "1-101", "202208310101", 27925.81, 28513.06, 40, None),
    (2, "白桦木业", "1-102", "202208310102", 20125.61, 20671.1, 30, None),
    (3, "雪松电子", "1-103", 63301, 97431.27, 101284.9, 1, 35),
    (4, "小余便利店", "1-105", "", 41328.29, "42,617.05", 1, None),
)
BILL = (
    ("购电", "尖峰", 9600, 1.23155),
    ("购电", "高峰", 7200, 1.12655),
    ("购电", "平段", 21400, 0.6803),
    ("购电", "低谷", 19800, 0.3653),
)


def charges(sheet: Worksheet) -> None:
    sheet.title = "7月电费"
    sheet.append(["西湖小微园 2026年7月 电费分摊表（含税）"])
    sheet.append(["制表：王会计", *[""] * 8, "制表日期：2026-08-02"])
    sheet.append(
        [
            *("序号", "租户", "房号", "表号", "抄表示数", ""),
            *("倍率", "电量(kWh)", "单价(元/kWh)", "电费(元)", "服务费"),
        ]
    )
    sheet.append(["", "", "", "", "上期", "本期"])
    for area in ("A1:K1", "E3:F3", *(f"{column}3:{column}4" for column in "ABCDGHIJK")):
        sheet.merge_cells(area)
    for n, row in enumerate(CHARGES, 5):
        kwh = f"=ROUND((F{n}-E{n})*G{n},2)" if isinstance(row[5], float) else 1288.76
        sheet.append([*row[:7], kwh, 0.8935, f"=ROUND(H{n}*I{n},2)", row[7]])
    sheet.append(["", "小计", *[""] * 5, "=SUM(H5:H8)", "", "=SUM(J5:J8)", "=SUM(K5:K8)"])
    sheet.append(["", "合计", *[""] * 5, "=H9", "", "=J9", "=K9"])
    sheet.append(["备注：请于8月10日前缴清，逾期按日加收。"])
    for column in "EFHIJK":
        for n in range(5, 11):
            sheet[f"{column}{n}"].number_format = "#,##0.00"
    sheet.row_dimensions[7].hidden = True
    sheet.auto_filter.ref = "A4:K8"


def bill(sheet: Worksheet) -> None:
    sheet.title = "账单"
    sheet.append(["国网电费账单 2026年7月"])
    sheet.append(["费用类别", "项目名称", "时段", "电量", "计量单位", "电价", "电费金额", "含税"])
    for n, (category, period, kwh, price) in enumerate(BILL, 3):
        row = [category if n == 3 else "", f"电度电费（{period}）", period, kwh, "千瓦时", price]
        sheet.append([*row, f"=ROUND(D{n}*F{n},2)", "是"])
    sheet.append(["容量", "容量电费", "", 400, "kVA", 30, "=D7*F7", "是"])
    sheet.append(["违约金", "违约金", "", "", "", "", 120.5, "是"])
    sheet.append(["合计", *[""] * 5, "=SUM(G3:G8)"])
    sheet.merge_cells("A3:A6")
    for n in range(3, 10):
        sheet[f"D{n}"].number_format = sheet[f"G{n}"].number_format = "#,##0.00"
        sheet[f"F{n}"].number_format = "0.00000"


def main() -> None:
    for name, fill in (("charges", charges), ("bill", bill)):
        with tempfile.TemporaryDirectory() as directory:
            book = openpyxl.Workbook()
            assert isinstance(book.active, Worksheet)
            fill(book.active)
            book.create_sheet("说明").append(["本表由财务部制作"])
            source, out = Path(directory) / f"{name}.xlsx", Path(directory) / "out"
            book.save(source)
            _convert(source, "xlsx", out)
            (HERE / f"libreoffice-{name}.xlsx").write_bytes((out / f"{name}.xlsx").read_bytes())
            for encoding, number in ENCODINGS.items():
                _convert(out / f"{name}.xlsx", CSV.format(number), out)
                (HERE / f"libreoffice-{name}-{encoding}.csv").write_bytes((out / f"{name}.csv").read_bytes())


def _convert(source: Path, what: str, out: Path) -> None:
    words = ["soffice", "--headless", f"-env:UserInstallation={(out.parent / 'profile').as_uri()}"]
    subprocess.run([*words, "--convert-to", what, "--outdir", str(out), str(source)], check=True, timeout=180)


if __name__ == "__main__":
    main()
