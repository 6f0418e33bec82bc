"""Signed notes (c2sp.org/signed-note), checkpoints (tlog-checkpoint) and cosignatures (tlog-cosignature), with Ed25519.

    hubiao/{park}/{gateway}/{epoch}              origin, also the name of the signing key
    576000                                       size of the log, decimal
    CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I= root, base64
                                                 (empty line; signed is the text above, last line feed included)
    — {name} base64(id ‖ signature)              the gateway's; id = first 4 bytes of SHA-256(name ‖ 0A ‖ 01 ‖ key)
    — {name} base64(id ‖ seconds ‖ signature)    an auditor's: type 04, POSIX seconds 8 bytes big-endian, signed text
                                                 `cosignature/v1\\ntime {seconds}\\n` before the note's text

Anything malformed raises NoteError. PyNaCl is imported only where a signature is made or checked, so that readers of
records can do without. Keeps no keys and reads no files.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from nacl.signing import SigningKey

ED25519 = 0x01  # types of c2sp.org/signed-note
COSIGNATURE = 0x04
KEY_BYTES = 32
MAX_SIGNATURES = 100  # more is an attack, not a note; the reference implementation draws the same line
_SIGNATURE_BYTES = 64
_DECIMAL = re.compile(r"(0|[1-9][0-9]{0,18})")
_HEX_ID = re.compile(r"[0-9a-f]{8}")
_MARK = "— "


class NoteError(ValueError):
    """A note, key, checkpoint or signature that is malformed or does not verify."""


class Signature(NamedTuple):
    """One signature line: the key's name, its 4-byte id, and what the key's type says (64 bytes, or seconds and 64)."""

    name: str
    id: bytes
    signature: bytes


class VerifierKey(NamedTuple):
    """A public key with the name it signs under; `algorithm` is ED25519 or COSIGNATURE."""

    name: str
    algorithm: int
    key: bytes

    @property
    def id(self) -> bytes:
        return key_id(self.name, self.algorithm, self.key)

    def __str__(self) -> str:
        encoded = base64.b64encode(bytes([self.algorithm]) + self.key).decode()
        return f"{self.name}+{self.id.hex()}+{encoded}"


class Checkpoint(NamedTuple):
    """The state of a log: `size` leaves that hash to `root`."""

    origin: str
    size: int
    root: bytes


def origin(park: str, gateway: str, epoch: str) -> str:
    """The first line of a checkpoint and the name of the key that signs it."""
    return f"hubiao/{park}/{gateway}/{epoch}"


def key_id(name: str, algorithm: int, key: bytes) -> bytes:
    """First four bytes of SHA-256(name ‖ 0A ‖ type ‖ key)."""
    return hashlib.sha256(name.encode() + b"\n" + bytes([algorithm]) + key).digest()[:4]


def verifier_key(name: str, key: bytes, algorithm: int = ED25519) -> str:
    """`name+hex id+base64(type ‖ key)` of a raw 32-byte public key."""
    if len(key) != KEY_BYTES or not _is_name(name):
        raise NoteError(f"no verifier key: {name!r} with {len(key)} bytes")
    return str(VerifierKey(name, algorithm, key))


def parse_verifier_key(text: str) -> VerifierKey:
    """Reads a verifier key of either type. Raises NoteError, also where the id does not belong to name and key."""
    name, plus, rest = text.partition("+")
    hex_id, second, encoded = rest.partition("+")
    if not plus or not second or not _is_name(name) or not _HEX_ID.fullmatch(hex_id):
        raise NoteError(f"{text!r} is no verifier key (name+id+key)")
    data = _base64(encoded)
    if len(data) != 1 + KEY_BYTES or data[0] not in (ED25519, COSIGNATURE):
        raise NoteError(f"{text!r} holds no Ed25519 key")
    key = VerifierKey(name, data[0], data[1:])
    if key.id.hex() != hex_id:
        raise NoteError(f"{text!r}: the id of this name and key is {key.id.hex()}")
    return key


def format_checkpoint(checkpoint: Checkpoint) -> str:
    """The three lines that are signed."""
    return f"{checkpoint.origin}\n{checkpoint.size}\n{base64.b64encode(checkpoint.root).decode()}\n"


def parse_checkpoint(body: str) -> Checkpoint:
    """Reads the three lines. Raises NoteError."""
    lines = body.split("\n")
    if len(lines) != 4 or lines[3] or not lines[0]:
        raise NoteError("a checkpoint has three lines")
    if not _DECIMAL.fullmatch(lines[1]):
        raise NoteError(f"{lines[1]!r} is no size")
    root = _base64(lines[2])
    if len(root) != 32:
        raise NoteError(f"a root has 32 bytes, not {len(root)}")
    return Checkpoint(lines[0], int(lines[1]), root)


def public_raw(private_key: SigningKey) -> bytes:
    """The 32 bytes of its public key."""
    return bytes(private_key.verify_key)


def sign_checkpoint(private_key: SigningKey, checkpoint: Checkpoint) -> str:
    """The signed note of a checkpoint, under a key named like its origin."""
    body = format_checkpoint(checkpoint)
    return sign_note(private_key, checkpoint.origin, body)


def sign_note(private_key: SigningKey, name: str, body: str) -> str:
    """A note with one signature. `body` ends with a line feed. Raises NoteError."""
    key = public_raw(private_key)
    signature = private_key.sign(body.encode()).signature
    text = body + "\n" + _line(name, key_id(name, ED25519, key) + signature)
    parse_note(text)
    return text


def parse_note(text: str) -> tuple[str, list[Signature]]:
    """The signed text (with its last line feed) and the signature lines, unchecked. Raises NoteError."""
    if any(c < " " and c != "\n" for c in text) or not _is_utf8(text):
        raise NoteError("a note is UTF-8 text without control characters")
    body, gap, tail = text.rpartition("\n\n")
    if not gap or not tail.endswith("\n"):
        raise NoteError("a note is a text, an empty line and signature lines")
    lines = tail[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise NoteError(f"{len(lines)} signatures")
    return body + "\n", [_signature(line) for line in lines]


def verify_note(text: str, key: VerifierKey) -> str:
    """The text that `key` (Ed25519) signed. Raises NoteError where it signed nothing, or other bytes."""
    body, signatures = parse_note(text)
    _verify(key, _only(signatures, key, ED25519), body.encode())
    return body


def verify_checkpoint(text: str, vkey: str) -> Checkpoint:
    """The checkpoint of a signed note, its signature checked under a verifier key named like the origin."""
    key = parse_verifier_key(vkey)
    checkpoint = parse_checkpoint(verify_note(text, key))
    if checkpoint.origin != key.name:
        raise NoteError(f"origin {checkpoint.origin!r} signed by {key.name!r}")
    return checkpoint


def cosign(private_key: SigningKey, name: str, text: str, seconds: int) -> str:
    """The note with an auditor's cosignature added: I hold every record below its size, at my time (POSIX seconds)."""
    body, _ = parse_note(text)
    parse_checkpoint(body)
    key = public_raw(private_key)
    signature = private_key.sign(_cosigned(body, seconds)).signature
    return text + _line(name, key_id(name, COSIGNATURE, key) + seconds.to_bytes(8, "big") + signature)


