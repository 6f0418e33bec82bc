"""A change of the gateway's key, signed by the old key and the new one: what lets an auditor follow (contract §5).

    hubiao/{park}/{gateway}/rekey        also the name under which both keys sign
    {old key, raw, base64}
    {new key, raw, base64}
                                         (empty line, then one signature line of each: c2sp.org/signed-note, type 01)

Who holds the old key says which key follows it; that the new one signs too shows that it is held. Reads no files.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, NamedTuple

from contract.note import ED25519, KEY_BYTES, NoteError, VerifierKey, parse_note, public_raw, sign_note, verify_note

if TYPE_CHECKING:
    from nacl.signing import SigningKey


class Rekey(NamedTuple):
    """Raw keys before and after."""

    park: str
    gateway: str
    old: bytes
    new: bytes


def sign_rekey(park: str, gateway: str, old: SigningKey, new: SigningKey) -> str:
    """The note, signed by both. Raises NoteError for ids that no key's name can hold."""
    name = _name(park, gateway)
    keys = [public_raw(key) for key in (old, new)]
    body = "\n".join([name, *(base64.b64encode(key).decode() for key in keys)]) + "\n"
    first, second = (sign_note(key, name, body) for key in (old, new))
    return first + second.rpartition("\n\n")[2]


def verify_rekey(text: str) -> Rekey:
    """What both keys signed. Raises NoteError, also where it is the same key twice."""
    lines = parse_note(text)[0].split("\n")
    name = lines[0].split("/")
    if len(lines) != 4 or len(name) != 4 or name[0] != "hubiao" or name[3] != "rekey":
        raise NoteError("no change of a gateway's key")
    old, new = (_key(line) for line in lines[1:3])
    if old == new:
        raise NoteError("the same key twice")
    for key in (old, new):
        verify_note(text, VerifierKey(lines[0], ED25519, key))
    return Rekey(name[1], name[2], old, new)


def _name(park: str, gateway: str) -> str:
    return f"hubiao/{park}/{gateway}/rekey"


def _key(line: str) -> bytes:
    try:
        key = base64.b64decode(line, validate=True)
    except (binascii.Error, ValueError) as error:
        raise NoteError(f"{line!r} is no base64") from error
    if len(key) != KEY_BYTES:
        raise NoteError(f"a key of {len(key)} bytes")
    return key
