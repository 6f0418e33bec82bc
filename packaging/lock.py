"""What a gateway needs of `requirements.lock`: hubiao's requirements and theirs, pinned with the lock's hashes.

`python packaging/lock.py NAME…` prints what those packages need instead. Run inside the environment that the lock was
installed into, whose metadata tell who requires whom.
"""

from __future__ import annotations

import re
import sys
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

EXTRAS = ("demo", "web", "metrics", "xlsx", "field")
TARGET = {
    "python_version": "3.11",
    "python_full_version": "3.11.2",
    "sys_platform": "linux",
    "platform_system": "Linux",
}


def pinned(lock: Path) -> dict[str, str]:
    """Name → its entry in the lock, hashes included."""
    text = re.sub(r"^\s*#.*\n", "", lock.read_text(encoding="utf-8"), flags=re.MULTILINE)
    entries = [entry for entry in re.split(r"\n(?=\S)", text.strip()) if "==" in entry]
    return {canonicalize_name(entry.split("==")[0]): entry for entry in entries}


def runtime(lock: Path) -> dict[str, str]:
    """The part of the lock that an installed hubiao needs, with what installs it (pip). KeyError: not in the lock."""
    return _needed(lock, [("hubiao", EXTRAS), ("pip", ())])


def _needed(lock: Path, todo: list[tuple[str, tuple[str, ...]]]) -> dict[str, str]:
    entries = pinned(lock)
    names: set[str] = set()
    while todo:
        name, extras = todo.pop()
        if name in names:
            continue
        names.add(name)
        for text in metadata.distribution(name).requires or ():
            wanted = Requirement(text)
            if any(_applies(wanted, extra) for extra in (*extras, "")):
                todo.append((canonicalize_name(wanted.name), tuple(wanted.extras)))
    return {name: entries[name] for name in sorted(names - {"hubiao"})}


def _applies(wanted: Requirement, extra: str) -> bool:
    return wanted.marker is None or wanted.marker.evaluate({**TARGET, "extra": extra})


if __name__ == "__main__":
    for entry in _needed(
        Path(__file__).parents[1] / "requirements.lock", [(name, ()) for name in sys.argv[1:]]
    ).values():
        sys.stdout.write(f"{entry}\n")
