"""The gateway's Ed25519 key on disk: made once, kept over epochs, changed only by `renew_key`.

DATA/keys/gateway.key     PKCS #8 PEM, mode 0600, in a directory of mode 0700
DATA/keys/next.key        the same, while a change of the key is not complete
DATA/keys/rekeyed.note    the last change, signed by both keys

Signing and the names of keys are `contract.note`'s matter.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from contract.rekey import sign_rekey

KEY_FILE = "keys/gateway.key"
NEXT_FILE = "keys/next.key"
REKEY_FILE = "keys/rekeyed.note"
_FINGERPRINT_BYTES = 16


class KeyFault(Exception):
    """There is no usable key; the text names the file."""


def create_key(data: Path) -> Ed25519PrivateKey:
    """Makes the key and its file, durable when this returns. Raises KeyFault where there is one already, or no disk."""
    return _create(data / KEY_FILE)


def renew_key(data: Path, park: str, gateway: str) -> str:
    """Puts a new key in the place of the old one; gives the note that both signed. No agent may run meanwhile.

    Cut off at any moment, the next call brings it to an end: the old key stays until the note is on disk. The old key
    is gone afterwards. Raises KeyFault.
    """
    old = load_key(data)
    new = load_key(data, NEXT_FILE) if (data / NEXT_FILE).exists() else _create(data / NEXT_FILE)
    note = sign_rekey(park, gateway, old, new)
    path = data / REKEY_FILE
    fresh = path.with_suffix(".new")
    try:
        with fresh.open("w", encoding="utf-8") as file:
            file.write(note)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
        _sync_directory(path.parent)
        (data / NEXT_FILE).replace(data / KEY_FILE)
        _sync_directory(path.parent)
    except OSError as error:
        raise KeyFault(f"{error.filename or path}: {error.strerror}") from error
    return note


def read_rekey(data: Path) -> str | None:
    """The note of the last change of the key, None if there was none."""
    try:
        return (data / REKEY_FILE).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def _create(path: Path) -> Ed25519PrivateKey:
    key = Ed25519PrivateKey.generate()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError as error:
        raise KeyFault(f"{path}: there is a key already, and it is not replaced") from error
    except OSError as error:
        raise KeyFault(f"{path}: {error.strerror}") from error
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
            file.flush()
            os.fsync(file.fileno())
        _sync_directory(path.parent)
    except OSError as error:
        path.unlink(missing_ok=True)  # half a key would block every later start
        raise KeyFault(f"{path}: {error.strerror}") from error
    return key


def load_key(data: Path, name: str = KEY_FILE) -> Ed25519PrivateKey:
    """Reads the key. Raises KeyFault: missing, readable by others, or no Ed25519 key."""
    path = data / name
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode & 0o777
            text = file.read()
    except OSError as error:
        raise KeyFault(f"{path}: {error.strerror}") from error
    if mode & 0o077:
        raise KeyFault(f"{path}: mode {mode:03o} lets others at the key; chmod 600 it")
    try:
        key = load_pem_private_key(text, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyFault(f"{path}: no private key in PEM: {error}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyFault(f"{path}: not an Ed25519 key")
    return key


def load_or_create(data: Path) -> Ed25519PrivateKey:
    """The key, made now if there is none yet. Raises KeyFault."""
    return load_key(data) if (data / KEY_FILE).exists() else create_key(data)


def fingerprint(public: bytes) -> str:
    """What people compare: the first 16 bytes of SHA-256 of the raw public key, hex in groups of four."""
    text = hashlib.sha256(public).digest()[:_FINGERPRINT_BYTES].hex()
    return " ".join(text[i : i + 4] for i in range(0, len(text), 4))


def _sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
