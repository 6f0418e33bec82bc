"""`hubiao verify` on the files of an export and on a store."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from evidence_log import AUDITOR_VKEY, EPOCH, KEY, ORIGIN, Day, Log

from agent.cli import cli
from agent.evidence.store import Batch, Store
from contract import note, tree

VKEY = note.verifier_key(ORIGIN, KEY)


def live_methods_have_no_frames(log: Log) -> Log:
    """The builder's frames are no DL/T frames: readings by hand are not decoded again."""
    fresh = Log(checkpoints=log.checkpoints)
    config = ""
    for seq in range(len(log.records)):
        raw = log.raw(seq)
        changes: dict[str, Any] = {"config": config}
        if raw["kind"] == "reading":
            changes["method"] = "manual"
        log.rewrite(seq, **changes)
        fresh.records.append(log.records[seq])
        if raw["kind"] == "config":
            config = tree.leaf_hash(log.records[seq]).hex()
    return fresh.resigned()


LOG = live_methods_have_no_frames(Day(30, witnessed=False).build())


def export(log: Log, directory: Path) -> Path:
    directory.mkdir()
    (directory / "records.ndjson").write_bytes(b"".join(record + b"\n" for record in log.records))
    (directory / "hashes.txt").write_text("".join(leaf.hex() + "\n" for leaf in log.leaves))
    (directory / "checkpoints.txt").write_text(note.join_notes(log.checkpoints))
    (directory / "receipts.txt").write_text(note.join_notes(log.receipts))
    (directory / "key.txt").write_text(VKEY + "\n")
    return directory


@pytest.fixture
def evidence(tmp_path: Path) -> Path:
    return export(LOG, tmp_path / "evidence")


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["--lang", "en", "verify", *map(str, arguments)])


def test_a_clean_export_verifies_under_every_form_of_the_key(evidence: Path, tmp_path: Path) -> None:
    raw = tmp_path / "raw.txt"
    raw.write_text(base64.b64encode(KEY).decode() + "\n")
    for key in (VKEY, evidence / "key.txt", raw, base64.b64encode(KEY).decode()):
        result = run(evidence, "--key", key, "--json")
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout) == {
            "ok": True,
            "epoch": EPOCH,
            "size": len(LOG.records),
            "first_bad": None,
            "findings": [],
        }


def test_a_changed_byte_is_found_and_ends_with_3(evidence: Path) -> None:
    path = evidence / "records.ndjson"
    lines = path.read_bytes().split(b"\n")
    lines[57] = lines[57].replace(b"1", b"2", 1)
    path.write_bytes(b"\n".join(lines))
    result = run(evidence, "--key", VKEY, "--json")
    assert result.exit_code == 3
    said = json.loads(result.stdout)
    assert (said["ok"], said["first_bad"]) == (False, 57)
    assert {"code", "seq", "text"} == set(said["findings"][0])
    plain = run(evidence, "--key", VKEY)
    assert plain.exit_code == 3
    assert "57\thash\t" in plain.stdout


def test_the_process_ends_with_the_code_of_the_contract(evidence: Path) -> None:
    command = [sys.executable, "-c", "from agent.cli import main; main()", "verify", str(evidence), "--json", "--key"]
    assert subprocess.run([*command, VKEY], capture_output=True).returncode == 0
    (evidence / "checkpoints.txt").write_text("")
    assert subprocess.run([*command, VKEY], capture_output=True).returncode == 3
    assert subprocess.run([*command, "nonsense"], capture_output=True).returncode == 78


def test_a_line_among_the_hashes_that_is_none_is_found_where_it_is(evidence: Path) -> None:
    path = evidence / "hashes.txt"
    lines = path.read_text().split("\n")
    lines[99] = "not a hash"[:3]
    path.write_text("\n".join(lines))
    said = json.loads(run(evidence, "--key", VKEY, "--json").stdout)
    assert said["first_bad"] == 99


def test_a_hash_in_capital_letters_is_not_the_one_that_was_written(evidence: Path) -> None:
    path = evidence / "hashes.txt"
    lines = path.read_text().split("\n")
    lines[50] = lines[50].upper()
    path.write_text("\n".join(lines))
    said = json.loads(run(evidence, "--key", VKEY, "--json").stdout)
    assert said["first_bad"] == 50


def test_a_verifier_key_of_another_epoch_is_told_apart(evidence: Path) -> None:
    other = note.verifier_key(note.origin("xihu-01", "gw-1", "1e" * 16), KEY)
    said = json.loads(run(evidence, "--key", other, "--json").stdout)
    assert "origin" in {finding["code"] for finding in said["findings"]}


@pytest.mark.parametrize("key", ["nonsense", "a+b+c", AUDITOR_VKEY, "AAAA"])
def test_a_key_that_is_none_is_bad_input(key: str, evidence: Path) -> None:
    assert run(evidence, "--key", key).exit_code == 78


def test_a_pinned_auditor_that_is_none_is_bad_input(evidence: Path) -> None:
    assert run(evidence, "--key", VKEY, "--auditor", "nobody").exit_code == 78


@pytest.mark.parametrize("gone", ["records.ndjson", "hashes.txt", "checkpoints.txt"])
def test_a_file_that_is_missing_is_named(gone: str, evidence: Path) -> None:
    (evidence / gone).unlink()
    result = run(evidence, "--key", VKEY)
    assert result.exit_code == 78
    assert gone in result.output


async def test_a_store_verifies_like_an_export_of_it(tmp_path: Path) -> None:
    store = Store(tmp_path, nullcontext)
    await store.open()
    epoch = await store.begin_epoch(EPOCH, "test", VKEY, tree.Frontier().to_bytes())
    frontier = tree.Frontier()
    for leaf in LOG.leaves:
        frontier.append(leaf)
    batch = Batch(0, 1, LOG.records, LOG.leaves, frontier.to_bytes())
    await store.append(epoch, [batch], 0, (len(LOG.records), LOG.checkpoints[-1]))
    await store.close()
    for path in (tmp_path, tmp_path / "hubiao.db"):
        result = run(path, "--key", VKEY, "--json")
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)["size"] == len(LOG.records)
    assert run(tmp_path, "--key", VKEY, "--epoch", "none").exit_code == 78


async def test_records_of_a_store_whose_checkpoint_is_not_stored_yet_are_left_out_aloud(tmp_path: Path) -> None:
    sizes = [note.parse_checkpoint(note.parse_note(text)[0]).size for text in LOG.checkpoints]
    store = Store(tmp_path, nullcontext)
    await store.open()
    epoch = await store.begin_epoch(EPOCH, "test", VKEY, tree.Frontier().to_bytes())
    batch = Batch(0, 1, LOG.records, LOG.leaves, tree.Frontier().to_bytes())
    await store.append(epoch, [batch], 0, (sizes[-3], LOG.checkpoints[-3]))
    await store.close()
    result = run(tmp_path, "--key", VKEY, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["size"] == sizes[-3]
    assert str(len(LOG.records) - sizes[-3]) in result.stderr
