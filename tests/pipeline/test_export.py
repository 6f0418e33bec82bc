"""`hubiao export`: spans as tables and as records, and evidence that a stranger can verify."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from reading_store import KEY, STEP, TEN, Morning

from agent.cli import cli
from agent.cli.parquet import Column, parquet
from agent.evidence.log import Identity
from agent.evidence.opening import open_log
from agent.evidence.store import Store
from contract.note import cosign, public_raw, split_notes
from contract.verify import Evidence, verify

PUBLIC = public_raw(KEY)
SPAN = ("--from", "2026-07-10 10:15", "--to", "2026-07-10 11:00")
OTHER_SPAN = ("--from", "2026-07-01", "--to", "2026-07-02")


@pytest.fixture(scope="module")
def morning(tmp_path_factory: pytest.TempPathFactory) -> Morning:
    return Morning(tmp_path_factory.mktemp("park")).write()


def run(morning: Morning, *arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["--lang", "en", "export", "--data", str(morning.data), *map(str, arguments)])


def records(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def evidence_of(directory: Path) -> Evidence:
    return Evidence(
        records=(directory / "records.ndjson").read_bytes().splitlines(),
        leaves=[bytes.fromhex(line) for line in (directory / "hashes.txt").read_text().splitlines()],
        checkpoints=split_notes((directory / "checkpoints.txt").read_text()),
        receipts=split_notes((directory / "receipts.txt").read_text()),
    )


def test_csv_gives_the_intervals_of_the_span_in_local_time(morning: Morning) -> None:
    result = run(morning, *SPAN, "--csv")
    assert result.exit_code == 0, result.output
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert {row["start"] for row in rows} == {"2026-07-10 10:15", "2026-07-10 10:30", "2026-07-10 10:45"}
    masters = [
        (row["start"][11:], row["end"][11:], row["period"], row["kwh"]) for row in rows if row["point"] == "m-000"
    ]
    assert masters == [
        ("10:15", "10:30", "flat", "120.00"),
        ("10:30", "10:45", "flat", "120.00"),
        ("10:45", "11:00", "flat", "120.00"),
    ]
    late = next(row for row in rows if row["tenant"] == "cord" and row["start"].endswith("10:45"))
    assert late["quality"] == "estimated"  # written only at 11:15
    assert {row["epoch"] for row in rows} == {morning.log.epoch.id}


def test_csv_as_json_has_the_same_rows(morning: Morning) -> None:
    rows = json.loads(run(morning, *SPAN, "--csv", "--json").stdout)
    table = list(csv.DictReader(io.StringIO(run(morning, *SPAN, "--csv").stdout)))
    assert [row["seq"] for row in rows] == [int(row["seq"]) for row in table]
    assert rows[0].keys() == table[0].keys()


def test_only_the_newest_revision_of_an_interval_is_in_the_table(tmp_path: Path) -> None:
    def revise(morning: Morning) -> None:
        morning.revise("m-000", 2)

    rows = json.loads(run(Morning(tmp_path, after={6: revise}).write(), *SPAN, "--csv", "--json").stdout)
    assert [row["revision"] for row in rows if row["point"] == "m-000"] == [0, 1, 0]


def test_ndjson_gives_records_by_what_they_are_about_byte_for_byte(morning: Morning, tmp_path: Path) -> None:
    result = run(morning, *SPAN, "--ndjson")
    found = records(result)
    assert {record["slot"] for record in found if record["kind"] == "reading"} == {
        *("2026-07-10T02:15:00Z", "2026-07-10T02:30:00Z", "2026-07-10T02:45:00Z"),
    }
    assert {record["start"] for record in found if record["kind"] == "interval"} == {
        *("2026-07-10T02:15:00Z", "2026-07-10T02:30:00Z", "2026-07-10T02:45:00Z"),
    }
    run(morning, "--evidence", tmp_path / "e")
    log = (tmp_path / "e" / "records.ndjson").read_text().splitlines()
    assert [log[record["seq"]] for record in found] == result.stdout.splitlines()
    assert json.loads(run(morning, *SPAN, "--ndjson", "--json").stdout) == found


def test_spans_that_follow_one_another_give_every_record_once(morning: Morning, tmp_path: Path) -> None:
    bounds = ["2026-07-10 09:00", "2026-07-10 10:30", "2026-07-10T03:07:30Z", "2026-07-10 24:00"]
    parts = [
        record["seq"]
        for first, last in pairwise(bounds)
        for record in records(run(morning, "--from", first, "--to", last, "--ndjson"))
    ]
    assert sorted(parts) == list(range(morning.log.size))


def test_a_record_without_a_clock_goes_with_the_next_that_has_one(tmp_path: Path) -> None:
    morning = Morning(tmp_path, slots=range(3))
    morning.clock.state = ("none", None)  # boot and configuration are written before there is time
    morning.after = {0: lambda m: setattr(m.clock, "state", ("disciplined", 5))}
    morning.write()
    first = records(run(morning, "--from", "2026-07-10 10:00", "--to", "2026-07-10 10:01", "--ndjson"))
    assert [record["kind"] for record in first[:3]] == ["boot", "config", "reading"]
    later = records(run(morning, "--from", "2026-07-10 10:15", "--to", "2026-07-10 11:00", "--ndjson"))
    assert "boot" not in {record["kind"] for record in later}


def test_an_empty_span_gives_no_records_and_0(morning: Morning) -> None:
    result = run(morning, *OTHER_SPAN, "--ndjson")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")
    table = run(morning, *OTHER_SPAN, "--csv")
    assert (table.exit_code, len(table.stdout.splitlines())) == (0, 1)  # the header
    assert json.loads(run(morning, *OTHER_SPAN, "--csv", "--json").stdout) == []


def test_a_span_reaches_into_the_epoch_before(tmp_path: Path) -> None:
    morning = Morning(tmp_path).write()

    async def begin() -> None:
        store = Store(morning.data, morning.clock.hold)
        await store.open()
        await store.begin_epoch("ab" * 16, "restored", "", b"\0" * 8)
        await store.close()

    before = run(morning, *SPAN, "--csv").stdout
    morning.clock.run(begin())
    after = run(morning, *SPAN, "--csv")
    assert (after.exit_code, after.stdout) == (0, before)


def test_exported_evidence_verifies(morning: Morning, tmp_path: Path) -> None:
    result = run(morning, "--evidence", tmp_path / "e", "--json")
    size = morning.log.size
    written = json.loads(result.stdout)
    assert (written["records"], written["size"], written["unsigned"], written["receipts"]) == (size, size, 0, 0)
    names = sorted(path.name for path in (tmp_path / "e").iterdir())
    assert names == ["checkpoints.txt", "hashes.txt", "key.txt", "receipts.txt", "records.ndjson"]
    found = verify(evidence_of(tmp_path / "e"), PUBLIC)
    assert (found["findings"], found["epoch"], found["size"]) == ([], morning.log.epoch.id, size)
    assert (tmp_path / "e" / "key.txt").read_text().strip() == morning.log.epoch.vkey


def test_an_altered_export_does_not_verify(morning: Morning, tmp_path: Path) -> None:
    run(morning, "--evidence", tmp_path)
    path = tmp_path / "records.ndjson"
    text = path.read_bytes()
    assert text.count(b'"import":"1001.10"')
    path.write_bytes(text.replace(b'"import":"1001.10"', b'"import":"1001.20"'))
    assert not verify(evidence_of(tmp_path), PUBLIC)["ok"]


def test_beside_a_running_agent_evidence_ends_at_its_newest_checkpoint(tmp_path: Path) -> None:
    results: list[Result] = []

    def export(morning: Morning) -> None:
        results.append(run(morning, "--evidence", tmp_path / "e", "--json"))

    Morning(tmp_path, after={4: export}).write()
    written = json.loads(results[0].stdout)
    assert written["unsigned"] > 0  # its checkpoint becomes durable with the next commit
    assert "have no checkpoint" in results[0].stderr
    found = verify(evidence_of(tmp_path / "e"), PUBLIC)
    assert (found["findings"], found["size"]) == ([], written["size"])


def test_a_receipt_covers_what_no_stored_checkpoint_does(tmp_path: Path) -> None:
    """The auditor's answer to a checkpoint can be in the store before the checkpoint is."""

    def receive(morning: Morning) -> None:
        receipt = cosign(KEY, "audit.example/zj-1", morning.log.checkpoint, TEN + 4 * STEP)
        with sqlite3.connect(morning.data / "hubiao.db") as db:
            db.execute("INSERT INTO receipt VALUES (1, 'audit.example/zj-1', ?, 1, ?)", (morning.log.size, receipt))
        db.close()
        run(morning, "--evidence", tmp_path / "e")

    Morning(tmp_path, after={4: receive}).write()
    evidence = evidence_of(tmp_path / "e")
    assert len(evidence.receipts) == 1
    assert verify(evidence, PUBLIC)["findings"] == []


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--csv",),
        ("--csv", "--from", "2026-07-10"),
        SPAN,
        (*SPAN, "--parquet", "--json"),
        ("--evidence", "x", *SPAN),
        ("--evidence", "x", "--csv"),
        ("--csv", "--from", "July", "--to", "2026-08-01"),
    ],
)
def test_wrong_usage_ends_with_2(morning: Morning, arguments: tuple[str, ...]) -> None:
    assert run(morning, *arguments).exit_code == 2


