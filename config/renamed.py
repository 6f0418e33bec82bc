"""Keys that an older version called otherwise: read under their new name, with a notice (docs/versioning.md)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from config.faults import Findings, Path

# (section, old key) → new key; a line here stays until the next major version. None yet: 0.1 is the first.
RENAMED: dict[tuple[str, str], str] = {}


def take_over(data: dict[str, Any], findings: Findings) -> None:
    """Moves values, and where they stand in the file, to the new keys. An old key beside its new one stays unknown."""
    for (section, old), new in RENAMED.items():
        moved = 0
        for at, item in _items(data, section):
            if old in item and new not in item:
                item[new] = item.pop(old)
                _move((*at, old), (*at, new), findings)
                moved += 1
        if moved:
            findings.notice(
                f"{section} 里的 {old} 现在叫 {new},旧名这一大版本里仍可用",
                f"{old} in {section} is now called {new}; the old name works until the next major version",
            )


def _items(data: dict[str, Any], section: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    written = data.get(section)
    if isinstance(written, dict):
        yield (section,), written
    elif isinstance(written, list):
        yield from (((section, n), item) for n, item in enumerate(written) if isinstance(item, dict))


def _move(old: Path, new: Path, findings: Findings) -> None:
    for places in (findings.values, findings.keys):
        for path in [path for path in places if path[: len(old)] == old]:
            places[(*new, *path[len(old) :])] = places.pop(path)
