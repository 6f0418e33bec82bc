"""The gateway's Ed25519 key on disk: made once, kept over epochs, changed only by `renew_key`.

DATA/keys/gateway.key     PKCS #8 PEM, mode 0600, in a directory of mode 0700
DATA/keys/next.key        the same, while a change of the key is not complete
DATA/keys/rekeyed.note    the last change, signed by both keys

Signing and the names of keys are `contract.note`'s matter.
"""

from __future__ import annotations

import base64
import hashlib
import os
from pathlib import Path

from nacl.signing import SigningKey

from contract.rekey import sign_rekey

KEY_FILE = "keys/gateway.key"
NEXT_FILE = "keys/next.key"
REKEY_FILE = "keys/rekeyed.note"
_FINGERPRINT_BYTES = 16
_PEM_BEGINS, _PEM_ENDS = "-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----"
_PKCS8 = bytes.fromhex("302e020100300506032b657004220420")  # what stands before the 32 bytes of the seed (RFC 8410 §7)


class KeyFault(Exception):
    """There is no usable key; the text names the file."""


def create_key(data: Path) -> SigningKey:
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


def _create(path: Path) -> SigningKey:
    key = SigningKey.generate()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError as error:
        raise KeyFault(f"{path}: there is a key already, and it is not replaced") from error
    except OSError as error:
        raise KeyFault(f"{path}: {error.strerror}") from error
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(_to_pem(key))
            file.flush()
            os.fsync(file.fileno())
        _sync_directory(path.parent)
    except OSError as error:
        path.unlink(missing_ok=True)  # half a key would block every later start
        raise KeyFault(f"{path}: {error.strerror}") from error
    return key


def load_key(data: Path, name: str = KEY_FILE) -> SigningKey:
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
        return _from_pem(text)
    except ValueError as error:
        raise KeyFault(f"{path}: no Ed25519 key in PEM: {error}") from error


def load_or_create(data: Path) -> SigningKey:
    """The key, made now if there is none yet. Raises KeyFault."""
    return load_key(data) if (data / KEY_FILE).exists() else create_key(data)


def fingerprint(public: bytes) -> str:
    """What people compare: the first 16 bytes of SHA-256 of the raw public key, hex in groups of four."""
    text = hashlib.sha256(public).digest()[:_FINGERPRINT_BYTES].hex()
    return " ".join(text[i : i + 4] for i in range(0, len(text), 4))


def _to_pem(key: SigningKey) -> bytes:
    return "\n".join([_PEM_BEGINS, base64.b64encode(_PKCS8 + bytes(key)).decode(), _PEM_ENDS, ""]).encode()


def _from_pem(data: bytes) -> SigningKey:
    """The key of an unencrypted PKCS #8 file as we and openssl write it. Raises ValueError."""
    text = data.decode("ascii").strip()
    if not (text.startswith(_PEM_BEGINS) and text.endswith(_PEM_ENDS)):
        raise ValueError("it is not one unencrypted PRIVATE KEY")
    der = base64.b64decode("".join(text[len(_PEM_BEGINS) : -len(_PEM_ENDS)].split()), validate=True)
    if not der.startswith(_PKCS8) or len(der) != len(_PKCS8) + 32:
        raise ValueError("it is of another kind")
    return SigningKey(der[len(_PKCS8) :])


def _sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
