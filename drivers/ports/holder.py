"""Who holds a device file. Reads /proc only; sees other users' processes only with the right to."""

from __future__ import annotations

import os
from pathlib import Path


def holder(path: str) -> str | None:
    """The first process that has the device open, as `minicom (pid 812)`; None where none can be seen."""
    device = os.path.realpath(path)
    for process in sorted(Path("/proc").glob("[0-9]*"), key=lambda entry: int(entry.name)):
        if int(process.name) != os.getpid() and _has_open(process, device):
            return f"{_name(process)} (pid {process.name})"
    return f"this process (pid {os.getpid()})" if _has_open(Path("/proc/self"), device) else None


def _has_open(process: Path, device: str) -> bool:
    try:
        descriptors = os.listdir(process / "fd")
    except OSError:  # ended meanwhile, or not ours to look at
        return False
    for descriptor in descriptors:
        try:
            if os.readlink(process / "fd" / descriptor) == device:
                return True
        except OSError:
            continue
    return False


def _name(process: Path) -> str:
    try:
        return (process / "comm").read_text(errors="replace").strip()
    except OSError:
        return "a process"
