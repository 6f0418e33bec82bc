"""The lock that keeps a second agent, and whoever changes what an agent relies on, from a store in use: DATA/lock."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from agent.evidence.reader import StoreError


@contextlib.contextmanager
def held(directory: Path) -> Iterator[None]:
    """The store's lock, for who changes what an agent relies on. Raises StoreError while an agent runs."""
    handle = lock(directory)
    try:
        yield
    finally:
        os.close(handle)


def lock(directory: Path) -> int:
    """The lock that keeps a second agent from the same store. Raises StoreError."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        handle = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(f"{directory}: {error.strerror}") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        raise StoreError(f"{directory}: another agent holds this store") from error
    return handle
