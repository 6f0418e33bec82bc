"""A gateway's new key is followed by itself where its first record proves it: signed by the key that is pinned."""

from __future__ import annotations

import base64
import json

from audit.rows import LogId
from audit.store import Store
from contract.note import NoteError
from contract.rekey import verify_rekey

MARK = b'"rekey":"'  # in a `boot` record that begins an epoch under a new key


def follow(store: Store, which: LogId, record: bytes) -> bool:
    """Accepts the new key for the log and those after it, if the pinned one signed it. Raises OSError."""
    raw = json.loads(record)
    known = store.key(LogId(which.park, which.gateway, ""))
    if raw.get("kind") != "boot" or known is None:
        return False
    try:
        change = verify_rekey(raw["rekey"])
    except (NoteError, KeyError, TypeError, AttributeError):
        return False
    if (change.park, change.gateway, change.old) != (which.park, which.gateway, base64.b64decode(known)):
        return False
    store.accept_key(which, base64.b64encode(change.new).decode())
    return True
