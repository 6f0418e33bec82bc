"""OpenSSL, through `cryptography`, reads our keys and verifies our signatures, and we its."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from nacl.signing import SigningKey

from agent.evidence.keys import KEY_FILE, create_key, load_key
from contract import note

NAME = note.origin("p", "g", "0" * 32)
POINT = note.Checkpoint(NAME, 7, bytes(range(32)))


def test_openssl_reads_the_key_we_made(tmp_path: Path) -> None:
    made = create_key(tmp_path)
    theirs = load_pem_private_key((tmp_path / KEY_FILE).read_bytes(), None)
    assert isinstance(theirs, Ed25519PrivateKey)
    assert theirs.private_bytes_raw() == bytes(made)
    assert (tmp_path / KEY_FILE).read_bytes() == theirs.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def test_a_key_from_openssl_is_ours(tmp_path: Path) -> None:
    theirs = Ed25519PrivateKey.generate()
    path = tmp_path / KEY_FILE
    path.parent.mkdir()
    path.write_bytes(theirs.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    path.chmod(0o600)
    assert note.public_raw(load_key(tmp_path)) == theirs.public_key().public_bytes_raw()


def test_each_verifies_the_others_signature() -> None:
    ours = SigningKey(bytes(range(32)))
    theirs = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    body, [signature] = note.parse_note(note.sign_checkpoint(ours, POINT))
    assert signature.signature == theirs.sign(body.encode())  # Ed25519 signs without chance
    Ed25519PublicKey.from_public_bytes(note.public_raw(ours)).verify(signature.signature, body.encode())


def test_a_key_under_which_anything_verifies_is_no_key() -> None:
    """A point of small order: OpenSSL takes (it, R = it, S = 0) for a signature of one message in eight and more."""
    point = bytes([1, *bytes(31)])
    text = note.format_checkpoint(POINT)
    forged = f"{text}\n— {NAME} {_line(point, point + bytes(32))}\n"
    Ed25519PublicKey.from_public_bytes(point).verify(point + bytes(32), text.encode())
    with pytest.raises(note.NoteError, match="does not verify"):
        note.verify_checkpoint(forged, note.verifier_key(NAME, point))


def _line(key: bytes, signature: bytes) -> str:
    return base64.b64encode(note.key_id(NAME, note.ED25519, key) + signature).decode()
