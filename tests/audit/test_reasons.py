"""A case for every reason code, through the command: evidence of three days, papers with one thing wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import fed_store
import pytest
from paper_park import Papers, Park, tenants

from audit.amounts import rounded
from audit.markup import REASONS

DAYS = 3
SOLAR = 300  # yuan
JUNE = 400


class Case(NamedTuple):
    """`before`: changes amounts; `after`: the written files. Expected: the park, one tenant, its reasons."""

    park: tuple[str, list[str]]
    tenant: tuple[str, str, list[str]] | None = None
    before: Callable[[Papers], None] | None = None
    after: Callable[[Path, Path], None] | None = None
    store: str = "good"
    words: tuple[str, ...] = ("--no-verify",)
    days: tuple[int, int] = (0, DAYS)


def more(tenant: str, yuan: str) -> Callable[[Papers], None]:
    return lambda papers: papers.yuan.update({tenant: papers.yuan[tenant] + Fraction(yuan)})


def moved(papers: Papers) -> None:
    more("t-bolt", "70.00")(papers)
    more("t-acme", "-70.00")(papers)


def replaced(which: int, was: str, becomes: str) -> Callable[[Path, Path], None]:
    """In the bill (0) or the charges (1)."""

    def change(*files: Path) -> None:
        encoding = ("utf-8", "gb18030")[which]
        text = files[which].read_text(encoding=encoding)
        assert was in text
        files[which].write_text(text.replace(was, becomes), encoding=encoding)

    return change


def more_energy(bill: Path, _charges: Path) -> None:
    """The grid billed a third more than the park's meters saw."""
    head, *rows = bill.read_text(encoding="utf-8").splitlines()
    lines = []
    for row in rows:
        cells = row.split(",")
        if cells[6] == "kWh":
            cells[5] = str(round(float(cells[5]) * 1.33, 2))
        lines.append(",".join(cells))
    bill.write_text("\n".join([head, *lines]), encoding="utf-8")


def without_energy(bill: Path, _charges: Path) -> None:
    head, *rows = bill.read_text(encoding="utf-8").splitlines()
    cells = [row.split(",") for row in rows]
    lines = [",".join([*row[:5], "", "", "", *row[8:]]) for row in cells]
    bill.write_text("\n".join([head, *lines]), encoding="utf-8")


def for_solar(papers: Papers) -> None:
    """Every tenant pays in proportion what the roof's power cost the park."""
    factor = 1 + SOLAR / papers.park.passable(0, DAYS)
    papers.yuan = {tenant: rounded(yuan * factor) for tenant, yuan in papers.yuan.items()}


def solar(bill: Path, _charges: Path) -> None:
    with bill.open("a", encoding="utf-8") as file:
        file.write(f"\n2026-07-01,2026-07-04,光伏购电,屋顶光伏,,500,kWh,0.60,{SOLAR}.00,是")


def for_june(papers: Papers) -> None:
    """The park passes on what the grid asks in July's bill for June, but to July's tenants."""
    papers.yuan = replace(papers.park, fixed=papers.park.fixed + JUNE).fair(0, DAYS)


def june(bill: Path, _charges: Path) -> None:
    head, *rows = bill.read_text(encoding="utf-8").splitlines()
    rows = [f"{row}," for row in rows] + [f"2026-07-01,2026-07-04,退补,六月退补,,,,,{JUNE}.00,是,2026-06"]
    bill.write_text("\n".join([f"{head},所属月份", *rows]), encoding="utf-8")


