"""The auditor's store: idempotent, forks kept and alarmed, receipts only for what is held."""

from __future__ import annotations

import base64
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from audit_logs import EPOCH, KEY, SmallLog, head
from click.testing import CliRunner
from nacl.signing import SigningKey

from agent.cli import cli
from audit.cosign import Cosigner, KeyFault, create_key, load_key
from audit.fold import fold
from audit.ingest import import_paths
from audit.parquet import read_part, write_part
from audit.rows import LogId, row_of
from audit.store import Store, StoreFault
from audit.writer import Writer
from contract.note import parse_verifier_key, public_raw, verify_cosignature
from contract.records import Boot, Pruned, encode
from contract.tree import leaf_hash

LOG = LogId("p-1", "gw-1", EPOCH)


def audit(*arguments: str) -> tuple[int, Any]:
    result = CliRunner().invoke(cli, ["--lang", "en", "audit", *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, json.loads(result.stdout) if result.stdout.startswith("{") else result.output


def test_an_export_comes_in_once_however_often_it_is_imported(tmp_path: Path) -> None:
    source = SmallLog.make(30).export(tmp_path / "export")
    code, result = audit("import", str(source), "--store", str(tmp_path / "store"), "--json")
    assert (code, result["new"], result["again"]) == (0, 30, 0)
    code, result = audit(
        "import", str(source / "records.ndjson"), str(source), "--store", str(tmp_path / "store"), "--json"
    )
    assert (code, result["new"], result["again"], result["logs"][0]["held"]) == (0, 0, 60, 30)
    log = Store(tmp_path / "store").log(LOG)
    assert [row.body for row in log.rows()] == SmallLog.make(30).records


def test_parts_in_any_order_make_the_same_log(tmp_path: Path) -> None:
    whole = SmallLog.make(20)
    for name, part in (("b", whole.records[10:]), ("a", whole.records[:12])):
        (tmp_path / f"{name}.ndjson").write_bytes(b"\n".join(reversed(part)) + b"\n")
        assert audit("import", str(tmp_path / f"{name}.ndjson"), "--store", str(tmp_path / "store"))[0] == 0
    code, result = audit("verify", "--store", str(tmp_path / "store"), "--json")
    assert code == 3
    assert [finding["code"] for finding in result["logs"][0]["findings"]] == ["no_key"]
    source = whole.export(tmp_path / "export")
    assert audit("import", str(source), "--store", str(tmp_path / "store"))[0] == 0
    code, result = audit("verify", "--store", str(tmp_path / "store"), "--json")
    assert (code, result["ok"], result["logs"][0]["held"]) == (0, True, 20)


def test_a_fork_is_kept_on_both_sides_and_alarmed(tmp_path: Path, caplog: Any) -> None:
    SmallLog.make(10).export(tmp_path / "one")
    other = SmallLog.make(10)
    other.records[4] = SmallLog.make(10, cause="other").records[4]
    (tmp_path / "two.ndjson").write_bytes(b"\n".join(other.records))
    store = tmp_path / "store"
    assert audit("import", str(tmp_path / "one"), "--store", str(store))[0] == 0
    code, result = audit("import", str(tmp_path / "two.ndjson"), "--store", str(store), "--json")
    assert (code, result["forks"], result["again"]) == (3, 1, 9)
    log = Store(store).log(LOG)
    sides = [(row.fork, row.body) for row in log.rows(first=4, last=5)]
    assert sides == [(0, SmallLog.make(10).records[4]), (1, other.records[4])]
    (alarm,) = Store(store).alarms()
    assert caplog.messages == [f"alarm {json.dumps(alarm, sort_keys=True, separators=(',', ':'))}"]
    assert (alarm["code"], alarm["seq"], alarm["leaf"]) == ("fork", 4, leaf_hash(other.records[4]).hex())
    code, result = audit("verify", "--store", str(store), "--json")
    assert (code, [f["code"] for f in result["logs"][0]["findings"]]) == (3, ["fork"])


def test_a_changed_record_is_found_by_the_hash_and_a_hole_by_its_place(tmp_path: Path) -> None:
    source = SmallLog.make(10).export(tmp_path / "export")
    lines = (source / "records.ndjson").read_bytes().splitlines()
    lines[6] = lines[6].replace(b'"start"', b'"stort"')
    del lines[3]
    (source / "records.ndjson").write_bytes(b"\n".join(lines))
    assert audit("import", str(source), "--store", str(tmp_path / "store"))[0] == 0
    _, result = audit("verify", "--store", str(tmp_path / "store"), "--json")
    found = {(finding["code"], finding["seq"]) for finding in result["logs"][0]["findings"]}
    assert {("hole", 3), ("fork", 6)} <= found


def test_a_hole_that_a_later_log_of_the_gateway_names_as_given_up_is_none(tmp_path: Path) -> None:
    whole = SmallLog.make(20)
    source, store = whole.export(tmp_path / "export"), tmp_path / "store"
    (source / "records.ndjson").write_bytes(b"".join(data + b"\n" for n, data in enumerate(whole.records) if n != 7))
    assert audit("import", str(source), "--store", str(store))[0] == 0
    _, result = audit("verify", "--store", str(store), "--json")
    assert [(f["code"], f["seq"]) for f in result["logs"][0]["findings"]] == [("hole", 7)]
    later = "6" * 32
    named = [Boot("damaged", EPOCH, "1"), Pruned([[5, 8]], "damaged", EPOCH)]
    lines = [encode(head(body.kind, seq, later), body) for seq, body in enumerate(named)]
    (tmp_path / "later.ndjson").write_bytes(b"\n".join(lines))
    assert audit("import", str(tmp_path / "later.ndjson"), "--store", str(store))[0] == 0
    _, result = audit("verify", "--store", str(store), "--json")
    assert {log["epoch"]: log["ok"] for log in result["logs"]} == {EPOCH: True, later: False}
    assert [f["code"] for f in result["logs"][1]["findings"]] == ["unsigned"]


def test_lines_that_are_no_records_are_refused_with_their_number(tmp_path: Path) -> None:
    path = tmp_path / "x.ndjson"
    evil = SmallLog.make(2).records[1].replace(b'"p-1"', b'"../.."')
    path.write_bytes(SmallLog.make(1).records[0] + b"\nnonsense\n" + evil + b"\n")
    code, result = audit("import", str(path), "--store", str(tmp_path / "store"), "--json")
    assert (code, result["new"], [entry["line"] for entry in result["refused"]]) == (3, 1, [2, 3])
    assert audit("import", str(tmp_path / "none"), "--store", str(tmp_path / "store"))[0] == 78
    with pytest.raises(StoreFault, match="no store"):
        Store(tmp_path / "nowhere")


def test_what_a_killed_fold_left_is_taken_away_and_nothing_is_lost(tmp_path: Path, monkeypatch: Any) -> None:
    whole = SmallLog.make(60)
    writer = Writer(tmp_path / "store")
    writer.take(whole.records[:40])
    monkeypatch.setattr("audit.fold.ROWS", 25)
    assert fold(writer.store) == 40

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    writer.take(whole.records[35:])
    with monkeypatch.context() as patch:
        patch.setattr("audit.fold._drop_hashes", killed)
        with pytest.raises(KeyboardInterrupt):
            fold(writer.store)
    parts = sorted(path.name for path in (tmp_path / "store").rglob("*.parquet"))
    assert parts == ["000001.parquet", "000002.parquet", "000003.parquet"]
    assert len(writer.store.part_paths()) == 2
    assert [row.body for row in writer.store.log(LOG).rows()] == whole.records
    assert fold(writer.store) == 20
    assert (fold(writer.store), len(writer.store.part_paths())) == (0, 3)
    log = writer.store.log(LOG)
    assert ([row.body for row in log.rows()], log.held, log.size) == (whole.records, 60, 60)
    assert [row.seq for row in log.rows(first=20, last=45)] == list(range(20, 45))
    writer.close()


def test_an_auditor_cosigns_only_what_it_holds_and_not_for_nothing(tmp_path: Path) -> None:
    key = create_key(tmp_path / "key", "audit.example/zj-1")
    assert load_key(tmp_path / "key").verifier == key.verifier
    whole = SmallLog.make(12)
    writer = Writer(tmp_path / "store")
    (tmp_path / "part.ndjson").write_bytes(b"\n".join(whole.records[:7] + whole.records[8:]))
    import_paths([tmp_path / "part.ndjson"], writer)
    cosigner = Cosigner(writer.store, key)
    assert cosigner.consider(LOG, whole.checkpoint(), 1000) is None
    writer.append(whole.records[7])
    receipt = cosigner.consider(LOG, whole.checkpoint(), 1001)
    assert receipt
    assert writer.store.notes(LOG, "receipts") == [receipt]
    checkpoint, seconds = verify_cosignature(receipt, key.verifier)
    assert (checkpoint.size, seconds) == (12, 1001)
    assert cosigner.consider(LOG, whole.checkpoint(), 9999) == ""  # nothing new since
    longer = SmallLog.make(14)
    writer.take(longer.records[12:])
    assert cosigner.consider(LOG, longer.checkpoint(), 1001 + 899) is None  # at most once an interval
    other = Cosigner(Store(tmp_path / "store"), key)
    assert other.consider(LOG, longer.checkpoint(), 1001 + 900)  # from what the store kept of the first twelve
    assert cosigner.consider(LOG, longer.checkpoint(), 1001 + 900) == ""
    writer.close()


def test_no_receipt_is_given_for_another_root_or_another_key(tmp_path: Path) -> None:
    key = create_key(tmp_path / "key", "audit.example/zj-1")
    source = SmallLog.make(6).export(tmp_path / "export")
    writer = Writer(tmp_path / "store")
    import_paths([source], writer)
    cosigner = Cosigner(writer.store, key)
    assert cosigner.consider(LOG, SmallLog.make(6, cause="x").checkpoint(), 1000) == ""
    stranger = SigningKey(bytes(32))
    assert cosigner.consider(LOG, SmallLog.make(6).checkpoint(key=stranger), 1000) == ""
    assert [alarm["code"] for alarm in writer.store.alarms()] == ["root", "checkpoint"]
    writer.close()


def test_the_import_writes_a_receipt_file_for_the_stick(tmp_path: Path) -> None:
    code, output = audit("key", str(tmp_path / "key"), "--name", "audit.example/zj-1")
    assert code == 0
    assert parse_verifier_key(output.strip()).name == "audit.example/zj-1"
    source = SmallLog.make(6).export(tmp_path / "export")
    code, result = audit(
        "import", str(source), "--store", str(tmp_path / "s"), "--cosign-key", str(tmp_path / "key"), "--json"
    )
    assert code == 0
    receipt = Path(result["receipts"][0]).read_text(encoding="utf-8")
    assert verify_cosignature(receipt, output.strip())[0].size == 6
    (tmp_path / "key").write_text("PRIVATE+KEY+x+00000000+AAAA")
    with pytest.raises(KeyFault):
        load_key(tmp_path / "key")


def test_another_key_of_a_gateway_is_refused(tmp_path: Path) -> None:
    source = SmallLog.make(3).export(tmp_path / "export")
    assert audit("import", str(source), "--store", str(tmp_path / "store"))[0] == 0
    code, output = audit("verify", "--store", str(tmp_path / "store"), "--key", f"p-1/gw-1={'A' * 43}=")
    assert (code, "another key is pinned" in output) == (78, True)
    pinned = base64.b64encode(public_raw(KEY)).decode()
    assert Store(tmp_path / "store").keys() == {"p-1/gw-1": pinned}


def test_a_full_disk_takes_nothing_and_what_comes_again_is_taken(tmp_path: Path) -> None:
    whole = SmallLog.make(400)
    writer = Writer(tmp_path / "store")
    writer.take(whole.records[:10])
    (pages,) = writer.store.db.execute("PRAGMA page_count").fetchone()
    writer.store.db.execute(f"PRAGMA max_page_count = {pages + 5}")
    with pytest.raises(OSError, match="full"):
        writer.take(whole.records)
    assert writer.store.log(LOG).held == 10
    writer.store.db.execute("PRAGMA max_page_count = 100000")
    assert [taken.outcome for taken in writer.take(whole.records)] == ["again"] * 10 + ["new"] * 390
    writer.close()


def test_columns_hold_what_can_be_read_and_null_for_the_rest(tmp_path: Path) -> None:
    raw = json.loads(SmallLog.make(1).records[0])
    raw |= {"kind": "interval", "tenant": "\ud800", "point": 7, "start": "soon", "end": "2026-07-01T00:00:00Z"}
    for kwh, held in (
        ("1.5", Decimal("1.5")),
        ("-0.000000000001", Decimal("-1e-12")),
        ("1e-13", None),
        ("1" * 27, None),
        ("NaN", None),
        ("", None),
        (3, None),
    ):
        row = row_of(json.dumps({**raw, "kwh": kwh}).encode(), 0)
        assert (row.kwh, row.tenant, row.point, row.slot_s) == (held, None, None, None)
        assert row.until_s == 1_782_864_000
    write_part(tmp_path / "part.parquet", [row])
    assert list(read_part(tmp_path / "part.parquet", LOG)) == [row]


def test_a_damaged_part_is_named_and_no_number_comes_of_it(tmp_path: Path) -> None:
    source = SmallLog.make(300).export(tmp_path / "export")
    assert audit("import", str(source), "--store", str(tmp_path / "store"))[0] == 0
    (part,) = (tmp_path / "store").rglob("*.parquet")
    whole = part.read_bytes()
    for at in (2000, len(whole) // 2, len(whole) - 6):
        part.write_bytes(whole[:at] + bytes([whole[at] ^ 0x40]) + whole[at + 1 :])
        code, output = audit("verify", "--store", str(tmp_path / "store"))
        assert (code, part.name in output) == (78, True), (at, output)
        assert audit("survey", "--store", str(tmp_path / "store"))[0] in (0, 74)  # it does not read every column
    part.write_bytes(whole)
    assert audit("verify", "--store", str(tmp_path / "store"))[0] == 0
