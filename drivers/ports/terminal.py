"""What every opening of a terminal shares, to talk (serial.py) or to listen only (tap.py): reading what has come."""

from __future__ import annotations

import os

from drivers.ports.inbox import Inbox
from drivers.ports.marks import MarkReader

READ_BYTES = 4096


def is_pty(device: str) -> bool:
    """Whether a path leads to a pseudo-terminal, which has no parity and no wire."""
    return os.path.realpath(device).startswith("/dev/pts/")


def take_in(descriptor: int, marks: MarkReader, inbox: Inbox) -> int:
    """What waits at an open descriptor goes into the inbox, marks taken out; how many bytes, 0 if nothing waits.

    A hang-up shows as an empty read or as an error (VMIN is 1): both end the inbox.
    """
    try:
        raw = os.read(descriptor, READ_BYTES)
    except BlockingIOError:
        return 0
    except OSError as error:
        inbox.end(f"gone: {error.strerror}")
        return 0
    if not raw:
        inbox.end("gone: hung up")
    for chunk in marks.feed(raw):
        inbox.put(chunk)
    return len(raw)
