"""Many parks: the questions of a province and verification, the same from one process, from several and from Spark."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from audit.fold import fold
from audit.questions import Answer
from audit.rows import RecordFault, Row
from audit.store import Store
from audit.survey import survey
from audit.verify_store import verify_store
from audit.writer import Writer
from bench.evidence_auditor import AUDITOR_VKEY
from bench.province import Template, names, put
from contract import note

SLOTS = 8


@pytest.fixture(scope="module")
def template() -> Template:
    return Template.play(5, SLOTS)


@pytest.fixture
def province(tmp_path: Path, template: Template) -> Iterator[Store]:
    """Three parks that are in order and one with a hole, a fork and a changed record."""
    writer = Writer(tmp_path / "store")
    for name in names(3):
        put(writer, template.stamp(name))
    bad = template.stamp("p0bad")
    bodies = [row.body for row in bad.rows]
    other = bodies[20].replace(b'"attempts":1', b'"attempts":2')
    changed = bodies[30].replace(b'"v":1', b'"v":1,"x":1')
    taken = writer.take([*bodies[:10], *bodies[11:30], changed, *bodies[31:], other])
    assert not [fault for fault in taken if isinstance(fault, RecordFault)]
    writer.add_notes(bad.which, "checkpoints", note.join_notes(bad.checkpoints).encode())
    fold(writer.store)
    yield writer.store
    writer.close()


@pytest.fixture
def revised(tmp_path: Path, template: Template) -> Iterator[tuple[Store, list[Row]]]:
    """A park whose first reading was revised once and its first interval twice, in columns alone; these five rows."""
    writer = Writer(tmp_path / "revised")
    stamped = template.stamp("p0rev")
    reading, interval = (next(r for r in stamped.rows if r.kind == kind) for kind in ("reading", "interval"))
    assert (reading.register, interval.kwh) != (None, None)
    rows = [reading._replace(revision=1, quality="estimated"), interval._replace(revision=1, kwh=Decimal(7))]
    rows.append(rows[1]._replace(revision=2, kwh=Decimal(9)))
    size = len(stamped.rows)
    stamped.rows += [row._replace(seq=size + n) for n, row in enumerate(rows)]
    put(writer, stamped)
    yield writer.store, [reading, interval, *rows]
    writer.close()


def test_parks_in_order_verify_and_the_bad_one_is_told_from_them(province: Store) -> None:
    result = verify_store(province, auditors=[AUDITOR_VKEY])
    assert [(log["park"], log["findings"]) for log in result["logs"][:3]] == [(name, []) for name in names(3)]
    found = {finding["code"] for finding in result["logs"][3]["findings"]}
    assert {"no_key", "hole", "fork"} <= found
    assert [alarm["code"] for alarm in result["alarms"]] == ["fork"]


def test_processes_side_by_side_say_the_same_as_one(province: Store) -> None:
    assert verify_store(province, jobs=2) == verify_store(province)


def test_the_survey_counts_what_there_is(province: Store, template: Template) -> None:
    found = survey(province)
    logs = {row["park"]: row for row in found["logs"]}
    assert [logs[name]["records"] for name in names(3)] == [len(template.rows)] * 3
    assert (logs["p0001"]["holes"], logs["p0001"]["forks"]) == (0, 0)
    assert (logs["p0bad"]["holes"], logs["p0bad"]["forks"]) == (1, 1)
    meters = [row for row in found["meters"] if row["park"] == "p0001"]
    readings = {(r.meter, r.slot_s) for r in template.rows if r.kind == "reading" and r.slot_s is not None}
    assert sum(row["slots"] for row in meters) == len(readings)
    assert {row["falls"] for row in meters} == {0}
    newest: dict[Any, Any] = {}
    for row in template.rows:
        if row.kind == "interval":
            newest[row.tenant, row.point, row.role, row.slot_s] = row.kwh
    told = [row for row in found["energy"] if row["park"] == "p0001"]
    assert sum(row["intervals"] for row in told) == len(newest)
    assert sum(Decimal(row["kwh"]) for row in told) == sum(newest.values())


def test_of_what_was_revised_the_newest_counts(revised: tuple[Store, list[Row]], province: Store) -> None:
    store, (reading, interval, *_) = revised
    was, found = survey(province, "p0001"), survey(store)

    def of(answers: dict[str, list[Answer]], question: str, **names: object) -> Answer:
        return next(row for row in answers[question] if names.items() <= row.items())

    meter, holder = {"meter": reading.meter}, {"tenant": interval.tenant or "", "period": interval.period}
    before, after = of(was, "meters", **meter), of(found, "meters", **meter)
    assert (after["slots"], after["longest_hole_s"]) == (before["slots"], before["longest_hole_s"])
    assert (after["measured"], after["estimated"]) == (before["measured"] - 1, before["estimated"] + 1)
    before, after = of(was, "energy", **holder), of(found, "energy", **holder)
    assert after["intervals"] == before["intervals"]
    assert Decimal(after["kwh"]) - Decimal(before["kwh"]) == 9 - (interval.kwh or 0)
    assert of(found, "logs")["revisions"] == of(was, "logs")["revisions"] + 3


@pytest.mark.skipif(importlib.util.find_spec("pyspark") is None, reason="no pyspark: pip install hubiao[fleet]")
def test_spark_gives_the_same_answers(province: Store, revised: tuple[Store, list[Row]]) -> None:
    from audit import fleet

    spark = fleet.session("local[2]", {"spark.sql.shuffle.partitions": "4"})
    try:
        assert fleet.survey(spark, province) == survey(province)
        assert fleet.survey(spark, revised[0]) == survey(revised[0])
        assert fleet.verify_store(spark, province) == verify_store(province)
    finally:
        spark.stop()
