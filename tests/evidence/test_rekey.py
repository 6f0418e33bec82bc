"""A change of the gateway's key: signed by both, followed by an auditor who pinned the old one, by nobody else."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from nacl.signing import SigningKey

from agent.cli import cli
from agent.evidence import keys
from agent.evidence.keys import KEY_FILE, NEXT_FILE, create_key, load_key, renew_key
from agent.evidence.log import Identity
from agent.evidence.opening import open_log
from agent.evidence.store import Reader, Store
from audit.rows import LogId
from audit.verify_store import verify_store
from audit.writer import Writer
from bench.evidence_auditor import GATEWAY, PARK, reading
from contract.note import NoteError, public_raw
from contract.rekey import Rekey, sign_rekey, verify_rekey
from drivers.clock import VirtualClock

START_MS = 1_783_641_600_000
OLD = SigningKey(bytes(range(32)))
NEW = SigningKey(bytes(range(32, 64)))


def life(data: Path, sweeps: int = 2) -> None:
    """A start with the key that lies there, some sweeps, a clean end."""

    async def main() -> None:
        store = Store(data, clock.hold)
        log = await open_log(store, Identity(PARK, GATEWAY, "0.1.0"), clock, load_key(data))
        for n in range(sweeps):
            log.add(reading(1, START_MS // 1000 + 900 * n))
            await log.commit()
        await log.close()
        await store.close()

    clock = VirtualClock(START_MS)
    clock.run(main())


def test_both_keys_sign_and_both_are_checked() -> None:
    text = sign_rekey(PARK, GATEWAY, OLD, NEW)
    assert verify_rekey(text) == Rekey(PARK, GATEWAY, public_raw(OLD), public_raw(NEW))
    body, lines = text.rpartition("\n\n")[0], text.rpartition("\n\n")[2].splitlines()
    assert len(lines) == 2
    for kept in lines:
        with pytest.raises(NoteError):
            verify_rekey(f"{body}\n\n{kept}\n")
    with pytest.raises(NoteError):
        verify_rekey(text.replace(GATEWAY, "gw-2"))
    with pytest.raises(NoteError, match="twice"):
        verify_rekey(sign_rekey(PARK, GATEWAY, OLD, OLD))


def test_the_next_start_begins_an_epoch_that_names_the_old_one_and_carries_the_note(tmp_path: Path) -> None:
    create_key(tmp_path)
    life(tmp_path)
    said = CliRunner().invoke(cli, ["key", "renew", "--data", str(tmp_path), "--json"])
    assert said.exit_code == 0, said.output
    told = json.loads(said.stdout)
    assert told["undelivered"] == 3
    life(tmp_path)
    life(tmp_path)
    reader = Reader(tmp_path)
    first, second = reader.epochs
    boots = [json.loads(record or b"{}") for _, record, _ in reader.records(second) if record and b'"boot"' in record]
    boots = [raw for raw in boots if raw["kind"] == "boot"]
    reader.close()
    assert [(raw["cause"], raw["previous_epoch"]) for raw in boots] == [("rekeyed", first.id), ("start", None)]
    assert boots[0]["rekey"] == told["note"]
    assert "rekey" not in boots[1]
    assert base64.b64encode(verify_rekey(told["note"]).new).decode() == told["public_key"]


def test_a_renewal_is_refused_beside_a_running_agent_and_before_anything_was_signed(tmp_path: Path) -> None:
    create_key(tmp_path)
    early = CliRunner().invoke(cli, ["key", "renew", "--data", str(tmp_path)])
    assert early.exit_code == 74
    life(tmp_path)
    before = (tmp_path / KEY_FILE).read_bytes()
    clock = VirtualClock(START_MS)
    running = Store(tmp_path, clock.hold)
    busy = CliRunner().invoke(cli, ["key", "renew", "--data", str(tmp_path)])
    clock.run(running.close())
    assert busy.exit_code == 74
    assert (tmp_path / KEY_FILE).read_bytes() == before


def test_a_renewal_that_was_cut_off_is_brought_to_an_end_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_key(tmp_path)
    old = load_key(tmp_path)
    calls = []

    def cut(path: Path) -> None:
        calls.append(path)
        if len(calls) == 2:  # the new key and the note are there, the old key is still in its place
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(keys, "_sync_directory", cut)
        with pytest.raises(KeyboardInterrupt):
            renew_key(tmp_path, PARK, GATEWAY)
    assert public_raw(load_key(tmp_path)) == public_raw(old)
    made = public_raw(load_key(tmp_path, NEXT_FILE))
    note = renew_key(tmp_path, PARK, GATEWAY)
    assert verify_rekey(note) == Rekey(PARK, GATEWAY, public_raw(old), made)
    assert public_raw(load_key(tmp_path)) == made
    assert not (tmp_path / NEXT_FILE).exists()


def test_another_key_without_the_old_ones_signature_is_a_lost_key(tmp_path: Path) -> None:
    create_key(tmp_path)
    life(tmp_path)
    (tmp_path / KEY_FILE).unlink()
    create_key(tmp_path)
    (tmp_path / keys.REKEY_FILE).write_text(sign_rekey(PARK, GATEWAY, OLD, load_key(tmp_path)))
    life(tmp_path)
    reader = Reader(tmp_path)
    assert [epoch.cause for epoch in reader.epochs] == ["new_store", "key_lost"]
    reader.close()


@pytest.mark.parametrize("honest", [True, False])
def test_an_auditor_follows_the_key_that_the_pinned_one_signed_and_no_other(tmp_path: Path, honest: bool) -> None:
    data = tmp_path / "data"
    create_key(data)
    pinned = public_raw(load_key(data) if honest else NEW)
    life(data)
    renew_key(data, PARK, GATEWAY)
    life(data)
    writer = Writer(tmp_path / "audit")
    writer.store.pin_key(PARK, GATEWAY, base64.b64encode(pinned).decode())
    reader = Reader(data)
    for epoch in reader.epochs:
        writer.take([record for _, record, _ in reader.records(epoch) if record is not None])
        for note in reader.checkpoints(epoch):
            writer.add_note(LogId(PARK, GATEWAY, epoch.id), "checkpoints", note)
    reader.close()
    found = {finding["code"] for log in verify_store(writer.store)["logs"] for finding in log["findings"]}
    writer.close()
    assert ("checkpoint" in found) is not honest
