"""Who holds a device file. Reads /proc only; sees other users' processes only with the right to.

A pseudo-terminal's far end is no holder: a simulator keeps its near end open too, and would be named whoever uses it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def holder(path: str) -> str | None:
    """The first process that has the device open, as `minicom (pid 812)`; None where none can be seen."""
    device = os.path.realpath(path)
    for process in sorted(Path("/proc").glob("[0-9]*"), key=lambda entry: int(entry.name)):
        if int(process.name) != os.getpid() and _has_open(process, device) and not _is_far_end(process, device):
            return f"{_name(process)} (pid {process.name})"
    return f"this process (pid {os.getpid()})" if _has_open(Path("/proc/self"), device) else None


def _has_open(process: Path, device: str) -> bool:
    return any(target == device for _, target in _open_files(process))


def _is_far_end(process: Path, device: str) -> bool:
    """Whether the process made the pseudo-terminal: it holds the master with this number."""
    directory, _, number = device.rpartition("/")
    return directory == "/dev/pts" and any(
        target in ("/dev/ptmx", "/dev/pts/ptmx") and f"tty-index:\t{number}\n" in _read(process / "fdinfo" / descriptor)
        for descriptor, target in _open_files(process)
    )


def _open_files(process: Path) -> Iterator[tuple[str, str]]:
    """(descriptor, what it leads to)."""
    try:
        descriptors = os.listdir(process / "fd")
    except OSError:  # ended meanwhile, or not ours to look at
        return
    for descriptor in descriptors:
        try:
            yield descriptor, os.readlink(process / "fd" / descriptor)
        except OSError:
            continue


def _name(process: Path) -> str:
    return _read(process / "comm").strip() or "a process"


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