CASES = {
    "OK": Case(("green", ["OK"]), ("t-acme", "green", ["OK"])),
    "EXTRA_FEE": Case(
        ("red", ["EXTRA_FEE"]),
        ("t-bolt", "red", ["EXTRA_FEE"]),
        before=lambda papers: papers.fees.update({"t-bolt": "15.00"}),
    ),
    "CAP_EXCEEDED_LITERAL": Case(
        ("red", ["CAP_EXCEEDED_LITERAL"]), ("t-bolt", "red", ["TENANT_OVER"]), before=more("t-bolt", "400.00")
    ),
    "CAP_EXCEEDED": Case(
        ("yellow", ["CAP_EXCEEDED"]), ("t-acme", "yellow", ["TENANT_OVER"]), before=more("t-acme", "40.00")
    ),
    "TENANT_OVER": Case(("yellow", ["TENANT_OVER"]), ("t-bolt", "red", ["TENANT_OVER"]), before=moved),
    "METER_EXCHANGED": Case(
        ("yellow", ["TENANT_GREY"]), ("t-cord", "grey", ["METER_EXCHANGED", "READINGS_MISSING"]), store="exchanged"
    ),
    "ESTIMATED_TOO_MUCH": Case(("yellow", ["TENANT_GREY"]), ("t-bolt", "grey", ["ESTIMATED_TOO_MUCH"]), store="silent"),
    "METER_NOT_ACCEPTED": Case(
        ("yellow", ["TENANT_GREY"]), ("t-bolt", "grey", ["METER_NOT_ACCEPTED"]), store="unaccepted"
    ),
    "READINGS_MISSING": Case(
        ("grey", ["BALANCE_IMPLAUSIBLE", "READINGS_MISSING"]), ("t-acme", "grey", ["READINGS_MISSING"]), days=(1, 5)
    ),
    "BALANCE_IMPLAUSIBLE": Case(("grey", ["BALANCE_IMPLAUSIBLE"]), after=more_energy),
    "PERIOD_MISMATCH": Case(
        ("grey", ["PERIOD_MISMATCH"]),
        ("t-acme", "green", ["OK"]),
        before=lambda papers: setattr(papers, "days", (1, 3)),
        days=(0, 1),
    ),
    "CHARGE_MISSING": Case(
        ("grey", ["CHARGE_MISSING"]),
        ("t-cord", "grey", ["CHARGE_MISSING"]),
        before=lambda papers: papers.yuan.pop("t-cord") and None,
    ),
    "CHARGE_UNMATCHED": Case(
        ("grey", ["CHARGE_UNMATCHED"]), after=replaced(1, "\nt-acme", "\n丁家,,,,,,,1,0.50,,是\nt-acme")
    ),
    "TAX_UNKNOWN": Case(("grey", ["TAX_UNKNOWN"]), after=replaced(1, "含税", "备注")),
    "KWH_MISMATCH": Case(
        ("yellow", ["KWH_MISMATCH"]),
        ("t-acme", "yellow", ["KWH_MISMATCH"]),
        before=lambda papers: papers.multiplier.update({"t-acme": Fraction(60)}),
    ),
    "PV_UNRESOLVED": Case(("grey", ["PV_UNRESOLVED", "CAP_EXCEEDED_LITERAL"]), before=for_solar, after=solar),
    "CORRECTION_UNRESOLVED": Case(
        ("grey", ["CORRECTION_UNRESOLVED", "CAP_EXCEEDED_LITERAL"]), before=for_june, after=june
    ),
    "EVIDENCE_BAD": Case(("grey", ["EVIDENCE_BAD"]), ("t-acme", "green", ["OK"]), words=()),  # no raw frames
    "BILL_MISSING": Case(("grey", ["BILL_MISSING"]), ("t-acme", "grey", ["BILL_MISSING"]), store="no bill"),
    "MASTER_MISSING": Case(("grey", ["MASTER_MISSING", "POINTS_MISSING"]), after=without_energy, store="none"),
    "POINTS_MISSING": Case(("grey", ["POINTS_MISSING"]), ("t-acme", "grey", ["POINTS_MISSING"]), store="none"),
}


@pytest.fixture(scope="module")
def parks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Park]:
    first = date(2026, 7, 1)
    made: dict[str, dict[str, Any]] = {
        "good": {},
        "exchanged": {"serials": {1: ("m-103", "000000000999")}},
        "silent": {"silent": [("m-102", 1)]},
        "unaccepted": {"model": "acrel-ddsy1352"},
        "accepted": {"model": "acrel-ddsy1352", "accepted": True},
    }
    where = tmp_path_factory.mktemp("reasons")
    return {name: fed_store.make(where / name, first, DAYS, **options) for name, options in made.items()}


def test_there_is_a_case_for_every_reason_code() -> None:
    given = {reason for case in CASES.values() for reason in (*case.park[1], *(case.tenant[2] if case.tenant else ()))}
    assert given == set(REASONS)
    assert all(code in given for code in CASES)


@pytest.mark.parametrize("code", CASES)
def test_each_reason_is_given_for_its_cause_alone(parks: dict[str, Park], code: str, tmp_path: Path) -> None:
    case = CASES[code]
    park = parks.get(case.store, parks["good"])
    papers = Papers(park, *case.days)
    if case.before is not None:
        case.before(papers)
    files = papers.write(tmp_path)
    if case.after is not None:
        case.after(Path(files[1]), Path(files[3]))
    words = ["--common", "shared", *case.words]
    if case.store == "none":
        park = replace(park, store=None)
    if case.store == "no bill":
        files = files[2:]
    made = park.report(files, tmp_path, *words)
    assert (made["verdict"]["colour"], made["verdict"]["reasons"]) == case.park
    if case.tenant is not None:
        name, colour, reasons = case.tenant
        row = tenants(made)[name]
        assert (row["colour"], row["reasons"]) == (colour, reasons)
    assert made["official"] is False
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert all(reason in page and REASONS[reason][0] in page for reason in made["verdict"]["reasons"])
    assert "不是官方“转供电费码”" in page


def test_a_meter_that_was_accepted_is_no_doubt(parks: dict[str, Park], tmp_path: Path) -> None:
    made = Papers(parks["accepted"], 0, DAYS).report(tmp_path)
    row = tenants(made)["t-bolt"]
    assert (row["colour"], row["reasons"]) == ("green", ["OK"])
    assert made["verdict"]["colour"] == "green"


def test_the_order_of_rows_and_lines_changes_nothing(parks: dict[str, Park], tmp_path: Path) -> None:
    papers = Papers(parks["good"], 0, DAYS)
    more("t-bolt", "12.34")(papers)
    files = papers.write(tmp_path)
    words = ("--common", "shared", "--no-verify")
    before = papers.park.report(files, tmp_path, *words)
    for path, encoding in ((Path(files[1]), "utf-8"), (Path(files[3]), "gb18030")):
        head, *rows = path.read_text(encoding=encoding).splitlines()
        path.write_text("\n".join([head, *reversed(rows)]), encoding=encoding)
    after = papers.park.report(files, tmp_path, *words)
    for part in ("verdict", "figures", "losses", "conversion"):
        assert before[part] == after[part]
    assert [{**row, "rows": []} for row in before["tenants"]] == [{**row, "rows": []} for row in after["tenants"]]
