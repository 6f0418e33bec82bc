"""The gateway's key on disk, and `hubiao key`."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from agent.cli import cli
from agent.evidence.keys import KEY_FILE, KeyFault, create_key, fingerprint, load_key, load_or_create
from contract.note import public_raw


def test_a_key_is_made_once_and_read_back(tmp_path: Path) -> None:
    made = create_key(tmp_path)
    assert public_raw(load_key(tmp_path)) == public_raw(made) == public_raw(load_or_create(tmp_path))


def test_only_the_owner_may_read_the_key(tmp_path: Path) -> None:
    create_key(tmp_path)
    assert (tmp_path / KEY_FILE).stat().st_mode & 0o777 == 0o600
    assert (tmp_path / KEY_FILE).parent.stat().st_mode & 0o777 == 0o700


def test_a_key_is_never_replaced(tmp_path: Path) -> None:
    before = public_raw(create_key(tmp_path))
    with pytest.raises(KeyFault, match="already"):
        create_key(tmp_path)
    assert public_raw(load_key(tmp_path)) == before


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    create_key(tmp_path)
    os.chmod(tmp_path / KEY_FILE, 0o640)
    with pytest.raises(KeyFault, match="640"):
        load_key(tmp_path)


def test_what_is_no_ed25519_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyFault, match="No such file"):
        load_key(tmp_path)
    path = tmp_path / KEY_FILE
    path.parent.mkdir()
    other = generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for text in (b"", b"nonsense", other):
        path.write_bytes(text)
        path.chmod(0o600)
        with pytest.raises(KeyFault):
            load_key(tmp_path)


def test_a_fingerprint_is_the_beginning_of_the_keys_hash() -> None:
    digest = hashlib.sha256(bytes(range(32))).hexdigest()
    assert fingerprint(bytes(range(32))).replace(" ", "") == digest[:32]


def test_key_init_and_show_say_the_same(tmp_path: Path) -> None:
    init = CliRunner().invoke(cli, ["key", "init", "--data", str(tmp_path), "--json"])
    show = CliRunner().invoke(cli, ["key", "show", "--data", str(tmp_path), "--json"])
    assert (init.exit_code, show.exit_code) == (0, 0)
    said = json.loads(show.stdout)
    assert json.loads(init.stdout) == said
    raw = base64.b64decode(said["public_key"])
    assert raw == public_raw(load_key(tmp_path))
    assert said["fingerprint"] == fingerprint(raw)
    assert said["verifier_key"] is None, "there is no store, so there is no epoch"


def test_key_verbs_say_what_is_wrong(tmp_path: Path) -> None:
    missing = CliRunner().invoke(cli, ["key", "show", "--data", str(tmp_path)])
    assert missing.exit_code == 74
    assert "gateway.key" in missing.output
    create_key(tmp_path)
    again = CliRunner().invoke(cli, ["key", "init", "--data", str(tmp_path)])
    assert again.exit_code == 74
    nowhere = CliRunner().invoke(cli, ["key", "show"])
    assert nowhere.exit_code == 2