def verify_cosignature(text: str, vkey: str) -> tuple[Checkpoint, int]:
    """Checkpoint and POSIX seconds of a receipt, its cosignature checked, the gateway's own signature not."""
    key = parse_verifier_key(vkey)
    body, signatures = parse_note(text)
    data = _only(signatures, key, COSIGNATURE)
    seconds = int.from_bytes(data[:8], "big")
    _verify(key, data[8:], _cosigned(body, seconds))
    return parse_checkpoint(body), seconds


def split_notes(text: str) -> list[str]:
    """The notes of `checkpoints.txt` or `receipts.txt`: each followed by a line `--`.

    What follows the last such line is dropped if it is blank, else it is one more note for the parser to judge.
    """
    notes: list[str] = []
    lines: list[str] = []
    for line in text.split("\n"):
        if line == "--":
            notes.append("".join(lines))
            lines = []
        else:
            lines.append(line + "\n")
    rest = "".join(lines)
    return [*notes, rest[:-1]] if rest.strip() else notes


def join_notes(notes: list[str]) -> str:
    """The text of `checkpoints.txt` or `receipts.txt`."""
    return "".join(note + "--\n" for note in notes)


def _cosigned(body: str, seconds: int) -> bytes:
    return f"cosignature/v1\ntime {seconds}\n{body}".encode()


def _line(name: str, data: bytes) -> str:
    if not _is_name(name):
        raise NoteError(f"{name!r} names no key")
    return f"{_MARK}{name} {base64.b64encode(data).decode()}\n"


def _signature(line: str) -> Signature:
    name, space, encoded = line.removeprefix(_MARK).partition(" ")
    if not line.startswith(_MARK) or not space or not _is_name(name):
        raise NoteError(f"{line!r} is no signature line")
    data = _base64(encoded)
    if len(data) < 5:
        raise NoteError(f"{line!r} is too short for a signature")
    return Signature(name, data[:4], data[4:])


def _only(signatures: list[Signature], key: VerifierKey, algorithm: int) -> bytes:
    """The bytes of the key's signature; the first, if a line is repeated."""
    length = _SIGNATURE_BYTES + (8 if algorithm == COSIGNATURE else 0)
    if key.algorithm != algorithm:
        raise NoteError(f"{key.name} is a key of type {key.algorithm:02x}, not {algorithm:02x}")
    for signature in signatures:
        if signature.name == key.name and signature.id == key.id:
            if len(signature.signature) != length:
                raise NoteError(f"a signature of {len(signature.signature)} bytes")
            return signature.signature
    raise NoteError(f"no signature of {key.name}+{key.id.hex()}")


def _verify(key: VerifierKey, signature: bytes, message: bytes) -> None:
    from nacl.exceptions import BadSignatureError
    from nacl.signing import VerifyKey

    try:
        VerifyKey(key.key).verify(message, signature)
    except (BadSignatureError, ValueError) as error:
        raise NoteError(f"the signature of {key.name} does not verify") from error


def _is_name(name: str) -> bool:
    return bool(name) and "+" not in name and not any(c.isspace() or c < " " for c in name) and _is_utf8(name)


def _is_utf8(text: str) -> bool:
    """Whether the text has bytes at all: a lone surrogate has none."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _base64(text: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise NoteError(f"{text!r} is no base64") from error
    if base64.b64encode(data).decode() != text:
        raise NoteError(f"{text!r} is no canonical base64")
    return data
