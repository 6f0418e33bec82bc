"""The gateway's key on disk, and `hubiao key`."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from agent.cli import cli
from agent.evidence.keys import KEY_FILE, KeyFault, create_key, fingerprint, load_key, load_or_create
from contract.note import public_raw

RFC_8410 = """-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC
-----END PRIVATE KEY-----
"""  # section 10.3


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
    encrypted = RFC_8410.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY")
    of_another_kind = RFC_8410.replace("K2VwBCIE", "K2VuBCIE")  # X25519
    for text in (
        "",
        "nonsense",
        "密钥",
        encrypted,
        of_another_kind,
        RFC_8410[:80],
        RFC_8410.replace("V", "!"),
        2 * RFC_8410,
    ):
        path.write_text(text, encoding="utf-8")
        path.chmod(0o600)
        with pytest.raises(KeyFault, match=r"gateway\.key: no Ed25519 key in PEM"):
            load_key(tmp_path)


def test_the_key_of_rfc_8410_is_read(tmp_path: Path) -> None:
    path = tmp_path / KEY_FILE
    path.parent.mkdir()
    path.write_text(RFC_8410)
    path.chmod(0o600)
    assert base64.b64encode(public_raw(load_key(tmp_path))) == b"Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE="


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
