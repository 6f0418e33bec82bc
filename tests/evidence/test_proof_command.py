"""`hubiao proof`: made from a store or from hashes alone, checked with the key alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from agent.cli import cli
from agent.evidence.store import Reader
from bench.evidence_auditor import KEY, make_log, reading
from contract.note import join_notes, origin, public_raw, verifier_key
from drivers.clock import VirtualClock

START_MS = 1_783_641_600_000


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    async def main() -> None:
        store, log = await make_log(place, clock, audited=False)
        for n in range(9):
            for meter in range(5):
                log.add(reading(meter, START_MS // 1000 + 900 * n))
            await log.commit()
        await log.close()
        await store.close()

    place, clock = tmp_path_factory.mktemp("proof") / "data", VirtualClock(START_MS)
    clock.run(main())
    return place


def vkey(data: Path) -> str:
    reader = Reader(data)
    try:
        return reader.epochs[-1].vkey
    finally:
        reader.close()


def made(*arguments: str) -> dict[str, Any]:
    said = CliRunner().invoke(cli, ["proof", *arguments])
    assert said.exit_code == 0, said.output
    return dict(json.loads(said.stdout))


def checked(place: Path, proof: dict[str, Any], key: str, record: bytes | None = None) -> int:
    (place / "proof.json").write_text(json.dumps(proof))
    arguments = ["proof", "check", str(place / "proof.json"), "--key", key]
    if record is not None:
        (place / "record").write_bytes(record + b"\n")
        arguments += ["--record", str(place / "record")]
    return CliRunner().invoke(cli, arguments).exit_code


@pytest.mark.parametrize("seq", [0, 1, 17, 46])
def test_a_record_is_shown_to_stand_in_the_log_without_the_log(data: Path, tmp_path: Path, seq: int) -> None:
    proof = made("inclusion", str(data), str(seq))
    reader = Reader(data)
    record = next(body for n, body, _ in reader.records(reader.epochs[-1], seq) if n == seq)
    reader.close()
    assert record is not None
    assert checked(tmp_path, proof, vkey(data), record) == 0
    assert checked(tmp_path, proof, vkey(data), record.replace(b'"v":1', b'"v":2')) == 3
    assert checked(tmp_path, {**proof, "seq": seq + 1}, vkey(data)) == 3
    assert checked(tmp_path, {**proof, "path": proof["path"][:-1]}, vkey(data)) == 3
    other = verifier_key(origin("other", "gw-1", "0" * 32), public_raw(KEY))
    assert checked(tmp_path, proof, other) == 3


def test_a_checkpoint_is_shown_to_be_the_beginning_of_a_later_one(data: Path, tmp_path: Path) -> None:
    proof = made("consistency", str(data), "12", "--size", "37")
    assert (proof["old"], proof["size"]) == (12, 37)
    assert checked(tmp_path, proof, vkey(data)) == 0
    assert (
        checked(tmp_path, {**proof, "old_checkpoint": made("inclusion", str(data), "0")["checkpoint"]}, vkey(data)) == 3
    )


def test_a_tenant_needs_hashes_and_checkpoints_alone(data: Path, tmp_path: Path) -> None:
    reader = Reader(data)
    rows = list(reader.records(reader.epochs[-1]))
    (tmp_path / "hashes.txt").write_text("".join(leaf.hex() + "\n" for _, _, leaf in rows))
    (tmp_path / "checkpoints.txt").write_text(join_notes(reader.checkpoints(reader.epochs[-1])))
    reader.close()
    assert made("inclusion", str(tmp_path), "20") == made("inclusion", str(data), "20")


def test_what_cannot_be_proved_is_said(data: Path, tmp_path: Path) -> None:
    run = CliRunner().invoke
    assert run(cli, ["proof", "inclusion", str(data), "47"]).exit_code == 2
    assert run(cli, ["proof", "inclusion", str(data), "1", "--size", "13"]).exit_code == 78
    assert run(cli, ["proof", "inclusion", str(tmp_path / "nowhere"), "1"]).exit_code == 78
    (tmp_path / "proof.json").write_text("[]")
    assert run(cli, ["proof", "check", str(tmp_path / "proof.json"), "--key", vkey(data)]).exit_code == 78