def test_parquet_has_the_rows_of_the_table(morning: Morning) -> None:
    file = run(morning, *SPAN, "--parquet").stdout_bytes
    rows = json.loads(run(morning, *SPAN, "--csv", "--json").stdout)
    assert file[:4] == file[-4:] == b"PAR1"
    for column in ("period", "quality", "epoch"):
        assert b"".join(len(row[column]).to_bytes(4, "little") + row[column].encode() for row in rows) in file
    scale = max(len(row["kwh"].partition(".")[2]) for row in rows)
    exact = (int(Decimal(row["kwh"]).scaleb(scale)) for row in rows)
    assert b"".join(kwh.to_bytes(16, "big", signed=True) for kwh in exact) in file


def test_a_parquet_file_is_the_one_that_pyarrow_and_duckdb_read() -> None:
    """golden/table.parquet was read by pyarrow 26.0.1 and DuckDB 2.0.1 on 2026-11-28 as exactly these rows."""
    columns = [Column("who", "text"), Column("at", "instant"), Column("kwh", "decimal"), Column("n", "number")]
    rows: list[tuple[str | int | Decimal | None, ...]] = [
        ("埃克米", 1_783_000_000_000, Decimal("123456.78"), 7),
        (None, 1_783_000_900_000, Decimal("-0.0025"), -1),
        (None, None, None, None),
        ("", 0, Decimal("1E+2"), 2**40),
        *(("x", n, Decimal(n), n) for n in range(300)),
    ]
    assert parquet(columns, rows) == (Path(__file__).parents[1] / "golden" / "table.parquet").read_bytes()
    assert len(parquet(columns, [])) > len(columns)
    with pytest.raises(ValueError, match=r"kwh: 1E.40 has more than 38 digits"):
        parquet(columns, [(None, None, Decimal("1E+40"), None)])


def test_an_unknown_epoch_and_a_store_without_configuration_are_1(morning: Morning, tmp_path: Path) -> None:
    assert run(morning, "--evidence", tmp_path / "e", "--epoch", "00" * 16).exit_code == 1

    async def empty() -> None:
        store = Store(tmp_path, morning.clock.hold)
        log = await open_log(store, Identity("xihu-01", "gw-1", "0.1.0"), morning.clock, KEY)
        await log.close()
        await store.close()

    morning.clock.run(empty())
    result = CliRunner().invoke(cli, ["--lang", "en", "export", "--data", str(tmp_path), *SPAN, "--ndjson"])
    assert result.exit_code == 1
    assert "no configuration yet" in result.stderr


def test_a_directory_that_cannot_be_written_is_74(morning: Morning, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert run(morning, "--evidence", tmp_path / "file" / "e").exit_code == 74
