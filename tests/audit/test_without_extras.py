"""On a gateway as it is installed, without the auditor's libraries: papers are judged, the rest names its extra."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

import pytest

from agent.cli.audit import VERBS

GOLDEN = pathlib.Path(__file__).parents[1] / "golden" / "settlement-cases.json"
EXTRAS = ("openpyxl", "segno", "duckdb", "pyarrow", "pyspark")
BILL = "项目,数量,单价,金额\n购电,1000,0.6,600.00\n合计,,,600.00\n"
CHARGES = "租户,起,止,电量,单价,电费\nT1,2026-07-01,2026-08-01,1000,0.6,600.00\n"


def hubiao(*words: str, lang: str = "en", without: tuple[str, ...] = EXTRAS) -> tuple[int, str, str]:
    """The command in a process of its own, in which some libraries are not to be had."""
    program = f"import sys; sys.modules.update(dict.fromkeys({without!r})); from agent.cli import main; main()"
    command = [sys.executable, "-c", program, "--lang", lang, "audit", *words]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=60)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def bill(tmp_path: pathlib.Path) -> str:
    path = tmp_path / "bill.csv"
    path.write_text(BILL, encoding="utf-8")
    return str(path)


def test_a_case_is_settled() -> None:
    code, out, err = hubiao("settle", str(GOLDEN), "--json")
    expected = json.loads(GOLDEN.read_text(encoding="utf-8"))["cases"]
    assert (code, err) == (0, "")
    assert json.loads(out) == [{"id": case["id"], "result": case["expected"]} for case in expected]


def test_a_bill_in_csv_is_checked(bill: str) -> None:
    code, out, err = hubiao("check-bill", bill, "--json")
    assert (code, err, json.loads(out)["sum_yuan"]) == (0, "", "600.00")


def test_papers_in_csv_give_a_report(bill: str, tmp_path: pathlib.Path) -> None:
    charges, page = tmp_path / "charges.csv", tmp_path / "report.html"
    charges.write_text(CHARGES, encoding="utf-8")
    papers = ("--bill", bill, "--charges", str(charges), "--tax", "incl", "--common", "shared")
    code, out, err = hubiao("report", "--park", "p", *papers, "--out", str(page), "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["tenants"][0]["charged_yuan"] == "600.00"
    assert "600.00" in page.read_text(encoding="utf-8")


def test_an_auditor_has_a_key(tmp_path: pathlib.Path) -> None:
    path = str(tmp_path / "auditor.key")
    made = hubiao("key", path, "--name", "audit.example/zj-1")
    assert made[0] == 0
    assert hubiao("key", path) == made


def test_every_verb_is_listed() -> None:
    code, out, _ = hubiao("-h")
    assert code == 0
    assert [verb for verb in VERBS if f"  {verb} " not in out] == []


def test_spreadsheets_need_openpyxl(tmp_path: pathlib.Path) -> None:
    book = tmp_path / "bill.xlsx"
    book.write_bytes(b"PK")
    for words in (("template", str(tmp_path / "papers")), ("check-bill", str(book))):
        assert hubiao(*words) == (1, "", "Error: no openpyxl: install hubiao[xlsx]\n")
    assert not (tmp_path / "papers").exists()
    assert "缺少 openpyxl:请安装 hubiao[xlsx]" in hubiao("template", str(tmp_path / "papers"), lang="zh")[2]


@pytest.mark.parametrize(
    "words", [("import", "x", "--store", "s"), ("listen", "--mqtt", "mqtt://localhost", "--store", "s")], ids=" ".join
)
def test_collecting_needs_the_auditors_libraries(words: tuple[str, ...]) -> None:
    assert hubiao(*words) == (1, "", "Error: no pyarrow: install hubiao[audit]\n")
    assert "缺少 pyarrow:请安装 hubiao[audit]" in hubiao(*words, lang="zh")[2]


def test_a_cluster_needs_spark(tmp_path: pathlib.Path) -> None:
    from audit.writer import Writer

    Writer(tmp_path).close()
    words = ("survey", "--store", str(tmp_path))
    assert hubiao(*words) == (1, "", "Error: no pyarrow: install hubiao[audit]\n")
    for verb in ("survey", "verify"):
        got = hubiao(verb, "--store", str(tmp_path), "--spark", "spark://localhost:1", without=("pyspark",))
        assert got == (1, "", "Error: no pyspark: install hubiao[fleet]\n")
