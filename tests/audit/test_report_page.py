"""The HTML report in Chromium: zh and en, wide, on a phone, on paper; nothing fetched, nothing cut off."""

from __future__ import annotations

import json
import os
import re
from datetime import date
from fractions import Fraction
from pathlib import Path
from typing import Any

import fed_store
import pytest
from chromium import in_browser, look
from click.testing import CliRunner
from paper_park import Papers

from agent.cli import cli
from audit.amounts import rounded

SHOTS = os.environ.get("HUBIAO_SHOTS")  # a directory: keep screenshots there
PRICES = """月份,用电分类,电压等级,电度用电价格,尖峰,高峰,平段,低谷,需量电价,容量电价
2026-06,单一制,不满1千伏,0.7200,1.30,1.20,0.72,0.39,,
2026-07,单一制,不满1千伏,0.7300,1.32,1.21,0.73,0.39,,
2026-06,单一制,1-10千伏,0.7000,1.27,1.17,0.70,0.38,,
2026-07,单一制,1-10千伏,0.7000,1.27,1.17,0.70,0.38,,
2026-06,两部制,1-10千伏,0.6500,1.18,1.08,0.65,0.35,48.0,30.0
2026-07,两部制,1-10千伏,0.6500,1.18,1.08,0.65,0.35,48.0,30.0
"""
NOTES = {
    "common": "shared",
    "park": {"voltage": "1-10千伏"},
    "names": {"博尔特精密机械制造（杭州）有限公司": "t-bolt"},
    "tenants": {"t-bolt": {"declared_kw": "30", "own_circuit": True}, "t-cord": {"own_circuit": True}},
}


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Two periods of a park that cheats one tenant by multiplier, one by price, and refunds a part."""
    path = tmp_path_factory.mktemp("page")
    park = fed_store.make(path / "store", date(2026, 6, 28), 6, fixed="300.00")
    words = []
    for n, (first, last) in enumerate(((0, 3), (3, 6))):
        papers = Papers(park, first, last)
        papers.yuan["t-bolt"] += 60
        if n:
            papers.multiplier["t-acme"] = Fraction(60)
            papers.yuan["t-acme"] = rounded(papers.yuan["t-acme"] * Fraction(3, 2))
        words += papers.write(path, str(n))
        charges = Path(words[-1])
        named = charges.read_text(encoding="gb18030").replace("t-bolt", "博尔特精密机械制造（杭州）有限公司")
        charges.write_text(named, encoding="gb18030")
    (path / "p.csv").write_text(PRICES, encoding="utf-8")
    (path / "n.json").write_text(json.dumps(NOTES), encoding="utf-8")
    (path / "f.csv").write_text("租户,退费金额,退费日期\nt-bolt,60,2026-09-30\n", encoding="utf-8")
    words += ["--store", str(park.store), "--park", park.id, "--key", park.key, "--no-verify"]
    words += ["--notes", str(path / "n.json"), "--prices", str(path / "p.csv"), "--refunds", str(path / "f.csv")]
    pages = {language: path / f"{language}.html" for language in ("zh", "en")}
    for language, page in pages.items():
        result = CliRunner().invoke(cli, ["--lang", language, "audit", "report", *words, "--out", str(page)])
        assert result.exit_code == 0, result.output
    urls = {language: page.as_uri() for language, page in pages.items()}
    told = look("report_page.mjs", path, pages=urls, out=str(path), shots=SHOTS)
    return {**told, "pdf": {language: (path / f"{language}.pdf").read_bytes() for language in pages}}


pytestmark = [in_browser, pytest.mark.slow]


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_report_needs_nothing_but_itself_and_cuts_nothing_off(seen: dict[str, Any], language: str) -> None:
    page = seen["pages"][language]
    for kind in ("wide", "phone"):
        assert page[kind]["overflow"] == 0
        assert page[kind]["cut"] == []
        assert page[kind]["lamp"] < 400, "the verdict stands first"
    assert page["links"] == [True] * 3
    assert seen["console"] == []
    assert {url.split(":")[0] for url in seen["requests"]} == {"file"}


def test_all_parts_are_there_in_both_languages(seen: dict[str, Any]) -> None:
    zh, en = (seen["pages"][language] for language in ("zh", "en"))
    assert zh["headings"][:9] == [
        *(
            "各租户",
            "各月与退费",
            "电网账单",
            "损耗",
            "比价与用电建议",
            "转改直",
            "未能核对的事项",
            "单据与证据",
            "公示单",
        )
    ]
    assert len(en["headings"]) == len(zh["headings"]) == 12
    assert zh["charts"] == en["charts"] == 5  # refunds, waterfall, three load profiles
    assert not re.search("多收|应退|已退清|租户|实测|倍率", en["text"])
    for word in ("不是官方“转供电费码”", "征求意见稿", "倍率 60，应为 40", "退费清单", "未退清", "夜间", "公钥指纹"):
        assert word in zh["text"]
    for word in ("not the official", "multiplier 60, not 40", "Refund order", "not settled", "at night", "fingerprint"):
        assert word in en["text"]


def test_colours_are_those_of_the_verdicts(seen: dict[str, Any]) -> None:
    known = {"green": "rgb(29, 127, 78)", "yellow": "rgb(176, 125, 0)", "red": "rgb(179, 38, 30)"}
    chips = seen["pages"]["zh"]["chips"]
    assert {name.split()[-1] for name, _ in chips} <= {*known, "grey"}
    assert all(known[name.split()[-1]] == colour for name, colour in chips if name.split()[-1] in known)


@pytest.mark.parametrize("language", ["zh", "en"])
def test_each_tenant_and_the_posting_sheet_have_a_page_of_their_own_on_paper(
    seen: dict[str, Any], language: str
) -> None:
    pages = len(re.findall(rb"/Type\s*/Page\b", seen["pdf"][language]))
    assert pages in (7, 8), "three or four of the park, the posting sheet, three tenants"
    sizes = set(re.findall(rb"/MediaBox\s*\[([^\]]*)\]", seen["pdf"][language]))
    assert {tuple(round(float(n)) for n in size.split()) for size in sizes} == {(0, 0, 595, 842)}
